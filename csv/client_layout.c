/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts: what is asked for, what is granted, what is called back, and the times of files that were
 * written behind the coordinator's back.
 */
#include "config.h"

#include <errno.h>
#include <time.h>

#include "csv/client_int.h"
#include "lib/log.h"

/* For reading as much is asked for as one answer can well carry: a VM's disk is learned in a few
 * questions. For writing only what is needed or known to be DATA: asking fills holes. */
#define WINDOW (64u << 20)
#define REFUSED_MS 200	   /* past the end of file, or not to be had just now */
#define REDIRECTED_MS 1000 /* by order, for the whole file */
#define TELL_MS 1000
#define LAYOUT_ALIGN 4096

/* ---- asking -------------------------------------------------------------------------------- */

static const struct ask *find_ask(const struct client *c, uint64_t ino, uint64_t start,
				  uint64_t end, bool write)
{
	for (size_t i = 0; i < c->asks.n; i++) {
		const struct ask *a = &c->asks.v[i];

		if (a->ino == ino && a->write == write && !a->grow && a->start <= start &&
		    a->end >= end)
			return a;
	}
	return NULL;
}

static bool send_ask(struct client *c, const struct ask *a, uint64_t fh)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__LayoutGet body = CSV__LAYOUT_GET__INIT;

	body.id = a->id;
	body.ino = a->ino;
	body.fh = fh;
	body.offset = a->start;
	body.length = a->end - a->start;
	body.write = a->write;
	body.grow = a->grow;
	msg.msg_case = CSV__MESSAGE__MSG_LAYOUT_GET;
	msg.layout_get = &body;
	return client_send(c, false, &msg);
}

static struct ask for_reading(uint64_t start, uint64_t end)
{
	return (struct ask){
		.start = start / WINDOW * WINDOW,
		.end = (end + WINDOW - 1) / WINDOW * WINDOW,
	};
}

/* Holes within the call's range only: they are filled by the question. DATA as far as it is known. */
static struct ask for_writing(struct client *c, uint64_t ino, uint64_t start, uint64_t end,
			      const struct map_extent *pieces, int n)
{
	struct ask a = { .start = start, .end = end, .write = true };
	struct ask w = for_reading(start, end);

	for (int i = 0; i < n; i++)
		if (!pieces[i].address)
			return a;
	map_widen(&c->map, ino, &a.start, &a.end, w.start, w.end);
	return a;
}

/* Sends a (a broken connection asks again); the call waits for it, or for one that asks the same. */
static bool wait_for(struct client *c, struct call *call, const struct ask *same, struct ask *a)
{
	if (!same) {
		a->id = ++c->last_ask;
		a->ino = call->op.ino;
		if (ask_vec_push(&c->asks, *a) < 0)
			return false;
		same = &c->asks.v[c->asks.n - 1];
		(void)send_ask(c, same, call->op.fh);
	}
	call->ask = same->id;
	call->asks++;
	call->way = CALL_ASKING;
	return true;
}

bool client_ask_growth(struct client *c, struct call *call, uint64_t start, uint64_t end)
{
	struct ask a = { .start = start, .end = end, .write = true, .grow = true };

	return client_may_send(c) && end <= INT64_MAX - WINDOW && wait_for(c, call, NULL, &a);
}

bool client_ask_layout(struct client *c, struct call *call, uint64_t start, uint64_t end,
		       bool write)
{
	struct map_extent pieces[DIO_PIECES];
	uint64_t ino = call->op.ino;
	struct ask a;
	int n = write ? map_lookup(&c->map, ino, start, end, false, pieces, DIO_PIECES) : 0;

	if (n < 0 || !client_may_send(c) || end > INT64_MAX - WINDOW)
		return false;
	a = n ? for_writing(c, ino, start, end, pieces, n) : for_reading(start, end);
	return wait_for(c, call, find_ask(c, ino, a.start, a.end, a.write), &a);
}

/* ---- grants -------------------------------------------------------------------------------- */

static bool to_extents(const Csv__Layout *l, struct map_extent_vec *out)
{
	for (size_t i = 0; i < l->n_extents; i++) {
		const Csv__Extent *e = l->extents[i];
		struct map_extent x = { .start = e->offset,
					.end = e->offset + e->length,
					.address = e->address,
					.write = l->write && e->address,
					.grow = l->grow };

		if (e->offset % LAYOUT_ALIGN || e->address % LAYOUT_ALIGN ||
		    e->offset > INT64_MAX || e->length > INT64_MAX ||
		    map_extent_vec_push(out, x) < 0)
			return false;
	}
	return true;
}

/* Where the answer leaves off: what lies behind is not asked for again at once. */
static void note_refused(struct client *c, const struct ask *a, const Csv__Layout *l,
			 const struct map_extent_vec *got)
{
	int64_t now = cl_mono_ms(cl_mono_now());

	if (a->grow) {
		if (!got->n)
			(void)map_refuse_growth(&c->map, a->ino, now + REFUSED_MS);
	} else if (!got->n && *l->reason)
		(void)map_refuse(&c->map, a->ino, 0, now + REDIRECTED_MS);
	else if (!got->n)
		(void)map_refuse(&c->map, a->ino, a->start, now + REFUSED_MS);
	else if (got->v[got->n - 1].end < a->end)
		(void)map_refuse(&c->map, a->ino, got->v[got->n - 1].end, now + REFUSED_MS);
}

/* false: an answer that does not hold together. */
static bool take_grant(struct client *c, const struct ask *a, const Csv__Layout *l)
{
	struct map_extent_vec got = { 0 };
	bool ok = to_extents(l, &got);

	if (ok)
		ok = map_insert(&c->map, a->ino, got.v, got.n) != -EINVAL;
	if (ok)
		note_refused(c, a, l, &got);
	map_extent_vec_fini(&got);
	return ok;
}

/* Those that waited for it: by the map, or, when there was an error, by the coordinator, which will
 * have a better word for it. */
static void route_askers(struct client *c, uint64_t ask, bool failed)
{
	struct call *call, *next;

	for (call = c->calls; call; call = next) {
		next = call->next;
		if (call->way != CALL_ASKING || call->ask != ask)
			continue;
		call->no_direct |= failed;
		client_route(c, call);
	}
}

bool client_on_layout(struct client *c, const Csv__Layout *l)
{
	struct ask a = { 0 };

	for (size_t i = 0; i < c->asks.n; i++)
		if (c->asks.v[i].id == l->id) {
			a = c->asks.v[i];
			ask_vec_remove(&c->asks, i);
			break;
		}
	if (!a.id || a.ino != l->ino)
		return a.id == 0; /* nobody asked: it is recalled like any other */
	if (!l->error && !take_grant(c, &a, l)) {
		log_error("volume '%s': a layout of inode %llu makes no sense", c->name,
			  (unsigned long long)l->ino);
		return false;
	}
	route_askers(c, a.id, l->error != 0);
	return true;
}

/* Answers to questions that are still on their way are dropped, too: they would outlive the handle. */
void client_drop_layouts(struct client *c, uint64_t ino)
{
	map_drop(&c->map, ino);
	for (size_t i = 0; i < c->asks.n;)
		if (c->asks.v[i].ino == ino)
			ask_vec_remove(&c->asks, i);
		else
			i++;
}

void client_forget_questions(struct client *c)
{
	ask_vec_clear(&c->asks);
	recall_vec_clear(&c->recalls);
	cl_timer_cancel(c->recall_timer);
}

/* ---- recalls ------------------------------------------------------------------------------- */

static void send_recalled(struct client *c, uint64_t id, unsigned in_flight, unsigned oldest_ms)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Recalled body = CSV__RECALLED__INIT;

	counters_add(c->cfg.counters,
		     in_flight ? COUNTERS_RECALLS_BUSY : COUNTERS_RECALLS_ANSWERED);
	body.id = id;
	body.returned = !in_flight;
	body.in_flight = in_flight;
	body.oldest_ms = oldest_ms;
	msg.msg_case = CSV__MESSAGE__MSG_RECALLED;
	msg.recalled = &body;
	(void)client_send(c, false, &msg);
}

/* How much direct I/O it has to wait for. I/O of unknown fate counts: it may still land. */
static unsigned in_its_way(const struct client *c, const struct recall *r, unsigned *ret_oldest_ms)
{
	return client_io_in(c, r->ino, r->start, r->end, r->keep_read, ret_oldest_ms);
}

/* Returned ones leave; busy ones are told so, when it is time. */
static void look_at_recalls(struct client *c, bool tell_busy)
{
	unsigned busy, oldest;

	for (size_t i = 0; i < c->recalls.n;) {
		busy = in_its_way(c, &c->recalls.v[i], &oldest);
		if (!busy || tell_busy)
			send_recalled(c, c->recalls.v[i].id, busy, oldest);
		if (busy)
			i++;
		else
			recall_vec_remove(&c->recalls, i);
	}
	if (c->recalls.n && tell_busy)
		(void)cl_timer_set_in(c->recall_timer, TELL_MS);
}

void client_look_at_recalls(void *user)
{
	look_at_recalls(user, true);
}

void client_recalls_ended(struct client *c)
{
	if (c->recalls.n)
		look_at_recalls(c, false);
}

/*
 * Out of the map first: from here on nothing new begins in the range. The answer says what is under
 * way; RETURNED only when that is nothing, else the coordinator would give the blocks to somebody
 * else and our write would land there.
 */
void client_on_recall(struct client *c, const Csv__Recall *in)
{
	struct recall r = { .id = in->id, .ino = in->ino, .start = in->offset };
	unsigned busy, oldest;

	r.end = in->length > UINT64_MAX - in->offset ? UINT64_MAX : in->offset + in->length;
	r.keep_read = in->keep_read;
	map_take(&c->map, r.ino, r.start, r.end, r.keep_read);
	busy = in_its_way(c, &r, &oldest);
#ifdef CL_DEFECTS
	if (c->cfg.defects & CLIENT_DEFECT_NO_DRAIN)
		busy = 0;
#endif
	send_recalled(c, r.id, busy, oldest);
	if (!busy)
		return;
	if (!c->recalls.n)
		(void)cl_timer_set_in(c->recall_timer, TELL_MS);
	if (recall_vec_push(&c->recalls, r) < 0)
		c->cfg.reconnect(c->cfg.user); /* cannot be remembered: it comes again at resume */
}

/* ---- times --------------------------------------------------------------------------------- */

void client_touch(struct client *c, uint64_t ino)
{
	struct timespec ts;
	struct touched t = { .ino = ino };

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	t.mtime_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
	for (size_t i = 0; i < c->touched.n; i++)
		if (c->touched.v[i].ino == ino) {
			c->touched.v[i].mtime_ns = t.mtime_ns;
			return;
		}
	if (!c->touched.n)
		(void)cl_timer_set_in(c->touch_timer, TELL_MS);
	(void)touched_vec_push(&c->touched, t);
}

void client_send_touched(void *user)
{
	struct client *c = user;

	if (c->sm.state != CLIENT_ACTIVE)
		return; /* at the welcome */
	for (size_t i = 0; i < c->touched.n; i++) {
		Csv__Message msg = CSV__MESSAGE__INIT;
		Csv__Touched body = CSV__TOUCHED__INIT;

		body.ino = c->touched.v[i].ino;
		body.mtime_ns = c->touched.v[i].mtime_ns;
		msg.msg_case = CSV__MESSAGE__MSG_TOUCHED;
		msg.touched = &body;
		if (!client_send(c, false, &msg))
			return;
	}
	touched_vec_clear(&c->touched);
}

void client_layout_fini(struct client *c)
{
	cl_source_free(c->recall_timer);
	cl_source_free(c->touch_timer);
	ask_vec_fini(&c->asks);
	recall_vec_fini(&c->recalls);
	touched_vec_fini(&c->touched);
	map_fini(&c->map);
}
