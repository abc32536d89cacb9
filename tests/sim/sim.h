/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A world for pure nodes: virtual clock, event heap, network, ring, disks, power. It knows nothing
 * of what a node does; a node is a vtable. Everything comes from one seed: same seed, same build,
 * same trace.
 *
 * Nodes are numbered 1..n (= corosync's node ids). Times are milliseconds from 1000.
 *
 *   network  per direction: cut, latency with a tail, loss, duplicates and reorder, or FIFO per
 *            pair as a CPG gives it. Bytes in, the same bytes out.
 *   ring     the component of nodes that reach each other both ways, told token + consensus after
 *            a loss and soon after a gain; group = ring without nodes whose process is down, told
 *            at once (PROCDOWN).
 *   disk     writes become durable in order, each after its own time. At a crash a random prefix
 *            of the queue is durable, the next one may be torn, the rest is lost.
 *   freeze   a frozen node gets its messages, timers and completions at thaw; its disk finishes.
 */
#ifndef CL_TESTS_SIM_H
#define CL_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { SIM_NODES_MAX = 32 };

struct sim;

struct sim_ops {
	/* Power on, or the process starts again: load what is durable. */
	void (*boot)(struct sim *s, unsigned node);
	/* Memory is gone. What is durable stays. */
	void (*crash)(struct sim *s, unsigned node);
	void (*deliver)(struct sim *s, unsigned node, unsigned from, const uint8_t *buf,
			size_t len);
	/* The time set with sim_timer() has come. */
	void (*timer)(struct sim *s, unsigned node);
	void (*persisted)(struct sim *s, unsigned node, uint64_t seq);
	void (*ring)(struct sim *s, unsigned node, const uint32_t *ring, uint32_t n_ring,
		     const uint32_t *group, uint32_t n_group);
	/* Make a write durable; torn: only a part of it that the store would keep. */
	void (*disk_apply)(struct sim *s, unsigned node, void *op, bool torn);
	void (*disk_free)(struct sim *s, void *op);
	/* sim_at() */
	void (*call)(struct sim *s, unsigned what);
};

struct sim_config {
	uint32_t latency_min_ms, latency_max_ms;
	uint32_t tail_ppm, tail_ms; /* this many messages take up to tail_ms more */
	uint32_t loss_ppm, dup_ppm;
	bool fifo; /* per pair, and no duplicates */
	uint32_t disk_min_ms, disk_max_ms;
	bool ring;	       /* tell ring changes */
	uint32_t ring_lost_ms; /* token + consensus */
	uint32_t ring_gain_ms;
};

struct sim *sim_new(const struct sim_ops *ops, const struct sim_config *config, unsigned nodes,
		    uint64_t seed, void *user);
void sim_free(struct sim *s);
void *sim_user(struct sim *s);
struct sim_config *sim_config(struct sim *s); /* may be changed while it runs */
int64_t sim_now(const struct sim *s);
uint64_t sim_steps(const struct sim *s);
unsigned sim_nodes(const struct sim *s);

/* Uniform in 0..n-1; n > 0. */
uint64_t sim_rand(struct sim *s, uint64_t n);
bool sim_chance(struct sim *s, uint32_t ppm);

/* ---- for nodes --------------------------------------------------------------------------- */

void sim_send(struct sim *s, unsigned from, unsigned to, const uint8_t *buf, size_t len);
/* One timer per node; a new time replaces the old one. */
void sim_timer(struct sim *s, unsigned node, int64_t at);
/* op is freed by disk_free after it was applied or lost. */
void sim_write(struct sim *s, unsigned node, void *op, uint64_t seq);

/* ---- for the nemesis --------------------------------------------------------------------- */

void sim_boot(struct sim *s, unsigned node);
/* power: the machine, so that the others learn it by the ring; else only the process. */
void sim_crash(struct sim *s, unsigned node, bool power);
void sim_freeze(struct sim *s, unsigned node, bool frozen);
void sim_cut(struct sim *s, unsigned from, unsigned to, bool cut);
void sim_mend_all(struct sim *s);
/* Each write of this node takes this much more. */
void sim_disk_slow(struct sim *s, unsigned node, uint32_t ms);
bool sim_up(const struct sim *s, unsigned node);
bool sim_frozen(const struct sim *s, unsigned node);
/* Writes under way. */
unsigned sim_writes(const struct sim *s, unsigned node);
/* ops->call(what) at time t. */
void sim_at(struct sim *s, int64_t t, unsigned what);

/* Run until virtual time t, or until this many events in all. */
void sim_run(struct sim *s, int64_t until, uint64_t steps_max);

/* ---- judging ----------------------------------------------------------------------------- */

/* The run has failed: one line on sim_report, `FAIL invariant=NAME t=MS step=K; words`, and the process
 * (one per seed) ends with status 1. */
/* NULL = stdout. */
extern FILE *sim_report;
_Noreturn void sim_fail(struct sim *s, const char *invariant, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Feed the hash by which two runs are compared; every event is fed by the engine. */
void sim_hash(struct sim *s, uint64_t x);
uint64_t sim_hash_value(const struct sim *s);
/* One line of trace; costs nothing when off. */
extern bool sim_tracing;
void sim_trace_line(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define sim_trace(s, ...)                                                                          \
	do {                                                                                       \
		if (sim_tracing)                                                                   \
			sim_trace_line((s), __VA_ARGS__);                                          \
	} while (0)

#endif
