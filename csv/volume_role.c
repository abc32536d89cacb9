/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's role on this node: the path that every node keeps, the claim, fence debts, the
 * coordinator's thread, hand-over. What to do next is decided in role.c.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/role.h"
#include "csv/volume_int.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define FAILURE_PAUSE_MS 1000
#define CLAIM_PAUSE_MS 200
#define GO_AGAIN_MS 500
#define HAND_OVER_MS 10000

/* Not at once again: what failed would fail in a circle. */
static void pause_for(struct volume *v, int64_t ms)
{
	v->paused = true;
	(void)cl_timer_set_in(v->pause, ms);
}

/* The target has answered, and so that the claim cannot be had. */
static void claim_refused(struct volume *v)
{
	int64_t pause_ms = role_claim_pause_ms(++v->claims_refused);

	if (!pause_ms)
		return;
	v->lun_refused = true;
	pause_for(v, pause_ms);
}

/* A session that is lost may be the next time another target's, or the same one's after it was mended. */
static void count_claims(struct volume *v, enum store_state state)
{
	if (state == STORE_IDLE && v->claiming && v->store->refused) {
		claim_refused(v);
		return;
	}
	if (state == STORE_UP)
		return;
	if (role_claim_pause_ms(v->claims_refused))
		v->paused = false;
	v->claims_refused = 0;
}

static void on_store_state(void *user, enum store_state state, const char *why)
{
	struct volume *v = user;

	count_claims(v, state);
	if (state == STORE_UP && *why && v->claiming)
		pause_for(v, CLAIM_PAUSE_MS);
	if (state != STORE_UP || *why)
		v->claiming = false;
	(void)snprintf(v->store_why, sizeof(v->store_why), "%s", why);
	if (state != STORE_HOLDING && v->paying) {
		v->paying = false; /* the fence ended with it; paid anew when it is held again */
		v->fence_left = 0;
	}
	volume_poke(v);
}

/* The store asks: is this node still the coordinator, at the epoch for which it claims? */
static void on_ask_log(void *user)
{
	struct volume *v = user;
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Go go = VOL__GO__INIT;

	v->go_id = ++v->d->last_go;
	go.id = v->go_id;
	go.volume = (ProtobufCBinaryData){ .len = 16, .data = v->uuid };
	go.epoch = v->store_epoch;
	msg.msg_case = VOL__FROM_CSVD__MSG_GO;
	msg.go = &go;
	cluster_send(v->d->cluster, &msg);
	(void)cl_timer_set_in(v->pause, GO_AGAIN_MS);
}

/*
 * The tables of now may be older than the answer: a node that failed since is spared, and then fenced by
 * the order that follows; as long as its debt stands nothing is opened.
 */
static void tell_store(struct volume *v, bool yes)
{
	const Vol__Tables *t = v->d->tables;
	struct store_node *living = calloc(t->n_nodes + 1, sizeof(*living));
	size_t n = 0;

	/* In maintenance nobody does I/O, and what the coordinator does then must be alone. */
	for (size_t i = 0; living && !v->maintenance && i < t->n_nodes; i++)
		if (t->nodes[i]->living && t->nodes[i]->id != t->self)
			living[n++] =
				(struct store_node){ t->nodes[i]->id, t->nodes[i]->incarnation };
	store_log_says(v->store, yes, living, n);
	free(living);
}

bool volume_on_go(struct volume *v, uint64_t id, bool yes)
{
	if (!v->go_id || v->go_id != id)
		return false;
	v->go_id = 0;
	log_info("volume '%s': the log says %s for epoch %llu", v->name, yes ? "go" : "no",
		 (unsigned long long)v->store_epoch);
	if (!v->store)
		return true;
	tell_store(v, yes);
	if (!yes) {
		v->store_spoilt = true; /* claim anew, later: the tables are about to move */
		pause_for(v, FAILURE_PAUSE_MS);
		volume_poke(v);
	}
	return true;
}

/* After a failure, or when an answer of clusterd was lost: go on. */
void volume_on_pause(void *user)
{
	struct volume *v = user;

	if (v->go_id && v->store)
		on_ask_log(v);
	v->paused = false;
	volume_poke(v);
}

static void tell_barrier(struct volume *v)
{
	struct csv_mail *mail = v->coord && v->barrier ? csv_mail_new(MAIL_BARRIER, NULL, 0) : NULL;

	if (!mail)
		return;
	mail->id = v->barrier;
	coord_post(v->coord, mail);
}

static void on_barrier(void *user, uint64_t n)
{
	struct volume *v = user;

	v->barrier = n;
	tell_barrier(v);
}

static void make_store(struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	struct store_config cfg = {
		.url = v->url,
		.node = me->id,
		.incarnation = me->incarnation,
		.pr_type = v->pr_type,
		.quirks = v->quirks,
		.defects = v->d->defects.store,
		.hooks = { on_store_state, on_ask_log, on_barrier, v },
	};
	struct cl_error err = CL_ERROR_INIT;

	memcpy(cfg.volume, v->uuid, sizeof(cfg.volume));
	v->store_epoch = v->barrier = 0;
	v->store_incarnation = me->incarnation;
	v->store_spoilt = v->claiming = false;
	if (store_new(v->d->loop, &cfg, &v->store, &err) >= 0)
		return;
	log_error("volume '%s': %s", v->name, err.msg);
	(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", err.msg);
	pause_for(v, FAILURE_PAUSE_MS);
}

bool volume_outdated(const struct volume *v)
{
	return role_outdated(v->epoch, v->found_epoch);
}

void volume_on_refused(struct volume *v, uint64_t later_epoch)
{
	v->lun_refused = true;
	if (later_epoch) {
		v->found_epoch = later_epoch;
		(void)snprintf(v->outdated_why, sizeof(v->outdated_why), "%s", v->coord_text);
	}
	if (v->claim_at_ms)
		return; /* other words than before */
	v->claim_at_ms = cl_mono_ms(cl_mono_now()) + ROLE_CLAIM_AGAIN_MS;
	(void)cl_timer_set_in(v->claim, ROLE_CLAIM_AGAIN_MS);
}

void volume_claim_now(struct volume *v)
{
	v->claim_at_ms = 0;
	if (role_claim_pause_ms(v->claims_refused))
		v->paused = false;
	v->claims_refused = 0;
	volume_poke(v);
}

void volume_drop_store(struct volume *v)
{
	store_free(v->store);
	v->store = NULL;
	volume_forget_questions(v);
	v->go_id = 0;
	v->paying = v->claiming = false;
	v->fence_left = 0;
}

static void claim(struct volume *v)
{
	struct cl_error err = CL_ERROR_INIT;

	v->claiming = true;
	v->store_epoch = v->epoch;
	if (store_coordinate(v->store, &err) >= 0)
		return;
	v->claiming = false;
	(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", err.msg);
	pause_for(v, FAILURE_PAUSE_MS);
}

/* For maintenance: as at a hand-over, but the role stays. */
static void close_coord(struct volume *v)
{
	struct csv_mail *mail = csv_mail_new(MAIL_CLOSE, NULL, 0);

	if (!mail)
		return;
	v->coord_closing = true;
	coord_post(v->coord, mail);
}

/* job: the one that waits, in the coordinator's place. */
static void start_coord(struct volume *v, bool job)
{
	struct coord_config cfg = {
		.name = v->name,
		.self = v->d->tables->self,
		.epoch = v->epoch,
		.open = store_open_fn(v->store),
		.user = v->store,
		.lease_until_ms = &v->d->lease_until_ms,
		.out = &v->d->mail,
		.counters = &v->counters,
		.defects = v->d->defects.coord,
	};
	struct csv_mail *tables = csvd_pack_tables(v->d);
	struct cl_error err = CL_ERROR_INIT;

	if (job) {
		volume_job_begins(v);
		cfg.job = offline_run;
		cfg.job_user = &v->offline_job;
	}
	v->coord_job = job;
	memcpy(cfg.volume, v->uuid, sizeof(cfg.volume));
	v->coord_epoch = v->epoch;
	cfg.serial = ++v->coord_serial;
	v->coord_state = COORD_OPENING;
	v->claim_at_ms = 0;
	v->coord_closing = false;
	(void)snprintf(v->coord_text, sizeof(v->coord_text), "opening");
	if (tables && coord_new(&cfg, tables->body, tables->len, &v->coord, &err) < 0)
		log_error("%s", err.msg);
	tell_barrier(v); /* that of the claim: it came before this coordinator and its sessions */
	free(tables);
}

void volume_stop_coord(struct volume *v)
{
	struct csv_mail *mail = csv_mail_new(MAIL_STOP, NULL, 0);

	/* What it still has open may be of unknown fate: only a new claim ends that. */
	if (v->coord_state != COORD_CLOSED) {
		v->store_spoilt = true;
		if (v->coord_state == COORD_FAILED)
			pause_for(v, FAILURE_PAUSE_MS);
	}
	if (v->coord_state == COORD_FAILED || v->coord_state == COORD_REFUSED)
		(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", v->coord_text);
	/* Its data session was the only one that this claim permitted: the next one claims again. */
	if (v->maintenance || v->coord_job)
		v->store_spoilt = true;
	volume_jobs_lost(v, v->coord_state == COORD_FAILED ? v->coord_text
			    : *v->store_why		   ? v->store_why
							   : "the coordinator has ended");
	peers_close_volume(v->d->peers, v->uuid);
	if (v->local_conn) {
		v->local_conn = 0;
		v->to_node = 0;
		client_down(v->client);
	}
	store_break(v->store);
	if (mail)
		coord_post(v->coord, mail);
	coord_free(v->coord);
	v->coord = NULL;
	v->coord_state = COORD_CLOSED;
	log_notice("volume '%s': not its coordinator any more", v->name);
}

static struct role_view view_of(const struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	bool present = me && me->living && me->incarnation > v->d->closed_up_to && !v->offline &&
		       !v->given_up && !v->d->stopping;
	struct role_view view = {
		.present = present,
		.wanted = present && v->coordinator == v->d->tables->self,
		.epoch = v->epoch,
		.debts = v->debts,
		.order_to_pay = v->orders.n > 0,
		.paying = v->paying,
		.looking = v->heart && heart_looks(v->heart),
		.store = v->store ? (enum role_store)(ROLE_STORE_IDLE + (int)v->store->state)
				  : ROLE_STORE_NONE,
		.store_epoch = v->store_epoch,
		.claiming = v->claiming,
		.store_spoilt = v->store_spoilt || (me && v->store_incarnation != me->incarnation),
		.running = v->coord,
		.running_epoch = v->coord_epoch,
		.running_job = v->coord_job,
		.job = volume_job_waits(v),
		.closing = v->coord_closing,
		.closed = v->maintenance,
		.ended = v->coord_state == COORD_FAILED || v->coord_state == COORD_CLOSED,
		.claim_due = v->coord_state == COORD_REFUSED &&
			     cl_mono_ms(cl_mono_now()) >= v->claim_at_ms,
		.outdated = volume_outdated(v),
		.waiting = v->paused,
	};

	return view;
}

/* ---- debts ---------------------------------------------------------------------------------- */

static void order_paid(struct volume *v, const Vol__Order *order)
{
	const Vol__PayDebts *pay = order->pay;
	_cleanup_free_ uint32_t *seen = calloc(pay->n_debts + 1, sizeof(*seen));
	size_t n = seen && v->heart ? pay->n_debts : 0;

	for (size_t i = 0; i < n; i++)
		seen[i] = heart_seen(v->heart, pay->debts[i]->node, pay->debts[i]->incarnation);
	csvd_paid(v->d, order->id, seen, n);
}

void volume_order_done(struct volume *v, int code, const char *error)
{
	Vol__Order *order = v->orders.v[0];

	v->paying = false;
	if (code)
		csvd_done(v->d, order->id, code, error);
	else
		order_paid(v, order);
	vol__order__free_unpacked(order, NULL);
	order_vec_remove(&v->orders, 0);
	volume_poke(v);
}

static void on_fence_paid(void *user, bool paid, const char *why)
{
	struct volume *v = user;
	const Vol__PayDebts *pay;
	struct role_view view;

	if (!v->paying || !v->orders.n)
		return;
	if (!paid) {
		log_warning("volume '%s': the fence did not succeed: %s", v->name, why);
		volume_order_done(v, ENOLINK, why);
		return;
	}
	counters_add(&v->counters, COUNTERS_FENCES);
	pay = v->orders.v[0]->pay;
	view = view_of(v);
	if (!role_tells_fence(&view)) {
		volume_order_done(v, 0, "");
		return;
	}
	v->fence_left = pay->n_debts;
	for (size_t i = 0; i < pay->n_debts; i++) {
		struct csv_mail *mail = csv_mail_new(MAIL_FENCED, NULL, 0);

		if (!mail)
			continue;
		mail->id = v->orders.v[0]->id;
		mail->node = pay->debts[i]->node;
		mail->incarnation = pay->debts[i]->incarnation;
		coord_post(v->coord, mail);
	}
	if (!pay->n_debts)
		volume_order_done(v, 0, "");
}

static void pay_first(struct volume *v)
{
	const Vol__PayDebts *pay = v->orders.v[0]->pay;
	struct cl_error err = CL_ERROR_INIT;

	v->paying = true;
	if (store_fence(v->store, (const Vol__Debt *const *)pay->debts, pay->n_debts, on_fence_paid,
			v, &err) < 0)
		volume_order_done(v, ENOLINK, err.msg);
}

static bool order_known(const struct volume *v, uint64_t id)
{
	for (size_t i = 0; i < v->orders.n; i++)
		if (v->orders.v[i]->id == id)
			return true;
	return false;
}

static Vol__Order *order_copy(const Vol__Order *order)
{
	size_t len = vol__order__get_packed_size(order);
	uint8_t *buf = malloc(len ? len : 1);
	Vol__Order *copy;

	if (!buf)
		return NULL;
	(void)vol__order__pack(order, buf);
	copy = vol__order__unpack(NULL, len, buf);
	free(buf);
	return copy;
}

/* It may come before the tables that make this node the coordinator: kept until they do, or say that
 * somebody else is. */
void volume_pay(struct volume *v, const Vol__Order *order)
{
	Vol__Order *copy;

	if (order_known(v, order->id))
		return;
	copy = order_copy(order);
	if (!copy || order_vec_push(&v->orders, copy) < 0) {
		csvd_done(v->d, order->id, ENOMEM, "out of memory");
		return;
	}
	for (size_t i = 0; v->heart && i < copy->pay->n_debts; i++)
		heart_debt(v->heart, copy->pay->debts[i]->node, copy->pay->debts[i]->incarnation);
	volume_poke(v);
}

/* Orders that can no longer be met here. */
void volume_return_orders(struct volume *v)
{
	while (v->orders.n && v->coordinator != v->d->tables->self)
		volume_order_done(v, EAGAIN, "this node does not coordinate the volume any more");
}

/* ---- hand-over ------------------------------------------------------------------------------ */

void volume_hand_over(struct volume *v, const Vol__Order *order)
{
	struct csv_mail *mail;

	if (v->hand_over == order->id)
		return;
	if (!v->coord || v->coord_epoch != order->hand_over->epoch) {
		csvd_done(v->d, order->id, 0, ""); /* nothing of that epoch is open here */
		return;
	}
	mail = csv_mail_new(MAIL_CLOSE, NULL, 0);
	if (!mail) {
		csvd_done(v->d, order->id, ENOMEM, "out of memory");
		return;
	}
	v->hand_over = order->id;
	v->handed_epoch = v->coord_epoch;
	coord_post(v->coord, mail);
}

void volume_look_at_hand_over(struct volume *v)
{
	if (!v->hand_over || (v->coord && v->coord_state != COORD_CLOSED))
		return;
	csvd_done(v->d, v->hand_over, 0, "");
	v->hand_over = 0;
	/* Without new tables within 10 s the role is taken up again. */
	pause_for(v, HAND_OVER_MS);
}

/* ---- one step at a time ---------------------------------------------------------------------- */

void volume_look_at_role(struct volume *v)
{
	for (;;) {
		struct role_view view = view_of(v);
		enum role_action action = role_next(&view, v->d->defects.no_fence_wait);

		switch (action) {
		case ROLE_NOTHING:
			return;
		case ROLE_MAKE_STORE:
			make_store(v);
			break;
		case ROLE_COORDINATE:
			claim(v);
			break;
		case ROLE_PAY:
			pay_first(v);
			break;
		case ROLE_START:
		case ROLE_START_JOB:
			start_coord(v, action == ROLE_START_JOB);
			if (!v->coord)
				return;
			break;
		case ROLE_CLOSE:
			close_coord(v);
			if (!v->coord_closing)
				return;
			break;
		case ROLE_STOP:
			volume_stop_coord(v);
			break;
		case ROLE_DROP_STORE:
			volume_drop_store(v);
			break;
		}
	}
}
