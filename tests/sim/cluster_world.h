/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The suite `cluster`: the decision core of clusterd/core on 3..5 nodes, with simulated disks,
 * QEMUs, csvds and one LUN. What is judged is what happens outside of the core: who executes, what
 * the LUN accepted. See cluster_sim.c for the invariants.
 */
#ifndef CL_TESTS_SIM_CLUSTER_WORLD_H
#define CL_TESTS_SIM_CLUSTER_WORLD_H

#include "clusterd/core/node.h"
#include "csv/hb.h"
#include "csv/store.h"
#include "lib/assert.h"
#include "quorum/feeder.h"
#include "tests/sim/sim.h"

enum {
	CW_NODES = 16,
	CW_VMS = 3,  /* names vm0.. */
	CW_VOLS = 2, /* vol1, vol2; the VMs are on the first */
	CW_QEMUS = 64,
	CW_TASKS = 4096,
	CW_NUMBERS = 8192,
	CW_KEYS = 64,
	CW_WOPS = 4096,
	CW_REGS = 128,	/* registrations on one volume */
	CW_ORDERS = 32, /* fences that a csvd is ordered to pay, of one volume */
	CW_QUESTIONS = 3,
	CW_ASKED = 32,
	CW_THAW_MS =
		300, /* after a thaw so long two may execute: nothing can act before it is on */
};

/* ---- a QEMU ------------------------------------------------------------------------------------ */

enum qemu_state {
	Q_NONE,
	Q_STARTING,
	Q_RUN,
	Q_PAUSED,
	Q_LISTEN,
	Q_LOADED,
	Q_POSTMIGRATE,
	Q_DEAD, /* killed; a write of it may still be on its way */
};

struct qemu {
	enum qemu_state state;
	unsigned vm, node;
	uint64_t generation;
	uint64_t life; /* distinguishes it from a later one in the same slot */
	uint64_t seq;  /* last block that the guest knows to be on disk */
	bool writing;  /* one write is under way */
	bool queued;   /* .. but no further than its node's csvd, which has no way to the LUN now */
	bool buffered; /* .. it is the one that a scene wants */
	bool copying, ready, was_running;
	bool quick; /* its move is by a saved state, for the number .quick_for */
	uint64_t quick_for;
	uint64_t stops; /* orders to stand: an earlier one to go on is void */
	unsigned peer;	/* the other side of a migration, slot + 1 */
	uint64_t peer_life;
	bool report_dead;
};

/* ---- the LUN ------------------------------------------------------------------------------------ */

struct reg {
	uint64_t nexus, key;
	int64_t since_ms;
	bool go; /* data may come by it */
};

struct target {
	struct reg reg[CW_REGS];
	unsigned n;
	uint64_t holder;
	uint8_t type;		       /* 0: no reservation */
	int64_t drain_ms;	       /* when all that it has taken has landed */
	int64_t read_ms[CW_NODES + 1]; /* when a node asked for the keys last */
	uint64_t paid[CW_NODES + 1]; /* the last incarnation of which csvd said that it is fenced */
};

struct lun_session;
struct cl_source;

struct lun {
	struct target target[CW_VOLS];
	struct lun_session *sessions;
	uint64_t nexuses, rng;
	unsigned late_node; /* its REGISTERs lie in a buffer */
	struct hb_unit unit[CW_VOLS][CW_NODES + 1];
	uint64_t seq[CW_VMS];
	uint64_t generation[CW_VMS];
	uint64_t accepted;
	uint64_t instance; /* of the target */
	uint64_t epoch
		[CW_VOLS]; /* a coordinator writes its own on the volume, and serves none below */
	int64_t stalled_until;
};

/* ---- the witness -------------------------------------------------------------------------------- */

/* An operation on its LUN, on its way there, in the target, or on its way back. */
struct wop {
	bool used, ok, lands, mine;
	unsigned node;
	enum node_witness_do what;
	uint64_t session, id, offset, takes;
	int64_t lands_ms;
	uint32_t len, holder;
	uint8_t *data;
	uint64_t claim; /* of a directory: whose log */
	uint64_t order; /* in which its session was asked for it */
	bool begun;	/* at the target */
};

/* The blocks of one claim, of a directory. */
struct wit_image {
	uint64_t claim; /* 0 = none */
	uint8_t *bytes;
};

struct wit_world {
	uint64_t orders; /* operations, ever */
	uint8_t *bytes; /* NULL: there is none */
	uint8_t uuid[16];
	bool file;	/* a directory on a share; else a LUN */
	uint64_t claim; /* of a directory: the last one */
	struct wit_image image[4];
	bool lost; /* nobody reaches it */
	uint64_t keys[CW_KEYS], holder, nexuses;
	int64_t proved_ms[CW_NODES + 1];  /* when it was told at last that it is its host */
	int64_t slot_ms[CW_NODES + 1][8]; /* when its slot was written last, and before */
	struct wop op[CW_WOPS];
};

/* Guards of what is simulated here, not of the core. */
enum { SIM_DEFECT_WITNESS_NO_BARRIER = 1, SIM_DEFECT_WITNESS_READ_FIRST = 2 };

/* ---- a node -------------------------------------------------------------------------------------- */

struct image {
	bool any;
	struct raft_line line;
	uint64_t term;
	struct raft_id vote;
	struct raft_snapshot snapshot;
	uint8_t *blob;
	struct raft_entry *v;
	size_t n;
};

struct owner_row {
	uint64_t generation;
	uint32_t node;
};

/* What is known of a failed node's heartbeat, for the debt of that incarnation. */
struct sim_verdict {
	uint64_t incarnation; /* 0 = none */
	uint64_t round;
	int64_t since_ms;
	bool taken;
	enum heartbeat_seen seen;
};

struct data;

struct order {
	uint64_t epoch, incarnation;
	unsigned node;
};

/* At a coordinator: what a node asked, until the store has answered. */
struct question {
	struct svol *at; /* NULL: none */
	unsigned from, what;
	uint64_t session, x;
	struct store_node who;
};

/* Of a csvd and one volume: the role, and the data nexus. See cluster_store.c. */
struct svol {
	struct cworld *w;
	unsigned node, l;
	struct store *store;
	uint64_t store_epoch, store_incarnation, running_epoch, epoch;
	uint64_t runs;	      /* how often it began to serve: sessions end with each */
	uint64_t asked_at;    /* the volume's epoch in the log when this csvd asked */
	uint64_t found_epoch; /* on the volume, when it was refused */
	bool wanted, spoilt, claiming, asking, asks, paying, running, closed;
	int fenced; /* 1: paid, -1: it failed, 0: not known yet */
	int64_t paused_until;
	uint64_t handed_epoch;
	struct order order[CW_ORDERS];
	unsigned n_orders;
	struct question question[CW_NODES + 1][CW_QUESTIONS];
	struct data *data;
	uint64_t data_incarnation;
	/* with the coordinator */
	unsigned link; /* 0 = none */
	bool welcome;
	uint64_t session, link_epoch, link_run;
	int64_t greeted_ms;
};

/* A csvd and one volume: whether its data nexus is open, the epoch at which it serves, heartbeats. */
struct cvol {
	bool cut;
	struct svol store;
	uint64_t incarnation, go_epoch;
	uint64_t chain_of; /* the incarnation */
	struct hb_chain chain;
	struct hb_watch watch;
	struct sim_verdict verdict[CW_NODES + 1];
	bool writing, reading;
	uint64_t count, round, lives; /* lives: heartbeats of an earlier life mean nothing */
	int64_t begun_ms;
};

/* What clusterd told its csvd last. */
struct csv_tables {
	uint64_t line, index;
	uint64_t living[CW_NODES + 1]; /* incarnation; 0 = does not live */
	struct {
		bool exists;
		unsigned coordinator, debts;
		uint64_t epoch;
	} volume[CW_VOLS];
};

/* Of the cluster: see cluster_members.c. */
enum member { MEMBER_STAYS, MEMBER_LEAVES, MEMBER_EVICTED };

/* An event that waits for a clusterd which hangs. */
struct held {
	struct held *next;
	struct node_event ev;
	void *data, *text;
};

/* cluster_wire.c: questions about the bound, by their asker, and a voter's latest answer about each node. */
struct bound_asked {
	uint64_t id;
	unsigned node;
	uint64_t incarnation; /* that failed; 0 = none has, or not to be told */
};
struct bound_answered {
	uint64_t incarnation;
	uint64_t instance; /* the life in which it was answered */
	uint8_t voter[16];
};

struct cnode {
	char name[STATE_NAME_MAX]; /* node1.. */
	struct node *core;
	struct node_actions out;
	struct image disk;
	uint8_t uuid[16];
	uint64_t instance;	     /* of the process */
	char anew[STATE_REASON_MAX]; /* the database was set aside: why */
	uint64_t machine;	     /* of the power-on */
	int64_t clock_off, clock_ppm, wall_off;
	uint64_t file_incarnation; /* in /run: gone with the power, 0 when that life has ended */
	uint64_t on_since;	   /* the last one that it took on since the power came */
	int64_t file_lease_ms;
	bool power_lost;  /* the crash that is being done */
	uint8_t supplies; /* bits of those that agents have switched off */
	bool power_off;	  /* since then, until it boots */
	bool on_asked;	  /* an agent was asked to switch it on since they were off */
	uint64_t off_incarnation,
		off_version; /* that an agent switched off; of its agents. 0 = not to be judged */
	uint32_t schema;     /* of its program; 0 = this one's */
	uint32_t runs;	     /* of the process that runs */
	int64_t thawed_ms;
	uint32_t expected_votes;
	bool quorate;	  /* as it was told */
	unsigned expects; /* how often it has said how many votes to expect, in this ring */
	uint32_t ring[CW_NODES], group[CW_NODES];
	uint32_t n_ring, n_group;
	uint64_t ring_seq;
	int64_t ring_ms;      /* since when */
	int64_t view_late_ms; /* until then it hears of no new ring */
	struct {
		bool any;
		uint32_t ring[CW_NODES], group[CW_NODES], n_ring, n_group;
	} late; /* what it is told then */
	bool destroyed;
	enum member going;
	int64_t asked_ms;    /* for what is to become of its membership */
	uint64_t join_asked; /* by which process */
	uint64_t setup_written, setup_loaded, setup_fits;
	struct {
		uint64_t line, incarnation;
	} life; /* the last one that it took on */
	/* witnessd */
	bool wit_cut, wit_open, wit_claimed, wit_dying;
	uint64_t wit_session, wit_nexus, wit_claim;
	int64_t wit_busy[2];
	int64_t wit_free_at[2];			 /* of the owner's lane, of slots and reading */
	struct node_witness_known witness_known; /* kept with the database */
	bool cast;
	uint64_t cast_ring;
	uint64_t unclean[CW_VMS]; /* the power took it: key it had */
	/* csvd */
	struct csv_tables tables;
	uint64_t closed_up_to; /* incarnation: its sessions have been closed */
	struct owner_row owner[CW_VMS];
	int64_t lease_ms;
	uint64_t watched;
	uint64_t beating;     /* the power-on for which T_HB runs, + 1 */
	int64_t heartbeat_ms; /* its file in /run */
	int64_t file_beat_ms;
	struct cvol vol[CW_VOLS];
	uint64_t checked; /* applied index that was compared */
	/* clusterd hangs */
	bool hung;
	struct held *held;
	struct bound_asked asked[CW_ASKED];
	unsigned n_asked;
	struct bound_answered answered[CW_NODES + 1];
	/* the feeder */
	uint64_t feeding; /* the power-on for which T_FEED runs, + 1 */
	struct feeder feeder;
	bool slice_frozen;
	uint64_t cpu_usec;
	int64_t starved_ms; /* its watchdog is not petted since; 0 = it is */
	bool away; /* its clusterd, as planned, and its guests need no heartbeat */
	bool comes_back;
	bool going_down; /* the machine, in order */
};

/*
 * What admission asks the log: a read-index round sees all that was ever committed. The nodes that are up
 * may all have forgotten some of it, as a daemon that restarts applies its log anew.
 */
struct log_seen {
	uint64_t line, applied;
	uint64_t living[CW_NODES + 1]; /* incarnation; 0 = does not live */
	bool member[CW_NODES + 1];
	bool leaves[CW_NODES + 1]; /* was to go for good, and has not been admitted since */
	uint64_t epoch[CW_VOLS];   /* of each volume's coordinator */
};

struct task {
	int kind; /* 0 = free */
	unsigned node;
	uint64_t machine, instance; /* 0 = does not matter */
	unsigned slot;
	uint64_t life;
	char name[STATE_NAME_MAX];
	uint64_t a, b, c;
	uint64_t target; /* T_LAND: the instance that it was sent to */
	uint64_t nexus;	 /* .. by which */
	bool taken;	 /* .. it is there, and lands */
	uint8_t *data;	 /* T_AGAIN: the message */
};

/* cluster_scene.c: what it makes of this moment. 0: nothing. */
struct scene_now {
	unsigned holds, holds_role, held; /* REGISTERs of that node lie in a buffer */
	unsigned rogue;			  /* vm + 1: its source goes on behind a move */
	unsigned repeats;		  /* requests of that node come once more */
	unsigned slow;			  /* nothing is to be placed there */
	const struct qemu *in_csvd;	  /* its next write stays there for seconds */
	uint64_t set_back;		  /* so its next database counts lives from here */
	bool playing;
	bool apart; /* two lines live beside each other */
	unsigned taken[CW_VOLS][CW_NODES +
				1]; /* by a node of the older one, from the newer one that serves */
};

struct cworld {
	struct sim *s;
	uint64_t seed;
	unsigned nodes;
	uint64_t defects;
	uint64_t raft_defects;
	unsigned witness_defects;
	unsigned voters_defects;
	unsigned hb_defects;	/* HB_DEFECT_*, SIM_DEFECT_* */
	unsigned store_defects; /* STORE_DEFECT_* */
	int64_t voters_away_ms;
	int64_t quarantine_ms;
	unsigned reaches; /* the node from which alone agents work; 0 = from all */
	uint32_t snapshot_every;
	uint32_t sim_defects;
	bool witness;	    /* there is one: with an even number of nodes */
	bool no_feeder;	    /* it does not run; so clusterd never ends or hangs alone */
	bool old;	    /* begun with an older program */
	bool no_heartbeats; /* as without volumes: then the lease alone counts */
	struct wit_world wit;
	bool cut[CW_NODES + 1][CW_NODES + 1];
	bool faults;  /* the nemesis is at work */
	bool members; /* nodes leave, are evicted, come anew */
	bool forced;  /* a new line was begun */
	bool stories; /* cluster_story.c */
	struct scene_now scene;
	int64_t story_until_ms; /* the nemesis makes nothing else until then */
	struct {
		unsigned step, node, away[2];
	} regrow;
	uint32_t loss_ppm; /* what it was before a cable went bad */
	struct cnode node[CW_NODES + 1];
	struct qemu qemu[CW_QEMUS];
	struct lun lun;
	struct cl_source *timers;
	uint64_t timer_ids;
	struct log_seen log;
	uint8_t given[2][CW_VMS][CW_NUMBERS]; /* generation, in both lines -> node */
	/* The last state that was saved of each: for which number, and what its guest knows. */
	struct {
		uint64_t reserved, seq;
	} saved[CW_VMS];
	struct task task[CW_TASKS];
	unsigned task_hint;
	uint64_t lives, client, joined;
	/* hash of the state after each index */
	uint64_t *hash;
	size_t n_hash;
	uint64_t replies, moves_done, starts;
	struct raft_config voters; /* the newest one that was applied */
};

extern const struct sim_ops cluster_ops;
extern const char *const cw_volumes[CW_VOLS];

/* Guards of the csvds that are left out, beside HB_DEFECT_*. */
enum {
	SIM_DEFECT_EARLY_READ = 1 << 17,    /* a verdict by reads of before the failure was known */
	SIM_DEFECT_FEEDER_LEASE = 1 << 18,  /* the feeder looks at the end of the lease alone */
	SIM_DEFECT_FEEDER_TRUSTS = 1 << 19, /* .. as long as clusterd lives: it may hang */
	SIM_DEFECT_FEEDER_END = 1 << 20,    /* .. and freezes only when the lease has ended */
	SIM_DEFECT_ANY_OWNER = 1 << 21,	    /* csvd takes writes of any generation */
	SIM_DEFECT_DEBT_OPEN = 1 << 22,	    /* a volume is opened while a fence on it is owed */
	SIM_DEFECT_NO_GO = 1 << 23,	    /* data goes by a nexus that has only registered */
	SIM_DEFECT_CLAIM_UNASKED = 1 << 24, /* the log is not asked after the REGISTER */
	SIM_DEFECT_LET_IN = 1 << 25,	    /* a coordinator welcomes whom its tables do not know */
	SIM_DEFECT_EPOCH_BELOW = 1 << 26,   /* it serves below the epoch on the volume */
	SIM_DEFECT_CLAIM_BELOW = 1 << 27,   /* it does not, and claims it again and again */
};

/* cluster_world.c: the core and what it needs */
void cw_event(struct cworld *w, unsigned node, struct node_event *ev);
const struct state *cw_truth(const struct cworld *w); /* of who has applied most; NULL = nobody */
void cw_image_fini(struct image *img);
void cw_image_copy(const struct image *from, struct image *ret);
bool cw_on(const struct cworld *w, unsigned node); /* power on and not frozen */
/* A node's own clock, and when it will show `at`. */
int64_t cw_clock(const struct cworld *w, unsigned node);
int64_t cw_when(const struct cworld *w, unsigned node, int64_t at);
/* cluster_disk.c: what a node's database holds */
void disk_write(struct cworld *w, unsigned node, struct node_action *a);
void disk_apply(struct sim *s, unsigned node, void *op, bool torn);
void disk_free(struct sim *s, void *op);
/* The next boot finds an empty one with another identity. */
void disk_set_aside(struct cworld *w, unsigned node, const char *why);

/* QEMUs, csvd, LUN: what cluster_world.c asks of them. The rest stands in cluster_driver.h. */
void driver_order(struct cworld *w, unsigned node, const struct node_action *a);
void driver_csvd(struct cworld *w, unsigned node, const struct node_action *a);
void driver_boot(struct cworld *w, unsigned node);
void driver_power_lost(struct cworld *w, unsigned node);
void driver_cleanup(struct cworld *w, unsigned node, uint64_t incarnation);
void driver_crash_qemu(struct cworld *w, unsigned slot);
void driver_judge(struct cworld *w);
void driver_judge_free(struct cworld *w, const struct state *s);
void driver_new_life(struct cworld *w, unsigned node, uint64_t incarnation);
void driver_gone_for_good(struct cworld *w, unsigned node);

/* cluster_tasks.c: something that happens later on a node. */
struct task *task_new(struct cworld *w, int kind, unsigned node, uint64_t delay_ms);
/* The same once more, without its data. */
struct task *task_again(struct cworld *w, const struct task *t, uint64_t delay_ms);
void task_call(struct sim *s, unsigned what);

enum task_kind {
	T_FREE,
	T_AGENT,     /* a fence agent ends: a = its id, b = whom it switches, c = 1: on */
	T_PERSON,    /* somebody looks at node a */
	T_SWITCH_ON, /* .. and switches it on, unless that is promised */
	T_NEMESIS,
	T_CLIENT,
	T_BOOT,
	T_THAW,
	T_GUEST, /* the guests of the world write */
	T_LAND,	 /* a write reaches the LUN */
	T_VM,	 /* an order to a QEMU takes effect: a = node_vm_do */
	T_COPY,	 /* a migration goes on */
	T_LOAD,	 /* the switch ends */
	T_PAY,
	T_RELEASE,
	T_CLEANED,
	T_CSVD,
	T_JOIN,
	T_CRASH,      /* of clusterd */
	T_DEPART,     /* corosync is stopped in order */
	T_SEVER,      /* the node is cut off */
	T_POWER,      /* node b loses its power for a ms */
	T_CABLE,      /* a bad cable was replaced */
	T_REGROW,     /* cluster_story.c looks how far it is */
	T_HANG,	      /* clusterd is about to hang */
	T_HUNG,	      /* and goes on */
	T_FEED,	      /* the feeder looks */
	T_FROZEN,     /* what it froze stands */
	T_GOODBYE,    /* a machine is switched off in order: a = what */
	T_PLANNED,    /* around a planned stop: a = what */
	T_HB,	      /* heartbeats are due */
	T_HB_ASK,     /* csvd asks whether they are heeded: a = its incarnation */
	T_HB_LAND,    /* one reaches the LUN: slot = volume, a = incarnation, b = count, c = sent */
	T_HB_WRITTEN, /* .. and its answer the node: a = incarnation, 0 = conflict; c = sent */
	T_HB_READ,    /* the LUN reads */
	T_HB_SEEN,    /* .. and the node has it: data = the units */
	T_AGAIN,      /* a message comes a second time */
	T_VIEW,	      /* votequorum counts anew */
	T_MEMBERS,    /* who goes and comes */
	T_SETUP_WRITTEN, /* a file stands: a = version */
	T_SETUP_LOADED,	 /* corosync has read it */
	T_WIT_LOGIN,
	T_WIT_BEGIN, /* an operation arrives at the witness's target */
	T_WIT_LAND,  /* and is done there */
	T_WIT_DONE,  /* and answered */
	T_WIT_DEAD,
	T_TIMER,       /* of csvd's code: a = which, b = its setting */
	T_STORE,       /* a csvd looks at its volumes: a = 1: at this one alone */
	T_STORE_ASK,   /* .. asks the log for the epoch a */
	T_STORE_SAYS,  /* csvd a says b to another: c, in the session .life */
	T_LUN_LOGIN,   /* session a tries */
	T_LUN_COMMAND, /* a command reaches the target */
	T_LUN_ANSWER,  /* .. and its answer the node */
	T_LUN_FORGETS, /* the target forgets a registration */
	T_STALE,     /* the leader is left, and does not hear of it: a = 1: its coordinator asks */
	T_LATE_VIEW, /* it hears of it */
};

#endif
