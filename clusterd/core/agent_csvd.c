/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The agent's talk with csvd: permission to coordinate, fence debts to pay, volumes to give up. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

#include "quorum/state_schema.h"

static struct payment *payment_find(struct node *n, const struct payment *p)
{
	for (size_t i = 0; i < n->payments.n; i++) {
		struct payment *q = &n->payments.v[i];

		if (q->node == p->node && q->epoch == p->epoch && q->released == p->released &&
		    q->incarnation == p->incarnation && strcmp(q->volume, p->volume) == 0)
			return q;
	}
	return NULL;
}

static struct payment *payment_get(struct node *n, const char *volume, uint64_t epoch,
				   uint32_t node, uint64_t incarnation)
{
	struct payment p = {
		.epoch = epoch,
		.node = node,
		.incarnation = incarnation,
		.told_ms = INT64_MIN / 2,
	};
	struct payment *q;

	CORE_COPY(p.volume, volume);
	q = payment_find(n, &p);
	if (q)
		return q;
	if (payment_vec_push(&n->payments, p) < 0) {
		n->out->no_memory = true;
		return NULL;
	}
	return &n->payments.v[n->payments.n - 1];
}

static void order_payment(struct node *n, struct payment *p)
{
	struct node_action *a;

	if (!n->csvd_up || n->now_ms - p->told_ms < CORE_PAY_MS)
		return;
	p->told_ms = n->now_ms;
	a = core_emit(n, NODE_DO_CSVD_PAY);
	CORE_COPY(a->csvd.volume, p->volume);
	a->csvd.epoch = p->epoch;
	a->csvd.node = p->node;
	a->csvd.incarnation = p->incarnation;
}

static void report_paid(struct node *n, struct payment *p)
{
	COMMAND(DEBT_PAID, DebtPaid, debt_paid);

	if (!agent_due(n, &p->told_ms))
		return;
	m.volume = p->volume;
	m.epoch = p->epoch;
	m.payer = n->cfg.id;
	m.node = p->node;
	m.incarnation = p->incarnation;
	/* Those who do not know the word yet would pay the debt without it. */
	m.seen = state_schema(&n->state) < SCHEMA_HEARTBEAT ? HEARTBEAT_UNKNOWN : p->seen;
	agent_propose(n, p->volume, &c);
}

static bool coordinates(const struct node *n, const struct state_volume *v)
{
	return v->coordinator == n->cfg.id && n->incarnation &&
	       v->coordinator_incarnation == n->incarnation;
}

static void debts_step(struct node *n)
{
	for (size_t i = 0; i < n->state.debts.n; i++) {
		const struct state_debt *d = &n->state.debts.v[i];
		const struct state_volume *v = state_volume(&n->state, d->volume);
		struct payment *p;

		if (!v || !coordinates(n, v))
			continue;
		p = payment_get(n, v->name, v->epoch, d->node, d->incarnation);
		if (p && p->paid)
			report_paid(n, p);
		else if (p)
			order_payment(n, p);
	}
}

/* What the state says no more needs no memory. */
static void payments_forget(struct node *n)
{
	for (size_t i = n->payments.n; i-- > 0;) {
		const struct payment *p = &n->payments.v[i];
		const struct state_volume *v = state_volume(&n->state, p->volume);

		if (!v || v->epoch != p->epoch || !coordinates(n, v) ||
		    (!p->released && debt_of(&n->state, p->volume, p->node) != p->incarnation) ||
		    (p->released && !v->moving_to))
			payment_vec_remove(&n->payments, i);
	}
}

static void report_released(struct node *n, struct payment *p, const struct state_volume *v)
{
	COMMAND(VOLUME_ASSIGN, VolumeAssign, volume_assign);
	const struct state_node *to = state_node(&n->state, v->moving_to);

	if (!to || !agent_due(n, &p->told_ms))
		return;
	m.name = p->volume;
	m.epoch = p->epoch;
	m.node = to->id;
	m.incarnation = to->incarnation;
	m.released = true;
	m.cause = COMMAND_STRING("planned move");
	agent_propose(n, p->volume, &c);
}

static void order_release(struct node *n, struct payment *p)
{
	struct node_action *a;

	if (!n->csvd_up || n->now_ms - p->told_ms < CORE_PAY_MS)
		return;
	p->told_ms = n->now_ms;
	a = core_emit(n, NODE_DO_CSVD_RELEASE);
	CORE_COPY(a->csvd.volume, p->volume);
	a->csvd.epoch = p->epoch;
}

static struct payment *release_get(struct node *n, const struct state_volume *v)
{
	struct payment p = { .epoch = v->epoch, .released = true, .told_ms = INT64_MIN / 2 };
	struct payment *q;

	CORE_COPY(p.volume, v->name);
	q = payment_find(n, &p);
	if (!q && payment_vec_push(&n->payments, p) == 0)
		q = &n->payments.v[n->payments.n - 1];
	return q;
}

static void releases_step(struct node *n)
{
	for (size_t i = 0; i < n->state.volumes.n; i++) {
		const struct state_volume *v = &n->state.volumes.v[i];
		struct payment *p;

		if (!v->moving_to || !coordinates(n, v))
			continue;
		p = release_get(n, v);
		if (p && p->paid)
			report_released(n, p, v);
		else if (p)
			order_release(n, p);
	}
}

/* The question is repeated until the leader answers, or until csvd's epoch is no longer ours. */
static void asks_step(struct node *n)
{
	for (size_t i = n->volume_asks.n; i-- > 0;) {
		struct volume_ask *a = &n->volume_asks.v[i];
		const struct state_volume *v = state_volume(&n->state, a->volume);
		MESSAGE(GO_ASK, GoAsk, go_ask);

		if (v && v->epoch > a->epoch) {
			volume_ask_vec_remove(&n->volume_asks, i);
			continue;
		}
		if (raft_leader(n->raft).node == 0 || !beats_may_begin(n) ||
		    !agent_due(n, &a->told_ms))
			continue;
		m.id = a->go_id;
		m.volume = a->volume;
		m.number = a->epoch;
		message_send(n, raft_leader(n->raft).node, &msg);
		/* To ourselves the answer may have come already. */
	}
}

/* What csvd said of a volume that is no more. */
static void volumes_forget(struct node *n)
{
	for (size_t i = n->volumes.n; i-- > 0;)
		if (!state_volume(&n->state, n->volumes.v[i].name))
			peer_volume_vec_remove(&n->volumes, i);
}

void agent_csvd_step(struct node *n)
{
	volumes_forget(n);
	payments_forget(n);
	debts_step(n);
	releases_step(n);
	asks_step(n);
}

static void on_ask_go(struct node *n, const struct node_csvd_event *ev)
{
	struct volume_ask a = {
		.epoch = ev->epoch,
		.go_id = ++n->next_id,
		.told_ms = INT64_MIN / 2,
	};

	CORE_COPY(a.volume, ev->volume);
	for (size_t i = 0; i < n->volume_asks.n; i++)
		if (strcmp(n->volume_asks.v[i].volume, a.volume) == 0) {
			n->volume_asks.v[i] = a;
			return;
		}
	if (n->volume_asks.n < STATE_VOLUMES_MAX && volume_ask_vec_push(&n->volume_asks, a) < 0)
		n->out->no_memory = true;
}

static void on_status(struct node *n, const struct node_csvd_event *ev)
{
	struct peer_volume fresh = {
		.mode = ev->mode,
		.since_ms = n->wall_ms,
		.has_path = ev->has_path,
		.refused = ev->refused,
		.size_bytes = ev->size_bytes,
		.free_bytes = ev->free_bytes,
	};

	CORE_COPY(fresh.name, ev->volume);
	CORE_COPY(fresh.reason, ev->text);
	for (size_t i = 0; i < n->volumes.n; i++) {
		struct peer_volume *v = &n->volumes.v[i];
		bool fuller = v->mode == fresh.mode && fresh.free_bytes < v->free_bytes;

		if (strcmp(v->name, fresh.name) != 0)
			continue;
		if (v->mode == fresh.mode)
			fresh.since_ms = v->since_ms;
		*v = fresh;
		agent_volume_news(n, fresh.name, fuller);
		return;
	}
	if (n->volumes.n < STATE_VOLUMES_MAX && peer_volume_vec_push(&n->volumes, fresh) < 0)
		n->out->no_memory = true;
	agent_volume_news(n, fresh.name, false);
}

static void on_paid(struct node *n, const struct node_csvd_event *ev, bool released)
{
	for (size_t i = 0; i < n->payments.n; i++) {
		struct payment *p = &n->payments.v[i];

		if (strcmp(p->volume, ev->volume) != 0 || p->epoch != ev->epoch ||
		    p->released != released)
			continue;
		if (released || (p->node == ev->node && p->incarnation <= ev->incarnation)) {
			p->paid = true;
			p->seen = p->incarnation == ev->incarnation ? ev->seen : HEARTBEAT_UNKNOWN;
			p->told_ms = INT64_MIN / 2;
		}
	}
}

static void on_csvd(struct node *n, bool up)
{
	n->csvd_up = up;
	peer_volume_vec_clear(&n->volumes);
	volume_ask_vec_clear(&n->volume_asks);
	for (size_t i = 0; i < n->payments.n; i++)
		n->payments.v[i].told_ms = INT64_MIN / 2;
	job_csvd_gone(
		n); /* also a new one's first word: what its predecessor did not end is lost */
	if (!up)
		return;
	n->tables_stale = true;
	beats_tell_lease(n);
}

/*
 * Others may conclude from a standing heartbeat only when there was one. So from the moment in which one
 * may be written this node must heed its own: csvd waits for the answer. Not across a planned stop: they stand for
 * nothing then, and a storage that stalls for a second would freeze all (detach.c, which ends that, too). csvd asks
 * again with each word about the lease.
 */
static void on_watch(struct node *n, uint64_t incarnation)
{
	if (!n->incarnation || incarnation != n->incarnation)
		return; /* it has tables of another life: it will ask again */
	if (detach_unwatched(n))
		return;
	lease_watch(&n->lease);
	beats_tell_lease(n);
}

void agent_on_csvd(struct node *n, const struct node_csvd_event *ev)
{
	switch (ev->report) {
	case NODE_CSVD_UP:
	case NODE_CSVD_DOWN:
		on_csvd(n, ev->report == NODE_CSVD_UP);
		break;
	case NODE_CSVD_ASK_GO:
		on_ask_go(n, ev);
		break;
	case NODE_CSVD_PAID:
		on_paid(n, ev, false);
		break;
	case NODE_CSVD_RELEASED:
		on_paid(n, ev, true);
		break;
	case NODE_CSVD_PAY_FAILED:
		for (size_t i = 0; i < n->payments.n; i++)
			if (strcmp(n->payments.v[i].volume, ev->volume) == 0)
				CORE_COPY(n->payments.v[i].why, ev->text);
		break;
	case NODE_CSVD_JOB:
		job_on_csvd(n, ev);
		break;
	case NODE_CSVD_STATUS:
		on_status(n, ev);
		break;
	case NODE_CSVD_WATCH:
		on_watch(n, ev->incarnation);
		break;
	case NODE_CSVD_CONFLICT:
		lease_conflict(&n->lease, n->now_ms);
		(void)lease_tick(&n->lease, n->now_ms);
		break;
	}
}
