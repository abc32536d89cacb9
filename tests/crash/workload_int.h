/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between workload.c (states, what surrounds each operation), workload_ops.c and workload_script.c. */
#ifndef TESTS_CRASH_WORKLOAD_INT_H
#define TESTS_CRASH_WORKLOAD_INT_H

#include "csv/fs.h"
#include "tests/crash/workload.h"

static const struct fs_new file_mode = { .mode = S_IFREG | 0644, .uid = 1000, .gid = 100 };

unsigned wl_rnd(struct workload *w, unsigned n);
/* Ends the program when r is an error. */
void wl_must(int r, const char *what);
/* By name; 0 = there is none. */
uint32_t wl_find(struct workload *w, uint32_t dir, const char *name);

/* Around each operation. finish: end it, or take it back because it failed or for the sake of it. */
void wl_begin(struct workload *w);
int wl_finish(struct workload *w, int r, bool spoil);
/* The state that becomes durable is taken. */
void wl_commit(struct workload *w);
/* One more step of deletions and cuts. */
void wl_work(struct workload *w);

void wl_write_block(struct workload *w, uint64_t pblk, const void *block);
/* One block of file data, as a client writes it, flushed: a step of its own. */
void wl_write_data(struct workload *w, uint32_t ino, uint64_t lblk);

/* workload_ops.c: 0, or what it was refused with. */
int wl_random_op(struct workload *w);
/* workload_script.c; `steps` says how much of it. */
void wl_script(struct workload *w, unsigned steps);

#endif
