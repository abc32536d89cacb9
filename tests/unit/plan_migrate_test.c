/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The migration's machines against the table of measured faults: each row is a script of what QEMU
 * reports and what the manager allows, and of exactly what must come out. The defect switches leave
 * a guard out; a script that then still passes would prove nothing.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "migration/plan_migrate.h"

#define MIB (UINT64_C(1) << 20)

/* One letter per action, in order. */
static const char letters[] = " SDCXQwsfN";

struct script {
	struct mig_source m;
	char out[256];
	bool running;	      /* of the last REPORT_FAILED */
	unsigned downtime_ms; /* of the last SET_DOWNTIME */
};

static void feed(struct script *s, struct mig_event ev)
{
	struct mig_actions out = { .n = 0 };
	size_t len = strlen(s->out);

	mig_source_step(&s->m, &ev, &out);
	for (unsigned i = 0; i < out.n; i++) {
		s->out[len++] = letters[out.v[i].kind];
		if (out.v[i].kind == MIG_ACT_REPORT_FAILED)
			s->running = out.v[i].running;
		if (out.v[i].kind == MIG_ACT_SET_DOWNTIME)
			s->downtime_ms = out.v[i].downtime_ms;
	}
	s->out[len] = '\0';
}

static void status(struct script *s, enum mig_status st)
{
	feed(s, (struct mig_event){ .kind = MIG_EV_STATUS, .status = st });
}

static void run_state(struct script *s, enum mig_run run)
{
	feed(s, (struct mig_event){ .kind = MIG_EV_RUN_STATE, .run = run });
}

static void simple(struct script *s, enum mig_event_kind kind)
{
	feed(s, (struct mig_event){ .kind = kind });
}

static void abort_order(struct script *s, bool dead)
{
	feed(s, (struct mig_event){ .kind = MIG_EV_ABORT, .target_dead = dead });
}

static void progress(struct script *s, int64_t now_ms, uint64_t transferred, uint64_t remaining)
{
	feed(s, (struct mig_event){ .kind = MIG_EV_PROGRESS,
				    .now_ms = now_ms,
				    .transferred = transferred,
				    .remaining = remaining });
}

static void expect(struct script *s, const char *actions)
{
	assert_string_equal(s->out, actions);
	s->out[0] = '\0';
}

/* Up to the named phase of a small, running VM. */
static struct script at(enum mig_phase phase, unsigned defects)
{
	struct script s = { .out = "" };

	mig_source_init(&s.m, "vm", 0);
	s.m.defects = defects;
	if (phase >= MIG_SETUP)
		feed(&s, (struct mig_event){ .kind = MIG_EV_START,
					     .now_ms = 1000,
					     .total = 256 * MIB,
					     .was_running = true });
	if (phase >= MIG_PRECOPY) {
		status(&s, MIG_ST_SETUP);
		status(&s, MIG_ST_ACTIVE);
	}
	if (phase >= MIG_DEVICE)
		simple(&s, MIG_EV_SWITCH_OK);
	if (phase >= MIG_SWITCHING)
		status(&s, MIG_ST_PRE_SWITCHOVER);
	if (phase >= MIG_DEVICE)
		status(&s, MIG_ST_DEVICE);
	if (!(defects & MIG_DEFECT_CONTINUE_WITHOUT_SWITCH))
		assert_int_equal(mig_source_phase(&s.m), phase);
	s.out[0] = '\0';
	return s;
}

static void test_the_whole_way(void **state)
{
	struct script s = { .out = "" };

	(void)state;
	mig_source_init(&s.m, "vm", 500);
	feed(&s,
	     (struct mig_event){
		     .kind = MIG_EV_START, .now_ms = 1, .total = 256 * MIB, .was_running = true });
	expect(&s, "S");
	status(&s, MIG_ST_SETUP);
	status(&s, MIG_ST_ACTIVE);
	expect(&s, "w"); /* small: asked at once */
	simple(&s, MIG_EV_SWITCH_OK);
	expect(&s, "D");
	assert_int_equal(s.downtime_ms, 500);
	status(&s, MIG_ST_PRE_SWITCHOVER);
	expect(&s, "C"); /* no waiting while the guest stands */
	status(&s, MIG_ST_DEVICE);
	status(&s, MIG_ST_COMPLETED);
	expect(&s, "Q");
	run_state(&s, MIG_RUN_FINISH_MIGRATE);
	expect(&s, "Q"); /* the event precedes the state */
	run_state(&s, MIG_RUN_POSTMIGRATE);
	expect(&s, "s");
	abort_order(&s, false);
	abort_order(&s, true);
	simple(&s, MIG_EV_RESUMED);
	expect(&s, ""); /* what is sent is sent: the log decides now */
}

static void test_big_vm_asks_when_near_the_end(void **state)
{
	struct script s = { .out = "" };

	(void)state;
	mig_source_init(&s.m, "vm", 0);
	feed(&s, (struct mig_event){ .kind = MIG_EV_START,
				     .now_ms = 1,
				     .total = 65536 * MIB,
				     .was_running = true });
	status(&s, MIG_ST_ACTIVE);
	progress(&s, 2, 1 * MIB, 65535 * MIB);
	expect(&s, "S"); /* a pause can still be had for a long time: not in phase=switch yet */
	progress(&s, 3, 50000 * MIB, 16000 * MIB);
	expect(&s, "w");
	feed(&s, (struct mig_event){ .kind = MIG_EV_PASS, .pass = 2 });
	progress(&s, 4, 50001 * MIB, 10 * MIB);
	expect(&s, ""); /* once */
}

/* Rows "connect refused, wrong RAM, wrong machine" and "target killed 10/50/99 %". */
static void test_precopy_fails(void **state)
{
	(void)state;
	for (int at_setup = 0; at_setup < 2; at_setup++) {
		struct script s = at(at_setup ? MIG_SETUP : MIG_PRECOPY, 0);

		status(&s, MIG_ST_FAILED);
		expect(&s, "Q");
		run_state(&s, MIG_RUN_RUNNING);
		expect(&s, "f");
		assert_true(s.running);
	}
}

static void test_setup_refused(void **state)
{
	struct script s = at(MIG_SETUP, 0);

	(void)state;
	simple(&s, MIG_EV_COMMAND_FAILED);
	expect(&s, "Xf"); /* cancel, in case that it began all the same */
	status(&s, MIG_ST_CANCELLED);
	expect(&s, "");
}

/* Row "net cut 10/50 %": `active` for ever. */
static void test_cut_in_precopy(void **state)
{
	struct script s = at(MIG_PRECOPY, 0);

	(void)state;
	progress(&s, 2000, 5 * MIB, 200 * MIB);
	progress(&s, 11999, 5 * MIB, 200 * MIB);
	expect(&s, "");
	progress(&s, 12000, 5 * MIB, 200 * MIB);
	expect(&s, "X");
	status(&s, MIG_ST_CANCELLING);
	status(&s, MIG_ST_CANCELLED);
	run_state(&s, MIG_RUN_RUNNING);
	expect(&s, "Qf");
	assert_true(s.running);
}

/* Row "pre-switchover: target killed": not noticed until migrate-continue, then auto RESUME. */
static void test_target_dies_in_pre_switchover(void **state)
{
	struct script s = at(MIG_SWITCHING, 0);

	(void)state;
	simple(&s, MIG_EV_SWITCH_OK);
	expect(&s, "C");
	status(&s, MIG_ST_FAILED);
	run_state(&s, MIG_RUN_FINISH_MIGRATE);
	expect(&s, "QQ");
	simple(&s, MIG_EV_RESUMED); /* QEMU resumes by itself */
	expect(&s, "f");
	assert_true(s.running);
	run_state(&s, MIG_RUN_RUNNING);
	expect(&s, ""); /* the late answer changes nothing */
}

/* Row "pre-switchover: cancel, also with cut": the target cannot be complete. */
static void test_abort_before_device(void **state)
{
	(void)state;
	for (int phase = MIG_SETUP; phase <= MIG_SWITCHING; phase++) {
		struct script s = at((enum mig_phase)phase, 0);

		abort_order(&s, false);
		expect(&s, "X");
		abort_order(&s, false);
		expect(&s, "");
		status(&s, MIG_ST_CANCELLED);
		run_state(&s, MIG_RUN_RUNNING);
		expect(&s, "Qf");
	}
}

/* Row "device, cut, return-path": the target may hold everything and load it later. */
static void abort_in_device(unsigned defects, const char *first)
{
	struct script s = at(MIG_DEVICE, defects);

	abort_order(&s, false);
	expect(&s, first);
	if (defects)
		return;
	abort_order(&s, false);
	expect(&s, ""); /* asked for once */
	abort_order(&s, true);
	expect(&s, "X");
	status(&s, MIG_ST_CANCELLED);
	simple(&s, MIG_EV_RESUMED);
	expect(&s, "Qf");
	assert_true(s.running);
}

static void test_abort_in_device(void **state)
{
	(void)state;
	abort_in_device(0, "N");
	abort_in_device(MIG_DEFECT_CANCEL_IN_DEVICE,
			"X"); /* the guard is what made the difference */
}

static void test_cut_in_device(void **state)
{
	struct script s = at(MIG_DEVICE, 0);

	(void)state;
	progress(&s, 2000, 256 * MIB, 0);
	progress(&s, 12000, 256 * MIB, 0);
	expect(&s, "N");
	progress(&s, 13000, 256 * MIB, 0);
	expect(&s, "");
	/* It was only slow: completed all the same, and that is what counts. */
	status(&s, MIG_ST_COMPLETED);
	run_state(&s, MIG_RUN_POSTMIGRATE);
	expect(&s, "Qs");
}

/* The target is dead and was the reason: QEMU may have noticed before the cancel. */
static void test_completed_wins_over_cancel(void **state)
{
	struct script s = at(MIG_DEVICE, 0);

	(void)state;
	abort_order(&s, true);
	status(&s, MIG_ST_COMPLETED);
	run_state(&s, MIG_RUN_POSTMIGRATE);
	expect(&s,
	       "XQs"); /* the source holds the whole state, stopped: an entry may give it back */
}

static void wait_for_switch(unsigned defects, const char *want)
{
	struct script s = { .out = "" };

	mig_source_init(&s.m, "vm", 0);
	s.m.defects = defects;
	feed(&s,
	     (struct mig_event){
		     .kind = MIG_EV_START, .now_ms = 1, .total = 16 * MIB, .was_running = true });
	status(&s, MIG_ST_PRE_SWITCHOVER); /* so quick that `active` was never seen */
	expect(&s, want);
	if (defects)
		return;
	progress(&s, 60000, MIB, 0);
	expect(&s, ""); /* however long it takes */
	simple(&s, MIG_EV_SWITCH_OK);
	expect(&s, "C");
}

static void test_waits_for_phase_switch(void **state)
{
	(void)state;
	wait_for_switch(0, "Sw");
	wait_for_switch(MIG_DEFECT_CONTINUE_WITHOUT_SWITCH, "SC");
}

static void completed_but_running(unsigned defects, const char *want)
{
	struct script s = at(MIG_DEVICE, defects);

	status(&s, MIG_ST_COMPLETED);
	run_state(&s, MIG_RUN_RUNNING);
	expect(&s, want);
}

static void test_completed_is_not_believed_alone(void **state)
{
	(void)state;
	completed_but_running(0, "Qf");
	completed_but_running(MIG_DEFECT_SENT_WITHOUT_POSTMIGRATE, "Qs");
}

/* A guest that was paused before stays so: QEMU does not resume it. */
static void test_paused_guest_fails(void **state)
{
	struct script s = { .out = "" };

	(void)state;
	mig_source_init(&s.m, "vm", 0);
	feed(&s, (struct mig_event){ .kind = MIG_EV_START, .now_ms = 1, .total = MIB });
	status(&s, MIG_ST_ACTIVE);
	status(&s, MIG_ST_FAILED);
	run_state(&s, MIG_RUN_PAUSED);
	expect(&s, "SwQf");
	assert_false(s.running);
}

/* QEMU's answers about its run state may stay away: asked again by the clock, not in a tight loop. */
static void test_asking_is_bounded(void **state)
{
	struct script s = at(MIG_DEVICE, 0);
	int asked = 0;

	(void)state;
	status(&s, MIG_ST_COMPLETED);
	for (int i = 0; i < 1000; i++) {
		s.out[0] = '\0';
		run_state(&s, MIG_RUN_FINISH_MIGRATE);
		asked += s.out[0] == 'Q';
	}
	assert_in_range(asked, 1, 200);
	s.out[0] = '\0';
	progress(&s, 5000, MIB, 0);
	expect(&s, "Q");
}

static void test_never_converges_gets_more_downtime(void **state)
{
	struct script s = at(MIG_PRECOPY, 0);

	(void)state;
	simple(&s, MIG_EV_SWITCH_OK);
	assert_int_equal(s.downtime_ms, 300);
	for (unsigned pass = 2; pass < 100; pass++) {
		s.out[0] = '\0';
		feed(&s, (struct mig_event){ .kind = MIG_EV_PASS, .pass = pass });
	}
	assert_in_range(s.downtime_ms, 30000, 60000);
}

/* While QEMU may resume by itself a pause does not hold: the caller kills instead. */
static void test_may_resume(void **state)
{
	struct script s = at(MIG_PRECOPY, 0);

	(void)state;
	assert_false(mig_source_may_resume(&s.m));
	simple(&s, MIG_EV_SWITCH_OK);
	assert_true(mig_source_may_resume(&s.m));
	s = at(MIG_SWITCHING, 0);
	assert_true(mig_source_may_resume(&s.m));
	s = at(MIG_DEVICE, 0);
	assert_true(mig_source_may_resume(&s.m));
	status(&s, MIG_ST_COMPLETED);
	run_state(&s, MIG_RUN_POSTMIGRATE);
	assert_false(mig_source_may_resume(&s.m)); /* sent: never by itself */
}

/* clusterd was restarted in the middle. */
static void test_adopted(void **state)
{
	struct script s = { .out = "" };

	(void)state;
	mig_source_adopt(&s.m, "vm", MIG_ST_ACTIVE);
	abort_order(&s, false);
	expect(&s, "X");
	mig_source_adopt(&s.m, "vm", MIG_ST_PRE_SWITCHOVER);
	simple(&s, MIG_EV_SWITCH_OK);
	expect(&s, "C");
	mig_source_adopt(&s.m, "vm", MIG_ST_DEVICE);
	abort_order(&s, false);
	expect(&s, "N");
	status(&s, MIG_ST_COMPLETED);
	run_state(&s, MIG_RUN_POSTMIGRATE);
	expect(&s, "Qs");
}

static enum mig_target_action target(struct mig_target *m, enum mig_event_kind kind,
				     enum mig_status st, enum mig_run run)
{
	return mig_target_step(m, &(struct mig_event){ .kind = kind, .status = st, .run = run });
}

static void test_target(void **state)
{
	struct mig_target m;

	(void)state;
	mig_target_init(&m, "vm");
	assert_int_equal(target(&m, MIG_EV_STATUS, MIG_ST_COMPLETED, 0), MIGT_ACT_NONE);
	assert_int_equal(target(&m, MIG_EV_SETUP_DONE, 0, 0), MIGT_ACT_NONE);
	assert_int_equal(target(&m, MIG_EV_STATUS, MIG_ST_ACTIVE, 0), MIGT_ACT_NONE);
	assert_int_equal(target(&m, MIG_EV_STATUS, MIG_ST_COMPLETED, 0), MIGT_ACT_QUERY_RUN_STATE);
	/* A target that runs without an order is never reported as one that may be continued. */
	assert_int_equal(target(&m, MIG_EV_RUN_STATE, 0, MIG_RUN_RUNNING), MIGT_ACT_NONE);
	assert_int_equal(target(&m, MIG_EV_RUN_STATE, 0, MIG_RUN_PAUSED), MIGT_ACT_REPORT_LOADED);
}

/* Any order of any events: no assert trips, and at most one of sent and failed is reported. */
static void test_any_order(void **state)
{
	uint32_t x = 12345;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct script s = { .out = "" };
		int ends = 0;

		mig_source_init(&s.m, "vm", 0);
		feed(&s, (struct mig_event){ .kind = MIG_EV_START,
					     .now_ms = 1,
					     .total = MIB,
					     .was_running = true });
		for (int i = 0; i < 30; i++) {
			struct mig_event ev = { 0 };

			x = x * 1664525 + 1013904223;
			ev.kind = MIG_EV_SETUP_DONE +
				  (x >> 8) % (MIG_EV_ABORT - MIG_EV_SETUP_DONE + 1);
			ev.status = (x >> 12) % (MIG_ST_OTHER + 1);
			ev.run = (x >> 16) % (MIG_RUN_OTHER + 1);
			ev.pass = (x >> 20) % 16;
			ev.now_ms = 1 + i * 3000;
			ev.target_dead = x >> 31;
			s.out[0] = '\0';
			feed(&s, ev);
			ends += strchr(s.out, 's') || strchr(s.out, 'f');
			/* The guard of `device`, whatever came before. */
			if (strchr(s.out, 'X') && s.m.switch_ok && !s.m.target_dead)
				assert_int_not_equal(mig_source_phase(&s.m), MIG_DEVICE);
		}
		assert_in_range(ends, 0, 1);
	}
}

static void test_words(void **state)
{
	(void)state;
	assert_int_equal(mig_status_of("pre-switchover"), MIG_ST_PRE_SWITCHOVER);
	assert_int_equal(mig_status_of("postcopy-active"), MIG_ST_OTHER);
	assert_int_equal(mig_status_of(NULL), MIG_ST_NONE);
	assert_int_equal(mig_run_of("postmigrate"), MIG_RUN_POSTMIGRATE);
	assert_int_equal(mig_run_of("io-error"), MIG_RUN_OTHER);
	assert_int_equal(mig_run_of(NULL), MIG_RUN_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_whole_way),
		cmocka_unit_test(test_big_vm_asks_when_near_the_end),
		cmocka_unit_test(test_precopy_fails),
		cmocka_unit_test(test_setup_refused),
		cmocka_unit_test(test_cut_in_precopy),
		cmocka_unit_test(test_target_dies_in_pre_switchover),
		cmocka_unit_test(test_abort_before_device),
		cmocka_unit_test(test_abort_in_device),
		cmocka_unit_test(test_cut_in_device),
		cmocka_unit_test(test_completed_wins_over_cancel),
		cmocka_unit_test(test_waits_for_phase_switch),
		cmocka_unit_test(test_completed_is_not_believed_alone),
		cmocka_unit_test(test_paused_guest_fails),
		cmocka_unit_test(test_asking_is_bounded),
		cmocka_unit_test(test_never_converges_gets_more_downtime),
		cmocka_unit_test(test_may_resume),
		cmocka_unit_test(test_adopted),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
