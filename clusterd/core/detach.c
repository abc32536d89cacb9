/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A planned stop of clusterd (an upgrade, `systemctl restart`): VMs run on and nobody is disturbed, for
 * DETACH_MS at most.
 *
 *   N: told to end ---- `N detached for D` ----> the log
 *      at a            lease := a + D - margin,      each node, when it applies it (at b >= a): N is not failed
 *                      unwatched; written for csvd,  for silence, its bound is not before b + D, and nothing is
 *                      feeder and the next           concluded from its heartbeats
 *                      clusterd; ends
 *      new process: inherits that lease; first acks: lease := its beats'; watched; `N is back` ----> the log
 *
 * N counts from before it asked, the others from when they applied it: whoever leads later has applied it,
 * too, or begun after it, so none of them counts from an earlier moment. The margin is for clocks that run at
 * different rates. `N is back` is said only once N itself lives by the shorter lease, and heeds its heartbeats.
 *
 * Unwatched: no beat is acked while it is away, so that one heartbeat which is late by a second would freeze its
 * VMs until it is back. The price: a machine that dies meanwhile leaves the ring, and has failed at once; but
 * what it ran starts only when D is over, or somebody (an agent, a person) knows that it is off.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <stdio.h>
#include <string.h>

#include "quorum/state_schema.h"

enum {
	DETACH_MS = 120000,
	DETACH_MARGIN_MS = DETACH_MS / 50, /* clocks, a hundredth each */
	DETACH_ASK_MS = 3000,		   /* nobody notes it: then it ends without */
	DETACH_GOODBYE_MS = 10000, /* its machine goes down: so long it may take to end all */
};

static void propose(struct node *n, const struct state_node *s, uint32_t for_ms)
{
	COMMAND(NODE_DETACH, NodeDetach, node_detach);

	m.node = s->id;
	m.incarnation = s->incarnation;
	m.number = for_ms ? n->detach.number : s->detaches;
	m.for_ms = for_ms;
	agent_propose(n, s->name, &c);
}

static void end(struct node *n, const char *how)
{
	n->detach.ended = true;
	wit_keep_known(n, true);
	CORE_COPY(core_emit(n, NODE_DO_END)->reply.text, how);
}

/*
 * Beats go on until the process has ended; what they bring is shorter. Unwatched only now that the entry is applied:
 * before, the others may find it silent on the storage.
 */
static void noted(struct node *n)
{
	struct node_quorum q;
	bool enough;

	node_get_quorum(n, &q);
	enough = !node_is_voter(n, n->cfg.id) || q.heard > q.need;
	lease_detach(&n->lease, n->detach.asked_ms + DETACH_MS - DETACH_MARGIN_MS);
	if (state_schema(&n->state) >= SCHEMA_UNWATCHED &&
	    !(n->cfg.defects & NODE_DEFECT_DETACH_WATCHED))
		lease_unwatch(&n->lease);
	beats_tell_lease(n);
	if (!enough)
		core_event(n, n->cfg.name, "majority-lost",
			   "without its clusterd the others are no majority: their VMs pause until "
			   "one is back");
	end(n, enough ? "the others know; its VMs run on without it for two minutes"
		      : "the others know, but are no majority without it: their VMs pause soon, "
			"this node's run on "
			"for two minutes");
}

bool detach_unwatched(const struct node *n)
{
	const struct state_node *own = state_node(&n->state, n->cfg.id);

	if ((n->cfg.defects & NODE_DEFECT_DETACH_WATCH_LATE) && own && own->detached_ms)
		return true;
	return n->detach.ended || n->lease.inherited;
}

void detach_ask(struct node *n)
{
	const struct state_node *s = n->raft ? state_node(&n->state, n->cfg.id) : NULL;

	if (n->detach.asked_ms)
		return;
	n->detach.asked_ms = n->now_ms;
	n->detach.number = s ? s->detaches : 0;
	if (s && (s->stopping || s->goodbye))
		return; /* goodbye_step() */
	if (!s || n->life != NODE_UP || !n->incarnation || s->incarnation != n->incarnation)
		end(n, "it has nothing to say to the others");
}

/*
 * Its machine goes down: nobody will take over what runs here, and two minutes would be waited for nothing. What is
 * left is killed now (node.c), and the others told; when that does not succeed it fails as any other.
 */
static void goodbye_step(struct node *n, const struct state_node *s)
{
	if (s->goodbye)
		end(n, "it has said goodbye");
	else if (n->now_ms - n->detach.asked_ms >= DETACH_GOODBYE_MS)
		end(n, "it could not say goodbye in time");
}

static void ending_step(struct node *n, const struct state_node *s)
{
	if (n->detach.ended)
		return;
	if (s && (s->stopping || s->goodbye))
		goodbye_step(n, s);
	else if (!s || n->life != NODE_UP || s->incarnation != n->incarnation)
		end(n, "the others could not be told");
	else if (s->detaches == n->detach.number + 1 && s->detached_ms)
		noted(n);
	else if (n->now_ms - n->detach.asked_ms >= DETACH_ASK_MS)
		end(n, "nobody took note of it");
	else if (agent_due(n, &n->detach.told_ms)) {
		/* An `is back` of ours was under way, and came first. */
		if (!s->detached_ms)
			n->detach.number = s->detaches;
		propose(n, s, DETACH_MS);
	}
}

/*
 * Whoever reads that it is back may find it silent on the storage, before it reads so itself: it heeds its
 * heartbeats first. Its units of before are on the volumes, whether or not its csvd asks this moment.
 */
static void heed_again(struct node *n)
{
	if (n->lease.watched || n->state.volumes.n == 0 ||
	    (n->cfg.defects & NODE_DEFECT_DETACH_WATCH_LATE))
		return;
	lease_watch(&n->lease);
	beats_tell_lease(n);
}

/* Only under a lease that this very process got: see above. */
static void back_step(struct node *n, const struct state_node *s)
{
	bool lives = n->life == NODE_UP && !n->lease.inherited && s->incarnation == n->incarnation;

	if (!lives)
		return;
	heed_again(n);
	if (agent_due(n, &n->detach.told_ms))
		propose(n, s, 0);
}

/* ---- the others --------------------------------------------------------------------------------------- */

static struct detach_seen *seen_find(const struct node *n, const struct state_node *s)
{
	for (size_t i = 0; i < n->detach.seen.n; i++)
		if (n->detach.seen.v[i].node == s->id && n->detach.seen.v[i].number == s->detaches)
			return &n->detach.seen.v[i];
	return NULL;
}

static void seen_step(struct node *n, const struct state_node *s)
{
	struct detach_seen seen = { .node = s->id, .number = s->detaches, .at_ms = n->now_ms };

	if (!s->detached_ms || seen_find(n, s))
		return;
	for (size_t i = n->detach.seen.n; i-- > 0;)
		if (n->detach.seen.v[i].node == s->id)
			detach_seen_vec_remove(&n->detach.seen, i);
	if (detach_seen_vec_push(&n->detach.seen, seen) < 0)
		n->out->no_memory = true;
}

bool detach_holds(const struct node *n, const struct state_node *s)
{
	const struct detach_seen *seen = seen_find(n, s);

	if (!s->detached_ms || (n->cfg.defects & NODE_DEFECT_DETACH_FORGOTTEN))
		return false;
	return !seen || n->now_ms - seen->at_ms < s->detached_ms;
}

bool detach_names(const struct node *n, char *names, size_t size)
{
	size_t len = 0;

	names[0] = 0;
	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		if (s->id == n->cfg.id || s->phase != STATE_NODE_LIVING || !s->detached_ms ||
		    len >= size)
			continue;
		len += (size_t)snprintf(names + len, size - len, "%s%s", len ? ", " : "", s->name);
	}
	return len > 0;
}

void detach_step(struct node *n)
{
	const struct state_node *own = state_node(&n->state, n->cfg.id);

	for (size_t i = 0; i < n->state.nodes.n; i++)
		seen_step(n, &n->state.nodes.v[i]);
	if (n->detach.asked_ms)
		ending_step(n, own);
	else if (own && own->detached_ms)
		back_step(n, own);
}

int64_t detach_deadline(const struct node *n)
{
	return n->detach.asked_ms && !n->detach.ended ? n->now_ms + CORE_REPEAT_MS : INT64_MAX;
}
