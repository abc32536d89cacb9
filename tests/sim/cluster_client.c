/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What clients ask of the suite `cluster`, by the seed; and how the cluster comes to be. */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/cluster_driver.h"

void client_ask(struct cworld *w, unsigned node, struct node_request rq)
{
	struct node_event ev = { .type = NODE_EV_REQUEST, .request = &rq };

	rq.client = ++w->client;
	sim_trace(w->s, "n%u asks %d %s %s", node, rq.verb, rq.object, rq.target);
	cw_event(w, node, &ev);
}

static void ask_something(struct cworld *w)
{
	unsigned at = cw_random_node(w), x = (unsigned)sim_rand(w->s, 100);
	const char *vm = cw_vm_name((unsigned)sim_rand(w->s, CW_VMS));
	const char *to = sim_chance(w->s, 300000) ? "" : w->node[cw_random_node(w)].name;
	struct node_request rq = { .object = vm, .target = "" };

	if (!w->node[at].core || sim_frozen(w->s, at))
		return;
	if (sim_chance(w->s, 40000)) {
		rq.verb = NODE_STOP_CLUSTER;
		rq.object = "cluster";
		rq.on = cw_truth(w) && !cw_truth(w)->stopped;
		rq.quick = sim_chance(w->s, 800000);
	} else if (x < 45) {
		rq.verb = NODE_MOVE;
		rq.quick = sim_chance(w->s, 300000);
		rq.target = to;
	} else if (x < 60) {
		rq.verb = NODE_STOP;
		rq.force = sim_chance(w->s, 500000);
	} else if (x < 85) {
		rq.verb = NODE_START;
	} else if (x < 90) {
		rq.verb = NODE_DRAIN;
		rq.object = w->node[cw_random_node(w)].name;
	} else if (x < 97) {
		rq.verb = NODE_RESUME;
		rq.object = w->node[cw_random_node(w)].name;
	} else {
		rq.verb = NODE_MOVE;
		rq.object = cw_volumes[sim_rand(w->s, CW_VOLS)];
	}
	client_ask(w, at, rq);
}

/* ---- the cluster comes to be ----------------------------------------------------------------------------------- */

static void set_witness(struct cworld *w)
{
	const struct state *s = cw_truth(w);
	struct node_request rq = { .verb = NODE_SET_QUORUM,
				   .object = "witness",
				   .target = "",
				   .url = "iscsi://sim/witness/1",
				   .uuid = w->wit.uuid };

	witness_format(w, s->cluster_uuid);
	client_ask(w, 1, rq);
}

static void join_step(struct cworld *w)
{
	static const uint8_t uuid[CW_VOLS][16] = { { 'v' }, { 'w' } };
	struct node_request rq = { .object = "", .target = "" };

	if (!w->node[1].core)
		return;
	if (w->joined == 0) {
		rq.verb = NODE_INIT;
		rq.object = "sim";
		members_first_setup(w, &rq);
		client_ask(w, 1, rq);
		free((void *)(uintptr_t)rq.spec);
	} else if (w->joined < w->nodes) {
		rq.verb = NODE_JOIN;
		client_ask(w, (unsigned)w->joined + 1, rq);
	} else if (w->joined < w->nodes + CW_VOLS) {
		rq.verb = NODE_CREATE_VOLUME;
		rq.object = cw_volumes[w->joined - w->nodes];
		rq.url = "iscsi://sim/iqn/1";
		rq.uuid = uuid[w->joined - w->nodes];
		client_ask(w, 1, rq);
	} else if (w->joined < w->nodes + CW_VOLS + CW_VMS) {
		static const char *const volumes[] = { "vol1" };

		rq.verb = NODE_CREATE_VM;
		rq.object = cw_vm_name((unsigned)(w->joined - w->nodes - CW_VOLS));
		rq.volumes = volumes;
		rq.n_volumes = 1;
		rq.memory_bytes = UINT64_C(1) << 30;
		rq.start = true;
		client_ask(w, 1, rq);
	}
	if (w->witness && w->joined == w->nodes + CW_VMS)
		set_witness(w);
	w->joined++;
}

void client_step(struct cworld *w, struct task *t)
{
	(void)t;
	if (!w->faults)
		return;
	ask_something(w);
	task_new(w, T_CLIENT, 0, 100 + sim_rand(w->s, 1500));
}

void client_join(struct cworld *w, struct task *t)
{
	(void)t;
	if (w->joined >= w->nodes + CW_VOLS + CW_VMS)
		return;
	join_step(w);
	task_new(w, T_JOIN, 0, 1500);
}
