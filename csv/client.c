/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conversation with the coordinator: hello, reclaim, results, goodbye; life. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "csv/client_int.h"
#include "lib/log.h"

#define RECLAIM_MAX 500 /* handles, and locks, in one message */

static const struct sm_state client_states[] = {
	[CLIENT_OFFLINE] = { "offline", SM_TO(CLIENT_GREETED), SM_INITIAL },
	[CLIENT_GREETED] = { "greeted",
			     SM_TO(CLIENT_RECLAIMING) | SM_TO(CLIENT_ACTIVE) |
				     SM_TO(CLIENT_OFFLINE),
			     0 },
	[CLIENT_RECLAIMING] = { "reclaiming", SM_TO(CLIENT_ACTIVE) | SM_TO(CLIENT_OFFLINE), 0 },
	[CLIENT_ACTIVE] = { "active", SM_TO(CLIENT_OFFLINE), 0 },
};

bool client_send(struct client *c, bool bulk, Csv__Message *msg)
{
	msg->epoch = c->epoch;
	msg->incarnation = c->incarnation;
	msg->node = c->cfg.node;
	msg->mount = c->cfg.mount;
	msg->sequence = ++c->sequence;
	return c->cfg.send(c->cfg.user, bulk, msg);
}

static const Vol__Volume *own_volume(const struct client *c)
{
	for (size_t i = 0; i < c->tables->n_volumes; i++) {
		const Vol__Volume *v = c->tables->volumes[i];

		if (v->uuid.len == sizeof(c->cfg.volume) &&
		    !memcmp(v->uuid.data, c->cfg.volume, sizeof(c->cfg.volume)))
			return v;
	}
	return NULL;
}

/* By the log: this node is no member, and no fence of it is owed on this volume (any more). */
static bool is_fenced(const struct client *c)
{
	const Vol__Volume *v = c->tables ? own_volume(c) : NULL;
	bool member = true;

	for (size_t i = 0; v && i < c->tables->n_nodes; i++)
		if (c->tables->nodes[i]->id == c->cfg.node)
			member = c->tables->nodes[i]->living;
	for (size_t i = 0; v && i < v->n_debts; i++)
		if (v->debts[i]->node == c->cfg.node)
			return false;
	return v && !member;
}

/*
 * Who is fenced hears no PERMIT and no WELCOME before he is admitted anew, and that waits until his VMs
 * have ended, which waits for their I/O of unknown fate: for ever. But the fence that was paid killed his
 * nexuses, behind a barrier, and waited for what went by way of the coordinator. So nothing of this process
 * or an earlier one can land any more.
 */
void client_set_tables(struct client *c, const Vol__Tables *tables)
{
	c->tables = tables;
	if (!c->data || !is_fenced(c))
		return;
	client_end_direct(c, "this node is fenced");
	c->welcomed = true;
	client_settle_blocks(c);
	client_release_held(c, 0);
	client_settled_all(c); /* the coordinator's, or gone */
	c->cfg.changed(c->cfg.user, NULL);
}

void client_hold(struct client *c, bool hold)
{
	if (c->held == hold)
		return;
	c->held = hold;
	c->cfg.changed(c->cfg.user, NULL);
	client_route_waiting(c);
	client_send_acks(c);
}

/* ---- the conversation ---------------------------------------------------------------------- */

static void go_to(struct client *c, enum client_state state, const char *why)
{
	sm_move(&c->sm, (int)state, why);
	c->cfg.changed(c->cfg.user, NULL);
}

void client_up(struct client *c, uint64_t epoch, uint64_t incarnation)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Hello hello = CSV__HELLO__INIT;

	client_down(c);
	if (c->incarnation && c->incarnation != incarnation)
		client_end_direct(c, "this node is being admitted anew");
	c->epoch = epoch;
	c->incarnation = incarnation;
	c->settled = 0;
	c->sequence = 0;
	c->told_nexus = c->data ? data_key(c->data) : 0;
	hello.process = c->process;
	hello.nexus = c->told_nexus;
	hello.volume.data = c->cfg.volume;
	hello.volume.len = sizeof(c->cfg.volume);
	hello.connect = (uint64_t)cl_mono_now().ns;
	msg.msg_case = CSV__MESSAGE__MSG_HELLO;
	msg.hello = &hello;
	go_to(c, CLIENT_GREETED, "transport");
	if (!client_send(c, false, &msg))
		return;
	hello.bulk = true;
	(void)client_send(c, true, &msg);
}

void client_down(struct client *c)
{
	if (c->sm.state == CLIENT_OFFLINE)
		return;
	for (struct call *call = c->calls; call; call = call->next)
		if (call->way == CALL_SENT || call->way == CALL_ASKING || call->way == CALL_BLOCK ||
		    call->way == CALL_GROWING)
			call->way = CALL_WAITING;
	client_forget_questions(c);
	c->draining = false;
	go_to(c, CLIENT_OFFLINE, "transport gone");
	if (c->data)
		data_session_down(c->data);
}

void client_end_direct(struct client *c, const char *why)
{
	map_clear(&c->map);
	if (c->data)
		data_close(c->data, why);
}

static void become_active(struct client *c)
{
	go_to(c, CLIENT_ACTIVE, "welcome");
	client_send_touched(c);
	client_route_waiting(c);
	client_send_acks(c);
	if (c->data)
		data_session_up(c->data);
}

static void fill_handle(const struct open_file *o, Csv__Handle *h)
{
	csv__handle__init(h);
	h->fh = o->fh;
	h->ino = o->ino;
	h->flags = o->flags;
	h->resource = (char *)(uintptr_t)o->resource;
	h->generation = o->generation;
}

static void fill_lock(const struct lock *l, Csv__Lock *out)
{
	csv__lock__init(out);
	out->fh = l->fh;
	out->ino = l->ino;
	out->owner = l->owner;
	out->pid = l->pid;
	out->flock = l->flock;
	out->type = l->type == LOCK_SHARED ? F_RDLCK : F_WRLCK;
	out->start = l->start;
	out->end = l->end;
}

/* Of this incarnation: what an earlier one left behind ended with its fence, and may be cut off by now. */
static void fill_grown(const struct client *c, Csv__Reclaim *body)
{
	static Csv__Grown grown[GROWN_MAX], *gp[GROWN_MAX];

	for (size_t i = 0; i < c->holding.grown.n && i < GROWN_MAX; i++) {
		const struct grown *g = &c->holding.grown.v[i];
		Csv__Grown *out = &grown[body->n_grown];

		if (g->incarnation != c->incarnation)
			continue;
		csv__grown__init(out);
		out->ino = g->ino;
		out->offset = g->start;
		out->length = g->end - g->start;
		gp[body->n_grown++] = out;
	}
	body->grown = gp;
}

/* One message of up to RECLAIM_MAX handles and locks, from the given positions on. */
static bool send_reclaim_part(struct client *c, size_t h0, size_t l0)
{
	static Csv__Handle handles[RECLAIM_MAX], *hp[RECLAIM_MAX];
	static Csv__Lock locks[RECLAIM_MAX], *lp[RECLAIM_MAX];
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Reclaim body = CSV__RECLAIM__INIT;

	for (size_t i = h0; i < c->holding.opens.n && body.n_handles < RECLAIM_MAX; i++) {
		hp[body.n_handles] = &handles[body.n_handles];
		fill_handle(&c->holding.opens.v[i], &handles[body.n_handles++]);
	}
	for (size_t i = l0; i < c->holding.locks.held.n && body.n_locks < RECLAIM_MAX; i++) {
		lp[body.n_locks] = &locks[body.n_locks];
		fill_lock(&c->holding.locks.held.v[i], &locks[body.n_locks++]);
	}
	body.handles = hp;
	body.locks = lp;
	body.last = h0 + body.n_handles == c->holding.opens.n &&
		    l0 + body.n_locks == c->holding.locks.held.n;
	if (body.last)
		fill_grown(c, &body);
	msg.msg_case = CSV__MESSAGE__MSG_RECLAIM;
	msg.reclaim = &body;
	return client_send(c, false, &msg) && !body.last;
}

static void send_reclaim(struct client *c)
{
	size_t h = 0, l = 0;

	while (send_reclaim_part(c, h, l)) {
		h = h + RECLAIM_MAX < c->holding.opens.n ? h + RECLAIM_MAX : c->holding.opens.n;
		l = l + RECLAIM_MAX < c->holding.locks.held.n ? l + RECLAIM_MAX
							      : c->holding.locks.held.n;
	}
}

/*
 * A new coordinator takes the map from the tree: layouts of the old one are void. It changes nothing
 * about it before all have reclaimed; so what is under way may end, and has to, before this.
 */
static void begin_reclaim(struct client *c)
{
	go_to(c, CLIENT_RECLAIMING, "welcome");
	map_clear(&c->map);
	c->draining = c->dios.first;
	if (!c->draining)
		send_reclaim(c);
	else if (client_holds_io(c)) /* on the nexus that the hello still named: say it anew */
		c->cfg.reconnect(c->cfg.user);
}

void client_drained(struct client *c)
{
	if (c->draining) {
		c->draining = false;
		send_reclaim(c);
	}
	if (c->leaving)
		client_bye(c, c->bye);
}

/* Every nexus but the one that the hello named is dead: what it left behind may go again. */
static void on_welcome(struct client *c, const Csv__Welcome *welcome)
{
	if (c->cfg.heartbeat)
		c->cfg.heartbeat(c->cfg.user, welcome->heartbeat, welcome->n_heartbeat);
	c->welcomed = true;
	client_settle_blocks(c);
	client_release_held(c, c->told_nexus);
	if (welcome->reclaim) {
		begin_reclaim(c);
		return;
	}
	client_settled_all(c); /* it left behind a commit of what was done before */
	become_active(c);
}

static void on_permit(struct client *c, const Csv__NexusPermit *permit)
{
	if (!data_is_asked(c->data, permit->id))
		return;
	client_release_held(c, 0);
	data_permit(c->data, permit->key, permit->pr_type);
}

/* From a coordinator that has welcomed this session: it speaks about the nexus in grace, too. */
static bool on_direct(struct client *c, const Csv__Message *msg)
{
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_NEXUS_PERMIT:
		on_permit(c, msg->nexus_permit);
		return true;
	case CSV__MESSAGE__MSG_NEXUS_GO:
		data_go(c->data, msg->nexus_go->key);
		return true;
	case CSV__MESSAGE__MSG_NEXUS_REFUSE:
		data_refuse(c->data, msg->nexus_refuse->id, msg->nexus_refuse->reason);
		return true;
	case CSV__MESSAGE__MSG_BARRIER:
		data_barrier_answered(c->data);
		return true;
	case CSV__MESSAGE__MSG_LAYOUT:
		if (c->sm.state != CLIENT_ACTIVE)
			return false; /* it would be one of the last term */
		return client_on_layout(c, msg->layout);
	case CSV__MESSAGE__MSG_RECALL:
		client_on_recall(c, msg->recall);
		return true;
	default:
		return false;
	}
}

bool client_input(struct client *c, const Csv__Message *msg)
{
	if (msg->epoch != c->epoch)
		return false;
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_WELCOME:
		if (c->sm.state != CLIENT_GREETED)
			return false;
		on_welcome(c, msg->welcome);
		return true;
	case CSV__MESSAGE__MSG_RECLAIMED:
		if (c->sm.state != CLIENT_RECLAIMING)
			return false;
		client_settled_all(c); /* likewise, of what was reclaimed */
		become_active(c);
		return true;
	case CSV__MESSAGE__MSG_RESULT:
		if (c->sm.state != CLIENT_ACTIVE)
			return false;
		client_on_result(c, msg->result);
		return true;
	case CSV__MESSAGE__MSG_SETTLED:
		if (c->sm.state != CLIENT_ACTIVE)
			return false;
		client_settled(c, msg->settled->growth);
		return true;
	case CSV__MESSAGE__MSG_SPACE:
		if (c->sm.state != CLIENT_ACTIVE)
			return false;
		if (c->cfg.space)
			c->cfg.space(c->cfg.user, msg->space->size_bytes, msg->space->free_bytes);
		return true;
	case CSV__MESSAGE__MSG_REFUSE:
		c->cfg.changed(c->cfg.user, msg->refuse->reason);
		return false;
	default:
		if (c->sm.state == CLIENT_GREETED)
			return false;
		/* All are told of barriers, also those that have no nexus. */
		return c->data ? on_direct(c, msg) : msg->msg_case == CSV__MESSAGE__MSG_BARRIER;
	}
}

void client_bye(struct client *c, const char *reason)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Bye bye = CSV__BYE__INIT;

	/* Layouts end with it: not while somebody relies on them. */
	c->leaving = true;
	c->bye = reason;
	if (c->sm.state != CLIENT_ACTIVE || c->dios.first || client_settle(c, 0))
		return;
	c->leaving = false;
	map_clear(&c->map);
	client_send_touched(c);
	bye.reason = (char *)(uintptr_t)reason;
	msg.msg_case = CSV__MESSAGE__MSG_BYE;
	msg.bye = &bye;
	(void)client_send(c, false, &msg);
}

/* ---- what the data nexus wants told --------------------------------------------------------- */

static bool send_ask(void *user, uint64_t id)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusAsk body = CSV__NEXUS_ASK__INIT;

	body.id = id;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_ASK;
	msg.nexus_ask = &body;
	return client_send(user, false, &msg);
}

static bool send_registered(void *user, uint64_t key)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusRegistered body = CSV__NEXUS_REGISTERED__INIT;

	body.key = key;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_REGISTERED;
	msg.nexus_registered = &body;
	return client_send(user, false, &msg);
}

/* ---- life ---------------------------------------------------------------------------------- */

/* Without a url all goes by the coordinator. */
static int make_data(struct cl_loop *loop, struct client *c, const char *url)
{
	struct data_config cfg = {
		.url = url,
		.name = c->name,
		.node = c->cfg.node,
		.ask = send_ask,
		.registered = send_registered,
		.changed = client_on_data_changed,
		.user = c,
	};
	struct cl_error err = CL_ERROR_INIT;
	int r;

	if (!url)
		return 0;
	memcpy(cfg.volume, c->cfg.volume, sizeof(cfg.volume));
	r = data_new(loop, &cfg, &c->data, &err);
	if (r < 0)
		log_error("volume '%s': no direct I/O: %s", c->name, err.msg);
	return r == -ENOMEM ? r : 0;
}

static int make_parts(struct cl_loop *loop, struct client *c, const char *url)
{
	int r = holding_init(&c->holding, c->cfg.shared);

	if (r >= 0)
		r = cl_timer_new(loop, client_send_acks, c, &c->ack_timer);
	if (r >= 0)
		r = cl_timer_new(loop, client_look_at_recalls, c, &c->recall_timer);
	if (r >= 0)
		r = cl_timer_new(loop, client_send_touched, c, &c->touch_timer);
	return r < 0 ? r : make_data(loop, c, url);
}

int client_new(struct cl_loop *loop, const struct client_config *config, struct client **ret)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->cfg = *config;
	c->cfg.url = NULL;
	(void)snprintf(c->name, sizeof(c->name), "%s", config->name);
	c->cfg.name = c->name;
	if (getrandom(&c->process, sizeof(c->process), 0) != sizeof(c->process))
		c->process = (uint64_t)cl_mono_now().ns;
	sm_init(&c->sm, "client", c->name, client_states, 4, CLIENT_OFFLINE, NULL);
	r = make_parts(loop, c, config->url);
	if (r < 0) {
		client_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	client_io_fini(c);
	while (c->calls)
		client_answer_error(c, c->calls, ENOTCONN);
	cl_source_free(c->ack_timer);
	client_layout_fini(c);
	unique_vec_fini(&c->acks);
	stopped_vec_fini(&c->stopped);
	holding_fini(&c->holding);
	free(c);
}

bool client_may_begin(const struct client *c)
{
	return !c->data || data_may_begin(c->data);
}

bool client_is_direct(const struct client *c)
{
	return c->data && data_state(c->data) == DATA_OPEN;
}

const char *client_why_not_direct(const struct client *c)
{
	return c->data ? data_reason(c->data) : NULL;
}

void client_begin_batch(struct client *c)
{
	if (c->data)
		data_begin_batch(c->data);
}

void client_end_batch(struct client *c)
{
	if (c->data)
		data_end_batch(c->data);
}

enum client_state client_state(const struct client *c)
{
	return (enum client_state)c->sm.state;
}

unsigned client_waiting(const struct client *c)
{
	return c->n_calls;
}

struct lun_data *client_path(const struct client *c)
{
	return c->data ? data_path(c->data) : NULL;
}

uint64_t client_nexus(const struct client *c)
{
	return c->data ? data_key(c->data) : 0;
}
