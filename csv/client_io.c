/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct path: a call of the kernel, as commands on this node's own nexus.
 *
 * Each I/O is on a list from its first byte on the way until its end is known. Three things wait for
 * that list: a recall (its range), a release (its handle), a stop order (its VM). If the nexus is lost
 * while a write is under way, the write may still land, minutes later, on top of everything that was
 * written since. So it is held, and counts as under way, until the coordinator says that the old nexus
 * is dead; then it is sent again, by whatever way there is.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "csv/client_int.h"
#include "csv/op.h"
#include "csv/owner.h"
#include "lib/log.h"

#define ASKS_MAX 3 /* questions for one call: then it is the coordinator's */

/* ---- the list ------------------------------------------------------------------------------ */

struct dio *client_dio_new(struct client *c, struct call *call)
{
	struct dio *d = c->spare;

	if (d)
		c->spare = d->next;
	else
		d = malloc(sizeof(*d));
	if (!d)
		return NULL;
	memset(d, 0, offsetof(struct dio, ios));
	d->client = c;
	d->call = call;
	d->kind = call->op.kind;
	d->ino = call->op.ino;
	d->fh = call->op.fh;
	d->since_ms = cl_mono_ms(cl_mono_now());
	d->nexus = data_key(c->data);
	d->prev = c->dios.last;
	if (c->dios.last)
		c->dios.last->next = d;
	else
		c->dios.first = d;
	c->dios.last = d;
	c->dios.n++;
	call->dio = d;
	call->way = CALL_DIRECT;
	return d;
}

void client_dio_free(struct dio *d)
{
	struct client *c = d->client;

	if (d->prev)
		d->prev->next = d->next;
	else
		c->dios.first = d->next;
	if (d->next)
		d->next->prev = d->prev;
	else
		c->dios.last = d->prev;
	c->dios.n--;
	if (d->call)
		d->call->dio = NULL;
	buf_unref(d->buf);
	d->next = c->spare;
	c->spare = d;
}

void client_route_draining(struct client *c)
{
	struct call *call, *next;

	c->n_draining = 0; /* who still has to wait counts himself again */
	for (call = c->calls; call; call = next) {
		next = call->next;
		if (call->way == CALL_DRAINING)
			client_route(c, call);
	}
}

/* Releases, recalls, reclaim, stop orders. */
void client_dio_ended(struct client *c, bool was_orphan)
{
	client_recalls_ended(c);
	if (c->n_draining)
		client_route_draining(c);
	if (was_orphan)
		c->cfg.changed(c->cfg.user, NULL);
	if (!c->dios.first)
		client_drained(c);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static int error_of(const struct dio *d)
{
	/* SPC-4: DATA PROTECT with SPACE ALLOCATION FAILED: a thin LUN is full. */
	if (d->sense.key == 7 && d->sense.ascq == 0x2707)
		return ENOSPC;
	return EIO;
}

static void complete(struct dio *d, int error)
{
	struct client *c = d->client;
	struct call *call = d->call;
	Csv__Result res = CSV__RESULT__INIT;
	struct buf *buf = d->buf ? buf_ref(d->buf) : NULL;

	res.error = (uint32_t)error;
	if (d->kind == CSV__KIND__READ && !error) {
		res.data.data = d->bytes;
		res.data.len = d->end - d->start;
	}
	res.count = d->end - d->start;
	if (d->kind == CSV__KIND__WRITE && !d->grow)
		client_touch(c, d->ino);
	client_dio_free(d);
	if (call) {
		res.unique = call->op.unique;
		client_answer(c, call, &res);
	}
	buf_unref(buf);
	client_dio_ended(c, !call);
}

/*
 * The GROW goes before the word that nothing is under way any more: a recall that waits for this write would
 * take its blocks away, and all of it would have to go again.
 */
static void landed(struct dio *d)
{
	struct client *c = d->client;
	struct call *call = d->call;

	client_dio_free(d);
	if (call)
		client_send_grow(c, call);
	client_dio_ended(c, !call);
}

/* Another way: what was on the way is dead, or never was. */
static void again(struct dio *d)
{
	struct client *c = d->client;
	struct call *call = d->call;

	counters_add(c->cfg.counters, COUNTERS_RESENDS);
	client_dio_free(d);
	if (call)
		client_route(c, call);
	client_dio_ended(c, !call);
}

/* What only reads harms nobody, wherever its old copy is. */
static bool is_harmless(const struct client *c, const struct dio *d)
{
#ifdef CL_DEFECTS
	if (c->cfg.defects & CLIENT_DEFECT_NO_HOLD)
		return true;
#endif
	(void)c;
	return d->kind != CSV__KIND__WRITE;
}

/* But nothing goes again on the path that has just failed, and does not know it yet. */
static bool must_hold(const struct dio *d)
{
	return !is_harmless(d->client, d) || data_path(d->client->data);
}

static void hold(struct dio *d)
{
	d->held = true;
	if (d->call)
		d->call->way = CALL_HELD;
	/* No coordinator can be asked to kill the nexus before the hello is over: say hello again. */
	if (d->client->draining)
		d->client->cfg.reconnect(d->client->cfg.user);
}

static void dio_end(struct dio *d)
{
	switch (d->worst) {
	case LUN_OK:
		if (d->grow)
			landed(d);
		else
			complete(d, 0);
		return;
	case LUN_ERROR:
	case LUN_UNSUPPORTED:
		log_warning("volume '%s': %s of inode %llu: sense %x/%04x", d->client->name,
			    d->kind == CSV__KIND__READ ? "read" : "write",
			    (unsigned long long)d->ino, d->sense.key, d->sense.ascq);
		complete(d, error_of(d));
		return;
	case LUN_INVALID: /* a layout outside of the LUN: the coordinator shall say what it means */
		if (d->call)
			d->call->no_direct = true;
		again(d);
		return;
	default:
		if (must_hold(d))
			hold(d);
		else
			again(d);
	}
}

/* ---- the LUN ------------------------------------------------------------------------------- */

/* What ended by a word of the target counts less than what did not end. */
static int weight(enum lun_result r)
{
	return r == LUN_OK				? 0
	       : r == LUN_ERROR || r == LUN_UNSUPPORTED ? 1
	       : r == LUN_INVALID			? 2
							: 3;
}

static void note(struct dio *d, enum lun_result r, const struct lun_sense *sense)
{
	if (weight(r) <= weight(d->worst))
		return;
	d->worst = r;
	if (sense)
		d->sense = *sense;
}

static bool ended(const struct dio *d)
{
	return !d->left && (d->sent == d->n || d->worst != LUN_OK);
}

/* Pieces go until the LUN takes no more; the rest when one has ended. */
static void push(struct dio *d)
{
	struct client *c = d->client;

	while (d->sent < d->n && d->worst == LUN_OK) {
		struct lun_data *path = data_path(c->data);
		enum lun_result r = path ? lun_submit(path, &d->ios[d->sent]) : LUN_REFUSED;

		if (r == LUN_BUSY) {
			c->n_busy++;
			return;
		}
		d->sent++;
		if (r == LUN_OK)
			d->left++;
		else
			note(d, r, NULL);
	}
	if (ended(d))
		dio_end(d);
}

static struct dio *find_busy(const struct client *c)
{
	for (struct dio *d = c->dios.first; d; d = d->next)
		if (!d->held && d->sent < d->n && d->worst == LUN_OK)
			return d;
	return NULL;
}

/* One has ended: there is room, or no LUN any more. */
static void push_busy(struct client *c)
{
	struct dio *d;

	while (c->n_busy && (d = find_busy(c))) {
		unsigned before = --c->n_busy;

		push(d);
		if (c->n_busy > before)
			return;
	}
}

static void on_io(struct lun_io *io, enum lun_result r)
{
	struct dio *d = io->user;
	struct client *c = d->client;

	d->left--;
	note(d, r, &io->sense);
	if (d->worst != LUN_OK && d->sent < d->n && c->n_busy) {
		c->n_busy--; /* its other pieces stay here */
		d->n = d->sent;
	}
	if (ended(d))
		dio_end(d);
	if (c->n_busy)
		push_busy(c);
}

static void add_io(struct dio *d, enum lun_dir dir, uint64_t address, uint8_t *bytes, uint64_t len,
		   bool fua)
{
	struct lun_io *io = &d->ios[d->n];

	d->iov[d->n] = (struct iovec){ bytes, len };
	*io = (struct lun_io){
		.dir = dir,
		.fua = fua,
		.offset = address,
		.length = (uint32_t)len,
		.iov = &d->iov[d->n],
		.iovcnt = dir == LUN_FLUSH ? 0 : 1,
		.done = on_io,
		.user = d,
	};
	d->n++;
}

/* ---- which calls, and how ------------------------------------------------------------------ */

static uint64_t down(uint64_t x, uint32_t block)
{
	return x - x % block;
}

/* Whole blocks of the LUN around what is wanted, into a buffer of our own; holes are zeros. */
static bool start_read(struct client *c, struct call *call, const struct map_extent *pieces, int n)
{
	uint32_t block = data_path(c->data)->block_size;
	uint64_t off = call->op.offset, base = down(off, block);
	struct buf *buf = buf_new(call->op.length + 2 * (size_t)block);
	struct dio *d = buf ? client_dio_new(c, call) : NULL;

	if (!d) {
		buf_unref(buf);
		return false;
	}
	d->buf = buf;
	d->start = off;
	d->end = off + call->op.length;
	d->bytes = buf->data + (off - base);
	for (int i = 0; i < n; i++) {
		const struct map_extent *p = &pieces[i];
		uint64_t skip = p->start % block, from = p->start - skip,
			 to = down(p->end + block - 1, block);

		if (p->address)
			add_io(d, LUN_READ, p->address - skip, buf->data + (from - base), to - from,
			       false);
		else
			memset(buf->data + (p->start - base), 0, p->end - p->start);
	}
	push(d);
	return true;
}

/* What grows needs no FUA: the GROW's commit makes it durable. */
static bool start_write(struct client *c, struct call *call, const struct map_extent *pieces, int n)
{
	struct dio *d = client_dio_new(c, call);

	if (!d)
		return false;
	d->grow = pieces[0].grow;
	d->buf = call->buf ? buf_ref(call->buf) : NULL;
	d->start = call->op.offset;
	d->end = d->start + call->op.data.len;
	for (int i = 0; i < n; i++)
		add_io(d, LUN_WRITE, pieces[i].address,
		       call->op.data.data + (pieces[i].start - d->start),
		       pieces[i].end - pieces[i].start, call->op.sync && !d->grow);
	push(d);
	return true;
}

/* What the map does not know: it is asked for; as growth, where there is no layout but behind the end of file. */
static bool ask(struct client *c, struct call *call, uint64_t off, uint64_t end, bool write,
		bool grows)
{
	int64_t now = cl_mono_ms(cl_mono_now());
	uint64_t ino = call->op.ino;

	if (call->asks >= ASKS_MAX)
		return false;
	if (!map_refused(&c->map, ino, end, now) && !(grows && map_goes_on(&c->map, ino, off)))
		return client_ask_layout(c, call, off, end, write);
	return grows && !map_growth_refused(&c->map, ino, now) &&
	       client_ask_growth(c, call, off, end);
}

static bool read_or_write(struct client *c, struct call *call, uint64_t len)
{
	bool write = call->op.kind == CSV__KIND__WRITE;
	uint64_t off = call->op.offset, end = off + len;
	bool grows = write && data_path(c->data) && client_may_grow(call);
	struct map_extent pieces[DIO_PIECES];
	int n;

	if (!len || len > LUN_IO_BYTES_MAX || off > INT64_MAX - len)
		return false;
	n = map_lookup(&c->map, call->op.ino, off, end, write, pieces, DIO_PIECES);
	if (n < 0)
		return false;
	if (n && !data_path(c->data))
		return n == 1 && client_send_block(c, call, pieces);
	if (n)
		return write ? start_write(c, call, pieces, n) : start_read(c, call, pieces, n);
	if (grows)
		n = map_lookup_growth(&c->map, call->op.ino, off, end, pieces, DIO_PIECES);
	if (n)
		return n > 0 && start_write(c, call, pieces, n);
	return ask(c, call, off, end, write, grows);
}

static bool try_write(struct client *c, struct call *call)
{
	const struct lun_data *path = data_path(c->data);
	uint32_t block = path ? path->block_size : 1; /* without: client_block_fits() has looked */

	/* Its place is the coordinator's to decide; parts of blocks are its to join. */
	if (call->op.flags & O_APPEND || !call->buf ||
	    (call->op.offset | call->op.data.len) % block)
		return false;
	return read_or_write(c, call, call->op.data.len);
}

/* The cache is the target's: this covers what went by the coordinator, too. */
static bool start_flush(struct client *c, struct call *call)
{
	struct dio *d;

	/* Each telling is a transaction there: not for fdatasync, of which databases do many. */
	if (call->op.flags != OP_SYNC_DATA)
		client_send_touched(c);
	d = client_dio_new(c, call);
	if (!d)
		return false;
	add_io(d, LUN_FLUSH, 0, NULL, 0, false);
	push(d);
	return true;
}

/* By the tables of this node. What they do not decide is the coordinator's to park. */
static bool owner_allows(const struct client *c, const struct call *call)
{
	const struct open_file *o = holding_find(&c->holding, call->op.fh);

	if (!o)
		return false;
	return !o->generation || owner_judge(c->tables, o->resource, o->generation,
					     call->op.kind == CSV__KIND__WRITE) == OWNER_ALLOW;
}

bool client_try_direct(struct client *c, struct call *call)
{
	Csv__Kind kind = call->op.kind;

	if ((kind != CSV__KIND__READ && kind != CSV__KIND__WRITE && kind != CSV__KIND__FSYNC) ||
	    call->no_direct || c->held || c->leaving || !c->data)
		return false;
	if (!data_path(c->data) && !client_block_fits(c, call))
		return false;
	/* A coordinator may just be doing it: not beside its own copy. After the welcome none is. */
	if (call->sent && c->sm.state != CLIENT_ACTIVE)
		return false;
	if (!owner_allows(c, call))
		return false;
	/* What is to be stable has to be durable first, and that is the coordinator's. */
	if (kind == CSV__KIND__FSYNC && holding_has_grown(&c->holding, call->op.ino))
		return false;
	if (kind == CSV__KIND__READ)
		return read_or_write(c, call, call->op.length);
	return kind == CSV__KIND__WRITE ? try_write(c, call) : start_flush(c, call);
}

/* ---- what others ask ----------------------------------------------------------------------- */

static struct dio *find_held(const struct client *c, uint64_t living, bool harmless_only)
{
	for (struct dio *d = c->dios.first; d; d = d->next)
		if (d->held && d->nexus != living && (!harmless_only || is_harmless(c, d)))
			return d;
	return NULL;
}

void client_release_held(struct client *c, uint64_t living)
{
	struct dio *d;

	/* What starts anew in here is on `living`, or not direct at all: it ends. */
	while ((d = find_held(c, living, false)))
		again(d);
}

void client_on_data_changed(void *user)
{
	struct client *c = user;
	struct dio *d;

	while (!data_path(c->data) && (d = find_held(c, 0, true)))
		again(d);
	c->cfg.changed(c->cfg.user, NULL);
}

void client_detach_io(struct client *c, struct call *call)
{
	struct dio *d = call->dio;

	(void)c;
	if (!d)
		return;
	d->call = NULL;
	call->dio = NULL;
}

bool client_holds_io(const struct client *c)
{
	return find_held(c, 0, false);
}

bool client_io_of_handle(const struct client *c, uint64_t fh)
{
	for (const struct dio *d = c->dios.first; d; d = d->next)
		if (d->fh == fh)
			return true;
	return false;
}

unsigned client_io_in(const struct client *c, uint64_t ino, uint64_t start, uint64_t end,
		      bool writes_only, unsigned *ret_oldest_ms)
{
	int64_t now = cl_mono_ms(cl_mono_now()), oldest = now;
	unsigned n = 0;

	for (const struct dio *d = c->dios.first; d; d = d->next) {
		if (d->ino != ino || d->start >= end || d->end <= start ||
		    (writes_only && d->kind != CSV__KIND__WRITE))
			continue;
		n++;
		oldest = d->since_ms < oldest ? d->since_ms : oldest;
	}
	*ret_oldest_ms = (unsigned)(now - oldest);
	return n;
}

void client_io_fini(struct client *c)
{
	data_free(c->data); /* ends all that was under way: it is held now */
	c->data = NULL;
	while (c->dios.first)
		client_dio_free(c->dios.first);
	while (c->spare) {
		struct dio *d = c->spare;

		c->spare = d->next;
		free(d);
	}
}
