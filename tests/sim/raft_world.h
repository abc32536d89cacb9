/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raft objects in the simulated world: what each node has in memory and on disk, what the oracle
 * knows, what is done to them.
 *
 *   raft_world.c    nodes: disk images, boot, steps and their actions
 *   raft_oracle.c   invariants
 *   raft_nemesis.c  faults, clients, the administrator; heal and liveness
 */
#ifndef CL_TESTS_SIM_RAFT_WORLD_H
#define CL_TESTS_SIM_RAFT_WORLD_H

#include "quorum/raft_state.h"
#include "tests/sim/sim.h"

/* What a node's disk holds; all copies owned. */
struct image {
	uint64_t term;
	struct raft_id vote;
	struct raft_snapshot snap;
	uint8_t *blob;
	struct raft_entry *v;
	size_t n, cap;
	bool lost; /* the disk came back empty */
};

/* The replicated state: a chain over everything applied. */
struct fsm {
	uint64_t hash, index;
};

struct rnode {
	struct raft *raft; /* NULL while down */
	struct raft_actions a;
	struct image img;
	struct fsm fsm;
	struct raft_id id;
	uint64_t incarnation;
	int64_t clock_off; /* clocks of nodes have nothing to do with each other */
	uint64_t seen_commit;
	uint64_t led_term; /* last term in which it was seen leading */
	bool witness;
};

/* What was committed, by whom; index 1 is the state that the cluster began with. */
struct committed {
	uint64_t term, data, prop;
	uint64_t by_term; /* term of the leader that committed it */
	uint64_t chain;
	enum raft_entry_type type;
};
CL_DEFINE_VEC(committed_vec, struct committed);
CL_DEFINE_VEC(config_at_vec, struct raft_config_at);

enum prop_status { PROP_WAITING, PROP_DONE, PROP_REFUSED, PROP_UNKNOWN };
struct prop {
	uint8_t status;
	uint64_t committed; /* index, 0 = not */
	uint64_t floor;	    /* read: what was committed when it was asked */
};
CL_DEFINE_VEC(prop_vec, struct prop);

struct grave {
	struct raft_id id;
	struct image img;
};
CL_DEFINE_VEC(grave_vec, struct grave);

struct plan {
	unsigned nodes, voters;
	uint32_t election_ms, heartbeat_ms, snapshot_every, snapshot_trailing, batch_bytes;
	uint32_t w_crash, w_power, w_cut, w_oneway, w_mend, w_freeze, w_slow, w_transfer, w_coup,
		w_wipe;
	uint32_t nemesis_ms, client_ms, admin_ms;
	bool bootstrap_all, witness, oneway_phase;
	uint64_t events;
};

struct world {
	struct sim *s;
	struct plan plan;
	uint64_t seed, defects;
	struct rnode node[SIM_NODES_MAX + 1];
	struct committed_vec committed; /* v[i] = index i + 1 */
	struct config_at_vec configs;	/* committed ones */
	struct prop_vec props;
	struct grave_vec graves;
	struct raft_id leader_of[1 << 16]; /* by term */
	bool quiet;			   /* no faults any more */
};

/* ---- raft_world.c ------------------------------------------------------------------------ */

extern const struct sim_ops raft_ops;
void world_step(struct world *w, unsigned node, struct raft_event *ev);
bool image_has(const struct image *img, uint64_t index, uint64_t term);
void image_fini(struct image *img);
void world_found(struct world *w, const struct raft_config *c, unsigned node);
struct raft_id world_new_id(struct world *w, unsigned node);
uint64_t data_hash(const struct raft_entry *e);
uint64_t data_prop(const struct raft_entry *e);
uint64_t chain_next(uint64_t chain, uint64_t index, const struct raft_entry *e);

/* ---- raft_oracle.c ----------------------------------------------------------------------- */

/* What a PREVOTE must leave alone. */
struct before {
	bool prevote;
	uint64_t term;
	struct raft_id vote;
	int64_t election_at;
};
void oracle_before(struct world *w, unsigned node, const struct raft_event *ev, struct before *b);
void oracle_after(struct world *w, unsigned node, const struct before *b);
void oracle_apply(struct world *w, unsigned node, const struct raft_apply *ap);
void oracle_result(struct world *w, unsigned node, const struct raft_result *res);
void oracle_persist(struct world *w, unsigned node, const struct raft_persist *p);
uint64_t oracle_commit(const struct world *w);

/* ---- raft_nemesis.c ---------------------------------------------------------------------- */

void nemesis_call(struct sim *s, unsigned what);
void plan_make(struct world *w, unsigned nodes);
void nemesis_start(struct world *w);
void nemesis_oneway_phase(struct world *w);
void nemesis_heal(struct world *w);
void nemesis_failover(struct world *w);
void nemesis_demoted_phase(struct world *w);

#endif
