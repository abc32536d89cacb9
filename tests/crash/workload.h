/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is done to a volume while its device is traced: scripted and seeded random operations, some
 * aborted, some out of space, several to a commit. After every commit (and every block of file data
 * that was written and flushed) the state is taken and a mark put into the trace.
 */
#ifndef TESTS_CRASH_WORKLOAD_H
#define TESTS_CRASH_WORKLOAD_H

#include "tests/crash/canon.h"
#include "tests/crash/trace_dev.h"

CL_DEFINE_VEC(canon_vec, struct canon);

struct workload {
	struct trace_dev *t;
	struct fs *fs;
	struct canon_vec states; /* states.v[n]: after mark n */
	uint64_t rng;
	int64_t now;
	unsigned ops, aborts, refused;
	unsigned wraps;	    /* of the log's head */
	unsigned max_depth; /* of an extent tree */
	bool verbose;
};

/* A new volume of `bytes` in t (which must be that big). */
int workload_mkfs(struct trace_dev *t, struct cl_error *err);
/* Open it, run `steps` random steps after the script. t traces from here on. */
int workload_run(struct workload *w, struct trace_dev *t, uint64_t seed, unsigned steps,
		 unsigned defects, unsigned checkpoint_blocks, struct cl_error *err);
void workload_fini(struct workload *w);

#endif
