/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * garbage ipc|leave|csvd COUNT SEED: COUNT times, something that no honest client would send to
 * clusterd's sockets. Exit 3 when it may not connect, 1 when clusterd is gone.
 */
#include "config.h"

#include <poll.h>
#include <qb/qbipcc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/ipc.h"
#include "proto/ipc.pb-c.h"
#include "proto/volume.h"

static uint64_t rng;

static uint32_t random32(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16);
}

static void random_bytes(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)random32();
}

static qb_ipcc_connection_t *connect_ipc(void)
{
	qb_ipcc_connection_t *c = qb_ipcc_connect(IPC_SERVICE, IPC_MESSAGE_MAX);

	if (!c && errno == EACCES)
		exit(3);
	if (!c) {
		perror("connect");
		exit(1);
	}
	return c;
}

/* A request that is nearly right: its fields hold anything. */
static size_t odd_request(uint8_t *out)
{
	static const char *const verbs[] = { "status", "events", "create vm", "move",
					     "init",   "",	 "%s%n" };
	Ipc__Request msg = IPC__REQUEST__INIT;
	char text[300], *args[3] = { text, text, text };

	random_bytes((uint8_t *)text, sizeof(text));
	text[random32() % sizeof(text)] = '\0';
	text[sizeof(text) - 1] = '\0';
	msg.version = random32() % 3;
	msg.id = text;
	msg.verb = (char *)verbs[random32() % (sizeof(verbs) / sizeof(verbs[0]))];
	if (strcmp(msg.verb, "init") == 0)
		msg.version = 2; /* it could be well-formed by chance */
	msg.args = args;
	msg.n_args = random32() % 4;
	return ipc__request__pack(&msg, out);
}

static void one_ipc(qb_ipcc_connection_t *c)
{
	static uint8_t buf[IPC_MESSAGE_MAX];
	struct qb_ipc_request_header head = { .id = IPC_ID_REQUEST };
	size_t len = random32() % 2 ? odd_request(buf + sizeof(head)) : random32() % 2000;

	if (random32() % 2)
		random_bytes(buf + sizeof(head), len);
	head.size = (int32_t)(len + sizeof(head));
	if (random32() % 8 == 0)
		head.id = (int32_t)random32();
	memcpy(buf, &head, sizeof(head));
	(void)qb_ipcc_send(c, buf, (size_t)head.size);
	while (qb_ipcc_event_recv(c, buf, sizeof(buf), 0) > 0)
		;
}

static void garbage_ipc(unsigned count)
{
	qb_ipcc_connection_t *c = connect_ipc();

	for (unsigned i = 0; i < count; i++) {
		one_ipc(c);
		if (random32() % 50)
			continue;
		qb_ipcc_disconnect(c);
		c = connect_ipc();
	}
	qb_ipcc_disconnect(c);
}

static void leave(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		static uint8_t buf[4096];
		struct qb_ipc_request_header head = { .id = IPC_ID_REQUEST };
		qb_ipcc_connection_t *c = connect_ipc();
		Ipc__Request msg = IPC__REQUEST__INIT;
		Ipc__Option follow = IPC__OPTION__INIT, *options = &follow;

		follow.name = (char *)"follow";
		msg.version = IPC_VERSION;
		msg.verb = (char *)"events";
		msg.options = &options;
		msg.n_options = random32() % 2;
		head.size = (int32_t)(sizeof(head) + ipc__request__pack(&msg, buf + sizeof(head)));
		memcpy(buf, &head, sizeof(head));
		(void)qb_ipcc_send(c, buf, (size_t)head.size);
		qb_ipcc_disconnect(c);
	}
}

static void garbage_csvd(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		static const struct frame_hello hello = { VOLUME_PROTOCOL, VOLUME_VERSION,
							  VOLUME_VERSION };
		struct sockaddr_un addr = { .sun_family = AF_UNIX,
					    .sun_path = "/run/clusterd/" VOLUME_SOCKET };
		uint8_t buf[3000];
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
			perror("connect");
			exit(1);
		}
		random_bytes(buf, sizeof(buf));
		if (random32() % 2)
			frame_put_hello(buf, &hello);
		if (random32() % 2)
			frame_put_header(buf + FRAME_HEADER_SIZE + FRAME_HELLO_BODY, 1,
					 VOLUME_FROM_CSVD, random32() % 2000);
		(void)send(fd, buf, random32() % sizeof(buf), MSG_NOSIGNAL);
		(void)close(fd);
	}
}

int main(int argc, char *argv[])
{
	if (argc != 4)
		return 2;
	rng = strtoull(argv[3], NULL, 10) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	if (strcmp(argv[1], "ipc") == 0)
		garbage_ipc((unsigned)atoi(argv[2]));
	else if (strcmp(argv[1], "leave") == 0)
		leave((unsigned)atoi(argv[2]));
	else if (strcmp(argv[1], "csvd") == 0)
		garbage_csvd((unsigned)atoi(argv[2]));
	else
		return 2;
	return 0;
}
