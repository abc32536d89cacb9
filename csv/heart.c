/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/heart.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/vec.h"

#define EXTENTS_MAX 16 /* clusters of the file */
#define VERDICT_MS 500 /* a verdict that takes longer is none */

struct place {
	uint64_t offset, length, address; /* bytes: in the file, on the LUN */
};

struct verdict {
	uint32_t node;
	uint64_t incarnation;
	uint64_t round; /* the first read that began after the debt was known */
	int64_t since_ms;
	bool taken;
	enum heartbeat_seen seen;
};
CL_DEFINE_VEC(verdict_vec, struct verdict);

struct piece {
	struct lun_io io;
	struct iovec iov;
};

struct heart {
	struct cl_source *timer;
	struct heart_hooks hooks;
	uint8_t volume[16];
	uint32_t node, last_node; /* own; the highest in the tables */
	struct place places[EXTENTS_MAX];
	size_t n_places;
	struct hb_watch watch;
	struct verdict_vec verdicts;
	/* writing */
	uint64_t incarnation, instance, count;
	struct hb_chain chain;
	struct piece write;
	bool writing;
	uint64_t write_incarnation;
	int64_t sent_ms;
	uint8_t *unit;
	/* reading: one round at a time */
	struct piece reads[EXTENTS_MAX];
	unsigned reads_left;
	bool read_failed, read_again;
	uint64_t round;
	int64_t begun_ms;
	uint8_t *units;
	uint32_t units_of; /* nodes that there is room for */
};

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static void set_io(struct piece *p, enum lun_dir dir, uint64_t address, uint8_t *at, uint32_t len,
		   void (*done)(struct lun_io *, enum lun_result), void *user)
{
	p->iov = (struct iovec){ at, len };
	p->io = (struct lun_io){
		.dir = dir,
		.fua = dir == LUN_WRITE,
		.offset = address,
		.length = len,
		.iov = &p->iov,
		.iovcnt = 1,
		.done = done,
		.user = user,
	};
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static struct verdict *verdict_find(const struct heart *h, uint32_t node, uint64_t incarnation)
{
	for (size_t i = 0; i < h->verdicts.n; i++)
		if (h->verdicts.v[i].node == node && h->verdicts.v[i].incarnation == incarnation)
			return &h->verdicts.v[i];
	return NULL;
}

static bool take(struct heart *h, struct verdict *v, bool read)
{
	if (v->taken)
		return false;
	v->taken = true;
	v->seen = read ? hb_watch_judge(&h->watch, v->node, v->incarnation, h->begun_ms, 0)
		       : HEARTBEAT_UNKNOWN;
	return true;
}

/* A round has ended: who waited for it, or for an earlier one, has his verdict. Failed: nobody's is good. */
static void take_verdicts(struct heart *h, bool read)
{
	bool any = false;

	for (size_t i = 0; i < h->verdicts.n; i++)
		if (!read || h->verdicts.v[i].round <= h->round)
			any |= take(h, &h->verdicts.v[i], read);
	if (any)
		h->hooks.changed(h->hooks.user);
}

static void give_up_late(struct heart *h)
{
	bool any = false;

	for (size_t i = 0; i < h->verdicts.n; i++)
		if (now_ms() - h->verdicts.v[i].since_ms >= VERDICT_MS)
			any |= take(h, &h->verdicts.v[i], false);
	if (any)
		h->hooks.changed(h->hooks.user);
}

/* ---- reading --------------------------------------------------------------------------------- */

static void read_round(struct heart *h);

static void note_units(struct heart *h)
{
	int64_t ended_ms = now_ms();
	struct hb_unit unit;

	for (uint32_t id = 1; id <= h->units_of; id++) {
		bool ok =
			hb_unit_decode(h->units + (size_t)id * HB_UNIT_SIZE, h->volume, id, &unit);

		hb_watch_read(&h->watch, id, ok ? &unit : NULL, h->begun_ms, ended_ms);
	}
}

static void on_read(struct lun_io *io, enum lun_result result)
{
	struct heart *h = io->user;

	h->read_failed |= result != LUN_OK;
	if (--h->reads_left)
		return;
	if (!h->read_failed)
		note_units(h);
	take_verdicts(h, !h->read_failed);
	if (h->read_again)
		read_round(h);
}

/* Room for the units of all nodes, block 0 included: nobody's. */
static bool make_room(struct heart *h)
{
	void *fresh;

	if (h->units && h->units_of >= h->last_node)
		return true;
	if (posix_memalign(&fresh, HB_UNIT_SIZE, ((size_t)h->last_node + 1) * HB_UNIT_SIZE) != 0)
		return false;
	memset(fresh, 0, ((size_t)h->last_node + 1) * HB_UNIT_SIZE);
	free(h->units);
	h->units = fresh;
	h->units_of = h->last_node;
	return true;
}

static unsigned make_reads(struct heart *h)
{
	uint64_t all = ((uint64_t)h->units_of + 1) * HB_UNIT_SIZE;
	unsigned n = 0;

	for (size_t i = 0; i < h->n_places && h->places[i].offset < all; i++) {
		const struct place *p = &h->places[i];
		uint64_t len = p->length < all - p->offset ? p->length : all - p->offset;

		set_io(&h->reads[n++], LUN_READ, p->address, h->units + p->offset, (uint32_t)len,
		       on_read, h);
	}
	return n;
}

/* The count is set first: none ends from within submit, but those that are refused have no end. */
static void read_round(struct heart *h)
{
	struct lun_data *path = h->n_places ? h->hooks.path(h->hooks.user) : NULL;
	unsigned n, refused = 0;

	if (h->reads_left) {
		h->read_again = true;
		return;
	}
	h->read_again = false;
	if (!path || !h->last_node || !make_room(h)) {
		take_verdicts(h, false);
		return;
	}
	h->round++;
	h->begun_ms = now_ms();
	h->read_failed = false;
	h->reads_left = n = make_reads(h);
	for (unsigned i = 0; i < n; i++)
		refused += lun_submit(path, &h->reads[i].io) != LUN_OK;
	if (!refused)
		return;
	h->read_failed = true;
	h->reads_left -= refused;
	if (!h->reads_left)
		take_verdicts(h, false);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void on_written(struct lun_io *io, enum lun_result result)
{
	struct heart *h = io->user;

	h->writing = false;
	if (h->write_incarnation != h->incarnation)
		return;
	if (result == LUN_OK) {
		hb_chain_confirmed(&h->chain, h->sent_ms, now_ms(), 0);
		h->hooks.changed(h->hooks.user);
	} else if (result == LUN_CONFLICT) {
		h->hooks.conflict(h->hooks.user);
	}
}

static bool own_place(const struct heart *h, uint64_t *ret_address)
{
	uint64_t at = (uint64_t)h->node * HB_UNIT_SIZE;

	for (size_t i = 0; i < h->n_places; i++)
		if (at >= h->places[i].offset && at - h->places[i].offset < h->places[i].length) {
			*ret_address = h->places[i].address + (at - h->places[i].offset);
			return true;
		}
	return false;
}

/* One at a time: its bytes are the LUN's until it has ended. Fresh counts from before it is given away. */
static void write_unit(struct heart *h)
{
	struct lun_data *path = h->hooks.path(h->hooks.user);
	struct hb_unit unit = { .node = h->node,
				.incarnation = h->incarnation,
				.instance = h->instance,
				.count = h->count + 1 };
	uint64_t address;

	if (h->writing || !path || !own_place(h, &address))
		return;
	if (!h->incarnation) {
		h->hooks.ask(h->hooks.user);
		return;
	}
	if (!h->hooks.may_write(h->hooks.user))
		return;
	hb_unit_encode(&unit, h->volume, h->unit);
	set_io(&h->write, LUN_WRITE, address, h->unit, HB_UNIT_SIZE, on_written, h);
	h->sent_ms = now_ms();
	h->write_incarnation = h->incarnation;
	if (lun_submit(path, &h->write.io) != LUN_OK)
		return;
	h->writing = true;
	h->count++;
}

static void on_timer(void *user)
{
	struct heart *h = user;

	(void)cl_timer_set_in(h->timer, HEARTBEAT_MS);
	write_unit(h);
	read_round(h);
	give_up_late(h);
}

/* ---- what it is told ------------------------------------------------------------------------- */

void heart_place(struct heart *h, Csv__Extent *const *extents, size_t n)
{
	if (h->n_places || !n || n > EXTENTS_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		const Csv__Extent *e = extents[i];

		if (!e->address || e->offset % HB_UNIT_SIZE || e->length % HB_UNIT_SIZE ||
		    e->offset >= (uint64_t)HB_NODES * HB_UNIT_SIZE ||
		    e->length > (uint64_t)HB_NODES * HB_UNIT_SIZE - e->offset)
			return;
		h->places[i] = (struct place){ e->offset, e->length, e->address };
	}
	h->n_places = n;
	on_timer(h);
}

void heart_live(struct heart *h, uint64_t incarnation)
{
	if (h->incarnation == incarnation)
		return;
	h->incarnation = incarnation;
	h->chain = (struct hb_chain){ 0 };
	h->hooks.changed(h->hooks.user);
}

void heart_beat(struct heart *h, int64_t beat_ms)
{
	hb_chain_beat(&h->chain, beat_ms);
}

int64_t heart_until(const struct heart *h)
{
	return h->incarnation ? h->chain.until_ms : 0;
}

static bool still_owed(const Vol__Volume *volume, const struct verdict *v)
{
	for (size_t i = 0; i < volume->n_debts; i++)
		if (volume->debts[i]->node == v->node &&
		    volume->debts[i]->incarnation == v->incarnation)
			return true;
	return false;
}

void heart_tables(struct heart *h, const Vol__Tables *tables, const Vol__Volume *volume)
{
	h->last_node = 0;
	for (size_t i = 0; i < tables->n_nodes; i++)
		if (tables->nodes[i]->id > h->last_node && tables->nodes[i]->id < HB_NODES)
			h->last_node = tables->nodes[i]->id;
	for (size_t i = h->verdicts.n; i-- > 0;)
		if (!still_owed(volume, &h->verdicts.v[i]))
			verdict_vec_remove(&h->verdicts, i);
	for (size_t i = 0; i < volume->n_debts; i++)
		heart_debt(h, volume->debts[i]->node, volume->debts[i]->incarnation);
}

/* Without memory for it there is no verdict: then it is UNKNOWN, and the lease is waited for. */
void heart_debt(struct heart *h, uint32_t node, uint64_t incarnation)
{
	struct verdict v = {
		.node = node,
		.incarnation = incarnation,
		.round = h->round + 1,
		.since_ms = now_ms(),
	};

	if (node == h->node || verdict_find(h, node, incarnation) ||
	    verdict_vec_push(&h->verdicts, v) < 0)
		return;
	read_round(h);
}

bool heart_looks(const struct heart *h)
{
	for (size_t i = 0; i < h->verdicts.n; i++)
		if (!h->verdicts.v[i].taken)
			return true;
	return false;
}

enum heartbeat_seen heart_seen(const struct heart *h, uint32_t node, uint64_t incarnation)
{
	const struct verdict *v = verdict_find(h, node, incarnation);

	return v && v->taken ? v->seen : HEARTBEAT_UNKNOWN;
}

/* ---- life ------------------------------------------------------------------------------------ */

int heart_new(struct cl_loop *loop, const uint8_t volume[16], uint32_t node,
	      const struct heart_hooks *hooks, struct heart **ret)
{
	struct heart *h = calloc(1, sizeof(*h));
	void *unit = NULL;

	if (!h || posix_memalign(&unit, HB_UNIT_SIZE, HB_UNIT_SIZE) != 0 ||
	    cl_timer_new(loop, on_timer, h, &h->timer) < 0) {
		free(unit);
		free(h);
		return -ENOMEM;
	}
	h->unit = unit;
	h->hooks = *hooks;
	h->node = node;
	memcpy(h->volume, volume, sizeof(h->volume));
	if (getrandom(&h->instance, sizeof(h->instance), 0) != sizeof(h->instance))
		h->instance = (uint64_t)now_ms();
	(void)cl_timer_set_in(h->timer, HEARTBEAT_MS);
	*ret = h;
	return 0;
}

void heart_free(struct heart *h)
{
	if (!h)
		return;
	cl_source_free(h->timer);
	verdict_vec_fini(&h->verdicts);
	free(h->units);
	free(h->unit);
	free(h);
}
