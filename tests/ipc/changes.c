/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * changes COUNT: makes and forgets a virtual machine that is never started, COUNT times over one
 * connection, and prints how long each change of the database took, in microseconds, one a line.
 * changes --sync FILE COUNT: how long it takes to append 4 KiB to FILE and sync it.
 */
#include "config.h"

#include <fcntl.h>
#include <qb/qbipcc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/ipc.h"
#include "proto/ipc.pb-c.h"

static int64_t now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void give_up(const char *what)
{
	(void)fprintf(stderr, "changes: %s\n", what);
	exit(1);
}

static void send_request(qb_ipcc_connection_t *c, Ipc__Request *msg)
{
	static uint8_t buf[IPC_MESSAGE_MAX];
	struct qb_ipc_request_header head = { .id = IPC_ID_REQUEST };

	head.size = (int32_t)(sizeof(head) + ipc__request__pack(msg, buf + sizeof(head)));
	memcpy(buf, &head, sizeof(head));
	if (qb_ipcc_send(c, buf, (size_t)head.size) < 0)
		give_up("clusterd does not take the request");
}

static void await_done(qb_ipcc_connection_t *c)
{
	static uint8_t buf[IPC_MESSAGE_MAX];
	bool done = false;

	while (!done) {
		ssize_t n = qb_ipcc_event_recv(c, buf, sizeof(buf), 20000);
		Ipc__Event *event = NULL;

		if (n > (ssize_t)sizeof(struct qb_ipc_response_header))
			event = ipc__event__unpack(
				NULL, (size_t)n - sizeof(struct qb_ipc_response_header),
				buf + sizeof(struct qb_ipc_response_header));
		if (!event)
			give_up("no answer");
		if (event->error)
			give_up(event->error->message);
		done = event->done;
		ipc__event__free_unpacked(event, NULL);
	}
}

static void one(qb_ipcc_connection_t *c, const char *verb, const char *name)
{
	Ipc__Request msg = IPC__REQUEST__INIT;
	Ipc__Option memory = IPC__OPTION__INIT, kernel = IPC__OPTION__INIT;
	Ipc__Option *options[] = { &memory, &kernel };
	char *args[] = { (char *)(uintptr_t)name };
	int64_t begun;

	memory.name = (char *)(uintptr_t) "memory";
	memory.value = (char *)(uintptr_t) "16M";
	kernel.name = (char *)(uintptr_t) "kernel";
	kernel.value = (char *)(uintptr_t) "/opt/lab/tiny.elf";
	msg.version = 1;
	msg.id = (char *)(uintptr_t) "bench";
	msg.verb = (char *)(uintptr_t)verb;
	msg.args = args;
	msg.n_args = 1;
	if (strcmp(verb, "create vm") == 0) {
		msg.options = options;
		msg.n_options = 2;
	}
	begun = now_us();
	send_request(c, &msg);
	await_done(c);
	(void)printf("%lld\n", (long long)(now_us() - begun));
}

static int changes(unsigned long count)
{
	qb_ipcc_connection_t *c = qb_ipcc_connect(IPC_SERVICE, IPC_MESSAGE_MAX);
	char name[32];

	if (!c)
		give_up("clusterd is not reachable");
	(void)snprintf(name, sizeof(name), "bench%d", (int)getpid());
	for (unsigned long i = 0; i < count; i += 2) {
		one(c, "create vm", name);
		one(c, "delete", name);
	}
	qb_ipcc_disconnect(c);
	return 0;
}

static int syncs(const char *path, unsigned long count)
{
	static uint8_t block[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		give_up(path);
	for (unsigned long i = 0; i < count; i++) {
		int64_t begun = now_us();

		if (pwrite(fd, block, sizeof(block), (off_t)(i * sizeof(block))) < 0 ||
		    fdatasync(fd) < 0)
			give_up(path);
		(void)printf("%lld\n", (long long)(now_us() - begun));
	}
	(void)close(fd);
	(void)unlink(path);
	return 0;
}

int main(int argc, char *argv[])
{
	if (argc == 2)
		return changes(strtoul(argv[1], NULL, 10));
	if (argc == 4 && strcmp(argv[1], "--sync") == 0)
		return syncs(argv[2], strtoul(argv[3], NULL, 10));
	(void)fputs("usage: changes COUNT | --sync FILE COUNT\n", stderr);
	return 2;
}
