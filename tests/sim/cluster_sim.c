/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The suite `cluster`: one seed = init and join of 3..5 nodes, a volume, three VMs; then two virtual
 * minutes of faults and clients' requests; then all is healed, and within two minutes every node is up
 * and every VM runs once and writes.
 *
 * Invariants while it runs: one-writer, one-history, two-running, early-start, old-life,
 * number-twice, started-twice (cluster_driver.c), states-agree (cluster_world.c); all of raft's own and the core's asserts. At the
 * end: all-online.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quorum/state_schema.h"
#include "quorum/voters.h"
#include "quorum/witness.h"
#include "tests/sim/cluster_target.h"
#include "tests/sim/lun_env.h"
#include "tests/sim/suite.h"

enum { SETUP_MS = 40000, FAULTS_MS = 120000, HEAL_MS = 120000 };

/*
 * Guards that can be left out; the quick ones come first. `make check` shows these caught, within a few
 * seeds (lease-from-ack: two hundred).
 */
static const struct {
	const char *name;
	uint64_t node;
	bool quick;
	unsigned hb; /* of the csvds */
	unsigned store;
	unsigned voters;
} defects[] = {
	{ "fence-skipped", NODE_DEFECT_FENCE_SKIPPED, true },
	{ "bound-skipped", NODE_DEFECT_BOUND_SKIPPED, true },
	{ "lease-ignored", NODE_DEFECT_LEASE_IGNORED, true },
	{ "ack-failed", NODE_DEFECT_ACK_FAILED, true },
	{ "commit-unreported", NODE_DEFECT_COMMIT_UNREPORTED, true },
	{ "reuse-generation", NODE_DEFECT_REUSE_GENERATION, true },
	{ "keep-incarnation", NODE_DEFECT_KEEP_INCARNATION, true },
	{ "lease-from-ack", NODE_DEFECT_LEASE_FROM_ACK, true },
	{ "bound-of-one", NODE_DEFECT_BOUND_OF_ONE, true },
	{ "unclean-admission", NODE_DEFECT_UNCLEAN_ADMISSION, true },
	{ "expect-nothing", NODE_DEFECT_EXPECT_NOTHING, true },
	{ "hb-unheeded", NODE_DEFECT_HB_UNHEEDED, true },
	{ "hb-one-volume", NODE_DEFECT_HB_ONE_VOLUME, true },
	{ "hb-forgotten", NODE_DEFECT_HB_FORGOTTEN, true },
	{ "hb-two-reads", 0, true, HB_DEFECT_TWO_READS },
	{ "hb-acked", NODE_DEFECT_HB_ACKED, true },
	{ "hb-chain-mends", 0, false, HB_DEFECT_CHAIN_MENDS },
	{ "hb-early-read", 0, false, SIM_DEFECT_EARLY_READ },
	{ "hb-from-confirm", 0, false, HB_DEFECT_FROM_CONFIRM },
	{ "feeder-lease-alone", 0, true, SIM_DEFECT_FEEDER_LEASE },
	{ "feeder-trusts", 0, true, SIM_DEFECT_FEEDER_TRUSTS },
	{ "feeder-end", 0, true, SIM_DEFECT_FEEDER_END },
	{ "go-not-asked", NODE_DEFECT_GO_NOT_ASKED, true },
	{ "voters-below-three", 0, true, .voters = VOTERS_DEFECT_BELOW_THREE },
	{ "old-voter-first", 0, true, .voters = VOTERS_DEFECT_OLD_FIRST },
	{ "force-no-jump", NODE_DEFECT_FORCE_NO_JUMP, true },
	{ "force-no-debts", NODE_DEFECT_FORCE_NO_DEBTS, true },
	{ "force-applied", NODE_DEFECT_FORCE_APPLIED, true },
	{ "old-line", NODE_DEFECT_OLD_LINE, true },
	{ "schema-early", NODE_DEFECT_SCHEMA_EARLY, true },
	{ "confirm-in-ring", NODE_DEFECT_CONFIRM_IN_RING, true },
	{ "fence-one-agent", NODE_DEFECT_FENCE_ONE_AGENT, true },
	{ "quarantine-all", NODE_DEFECT_QUARANTINE_ALL, true },
	{ "off-pays", NODE_DEFECT_OFF_PAYS, true },
	{ "on-forgotten", NODE_DEFECT_ON_FORGOTTEN, true },
	{ "off-while-on", NODE_DEFECT_OFF_WHILE_ON, true },
	{ "off-unowed", NODE_DEFECT_OFF_UNOWED, true },
	{ "ask-late", NODE_DEFECT_ASK_LATE, true },
	{ "detach-forgotten", NODE_DEFECT_DETACH_FORGOTTEN, true },
	{ "detach-lease-kept", NODE_DEFECT_DETACH_LEASE_KEPT, true },
	{ "detach-quiet", NODE_DEFECT_DETACH_QUIET, true },
	{ "detach-watched", NODE_DEFECT_DETACH_WATCHED, true },
	{ "detach-watch-late", NODE_DEFECT_DETACH_WATCH_LATE, true },
	{ "length-own", NODE_DEFECT_LENGTH_OWN, true },
	{ "goodbye-early", NODE_DEFECT_GOODBYE_EARLY, true },
	{ "life-kept", NODE_DEFECT_LIFE_KEPT, true },
	{ "go-in-flight", NODE_DEFECT_GO_IN_FLIGHT, true },
	{ "goodbye-to-witness", NODE_DEFECT_GOODBYE_TO_WITNESS, true },
	{ "removed-votes", NODE_DEFECT_REMOVED_VOTES, true },
	{ "leaves-alone", 0, true, .voters = VOTERS_DEFECT_LEAVES_ALONE },
	{ "save-twice", NODE_DEFECT_SAVE_TWICE, true },
	{ "remove-early", NODE_DEFECT_REMOVE_EARLY, true },
	{ "forget-retired", NODE_DEFECT_FORGET_RETIRED, true },
	{ "reload-early", NODE_DEFECT_RELOAD_EARLY, true },
	{ "gone-at-once", NODE_DEFECT_GONE_AT_ONCE, true },
	{ "found-not-asked", NODE_DEFECT_FOUND_NOT_ASKED, true },
	{ "admit-any", NODE_DEFECT_ADMIT_ANY, true },
	{ "voter-forgets", NODE_DEFECT_VOTER_FORGETS, true },
	{ "bound-unapplied", NODE_DEFECT_BOUND_UNAPPLIED, true },
	{ "ack-old-voters", NODE_DEFECT_ACK_OLD_VOTERS, true },
	{ "bound-fresh-config", NODE_DEFECT_FRESH_CONFIG, true },
	{ "go-unread", NODE_DEFECT_GO_UNREAD, true },
	{ "younger-killed", NODE_DEFECT_YOUNGER_KILLED, true },
	{ "requests-anew", NODE_DEFECT_REQUESTS_ANEW, true },
	{ "csvd-no-barrier", 0, true, 0, STORE_DEFECT_NO_BARRIER },
	{ "csvd-no-repeat", 0, true, 0, STORE_DEFECT_NO_REPEAT },
	{ "csvd-no-check", 0, true, 0, STORE_DEFECT_NO_CHECK },
	{ "csvd-no-verify", 0, true, 0, STORE_DEFECT_NO_VERIFY },
	{ "csvd-no-go", 0, true, SIM_DEFECT_NO_GO },
	{ "csvd-any-owner", 0, true, SIM_DEFECT_ANY_OWNER },
	{ "csvd-debt-open", 0, true, SIM_DEFECT_DEBT_OPEN },
	{ "csvd-claim-unasked", 0, true, SIM_DEFECT_CLAIM_UNASKED },
	{ "csvd-fenced-let-in", 0, true, SIM_DEFECT_LET_IN, STORE_DEFECT_LET_IN },
	{ "epoch-below", 0, true, SIM_DEFECT_EPOCH_BELOW },
	{ "claim-below", 0, true, SIM_DEFECT_CLAIM_BELOW },
	{ "quorum-ignored", NODE_DEFECT_QUORUM_IGNORED, true },
	{ "request-twice", NODE_DEFECT_REQUEST_TWICE, true },
	{ "away-at-once", NODE_DEFECT_AWAY_AT_ONCE, true },
	{ "slow-gets", NODE_DEFECT_SLOW_GETS, true },
	{ "old-copy", NODE_DEFECT_OLD_COPY, true },
	{ "expect-always", NODE_DEFECT_EXPECT_ALWAYS, true },
};

/* Of the suite `witness`: the same with 2 and 4 nodes, and a witness. */
static const struct {
	const char *name;
	uint64_t node;
	uint32_t sim;
	unsigned rule;
} witness_defects[] = {
	{ "witness-no-wait", .rule = WITNESS_DEFECT_NO_WAIT },
	{ "witness-word-blind", .rule = WITNESS_DEFECT_WORD_BLIND },
	{ "witness-named-unread", .rule = WITNESS_DEFECT_NAMED_UNREAD },
	{ "cast-old-ring", NODE_DEFECT_CAST_OLD_RING, 0 },
	{ "witness-no-check", NODE_DEFECT_WITNESS_NO_CHECK, 0 },
	{ "witness-no-barrier", 0, SIM_DEFECT_WITNESS_NO_BARRIER },
	{ "witness-file-read-first", 0, SIM_DEFECT_WITNESS_READ_FIRST },
};

/* Two switches in one bit would catch each other's failures. */
static void check_switches(void)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < sizeof(defects) / sizeof(*defects); i++) {
		cl_assert(!(seen & defects[i].node));
		seen |= defects[i].node;
	}
	for (size_t i = 0; i < sizeof(witness_defects) / sizeof(*witness_defects); i++) {
		cl_assert(!(seen & witness_defects[i].node));
		seen |= witness_defects[i].node;
	}
}

static struct cworld *world_new(const struct suite_args *args)
{
	struct cworld *w = calloc(1, sizeof(*w));
	struct sim_config c = {
		.latency_min_ms = 1,
		.latency_max_ms = 5,
		.fifo = true, /* a CPG gives it so */
		.disk_max_ms = 20,
		.ring = true,
		.ring_lost_ms = 2200,
		.ring_gain_ms = 300,
	};
	uint32_t old; /* schema of an older program */

	cl_assert(w);
	check_switches();
	w->seed = args->seed;
	w->nodes = args->nodes ? args->nodes : 3 + (unsigned)(args->seed % 5 == 4) * 2;
	cl_assert(w->nodes <= CW_NODES);
	w->witness = w->nodes % 2 == 0;
	w->wit.file = w->seed % 2 == 0;
	for (size_t i = 0; args->defect && i < sizeof(defects) / sizeof(*defects); i++)
		if (strcmp(defects[i].name, args->defect) == 0) {
			w->defects = defects[i].node;
			w->hb_defects = defects[i].hb;
			w->store_defects = defects[i].store;
			w->voters_defects = defects[i].voters;
		}
	for (size_t i = 0; args->defect && i < sizeof(witness_defects) / sizeof(*witness_defects);
	     i++)
		if (strcmp(witness_defects[i].name, args->defect) == 0) {
			w->defects = witness_defects[i].node;
			w->sim_defects = witness_defects[i].sim;
			w->witness_defects = witness_defects[i].rule;
		}
	if (args->defect && raft_defect_find(args->defect))
		w->raft_defects = RAFT_DEFECT(raft_defect_find(args->defect));
	w->s = sim_new(&cluster_ops, &c, w->nodes, args->seed, w);
	/* Begun with an older version, and upgraded one by one, by and by. */
	old = !w->witness && sim_chance(w->s, 300000)
		      ? 1 + (uint32_t)sim_rand(w->s, STATE_SCHEMA - 1)
		      : 0;
	/* A snapshot after few entries: a restarted node has one, and the rest is told anew. */
	w->snapshot_every = (uint32_t[]){ 8, 24, 80, 0 }[sim_rand(w->s, 4)];
	w->voters_away_ms = sim_chance(w->s, 700000) ? 6000 + (int64_t)sim_rand(w->s, 8000) : 0;
	/* Short enough to end while faults are made, long enough for three of them. */
	w->quarantine_ms = 20000 + (int64_t)(w->seed % 7) * 10000;
	w->old = old;
	w->no_feeder = !old && sim_chance(w->s, 300000);
	w->no_heartbeats = sim_chance(w->s, 150000);
	for (unsigned i = 1; i <= w->nodes; i++) {
		(void)snprintf(w->node[i].name, sizeof(w->node[i].name), "node%u", i);
		for (unsigned k = 0; k < 16; k++)
			w->node[i].uuid[k] = (uint8_t)sim_rand(w->s, 256);
		w->node[i].clock_off = (int64_t)sim_rand(w->s, 1u << 30);
		w->node[i].clock_ppm = (int64_t)sim_rand(w->s, 9000) - 4500;
		w->node[i].schema = old;
		w->node[i].thawed_ms = INT64_MIN / 2;
	}
	w->members = sim_chance(w->s, 400000);
	w->lun.rng = (args->seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	w->stories = !w->witness && (w->seed % 4 == 3 || w->nodes == 5);
	return w;
}

static void world_free(struct cworld *w)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		hang_forget(w, i);
		node_free(w->node[i].core);
		node_actions_fini(&w->node[i].out);
		cw_image_fini(&w->node[i].disk);
	}
	for (unsigned i = 1; i <= w->nodes; i++)
		store_power_lost(w, i);
	witness_free_world(w);
	sim_free(w->s);
	free(w->hash);
	free(w);
}

static void rough(struct cworld *w)
{
	struct sim_config *c = sim_config(w->s);

	c->latency_max_ms = 20;
	c->tail_ppm = (uint32_t)sim_rand(w->s, 2) * 10000;
	c->tail_ms = sim_chance(w->s, 500000) ? 600 : 4000;
	c->loss_ppm = (uint32_t)sim_rand(w->s, 3) * 15000;
	c->disk_max_ms = 40;
	w->faults = true;
	if (w->seed % 8 == 5)
		w->reaches = 1 + (unsigned)(w->seed / 8 % w->nodes);
	/* Not in all: who is shot at once has no chance to run twice. */
	for (unsigned i = 1; i <= w->nodes && w->seed % 4 == 1; i++)
		agents_set(w, i);
	task_new(w, T_NEMESIS, 0, 500);
	task_new(w, T_CLIENT, 0, 500);
	task_new(w, T_MEMBERS, 0, 500);
	task_new(w, T_LUN_FORGETS, 0, 500);
	goodbye_begin(w);
	task_new(w, T_STALE, 0, 5000 + env_rand(w, 60000));
	planned_long_lease(w);
}

/* Everything is well again, and every VM is wanted. */
void cw_heal(struct cworld *w)
{
	struct sim_config *c = sim_config(w->s);

	w->faults = false;
	members_heal(w);
	c->latency_max_ms = 5;
	c->tail_ppm = c->loss_ppm = 0;
	w->lun.stalled_until = 0;
	for (unsigned a = 1; a <= w->nodes; a++) {
		hang_heal(w, a);
		sim_disk_slow(w->s, a, 0);
		w->node[a].wit_cut = false;
		for (unsigned l = 0; l < CW_VOLS; l++)
			w->node[a].vol[l].cut = false;
		for (unsigned b = 1; b <= w->nodes; b++)
			w->cut[a][b] = false;
	}
	w->wit.lost = false;
	sim_mend_all(w->s);
}

static void ask_each(struct cworld *w, enum node_verb verb)
{
	unsigned at = members_speaker(w, 0);
	static const char *const vms[] = { "vm0", "vm1", "vm2" };
	size_t n = verb == NODE_START ? CW_VMS : w->nodes;

	for (size_t i = 0; i < n && at; i++) {
		struct node_request rq = {
			.client = ++w->client,
			.verb = verb,
			.object = verb == NODE_START ? vms[i] : w->node[i + 1].name,
			.target = "",
		};
		struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };

		cw_event(w, at, &ev);
	}
}

static unsigned running(const struct cworld *w, unsigned vm)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CW_QEMUS; i++)
		n += w->qemu[i].vm == vm && w->qemu[i].state == Q_RUN;
	return n;
}

static const char *witness_word(const struct cworld *w, unsigned node)
{
	struct node_quorum q;

	node_get_quorum(w->node[node].core, &q);
	return q.witness;
}

/* Why not all is well; NULL when it is. */
static const char *unwell(struct cworld *w, char *text, size_t size)
{
	for (unsigned i = 1; i <= w->nodes; i++) {
		struct node_self self;

		/* A frozen one says what it believed before. */
		if (!w->node[i].core || !cw_on(w, i))
			return "a node is off";
		node_get_self(w->node[i].core, &self);
		if (self.life != NODE_UP) {
			(void)snprintf(text, size, "n%u is not up: %s", i, self.reason);
			return text;
		}
		if (w->witness && strcmp(witness_word(w, i), "voter") != 0) {
			(void)snprintf(text, size, "n%u: the witness is %s", i, witness_word(w, i));
			return text;
		}
		if (self.line != w->log.line) {
			(void)snprintf(text, size, "n%u lives in line %" PRIu64, i, self.line);
			return text;
		}
	}
	for (unsigned i = 0; i < CW_VMS; i++) {
		const struct state_resource *r = NULL;
		const char *const vms[] = { "vm0", "vm1", "vm2" };

		if (cw_truth(w))
			r = state_resource(cw_truth(w), vms[i]);
		if (running(w, i) != 1 || !r || r->phase != STATE_ONLINE) {
			(void)snprintf(text, size, "%s is %s, %u run: %s", vms[i],
				       r ? state_phase_name(r->phase) : "unknown", running(w, i),
				       r ? r->reason : "");
			return text;
		}
	}
	return NULL;
}

/* Runs until all is well or the time is up; then says why it is not. */
static const char *run_until_well(struct cworld *w, int64_t end, char *text, size_t size)
{
	const char *why;
	int64_t asked = 0;

	while ((why = unwell(w, text, size)) && sim_now(w->s) < end) {
		if (sim_now(w->s) - asked > 10000) {
			asked = sim_now(w->s);
			ask_each(w, NODE_RESUME);
			ask_each(w, NODE_STOP_CLUSTER);
			ask_each(w, NODE_START);
		}
		sim_run(w->s, sim_now(w->s) + 500, UINT64_MAX);
	}
	return why;
}

/*
 * All is well, and ten seconds later, too: a write may have hung in a buffer since before, and a client's
 * stop or drain that waited for a majority may be served after the moment at which all was well.
 */
static const char *run_until_settled(struct cworld *w, char *text, size_t size)
{
	int64_t end = sim_now(w->s) + HEAL_MS;
	const char *why;

	do {
		why = run_until_well(w, end, text, size);
		if (why)
			break;
		sim_run(w->s, sim_now(w->s) + 10000, UINT64_MAX);
		why = unwell(w, text, size);
	} while (why && sim_now(w->s) < end);
	return why;
}

/* Those that are left are upgraded: then the database is of the present schema. */
static void upgrade_all(struct cworld *w)
{
	for (unsigned i = 1; i <= w->nodes; i++)
		fault_upgrade(w, i, 0);
}

/* A drained node would run nothing, whoever goes on. */
static void resume_all(struct cworld *w)
{
	ask_each(w, NODE_RESUME);
	sim_run(w->s, sim_now(w->s) + 2000, UINT64_MAX);
	for (unsigned i = 1; i <= w->nodes; i++) {
		const struct state_node *n = cw_truth(w) ? state_node(cw_truth(w), i) : NULL;

		if (n && n->draining)
			sim_fail(w->s, "resume", "n%u is drained, and was resumed", i);
	}
}

static void judge_end(struct cworld *w)
{
	uint64_t before;
	char text[300];
	const char *why = run_until_settled(w, text, sizeof(text));

	if (!why && state_schema(cw_truth(w)) != STATE_SCHEMA) {
		upgrade_all(w);
		why = run_until_settled(w, text, sizeof(text));
	}
	for (unsigned i = 1; why && i <= w->nodes; i++) {
		struct node_self self;

		if (!w->node[i].core)
			continue;
		node_get_self(w->node[i].core, &self);
		sim_trace(w->s,
			  "n%u life %d quorate %d leader n%u applied %" PRIu64
			  " ring %u expected %u storage %d go %" PRIu64 " nexus %" PRIu64,
			  i, self.life, self.quorate, self.leader, self.applied, w->node[i].n_ring,
			  w->node[i].expected_votes, !w->node[i].vol[0].cut,
			  w->node[i].vol[0].go_epoch, w->node[i].vol[0].incarnation);
	}
	if (why)
		sim_fail(w->s, "all-online", "%s", why);
	if (state_schema(cw_truth(w)) != STATE_SCHEMA)
		sim_fail(w->s, "upgrade", "the database is of schema %u",
			 state_schema(cw_truth(w)));
	before = w->lun.accepted;
	resume_all(w);
	if (w->lun.accepted < before + 20)
		sim_fail(w->s, "all-online", "the guests do not write");
	judge_strays(w);
}

static uint64_t run_once(const struct suite_args *args, uint64_t *ret_steps)
{
	struct cworld *w = world_new(args);
	uint64_t hash;
	char text[300];
	const char *why;

	suite_running(w->s);
	for (unsigned i = 1; i <= w->nodes; i++)
		sim_boot(w->s, i);
	task_new(w, T_JOIN, 0, 1000);
	task_new(w, T_GUEST, 0, 100);
	sim_run(w->s, SETUP_MS, UINT64_MAX);
	why = unwell(w, text, sizeof(text));
	if (why)
		sim_fail(w->s, "setup", "%s", why);
	rough(w);
	sim_run(w->s, SETUP_MS + FAULTS_MS, UINT64_MAX);
	cw_heal(w);
	/* With a witness one that is left is a majority: nothing has to be forced. */
	if (args->seed % 5 == 2 && !w->witness)
		force_scenario(w);
	if (scene_any(w) && !run_until_settled(w, text, sizeof(text))) {
		resume_all(w);
		scene_play(w);
	}
	if (args->seed % 3 == 1 && w->witness && !run_until_settled(w, text, sizeof(text))) {
		resume_all(w);
		split_scenario(w);
	}
	judge_end(w);
	hash = sim_hash_value(w->s);
	*ret_steps += sim_steps(w->s);
	suite_running(NULL);
	world_free(w);
	return hash;
}

static uint64_t run(const struct suite_args *args)
{
	uint64_t steps = 0, hash = run_once(args, &steps);

	/* Twice in one process: the core keeps nothing outside of its object. */
	if (!sim_tracing && args->seed % 16 == 0 && run_once(args, &steps) != hash)
		suite_fail("determinism", "the same seed took another course");
	return steps;
}

static bool knows_defect(const char *name)
{
	for (size_t i = 0; i < sizeof(defects) / sizeof(*defects); i++)
		if (strcmp(defects[i].name, name) == 0)
			return true;
	return false;
}

/* By name only (--suite cluster): `make check` shows the raft suite catch them, which is faster. */
static bool takes_defect(const char *name)
{
	return knows_defect(name) || raft_defect_find(name) != 0;
}

static const char *defect_at(unsigned i)
{
	for (size_t k = 0; k < sizeof(defects) / sizeof(*defects); k++)
		if (defects[k].quick && i-- == 0)
			return defects[k].name;
	return NULL;
}

/* ---- with a witness ------------------------------------------------------------------------------- */

static uint64_t run_witness(const struct suite_args *args)
{
	struct suite_args a = *args;

	if (!a.nodes)
		a.nodes = a.seed % 4 == 3 ? 4 : 2;
	return run(&a);
}

static bool knows_witness_defect(const char *name)
{
	for (size_t i = 0; i < sizeof(witness_defects) / sizeof(*witness_defects); i++)
		if (strcmp(witness_defects[i].name, name) == 0)
			return true;
	return false;
}

static bool takes_witness_defect(const char *name)
{
	return knows_witness_defect(name) || takes_defect(name);
}

static const char *witness_defect_at(unsigned i)
{
	return i < sizeof(witness_defects) / sizeof(*witness_defects) ? witness_defects[i].name
								      : NULL;
}

const struct suite witness_suite = {
	.name = "witness",
	.run = run_witness,
	.knows_defect = knows_witness_defect,
	.takes_defect = takes_witness_defect,
	.defect_at = witness_defect_at,
};

const struct suite cluster_suite = {
	.name = "cluster",
	.run = run,
	.knows_defect = knows_defect,
	.takes_defect = takes_defect,
	.defect_at = defect_at,
};
