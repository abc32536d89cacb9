/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/fencer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clusterd/core/fence_run.h"
#include "clusterd/daemon.h"
#include "clusterd/fence.h"
#include "lib/log.h"

_Static_assert((int)FENCE_SILENCE_MS <= (int)FENCE_HAND_MS,
	       "an agent is over before the next manager's begin");

struct order {
	LIST_ENTRY(order) link;
	struct fencer *fencer;
	uint64_t id;
	char what[STATE_AGENT_NAME_MAX + 16];
	struct fence_child *child; /* NULL: it could not be begun, and .failed is told by .timer */
	struct cl_source *timer;
	struct fence_end failed;
};

struct fencer {
	struct daemon *d;
	LIST_HEAD(, order) orders;
};

static void order_free(struct order *o)
{
	LIST_REMOVE(o, link);
	fence_child_free(o->child);
	cl_source_free(o->timer);
	free(o);
}

static void on_end(void *user, const struct fence_end *end)
{
	struct order *o = user;
	struct fencer *f = o->fencer;
	struct node_event event = {
		.type = NODE_EV_FENCE,
		.fence = { .id = o->id, .ok = end->code == 0, .text = end->said },
	};

	o->child = NULL;
	if (end->code == 0)
		log_notice("%s: done in %" PRId64 " ms", o->what, end->took_ms);
	else
		log_warning("%s: failed after %" PRId64 " ms: %s", o->what, end->took_ms,
			    end->said);
	order_free(o);
	daemon_step(f->d, &event);
}

static void on_failed(void *user)
{
	struct order *o = user;
	struct fence_end end = o->failed;

	on_end(o, &end);
}

/* Not now: the core is in the middle of its step. */
static void fails(struct order *o, const struct cl_error *err)
{
	o->failed.code = -1;
	(void)snprintf(o->failed.said, sizeof(o->failed.said), "%.150s", err->msg);
	(void)cl_timer_set_in(o->timer, 0);
}

void fencer_do(struct fencer *f, const struct node_action *a)
{
	struct order *o = calloc(1, sizeof(*o));
	struct cl_error err = CL_ERROR_INIT;

	if (!o || cl_timer_new(f->d->loop, on_failed, o, &o->timer) < 0) {
		free(o);
		log_crit("out of memory");
		daemon_stop(f->d, 1);
		return;
	}
	o->fencer = f;
	o->id = a->fence.id;
	(void)snprintf(o->what, sizeof(o->what), "%s %s", a->fence.agent, a->fence.action);
	LIST_INSERT_HEAD(&f->orders, o, link);
	if (fence_child_new(f->d->loop, NULL, f->d->conf.fence_agent_directory, a->fence.agent,
			    a->fence.input, a->fence.timeout_ms, on_end, o, &o->child, &err) < 0)
		fails(o, &err);
}

void fencer_stop(struct fencer *f, uint64_t id)
{
	struct order *o;

	LIST_FOREACH(o, &f->orders, link)
	if (o->id == id) {
		order_free(o);
		return;
	}
}

int fencer_new(struct daemon *d, struct fencer **ret, struct cl_error *err)
{
	struct fencer *f = calloc(1, sizeof(*f));

	if (!f)
		return cl_error_set(err, -ENOMEM, "out of memory");
	f->d = d;
	LIST_INIT(&f->orders);
	*ret = f;
	return 0;
}

void fencer_free(struct fencer *f)
{
	if (!f)
		return;
	while (!LIST_EMPTY(&f->orders))
		order_free(LIST_FIRST(&f->orders));
	free(f);
}
