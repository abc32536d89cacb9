/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests about the cluster's own life: who belongs to it, and by which configuration and keys. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/founding.h"
#include "clusterd/requests_int.h"

#define TOKEN_SECONDS 3600
#define TOKEN_SECONDS_MAX (30 * 86400)

/* ---- becoming a member ----------------------------------------------------------------------------- */

/* A pending of our own is there before the core exists, so that a client that leaves is noticed. */
static int found(struct ask *ask,
		 int (*begin)(struct founding *, uint64_t, const Ipc__Request *, struct cl_error *),
		 struct cl_error *err)
{
	struct pending *p = pending_new(ask, ask_operand(ask, 0));
	int r;

	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->founding = true;
	r = begin(ask->rq->d->founding, ask->client, ask->msg, err);
	if (r < 0)
		pending_free(p);
	return r;
}

int do_init(struct ask *ask, struct cl_error *err)
{
	int r;

	if (ask_option(ask, "force"))
		return do_init_force(ask, err);
	if (ask_option(ask, "without"))
		return cl_error_set(err, -EINVAL, "--without: only with --force");
	r = quorum_init_option(ask, err);
	if (r == 0)
		r = found(ask, founding_init, err);
	if (r == 0)
		quorum_init_begun(ask);
	return r;
}

int do_join(struct ask *ask, struct cl_error *err)
{
	return found(ask, founding_join, err);
}

void requests_founding_failed(struct requests *rq, uint64_t client, const struct cl_error *err)
{
	struct pending *p = pending_find(rq, client);

	if (p)
		pending_fail(rq, p, err);
}

/* "90", "90s", "15m", "2h", "1d". */
static int seconds_of(const char *text, int64_t *ret, struct cl_error *err)
{
	static const struct {
		const char *unit;
		int64_t s;
	} units[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } };
	char *end;
	unsigned long long x = strtoull(text, &end, 10);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]) && end > text && *text != '-'; i++)
		if (strcmp(end, units[i].unit) == 0 && x >= 1 && x <= TOKEN_SECONDS_MAX &&
		    (int64_t)x * units[i].s <= TOKEN_SECONDS_MAX) {
			*ret = (int64_t)x * units[i].s;
			return 0;
		}
	return cl_error_set(err, -EINVAL, "--expires: '%.20s' is not a time of up to 30d", text);
}

int do_create_token(struct ask *ask, struct cl_error *err)
{
	struct daemon *d = ask->rq->d;
	const char *expires = ask_option(ask, "expires");
	int64_t seconds = TOKEN_SECONDS;
	char token[256];
	int r = expires ? seconds_of(expires, &seconds, err) : 0;

	if (r == 0 && !node_has_database(d->node))
		r = cl_error_set(err, -CL_EREFUSED, "this node is in no cluster");
	if (r == 0)
		r = founding_token(d, seconds, token, sizeof(token), err);
	if (r < 0)
		return r;
	ask_answer(ask, json_pack("{s:{s:s,s:s,s:I,s:s}}", "token", "token", token, "node", d->name,
				  "expires_s", (json_int_t)seconds, "cluster",
				  node_state(d->node)->cluster_name));
	return 0;
}

/* ---- going ------------------------------------------------------------------------------------------- */

int do_leave(struct ask *ask, struct cl_error *err)
{
	const char *name = ask->msg->n_args ? ask->msg->args[0] : ask->rq->d->name;

	return ask_core_about(ask, NODE_LEAVE, name, false, err);
}

/* A node that never came: it is in corosync's configuration alone. */
static int make_without(void *user, const struct state_setup *now, struct setup_parts *ret,
			struct cl_error *err)
{
	const struct pending *p = user;
	const char *text = state_setup_text(now, STATE_PART_COROSYNC);
	const struct corosync_node *n;
	struct corosync_conf conf;
	char *made;
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	n = corosync_conf_node_by_name(&conf, p->object);
	r = n ? corosync_conf_remove(text, n->id, node_wants_device(p->rq->d->node), &made, err)
	      : ask_not_found(p->object, err);
	corosync_conf_fini(&conf);
	if (r < 0)
		return r;
	setup_parts_put(ret, STATE_PART_COROSYNC, made);
	ret->cause = "evicted before it came";
	return 0;
}

static void on_changed(void *user, const struct cl_error *err)
{
	struct pending *p = user;

	if (err->code)
		pending_fail(p->rq, p, err);
	else
		pending_done(p->rq, p, pending_message(p, "done"));
}

/* Begins a change of the setup for a client. */
static int change(struct ask *ask, const char *object, setup_make_fn make, struct pending **ret,
		  struct cl_error *err)
{
	struct pending *p = pending_new(ask, object);

	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->rq = ask->rq;
	p->changes = true;
	*ret = p;
	if (setup_change(ask->rq->d->setup, make, on_changed, p) == 0)
		return 0;
	pending_free(p);
	return cl_error_set(err, -ENOMEM, "out of memory");
}

int do_evict(struct ask *ask, struct cl_error *err)
{
	const char *name = ask_operand(ask, 0);
	struct pending *p;

	if (state_node_by_name(node_state(ask->rq->d->node), name))
		return ask_core_about(ask, NODE_EVICT, name, false, err);
	return change(ask, name, make_without, &p, err);
}

int do_stop_node(struct ask *ask, struct cl_error *err)
{
	struct node_request req = { .verb = NODE_STOP_NODE };

	req.object = ask->msg->n_args ? ask->msg->args[0] : ask->rq->d->name;
	req.quick = ask_option(ask, "save") != NULL;
	req.force = ask_option(ask, "force") != NULL;
	return request_core(ask, &req, err);
}

int do_stop_cluster(struct ask *ask, struct cl_error *err)
{
	struct node_request req = { .verb = NODE_STOP_CLUSTER, .object = "cluster", .on = true };

	req.quick = ask_option(ask, "save") != NULL;
	return request_core(ask, &req, err);
}

int do_start_cluster(struct ask *ask, struct cl_error *err)
{
	return ask_core_about(ask, NODE_STOP_CLUSTER, "cluster", false, err);
}

/* ---- keys, certificates --------------------------------------------------------------------- */

static int make_new_key(void *user, const struct state_setup *now, struct setup_parts *ret,
			struct cl_error *err)
{
	char *made;
	int r = corosync_conf_touch(state_setup_text(now, STATE_PART_COROSYNC), &made, err);

	(void)user;
	if (r < 0)
		return r;
	setup_parts_put(ret, STATE_PART_COROSYNC, made);
	ret->cause = "a new corosync key";
	return setup_new_key(ret, err);
}

static int make_new_ca(void *user, const struct state_setup *now, struct setup_parts *ret,
		       struct cl_error *err)
{
	const struct pending *p = user;

	ret->cause = "a new CA";
	return setup_new_ca(node_state(p->rq->d->node)->cluster_name, now, ret, err);
}

int do_rotate(struct ask *ask, struct cl_error *err)
{
	const char *what = ask_operand(ask, 0);
	struct pending *p;

	if (strcmp(what, "key") == 0)
		return change(ask, what, make_new_key, &p, err);
	if (strcmp(what, "certificates") == 0)
		return change(ask, what, make_new_ca, &p, err);
	return cl_error_set(err, -EINVAL, "rotate: '%.40s' is neither key nor certificates", what);
}

/* ---- what is set about one member ------------------------------------------------------------------ */

int do_set_node(struct ask *ask, struct cl_error *err)
{
	const struct state_node *s =
		state_node_by_name(node_state(ask->rq->d->node), ask_operand(ask, 0));
	const char *what = ask_operand(ask, 1);

	if (!s)
		return ask_not_found(ask_operand(ask, 0), err);
	if (strcmp(what, "address") == 0)
		return do_set_address(ask, s, err);
	if (strcmp(what, "fence") == 0)
		return do_set_fence(ask, s, err);
	(void)cl_error_set(err, -EINVAL, "a node has no setting '%.40s'", what);
	return cl_error_hint(err, "set node NODE fence AGENT|none, set node NODE address ADDRESS");
}
