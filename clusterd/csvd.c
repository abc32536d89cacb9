/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/csvd_int.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/certs.h"
#include "clusterd/csvd_tables.h"
#include "lib/log.h"
#include "proto/volume.h"

/* ---- sending --------------------------------------------------------------------------------------- */

void csvd_send(struct csvd *csvd, const Vol__ToCsvd *msg)
{
	size_t len = vol__to_csvd__get_packed_size(msg);
	_cleanup_free_ uint8_t *buf = malloc(len + 1);

	if (!csvd->hello || !buf)
		return;
	if (len > FRAME_BODY_MAX) {
		log_error("a message to csvd of %zu bytes is too long", len);
		return;
	}
	(void)vol__to_csvd__pack(msg, buf);
	(void)frame_conn_send(csvd->conn, VOLUME_TO_CSVD, buf, len);
}

void csvd_credentials(struct csvd *csvd)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Credentials c = VOL__CREDENTIALS__INIT;

	if (!certs_tls(csvd->d->certs))
		return;
	c.ca = (char *)certs_ca(csvd->d->certs);
	c.chain = (char *)certs_chain(csvd->d->certs);
	c.key = (char *)certs_key(csvd->d->certs);
	msg.msg_case = VOL__TO_CSVD__MSG_CREDENTIALS;
	msg.credentials = &c;
	csvd_send(csvd, &msg);
}

void csvd_tables(struct csvd *csvd)
{
	struct csvd_tables tables;

	if (!csvd->hello)
		return;
	if (csvd_tables_make(node_state(csvd->d->node), csvd->d->id, &tables) == 0 &&
	    csvd_told_lacks(&csvd->told, &tables))
		csvd_send(csvd, &tables.msg);
	csvd_tables_fini(&tables);
	/* Not from here: this may be an action of the core. */
	(void)cl_timer_set_in(csvd->give, 0);
}

static void send_lease(struct csvd *csvd)
{
	const struct csvd_lease *said = &csvd->lease;
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Lease lease = VOL__LEASE__INIT;

	lease.until_ms = said->until_ms == INT64_MAX ? UINT64_MAX : (uint64_t)said->until_ms;
	lease.beat_ms = (uint64_t)said->beat_ms;
	lease.watched = said->watched;
	msg.msg_case = VOL__TO_CSVD__MSG_LEASE;
	msg.lease = &lease;
	csvd_send(csvd, &msg);
}

void csvd_lease(struct csvd *csvd, const struct csvd_lease *said)
{
	csvd->lease = *said;
	send_lease(csvd);
}

static void send_go(struct csvd *csvd, uint64_t id, bool yes)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__GoAnswer answer = VOL__GO_ANSWER__INIT;

	answer.id = id;
	answer.yes = yes;
	msg.msg_case = VOL__TO_CSVD__MSG_GO_ANSWER;
	msg.go_answer = &answer;
	csvd_send(csvd, &msg);
}

void csvd_no_memory(struct csvd *csvd)
{
	log_crit("out of memory");
	daemon_stop(csvd->d, 1); /* an order that is not given would be waited for for ever */
}

/* A volume that is gone has no csvd that could say so: its uuid is left empty. */
void csvd_job(struct csvd *csvd, const struct node_action *a)
{
	const struct state_volume *v =
		csvd->d->node ? state_volume(node_state(csvd->d->node), a->csvd_job.volume) : NULL;
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Job job = VOL__JOB__INIT;

	job.id = a->csvd_job.id;
	if (v)
		job.volume = (ProtobufCBinaryData){ 16, (uint8_t *)v->uuid };
	job.kind = (Vol__Job__Kind)a->csvd_job.kind;
	job.change = a->csvd_job.change;
	msg.msg_case = VOL__TO_CSVD__MSG_JOB;
	msg.job = &job;
	csvd_send(csvd, &msg);
}

/* ---- questions and status of csvd ---------------------------------------------------------------------- */

void csvd_report(struct csvd *csvd, const struct node_csvd_event *what)
{
	struct node_event event = { .type = NODE_EV_CSVD, .csvd = *what };

	if (!event.csvd.text)
		event.csvd.text = "";
	if (!event.csvd.volume)
		event.csvd.volume = "";
	daemon_step(csvd->d, &event);
}

static const struct state_volume *volume_by_uuid(struct csvd *csvd, ProtobufCBinaryData uuid)
{
	const struct state *state = node_state(csvd->d->node);

	for (size_t i = 0; uuid.len == 16 && i < state->volumes.n; i++)
		if (memcmp(state->volumes.v[i].uuid, uuid.data, 16) == 0)
			return &state->volumes.v[i];
	return NULL;
}

static void on_go(struct csvd *csvd, const Vol__Go *go)
{
	const struct state_volume *v = volume_by_uuid(csvd, go->volume);
	struct node_csvd_event what = { .report = NODE_CSVD_ASK_GO, .epoch = go->epoch };
	struct question *q = v ? calloc(1, sizeof(*q)) : NULL;
	char volume[STATE_NAME_MAX];

	if (!q) {
		send_go(csvd, go->id, false);
		return;
	}
	q->id = go->id;
	q->epoch = go->epoch;
	(void)strcpy(q->volume, v->name);
	LIST_INSERT_HEAD(&csvd->questions, q, link);
	(void)strcpy(volume, v->name); /* the core may change what v points to */
	what.volume = volume;
	csvd_report(csvd, &what);
}

void csvd_go(struct csvd *csvd, const struct node_action *a)
{
	struct question *q, *next;

	for (q = LIST_FIRST(&csvd->questions); q; q = next) {
		next = LIST_NEXT(q, link);
		if (q->epoch != a->csvd.epoch || strcmp(q->volume, a->csvd.volume) != 0)
			continue;
		send_go(csvd, q->id, a->csvd.code == 0);
		LIST_REMOVE(q, link);
		free(q);
	}
}

static enum state_volume_mode mode_of(Vol__Mode mode)
{
	switch (mode) {
	case VOL__MODE__DIRECT:
		return STATE_MODE_DIRECT;
	case VOL__MODE__BLOCK_REDIRECTED:
		return STATE_MODE_BLOCK_REDIRECTED;
	case VOL__MODE__FILE_SYSTEM_REDIRECTED:
		return STATE_MODE_FS_REDIRECTED;
	case VOL__MODE__PAUSED:
		return STATE_MODE_PAUSED;
	default:
		return STATE_MODE_UNAVAILABLE;
	}
}

static void give_statuses(void *user)
{
	struct csvd *csvd = user;
	struct status *st;

	LIST_FOREACH(st, &csvd->statuses, link)
	{
		const struct state_volume *v =
			volume_by_uuid(csvd, (ProtobufCBinaryData){ 16, st->volume });
		struct node_csvd_event what = st->what;
		char volume[STATE_NAME_MAX];

		if (st->given || !v)
			continue;
		st->given = true;
		(void)strcpy(volume, v->name);
		what.volume = volume;
		what.text = st->text;
		csvd_report(csvd, &what);
	}
}

/* Of volumes that are no more. */
static void statuses_forget(struct csvd *csvd)
{
	struct status *st = LIST_FIRST(&csvd->statuses), *next;

	for (; st; st = next) {
		next = LIST_NEXT(st, link);
		if (volume_by_uuid(csvd, (ProtobufCBinaryData){ 16, st->volume }))
			continue;
		LIST_REMOVE(st, link);
		free(st);
		csvd->n_statuses--;
	}
}

static struct status *status_of(struct csvd *csvd, const uint8_t volume[16])
{
	struct status *st;

	LIST_FOREACH(st, &csvd->statuses, link)
	if (memcmp(st->volume, volume, 16) == 0)
		return st;
	if (csvd->n_statuses >= STATE_VOLUMES_MAX)
		statuses_forget(csvd);
	st = csvd->n_statuses < STATE_VOLUMES_MAX ? calloc(1, sizeof(*st)) : NULL;
	if (!st)
		return NULL;
	csvd->n_statuses++;
	memcpy(st->volume, volume, 16);
	LIST_INSERT_HEAD(&csvd->statuses, st, link);
	return st;
}

static void on_status(struct csvd *csvd, const Vol__Status *status)
{
	struct status *st = status->volume.len == 16 ? status_of(csvd, status->volume.data) : NULL;

	if (!st)
		return;
	st->given = false;
	st->what = (struct node_csvd_event){
		.report = NODE_CSVD_STATUS,
		.epoch = status->epoch,
		.mode = mode_of(status->mode),
		.has_path = status->has_path,
		.refused = status->refused,
		.serving = status->serving,
		.size_bytes = status->size_bytes,
		.free_bytes = status->free_bytes,
	};
	(void)snprintf(st->text, sizeof(st->text), "%s", status->reason);
	give_statuses(csvd);
}

static void on_job_answer(struct csvd *csvd, const Vol__JobAnswer *answer)
{
	size_t len = vol__job_answer__get_packed_size(answer);
	_cleanup_free_ uint8_t *data = malloc(len + 1);
	struct node_csvd_event what = {
		.report = NODE_CSVD_JOB,
		.job = answer->id,
		.job_done = answer->done,
		.data = data,
		.len = len,
	};

	if (!data) {
		csvd_no_memory(csvd);
		return;
	}
	(void)vol__job_answer__pack(answer, data);
	csvd_report(csvd, &what);
}

static void on_heartbeat(struct csvd *csvd, const Vol__Heartbeat *heartbeat)
{
	struct node_csvd_event what = {
		.report = heartbeat->conflict ? NODE_CSVD_CONFLICT : NODE_CSVD_WATCH,
		.incarnation = heartbeat->incarnation,
	};

	csvd_report(csvd, &what);
}

/* A new csvd, or the same one again: first the tables, then what it has not answered. */
static void on_hello(struct csvd *csvd, const Vol__Hello *hello)
{
	struct node_csvd_event what = { .report = NODE_CSVD_UP, .instance = hello->instance };

	log_notice("csvd %s connected, pid %u", hello->version, hello->pid);
	csvd->hello = true;
	csvd_told_hello(&csvd->told, hello->takes_from);
	csvd_credentials(csvd); /* first: with the tables it begins to connect */
	csvd_tables(csvd);
	send_lease(csvd);
	csvd_orders_again(csvd);
	csvd_report(csvd, &what);
	vms_handles_lost(csvd->d->vms, hello->lost_before_ms,
			 hello->can_resend ? "csv-keeper ended"
					   : "csvd ended (Linux 6.9 would keep them)");
}

/* ---- connection ------------------------------------------------------------------------------------------ */

static void on_frame(void *user, const struct frame *frame)
{
	struct csvd *csvd = user;
	Vol__FromCsvd *msg = NULL;

	if (frame->type == VOLUME_FROM_CSVD)
		msg = vol__from_csvd__unpack(NULL, frame->len, frame->body);
	if (!msg) {
		log_warning("csvd sent something that cannot be read");
		return;
	}
	if (msg->msg_case == VOL__FROM_CSVD__MSG_HELLO)
		on_hello(csvd, msg->hello);
	else if (!csvd->hello)
		log_warning("csvd did not say hello first");
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_GO)
		on_go(csvd, msg->go);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_DONE)
		csvd_on_done(csvd, msg->done);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_STATUS)
		on_status(csvd, msg->status);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_JOB_ANSWER)
		on_job_answer(csvd, msg->job_answer);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_HEARTBEAT)
		on_heartbeat(csvd, msg->heartbeat);
	vol__from_csvd__free_unpacked(msg, NULL);
}

/* All that was said by, and to be answered to, a csvd that is gone. */
static void forget(struct csvd *csvd)
{
	while (!LIST_EMPTY(&csvd->statuses)) {
		struct status *st = LIST_FIRST(&csvd->statuses);

		LIST_REMOVE(st, link);
		free(st);
		csvd->n_statuses--;
	}
	while (!LIST_EMPTY(&csvd->questions)) {
		struct question *q = LIST_FIRST(&csvd->questions);

		LIST_REMOVE(q, link);
		free(q);
	}
}

static void drop(struct csvd *csvd)
{
	bool was = csvd->hello;
	struct node_csvd_event what = { .report = NODE_CSVD_DOWN };

	frame_conn_free(csvd->conn);
	csvd->conn = NULL;
	csvd->hello = false;
	csvd_told_fini(&csvd->told);
	forget(csvd);
	if (was)
		csvd_report(csvd, &what);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct csvd *csvd = user;

	log_warning("connection to csvd ended: %s", why->msg);
	drop(csvd);
}

static const struct frame_conn_ops conn_ops = { NULL, on_frame, on_closed };

static void on_accept(void *user, int fd, uint32_t revents)
{
	static const struct frame_hello hello = { VOLUME_PROTOCOL, VOLUME_VERSION, VOLUME_VERSION };
	struct csvd *csvd = user;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)revents;
	if (peer < 0)
		return;
	if (csvd->conn) {
		/* The keeper restarts a csvd only after the old one's end. */
		log_warning("another csvd connects: the first one is dropped");
		drop(csvd);
	}
	if (frame_conn_new(csvd->d->loop, peer, &hello, 0, &conn_ops, csvd, &csvd->conn) < 0)
		csvd->conn = NULL;
}

static int listen_on(struct csvd *csvd, struct cl_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)strcpy(addr.sun_path, csvd->path);
	(void)unlink(csvd->path);
	csvd->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (csvd->listen_fd < 0 ||
	    bind(csvd->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(csvd->path, 0600) < 0 || listen(csvd->listen_fd, 4) < 0)
		return cl_error_errno(err, -errno, "%s", csvd->path);
	return 0;
}

int csvd_new(struct daemon *d, struct csvd **ret, struct cl_error *err)
{
	struct csvd *csvd = calloc(1, sizeof(*csvd));
	int r;

	if (!csvd)
		return cl_error_set(err, -ENOMEM, "out of memory");
	csvd->d = d;
	csvd->listen_fd = -1;
	TAILQ_INIT(&csvd->orders);
	LIST_INIT(&csvd->questions);
	LIST_INIT(&csvd->statuses);
	(void)snprintf(csvd->path, sizeof(csvd->path), "%s/%s", d->conf.run_directory,
		       VOLUME_SOCKET);
	r = cl_timer_new(d->loop, give_statuses, csvd, &csvd->give);
	if (r == 0)
		r = listen_on(csvd, err);
	if (r < 0) {
		csvd_free(csvd);
		return r;
	}
	*ret = csvd;
	return 0;
}

/* Connections wait in the kernel until the core may be given events. */
void csvd_begin(struct csvd *csvd)
{
	if (cl_fd_new(csvd->d->loop, csvd->listen_fd, POLLIN, on_accept, csvd, &csvd->listen_src) <
	    0)
		csvd_no_memory(csvd);
}

bool csvd_connected(const struct csvd *csvd)
{
	return csvd->hello;
}

void csvd_free(struct csvd *csvd)
{
	if (!csvd)
		return;
	csvd_orders_fini(csvd);
	csvd_told_fini(&csvd->told);
	forget(csvd);
	frame_conn_free(csvd->conn);
	cl_source_free(csvd->listen_src);
	cl_source_free(csvd->give);
	if (csvd->listen_fd >= 0)
		(void)close(csvd->listen_fd);
	free(csvd);
}
