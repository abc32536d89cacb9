/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The suite `raft`: one seed = a cluster of raft objects, chaos, heal. */
#include "config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft_world.h"
#include "tests/sim/suite.h"

static unsigned choose_nodes(struct sim *s, unsigned wanted)
{
	uint64_t x = sim_rand(s, 100);

	/* Small clusters with many crashes find most. */
	return wanted ? wanted : x < 70 ? 3 : x < 80 ? 4 : 5;
}

static void found(struct world *w)
{
	struct raft_config c = { 0 };
	struct raft_config_at at = { .index = 1 };
	struct committed first = { .term = 1, .chain = 1, .by_term = 1 };
	unsigned n = w->plan.bootstrap_all ? w->plan.voters : 1;

	for (unsigned i = 1; i <= n; i++) {
		struct raft_member m = { .id = w->node[i].id, .role = RAFT_VOTER };

		cl_assert(raft_config_put(&c, &m));
	}
	for (unsigned i = 1; i <= n; i++)
		world_found(w, &c, i);
	at.config = c;
	cl_assert(config_at_vec_push(&w->configs, at) == 0);
	cl_assert(committed_vec_push(&w->committed, first) == 0);
	cl_assert(prop_vec_push(&w->props, (struct prop){ .status = PROP_DONE }) == 0);
}

static struct world *world_new(uint64_t seed, unsigned nodes, uint64_t defects)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sim_config quiet = { 0 };
	struct sim *dice;

	cl_assert(w);
	w->seed = seed;
	w->defects = defects;
	dice = sim_new(&raft_ops, &quiet, 1, seed, w);
	nodes = choose_nodes(dice, nodes);
	sim_free(dice);
	w->s = sim_new(&raft_ops, &quiet, nodes, seed, w);
	plan_make(w, nodes);
	for (unsigned i = 1; i <= nodes; i++) {
		w->node[i].id = world_new_id(w, i);
		w->node[i].clock_off = (int64_t)sim_rand(w->s, 1u << 30);
	}
	w->node[nodes].witness = w->plan.witness;
	found(w);
	return w;
}

static void world_free(struct world *w)
{
	for (unsigned i = 1; i <= sim_nodes(w->s); i++) {
		raft_free(w->node[i].raft);
		raft_actions_fini(&w->node[i].a);
		image_fini(&w->node[i].img);
	}
	for (size_t i = 0; i < w->graves.n; i++)
		image_fini(&w->graves.v[i].img);
	grave_vec_fini(&w->graves);
	committed_vec_fini(&w->committed);
	config_at_vec_fini(&w->configs);
	prop_vec_fini(&w->props);
	sim_free(w->s);
	free(w);
}

static uint64_t run_once(uint64_t seed, unsigned nodes, uint64_t defects, uint64_t *ret_steps)
{
	struct world *w = world_new(seed, nodes, defects);
	uint64_t hash;

	suite_running(w->s);
	for (unsigned i = 1; i <= sim_nodes(w->s); i++)
		sim_boot(w->s, i);
	nemesis_start(w);
	sim_run(w->s, INT64_MAX / 2, w->plan.events);
	if (w->plan.oneway_phase)
		nemesis_oneway_phase(w);
	nemesis_heal(w);
	nemesis_failover(w);
	if (seed % 4 == 1)
		nemesis_demoted_phase(w);
	hash = sim_hash_value(w->s);
	*ret_steps += sim_steps(w->s);
	world_free(w);
	suite_running(NULL);
	return hash;
}

static uint64_t run(const struct suite_args *args)
{
	int rule = args->defect ? raft_defect_find(args->defect) : 0;
	uint64_t defects = rule ? RAFT_DEFECT(rule) : 0, steps = 0;
	uint64_t hash = run_once(args->seed, args->nodes, defects, &steps);

	/* Twice in one process, for state that hides outside of the object (rule 26). */
	if (!sim_tracing && (args->seed % 16 == 0 || rule == 26) &&
	    run_once(args->seed, args->nodes, defects, &steps) != hash)
		suite_fail("determinism", "the same seed took another course");
	return steps;
}

static bool knows_defect(const char *name)
{
	return raft_defect_find(name) != 0;
}

static const char *defect_at(unsigned i)
{
	return raft_defect_name((int)i + 1);
}

const struct suite raft_suite = {
	.name = "raft",
	.run = run,
	.knows_defect = knows_defect,
	.takes_defect = knows_defect,
	.defect_at = defect_at,
};
