/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data nexuses of a volume: csv/data.c on each node, csv/nexus.c and csv/store_lun.c at the coordinator.
 * Simulated is the talk between them (csv/coord_nexus.c, volume_nexus.c): the same steps in the same order, by
 * messages that take a millisecond and are lost with the connection.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "tests/sim/cluster_store.h"

/* ---- the session of a node with its coordinator, and its data nexus ---------------------------------------------- */

enum { SAY_HELLO, SAY_ASK, SAY_REGISTERED, SAY_WELCOME, SAY_PERMIT, SAY_GO, SAY_REFUSE };

static bool listens(const struct cworld *w, unsigned node)
{
	return !w->node[node].power_off && cw_on(w, node);
}

static bool linked(const struct cworld *w, unsigned a, unsigned b)
{
	return a == b || (!w->cut[a][b] && !w->cut[b][a]);
}

/* The coordinator that this node's tables name, when it serves; 0 = none. */
static unsigned coordinator_of(struct svol *v)
{
	const struct csv_tables *t = tables_of(v);
	unsigned to = t->volume[v->l].coordinator;

	if (!to || to > v->w->nodes || !listens(v->w, to) || !linked(v->w, v->node, to))
		return 0;
	return cvol_of(svol_of(v->w, to, v->l))->go_epoch == t->volume[v->l].epoch ? to : 0;
}

static void say(struct svol *from, unsigned to, unsigned what, uint64_t session, uint64_t x)
{
	struct task *t = task_new(from->w, T_STORE_SAYS, to, 1);

	t->slot = from->l;
	t->a = from->node;
	t->b = what;
	t->c = x;
	t->life = session;
	t->target = from->running_epoch;
}

static void session_down(struct svol *v)
{
	struct env_at before = env_enter(v->w, v->node);

	v->link = 0;
	v->welcome = false;
	if (v->data)
		data_session_down(v->data);
	env_leave(before);
}

static bool on_ask(void *user, uint64_t id)
{
	struct svol *v = user;

	if (v->welcome)
		say(v, v->link, SAY_ASK, v->session, id);
	return v->welcome;
}

static bool on_registered(void *user, uint64_t key)
{
	struct svol *v = user;

	if (v->w->hb_defects & SIM_DEFECT_NO_GO)
		guests_issue(v->w, v->node);
	if (v->welcome)
		say(v, v->link, SAY_REGISTERED, v->session, key);
	return v->welcome;
}

static void on_data(void *user)
{
	struct svol *v = user;
	bool open = v->data && data_state(v->data) == DATA_OPEN;

	csvd_session(v->w, v->node, v->l, open ? v->data_incarnation : 0);
}

static void make_data(struct svol *v)
{
	char url[64];
	struct data_config cfg = {
		.url = url,
		.name = cw_volumes[v->l],
		.node = v->node,
		.ask = on_ask,
		.registered = on_registered,
		.changed = on_data,
		.user = v,
	};
	struct cl_error err = CL_ERROR_INIT;
	struct env_at before = env_enter(v->w, v->node);

	volume_place(v, url, cfg.volume);
	v->data_incarnation = my_life(v);
	cl_assert(data_new(NULL, &cfg, &v->data, &err) >= 0);
	env_leave(before);
}

static void drop_data(struct svol *v)
{
	struct env_at before = env_enter(v->w, v->node);
	struct data *d = v->data;

	session_down(v);
	v->data = NULL;
	data_free(d);
	env_leave(before);
	csvd_session(v->w, v->node, v->l, 0);
}

static void hello(struct svol *v, unsigned to)
{
	v->link = to;
	v->link_epoch = tables_of(v)->volume[v->l].epoch;
	v->link_run = svol_of(v->w, to, v->l)->runs;
	v->welcome = false;
	v->session++;
	v->greeted_ms = sim_now(v->w->s);
	say(v, to, SAY_HELLO, v->session, data_key(v->data));
}

void nexus_look(struct svol *v)
{
	uint64_t life = my_life(v);
	unsigned to;

	if (v->data && v->data_incarnation != life)
		drop_data(v);
	if (!life)
		return;
	if (!v->data)
		make_data(v);
	to = coordinator_of(v);
	if (v->link && (to != v->link || v->link_epoch != tables_of(v)->volume[v->l].epoch ||
			v->link_run != svol_of(v->w, to, v->l)->runs))
		session_down(v);
	if (to && (!v->link || (!v->welcome && sim_now(v->w->s) - v->greeted_ms > 1000)))
		hello(v, to);
}

void nexus_drop(struct svol *v)
{
	if (v->data)
		drop_data(v);
}

/* One that is frozen hears of it when it goes on, behind what lies in its other sockets (in scenes only). */
void store_session_over(struct cworld *w, unsigned node, unsigned l, uint64_t incarnation)
{
	struct svol *v = svol_of(w, node, l);

	if (w->scene.playing && sim_frozen(w->s, node)) {
		struct task *t = task_new(w, T_STORE, node, 8);

		t->slot = l;
		t->b = incarnation;
		return;
	}
	if (v->data && v->data_incarnation <= incarnation)
		session_down(v);
}

/* ---- at the coordinator: as coord_nexus.c and volume_nexus.c ----------------------------------------------------- */

static void reply(struct svol *c, const struct question *q, unsigned what, uint64_t x)
{
	say(c, q->from, what, q->session, x);
}

static void permit(struct svol *c, const struct question *q)
{
	struct cl_error err = CL_ERROR_INIT;
	uint64_t key = 0;
	uint8_t type = 0;

	if (store_permit(c->store, q->who, &key, &type, &err) < 0)
		reply(c, q, SAY_REFUSE, 0);
	else
		reply(c, q, SAY_PERMIT, key);
}

static void on_killed(void *user, bool paid, const char *why)
{
	struct question q = *(struct question *)user;
	struct svol *c = q.at;

	(void)why;
	((struct question *)user)->at = NULL;
	if (!c)
		return; /* forgotten */
	if (!paid)
		reply(c, &q, SAY_REFUSE, 0);
	else if (q.what == SAY_ASK)
		permit(c, &q);
	else
		reply(c, &q, SAY_WELCOME, q.x && store_knows(c->store, q.who, q.x) ? q.x : 0);
}

static void on_seen(void *user, bool seen, const char *why)
{
	struct question q = *(struct question *)user;

	(void)why;
	((struct question *)user)->at = NULL;
	if (q.at)
		reply(q.at, &q, seen ? SAY_GO : SAY_REFUSE, q.x);
}

static void kill_first(struct svol *c, struct question *q)
{
	struct cl_error err = CL_ERROR_INIT;

	if (store_kill(c->store, q->who, q->what == SAY_HELLO ? q->x : 0, on_killed, q, &err) < 0) {
		reply(c, q, SAY_REFUSE, 0);
		q->at = NULL;
	}
}

static void look_for(struct svol *c, struct question *q)
{
	if (store_knows(c->store, q->who, q->x) && store_see(c->store, q->x, on_seen, q) >= 0)
		return;
	reply(c, q, SAY_REFUSE, q->x);
	q->at = NULL;
}

/* Who is not living by the coordinator's own tables is not let in (csv/session.c). */
static bool is_let_in(struct svol *c, struct store_node who)
{
	return tables_of(c)->living[who.node] == who.incarnation ||
	       (c->w->hb_defects & SIM_DEFECT_LET_IN);
}

static void coordinator_hears(struct svol *c, const struct task *t)
{
	struct svol *asker = svol_of(c->w, (unsigned)t->a, c->l);
	struct question *q = &c->question[t->a][t->b];
	struct env_at before;

	if (!c->running || !c->store || c->store->state != STORE_HOLDING)
		return; /* its end of the session goes down with this */
	if (q->at) {	/* of an earlier session */
		(void)task_again(c->w, t, 50);
		return;
	}
	*q = (struct question){ .at = c,
				.from = (unsigned)t->a,
				.what = (unsigned)t->b,
				.session = t->life,
				.x = t->c,
				.who = { (uint32_t)t->a, asker->data_incarnation } };
	if (!is_let_in(c, q->who)) {
		if (t->b != SAY_HELLO) /* which is said again */
			reply(c, q, SAY_REFUSE, 0);
		q->at = NULL;
		return;
	}
	before = env_enter(c->w, c->node);
	if (t->b == SAY_REGISTERED)
		look_for(c, q);
	else
		kill_first(c, q);
	env_leave(before);
}

static void node_hears(struct svol *v, const struct task *t)
{
	struct env_at before;

	if (!v->data || t->life != v->session || t->a != v->link)
		return;
	before = env_enter(v->w, v->node);
	switch (t->b) {
	case SAY_WELCOME:
		v->welcome = true;
		data_session_up(v->data);
		if (data_key(v->data) && data_key(v->data) != t->c)
			data_refuse(v->data, 0, "that data nexus is not known here (any more)");
		break;
	case SAY_PERMIT:
		data_permit(v->data, t->c, PR_TYPE_EA_REGISTRANTS_ONLY);
		break;
	case SAY_GO:
		data_go(v->data, t->c);
		break;
	default:
		data_refuse(v->data, 0, "refused");
	}
	env_leave(before);
}

void store_hears(struct cworld *w, struct task *t)
{
	struct svol *v = svol_of(w, t->node, t->slot);

	if (!linked(w, (unsigned)t->a,
		    t->node)) { /* the connection is lost, and with it the rest */
		session_down(t->b <= SAY_REGISTERED ? svol_of(w, (unsigned)t->a, t->slot) : v);
		return;
	}
	if (t->b <= SAY_REGISTERED)
		coordinator_hears(v, t);
	else
		node_hears(v, t);
}

/* To submit to; NULL: none. */
const struct lun_data *store_path(struct cworld *w, unsigned node, unsigned l)
{
	struct svol *v = svol_of(w, node, l);

	if (v->data && data_state(v->data) == DATA_REGISTERED && (w->hb_defects & SIM_DEFECT_NO_GO))
		return target_ungranted(w, node, l);
	return v->data ? data_path(v->data) : NULL;
}
