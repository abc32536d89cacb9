/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `fence test NODE`: each agent of the node is run from here, twice: `monitor` (does it reach what it
 * controls?) and `status` (is the node on?). Nothing is switched. Any node may come to be the manager, so
 * each is to be tried.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "clusterd/fence.h"
#include "clusterd/requests_int.h"

static const char *const actions[] = { "monitor", "status" };
enum { ACTIONS = sizeof(actions) / sizeof(*actions) };

struct fence_test {
	struct requests *rq;
	struct pending *p;
	struct state_agent agent[STATE_AGENTS_PER_NODE];
	size_t n, at; /* at: agent and action */
	bool bad;
	json_t *done;
	struct fence_child *child;
};

void fence_test_free(struct fence_test *t)
{
	if (!t)
		return;
	fence_child_free(t->child);
	json_decref(t->done);
	explicit_bzero(t->agent, sizeof(t->agent));
	free(t);
}

static const char *word(const char *action, int code)
{
	bool status = strcmp(action, "status") == 0;

	if (code == 0)
		return status ? "on" : "ok";
	return status && code == 2 ? "off" : "failed";
}

static void run(struct fence_test *t);

static void note(struct fence_test *t, const struct fence_end *end)
{
	const struct state_agent *a = &t->agent[t->at / ACTIONS];
	const char *action = actions[t->at % ACTIONS], *result = word(action, end->code);
	bool bad = strcmp(result, "failed") == 0;

	t->bad = t->bad || bad;
	(void)json_array_append_new(t->done,
				    json_pack("{s:i,s:s,s:s,s:s,s:s?,s:I}", "level", (int)a->level,
					      "agent", a->name, "action", action, "result", result,
					      "text", bad && end->said[0] ? end->said : NULL,
					      "duration_ms", (json_int_t)end->took_ms));
}

static void on_end(void *user, const struct fence_end *end)
{
	struct fence_test *t = user;

	t->child = NULL;
	note(t, end);
	t->at++;
	run(t);
}

static void finish(struct fence_test *t)
{
	json_t *json = json_pack("{s:{s:s,s:b,s:O}}", "fence_test", "node", t->p->object, "ok",
				 (int)!t->bad, "agents", t->done);

	pending_done(t->rq, t->p, json); /* frees t */
}

/* The next one that can be begun; those that cannot be are told at once. */
static void run(struct fence_test *t)
{
	for (; t->at < t->n * ACTIONS; t->at++) {
		const struct state_agent *a = &t->agent[t->at / ACTIONS];
		char input[STATE_AGENT_OPTIONS_MAX + 32];
		struct cl_error err = CL_ERROR_INIT;
		struct fence_end end = { .code = -1 };
		int r;

		(void)snprintf(input, sizeof(input), "%saction=%s\n", a->options,
			       actions[t->at % ACTIONS]);
		r = fence_child_new(t->rq->d->loop, NULL, t->rq->d->conf.fence_agent_directory,
				    a->name, input, (int64_t)a->timeout_s * 1000, on_end, t,
				    &t->child, &err);
		explicit_bzero(input, sizeof(input));
		if (r == 0)
			return;
		(void)snprintf(end.said, sizeof(end.said), "%.150s", err.msg);
		note(t, &end);
	}
	finish(t);
}

int do_fence_test(struct ask *ask, struct cl_error *err)
{
	const struct state *state = node_state(ask->rq->d->node);
	const struct state_node *s = state_node_by_name(state, ask_operand(ask, 0));
	const struct state_agent *has;
	struct fence_test *t;
	size_t n = 0;

	if (!s)
		return ask_not_found(ask_operand(ask, 0), err);
	has = state_agents(state, s->id, &n);
	if (!has) {
		(void)cl_error_set(err, -CL_EREFUSED, "node '%s' has no fence agents", s->name);
		return cl_error_hint(err, "clusterctl set node %s fence AGENT", s->name);
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return cl_error_set(err, -ENOMEM, "out of memory");
	t->rq = ask->rq;
	t->n = n;
	memcpy(t->agent, has, n * sizeof(*has));
	t->done = json_array();
	t->p = pending_new(ask, s->name);
	if (!t->p || !t->done) {
		if (t->p)
			pending_free(t->p);
		fence_test_free(t);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	t->p->test = t;
	run(t);
	return 0;
}
