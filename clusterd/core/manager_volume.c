/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's part about volumes: who coordinates which. A volume without a living coordinator gets one
 * at once; one whose coordinator is drained, has lost its path or refuses what it finds is
 * handed over; and when all has been calm for a while, volumes are spread anew, one at a time.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

/* ---- notes -------------------------------------------------------------------------------------------- */

static struct volume_note *note_get(struct node *n, const struct state_volume *v)
{
	struct volume_note fresh = { .epoch = v->epoch,
				     .no_path_since_ms = INT64_MAX,
				     .refused_since_ms = INT64_MAX };

	for (size_t i = 0; i < n->mgr.notes.n; i++) {
		struct volume_note *note = &n->mgr.notes.v[i];

		if (strcmp(note->name, v->name) != 0)
			continue;
		if (note->epoch != v->epoch) {
			CORE_COPY(fresh.name, v->name);
			*note = fresh;
		}
		return note;
	}
	CORE_COPY(fresh.name, v->name);
	if (volume_note_vec_push(&n->mgr.notes, fresh) < 0) {
		n->out->no_memory = true;
		return NULL;
	}
	return &n->mgr.notes.v[n->mgr.notes.n - 1];
}

static void notes_forget(struct node *n)
{
	for (size_t i = n->mgr.notes.n; i-- > 0;)
		if (!state_volume(&n->state, n->mgr.notes.v[i].name))
			volume_note_vec_remove(&n->mgr.notes, i);
}

/* Several volumes lose their coordinator in one entry: what the first was given counts for the next. */
static uint32_t promised(void *user, uint32_t node)
{
	const struct node *n = user;
	uint32_t count = 0;

	for (size_t i = 0; i < n->mgr.notes.n; i++) {
		const struct volume_note *note = &n->mgr.notes.v[i];
		const struct state_volume *v = state_volume(&n->state, note->name);

		count += note->promised == node && v && v->epoch == note->epoch;
	}
	return count;
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void assign(struct node *n, const struct state_volume *v, uint32_t to, const char *cause)
{
	const struct state_node *s = state_node(&n->state, to);
	struct volume_note *note = note_get(n, v);
	COMMAND(VOLUME_ASSIGN, VolumeAssign, volume_assign);

	m.name = COMMAND_STRING(v->name);
	m.epoch = v->epoch;
	m.node = to;
	m.incarnation = s->incarnation;
	m.cause = COMMAND_STRING(cause);
	if (log_propose(n, v->name, &c) && note)
		note->promised = to;
}

static void release(struct node *n, const struct state_volume *v, uint32_t to)
{
	COMMAND(VOLUME_RELEASE, VolumeRelease, volume_release);

	m.name = COMMAND_STRING(v->name);
	m.epoch = v->epoch;
	m.to = to;
	(void)log_propose(n, v->name, &c);
}

/* ---- one volume ------------------------------------------------------------------------------------------ */

/* Since when; and whether it is so for so long that it will not be over by the next portal. */
static bool lasts(int64_t *since_ms, bool is, int64_t now_ms)
{
	if (!is)
		*since_ms = INT64_MAX;
	else if (*since_ms == INT64_MAX)
		*since_ms = now_ms;
	return is && now_ms - *since_ms >= CORE_LOST_PATH_MS;
}

/* Who reaches it, and has not refused it. */
static uint32_t who_may_open(struct node *n, const struct state_volume *v)
{
	const struct spread_view view = { beats_may_open, promised, n };

	return spread_choose(&n->state, v, v->coordinator, &view);
}

/* Why it has to leave the living node that it is on. */
enum leave { STAYS, REFUSED, LOST, DRAINED };

/*
 * Only a coordinator that says so by itself counts: who is not heard is a matter of the nodes.
 *
 * One that refuses what it finds gives it to a node that has not: its portal may lead to another LUN, or the target may
 * answer it otherwise. And to nobody else: each take-over resets the LUN under all who use its target, and all would find
 * the same. So it comes by each node once, and stays with the last one, whose word is the reason in `status`. Nobody
 * has to remember that: who has refused it goes on saying so until somebody serves it. Both for a while: when it is served
 * again the others may say so before the coordinator is heard.
 */
static enum leave must_leave(struct node *n, const struct state_volume *v)
{
	const struct state_node *s = state_node(&n->state, v->coordinator);
	struct volume_note *note = note_get(n, v);
	bool heard = beats_heard(n, v->coordinator), lost, refused;

	if (s && state_gets_nothing(s))
		return DRAINED;
	if (!note)
		return STAYS;
	lost = lasts(&note->no_path_since_ms, heard && !beats_has_path(n, v->coordinator, v->name),
		     n->now_ms);
	refused = lasts(&note->refused_since_ms,
			beats_refused(n, v->coordinator, v->name) && who_may_open(n, v), n->now_ms);
	return lost ? LOST : refused ? REFUSED : STAYS;
}

static uint32_t successor(struct node *n, const struct state_volume *v, enum leave why)
{
	const struct spread_view view = { beats_has_path, promised, n };
	uint32_t to = who_may_open(n, v);

	return to || why == REFUSED ? to : spread_choose(&n->state, v, v->coordinator, &view);
}

static void volume_step(struct node *n, const struct state_volume *v)
{
	const struct spread_view view = { beats_has_path, promised, n };
	const struct state_node *s;
	enum leave why;
	uint32_t to;

	if (log_in_flight(n, v->name))
		return;
	if (!state_living(&n->state, v->coordinator, v->coordinator_incarnation)) {
		struct volume_note *note = note_get(n, v);

		if (note)
			note->promised = 0;
		/* Debts or not: the new one is who pays them. */
		to = spread_choose(&n->state, v, 0, &view);
		if (to)
			assign(n, v, to, v->coordinator ? "its coordinator failed" : "first one");
		return;
	}
	if (v->moving_to) {
		s = state_node(&n->state, v->moving_to);
		if (!s || s->phase != STATE_NODE_LIVING)
			release(n, v, 0);
		return;
	}
	why = must_leave(n, v);
	if (why == STAYS)
		return;
	to = successor(n, v, why);
	s = state_node(&n->state, to);
	if (s && !state_gets_nothing(s))
		release(n, v, to);
}

/* ---- spreading ------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
	return (h ^ x) * UINT64_C(1099511628211);
}

/* Who lives, and who coordinates what. */
static uint64_t picture(const struct node *n)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < n->state.nodes.n; i++) {
		const struct state_node *s = &n->state.nodes.v[i];

		h = mix(mix(mix(h, s->id), s->incarnation),
			(uint64_t)s->phase * 2 + state_gets_nothing(s));
		h = mix(h, beats_heard(n, s->id));
	}
	for (size_t i = 0; i < n->state.volumes.n; i++)
		h = mix(mix(h, n->state.volumes.v[i].epoch), n->state.volumes.v[i].moving_to);
	return h;
}

static bool anything_migrates(const struct node *n)
{
	for (size_t i = 0; i < n->state.resources.n; i++)
		if (n->state.resources.v[i].reserved)
			return true;
	return false;
}

/*
 * A hand-over makes every user of the volume wait for a moment, and is done for no more than evenness. So
 * only when nothing has changed for a while, and never two at a time: a node that keeps failing and
 * coming back would else drag the volumes after it.
 */
static void spread_step(struct node *n)
{
	const struct spread_view view = { beats_has_path, NULL, n };
	const struct state_volume *v;
	uint64_t now = picture(n);
	uint32_t to = 0;

	if (now != n->mgr.volumes_hash || anything_migrates(n)) {
		n->mgr.volumes_hash = now;
		n->mgr.volumes_since_ms = n->now_ms;
		return;
	}
	if (n->now_ms - n->mgr.volumes_since_ms < CORE_CALM_MS)
		return;
	v = spread_rebalance(&n->state, &view, &to);
	if (v && beats_heard(n, to) && !log_in_flight(n, v->name))
		release(n, v, to);
}

void manager_volumes_step(struct node *n)
{
	notes_forget(n);
	for (size_t i = 0; i < n->state.volumes.n; i++)
		volume_step(n, &n->state.volumes.v[i]);
	spread_step(n);
}
