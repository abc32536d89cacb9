/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `make check-sim` runs: every suite with every seed, each seed in a process of its own, so
 * that an assert or a crash of the code under test is a finding like any other.
 */
#ifndef CL_TESTS_SIM_SUITE_H
#define CL_TESTS_SIM_SUITE_H

#include "tests/sim/sim.h"

struct suite_args {
	uint64_t seed;
	unsigned nodes;	    /* 0 = by the seed */
	const char *defect; /* NULL = none; one that the suite knows */
};

struct suite {
	const char *name;
	/* Run one seed. Returns the number of events when it passed; else it does not return
	 * (sim_fail, suite_fail, cl_assert). */
	uint64_t (*run)(const struct suite_args *args);
	bool (*knows_defect)(const char *name); /* one of its own */
	bool (*takes_defect)(const char *name); /* or one of a part, when the suite is named */
	/* The names, by number; NULL behind the last. */
	const char *(*defect_at)(unsigned i);
};

/* All suites end with NULL; a new one is added in main.c. */
extern const struct suite cluster_suite;
extern const struct suite raft_suite;
extern const struct suite witness_suite;

/* The world that runs now, so that an assert can say when and where; NULL = none. */
void suite_running(struct sim *s);
_Noreturn void suite_fail(const char *invariant, const char *text);

#endif
