/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens outside of the core, in files of one idea each:
 *
 *   cluster_world.c    the core: events in, actions carried out; disks, views, boot and crash
 *   cluster_tasks.c    things that happen later: which kind is whose
 *   cluster_vm.c       QEMUs and orders to them          cluster_migrate.c   moves between them
 *   cluster_lun.c      guests' writes                    cluster_csvd.c      csvds, heartbeats
 *   cluster_target.c   the volumes' target, sessions     cluster_store.c     roles, fences
 *   cluster_session.c  sessions to it                    cluster_nexus.c     data nexuses
 *   cluster_driver.c   a machine: boot, power, cleanup   cluster_judge.c     what is judged of it all
 *   cluster_nemesis.c  the table of faults               cluster_client.c    clients' requests
 *   cluster_faults.c   disks, target, clocks             cluster_disk.c      databases
 *   cluster_witness.c  the witness's LUN and each node's witnessd
 *   cluster_force.c    most nodes are destroyed         cluster_members.c   nodes that go, and come anew
 *   cluster_stale.c    a leader that was left
 *   cluster_scene*.c   directed histories, one guard each   cluster_lines.c   two lines beside each other
 *   cluster_story.c    histories of several steps       cluster_wire.c      messages that a proof rests on
 *   cluster_hang.c     a clusterd that hangs             cluster_feeder.c    the watchdog feeders
 *   cluster_planned.c  planned stops of clusterd         cluster_goodbye.c   machines switched off in order
 *
 * A new part brings a file of its own. It adds its kinds of tasks to enum task_kind and to the table in
 * cluster_tasks.c, its faults to the table in cluster_nemesis.c, its actions to carry_out() in
 * cluster_world.c, its invariants as a function that is called where the thing happens.
 */
#ifndef CL_TESTS_SIM_CLUSTER_DRIVER_H
#define CL_TESTS_SIM_CLUSTER_DRIVER_H

#include "tests/sim/cluster_world.h"

const char *cw_vm_name(unsigned vm);

/* ---- cluster_vm.c ------------------------------------------------------------------------------ */

void qemu_report(struct cworld *w, const struct qemu *q, enum node_vm_report what, const char *text,
		 bool failed, uint32_t percent);
/* Something that happens to q later; void when q is gone by then. */
struct task *qemu_task(struct cworld *w, int kind, struct qemu *q, uint64_t delay_ms);
/* The QEMU of such a task; NULL when it is gone. */
struct qemu *task_qemu(struct cworld *w, const struct task *t);
bool qemu_executes(const struct cworld *w, const struct qemu *q);
/* What may have a write on its way. A target that was never continued has not, and a source that is
 * ready to switch has none left. */
bool qemu_has_run(const struct qemu *q);
void qemu_run(struct cworld *w, struct qemu *q);
/* The stop order: killed, then its requests ended, only then it counts as stopped. */
void qemu_kill(struct cworld *w, struct qemu *q, const char *why, bool failed);
void vm_step(struct cworld *w, struct task *t);

/* ---- cluster_migrate.c ------------------------------------------------------------------------- */

void migrate_begin(struct cworld *w, struct qemu *q, const char *uri);
void migrate_failed(struct cworld *w, struct qemu *q, const char *why);
void migrate_restore(struct cworld *w, struct qemu *p);
void copy_step(struct cworld *w, struct task *t);
void load_step(struct cworld *w, struct task *t);

/* ---- cluster_lun.c, cluster_csvd.c ------------------------------------------------------------- */

void guest_step(struct cworld *w, struct task *t);
void lun_land(struct cworld *w, struct task *t);
void guests_issue(struct cworld *w, unsigned node);
/* A request that its csvd still has: it is given up. */
void guest_forget(struct qemu *q);
/* The target stands still: t comes again when it goes on. */
bool lun_waits(struct cworld *w, const struct task *t);
void csvd_report(struct cworld *w, unsigned node, struct node_csvd_event e);
void csvd_tables(struct cworld *w, unsigned node);
void csvd_step(struct cworld *w, struct task *t);
void csvd_meets(struct cworld *w, unsigned node); /* a clusterd has begun */
void csvd_power_lost(struct cworld *w, unsigned node);
/* The data nexus is open in the name of that incarnation; 0 = it is not. */
void csvd_session(struct cworld *w, unsigned node, unsigned l, uint64_t incarnation);
/* A fence is owed, and the heartbeat of who owes it to be looked at. */
void csvd_debt_known(struct cworld *w, unsigned node, unsigned l, unsigned of,
		     uint64_t incarnation);
/* Such a look is not over. */
bool csvd_looks(struct cworld *w, unsigned node, unsigned l);

/* ---- cluster_store.c, cluster_nexus.c ---------------------------------------------------------------------------- */

struct lun_data;

void store_look(struct cworld *w, struct task *t);
void store_ask(struct cworld *w, struct task *t);
void store_hears(struct cworld *w, struct task *t);
void store_pay(struct cworld *w, struct task *t);
void store_release(struct cworld *w, struct task *t);
/* The log's answer. */
void store_go(struct cworld *w, unsigned node, unsigned l, uint64_t epoch, bool yes);
void store_tables(struct cworld *w, unsigned node);
void store_power_on(struct cworld *w, unsigned node);
void store_power_lost(struct cworld *w, unsigned node);
/* All of that incarnation and before is over. */
void store_close(struct cworld *w, unsigned node, uint64_t incarnation);
void store_session_over(struct cworld *w, unsigned node, unsigned l, uint64_t incarnation);
bool store_allows(struct cworld *w, unsigned node, unsigned l, unsigned who, uint64_t incarnation,
		  uint64_t key);
/* Where data may be submitted; NULL: nowhere. */
const struct lun_data *store_path(struct cworld *w, unsigned node, unsigned l);

/* Storage heartbeats. */
void hb_due(struct cworld *w, struct task *t);
void hb_ask(struct cworld *w, struct task *t);
void hb_lands(struct cworld *w, struct task *t);
void hb_written(struct cworld *w, struct task *t);
void hb_read(struct cworld *w, struct task *t);
void hb_seen(struct cworld *w, struct task *t);

/* ---- cluster_hang.c, cluster_feeder.c ---------------------------------------------------------- */

/* Whether the event waits until clusterd goes on. */
bool hang_holds(struct cworld *w, unsigned node, const struct node_event *ev);
void hang_begin(struct cworld *w, unsigned node, uint64_t ms);
void hang_heal(struct cworld *w, unsigned node);   /* it goes on now */
void hang_forget(struct cworld *w, unsigned node); /* it ended */
void hang_later(struct cworld *w, struct task *t);
void hang_end(struct cworld *w, struct task *t);
void fault_hang(struct cworld *w, unsigned n, unsigned m);
/* Once for each power-on. */
void feeder_power_on(struct cworld *w, unsigned node);
void feeder_due(struct cworld *w, struct task *t);
void feeder_froze(struct cworld *w, struct task *t);

/* ---- cluster_driver.c -------------------------------------------------------------------------- */

void driver_cleaned(struct cworld *w, struct task *t);

/* ---- cluster_judge.c: each ends the run when what it looks at is wrong ------------------------- */

void judge_running(struct cworld *w, unsigned vm);
/* The LUN takes the write t of vm. */
void judge_accept(struct cworld *w, unsigned vm, const struct task *t);
/* The VM is started on the node. */
void judge_start(struct cworld *w, const char *name, unsigned node);
/* Something is begun there, by corosync's word. */
void judge_quorum(struct cworld *w, const char *what, unsigned node);
/* It tells corosync how many votes to expect. */
void judge_expect(struct cworld *w, unsigned node);
/* The members, as somebody has them applied, whose state is s. */
void judge_voters(struct cworld *w, const struct raft_config *c, const struct state *s);
/* Leases and owners, in any state that somebody has applied. */
void judge_silent(struct cworld *w, const struct state *s);
void judge_orphans(struct cworld *w, const struct state *s);
/* An order to end a VM. */
void judge_kill(struct cworld *w, const struct node_action *a, unsigned node);
/* `go` for an epoch; that of the log was another when it was asked for. */
void judge_go_answer(struct cworld *w, unsigned node, unsigned l, uint64_t epoch,
		     uint64_t asked_at);
/* A coordinator begins to serve. */
void judge_opened(struct cworld *w, unsigned node, unsigned l);
/* q is given its number. */
void judge_number(struct cworld *w, const struct qemu *q);

/* ---- cluster_world.c: the tasks of the bus ----------------------------------------------------- */

void world_again(struct cworld *w, struct task *t);
void world_view(struct cworld *w, struct task *t);
void world_late_view(struct cworld *w, struct task *t);

/* ---- cluster_faults.c: n and m are random nodes, perhaps the same ------------------------------ */

/* Every node votes, with the database that it has now: one of them may lose its copy. */
bool fault_all_vote(const struct cworld *w);
void fault_wall_clock(struct cworld *w, unsigned n, unsigned m);
void fault_disk_slow(struct cworld *w, unsigned n, unsigned m);
/* cluster_planned.c: its clusterd is told to end; and does. */
void fault_planned(struct cworld *w, unsigned n, unsigned m);
void planned_end(struct cworld *w, unsigned node);
/* Its lease is that of its beats again. */
void planned_back(struct cworld *w, unsigned node);
/* Somebody else reads that the node is back. */
void planned_attached(struct cworld *w, unsigned node);
void planned_task(struct cworld *w, struct task *t);
/* The seeds in which clusterds are stopped as planned. */
bool planned_seed(const struct cworld *w);
/* The node whose run lease is longer than the others'; 0 = there is none. What is made to happen to it. */
unsigned planned_long_node(const struct cworld *w);
void planned_long_lease(struct cworld *w);
/* Its guests are frozen or paused. */
void judge_away(struct cworld *w, unsigned node, const char *what);
void fault_disk_full(struct cworld *w, unsigned n, unsigned m);
void fault_memory_lost(struct cworld *w, unsigned n, unsigned m);
void fault_upgrade(struct cworld *w, unsigned n, unsigned m);
void fault_target_stalls(struct cworld *w, unsigned n, unsigned m);
void fault_target_restarts(struct cworld *w, unsigned n, unsigned m);
/* ---- cluster_witness.c ------------------------------------------------------------------------- */

void witness_order(struct cworld *w, unsigned node, struct node_action *a);
void judge_cast(struct cworld *w, unsigned node);
/* Drop the session; open: log in anew. */
void witness_session(struct cworld *w, unsigned node, bool open);
void witness_format(struct cworld *w, const uint8_t cluster[16]);
void witness_target_restart(struct cworld *w);
void witness_free_world(struct cworld *w);
void witness_login(struct cworld *w, struct task *t);
void witness_arrive(struct cworld *w, struct task *t);
void witness_land(struct cworld *w, struct task *t);
void witness_done(struct cworld *w, struct task *t);
void witness_dead(struct cworld *w, struct task *t);

/* ---- cluster_fence.c --------------------------------------------------------------------------- */

/* The power of the node was taken: somebody may come, look, and say that it is off. */
void person_called(struct cworld *w, unsigned node);
void person_looks(struct cworld *w, struct task *t);
void person_switches_on(struct cworld *w, struct task *t);
/* Fence agents: two supplies of each node at level 1, both at once at level 2. */
void agents_set(struct cworld *w, unsigned node);
void agent_begins(struct cworld *w, unsigned node, const struct node_action *a);
void agent_ends(struct cworld *w, struct task *t);
void judge_off(struct cworld *w, const struct state *s);
void judge_quarantine(struct cworld *w, const struct state *s);
void person_slips(struct cworld *w, unsigned node, unsigned m);

/* ---- cluster_owed.c ----------------------------------------------------------------------------- */

void owed_agent_begins(struct cworld *w, struct task *t);
void owed_switched_off(struct cworld *w, unsigned node, const struct task *t);
/* A person switches it on, by himself. */
void judge_owed(struct cworld *w, unsigned node);

/* ---- cluster_goodbye.c ----------------------------------------------------------------------------- */

void goodbye_begin(struct cworld *w);
void goodbye_task(struct cworld *w, struct task *t);
bool goodbye_seed(const struct cworld *w);
/* Its clusterd has ended as it was told to, and the machine goes down: then its power is off. */
bool goodbye_ends(struct cworld *w, unsigned node);
void judge_goodbye(struct cworld *w, const struct state *s);

/* ---- cluster_sim.c ------------------------------------------------------------------------------- */

/* Faults end, and everything is mended. */
void cw_heal(struct cworld *w);

/* ---- cluster_stale.c ----------------------------------------------------------------------------- */

void stale_step(struct cworld *w, struct task *t);

/* ---- cluster_force.c: in a healed world ------------------------------------------------------------ */

void force_scenario(struct cworld *w);
/* Until it leads a line of its own; false: it does not. */
bool force_alone(struct cworld *w, unsigned node);

/* ---- cluster_scene.c: in a healed world, all is well ------------------------------------------------ */

bool scene_any(const struct cworld *w); /* one for this seed */
void scene_play(struct cworld *w);
/* csvd was told of new owners. */
void scene_owner_moved(struct cworld *w, unsigned node);

/* ---- cluster_split.c: in a healed world with a witness, all is well ------------------------------------ */

void split_scenario(struct cworld *w);

/* ---- cluster_members.c --------------------------------------------------------------------------- */

/* How many are going, or gone. */
unsigned members_out(const struct cworld *w);
/* Somebody who can ask for something: up, not frozen, with a database; not `but`. 0 = nobody. */
unsigned members_speaker(struct cworld *w, unsigned but);
/* For NODE_INIT: .spec, to be freed. */
void members_first_setup(struct cworld *w, struct node_request *rq);
void members_boot(struct cworld *w, unsigned node);
void members_do(struct cworld *w, unsigned node, const struct node_action *a);
void members_removed(struct cworld *w, unsigned node);
void members_heal(struct cworld *w);
void members_step(struct cworld *w, struct task *t);
void members_file_written(struct cworld *w, struct task *t);
void members_file_loaded(struct cworld *w, struct task *t);

/* ---- cluster_wire.c ------------------------------------------------------------------------------ */

/* Each message, as it is sent. */
void wire_sent(struct cworld *w, unsigned from, const struct node_action *a);
/* In a scene: it comes once more, so much later. */
enum { SCENE_REPEAT_MS = 7000 };
bool scene_repeats(const struct cworld *w, unsigned from, const struct node_action *a);

/* ---- cluster_story.c: faults, and their later steps --------------------------------------------- */

void story_forget(struct cworld *w, unsigned n, unsigned m);
void story_severs(struct cworld *w, struct task *t);
void story_mute(struct cworld *w, unsigned n, unsigned m);
void story_flap(struct cworld *w, unsigned n, unsigned m);
void story_power(struct cworld *w, struct task *t);
void story_overtake(struct cworld *w, unsigned n, unsigned m);
void story_cable(struct cworld *w, struct task *t);
void story_regrow(struct cworld *w, unsigned n, unsigned m);
void story_regrows(struct cworld *w, struct task *t);

/* ---- cluster_nemesis.c, cluster_client.c ------------------------------------------------------- */

unsigned cw_random_node(struct cworld *w);
/* The node, or only its process, ends, and begins again after so long. */
void nemesis_crash(struct cworld *w, unsigned node, bool power, uint64_t off_ms);
/* Nobody boots it. */
void nemesis_power_lost(struct cworld *w, unsigned node);
/* What a sends reaches b no more. */
void nemesis_cut(struct cworld *w, unsigned a, unsigned b, bool cut);
void nemesis_isolate(struct cworld *w, unsigned node, bool in, bool out);
void nemesis_mend(struct cworld *w);
/* A node on which a guest executes, or else_node. */
unsigned nemesis_with_a_guest(const struct cworld *w, unsigned else_node);
/* Who believes to lead, 0 = nobody. */
unsigned nemesis_leader(const struct cworld *w);
void nemesis_boot(struct cworld *w, struct task *t);
void nemesis_thaw(struct cworld *w, struct task *t);
void nemesis_end_process(struct cworld *w, struct task *t);
void nemesis_departs(struct cworld *w, struct task *t);
/* It leaves the ring in order: the others know at once. */
void nemesis_depart(struct cworld *w, unsigned node);
void nemesis_step(struct cworld *w, struct task *t);
/* At a node whose process is up. */
void client_ask(struct cworld *w, unsigned node, struct node_request rq);
void client_step(struct cworld *w, struct task *t);
void client_join(struct cworld *w, struct task *t);

#endif
