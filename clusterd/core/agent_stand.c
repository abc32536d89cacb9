/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What should run here and stands, with the reason for people:
 *
 *  - QEMU stopped the guest (no space, an I/O error): continued again and again, later each time, at
 *    once when csvd says something new about its volume.
 *  - A volume waits (no node has a path, no coordinator): QEMU notices nothing, its guest would go
 *    on with I/O that hangs, and count it against its own timeouts. It is stopped after
 *    CORE_NO_PATH_MS and continued when the volume is back. Short waits (a failover) are not worth a
 *    stop.
 *  - Its QEMU does not answer: said, and nothing else. Whether its guest runs is not known; ending
 *    it is the operator's decision (`stop --force`).
 */
#include "config.h"

#include "clusterd/core/internal.h"
#include "lib/bytes.h"

#include <stdio.h>
#include <string.h>

static bool uses(const struct state_resource *r, const char *volume)
{
	for (size_t i = 0; i < r->n_volumes; i++)
		if (strcmp(r->volumes[i], volume) == 0)
			return true;
	return false;
}

/* A volume of r that csvd says cannot be used at present. One not heard of yet says nothing. */
static const struct peer_volume *waiting_volume(const struct node *n,
						const struct state_resource *r)
{
	for (size_t i = 0; i < n->volumes.n; i++) {
		const struct peer_volume *v = &n->volumes.v[i];

		if ((v->mode == STATE_MODE_PAUSED || v->mode == STATE_MODE_UNAVAILABLE) &&
		    uses(r, v->name))
			return v;
	}
	return NULL;
}

static bool anybody_has_path(const struct node *n, const char *volume)
{
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (beats_has_path((void *)(uintptr_t)n, n->state.nodes.v[i].id, volume))
			return true;
	return false;
}

static void say_no_path(const struct node *n, const struct peer_volume *v, char *buf, size_t size)
{
	if (anybody_has_path(n, v->name))
		(void)snprintf(buf, size, "volume '%.63s' waits: %.60s; goes on by itself", v->name,
			       v->reason);
	else
		(void)snprintf(buf, size,
			       "no node can reach volume '%.63s'; goes on by itself when one can",
			       v->name);
}

/* Not in a migration: that has deadlines of its own, and QEMU moves a guest that waits, too. */
static void stop_without_path(struct node *n, struct local *l, const struct state_resource *r,
			      const struct peer_volume *v)
{
	char text[STATE_REASON_MAX];

	if (r->phase != STATE_ONLINE || l->moving || l->found || local_state(l) != LOCAL_RUNNING ||
	    n->now_ms - l->no_path_ms < CORE_NO_PATH_MS)
		return;
	say_no_path(n, v, text, sizeof(text));
	stand_begin(&l->stand, STAND_NO_PATH, text, n->now_ms, n->wall_ms);
	l->gently = true;
	core_vm(n, NODE_VM_STAND, l, text);
	local_enter(n, l, LOCAL_PAUSING, "a volume of it waits");
}

void agent_stand(struct node *n, struct local *l, const struct state_resource *r)
{
	const struct peer_volume *v = waiting_volume(n, r);

	if (!v)
		l->no_path_ms = INT64_MAX;
	else if (l->no_path_ms == INT64_MAX)
		l->no_path_ms = n->now_ms;
	if (v)
		stop_without_path(n, l, r, v);
	if (local_state(l) == LOCAL_RUNNING) {
		stand_runs(&l->stand, n->now_ms);
		stand_tick(&l->stand, n->now_ms);
	}
}

bool agent_may_go_on(const struct node *n, const struct local *l, const struct state_resource *r)
{
	if (l->stand.why == STAND_NO_PATH)
		return !waiting_volume(n, r);
	return stand_due(&l->stand, n->now_ms);
}

static void say_full(const struct node *n, const char *volume, char *buf, size_t size)
{
	char room[CL_BYTES_SIZE], whole[CL_BYTES_SIZE], numbers[80] = "";

	for (size_t i = 0; i < n->volumes.n; i++)
		if (strcmp(n->volumes.v[i].name, volume) == 0 && n->volumes.v[i].size_bytes)
			(void)snprintf(numbers, sizeof(numbers), " (%s free of %s)",
				       cl_bytes(n->volumes.v[i].free_bytes, room),
				       cl_bytes(n->volumes.v[i].size_bytes, whole));
	(void)snprintf(buf, size,
		       "volume '%.63s' is full%.34s; goes on by itself when there is space", volume,
		       numbers);
}

static void say_stop(const struct node *n, const struct local *l, const struct node_vm_event *ev,
		     char *buf, size_t size)
{
	if (*l->full)
		say_full(n, l->full, buf, size);
	else
		(void)snprintf(buf, size, "%.90s; tried again by itself",
			       *ev->text ? ev->text : "QEMU stopped the guest");
}

/* Not ordered: QEMU stopped it, or it could not be continued. */
void agent_on_stop(struct node *n, struct local *l, const struct node_vm_event *ev)
{
	bool full = ev->stop == NODE_VM_STOP_NO_SPACE;
	char text[STATE_REASON_MAX];

	CORE_COPY(l->full, full && ev->volume ? ev->volume : "");
	say_stop(n, l, ev, text, sizeof(text));
	CORE_COPY(l->why, text);
	stand_begin(&l->stand, full ? STAND_NO_SPACE : STAND_ERROR, text, n->now_ms, n->wall_ms);
	local_enter(n, l, LOCAL_PAUSED, "stands by itself");
}

/* Less space frees nobody: tried again would be the guest's next write into the same wall. */
void agent_volume_news(struct node *n, const char *volume, bool fuller)
{
	for (size_t i = 0; i < n->locals.n; i++) {
		struct local *l = n->locals.v[i];
		const struct state_resource *r = state_resource(&n->state, l->name);

		if (!r || !uses(r, volume) || l->stand.why == STAND_NOT)
			continue;
		if (!fuller)
			stand_news(&l->stand, n->now_ms);
		else if (l->stand.why == STAND_NO_SPACE && strcmp(l->full, volume) == 0)
			say_full(n, volume, l->stand.text, sizeof(l->stand.text));
	}
}

static void say_silent(const struct local *l, struct peer_vm *ret)
{
	(void)snprintf(ret->reason, sizeof(ret->reason),
		       "its QEMU does not answer; `stop --force` ends it");
	ret->since_ms = l->silent_ms;
}

bool agent_tell_vm(const struct local *l, struct peer_vm *ret)
{
	*ret = (struct peer_vm){ .generation = l->generation };
	CORE_COPY(ret->name, l->name);
	/* Also while it ends: else those who listen would say that it goes on. */
	if (l->stand.why == STAND_NOT) {
		say_silent(l, ret);
		return l->silent_ms != 0;
	}
	ret->paused = true;
	ret->since_ms = l->stand.since_ms;
	CORE_COPY(ret->reason, l->stand.text);
	return true;
}
