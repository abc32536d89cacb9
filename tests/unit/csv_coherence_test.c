/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One file, three nodes, at random: direct reads and writes under layouts, growth by the writer himself,
 * operations at the coordinator (also of parts of blocks), truncation, punching, appends, broken connections, restarted clients, crashed
 * coordinators. A model knows what each half block has to be. The clients here do what csvd's do, by the
 * book, and nothing more: a layout is used until its recall is read, a recall is answered when no direct
 * write is under way.
 *
 *     csv_coherence_test [SEED [RUNS [no-recall|grow|forgetful]]]
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/op.h"
#include "tests/unit/coord_rig.h"

#define UNIT 2048u /* half a block: what is written in parts meets what is written directly */
#define UNITS 96
#define CLIENTS 3
#define STEPS 800
#define PUNCH 3 /* KEEP_SIZE | PUNCH_HOLE */

struct place {
	bool valid, write;
	uint64_t address; /* 0 = a hole */
};

/* A direct write: on its way to the LUN. */
struct flight {
	bool used;
	unsigned unit;
	uint64_t address, stamp;
};

/* A write behind the end of file: on its way, landed, or (landed, and an operation) being shown. */
struct growth {
	bool used, landed;
	unsigned first, last;
	uint64_t stamp, address[8];
};

/* An operation that is not answered. */
struct pending {
	bool used;
	bool again; /* sent again: it may have been done, so nobody new flies there until it is answered */
	Csv__Op op;
	Csv__Attr attr;
	uint64_t first, last; /* units that it writes or takes away */
	uint64_t from; /* not compared from here on: between the old end and first come zeros */
	uint64_t stamp;
	uint8_t data[8 * UNIT];
};

struct recall {
	uint64_t id, first, last;
};

struct client {
	struct peer peer;
	uint64_t fh;
	struct place map[UNITS], grow[UNITS];
	struct flight flight[4];
	struct growth growth;
	struct unsettled { /* growth that was answered and is not known to be durable */
		uint64_t first, last, number;
	} unsettled[64];
	size_t n_unsettled;
	struct pending op;
	struct recall recalls[256];
	size_t n_recalls;
	bool asked;
};

static struct rig *rig;
static struct client clients[CLIENTS];
static uint64_t ino, stamps;
static uint64_t expected[UNITS];
static uint64_t size;		/* units */
static unsigned busy[UNITS];	/* being written, by one way or the other: nobody else writes */
static unsigned unclear[UNITS]; /* an operation is about it: not compared */
static unsigned seed = 1, runs = 12, defects;
/* Growths that were shown, had to go as writes, were answered before they were durable, and were reclaimed. */
static unsigned n_grown, n_refused, n_early, n_reclaimed;
static bool crash_soon, forgetful; /* control: nothing is reclaimed */

static unsigned pick(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void free_msg(Csv__Message *msg)
{
	csv__message__free_unpacked(msg, NULL);
}

static void fill(uint8_t *to, uint64_t stamp, uint64_t units)
{
	for (uint64_t i = 0; i < units * UNIT; i += 8)
		memcpy(to + i, &stamp, 8);
}

static bool is_stamp(const uint8_t *from, uint64_t stamp)
{
	for (uint64_t i = 0; i < UNIT; i += 8)
		if (memcmp(from + i, &stamp, 8))
			return false;
	return true;
}

/* ---- direct ---------------------------------------------------------------------------------- */

static void check_direct(const struct client *c, unsigned u)
{
	const struct place *p = &c->map[u];

	if (!p->valid || unclear[u] || busy[u])
		return;
	if (u >= size)
		fail_msg("node %u maps unit %u behind the end", c->peer.node, u);
	if (!p->address && expected[u])
		fail_msg("node %u reads a hole where there is data (unit %u)", c->peer.node, u);
	if (p->address && !is_stamp(rig->mem + p->address, expected[u]))
		fail_msg("node %u reads something else at unit %u", c->peer.node, u);
}

static void take_off(struct client *c, unsigned u)
{
	for (int i = 0; i < 4; i++) {
		struct flight *f = &c->flight[i];

		if (f->used || !c->map[u].valid || !c->map[u].write || !c->map[u].address ||
		    busy[u])
			continue;
		*f = (struct flight){ true, u, c->map[u].address, ++stamps };
		busy[u]++;
		return;
	}
}

static void land(struct flight *f)
{
	if (!f->used)
		return;
	fill(rig->mem + f->address, f->stamp, 1);
	/* Under an operation that takes the unit away, that one is the last. */
	expected[f->unit] = f->stamp;
	busy[f->unit]--;
	f->used = false;
}

/* Nobody sees it: nothing is expected of it. */
static void land_growth(struct client *c)
{
	struct growth *g = &c->growth;

	for (unsigned u = g->first; g->used && !g->landed && u < g->last; u++)
		fill(rig->mem + g->address[u - g->first], g->stamp, 1);
	g->landed = true;
}

static void land_all(struct client *c)
{
	for (int i = 0; i < 4; i++)
		land(&c->flight[i]);
	land_growth(c);
}

static bool flies_in(const struct client *c, uint64_t first, uint64_t last)
{
	const struct growth *g = &c->growth;

	if (g->used && !g->landed && g->first < last && first < g->last)
		return true;
	for (int i = 0; i < 4; i++)
		if (c->flight[i].used && c->flight[i].unit >= first && c->flight[i].unit < last)
			return true;
	return false;
}

static void answer_recalls(struct client *c)
{
	for (size_t i = 0; i < c->n_recalls;) {
		struct recall r = c->recalls[i];
		Csv__Message msg = CSV__MESSAGE__INIT;
		Csv__Recalled body = CSV__RECALLED__INIT;

		body.id = r.id;
		body.returned = !flies_in(c, r.first, r.last);
		/* A GROW goes before the word that its range came back; one that did not is not for that range any more. */
		if (body.returned && c->growth.first < r.last && r.first < c->growth.last)
			c->growth.used = false;
		msg.msg_case = CSV__MESSAGE__MSG_RECALLED;
		msg.recalled = &body;
		peer_send(&c->peer, &msg);
		if (body.returned)
			c->recalls[i] = c->recalls[--c->n_recalls];
		else
			i++;
	}
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool writes(const struct pending *p)
{
	return p->op.kind == CSV__KIND__WRITE || p->op.kind == CSV__KIND__GROW;
}

static void mark(const struct pending *p, int by)
{
	bool write = writes(p) || p->again;

	for (uint64_t u = p->from; u < p->last; u++) {
		unclear[u] += (unsigned)by;
		busy[u] += write && u >= p->first ? (unsigned)by : 0;
	}
}

static bool all_quiet(uint64_t first, uint64_t last)
{
	for (uint64_t u = first; u < last; u++)
		if (busy[u] || unclear[u])
			return false;
	return true;
}

/* Operations that move the end of file are one at a time: the model has to know where it is. */
static bool somebody_moves_the_end(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].op.used &&
		    (clients[i].op.op.kind == CSV__KIND__SETATTR || clients[i].op.last > size))
			return true;
	return false;
}

static void submit(struct client *c, bool resent)
{
	c->op.op.resent = resent;
	c->op.op.attr = c->op.op.kind == CSV__KIND__SETATTR ? &c->op.attr : NULL;
	if (c->op.op.kind == CSV__KIND__WRITE)
		c->op.op.data =
			(ProtobufCBinaryData){ (c->op.last - c->op.first) * UNIT, c->op.data };
	peer_post(&c->peer, &c->op.op);
}

static void begin_write(struct client *c)
{
	struct pending *p = &c->op;
	bool append = pick(8) == 0;
	/* Seldom far behind the end: it would be at UNITS soon, and nothing would grow any more. */
	unsigned to = pick(8) && size + 4 < UNITS ? (unsigned)size + 4 : UNITS;
	uint64_t n = 1 + pick(8), first = append ? size : pick(to);

	/* Rather whole blocks: behind a part of one nothing is granted. */
	if (pick(4)) {
		n = (n + 1) / 2 * 2;
		first = append ? first : first / 2 * 2;
	}

	if (first + n > UNITS || (first + n > size && somebody_moves_the_end()))
		return;
	/* What lies between the old end and the write becomes zeros. */
	if (!all_quiet(first, first + n) || (first > size && !all_quiet(size, first)))
		return;
	csv__op__init(&p->op);
	p->used = true;
	p->op.kind = CSV__KIND__WRITE;
	p->op.flags = append ? O_APPEND : 0;
	p->op.offset = append ? 0 : first * UNIT;
	p->first = first;
	p->last = first + n;
	p->from = first < size ? first : size;
	p->stamp = ++stamps;
	fill(p->data, p->stamp, n);
}

static void take_off_growth(struct client *c)
{
	struct growth *g = &c->growth;
	unsigned first = ((unsigned)size + 1) / 2 * 2, last;

	while (first < UNITS && !c->grow[first].valid)
		first += 2;
	first += pick(4) == 0 ? 2 : 0;
	last = first + 2 * (1 + pick(4));
	if (last > UNITS || !all_quiet(first, last))
		return;
	for (unsigned u = first; u < last; u++) {
		if (!c->grow[u].valid)
			return;
		g->address[u - first] = c->grow[u].address;
	}
	g->used = true;
	g->landed = false;
	g->first = first;
	g->last = last;
	g->stamp = ++stamps;
}

static void show_growth(struct client *c)
{
	struct pending *p = &c->op;
	struct growth *g = &c->growth;

	if (p->used || (g->last > size && somebody_moves_the_end()) ||
	    !all_quiet(g->first, g->last) || (g->first > size && !all_quiet(size, g->first)))
		return;
	csv__op__init(&p->op);
	p->used = true;
	p->op.kind = CSV__KIND__GROW;
	p->op.offset = (uint64_t)g->first * UNIT;
	p->op.length = (uint64_t)(g->last - g->first) * UNIT;
	p->op.later = c->n_unsettled < 64 && pick(4);
	p->first = g->first;
	p->last = g->last;
	p->from = g->first < size ? g->first : size;
	p->stamp = g->stamp;
	fill(p->data, p->stamp, p->last - p->first);
	g->used = false;
	p->op.ino = ino;
	p->op.fh = c->fh;
	mark(p, 1);
	submit(c, false);
}

static void growth_step(struct client *c)
{
	if (!c->growth.used)
		take_off_growth(c);
	else if (!c->growth.landed)
		land_growth(c);
	else
		show_growth(c);
}

/* What the answer has made DATA is a layout, as far as it was not called back. */
static void keep_grown(struct client *c, const struct pending *p)
{
	for (uint64_t u = p->first; u < p->last; u++) {
		if (c->grow[u].valid)
			c->map[u] = c->grow[u];
		c->grow[u].valid = false;
	}
}

/* In the keeper's memory: it outlives csvd. */
static void note_unsettled(struct client *c, uint64_t number)
{
	if (!number)
		return;
	c->unsettled[c->n_unsettled++] = (struct unsettled){ c->op.first, c->op.last, number };
	n_early++;
	crash_soon = pick(3) == 0;
}

static void on_settled(struct client *c, uint64_t number)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n_unsettled; i++)
		if (c->unsettled[i].number > number)
			c->unsettled[kept++] = c->unsettled[i];
	c->n_unsettled = kept;
}

static void begin_cut(struct client *c)
{
	struct pending *p = &c->op;
	uint64_t to = pick(4) ? pick(UNITS / 2) / 2 * 2 : pick(UNITS);

	/* To the size that it has: nothing is taken from anybody. */
	if (to == size || somebody_moves_the_end() || !all_quiet(to < size ? to : size, UNITS))
		return;
	csv__op__init(&p->op);
	csv__attr__init(&p->attr);
	p->used = true;
	p->op.kind = CSV__KIND__SETATTR;
	p->op.valid = OP_SET_SIZE;
	p->attr.size = to * UNIT;
	p->from = p->first = to < size ? to : size;
	p->last = UNITS;
}

static void begin_punch(struct client *c)
{
	struct pending *p = &c->op;
	uint64_t first = pick(UNITS), last = first + 1 + pick(12);

	if (last > size || somebody_moves_the_end())
		return;
	for (uint64_t u = first; u < last; u++)
		if (unclear[u])
			return;
	csv__op__init(&p->op);
	p->used = true;
	p->op.kind = CSV__KIND__FALLOCATE;
	p->op.flags = PUNCH;
	p->op.offset = first * UNIT;
	p->op.length = (last - first) * UNIT;
	p->from = p->first = first;
	p->last = last;
}

static void begin_op(struct client *c)
{
	unsigned what = pick(8);

	if (c->op.used)
		return;
	if (what < 5)
		begin_write(c);
	else if (what < 6)
		begin_cut(c);
	else
		begin_punch(c);
	if (!c->op.used)
		return;
	c->op.op.ino = ino;
	c->op.op.fh = c->fh;
	mark(&c->op, 1);
	submit(c, false);
}

/* It was done: whoever flew there has landed before, or a recall was not waited for. */
static void finish_op(struct client *c, const Csv__Result *res)
{
	struct pending *p = &c->op;
	bool write = writes(p);

	if (!p->used || res->unique != p->op.unique)
		return;
	if (p->op.kind == CSV__KIND__GROW && res->error == EAGAIN) {
		n_refused++;
		p->op.kind = CSV__KIND__WRITE; /* it has its data still */
		submit(c, false);
		return;
	}
	assert_int_equal(res->error, 0);
	if (p->op.kind == CSV__KIND__GROW) {
		note_unsettled(c, res->growth);
		n_grown++;
		keep_grown(c, p);
	}
	for (int i = 0; i < CLIENTS && !write; i++)
		if (flies_in(&clients[i], p->first, p->last))
			fail_msg("node %u writes where it was taken away", clients[i].peer.node);
	for (uint64_t u = p->first; u < p->last; u++)
		expected[u] = write ? p->stamp : 0;
	if (p->op.kind == CSV__KIND__SETATTR)
		size = p->attr.size / UNIT;
	else if (write && p->last > size)
		size = p->last;
	mark(p, -1);
	p->used = p->again = false;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void on_layout(struct client *c, const Csv__Layout *l)
{
	c->asked = false;
	assert_int_equal(l->error, 0);
	for (size_t i = 0; i < l->n_extents; i++) {
		const Csv__Extent *e = l->extents[i];

		for (uint64_t off = e->offset; off < e->offset + e->length && off < UNITS * UNIT;
		     off += UNIT)
			(l->grow ? c->grow : c->map)[off / UNIT] =
				(struct place){ true, l->write,
						e->address ? e->address + (off - e->offset) : 0 };
	}
}

static void on_recall(struct client *c, const Csv__Recall *r)
{
	uint64_t end = r->offset + r->length, last = end > UNITS * UNIT ? UNITS : end / UNIT;

	for (uint64_t u = r->offset / UNIT; u < last; u++) {
		c->map[u].write = false;
		c->map[u].valid &= r->keep_read;
		c->grow[u].valid = false;
	}
	assert_true(c->n_recalls < 256);
	c->recalls[c->n_recalls++] = (struct recall){ r->id, r->offset / UNIT, last };
}

/* Everything that there is; results at once, the rest when the client reads it. */
static void poll_all(void)
{
	Csv__Message *msg;

	rig_poll(rig);
	for (int i = 0; i < CLIENTS; i++)
		while ((msg = peer_take(&clients[i].peer, CSV__MESSAGE__MSG_RESULT))) {
			finish_op(&clients[i], msg->result);
			free_msg(msg);
		}
}

static bool read_one(struct client *c)
{
	Csv__Message *msg = peer_take(&c->peer, 0);

	if (!msg)
		return false;
	if (msg->msg_case == CSV__MESSAGE__MSG_LAYOUT)
		on_layout(c, msg->layout);
	else if (msg->msg_case == CSV__MESSAGE__MSG_SETTLED)
		on_settled(c, msg->settled->growth);
	else if (msg->msg_case == CSV__MESSAGE__MSG_RECALL)
		on_recall(c, msg->recall);
	else if (msg->msg_case == CSV__MESSAGE__MSG_RESULT)
		finish_op(c, msg->result);
	free_msg(msg);
	return true;
}

static void ask(struct client *c)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__LayoutGet body = CSV__LAYOUT_GET__INIT;

	if (c->asked)
		return;
	c->asked = true;
	body.id = ++stamps;
	body.ino = ino;
	body.fh = c->fh;
	body.offset = (uint64_t)pick(UNITS) * UNIT;
	body.length = (1 + pick(16)) * UNIT;
	body.write = pick(3) != 0;
	body.grow = pick(2) == 0;
	if (body.grow) {
		body.offset = ((size + 1) / 2 + (pick(4) == 0)) * 2 * UNIT;
		body.length = (1 + pick(4)) * 2 * UNIT;
	}
	msg.msg_case = CSV__MESSAGE__MSG_LAYOUT_GET;
	msg.layout_get = &body;
	peer_send(&c->peer, &msg);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void reclaim(struct client *c, const Csv__Handle *h)
{
	Csv__Grown grown[64];

	for (size_t i = 0; i < c->n_unsettled; i++) {
		csv__grown__init(&grown[i]);
		grown[i].ino = ino;
		grown[i].offset = c->unsettled[i].first * UNIT;
		grown[i].length = (c->unsettled[i].last - c->unsettled[i].first) * UNIT;
	}
	n_reclaimed += (unsigned)c->n_unsettled;
	peer_reclaim_grown(&c->peer, h, 1, grown, forgetful ? 0 : c->n_unsettled);
}

static void come_back(struct client *c)
{
	Csv__Handle h = CSV__HANDLE__INIT;
	Csv__Message *msg;

	c->asked = false;
	c->n_recalls = 0; /* those that are open come again */
	peer_hello(&c->peer);
	msg = peer_expect(&c->peer, CSV__MESSAGE__MSG_WELCOME);
	h.fh = c->fh;
	h.ino = ino;
	h.flags = O_RDWR;
	h.resource = (char *)(uintptr_t) "";
	if (msg->welcome->reclaim)
		reclaim(c, &h);
	c->n_unsettled = 0; /* both leave behind a commit */
	free_msg(msg);
	if (c->op.used)
		submit(c, true);
}

/* Right after everything was taken in: who flies there now took off before it was done. */
static void will_be_sent_again(struct client *c)
{
	if (!c->op.used)
		return;
	mark(&c->op, -1);
	c->op.again = true;
	mark(&c->op, 1);
}

static void break_connection(struct client *c)
{
	peer_lost(&c->peer);
	poll_all();
	will_be_sent_again(c);
	come_back(c);
}

/* Its nexus is killed by the hello: what flew has landed by then. */
static void restart_client(struct client *c)
{
	land_all(c);
	peer_lost(&c->peer);
	poll_all();
	will_be_sent_again(c);
	memset(c->map, 0, sizeof(c->map));
	memset(c->grow, 0, sizeof(c->grow));
	c->growth.used = false;
	c->peer.process++;
	come_back(c);
}

/* Layouts end: each client has landed what flew before it reclaims. */
static void fail_over(void)
{
	poll_all();
	for (int i = 0; i < CLIENTS; i++)
		will_be_sent_again(&clients[i]);
	rig_kill(rig);
	rig_start(rig);
	for (int i = 0; i < CLIENTS; i++) {
		land_all(&clients[i]);
		memset(clients[i].map, 0, sizeof(clients[i].map));
		memset(clients[i].grow, 0, sizeof(clients[i].grow));
		come_back(&clients[i]);
	}
}

/* ---- one history ----------------------------------------------------------------------------- */

static void step(void)
{
	struct client *c = &clients[pick(CLIENTS)];
	unsigned what = pick(100), u = pick(UNITS);

	/* Half of the time it has answered before the next step, or little would happen in one history. */
	if (pick(2))
		rig_settle(rig);
	poll_all();
	if (crash_soon) {
		crash_soon = false;
		fail_over();
	} else if (what < 12)
		ask(c);
	else if (what < 34)
		(void)read_one(c);
	else if (what < 42)
		take_off(c, u);
	else if (what < 60)
		growth_step(c);
	else if (what < 70)
		land(&c->flight[pick(4)]);
	else if (what < 80)
		check_direct(c, u);
	else if (what < 88)
		begin_op(c);
	else if (what < 99)
		answer_recalls(c);
	else if (pick(3) == 0)
		break_connection(c);
	else if (pick(2) == 0)
		restart_client(c);
	else if (pick(3) == 0)
		fail_over();
}

static bool is_over(void)
{
	for (int i = 0; i < CLIENTS; i++)
		if (clients[i].op.used || clients[i].asked)
			return false;
	return true;
}

static void settle(void)
{
	poll_all();
	while (!is_over()) {
		for (int i = 0; i < CLIENTS; i++) {
			land_all(&clients[i]);
			while (read_one(&clients[i]))
				;
			answer_recalls(&clients[i]);
		}
		if (!is_over())
			rig_await_mail(rig);
		poll_all();
	}
	for (int i = 0; i < CLIENTS; i++)
		land_all(&clients[i]);
}

static void compare_all(struct client *c)
{
	static uint8_t got[UNITS * UNIT];
	size_t n = peer_read(&c->peer, ino, c->fh, 0, got, sizeof(got));

	assert_int_equal(n, size * UNIT);
	for (unsigned u = 0; u < size; u++)
		if (!is_stamp(got + u * UNIT, expected[u]))
			fail_msg("unit %u is not what was written last: %llu, not %llu", u,
				 (unsigned long long)*(uint64_t *)(void *)(got + u * UNIT),
				 (unsigned long long)expected[u]);
}

static void one_history(void)
{
	memset(clients, 0, sizeof(clients));
	memset(expected, 0, sizeof(expected));
	memset(busy, 0, sizeof(busy));
	memset(unclear, 0, sizeof(unclear));
	size = 0;
	rig_start(rig);
	for (uint32_t i = 0; i < CLIENTS; i++) {
		peer_init(&clients[i].peer, rig, i + 2);
		peer_up(&clients[i].peer);
		if (i == 0)
			ino = peer_create(&clients[i].peer, "file", &clients[i].fh);
		else
			clients[i].fh = peer_open(&clients[i].peer, ino);
	}
	for (int i = 0; i < STEPS; i++)
		step();
	settle();
	for (int i = 0; i < CLIENTS; i++)
		compare_all(&clients[i]);
}

static void histories(void **state)
{
	(void)state;
	for (unsigned run = 0; run < runs; run++) {
		unsigned this = seed;

		print_message("seed %u\n", this);
		rig = rig_new();
		rig->silence_ms = 3600 * 1000;
		rig->defects = defects;
		one_history();
		rig_free(rig);
		seed = this + 1;
	}
	print_message("%u growths, %u refused; %u early, %u reclaimed\n", n_grown, n_refused,
		      n_early, n_reclaimed);
	assert_true(n_grown);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(histories) };

	if (argc > 1)
		seed = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		runs = (unsigned)strtoul(argv[2], NULL, 10);
	if (argc > 3 && !strcmp(argv[3], "no-recall"))
		defects = COORD_DEFECT_NO_RECALL;
	if (argc > 3 && !strcmp(argv[3], "grow"))
		defects = COORD_DEFECT_GROW;
	forgetful = argc > 3 && !strcmp(argv[3], "forgetful");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
