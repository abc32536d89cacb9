/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/csvd.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clusterd/certs.h"
#include "clusterd/csvd_tables.h"
#include "clusterd/daemon.h"
#include "lib/log.h"
#include "proto/conn.h"
#include "proto/volume.h"
#include "proto/volume.pb-c.h"

#define PAY_AGAIN_MS 2000
/* How long `create volume` waits for a csvd that is not there: it may be starting. */
#define FORMAT_WAIT_MS 15000

enum order_kind { ORDER_PAY, ORDER_FAIL, ORDER_CLOSE, ORDER_FORMAT, ORDER_HAND_OVER };

/* What csvd has not answered yet. The message is kept as bytes, to be given again as it was. */
struct order {
	TAILQ_ENTRY(order) link;
	struct csvd *csvd;
	enum order_kind kind;
	uint64_t id;
	char name[STATE_NAME_MAX]; /* volume or resource */
	uint64_t number;	   /* epoch, generation or incarnation, as the kind has it */
	uint32_t node;		   /* PAY */
	uint64_t incarnation;	   /* PAY */
	uint64_t client;	   /* FORMAT */
	struct cl_source *timer;   /* PAY: the pause before another try; FORMAT: no csvd came */
	bool answered;		   /* PAY: pausing */
	uint8_t *msg;
	size_t len;
};

/* A question of csvd that the core has not answered yet. */
struct question {
	LIST_ENTRY(question) link;
	uint64_t id, epoch;
	char volume[STATE_NAME_MAX];
};

/* What csvd said last of a volume. A clusterd that has just begun may not know the volume yet: it is
 * told to the core once the log has brought it. */
struct status {
	LIST_ENTRY(status) link;
	uint8_t volume[16];
	bool given;
	struct node_csvd_event what; /* without volume and text */
	char text[STATE_REASON_MAX];
};

struct csvd {
	struct daemon *d;
	char path[108];
	int listen_fd;
	struct cl_source *listen_src;
	struct frame_conn *conn;
	bool hello; /* the connected csvd has said who it is */
	int64_t lease_until_ms;
	uint64_t next_id;
	TAILQ_HEAD(, order) orders;
	LIST_HEAD(, question) questions;
	LIST_HEAD(, status) statuses;
	unsigned n_statuses;
	struct cl_source *give; /* statuses that wait */
};

/* ---- sending --------------------------------------------------------------------------------------- */

static void send_msg(struct csvd *csvd, const Vol__ToCsvd *msg)
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
	send_msg(csvd, &msg);
}

void csvd_tables(struct csvd *csvd)
{
	struct csvd_tables tables;

	if (!csvd->hello)
		return;
	if (csvd_tables_make(node_state(csvd->d->node), csvd->d->id, &tables) == 0)
		send_msg(csvd, &tables.msg);
	csvd_tables_fini(&tables);
	/* Not from here: this may be an action of the core. */
	(void)cl_timer_set_in(csvd->give, 0);
}

void csvd_lease(struct csvd *csvd, int64_t until_ms)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Lease lease = VOL__LEASE__INIT;

	csvd->lease_until_ms = until_ms;
	lease.until_ms = until_ms == INT64_MAX ? UINT64_MAX : (uint64_t)until_ms;
	msg.msg_case = VOL__TO_CSVD__MSG_LEASE;
	msg.lease = &lease;
	send_msg(csvd, &msg);
}

static void send_go(struct csvd *csvd, uint64_t id, bool yes)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__GoAnswer answer = VOL__GO_ANSWER__INIT;

	answer.id = id;
	answer.yes = yes;
	msg.msg_case = VOL__TO_CSVD__MSG_GO_ANSWER;
	msg.go_answer = &answer;
	send_msg(csvd, &msg);
}

/* ---- orders ---------------------------------------------------------------------------------------- */

static void order_free(struct order *o)
{
	TAILQ_REMOVE(&o->csvd->orders, o, link);
	cl_source_free(o->timer);
	free(o->msg);
	free(o);
}

static void order_send(struct order *o)
{
	if (o->csvd->hello)
		(void)frame_conn_send(o->csvd->conn, VOLUME_TO_CSVD, o->msg, o->len);
}

static struct order *order_new(struct csvd *csvd, enum order_kind kind, const char *name,
			       uint64_t number)
{
	struct order *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->csvd = csvd;
	o->kind = kind;
	o->id = ++csvd->next_id;
	o->number = number;
	(void)snprintf(o->name, sizeof(o->name), "%s", name);
	TAILQ_INSERT_TAIL(&csvd->orders, o, link);
	return o;
}

/* order is filled in but for its id; sent now, or when a csvd comes. */
static int order_begin(struct order *o, Vol__Order *order)
{
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;

	order->id = o->id;
	msg.msg_case = VOL__TO_CSVD__MSG_ORDER;
	msg.order = order;
	o->len = vol__to_csvd__get_packed_size(&msg);
	o->msg = malloc(o->len + 1);
	if (!o->msg) {
		order_free(o);
		return -ENOMEM;
	}
	(void)vol__to_csvd__pack(&msg, o->msg);
	order_send(o);
	return 0;
}

static struct order *order_find(struct csvd *csvd, enum order_kind kind, const char *name,
				uint64_t number)
{
	struct order *o;

	TAILQ_FOREACH(o, &csvd->orders, link)
	if (o->kind == kind && o->number == number && strcmp(o->name, name) == 0)
		return o;
	return NULL;
}

static void no_memory(struct csvd *csvd)
{
	log_crit("out of memory");
	daemon_stop(csvd->d, 1); /* an order that is not given would be waited for for ever */
}

static const struct state_volume *volume_of(struct csvd *csvd, const char *name)
{
	return csvd->d->node ? state_volume(node_state(csvd->d->node), name) : NULL;
}

static void pay_begin(struct csvd *csvd, const char *volume, uint64_t epoch, uint32_t node,
		      uint64_t incarnation)
{
	const struct state_volume *v = volume_of(csvd, volume);
	Vol__Order order = VOL__ORDER__INIT;
	Vol__PayDebts pay = VOL__PAY_DEBTS__INIT;
	Vol__Debt debt = VOL__DEBT__INIT, *debts = &debt;
	struct order *o = v ? order_new(csvd, ORDER_PAY, volume, epoch) : NULL;

	if (!v)
		return; /* deleted meanwhile */
	if (!o) {
		no_memory(csvd);
		return;
	}
	o->node = node;
	o->incarnation = incarnation;
	debt.node = node;
	debt.incarnation = incarnation;
	pay.volume = (ProtobufCBinaryData){ 16, (uint8_t *)v->uuid };
	pay.debts = &debts;
	pay.n_debts = 1;
	order.what_case = VOL__ORDER__WHAT_PAY;
	order.pay = &pay;
	if (order_begin(o, &order) < 0)
		no_memory(csvd);
}

void csvd_pay(struct csvd *csvd, const struct node_action *a)
{
	struct order *o;

	TAILQ_FOREACH(o, &csvd->orders, link)
	if (o->kind == ORDER_PAY && o->number == a->csvd.epoch && o->node == a->csvd.node &&
	    o->incarnation == a->csvd.incarnation && strcmp(o->name, a->csvd.volume) == 0)
		return; /* under way */
	pay_begin(csvd, a->csvd.volume, a->csvd.epoch, a->csvd.node, a->csvd.incarnation);
}

void csvd_release(struct csvd *csvd, const struct node_action *a)
{
	const struct state_volume *v = volume_of(csvd, a->csvd.volume);
	Vol__Order order = VOL__ORDER__INIT;
	Vol__HandOver hand_over = VOL__HAND_OVER__INIT;
	struct order *o;

	if (!v || order_find(csvd, ORDER_HAND_OVER, a->csvd.volume, a->csvd.epoch))
		return;
	o = order_new(csvd, ORDER_HAND_OVER, a->csvd.volume, a->csvd.epoch);
	hand_over.volume = (ProtobufCBinaryData){ 16, (uint8_t *)v->uuid };
	hand_over.epoch = a->csvd.epoch;
	order.what_case = VOL__ORDER__WHAT_HAND_OVER;
	order.hand_over = &hand_over;
	if (!o || order_begin(o, &order) < 0)
		no_memory(csvd);
}

void csvd_fail_requests(struct csvd *csvd, const char *resource, uint64_t generation)
{
	Vol__Order order = VOL__ORDER__INIT;
	Vol__FailRequests fail = VOL__FAIL_REQUESTS__INIT;
	struct order *o;

	o = order_find(csvd, ORDER_FAIL, resource, generation);
	if (o) {
		order_send(o); /* what was asked since it was given waits, too */
		return;
	}
	o = order_new(csvd, ORDER_FAIL, resource, generation);
	fail.resource = (char *)resource;
	fail.generation = generation;
	order.what_case = VOL__ORDER__WHAT_FAIL;
	order.fail = &fail;
	if (!o || order_begin(o, &order) < 0)
		no_memory(csvd);
}

void csvd_close_sessions(struct csvd *csvd, uint64_t incarnation)
{
	Vol__Order order = VOL__ORDER__INIT;
	Vol__CloseSessions close_sessions = VOL__CLOSE_SESSIONS__INIT;
	struct order *o;

	if (order_find(csvd, ORDER_CLOSE, "", incarnation))
		return;
	o = order_new(csvd, ORDER_CLOSE, "", incarnation);
	close_sessions.incarnation = incarnation;
	order.what_case = VOL__ORDER__WHAT_CLOSE;
	order.close = &close_sessions;
	if (!o || order_begin(o, &order) < 0)
		no_memory(csvd);
}

/* A volume that is gone has no csvd that could say so: its uuid is left empty. */
void csvd_job(struct csvd *csvd, const struct node_action *a)
{
	const struct state_volume *v = volume_of(csvd, a->csvd_job.volume);
	Vol__ToCsvd msg = VOL__TO_CSVD__INIT;
	Vol__Job job = VOL__JOB__INIT;

	job.id = a->csvd_job.id;
	if (v)
		job.volume = (ProtobufCBinaryData){ 16, (uint8_t *)v->uuid };
	job.kind = (Vol__Job__Kind)a->csvd_job.kind;
	job.change = a->csvd_job.change;
	msg.msg_case = VOL__TO_CSVD__MSG_JOB;
	msg.job = &job;
	send_msg(csvd, &msg);
}

static void on_format_late(void *user)
{
	struct order *o = user;
	struct requests *requests = o->csvd->d->requests;
	struct cl_error err = CL_ERROR_INIT;
	uint64_t client = o->client;

	if (o->csvd->hello)
		return; /* it has the order, and may take its time */
	(void)cl_error_set(&err, -CL_EREFUSED, "csvd is not running on this node");
	(void)cl_error_hint(&err, "is the service running? `systemctl status csvd`");
	order_free(o);
	requests_formatted(requests, client, NULL, 0, &err);
}

int csvd_format(struct csvd *csvd, uint64_t client, const char *name, const uint8_t uuid[16],
		const char *url, bool force, bool unsafe, struct cl_error *err)
{
	Vol__Order order = VOL__ORDER__INIT;
	Vol__Format format = VOL__FORMAT__INIT;
	struct order *o;

	o = order_new(csvd, ORDER_FORMAT, name, client);
	if (!o || cl_timer_new(csvd->d->loop, on_format_late, o, &o->timer) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	(void)cl_timer_set_in(o->timer, FORMAT_WAIT_MS);
	o->client = client;
	format.name = (char *)name;
	format.uuid = (ProtobufCBinaryData){ 16, (uint8_t *)uuid };
	format.url = (char *)url;
	format.force = force;
	format.unsafe = unsafe;
	order.what_case = VOL__ORDER__WHAT_FORMAT;
	order.format = &format;
	return order_begin(o, &order) < 0 ? cl_error_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- answers of csvd --------------------------------------------------------------------------------- */

static void report(struct csvd *csvd, const struct node_csvd_event *what)
{
	struct node_event event = { .type = NODE_EV_CSVD, .csvd = *what };

	if (!event.csvd.text)
		event.csvd.text = "";
	if (!event.csvd.volume)
		event.csvd.volume = "";
	daemon_step(csvd->d, &event);
}

static bool debt_stands(const struct order *o)
{
	const struct state *state = node_state(o->csvd->d->node);
	const struct state_volume *v = state_volume(state, o->name);

	if (!v || v->epoch != o->number)
		return false;
	for (size_t i = 0; i < state->debts.n; i++) {
		const struct state_debt *debt = &state->debts.v[i];

		if (strcmp(debt->volume, o->name) == 0 && debt->node == o->node &&
		    debt->incarnation <= o->incarnation)
			return true;
	}
	return false;
}

/* One `done` ends an order; a debt that stands is a new one. */
static void on_pay_again(void *user)
{
	struct order *o = user;

	if (debt_stands(o))
		pay_begin(o->csvd, o->name, o->number, o->node, o->incarnation);
	order_free(o);
}

static void pay_done(struct order *o, const Vol__Done *done)
{
	struct csvd *csvd = o->csvd;
	struct node_csvd_event what = {
		.report = done->ok ? NODE_CSVD_PAID : NODE_CSVD_PAY_FAILED,
		.epoch = o->number,
		.node = o->node,
		.incarnation = o->incarnation,
		.text = done->error,
	};
	char volume[STATE_NAME_MAX];

	(void)strcpy(volume, o->name);
	what.volume = volume;
	o->answered = true;
	if (done->ok)
		order_free(o);
	else if (cl_timer_new(csvd->d->loop, on_pay_again, o, &o->timer) < 0)
		no_memory(csvd);
	else
		(void)cl_timer_set_in(o->timer, PAY_AGAIN_MS);
	report(csvd, &what);
}

static void hand_over_done(struct order *o, const Vol__Done *done)
{
	struct csvd *csvd = o->csvd;
	struct node_csvd_event what = { .report = NODE_CSVD_RELEASED, .epoch = o->number };
	char volume[STATE_NAME_MAX];

	(void)strcpy(volume, o->name);
	what.volume = volume;
	order_free(o);
	if (done->ok)
		report(csvd, &what);
	else
		log_warning("volume %s: csvd does not hand it over: %s", volume, done->error);
}

static int format_code(uint32_t code)
{
	if (code == EEXIST || code == EBUSY || code == CL_EREFUSED)
		return -CL_EREFUSED;
	return code == EINVAL ? -EINVAL : -EIO;
}

static void format_done(struct order *o, const Vol__Done *done)
{
	struct requests *requests = o->csvd->d->requests;
	struct cl_error err = CL_ERROR_INIT;
	uint64_t client = o->client;

	if (!done->ok) {
		(void)cl_error_set(&err, format_code(done->code), "volume '%s': %s", o->name,
				   *done->error ? done->error : "it could not be formatted");
		if (done->code == EEXIST)
			(void)cl_error_hint(&err, "--force writes over what is there");
	}
	order_free(o);
	requests_formatted(requests, client, done->target.data, done->target.len, &err);
}

static void fail_done(struct order *o, const Vol__Done *done)
{
	struct vms *vms = o->csvd->d->vms;
	uint64_t generation = o->number;
	char name[STATE_NAME_MAX];

	(void)strcpy(name, o->name);
	if (!done->ok)
		log_error("csvd could not end the requests of %s: %s", name, done->error);
	order_free(o);
	if (done->ok)
		vms_requests_failed(vms, name, generation);
}

static void close_done(struct order *o, const Vol__Done *done)
{
	struct vms *vms = o->csvd->d->vms;
	uint64_t incarnation = o->number;

	if (!done->ok)
		log_error("csvd could not close its sessions: %s", done->error);
	order_free(o);
	if (done->ok)
		vms_sessions_closed(vms, incarnation);
}

static void on_done(struct csvd *csvd, const Vol__Done *done)
{
	struct order *o;

	TAILQ_FOREACH(o, &csvd->orders, link)
	if (o->id == done->id && !o->answered)
		break;
	if (!o)
		return;
	switch (o->kind) {
	case ORDER_PAY:
		pay_done(o, done);
		break;
	case ORDER_FAIL:
		fail_done(o, done);
		break;
	case ORDER_CLOSE:
		close_done(o, done);
		break;
	case ORDER_FORMAT:
		format_done(o, done);
		break;
	case ORDER_HAND_OVER:
		hand_over_done(o, done);
		break;
	}
}

/* ---- questions and status of csvd ---------------------------------------------------------------------- */

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
	report(csvd, &what);
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
		report(csvd, &what);
	}
}

static struct status *status_of(struct csvd *csvd, const uint8_t volume[16])
{
	struct status *st;

	LIST_FOREACH(st, &csvd->statuses, link)
	if (memcmp(st->volume, volume, 16) == 0)
		return st;
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
		no_memory(csvd);
		return;
	}
	(void)vol__job_answer__pack(answer, data);
	report(csvd, &what);
}

/* A new csvd, or the same one again: first the tables, then what it has not answered. */
static void on_hello(struct csvd *csvd, const Vol__Hello *hello)
{
	struct node_csvd_event what = { .report = NODE_CSVD_UP, .instance = hello->instance };
	struct order *o;

	log_notice("csvd %s connected, pid %u", hello->version, hello->pid);
	csvd->hello = true;
	csvd_credentials(csvd); /* first: with the tables it begins to connect */
	csvd_tables(csvd);
	csvd_lease(csvd, csvd->lease_until_ms);
	TAILQ_FOREACH(o, &csvd->orders, link)
	if (!o->answered)
		order_send(o);
	report(csvd, &what);
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
		on_done(csvd, msg->done);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_STATUS)
		on_status(csvd, msg->status);
	else if (msg->msg_case == VOL__FROM_CSVD__MSG_JOB_ANSWER)
		on_job_answer(csvd, msg->job_answer);
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
	forget(csvd);
	if (was)
		report(csvd, &what);
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
		no_memory(csvd);
}

bool csvd_connected(const struct csvd *csvd)
{
	return csvd->hello;
}

void csvd_free(struct csvd *csvd)
{
	if (!csvd)
		return;
	while (!TAILQ_EMPTY(&csvd->orders))
		order_free(TAILQ_FIRST(&csvd->orders));
	forget(csvd);
	frame_conn_free(csvd->conn);
	cl_source_free(csvd->listen_src);
	cl_source_free(csvd->give);
	if (csvd->listen_fd >= 0)
		(void)close(csvd->listen_fd);
	free(csvd);
}
