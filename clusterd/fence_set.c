/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `set node NODE fence AGENT|none`: the agents of a node with one more, or without those of a level. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/requests_int.h"
#include "proto/log.pb-c.h"

/* Options of all agents: one is at least "k=" and a line's end. */
enum { OPTIONS_MAX = STATE_AGENTS_PER_NODE * (STATE_AGENT_OPTIONS_MAX / 3 + 1) };

struct set {
	Log__NodeFenceSet m;
	Log__FenceAgent agent[STATE_AGENTS_PER_NODE + 1], *list[STATE_AGENTS_PER_NODE + 1];
	char *options[OPTIONS_MAX];
	char text[STATE_AGENTS_PER_NODE][STATE_AGENT_OPTIONS_MAX];
	size_t n_options;
};

static int number(struct ask *ask, const char *name, unsigned long min, unsigned long max,
		  uint32_t *ret, struct cl_error *err)
{
	const char *text = ask_option(ask, name);
	unsigned long x;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	x = strtoul(text, &end, 10);
	if (!isdigit((unsigned char)*text) || *end || errno || x < min || x > max)
		return cl_error_set(err, -EINVAL, "--%s: '%.20s' is not one of %lu to %lu", name,
				    text, min, max);
	*ret = (uint32_t)x;
	return 0;
}

static Log__FenceAgent *add(struct set *set)
{
	Log__FenceAgent *a = &set->agent[set->m.n_agents];

	log__fence_agent__init(a);
	a->options = &set->options[set->n_options];
	set->list[set->m.n_agents++] = a;
	return a;
}

static void keep(struct set *set, const struct state_agent *from)
{
	char *text = set->text[set->m.n_agents], *save = NULL;
	Log__FenceAgent *a = add(set);

	a->level = from->level;
	a->agent = (char *)(uintptr_t)from->name;
	a->timeout_s = from->timeout_s;
	a->retries = from->retries;
	memcpy(text, from->options, sizeof(from->options));
	for (char *o = strtok_r(text, "\n", &save); o; o = strtok_r(NULL, "\n", &save)) {
		set->options[set->n_options++] = o;
		a->n_options++;
	}
}

static int given(struct ask *ask, struct set *set, uint32_t level, struct cl_error *err)
{
	Log__FenceAgent *a = add(set);
	const char *why;
	int r;

	a->level = level;
	a->agent = (char *)(uintptr_t)ask_operand(ask, 2);
	a->timeout_s = 60;
	a->retries = 1;
	r = number(ask, "limit", 1, STATE_AGENT_TIMEOUT_MAX_S, &a->timeout_s, err);
	if (r == 0)
		r = number(ask, "retries", 0, STATE_AGENT_RETRIES_MAX, &a->retries, err);
	for (size_t i = 0; r == 0 && i < ask->msg->n_options; i++) {
		if (strcmp(ask->msg->options[i]->name, "option") != 0)
			continue;
		if (a->n_options >= STATE_AGENT_OPTIONS_MAX / 3)
			return cl_error_set(err, -EINVAL, "too many options");
		set->options[set->n_options++] = ask->msg->options[i]->value;
		a->n_options++;
	}
	if (r < 0)
		return r;
	why = state_agent_refused(a->agent, a->options, a->n_options);
	return why ? cl_error_set(err, -EINVAL, "'%.40s': %s", a->agent, why) : 0;
}

/* What the node is to have; --level with `none` takes away only those of that level. */
static int fill(struct ask *ask, struct set *set, const struct state_node *s, struct cl_error *err)
{
	const struct state *state = node_state(ask->rq->d->node);
	bool none = strcmp(ask_operand(ask, 2), "none") == 0;
	uint32_t level = none ? 0 : 1;
	size_t n;
	const struct state_agent *has = state_agents(state, s->id, &n);
	int r = number(ask, "level", 1, STATE_AGENT_LEVELS, &level, err);

	for (size_t i = 0; r == 0 && i < n; i++)
		if (!none || (level && has[i].level != level))
			keep(set, &has[i]);
	if (r == 0 && !none)
		r = given(ask, set, level, err);
	if (r == 0 && set->m.n_agents > STATE_AGENTS_PER_NODE)
		r = cl_error_set(err, -EINVAL, "a node has at most %d fence agents",
				 STATE_AGENTS_PER_NODE);
	set->m.node = s->id;
	set->m.version = s->fence_version;
	set->m.keep_off = none ? s->fence_keep_off : ask_option(ask, "keep-off") != NULL;
	return r;
}

static int propose(struct ask *ask, const struct set *set, struct cl_error *err)
{
	struct node_request req = { .verb = NODE_SET_FENCE, .object = ask_operand(ask, 0) };
	size_t len = log__node_fence_set__get_packed_size(&set->m);
	_cleanup_free_ uint8_t *data = malloc(len + 1);
	int r;

	if (!data)
		return cl_error_set(err, -ENOMEM, "out of memory");
	req.spec = data;
	req.spec_len = log__node_fence_set__pack(&set->m, data);
	r = request_core(ask, &req, err);
	explicit_bzero(data, len);
	return r;
}

int do_set_fence(struct ask *ask, const struct state_node *s, struct cl_error *err)
{
	struct set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return cl_error_set(err, -ENOMEM, "out of memory");
	log__node_fence_set__init(&set->m);
	set->m.agents = set->list;
	r = fill(ask, set, s, err);
	if (r == 0)
		r = propose(ask, set, err);
	explicit_bzero(set, sizeof(*set));
	free(set);
	return r;
}
