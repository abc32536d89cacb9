/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which fence agents can switch a node off. */
#include "config.h"

#include "quorum/state_apply.h"

#include <stdio.h>
#include <string.h>

static bool only(const char *text, size_t len, const char *more)
{
	for (size_t i = 0; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
		      (text[i] >= '0' && text[i] <= '9') || strchr(more, text[i])))
			return false;
	return len > 0;
}

/*
 * What is given to a program as lines of its standard input, with what it is to do in one of them: an
 * option with a line break, or one that says `action`, would be an order of its own.
 */
static const char *option_refused(const char *option)
{
	const char *value = strchr(option, '=');
	size_t len = value ? (size_t)(value - option) : 0;

	if (!value || !only(option, len, "_-"))
		return "an option is KEY=VALUE";
	if ((len == 6 && strncmp(option, "action", len) == 0) ||
	    (len == 6 && strncmp(option, "option", len) == 0))
		return "what an agent is to do is not an option";
	for (; *value; value++)
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return "an option has no line breaks";
	return NULL;
}

const char *state_agent_refused(const char *name, char *const options[], size_t n_options)
{
	size_t len = strlen(name), bytes = 0;

	if (len >= STATE_AGENT_NAME_MAX || strncmp(name, "fence_", 6) != 0 ||
	    !only(name, len, "_-"))
		return "an agent is the name of a program fence_... of the fence-agents project";
	for (size_t i = 0; i < n_options; i++) {
		const char *why = option_refused(options[i]);

		if (why)
			return why;
		bytes += strlen(options[i]) + 1;
	}
	return bytes < STATE_AGENT_OPTIONS_MAX ? NULL : "its options are too long";
}

bool state_agent_may_show(const char *key, size_t len)
{
	static const char *const known[] = {
		"ip",	      "ipaddr",	    "ipport",	     "port",
		"plug",	      "login",	    "username",	     "lanplus",
		"ssl",	      "ssh",	    "ssl_secure",    "ssl_insecure",
		"method",     "cipher",	    "privlvl",	     "power_timeout",
		"power_wait", "nodename",   "shell_timeout", "login_timeout",
		"delay",      "inet4_only", "inet6_only",
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strlen(known[i]) == len && strncmp(known[i], key, len) == 0)
			return true;
	return false;
}

const struct state_agent *state_agents(const struct state *s, uint32_t node, size_t *ret_n)
{
	const struct state_agent *first = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < s->agents.n; i++)
		if (s->agents.v[i].node == node) {
			first = first ? first : &s->agents.v[i];
			(*ret_n)++;
		}
	return first;
}

void state_agents_drop(struct state *s, uint32_t node)
{
	for (size_t i = s->agents.n; i-- > 0;)
		if (s->agents.v[i].node == node)
			state_agent_vec_remove(&s->agents, i);
}

/* After all of the same node and a level not above its own: so they stand as they are tried. */
static int insert(struct state *s, const struct state_agent *a)
{
	size_t i = s->agents.n;
	int r = state_agent_vec_push(&s->agents, *a);

	for (; r == 0 && i > 0; i--) {
		const struct state_agent *before = &s->agents.v[i - 1];

		if (before->node < a->node ||
		    (before->node == a->node && before->level <= a->level))
			break;
		s->agents.v[i] = *before;
		s->agents.v[i - 1] = *a;
	}
	return r;
}

int state_agent_push(struct state *s, uint32_t node, const Log__FenceAgent *from)
{
	struct state_agent a = {
		.node = node,
		.level = from->level,
		.timeout_s = from->timeout_s,
		.retries = from->retries,
	};
	size_t n, at = 0;

	(void)state_agents(s, node, &n);
	if (n >= STATE_AGENTS_PER_NODE || from->level < 1 || from->level > STATE_AGENT_LEVELS ||
	    from->timeout_s < 1 || from->timeout_s > STATE_AGENT_TIMEOUT_MAX_S ||
	    from->retries > STATE_AGENT_RETRIES_MAX ||
	    state_agent_refused(from->agent, from->options, from->n_options))
		return -EINVAL;
	STATE_COPY(a.name, from->agent);
	for (size_t i = 0; i < from->n_options; i++)
		at += (size_t)snprintf(a.options + at, sizeof(a.options) - at, "%s\n",
				       from->options[i]);
	return insert(s, &a);
}

void apply_node_fence_set(struct apply *ap, const Log__NodeFenceSet *c)
{
	struct state_node *n = apply_node(ap, c->node);
	struct state fresh = { 0 };
	int r = 0;

	if (!n ||
	    !apply_expect(ap, n->name, "its fence agents' version", c->version, n->fence_version))
		return;
	for (size_t i = 0; r == 0 && i < c->n_agents; i++)
		r = state_agent_push(&fresh, n->id, c->agents[i]);
	if (r == -EINVAL)
		apply_refuse(ap, -EINVAL, "these cannot be the fence agents of node '%s'", n->name);
	if (r == 0) {
		state_agents_drop(ap->state, n->id);
		for (size_t i = 0; r == 0 && i < fresh.agents.n; i++)
			r = insert(ap->state, &fresh.agents.v[i]);
		n->fence_version++;
		n->fence_keep_off = c->keep_off;
		n->off_level = 0; /* those who owed it are others now */
		n->off_begun = false;
		apply_changed(ap, STATE_CHANGED_NODE, n->name, n->id, n->incarnation,
			      "fence-agents-set", -1, "asked for");
	}
	if (r == -ENOMEM)
		ap->no_memory = true;
	state_agent_vec_fini(&fresh.agents);
}
