/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
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
