/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `set node NODE address ADDRESS`: begun here, and watched to its end. Its steps are made by whoever leads
 * (corosync_move.h, core/setup_links.c): if this clusterd ends meanwhile, they are made all the same.
 */
#include "config.h"

#include <string.h>

#include "clusterd/corosync_move.h"
#include "clusterd/requests_int.h"
#include "clusterd/setup_links.h"
#include "lib/address.h"
#include "quorum/state_schema.h"

#define WATCH_MS 200

struct readdress {
	struct pending *p;
	char from[STATE_ADDRESS_MAX], to[STATE_ADDRESS_MAX];
	struct cl_source *watch;
	enum corosync_move_step said;
};

void readdress_free(struct readdress *r)
{
	if (!r)
		return;
	cl_source_free(r->watch);
	free(r);
}

static const struct state_setup *setup_of(const struct pending *p)
{
	return &node_state(p->rq->d->node)->setup;
}

/* ---- to its end ------------------------------------------------------------------------------------- */

static const char *words(enum corosync_move_step step)
{
	switch (step) {
	case COROSYNC_MOVE_ADDED:
		return "a second link with the new address has to stand between all nodes";
	case COROSYNC_MOVE_DROPPED:
		return "it carries the ring; the old link is deleted";
	default:
		return "the link is made anew with the new address";
	}
}

static void ended(struct readdress *r, const struct corosync_conf *conf)
{
	const struct corosync_node *n = corosync_conf_node_by_name(conf, r->p->object);
	struct cl_error err = CL_ERROR_INIT;

	for (size_t i = 0; n && i < n->n_addresses; i++)
		if (strcmp(n->address[i], r->to) == 0) {
			pending_done(r->p->rq, r->p, pending_message(r->p, "done"));
			return;
		}
	(void)cl_error_set(&err, -EIO, "%s", setup_cause(r->p->rq->d->setup));
	pending_fail(r->p->rq, r->p, &err);
}

static void on_watch(void *user)
{
	struct readdress *r = user;
	enum corosync_move_step step;
	struct corosync_conf conf;

	(void)cl_timer_set_in(r->watch, WATCH_MS);
	if (corosync_conf_read(state_setup_text(setup_of(r->p), STATE_PART_COROSYNC), &conf, NULL) <
	    0)
		return;
	step = corosync_move_step(&conf);
	if (step != COROSYNC_MOVE_NONE && step != r->said)
		pending_progress(r->p->rq, r->p, words(step), (int)(step - 1) * 33);
	r->said = step;
	if (step == COROSYNC_MOVE_NONE && node_setup_loaded(r->p->rq->d->node))
		ended(r, &conf);
	corosync_conf_fini(&conf);
}

static void on_begun(void *user, const struct cl_error *err)
{
	struct pending *p = user;

	if (err->code)
		pending_fail(p->rq, p, err);
	else
		(void)cl_timer_set_in(p->readdress->watch, 0);
}

/* ---- its begin ---------------------------------------------------------------------------------------- */

static int make_begun(void *user, const struct state_setup *now, struct setup_parts *ret,
		      struct cl_error *err)
{
	const struct pending *p = user;
	const struct readdress *rd = p->readdress;
	char *made;
	int r;

	/* The change that takes a node out comes on its own, and must not be the one that this one undoes. */
	if (state_setup_has_gone(now))
		return cl_error_set(err, -CL_EREFUSED, "a node is leaving: try again in a moment");
	r = corosync_move_begin(state_setup_text(now, STATE_PART_COROSYNC), p->object,
				*rd->from ? rd->from : NULL, rd->to, &made, err);
	if (r < 0)
		return r;
	setup_parts_put(ret, STATE_PART_COROSYNC, made);
	ret->cause = "a node's address: a second link";
	return 0;
}

static bool on_ring(const struct daemon *d, uint32_t id)
{
	for (size_t i = 0; i < d->view.n_members; i++)
		if (d->view.members[i] == id)
			return true;
	return false;
}

/*
 * All have to be there: one that is away comes back by its old corosync.conf, and would look for the node where it
 * is no longer.
 */
static int check_members(const struct ask *ask, const struct state_node *moved,
			 struct cl_error *err)
{
	const struct daemon *d = ask->rq->d;
	const struct state *state = node_state(d->node);

	if (!d->view.quorate)
		return cl_error_set(err, -CL_EREFUSED,
				    "no majority of the nodes is there to decide");
	if (state_schema(state) < SCHEMA_LINKS) {
		(void)cl_error_set(
			err, -CL_EREFUSED,
			"nodes of an older version do not say whether their links stand");
		return cl_error_hint(err, "upgrade clusterd on all nodes first");
	}
	for (size_t i = 0; i < state->nodes.n; i++) {
		const struct state_node *s = &state->nodes.v[i];

		if (s->phase == STATE_NODE_LIVING && on_ring(d, s->id))
			continue;
		(void)cl_error_set(
			err, -CL_EREFUSED, "'%s' is not up%s", s->name,
			s == moved ? ": it cannot be given an address"
				   : ": it would look for the others by its old configuration");
		return cl_error_hint(err, "`clusterctl evict %s` takes it out; it may `join` again",
				     s->name);
	}
	for (size_t i = 0; i < state->nodes.n; i++) {
		const struct state_node *s = &state->nodes.v[i];

		if (s != moved && (strcmp(s->storage_address, ask_operand(ask, 2)) == 0 ||
				   strcmp(s->migration_address, ask_operand(ask, 2)) == 0))
			return cl_error_set(err, -EEXIST, "'%s' has the address %.63s already",
					    s->name, ask_operand(ask, 2));
	}
	if (moved->id == d->id && !setup_links_have(ask_operand(ask, 2)))
		return cl_error_set(err, -CL_EREFUSED,
				    "no interface of '%s' has the address '%.63s'", moved->name,
				    ask_operand(ask, 2));
	return 0;
}

static struct readdress *readdress_new(struct ask *ask, struct pending *p)
{
	const char *from = ask_option(ask, "instead-of");
	struct readdress *r = calloc(1, sizeof(*r));

	if (!r || cl_timer_new(ask->rq->d->loop, on_watch, r, &r->watch) < 0) {
		free(r);
		return NULL;
	}
	r->p = p;
	(void)snprintf(r->to, sizeof(r->to), "%s", ask_operand(ask, 2));
	(void)snprintf(r->from, sizeof(r->from), "%s", from ? from : "");
	return r;
}

/* Not corosync's: csvd's or migration's, on a network of its own. */
static bool is_another(const struct ask *ask, const struct state_node *s)
{
	const char *from = ask_option(ask, "instead-of");
	const struct corosync_node *n;
	struct corosync_conf conf;
	bool is = from && (strcmp(from, s->storage_address) == 0 ||
			   strcmp(from, s->migration_address) == 0);

	if (!is || corosync_conf_read(state_setup_text(&node_state(ask->rq->d->node)->setup,
						       STATE_PART_COROSYNC),
				      &conf, NULL) < 0)
		return false;
	n = corosync_conf_node(&conf, s->id);
	for (size_t i = 0; n && i < n->n_addresses; i++)
		is = is && strcmp(n->address[i], from) != 0;
	corosync_conf_fini(&conf);
	return is;
}

static int set_another(struct ask *ask, const struct state_node *s, struct cl_error *err)
{
	struct node_request req = { .verb = NODE_SET_ADDRESS,
				    .object = s->name,
				    .target = ask_option(ask, "instead-of"),
				    .url = ask_operand(ask, 2) };
	struct sockaddr_storage at;

	if (cl_address_parse(req.url, 1, &at) < 0)
		return cl_error_set(err, -EINVAL, "'%.63s' is not a numeric address", req.url);
	/* Nobody else knows its interfaces, and no link shows that it is reached. */
	if (s->id != ask->rq->d->id)
		return cl_error_set(err, -CL_EREFUSED,
				    "%s is not one of corosync's: ask '%s' itself for this",
				    req.target, s->name);
	return request_core(ask, &req, err);
}

int do_set_address(struct ask *ask, const struct state_node *s, struct cl_error *err)
{
	struct pending *p;
	int r = check_members(ask, s, err);

	if (r < 0)
		return r;
	if (is_another(ask, s))
		return set_another(ask, s, err);
	p = pending_new(ask, s->name);
	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->rq = ask->rq;
	p->changes = true;
	p->readdress = readdress_new(ask, p);
	if (p->readdress && setup_change(ask->rq->d->setup, make_begun, on_begun, p) == 0)
		return 0;
	pending_free(p);
	return cl_error_set(err, -ENOMEM, "out of memory");
}
