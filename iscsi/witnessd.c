/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * witnessd: serves the witness, a LUN or a directory on a share, to the clusterd of its node
 * (proto/witness.proto). A process of its own, because the LUN is reached by libiscsi, a share may hang, and
 * clusterd shall depend on neither. It keeps nothing over its own end: clusterd begins anew with it, by a new claim.
 */
#include "config.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "iscsi/chap.h"
#include "iscsi/witness_store.h"
#include "iscsi/witness_probe.h"
#include "lib/log.h"
#include "proto/conn.h"
#include "proto/witness.h"
#include "proto/witness.pb-c.h"

#define RECONNECT_MS 250
#define WITNESS_URL_MAX 512

struct slot {
	struct witnessd *d;
	uint32_t number;
	struct witness_store *store;
	struct witness_probe *probe; /* before the session to a LUN that is to become a witness */
	struct witness_config config;
	char url[WITNESS_URL_MAX]; /* .config's */
};

struct witnessd {
	struct cl_loop *loop;
	struct frame_conn *conn;
	struct cl_source *reconnect, *sigterm, *sigint;
	const char *path;
	bool ready;
	struct slot slots[2];
};

/* ---- out ------------------------------------------------------------------------------------------------ */

static void send_msg(struct witnessd *d, const Wit__FromWitnessd *msg)
{
	size_t len = wit__from_witnessd__get_packed_size(msg);
	_cleanup_free_ uint8_t *buf = malloc(len + 1);

	if (!d->ready || !buf)
		return;
	(void)wit__from_witnessd__pack(msg, buf);
	(void)frame_conn_send(d->conn, WITNESS_FROM, buf, len);
}

static void on_path(void *user, bool up, uint64_t bytes, int code, const char *text)
{
	Wit__FromWitnessd msg = WIT__FROM_WITNESSD__INIT;
	Wit__Path path = WIT__PATH__INIT;
	struct slot *s = user;

	path.session = s->number;
	path.up = up;
	path.bytes = bytes;
	path.code = code;
	path.text = (char *)(uintptr_t)text;
	msg.msg_case = WIT__FROM_WITNESSD__MSG_PATH;
	msg.path = &path;
	send_msg(s->d, &msg);
}

static void on_done(void *user, const struct witness_answer *a)
{
	Wit__FromWitnessd msg = WIT__FROM_WITNESSD__INIT;
	Wit__Done done = WIT__DONE__INIT;
	struct slot *s = user;

	done.session = s->number;
	done.id = a->id;
	done.ok = a->ok;
	done.data = (ProtobufCBinaryData){ a->len, (uint8_t *)(uintptr_t)a->data };
	done.mine = a->mine;
	done.holder = a->holder;
	done.text = (char *)(uintptr_t)a->text;
	msg.msg_case = WIT__FROM_WITNESSD__MSG_DONE;
	msg.done = &done;
	send_msg(s->d, &msg);
}

/* ---- in -------------------------------------------------------------------------------------------------- */

static void on_gone(void *user)
{
	witness_store_free(user);
}

static void close_slot(struct slot *s, bool clear)
{
	struct witness_store *store = cl_steal(s->store);

	witness_probe_forget(cl_steal(s->probe));
	/* Of a LUN that was looked at, or made, nothing may stay: CLEAR would hit who serves it by now. */
	if (store && (clear || s->number == WITNESS_MAKE))
		witness_store_give_up(store, clear, on_gone, store);
	else
		witness_store_free(store);
}

static void begin_session(struct slot *s)
{
	struct cl_error err = CL_ERROR_INIT;

	if (witness_store_new(s->d->loop, &s->config, &s->store, &err) < 0)
		on_path(s, false, 0, err.code, err.msg);
}

static void on_probed(void *user, int code, const char *text)
{
	struct slot *s = user;

	s->probe = NULL;
	/* One that is in use cannot be tried; who insists on it (--force) takes it as it is. */
	if (code == 0 || (code == -EBUSY && !s->config.unused))
		begin_session(s);
	else
		on_path(s, false, 0, code, text);
}

static void begin_probe(struct slot *s)
{
	const struct witness_probe_config c = {
		.url = s->url, .node = s->config.node, .done = on_probed, .user = s
	};
	struct cl_error err = CL_ERROR_INIT;

	if (witness_probe_new(s->d->loop, &c, &s->probe, &err) < 0)
		on_path(s, false, 0, err.code, err.msg);
}

static void do_open(struct slot *s, const Wit__Open *open)
{
	s->config = (struct witness_config){
		.url = s->url,
		.node = open->node,
		.incarnation = open->incarnation,
		.number = open->session,
		.unused = open->unused,
		.make = s->number == WITNESS_MAKE,
		.hooks = { .user = s, .path = on_path, .done = on_done },
	};

	close_slot(s, open->clear);
	if (!open->url[0])
		return;
	(void)snprintf(s->url, sizeof(s->url), "%s", open->url);
	if (open->node < 1 || open->node > 255)
		on_path(s, false, 0, -EINVAL, "a node's id is from 1 to 255");
	else if (strlen(open->url) >= sizeof(s->url))
		on_path(s, false, 0, -EINVAL, "the address is too long");
	else if (s->number == WITNESS_MAKE && !witness_store_is_file(s->url))
		begin_probe(s);
	else
		begin_session(s);
}

static void do_op(struct slot *s, const Wit__Op *op)
{
	static const int kinds[] = {
		[WIT__OP__KIND__READ] = WITNESS_OP_READ,
		[WIT__OP__KIND__WRITE] = WITNESS_OP_WRITE,
		[WIT__OP__KIND__OWNER_WRITE] = WITNESS_OP_OWNER_WRITE,
		[WIT__OP__KIND__CLAIM] = WITNESS_OP_CLAIM,
		[WIT__OP__KIND__CHECK] = WITNESS_OP_CHECK,
		[WIT__OP__KIND__FORMAT] = WITNESS_OP_FORMAT,
	};
	bool writes = op->kind == WIT__OP__KIND__WRITE || op->kind == WIT__OP__KIND__OWNER_WRITE ||
		      op->kind == WIT__OP__KIND__FORMAT;
	size_t len = writes ? op->data.len : op->len;

	if ((int)op->kind < WIT__OP__KIND__READ || (int)op->kind > WIT__OP__KIND__FORMAT ||
	    len > WITNESS_IO_MAX || !s->store)
		return;
	witness_store_submit(s->store, op->id, (enum witness_op_kind)kinds[op->kind], op->offset,
			     (uint32_t)len, writes ? op->data.data : NULL);
}

static struct slot *slot_of(struct witnessd *d, uint32_t number)
{
	return number >= 1 && number <= 2 ? &d->slots[number - 1] : NULL;
}

static void on_frame(void *user, const struct frame *frame)
{
	struct witnessd *d = user;
	Wit__ToWitnessd *msg = NULL;
	struct slot *s = NULL;

	if (frame->type == WITNESS_TO)
		msg = wit__to_witnessd__unpack(NULL, frame->len, frame->body);
	if (!msg) {
		log_warning("clusterd sent something that cannot be read");
		return;
	}
	if (msg->msg_case == WIT__TO_WITNESSD__MSG_OPEN)
		s = slot_of(d, msg->open->session);
	else if (msg->msg_case == WIT__TO_WITNESSD__MSG_OP)
		s = slot_of(d, msg->op->session);
	if (s && msg->msg_case == WIT__TO_WITNESSD__MSG_OPEN)
		do_open(s, msg->open);
	else if (s)
		do_op(s, msg->op);
	wit__to_witnessd__free_unpacked(msg, NULL);
}

/* ---- connection --------------------------------------------------------------------------------------------- */

/* Whoever serves next begins with a nexus of its own. */
static void on_closed(void *user, const struct cl_error *why)
{
	struct witnessd *d = user;

	if (d->ready)
		log_warning("connection to clusterd ended: %s", why->msg);
	frame_conn_free(d->conn);
	d->conn = NULL;
	d->ready = false;
	for (unsigned i = 0; i < 2; i++)
		close_slot(&d->slots[i], false);
	(void)cl_timer_set_in(d->reconnect, RECONNECT_MS);
}

static void on_ready(void *user, uint16_t version)
{
	struct witnessd *d = user;

	(void)version;
	d->ready = true;
	log_notice("connected to clusterd");
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static void on_reconnect(void *user)
{
	static const struct frame_hello hello = { WITNESS_PROTOCOL, 1, 1 };
	struct witnessd *d = user;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", d->path);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    frame_conn_new(d->loop, fd, &hello, 0, &conn_ops, d, &d->conn) == 0)
		return; /* the connection has fd */
	if (fd >= 0 && !d->conn)
		(void)close(fd);
	(void)cl_timer_set_in(d->reconnect, RECONNECT_MS);
}

static void on_signal(void *user, int signo)
{
	struct witnessd *d = user;

	log_notice("ending on signal %d", signo);
	cl_loop_stop(d->loop);
}

static int run(const char *path)
{
	struct witnessd d = { .path = path };

	(void)signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < 2; i++)
		d.slots[i] = (struct slot){ .d = &d, .number = i + 1 };
	if (cl_loop_new(&d.loop) < 0 || cl_timer_new(d.loop, on_reconnect, &d, &d.reconnect) < 0 ||
	    cl_signal_new(d.loop, SIGTERM, on_signal, &d, &d.sigterm) < 0 ||
	    cl_signal_new(d.loop, SIGINT, on_signal, &d, &d.sigint) < 0) {
		log_crit("out of memory");
		return 1;
	}
	(void)cl_timer_set_in(d.reconnect, 0);
	cl_loop_run(d.loop);
	for (unsigned i = 0; i < 2; i++)
		witness_store_free(d.slots[i].store);
	frame_conn_free(d.conn);
	cl_source_free(d.reconnect);
	cl_source_free(d.sigterm);
	cl_source_free(d.sigint);
	cl_loop_free(d.loop);
	return 0;
}

static const char usage[] =
	"usage: witnessd [--socket PATH] [--chap FILE] [--debug] [--version]\n"
	"\n"
	"  --socket PATH  clusterd's, instead of /run/clusterd/" WITNESS_SOCKET "\n"
	"  --chap FILE    names and secrets for targets\n"
	"  --debug        log everything\n";

int main(int argc, char *argv[])
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "chap", required_argument, NULL, 'c' },
		{ "debug", no_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = "/run/clusterd/" WITNESS_SOCKET;
	enum cl_log_level level = CL_LOG_INFO;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		switch (c) {
		case 's':
			path = optarg;
			break;
		case 'c':
			lun_chap_set_file(optarg);
			break;
		case 'd':
			level = CL_LOG_DEBUG;
			break;
		case 'v':
			(void)printf("witnessd %s\n", PACKAGE_VERSION);
			return 0;
		default:
			(void)fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	cl_log_init("witnessd", level);
	return run(path);
}
