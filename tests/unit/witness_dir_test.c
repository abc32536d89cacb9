/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A witness's directory (iscsi/witness_dir.h). Its real code runs on a model of a directory in which every step that
 * others can see (a list, a rename, a removal, each half of a read or of a write of a log) may be followed by a step of
 * any other node, in all orders there are. A rename may be done and its answer lost, in two ways: "not there", as of a
 * server that is asked again and has forgotten the first time, or an error; or an error is answered and it is done
 * later, at any time, as by a client that gives up waiting ("soft") for a request that is on its way. A node that is frozen
 * is one that has no turn for long, so all freezes are among them.
 *
 * What must hold: whoever has claimed and read the log has read all that lower claims have acknowledged, before or
 * after. Each guard left out breaks it in some order.
 *
 * The same code on a real directory: witness_dir_disk_test.c.
 */
#include "config.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "iscsi/witness_dir.h"

/* ---- all orders ------------------------------------------------------------------------------------------- */

enum { CHOICES = 400, ACTORS = 3, STACK = 256 * 1024, STATES = 1 << 21 };

/*
 * Depth first: a run follows the choices made so far and takes the first one from there on. What was reached before
 * by another way (the same directory, and every node has seen the same) goes on as it went on then: such a run is of
 * no interest any more, and ends without a choice.
 */
static struct {
	unsigned char made[CHOICES], of[CHOICES];
	unsigned n, depth;
	bool known;
	uint64_t states[STATES];
	unsigned n_states;
} path;

static uint64_t state_hash(void);

static bool reached_before(uint64_t hash)
{
	size_t i = hash % STATES;

	while (path.states[i] && path.states[i] != hash)
		i = (i + 1) % STATES;
	if (path.states[i])
		return true;
	path.states[i] = hash;
	assert_true(++path.n_states < STATES / 2);
	return false;
}

/* kind: of choice, which may be made one after the other with nothing between. */
static unsigned choose(unsigned of, uint64_t kind)
{
	assert_true(path.depth < CHOICES);
	if (of < 2 || path.known)
		return 0;
	if (path.depth == path.n) {
		path.known = reached_before(state_hash() ^ kind << 40);
		if (path.known)
			return 0;
		path.made[path.n] = 0;
		path.of[path.n++] = (unsigned char)of;
	}
	return path.made[path.depth++];
}

/* False: that was the last order. */
static bool next_path(void)
{
	while (path.n && path.made[path.n - 1] + 1 == path.of[path.n - 1])
		path.n--;
	if (!path.n)
		return false;
	path.made[path.n - 1]++;
	return true;
}

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------- */

struct actor {
	ucontext_t context;
	char *stack;
	unsigned node;
	uint64_t
		seen; /* hash of all answers that it has had: what it does next follows from them */
	uint64_t nonces;
	bool runs;
	void (*script)(struct actor *);
	struct wdir dir;
	/* its log, as it was read, or written since */
	unsigned half, cells;
	uint32_t generation, mask;
	bool fresh;
};

static struct actor actors[ACTORS], *running;
static ucontext_t scheduler;
static unsigned n_actors, lost_left, switches_left;

/* What is visible to others is about to happen. */
static void turn(void)
{
	if (running)
		swapcontext(&running->context, &scheduler);
}

static void actor_main(void)
{
	running->script(running);
	running->runs = false;
	swapcontext(&running->context, &scheduler);
}

static void actor_begin(struct actor *a)
{
	a->runs = true;
	if (!a->stack)
		a->stack = malloc(STACK);
	assert_int_equal(getcontext(&a->context), 0);
	a->context.uc_stack.ss_sp = a->stack;
	a->context.uc_stack.ss_size = STACK;
	a->context.uc_link = NULL;
	makecontext(&a->context, actor_main, 0);
}

/* ---- the directory --------------------------------------------------------------------------------------------- */

enum { FILES = 24, BYTES = 128 };

static struct file {
	char name[WDIR_NAME_MAX];
	uint8_t data[BYTES];
	uint32_t len;
} files[FILES];

static int had(int r, const void *data, size_t len)
{
	if (!running)
		return r;
	running->seen = mix(running->seen, &r, sizeof(r));
	running->seen = mix(running->seen, data, len);
	return r;
}

static struct file *find(const char *name)
{
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].name[0] && strcmp(files[i].name, name) == 0)
			return &files[i];
	return NULL;
}

static bool visible(const char *name)
{
	return strncmp(name, "log-", 4) == 0;
}

static int m_list(void *user, void (*name)(void *arg, const char *name), void *arg)
{
	(void)user;
	turn();
	for (unsigned i = 0; i < FILES; i++)
		if (files[i].name[0]) {
			(void)had(0, files[i].name, strlen(files[i].name));
			name(arg, files[i].name);
		}
	return 0;
}

/* A rename that its client has given up, and that may come yet. */
static struct {
	char from[WDIR_NAME_MAX], to[WDIR_NAME_MAX];
} late;

static void late_lands(void)
{
	struct file *f = find(late.from);

	if (f)
		(void)snprintf(f->name, sizeof(f->name), "%s", late.to);
	memset(&late, 0, sizeof(late));
}

static int lose(struct file *f, const char *from, const char *to, unsigned fate)
{
	lost_left--;
	if (fate == 3) {
		(void)snprintf(late.from, sizeof(late.from), "%s", from);
		(void)snprintf(late.to, sizeof(late.to), "%s", to);
	} else {
		(void)snprintf(f->name, sizeof(f->name), "%s", to);
	}
	return had(fate == 1 ? -ENOENT : -EIO, NULL, 0);
}

static int m_rename(void *user, const char *from, const char *to)
{
	struct file *f;
	unsigned fate = 0;

	(void)user;
	turn();
	f = find(from);
	if (!f)
		return had(-ENOENT, NULL, 0);
	assert_null(find(to));
	if (running && lost_left)
		fate = choose(late.from[0] ? 3 : 4, 1);
	if (fate)
		return lose(f, from, to, fate);
	(void)snprintf(f->name, sizeof(f->name), "%s", to);
	return had(0, NULL, 0);
}

static int m_remove(void *user, const char *name)
{
	struct file *f;

	(void)user;
	turn();
	f = find(name);
	if (f)
		f->name[0] = 0;
	return had(f ? 0 : -ENOENT, NULL, 0);
}

static int m_create(void *user, const char *name)
{
	(void)user;
	if (find(name))
		return -EEXIST;
	for (unsigned i = 0; i < FILES; i++)
		if (!files[i].name[0]) {
			files[i] = (struct file){ .len = 0 };
			(void)snprintf(files[i].name, sizeof(files[i].name), "%s", name);
			return 0;
		}
	fail_msg("too many files");
	return -ENOSPC;
}

/* Half of it before others have a turn, half after. */
static int m_read(void *user, const char *name, uint64_t offset, void *buf, uint32_t len)
{
	(void)user;
	assert_int_equal(offset, 0);
	memset(buf, 0, BYTES);
	for (unsigned half = 0; half < 2; half++) {
		struct file *f;

		if (visible(name))
			turn();
		f = find(name);
		if (!f)
			return had(-ENOENT, NULL, 0);
		memcpy((uint8_t *)buf + half * BYTES / 2, f->data + half * BYTES / 2, BYTES / 2);
		(void)had(0, f->data + half * BYTES / 2, BYTES / 2);
	}
	return len < BYTES ? (int)len : BYTES;
}

static int m_write(void *user, const char *name, uint64_t offset, const void *data, uint32_t len)
{
	uint32_t first = len < 8 ? len : len / 2;

	(void)user;
	assert_true(len > BYTES || offset + len <= BYTES);
	if (len > BYTES)
		len = first = BYTES; /* a superblock: nobody looks at the rest */
	for (unsigned half = 0; half < 2; half++) {
		uint32_t at = half ? first : 0, n = half ? len - first : first;
		struct file *f;

		if (visible(name))
			turn();
		f = find(name);
		if (f) /* else removed: who has it open writes all the same */
			memcpy(f->data + offset + at, (const uint8_t *)data + at, n);
		(void)had((int)half, NULL, 0);
	}
	return 0;
}

static int m_sync(void *user)
{
	(void)user;
	return 0;
}

static uint64_t m_random(void *user)
{
	(void)user;
	return running ? (uint64_t)running->node << 32 | ++running->nonces : 1;
}

static const struct wdir_os model = {
	.list = m_list,
	.rename = m_rename,
	.remove = m_remove,
	.create = m_create,
	.read = m_read,
	.write = m_write,
	.sync = m_sync,
	.random = m_random,
};

/* ---- a log as quorum/witness_log.h lays it out, in small: two halves of two records ----------------------------- */

struct cell {
	uint32_t generation, checkpoint, mask, sum;
};
enum { CELLS = 2, HALF_AT = 32, HALF_BYTES = CELLS * sizeof(struct cell) };

static struct cell cell_at(const uint8_t *data, unsigned half, unsigned i)
{
	struct cell c;

	memcpy(&c, data + HALF_AT + half * HALF_BYTES + i * sizeof(c), sizeof(c));
	if (c.sum != (c.generation ^ c.checkpoint << 30 ^ c.mask << 16 ^ 0x5a5a5a5a))
		c.generation = 0;
	return c;
}

static void load(struct actor *a)
{
	const uint8_t *data = find(a->dir.log)->data; /* nobody else writes it */
	struct cell head[2];

	for (unsigned h = 0; h < 2; h++) {
		head[h] = cell_at(data, h, 0);
		if (!head[h].checkpoint)
			head[h].generation = 0;
	}
	a->half = head[1].generation > head[0].generation;
	a->generation = head[a->half].generation;
	a->mask = 0;
	for (unsigned i = 0; a->generation && i < CELLS; i++) {
		struct cell c = cell_at(data, a->half, i);

		if (c.generation != a->generation || (c.checkpoint != 0) != (i == 0))
			break;
		a->mask |= c.mask;
	}
	a->fresh = true;
}

static int write_record(struct actor *a, uint32_t bit)
{
	struct cell c = { .mask = bit };

	a->mask |= bit;
	if (a->fresh || a->cells == CELLS) {
		a->half = !a->half;
		a->cells = 0;
		a->generation =
			a->fresh ? (uint32_t)a->dir.token.claim << 8 | 1 : a->generation + 1;
		a->fresh = false;
		c.checkpoint = 1;
		c.mask = a->mask;
	}
	c.generation = a->generation;
	c.sum = c.generation ^ c.checkpoint << 30 ^ c.mask << 16 ^ 0x5a5a5a5a;
	return wdir_owner_write(&a->dir, HALF_AT + a->half * HALF_BYTES + a->cells++ * sizeof(c),
				&c, sizeof(c), NULL);
}

/* ---- what is acknowledged, what was read ------------------------------------------------------------------------- */

enum { READERS = 16 };

static struct {
	uint64_t claim;
	uint32_t mask;
} readers[READERS];
static unsigned n_readers;
static struct {
	uint64_t claim;
	uint32_t mask;
} acks[READERS];
static unsigned n_acks;
static bool broken;

/* Files in whichever order they were made. */
static uint64_t state_hash(void)
{
	uint64_t hash = 1;

	for (unsigned i = 0; i < FILES; i++)
		if (files[i].name[0])
			hash += mix(mix(7, files[i].name, strlen(files[i].name)), files[i].data,
				    BYTES);
	for (unsigned i = 0; i < n_actors; i++)
		hash = mix(hash, &actors[i].seen, sizeof(actors[i].seen));
	hash = mix(hash, readers, sizeof(readers[0]) * n_readers);
	hash = mix(hash, acks, sizeof(acks[0]) * n_acks);
	hash = mix(hash, &late, sizeof(late));
	hash = mix(hash, &lost_left, sizeof(lost_left));
	hash = mix(hash, &switches_left, sizeof(switches_left));
	return mix(hash, &running->node, sizeof(running->node)) | 1;
}

static void judge(void)
{
	for (unsigned i = 0; i < n_acks; i++)
		for (unsigned j = 0; j < n_readers; j++)
			if (readers[j].claim > acks[i].claim && acks[i].mask & ~readers[j].mask)
				broken = true;
}

static void acknowledge(struct actor *a, uint32_t mask)
{
	assert_true(n_acks < READERS);
	acks[n_acks].claim = a->dir.token.claim;
	acks[n_acks++].mask = mask;
	judge();
}

static bool claim(struct actor *a)
{
	if (wdir_claim(&a->dir, NULL) < 0)
		return false;
	load(a);
	assert_true(n_readers < READERS);
	readers[n_readers].claim = a->dir.token.claim;
	readers[n_readers++].mask = a->mask;
	judge();
	return true;
}

static int check(struct actor *a)
{
	unsigned holder;
	bool mine;
	int r;

	r = wdir_check(&a->dir, &mine, &holder, NULL);
	return r < 0 ? r : mine;
}

/* ---- what nodes do -------------------------------------------------------------------------------------------------- */

static uint32_t bit_of(const struct actor *a, unsigned i)
{
	return 1u << ((a->node - 1) * 5 + i);
}

/* Claimed before it begins: three records, each proven; when it has lost it claims anew. */
static void host_steps(struct actor *a)
{
	for (unsigned i = 0; i < 3; i++) {
		if (write_record(a, bit_of(a, i)) < 0)
			break;
		if (check(a) <= 0)
			break;
		acknowledge(a, bit_of(a, i));
	}
}

/* Claimed before it begins; one record that is proven, then four that are not: two halves are begun anew. */
static void host_burst(struct actor *a)
{
	if (write_record(a, bit_of(a, 0)) < 0 || check(a) <= 0)
		return;
	acknowledge(a, bit_of(a, 0));
	for (unsigned i = 1; i < 5; i++)
		if (write_record(a, bit_of(a, i)) < 0)
			return;
}

static void taker(struct actor *a)
{
	if (claim(a) && write_record(a, bit_of(a, 0)) == 0 && check(a) > 0)
		acknowledge(a, bit_of(a, 0));
}

/* Out, and in again: with a session of its own, as after each error. */
static void host_again(struct actor *a)
{
	if (write_record(a, bit_of(a, 0)) == 0 && check(a) > 0)
		acknowledge(a, bit_of(a, 0));
	else if (wdir_open(&a->dir, &model, a->node, false, false, NULL) == 0) {
		a->dir.second_half = HALF_AT + HALF_BYTES;
		taker(a);
	}
}

/* ---- one order, all orders -------------------------------------------------------------------------------------------- */

struct setting {
	void (*script[ACTORS])(struct actor *);
	unsigned lost;	   /* answers */
	unsigned switches; /* away from a node that could go on; 0 = any number */
	unsigned defects;
};

static void world(const struct setting *s)
{
	uint8_t super[WDIR_UNIT] = { 1 };

	memset(files, 0, sizeof(files));
	memset(readers, 0, sizeof(readers));
	memset(acks, 0, sizeof(acks));
	memset(&late, 0, sizeof(late));
	n_readers = n_acks = 0;
	broken = false;
	running = NULL;
	lost_left = 0;
	for (n_actors = 0; n_actors < ACTORS && s->script[n_actors]; n_actors++) {
		struct actor *a = &actors[n_actors];

		a->node = n_actors + 1;
		a->script = s->script[n_actors];
		a->dir.defects = 0;
		assert_int_equal(wdir_open(&a->dir, &model, a->node, true, false, NULL), 0);
		if (n_actors == 0) {
			assert_int_equal(wdir_format(&a->dir, super, NULL), 0);
			assert_int_equal(wdir_open(&a->dir, &model, 1, false, false, NULL), 0);
		}
	}
	assert_true(claim(&actors[0]));
	for (unsigned i = 0; i < n_actors; i++) {
		actors[i].dir.defects = s->defects;
		actors[i].dir.second_half = HALF_AT + HALF_BYTES;
		actors[i].seen = actors[i].nonces = 0;
		actor_begin(&actors[i]);
	}
	lost_left = s->lost;
	switches_left = s->switches ? s->switches : UINT32_MAX;
}

/* Who is next: any, or (when switches are counted and none is left) the one that ran. */
static struct actor *next_actor(struct actor *last)
{
	struct actor *can[ACTORS];
	unsigned n = 0, at;

	if (last && last->runs)
		can[n++] = last;
	for (unsigned i = 0; i < n_actors; i++)
		if (actors[i].runs && &actors[i] != last)
			can[n++] = &actors[i];
	if (n == 0)
		return NULL;
	if (late.from[0] && choose(2, 2))
		late_lands();
	if (last && last->runs && !switches_left)
		return last;
	at = choose(n, 0);
	if (last && last->runs && at)
		switches_left--;
	return can[at];
}

static bool one_order(const struct setting *s)
{
	struct actor *a = NULL;

	path.depth = 0;
	path.known = false;
	world(s);
	running = &actors[0];
	while ((a = next_actor(a))) { /* to its end: what its stack has is freed there */
		running = a;
		swapcontext(&scheduler, &a->context);
	}
	running = NULL;
	return !broken;
}

/* How many states there are; 0: an order of steps breaks it. */
static unsigned all_orders(const struct setting *s)
{
#ifdef __SANITIZE_THREAD__
	skip(); /* one thread with many stacks, which it does not understand */
#endif
	path.n = path.n_states = 0;
	memset(path.states, 0, sizeof(path.states));
	do
		if (!one_order(s))
			return 0;
	while (next_path());
	return path.n_states;
}

static void holds(const char *what, const struct setting *s)
{
	unsigned n = all_orders(s);

	print_message("%s: %u states, %ld ms\n", what, n, (long)clock() * 1000 / CLOCKS_PER_SEC);
	assert_true(n > 100);
}

static void test_all_orders(void **state)
{
	(void)state;
	holds("host, taker", &(struct setting){ .script = { host_steps, taker } });
	holds("burst, taker", &(struct setting){ .script = { host_burst, taker } });
}

static void test_lost_answers(void **state)
{
	(void)state;
	holds("again, taker, one answer lost",
	      &(struct setting){ .script = { host_again, taker }, .lost = 1, .switches = 3 });
	holds("host, taker, two answers lost",
	      &(struct setting){ .script = { host_steps, taker }, .lost = 2, .switches = 2 });
}

static void test_three_nodes(void **state)
{
	(void)state;
	holds("again, two takers",
	      &(struct setting){ .script = { host_again, taker, taker }, .switches = 3 });
	holds("burst, two takers, one answer lost",
	      &(struct setting){
		      .script = { host_burst, taker, taker }, .lost = 1, .switches = 2 });
}

static void test_guards(void **state)
{
	const struct setting left_out[] = {
		{ .script = { host_steps, taker }, .defects = WDIR_DEFECT_NO_CHECK },
		{ .script = { host_steps, taker }, .defects = WDIR_DEFECT_READ_FIRST },
		{ .script = { host_burst, taker }, .defects = WDIR_DEFECT_NO_JUMP_CHECK },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++)
		assert_int_equal(all_orders(&left_out[i]), 0);
}

int main(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 16 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 64 << 20); /* a copy's buffer, a hundred thousand times */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_orders),
		cmocka_unit_test(test_lost_answers),
		cmocka_unit_test(test_three_nodes),
		cmocka_unit_test(test_guards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
