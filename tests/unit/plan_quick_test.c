/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The source's side of a quick migration: order of steps, every failure, guards left out. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "migration/plan_quick.h"

static struct quick q;
static char done[200]; /* actions, a letter each */

static void step(struct quick_event ev)
{
	static const char letters[] = {
		[QUICK_ACT_REPORT_SWITCH] = 'w', [QUICK_ACT_STOP] = 's',
		[QUICK_ACT_SAVE] = 'm',		 [QUICK_ACT_QUERY_RUN_STATE] = 'q',
		[QUICK_ACT_NAME] = 'n',		 [QUICK_ACT_CANCEL] = 'c',
		[QUICK_ACT_DISCARD] = 'd',	 [QUICK_ACT_REPORT_SENT] = 'S',
		[QUICK_ACT_REPORT_FAILED] = 'F',
	};
	struct quick_actions out = { .n = 0 };
	size_t n = strlen(done);

	quick_step(&q, &ev, &out);
	for (unsigned i = 0; i < out.n && n < sizeof(done) - 2; i++) {
		done[n++] = out.v[i].kind == QUICK_ACT_REPORT_FAILED && out.v[i].running
				    ? 'R'
				    : letters[out.v[i].kind];
		done[n] = '\0';
	}
}

static void begin(unsigned defects)
{
	quick_init(&q, "vm");
	q.defects = defects;
	done[0] = '\0';
	step((struct quick_event){ .kind = QUICK_EV_START, .was_running = true });
}

#define EV(...) step((struct quick_event){ __VA_ARGS__ })
#define STATUS(x) EV(.kind = QUICK_EV_STATUS, .status = MIG_ST_##x)

/* As far as the named phase. */
static void reach(enum quick_phase phase)
{
	begin(0);
	if (phase >= QUICK_STOPPING)
		EV(.kind = QUICK_EV_SWITCH_OK);
	if (phase >= QUICK_SAVING)
		EV(.kind = QUICK_EV_STOPPED);
	if (phase >= QUICK_CONFIRMING)
		STATUS(COMPLETED);
	if (phase >= QUICK_NAMING)
		EV(.kind = QUICK_EV_RUN_STATE, .run = MIG_RUN_POSTMIGRATE);
	assert_int_equal(quick_phase(&q), phase);
	done[0] = '\0';
}

static void test_all_goes_well(void **state)
{
	(void)state;
	begin(0);
	EV(.kind = QUICK_EV_SWITCH_OK);
	EV(.kind = QUICK_EV_STOPPED);
	STATUS(SETUP);
	STATUS(ACTIVE);
	STATUS(COMPLETED);
	EV(.kind = QUICK_EV_RUN_STATE, .run = MIG_RUN_FINISH_MIGRATE); /* the event came first */
	EV(.kind = QUICK_EV_RUN_STATE, .run = MIG_RUN_POSTMIGRATE);
	assert_string_equal(done, "wsmqqn");
	EV(.kind = QUICK_EV_HELPER, .ok = true);
	assert_string_equal(done, "wsmqqnS");
	EV(.kind = QUICK_EV_ABORT); /* too late: only an order brings it back */
	assert_string_equal(done, "wsmqqnS");
}

static void test_given_up_in_every_phase(void **state)
{
	(void)state;
	reach(QUICK_WAITING);
	EV(.kind = QUICK_EV_ABORT);
	assert_string_equal(done, "R"); /* it was never stopped */
	reach(QUICK_STOPPING);
	EV(.kind = QUICK_EV_ABORT);
	assert_string_equal(done, ""); /* not before it stands: a cont would come too early */
	EV(.kind = QUICK_EV_STOPPED);
	assert_string_equal(done, "F");
	reach(QUICK_SAVING);
	EV(.kind = QUICK_EV_ABORT);
	assert_string_equal(done, "dc");
	STATUS(CANCELLING);
	assert_string_equal(done, "dc");
	STATUS(CANCELLED);
	assert_string_equal(done, "dcF");
	reach(QUICK_SAVING); /* it was done all the same */
	EV(.kind = QUICK_EV_ABORT);
	STATUS(COMPLETED);
	assert_string_equal(done, "dcF");
	reach(QUICK_CONFIRMING);
	EV(.kind = QUICK_EV_ABORT);
	assert_string_equal(done, "dF");
	reach(QUICK_NAMING);
	EV(.kind = QUICK_EV_ABORT);
	assert_string_equal(done, "dF");
	EV(.kind = QUICK_EV_HELPER, .ok = true); /* its state is void */
	assert_string_equal(done, "dF");
}

static void test_what_can_fail(void **state)
{
	(void)state;
	reach(QUICK_STOPPING);
	EV(.kind = QUICK_EV_COMMAND_FAILED);
	assert_string_equal(done, "F");
	reach(QUICK_SAVING);
	EV(.kind = QUICK_EV_COMMAND_FAILED);
	assert_string_equal(done, "dF");
	reach(QUICK_SAVING);
	STATUS(FAILED);
	assert_string_equal(done, "dF");
	reach(QUICK_SAVING); /* the volume is full */
	EV(.kind = QUICK_EV_HELPER, .ok = false);
	assert_string_equal(done, "c");
	STATUS(FAILED);
	assert_string_equal(done, "cF");
	reach(QUICK_SAVING); /* it cannot have all of it */
	EV(.kind = QUICK_EV_HELPER, .ok = true);
	assert_string_equal(done, "c");
	reach(QUICK_CONFIRMING);
	EV(.kind = QUICK_EV_RUN_STATE, .run = MIG_RUN_PAUSED);
	assert_string_equal(done, "dF");
	reach(QUICK_NAMING);
	EV(.kind = QUICK_EV_HELPER, .ok = false);
	assert_string_equal(done, "F");
}

/* Any order of events: stopped only by the entry, named only when all is there, reported once. */
static void check_order(unsigned seed)
{
	const char *s, *n, *end;
	unsigned x = seed * 2654435761u + 12345;

	begin(0);
	for (int i = 0; i < 40; i++) {
		struct quick_event ev = { 0 };

		x = x * 1664525u + 1013904223u;
		ev.kind = QUICK_EV_SWITCH_OK + (x >> 10) % 7;
		ev.status = (enum mig_status)((x >> 16) % (MIG_ST_OTHER + 1));
		ev.run = (enum mig_run)((x >> 21) % (MIG_RUN_OTHER + 1));
		ev.ok = x >> 30 & 1;
		step(ev);
	}
	s = strchr(done, 's');
	n = strchr(done, 'n');
	end = strpbrk(done, "SFR");
	assert_true(!end || !strpbrk(end + 1, "SFRsmn")); /* one report, and nothing after it */
	assert_true(!n || (s && strchr(done, 'q') && strchr(done, 'q') < n));
	assert_true(!strchr(done, 'S') || n);
	assert_true(!strchr(done, 'R') || !s);
}

static void test_any_order(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20000; seed++)
		check_order(seed);
}

static void test_guards_left_out(void **state)
{
	(void)state;
	begin(QUICK_DEFECT_NO_SWITCH);
	assert_string_equal(done, "ws");
	begin(QUICK_DEFECT_NAME_EARLY);
	EV(.kind = QUICK_EV_SWITCH_OK);
	EV(.kind = QUICK_EV_STOPPED);
	STATUS(COMPLETED);
	assert_string_equal(done, "wsmn");
	begin(QUICK_DEFECT_SENT_UNNAMED);
	EV(.kind = QUICK_EV_SWITCH_OK);
	EV(.kind = QUICK_EV_STOPPED);
	STATUS(COMPLETED);
	EV(.kind = QUICK_EV_RUN_STATE, .run = MIG_RUN_POSTMIGRATE);
	assert_string_equal(done, "wsmqnS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_goes_well),
		cmocka_unit_test(test_given_up_in_every_phase),
		cmocka_unit_test(test_what_can_fail),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_guards_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
