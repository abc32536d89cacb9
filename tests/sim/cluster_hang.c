/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A clusterd that hangs: the process lives, and does nothing for a while. What happens meanwhile waits in its
 * sockets and pipes, and is read in order when it goes on; its node is on the ring all the time.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/cluster_driver.h"

static void *copy(const void *from, size_t len)
{
	void *to = malloc(len + 1);

	cl_assert(to);
	if (len)
		memcpy(to, from, len);
	((char *)to)[len] = 0;
	return to;
}

static struct held *hold(struct cworld *w, unsigned node, const struct node_event *ev)
{
	struct held *h = calloc(1, sizeof(*h)), **at = &w->node[node].held;

	cl_assert(h);
	h->ev = *ev;
	while (*at)
		at = &(*at)->next;
	*at = h;
	return h;
}

/* Whether the event waits. A client of a clusterd that hangs gives up. */
bool hang_holds(struct cworld *w, unsigned node, const struct node_event *ev)
{
	struct held *h;

	if (!w->node[node].hung)
		return false;
	if (ev->type == NODE_EV_TICK || ev->type == NODE_EV_REQUEST)
		return true;
	h = hold(w, node, ev);
	switch (ev->type) {
	case NODE_EV_VIEW:
		h->ev.view = h->data = copy(ev->view, sizeof(*ev->view));
		break;
	case NODE_EV_MESSAGE:
		h->ev.message.data = h->data = copy(ev->message.data, ev->message.len);
		break;
	case NODE_EV_VM:
		h->ev.vm.text = h->text = copy(ev->vm.text, strlen(ev->vm.text));
		break;
	case NODE_EV_CSVD:
		h->ev.csvd.text = h->text = copy(ev->csvd.text, strlen(ev->csvd.text));
		break;
	case NODE_EV_FENCE:
		h->ev.fence.text = h->text = copy(ev->fence.text, strlen(ev->fence.text));
		break;
	case NODE_EV_WITNESS:
		h->ev.witness.text = h->text = copy(ev->witness.text, strlen(ev->witness.text));
		h->ev.witness.data = h->data = copy(ev->witness.data, ev->witness.len);
		break;
	default:
		break;
	}
	return true;
}

static void held_free(struct held *h)
{
	free(h->data);
	free(h->text);
	free(h);
}

/* The process has ended. */
void hang_forget(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];

	c->hung = false;
	while (c->held) {
		struct held *h = c->held;

		c->held = h->next;
		held_free(h);
	}
}

static void go_on(struct cworld *w, unsigned node)
{
	struct cnode *c = &w->node[node];
	struct node_event tick = { .type = NODE_EV_TICK };

	if (!c->hung)
		return;
	sim_trace(w->s, "n%u clusterd goes on", node);
	c->hung = false;
	while (c->held && c->core) {
		struct held *h = c->held;

		c->held = h->next;
		cw_event(w, node, &h->ev);
		held_free(h);
	}
	cw_event(w, node, &tick);
}

void hang_begin(struct cworld *w, unsigned node, uint64_t ms)
{
	struct cnode *c = &w->node[node];

	if (!c->core || c->hung)
		return;
	sim_trace(w->s, "n%u clusterd hangs for %lu ms", node, (unsigned long)ms);
	c->hung = true;
	task_new(w, T_HUNG, node, ms)->instance = c->instance;
}

void hang_end(struct cworld *w, struct task *t)
{
	go_on(w, t->node);
}

void hang_heal(struct cworld *w, unsigned node)
{
	if (!sim_frozen(w->s, node))
		go_on(w, node);
}

/* As often for a moment as for very long. */
static uint64_t how_long(struct cworld *w)
{
	return (100 + sim_rand(w->s, 400)) << sim_rand(w->s, 6);
}

void fault_hang(struct cworld *w, unsigned n, unsigned m)
{
	(void)m;
	if (!sim_frozen(w->s, n))
		hang_begin(w, n, how_long(w));
}

/* Later: when the others are about to conclude something of its node. */
void hang_later(struct cworld *w, struct task *t)
{
	if (w->faults)
		hang_begin(w, t->node, t->a ? t->a : how_long(w));
}
