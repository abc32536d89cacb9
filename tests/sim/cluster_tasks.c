/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Things that happen later, and whose they are. */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/cluster_target.h"
#include "tests/sim/lun_env.h"

/*
 * A task of a node waits while the machine is frozen, and is void when the power has been off since or,
 * with .instance, when its process is another one. What is `outside` has left the node, or happens to it
 * from outside: a write on its way, the power.
 */
static const struct {
	void (*run)(struct cworld *w, struct task *t);
	bool outside, any_machine;
	bool slice; /* done by a QEMU: waits while the feeder has frozen them */
} kinds[] = {
	[T_AGENT] = { .run = agent_ends, .outside = true },
	[T_PERSON] = { .run = person_looks, .outside = true },
	[T_SWITCH_ON] = { .run = person_switches_on, .outside = true },
	[T_NEMESIS] = { .run = nemesis_step },
	[T_CLIENT] = { .run = client_step },
	[T_BOOT] = { .run = nemesis_boot, .outside = true },
	[T_THAW] = { .run = nemesis_thaw, .outside = true },
	[T_GUEST] = { .run = guest_step },
	[T_LAND] = { .run = lun_land, .outside = true },
	[T_VM] = { .run = vm_step, .slice = true },
	[T_COPY] = { .run = copy_step, .slice = true },
	[T_LOAD] = { .run = load_step, .slice = true },
	[T_PAY] = { .run = store_pay },
	[T_RELEASE] = { .run = store_release },
	[T_TIMER] = { .run = env_timer },
	[T_STORE] = { .run = store_look },
	[T_STORE_ASK] = { .run = store_ask },
	[T_STORE_SAYS] = { .run = store_hears },
	[T_LUN_LOGIN] = { .run = target_login },
	[T_LUN_COMMAND] = { .run = target_command, .outside = true },
	[T_LUN_ANSWER] = { .run = target_answer },
	[T_STALE] = { .run = stale_step, .outside = true },
	[T_LATE_VIEW] = { .run = world_late_view },
	[T_LUN_FORGETS] = { .run = target_forgets, .outside = true },
	[T_CLEANED] = { .run = driver_cleaned },
	[T_CSVD] = { .run = csvd_step },
	[T_JOIN] = { .run = client_join },
	[T_AGAIN] = { .run = world_again, .any_machine = true },
	[T_CRASH] = { .run = nemesis_end_process },
	[T_DEPART] = { .run = nemesis_departs },
	[T_SEVER] = { .run = story_severs },
	[T_POWER] = { .run = story_power },
	[T_CABLE] = { .run = story_cable },
	[T_REGROW] = { .run = story_regrows },
	[T_HANG] = { .run = hang_later },
	[T_HUNG] = { .run = hang_end },
	[T_FEED] = { .run = feeder_due },
	[T_FROZEN] = { .run = feeder_froze },
	[T_GOODBYE] = { .run = goodbye_task, .outside = true },
	[T_PLANNED] = { .run = planned_task, .outside = true },
	[T_HB] = { .run = hb_due },
	[T_HB_ASK] = { .run = hb_ask },
	[T_HB_LAND] = { .run = hb_lands, .outside = true },
	[T_HB_WRITTEN] = { .run = hb_written },
	[T_HB_READ] = { .run = hb_read, .outside = true },
	[T_HB_SEEN] = { .run = hb_seen },
	[T_VIEW] = { .run = world_view },
	[T_MEMBERS] = { .run = members_step },
	[T_SETUP_WRITTEN] = { .run = members_file_written },
	[T_SETUP_LOADED] = { .run = members_file_loaded },
	[T_WIT_LOGIN] = { .run = witness_login },
	[T_WIT_BEGIN] = { .run = witness_arrive, .any_machine = true },
	[T_WIT_LAND] = { .run = witness_land, .outside = true },
	[T_WIT_DONE] = { .run = witness_done, .any_machine = true },
	[T_WIT_DEAD] = { .run = witness_dead },
};

struct task *task_new(struct cworld *w, int kind, unsigned node, uint64_t delay_ms)
{
	for (unsigned i = 0; i < CW_TASKS; i++) {
		/* From where the last one was found: the table is long and mostly free. */
		unsigned k = (w->task_hint + i) % CW_TASKS;

		if (w->task[k].kind != T_FREE)
			continue;
		w->task_hint = k + 1;
		w->task[k] = (struct task){
			.kind = kind,
			.node = node,
			.machine = w->node[node].machine,
		};
		sim_at(w->s, sim_now(w->s) + (int64_t)delay_ms, k);
		return &w->task[k];
	}
	cl_assert(!"too many tasks");
	return NULL;
}

struct task *task_again(struct cworld *w, const struct task *t, uint64_t delay_ms)
{
	struct task *again = task_new(w, t->kind, t->node, delay_ms);

	*again = *t;
	again->data = NULL;
	return again;
}

static bool is_void(const struct cworld *w, const struct task *t)
{
	if (t->instance && t->instance != w->node[t->node].instance)
		return true;
	return t->node && !kinds[t->kind].outside && !kinds[t->kind].any_machine &&
	       t->machine != w->node[t->node].machine;
}

/* Signals come through: it dies, or stands from the thaw on. */
static bool waits(const struct cworld *w, const struct task *t)
{
	if (!t->node || kinds[t->kind].outside)
		return false;
	if (sim_frozen(w->s, t->node))
		return true;
	return kinds[t->kind].slice && w->node[t->node].slice_frozen &&
	       !(t->kind == T_VM && (t->a == NODE_VM_KILL || t->a == NODE_VM_PAUSE));
}

void task_call(struct sim *s, unsigned what)
{
	struct cworld *w = sim_user(s);
	struct task t = w->task[what];

	cl_assert(t.kind > T_FREE && t.kind < (int)(sizeof(kinds) / sizeof(*kinds)));
	if (waits(w, &t)) {
		sim_at(s, sim_now(s) + 20, what);
		return;
	}
	w->task[what] = (struct task){ .kind = T_FREE };
	if (!is_void(w, &t))
		kinds[t.kind].run(w, &t);
	free(t.data);
}
