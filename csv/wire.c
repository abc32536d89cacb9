/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

const struct frame_hello csv_hello = {
	.protocol = FRAME_PROTOCOL('C', 'S', 'V', '1'),
	.lowest = 1,
	.highest = 1,
};

bool csv_wire_send(struct frame_conn *conn, const Csv__Message *msg)
{
	size_t len = csv__message__get_packed_size(msg);
	uint8_t *buf;
	int r;

	if (len > FRAME_BODY_MAX)
		return false;
	buf = malloc(len ? len : 1);
	if (!buf)
		return false;
	(void)csv__message__pack(msg, buf);
	r = frame_conn_send(conn, CSV_FRAME_MESSAGE, buf, len);
	free(buf);
	return r == 0;
}

void csv_wire_tune(int fd)
{
	int one = 1, timeout = CSV_USER_TIMEOUT_MS, idle = 2;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &one, sizeof(one));
}

int csv_wire_address(const char *text, unsigned port, struct sockaddr_storage *ret)
{
	struct sockaddr_in *in4 = (void *)ret;
	struct sockaddr_in6 *in6 = (void *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, text, &in4->sin_addr) == 1) {
		in4->sin_family = AF_INET;
		in4->sin_port = htons((uint16_t)port);
		return (int)sizeof(*in4);
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		return (int)sizeof(*in6);
	}
	return -EINVAL;
}
