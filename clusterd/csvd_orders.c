/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What csvd was told to do and has not answered: kept, and given again to the next csvd. */
#include "config.h"

#include "clusterd/csvd_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "proto/volume.h"

#define PAY_AGAIN_MS 2000
/* How long `create volume` waits for a csvd that is not there: it may be starting. */
#define FORMAT_WAIT_MS 15000

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
		csvd_no_memory(csvd);
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
		csvd_no_memory(csvd);
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
		csvd_no_memory(csvd);
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
		csvd_no_memory(csvd);
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
		csvd_no_memory(csvd);
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

/* ---- answers --------------------------------------------------------------------------------- */

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
		.seen = HEARTBEAT_UNKNOWN,
	};
	char volume[STATE_NAME_MAX];

	if (done->n_seen == 1 && done->seen[0] <= HEARTBEAT_ABSENT)
		what.seen = (enum heartbeat_seen)done->seen[0];
	(void)strcpy(volume, o->name);
	what.volume = volume;
	o->answered = true;
	if (done->ok)
		order_free(o);
	else if (cl_timer_new(csvd->d->loop, on_pay_again, o, &o->timer) < 0)
		csvd_no_memory(csvd);
	else
		(void)cl_timer_set_in(o->timer, PAY_AGAIN_MS);
	csvd_report(csvd, &what);
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
		csvd_report(csvd, &what);
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

void csvd_on_done(struct csvd *csvd, const Vol__Done *done)
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

/* ---- life -------------------------------------------------------------------------------------------- */

void csvd_orders_again(struct csvd *csvd)
{
	struct order *o;

	TAILQ_FOREACH(o, &csvd->orders, link)
	if (!o->answered)
		order_send(o);
}

void csvd_orders_fini(struct csvd *csvd)
{
	while (!TAILQ_EMPTY(&csvd->orders))
		order_free(TAILQ_FIRST(&csvd->orders));
}
