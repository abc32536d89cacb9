/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plays clusterd's side of the csvd socket for any number of nodes, by commands on standard input:
 *
 *     listen NODE PATH              node ID NAME INCARNATION ADDRESS up|down
 *     volume NAME URL NODE EPOCH    debt NAME NODE INCARNATION      nodebts NAME
 *     owner RESOURCE GEN NODE [RESERVED]   redirect NAME on|off     remove NAME
 *     maintenance NAME on|off       prtype NAME TYPE
 *     commit                        send the tables as they are now to everybody
 *     lease MS|max|over             of every node, from now
 *     go yes|no                     how questions for GO are answered (yes: if the tables say so)
 *     format NODE NAME URL          pay NODE NAME WHO INCARNATION   handover NODE NAME EPOCH
 *     fail NODE RESOURCE GEN        close NODE INCARNATION          quit
 *
 * What csvd says comes out as lines: "hello N", "status N VOLUME MODE serving|- REASON",
 * "done ORDER ok|CODE TEXT", "go N EPOCH yes|no". Every order prints "order ID". What a format has found out about
 * the target comes as "target ABORT_.."; the next `volume` has it in its tables.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/loop.h"
#include "proto/conn.h"
#include "proto/volume.h"
#include "proto/volume.pb-c.h"

#define MAX 32

struct vol_row {
	bool used, redirected, maintenance;
	char name[64], url[256];
	uint8_t uuid[16];
	unsigned coordinator;
	uint64_t epoch;
	Vol__Target *target;
	Vol__Debt debts[MAX];
	size_t n_debts;
};

struct node_row {
	bool used, living;
	char name[64], address[64];
	uint64_t incarnation;
};

struct owner_row {
	char resource[64];
	uint64_t generation, reserved;
	unsigned node;
};

struct client {
	bool used;
	unsigned node;
	struct frame_conn *conn;
	bool ready;
};

static struct cl_loop *loop;
static struct vol_row volumes[MAX];
static struct node_row nodes[256];
static struct owner_row owners[MAX];
static size_t n_owners;
static struct client clients[256];
static uint64_t table_index, order_id;
static bool go_yes = true;
static Vol__Target *found; /* by the last format */
static uint64_t lease_until = UINT64_MAX;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
	(void)fflush(stdout);
}

static struct vol_row *vol_by_name(const char *name)
{
	for (int i = 0; i < MAX; i++)
		if (volumes[i].used && !strcmp(volumes[i].name, name))
			return &volumes[i];
	return NULL;
}

static struct vol_row *vol_by_uuid(const ProtobufCBinaryData *uuid)
{
	for (int i = 0; i < MAX; i++)
		if (volumes[i].used && uuid->len == 16 && !memcmp(volumes[i].uuid, uuid->data, 16))
			return &volumes[i];
	return NULL;
}

static void send_msg(struct client *c, const Vol__ToCsvd *msg)
{
	size_t len = vol__to_csvd__get_packed_size(msg);
	uint8_t *buf = malloc(len + 1);

	if (!buf || !c->used || !c->ready) {
		free(buf);
		return;
	}
	(void)vol__to_csvd__pack(msg, buf);
	(void)frame_conn_send(c->conn, VOLUME_TO_CSVD, buf, len);
	free(buf);
}

static void send_tables(struct client *c)
{
	static Vol__Node nrow[256], *np[256];
	static Vol__Volume vrow[MAX], *vp[MAX];
	static Vol__Owner orow[MAX], *op[MAX];
	static Vol__Debt *dp[MAX][MAX];
	static uint8_t cluster[16] = "stub's cluster";
	Vol__Tables t = VOL__TABLES__INIT;
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;

	t.index = table_index;
	t.cluster = (ProtobufCBinaryData){ sizeof(cluster), cluster };
	t.self = c->node;
	for (unsigned i = 1; i < 256; i++) {
		if (!nodes[i].used)
			continue;
		vol__node__init(&nrow[i]);
		nrow[i].id = i;
		nrow[i].name = nodes[i].name;
		nrow[i].incarnation = nodes[i].incarnation;
		nrow[i].living = nodes[i].living;
		nrow[i].storage_address = nodes[i].address;
		np[t.n_nodes++] = &nrow[i];
	}
	for (int i = 0; i < MAX; i++) {
		struct vol_row *v = &volumes[i];

		if (!v->used)
			continue;
		vol__volume__init(&vrow[i]);
		vrow[i].name = v->name;
		vrow[i].url = v->url;
		vrow[i].uuid = (ProtobufCBinaryData){ 16, v->uuid };
		vrow[i].coordinator = v->coordinator;
		vrow[i].epoch = v->epoch;
		vrow[i].redirected = v->redirected;
		vrow[i].maintenance = v->maintenance;
		vrow[i].target = v->target;
		vrow[i].n_debts = v->n_debts;
		vrow[i].debts = dp[i];
		for (size_t d = 0; d < v->n_debts; d++)
			dp[i][d] = &v->debts[d];
		vp[t.n_volumes++] = &vrow[i];
	}
	for (size_t i = 0; i < n_owners; i++) {
		vol__owner__init(&orow[i]);
		orow[i].resource = owners[i].resource;
		orow[i].generation = owners[i].generation;
		orow[i].reserved_generation = owners[i].reserved;
		orow[i].node = owners[i].node;
		op[t.n_owners++] = &orow[i];
	}
	t.nodes = np;
	t.volumes = vp;
	t.owners = op;
	msg.msg_case = VOL__TO_CSVD__MSG_TABLES;
	msg.tables = &t;
	send_msg(c, &msg);
}

static void send_lease(struct client *c)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Lease lease = VOL__LEASE__INIT;

	lease.until_ms = lease_until;
	msg.msg_case = VOL__TO_CSVD__MSG_LEASE;
	msg.lease = &lease;
	send_msg(c, &msg);
}

static void answer_go(struct client *c, const Vol__Go *go)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__GoAnswer a = VOL__GO_ANSWER__INIT;
	struct vol_row *v = vol_by_uuid(&go->volume);

	a.id = go->id;
	a.yes = go_yes && v && v->coordinator == c->node && v->epoch == go->epoch;
	msg.msg_case = VOL__TO_CSVD__MSG_GO_ANSWER;
	msg.go_answer = &a;
	send_msg(c, &msg);
	say("go %u %" PRIu64 " %s", c->node, go->epoch, a.yes ? "yes" : "no");
}

static void on_ready(void *user, uint16_t version)
{
	struct client *c = user;

	(void)version;
	c->ready = true;
}

/* counters NODE direct READS WRITES block READS WRITES file READS WRITES */
static void say_counters(unsigned node, const Vol__Counters *counters)
{
	uint64_t n[3][2] = { 0 };

	for (size_t i = 0; counters && i < counters->n_io; i++) {
		const Vol__Io *io = counters->io[i];
		int path = io->path == VOL__PATH__PATH_DIRECT		  ? 0
			   : io->path == VOL__PATH__PATH_BLOCK_REDIRECTED ? 1
									  : 2;

		n[path][io->writes] = io->operations;
	}
	say("counters %u direct %" PRIu64 " %" PRIu64 " block %" PRIu64 " %" PRIu64 " file %" PRIu64
	    " %" PRIu64,
	    node, n[0][0], n[0][1], n[1][0], n[1][1], n[2][0], n[2][1]);
}

static void on_target(const ProtobufCBinaryData *packed)
{
	found = packed->len ? vol__target__unpack(NULL, packed->len, packed->data) : NULL;
	if (found)
		say("target %s", protobuf_c_enum_descriptor_get_value(
					 &vol__target__abort__descriptor, (int)found->abort)
					 ->name);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct client *c = user;
	Vol__FromCsvd *msg = vol__from_csvd__unpack(NULL, frame->len, frame->body);

	if (!msg)
		return;
	if (msg->msg_case == VOL__FROM_CSVD__MSG_HELLO) {
		say("hello %u", c->node);
		send_tables(c);
		send_lease(c);
	} else if (msg->msg_case == VOL__FROM_CSVD__MSG_GO) {
		answer_go(c, msg->go);
	} else if (msg->msg_case == VOL__FROM_CSVD__MSG_DONE && msg->done->ok) {
		if (msg->done->target.len)
			on_target(&msg->done->target);
		say("done %" PRIu64 " ok", msg->done->id);
	} else if (msg->msg_case == VOL__FROM_CSVD__MSG_DONE) {
		say("done %" PRIu64 " %u %s", msg->done->id, msg->done->code, msg->done->error);
	} else if (msg->msg_case == VOL__FROM_CSVD__MSG_JOB_ANSWER && msg->job_answer->report) {
		say_counters(c->node, msg->job_answer->report->counters);
	} else if (msg->msg_case == VOL__FROM_CSVD__MSG_STATUS) {
		const Vol__Status *s = msg->status;
		struct vol_row *v = vol_by_uuid(&s->volume);

		say("status %u %s %s %s %s", c->node, v ? v->name : "?",
		    protobuf_c_enum_descriptor_get_value(&vol__mode__descriptor, (int)s->mode)
			    ->name,
		    s->serving ? "serving" : "-", s->reason);
	}
	vol__from_csvd__free_unpacked(msg, NULL);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct client *c = user;

	say("closed %u %s", c->node, why->msg);
	frame_conn_free(c->conn);
	c->used = c->ready = false;
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static void on_accept(void *user, int fd, uint32_t revents)
{
	static const struct frame_hello hello = { VOLUME_PROTOCOL, VOLUME_VERSION, VOLUME_VERSION };
	struct client *c = user;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (s < 0)
		return;
	if (c->used)
		frame_conn_free(c->conn);
	c->used = true;
	c->ready = false;
	if (frame_conn_new(loop, s, &hello, 0, &conn_ops, c, &c->conn) < 0)
		c->used = false;
}

static void do_listen(unsigned node, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct cl_source *src;

	clients[node].node = node;
	(void)unlink(path);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (void *)&addr, sizeof(addr)) < 0 || listen(fd, 4) < 0 ||
	    cl_fd_new(loop, fd, POLLIN, on_accept, &clients[node], &src) < 0) {
		say("error listen %s: %s", path, strerror(errno));
		exit(1);
	}
}

static void send_order(unsigned node, Vol__Order *o)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;

	o->id = ++order_id;
	msg.msg_case = VOL__TO_CSVD__MSG_ORDER;
	msg.order = o;
	say("order %" PRIu64, o->id);
	send_msg(&clients[node & 255], &msg);
}

/* A name's uuid: the name itself. */
static void make_uuid(const char *name, uint8_t uuid[16])
{
	memset(uuid, 0x5a, 16);
	memcpy(uuid, name, strlen(name) < 16 ? strlen(name) : 16);
}

static void do_volume(const char *name, const char *url, unsigned node, uint64_t epoch)
{
	struct vol_row *v = vol_by_name(name);

	for (int i = 0; !v && i < MAX; i++)
		if (!volumes[i].used)
			v = &volumes[i];
	if (!v)
		return;
	v->used = true;
	if (found)
		v->target = found;
	(void)snprintf(v->name, sizeof(v->name), "%s", name);
	(void)snprintf(v->url, sizeof(v->url), "%s", url);
	make_uuid(name, v->uuid);
	v->coordinator = node;
	v->epoch = epoch;
}

static void do_debt(const char *name, unsigned node, uint64_t incarnation)
{
	struct vol_row *v = vol_by_name(name);

	if (!v || v->n_debts == MAX)
		return;
	vol__debt__init(&v->debts[v->n_debts]);
	v->debts[v->n_debts].node = node;
	v->debts[v->n_debts++].incarnation = incarnation;
}

static void do_owner(const char *resource, uint64_t generation, unsigned node, uint64_t reserved)
{
	size_t i;

	for (i = 0; i < n_owners && strcmp(owners[i].resource, resource); i++)
		;
	if (i == MAX)
		return;
	if (i == n_owners)
		n_owners++;
	(void)snprintf(owners[i].resource, sizeof(owners[i].resource), "%s", resource);
	owners[i].generation = generation;
	owners[i].reserved = reserved;
	owners[i].node = node;
}

static void do_lease(const char *arg)
{
	if (!strcmp(arg, "max"))
		lease_until = UINT64_MAX;
	else if (!strcmp(arg, "over"))
		lease_until = 0;
	else
		lease_until = (uint64_t)cl_mono_ms(cl_mono_now()) + strtoull(arg, NULL, 10);
	for (int i = 0; i < 256; i++)
		send_lease(&clients[i]);
}

static void do_order(char *const *w, int n)
{
	unsigned node = (unsigned)strtoul(w[1], NULL, 10);
	Vol__Order o = VOL__ORDER__INIT;
	Vol__PayDebts pay = VOL__PAY_DEBTS__INIT;
	Vol__FailRequests fail = VOL__FAIL_REQUESTS__INIT;
	Vol__CloseSessions close_ = VOL__CLOSE_SESSIONS__INIT;
	Vol__Format format = VOL__FORMAT__INIT;
	Vol__HandOver hand = VOL__HAND_OVER__INIT;
	Vol__Debt debt = VOL__DEBT__INIT, *dp = &debt;
	uint8_t uuid[16];

	make_uuid(w[2], uuid);
	if (!strcmp(w[0], "format") && n == 4) {
		format.name = w[2];
		format.url = w[3];
		format.uuid = (ProtobufCBinaryData){ 16, uuid };
		format.force = true;
		o.what_case = VOL__ORDER__WHAT_FORMAT;
		o.format = &format;
	} else if (!strcmp(w[0], "pay") && n == 5) {
		pay.volume = (ProtobufCBinaryData){ 16, uuid };
		debt.node = (uint32_t)strtoul(w[3], NULL, 10);
		debt.incarnation = strtoull(w[4], NULL, 10);
		pay.n_debts = 1;
		pay.debts = &dp;
		o.what_case = VOL__ORDER__WHAT_PAY;
		o.pay = &pay;
	} else if (!strcmp(w[0], "handover") && n == 4) {
		hand.volume = (ProtobufCBinaryData){ 16, uuid };
		hand.epoch = strtoull(w[3], NULL, 10);
		o.what_case = VOL__ORDER__WHAT_HAND_OVER;
		o.hand_over = &hand;
	} else if (!strcmp(w[0], "fail") && n == 4) {
		fail.resource = w[2];
		fail.generation = strtoull(w[3], NULL, 10);
		o.what_case = VOL__ORDER__WHAT_FAIL;
		o.fail = &fail;
	} else if (!strcmp(w[0], "close") && n == 3) {
		close_.incarnation = strtoull(w[2], NULL, 10);
		o.what_case = VOL__ORDER__WHAT_CLOSE;
		o.close = &close_;
	} else {
		say("error bad command %s", w[0]);
		return;
	}
	send_order(node, &o);
}

static void ask_report(unsigned node, const char *name)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Job job = VOL__JOB__INIT;
	uint8_t uuid[16];

	make_uuid(name, uuid);
	job.id = ++order_id;
	job.volume = (ProtobufCBinaryData){ 16, uuid };
	job.kind = VOL__JOB__KIND__REPORT;
	msg.msg_case = VOL__TO_CSVD__MSG_JOB;
	msg.job = &job;
	send_msg(&clients[node & 255], &msg);
}

static uint64_t num(const char *s)
{
	return strtoull(s, NULL, 10);
}

static void do_node(char *const *w)
{
	struct node_row *r = &nodes[num(w[1]) & 255];

	r->used = true;
	(void)snprintf(r->name, sizeof(r->name), "%s", w[2]);
	r->incarnation = num(w[3]);
	(void)snprintf(r->address, sizeof(r->address), "%s", w[4]);
	r->living = !strcmp(w[5], "up");
}

static void command(char *line)
{
	char *w[8] = { NULL };
	int n = 0;

	for (char *p = strtok(line, " \n"); p && n < 8; p = strtok(NULL, " \n"))
		w[n++] = p;
	if (!n)
		return;
	if (!strcmp(w[0], "listen") && n == 3)
		do_listen((unsigned)num(w[1]) & 255, w[2]);
	else if (!strcmp(w[0], "node") && n == 6)
		do_node(w);
	else if (!strcmp(w[0], "volume") && n == 5)
		do_volume(w[1], w[2], (unsigned)num(w[3]), num(w[4]));
	else if (!strcmp(w[0], "debt") && n == 4)
		do_debt(w[1], (unsigned)num(w[2]), num(w[3]));
	else if (!strcmp(w[0], "nodebts") && n == 2 && vol_by_name(w[1]))
		vol_by_name(w[1])->n_debts = 0;
	else if (!strcmp(w[0], "redirect") && n == 3 && vol_by_name(w[1]))
		vol_by_name(w[1])->redirected = !strcmp(w[2], "on");
	else if (!strcmp(w[0], "maintenance") && n == 3 && vol_by_name(w[1]))
		vol_by_name(w[1])->maintenance = !strcmp(w[2], "on");
	else if (!strcmp(w[0], "prtype") && n == 3 && vol_by_name(w[1]) && vol_by_name(w[1])->target)
		vol_by_name(w[1])->target->pr_type = (uint32_t)num(w[2]);
	else if (!strcmp(w[0], "remove") && n == 2 && vol_by_name(w[1]))
		vol_by_name(w[1])->used = false;
	else if (!strcmp(w[0], "owner") && n >= 4)
		do_owner(w[1], num(w[2]), (unsigned)num(w[3]), n > 4 ? num(w[4]) : 0);
	else if (!strcmp(w[0], "counters") && n == 3)
		ask_report((unsigned)num(w[1]), w[2]);
	else if (!strcmp(w[0], "lease") && n == 2)
		do_lease(w[1]);
	else if (!strcmp(w[0], "go") && n == 2)
		go_yes = !strcmp(w[1], "yes");
	else if (!strcmp(w[0], "quit"))
		exit(0);
	else if (!strcmp(w[0], "commit")) {
		table_index++;
		for (int i = 0; i < 256; i++)
			send_tables(&clients[i]);
	} else if (n >= 3) {
		do_order(w, n);
	} else {
		say("error bad command %s", w[0]);
	}
}

static void on_input(void *user, int fd, uint32_t revents)
{
	static char buf[65536];
	static size_t used;
	ssize_t n = read(fd, buf + used, sizeof(buf) - used - 1);
	char *nl;

	(void)user;
	(void)revents;
	if (n <= 0)
		exit(0); /* whoever drives us is gone */
	used += (size_t)n;
	buf[used] = 0;
	while ((nl = strchr(buf, '\n'))) {
		*nl = 0;
		command(buf);
		used -= (size_t)(nl + 1 - buf);
		memmove(buf, nl + 1, used + 1);
	}
}

int main(void)
{
	struct cl_source *in;

	if (cl_loop_new(&loop) < 0 || cl_fd_new(loop, 0, POLLIN, on_input, NULL, &in) < 0)
		return 1;
	cl_loop_run(loop);
	return 0;
}
