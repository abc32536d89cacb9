/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two nodes' witnessd sessions against a real target (drill 26): claims, a write that lies in the target
 * while the other one claims, the target's end. usage: witness-lun-test URL; it asks on stdout for the
 * target's restart and reads a line when that is done.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/witness_lun.h"
#include "lib/log.h"
#include "tests/lun/stamp.h"

enum { UNIT = 4096, DELAY_MS = 1500, WAIT_MS = 20000 };

static struct cl_loop *loop;
static struct cl_source *late;

struct end {
	struct witness_lun *lun;
	bool up, waiting_path, want_up;
	int code;
	uint64_t waiting, next;
	struct witness_answer last;
	uint8_t data[UNIT];
};

static _Noreturn void failed(const char *what)
{
	printf("FAILED %s\n", what);
	exit(1);
}

static void on_late(void *user)
{
	(void)user;
	failed("nothing happens");
}

static void on_path(void *user, bool up, uint64_t bytes, int code, const char *text)
{
	struct end *e = user;

	printf("# path %d, %llu bytes, %d %s\n", up, (unsigned long long)bytes, code, text);
	e->up = up;
	e->code = code;
	if (e->waiting)
		failed("the session ended under an operation");
	if (e->waiting_path && (e->want_up == up))
		cl_loop_stop(loop);
}

static void on_done(void *user, const struct witness_answer *a)
{
	struct end *e = user;

	e->last = *a;
	if (a->len)
		memcpy(e->data, a->data, a->len < UNIT ? a->len : UNIT);
	if (a->id == e->waiting) {
		e->waiting = 0;
		cl_loop_stop(loop);
	}
}

static void run(void)
{
	(void)cl_timer_set_in(late, WAIT_MS);
	cl_loop_run(loop);
	cl_timer_cancel(late);
}

static void wait_path(struct end *e, bool up)
{
	e->waiting_path = true;
	e->want_up = up;
	if (e->up != up)
		run();
	e->waiting_path = false;
}

static void open_end(struct end *e, const char *url, unsigned node, bool unused)
{
	struct witness_config c = { .url = url,
				    .node = node,
				    .number = node,
				    .unused = unused,
				    .hooks = { e, on_path, on_done } };
	struct cl_error err = CL_ERROR_INIT;

	*e = (struct end){ 0 };
	if (witness_lun_new(loop, &c, &e->lun, &err) < 0)
		failed(err.msg);
}

static bool ask(struct end *e, enum witness_op_kind kind, uint64_t unit, const void *data)
{
	bool moves = kind != WITNESS_OP_CLAIM && kind != WITNESS_OP_CHECK;

	e->waiting = ++e->next;
	witness_lun_submit(e->lun, e->waiting, kind, unit * UNIT, moves ? UNIT : 0, data);
	run();
	printf("# %d: ok %d mine %d holder %u %s\n", kind, e->last.ok, e->last.mine, e->last.holder,
	       e->last.text ? e->last.text : "");
	return e->last.ok;
}

static void expect(bool is, const char *what)
{
	if (!is)
		failed(what);
	printf("ok %s\n", what);
}

static void on_gone(void *user)
{
	(void)user;
	cl_loop_stop(loop);
}

static void ownership(struct end *a, struct end *b)
{
	uint8_t block[UNIT] = { 'a' };

	expect(!ask(a, WITNESS_OP_OWNER_WRITE, 600, block), "no owner's write before a claim");
	expect(ask(a, WITNESS_OP_CLAIM, 0, NULL), "a claim of an unused LUN");
	expect(ask(a, WITNESS_OP_CHECK, 0, NULL) && a->last.mine, "it is named");
	expect(ask(a, WITNESS_OP_OWNER_WRITE, 600, block), "an owner's write");
	expect(ask(b, WITNESS_OP_CHECK, 0, NULL) && !b->last.mine && b->last.holder == 1,
	       "the other one sees who holds it");
	expect(ask(b, WITNESS_OP_WRITE, 18, block), "and writes its slot");
	expect(ask(b, WITNESS_OP_READ, 600, NULL) && b->data[0] == 'a', "and reads all");
	expect(!ask(b, WITNESS_OP_OWNER_WRITE, 601, block), "but not the owner's");
}

/* b claims while a write of a lies in the target. */
static void take_over(struct end *a, struct end *b)
{
	const struct stamp stamp = { STAMP_MAGIC, 1, 1, 1, DELAY_MS, 0 };
	struct cl_mono begun = cl_mono_now();
	uint8_t block[UNIT] = { 0 };

	memcpy(block, &stamp, sizeof(stamp));
	witness_lun_submit(a->lun, ++a->next, WITNESS_OP_OWNER_WRITE, 602 * UNIT, UNIT, block);
	(void)ask(b, WITNESS_OP_READ, 600, NULL); /* a turn of the loop: it has left */
	expect(ask(b, WITNESS_OP_CLAIM, 0, NULL), "a claim against a living owner");
	expect(cl_mono_diff_ms(begun, cl_mono_now()) >= DELAY_MS - 200,
	       "it waits for the owner's write");
	expect(ask(b, WITNESS_OP_READ, 602, NULL) && memcmp(b->data, &stamp, sizeof(stamp)) == 0,
	       "which it then reads");
	expect(ask(b, WITNESS_OP_CHECK, 0, NULL) && b->last.mine, "it is named now");
	if (a->up) {
		bool ok = ask(a, WITNESS_OP_CHECK, 0, NULL);

		expect(ok && !a->last.mine && a->last.holder == 2, "the former owner sees it");
	}
}

int main(int argc, char *argv[])
{
	struct end a, b, c;
	char line[16];

	if (argc != 2)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	cl_log_init("witness-lun-test", CL_LOG_INFO);
	if (cl_loop_new(&loop) < 0 || cl_timer_new(loop, on_late, NULL, &late) < 0)
		failed("out of memory");
	open_end(&a, argv[1], 1, true);
	wait_path(&a, true);
	open_end(&b, argv[1], 2, false);
	wait_path(&b, true);
	ownership(&a, &b);
	take_over(&a, &b);

	open_end(&c, argv[1], 3, true);
	c.up = true;
	wait_path(&c, false);
	expect(c.code == -EBUSY, "a LUN in use is refused");
	witness_lun_free(c.lun);

	printf("restart the target\n");
	wait_path(&b, false);
	if (!fgets(line, sizeof(line), stdin))
		return 2;
	wait_path(&b, true);
	expect(ask(&b, WITNESS_OP_CHECK, 0, NULL) && !b.last.mine && b.last.holder == 0,
	       "the target has forgotten who held it");
	expect(!ask(&b, WITNESS_OP_OWNER_WRITE, 603, b.data), "no owner's write on a new nexus");
	expect(ask(&b, WITNESS_OP_CLAIM, 0, NULL), "claimed again");
	expect(ask(&b, WITNESS_OP_OWNER_WRITE, 603, b.data), "and written");

	witness_lun_give_up(b.lun, true, on_gone, NULL);
	run();
	witness_lun_free(b.lun);
	witness_lun_free(a.lun);
	open_end(&c, argv[1], 3, true);
	wait_path(&c, true);
	expect(true, "given up, it is free");
	witness_lun_free(c.lun);
	printf("passed\n");
	return 0;
}
