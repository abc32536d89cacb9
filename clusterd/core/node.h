/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision core of one node: replicated log, cluster database, run lease, manager (on the
 * leader) and agent, as ONE object and ONE function:
 *
 *              events (what happened)                         actions (what to do now)
 *     ring view, messages, persisted,      +-------------+    persist, send, reply, VM orders,
 *     requests, VM and csvd reports,  ---> | node_step() | -> csvd orders, incarnation, cleanup,
 *     the passing of time                  +-------------+    event lines, expected votes
 *
 * clusterd drives it with corosync, sqlite, QEMU and csvd; tests/sim drives the same object with a
 * simulated world. It reads no clock and no random source, keeps no descriptor and never blocks.
 * The same events in the same order give the same actions.
 *
 * Rules for whoever drives it (each is checked by the simulator's invariants):
 *  1. One step at a time, events in the order in which they happened.
 *  2. Actions are carried out in their order. NODE_DO_PERSIST may be carried out asynchronously,
 *     but in order; NODE_EV_PERSISTED is given when it is durable. Messages that depend on it are
 *     not among the actions before that: what is given out may be sent at once. NODE_DO_EVENT may
 *     follow all others of its step.
 *  3. node_deadline() after each step: a NODE_EV_TICK is due then at the latest, earlier does no
 *     harm. A late tick is noticed and treated as a freeze: all that is time-bound is checked
 *     before anything else is decided.
 *  4. A VM order is answered by exactly the reports named at enum node_vm_do, but a VM may always
 *     report NODE_VM_STOPPED by itself (it died). Reports name (name, generation).
 *  5. Nothing of this is persistent but what NODE_DO_PERSIST and NODE_DO_INCARNATION wrote. After a
 *     restart of clusterd: node_new() with what was persisted, then NODE_EV_VM reports
 *     NODE_VM_FOUND for each VM that runs, then NODE_EV_STARTED, then all else.
 */
#ifndef CL_CORE_NODE_H
#define CL_CORE_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clusterd/core/defect.h"
#include "lib/error.h"
#include "lib/vec.h"
#include "proto/heartbeat.h"
#include "quorum/raft.h"
#include "quorum/state.h"

struct node;

/* The last record of the witness's log that this node knows to have been durable: one with less is an old copy. */
struct node_witness_known {
	uint8_t uuid[16]; /* of that witness; zeros: nothing is known */
	uint64_t generation, record;
};

/* ---- making one ---------------------------------------------------------------------------- */

struct node_config {
	uint32_t id; /* corosync's nodeid, 1..255 */
	char name[STATE_NAME_MAX];
	uint8_t uuid[16]; /* of this node's database; random, made with the database */
	uint64_t
		instance; /* life of this process: greater than any earlier one's of this database */
	char storage_address[STATE_ADDRESS_MAX];
	char migration_address[STATE_ADDRESS_MAX];
	uint64_t memory_bytes; /* what VMs may use here */
	uint32_t cpus;
	uint32_t token_ms, consensus_ms; /* corosync's: L = token + consensus + 3 s */
	uint64_t
		incarnation; /* found in NODE_DO_INCARNATION's file; 0 = none in this boot, or it is over */
	int64_t lease_until_ms; /* NODE_DO_CSVD_LEASE's last word, from its file; 0 = not known */
	uint64_t seed;		/* for the election's random part */
	int64_t quarantine_ms;	/* how long a fence counts towards it; 0 = QUARANTINE_MS */
	int64_t voters_away_ms; /* who is away so long votes no more; 0 = VOTERS_AWAY_MS */
	uint32_t schema; /* of the commands that this program knows; 0 = STATE_SCHEMA (quorum/) */
	uint32_t snapshot_every; /* applied entries between two snapshots; 0 = raft's default */
	/* The database is empty because the node's former one had to be set aside: why. The node asks
	 * by itself to be a member again. "": it did not. */
	char anew[STATE_REASON_MAX];
	bool no_quarantine;    /* as the manager it counts no failures of nodes */
	uint64_t defects;      /* NODE_DEFECT_*, defect.h */
	uint64_t raft_defects; /* mask of RAFT_DEFECT(): the simulator's */
	unsigned witness_defects; /* of WITNESS_DEFECT_*, likewise */
	unsigned voters_defects;  /* of VOTERS_DEFECT_*, likewise */
	/* Of the lease in NODE_DO_CSVD_LEASE's file: its beat, when it was a watched one; else 0. */
	int64_t lease_beat_ms;
	struct node_witness_known
		witness_known; /* NODE_DO_WITNESS_KNOWN's last; kept with the database */
};

/*
 * A node with what was found on disk (NULL: nothing, an empty database). Returns 0, -ENOMEM or
 * -CL_ECORRUPT (the snapshot or the log do not hold together; the node must not run).
 */
int node_new(const struct node_config *config, const struct raft_stored *found, int64_t now_ms,
	     struct node **ret_node, struct cl_error *err);
void node_free(struct node *node);

/* ---- events -------------------------------------------------------------------------------- */

enum node_event_type {
	NODE_EV_TICK,	      /* time has passed; no data */
	NODE_EV_END,	      /* this process is told to end: -> NODE_DO_END, soon; no data */
	NODE_EV_TIMES,	      /* .times: configured times that do not fit together; "" = all do */
	NODE_EV_STARTED,      /* all VMs found have been reported; no data */
	NODE_EV_VIEW,	      /* .view: who is there, from corosync */
	NODE_EV_MESSAGE,      /* .message: from another node's core */
	NODE_EV_PERSISTED,    /* .persisted: durable up to this sequence number */
	NODE_EV_REQUEST,      /* .request: from a client of this node */
	NODE_EV_CLIENT_GONE,  /* .client: its reply is wanted no more; what was begun goes on */
	NODE_EV_VM,	      /* .vm: report of the VM driver */
	NODE_EV_CSVD,	      /* .csvd: report of csvd */
	NODE_EV_CLEANED,      /* .incarnation: NODE_DO_CLEANUP is finished */
	NODE_EV_SETUP,	      /* .setup: what stands in files, and what corosync runs by */
	NODE_EV_AUDIT,	      /* .audit: somebody asked for something here, or was refused */
	NODE_EV_STORE_FAILED, /* .why: the database cannot be written; -> NODE_DO_STOP */
	NODE_EV_WITNESS,      /* .witness: report of witnessd */
	NODE_EV_FENCE,	      /* .fence: an agent of NODE_DO_FENCE has ended */
};

#define NODE_VIEW_MAX 255

struct node_view {
	bool quorate;			 /* votequorum says yes */
	uint64_t ring;			 /* ring sequence; changes with every membership change */
	uint32_t members[NODE_VIEW_MAX]; /* node ids on the ring, ascending, this node included */
	size_t n_members;
	uint32_t group[NODE_VIEW_MAX]; /* those of them whose clusterd is in the CPG group */
	size_t n_group;
};

/* On the wire by their numbers: a new one goes to the end. */
enum node_verb {
	NODE_INIT = 1, /* object: the cluster's name. Makes line 1 with this node alone; force: line
			       + 1 from this node's database, volumes: names of nodes that are left
			       behind though they show signs of life, uuid: random */
	NODE_JOIN,     /* object: name of any member, or "" : a member admits us */
	NODE_CREATE_VOLUME, /* object, url */
	NODE_DELETE_VOLUME, /* object */
	NODE_CREATE_VM,	    /* object, spec, volumes, memory_bytes, cpus, priority, target, start */
	NODE_DELETE_VM,	    /* object */
	NODE_START,	    /* object, target or "" */
	NODE_STOP,	    /* object, force */
	NODE_MOVE,	    /* object (VM or volume), target or "" = the planner chooses */
	NODE_DRAIN,	    /* object: a node */
	NODE_RESUME,	    /* object: a node */
	NODE_REDIRECT,	    /* object: a volume, on */
	NODE_MAINTENANCE,   /* object: a volume, on */
	NODE_JOB,	    /* object: a volume, job, on: may change something */
	NODE_SETUP,	    /* spec: a packed Log.SetupSet */
	NODE_LEAVE,	    /* object: a node that is up */
	NODE_EVICT,	    /* object: a node that is not */
	NODE_STOP_CLUSTER,  /* on: every VM ends, none is started until it is off */
	NODE_SET_QUORUM, /* object: "witness"; url ("" = none), uuid: of a LUN that was made one */
	NODE_SET_FENCE,	 /* object: a node; spec: a packed Log.NodeFenceSet */
	NODE_FENCE_CONFIRM, /* object: a node that user has seen to be off */
	NODE_RESTORE, /* spec: the state of a backup, line, uuid: random; force: though other nodes
			       run clusterd. Makes a new line of it with this node alone */
	NODE_STOP_NODE, /* object: a node that is up; quick: memory is kept; force: nothing is moved */
	NODE_SET_VM,	/* object: a VM; start_after */
	NODE_SET_ADDRESS, /* object: a node; target: the address that url takes the place of */
};

/* Strings are borrowed for the step. client is the driver's own number; it comes back in replies.
 */
struct node_request {
	uint64_t client;
	enum node_verb verb;
	const char *object, *target, *url;
	const uint8_t *uuid; /* 16 bytes: CREATE_VOLUME (clusterd chose it and had it formatted) */
	const uint8_t *spec; /* CREATE_VM; CREATE_VOLUME: what was found out about the LUN */
	size_t spec_len;
	const char *const *volumes; /* names of the volumes that the VM's disks live on */
	size_t n_volumes;
	uint64_t memory_bytes;
	uint32_t cpus, priority; /* priority 0..4000; 0 = not started by itself */
	enum state_start_after start_after;
	bool start, force, on;
	bool quick;	  /* MOVE, STOP_CLUSTER: by a saved state */
	const char *user; /* FENCE_CONFIRM: who says it */
	uint64_t line;	  /* RESTORE: of the backup */
	uint32_t job;	  /* Vol.Job.Kind; answered by NODE_DO_JOB_ANSWER */
};

enum node_vm_report {
	NODE_VM_FOUND,	   /* after a restart of clusterd: it runs (text "paused": stands) */
	NODE_VM_STARTED,   /* it runs */
	NODE_VM_STOPPED,   /* no process, no request of it in csvd any more. text: why; status */
	NODE_VM_PAUSED,	   /* confirmed by QEMU, or SIGSTOP delivered; or by itself: .stop */
	NODE_VM_CONTINUED, /* runs again */
	NODE_VM_INCOMING,  /* target is listening; text: the URI for the source */
	NODE_VM_PRE_SWITCHOVER, /* source: its guest stands, the rest is ready to be sent */
	NODE_VM_SOURCE_DONE, /* source: `completed` and status `postmigrate`: never runs by itself
			      */
	NODE_VM_TARGET_DONE, /* target: complete and paused */
	NODE_VM_MIGRATE_FAILED, /* source: it failed or was cancelled; runs again here, or .stands */
	NODE_VM_PROGRESS,	/* source: percent */
	NODE_VM_MIGRATE_STUCK, /* source: stands, and runs again only by MIGRATE_CANCEL, which comes
				   when the target is proven gone. text: why */
	NODE_VM_SILENT,	 /* QEMU does not answer; its guest may run or not. text: since when */
	NODE_VM_ANSWERS, /* it does again */
};

/* PAUSED without an order: what made QEMU stop the guest. */
enum node_vm_stop { NODE_VM_STOP_OTHER, NODE_VM_STOP_NO_SPACE, NODE_VM_STOP_IO_ERROR };

struct node_vm_event {
	enum node_vm_report report;
	const char *name;
	uint64_t generation;
	const char *text; /* never NULL */
	bool failed;	  /* STOPPED: it was not asked to, or could not start */
	bool stands;	  /* MIGRATE_FAILED: paused here, as it was before */
	uint32_t percent, downtime_ms;
	enum node_vm_stop stop; /* PAUSED */
	const char *volume;	/* PAUSED for NO_SPACE or IO_ERROR: the volume, "" = not known */
};

enum node_csvd_report {
	NODE_CSVD_UP,	  /* connected (again); instance */
	NODE_CSVD_DOWN,	  /* connection lost */
	NODE_CSVD_ASK_GO, /* may I coordinate (volume, epoch)? answered by NODE_DO_CSVD_GO */
	NODE_CSVD_PAID, /* debts of (volume, epoch) for (node, <= incarnation) are paid and verified;
			   .seen: what was seen of the heartbeat of exactly that incarnation before */
	NODE_CSVD_PAY_FAILED, /* not yet; text: why. csvd goes on trying */
	NODE_CSVD_RELEASED,   /* (volume, epoch): drained, coordinates it no more (planned move) */
	NODE_CSVD_JOB,	      /* job, job_done, data: a packed Vol.JobAnswer */
	NODE_CSVD_STATUS,     /* how this node reaches the volume: mode, text = reason or "" */
	NODE_CSVD_WATCH, /* it is about to write heartbeats in the name of .incarnation; answered by
				 NODE_DO_CSVD_LEASE, before which it writes none */
	NODE_CSVD_CONFLICT, /* a heartbeat met a RESERVATION CONFLICT: its key was taken */
};

struct node_csvd_event {
	enum node_csvd_report report;
	uint64_t instance;
	const char *volume;
	uint64_t epoch;
	uint32_t node;
	uint64_t incarnation;
	enum state_volume_mode mode;
	enum heartbeat_seen seen; /* PAID */
	bool has_path, serving;	  /* STATUS: reaches the LUN; coordinates (volume, epoch) */
	bool refused; /* STATUS: it cannot be opened, by what lies there, or by its target */
	uint64_t size_bytes, free_bytes; /* STATUS: of the volume; size 0 = not known */
	const char *text;		 /* never NULL */
	uint64_t job;			 /* JOB: of NODE_DO_CSVD_JOB */
	bool job_done;
	const uint8_t *data;
	size_t len;
};

/* While a node's address is being changed: corosync's links, as a node sees them. */
struct node_links {
	uint64_t moving; /* the setup of this version has such a change; 0 = none */
	uint64_t
		stand; /* all links that it has stand, to all nodes, by the setup of this version */
	uint32_t node; /* else one that does not: to this node. Its own: it has no such address */
	uint32_t link;
};

struct node_setup_event {
	uint64_t written; /* version of the setup in the files */
	uint64_t loaded;  /* the same once corosync runs by it, else what it was before */
	bool reloaded;	  /* corosync has just read its configuration */
	/* Answer to SETUP_DEVICE: the setup of this version fits to a witness that votes (or not). */
	uint64_t fits;
	bool fits_device;
	struct node_links links;
};

/* Texts are borrowed. */
struct node_audit_event {
	const char *object, *event, *cause, *user;
	uint32_t uid;
	int64_t duration_ms; /* -1: has none */
	bool everywhere;     /* the other nodes shall keep it too */
};

struct node_fence_event {
	uint64_t id;
	bool ok;	  /* it says that it was done */
	const char *text; /* else its last words; never NULL, no secrets */
};

enum node_witness_report {
	NODE_WITNESS_PATH, /* the session stands (up), or not (text: why) */
	NODE_WITNESS_DONE, /* an operation is over: id, ok (or text), data, mine, holder */
};

/* After NODE_WITNESS_PATH with up = false nothing that was ordered before is answered any more. */
struct node_witness_event {
	enum node_witness_report report;
	bool up;
	uint64_t id;
	bool ok;
	const uint8_t *data; /* READ */
	size_t len;
	bool mine;	  /* CHECK: the reservation names this very nexus */
	uint32_t holder;  /* CHECK: the holder's node; 0 = none of this cluster's */
	const char *text; /* never NULL */
};

struct node_event {
	enum node_event_type type;
	int64_t now_ms;		    /* CLOCK_BOOTTIME; never goes back */
	int64_t heartbeat_until_ms; /* what csvd's file says now (proto/heartbeat.h); 0 = nothing */
	int64_t wall_ms;	    /* CLOCK_REALTIME, only for people: never decided upon */
	union {
		const struct node_view *view;
		struct {
			const uint8_t *data;
			size_t len;
			uint32_t from; /* node id as the transport knows it */
		} message;
		uint64_t persisted;
		const struct node_request *request;
		uint64_t client;
		struct node_vm_event vm;
		struct node_csvd_event csvd;
		struct node_setup_event setup;
		struct node_audit_event audit;
		const char *times; /* borrowed */
		const char *why;   /* borrowed */
		struct node_witness_event witness;
		struct node_fence_event fence;
		uint64_t incarnation;
	};
};

/* ---- actions ------------------------------------------------------------------------------- */

enum node_action_type {
	NODE_DO_PERSIST,  /* .persist: make durable in ONE transaction, then NODE_EV_PERSISTED */
	NODE_DO_SEND,	  /* .send: to one node's core (to = 0: all, this one not) */
	NODE_DO_REPLY,	  /* .reply: to a client; the last one for it unless .more */
	NODE_DO_VM,	  /* .vm: order to the VM driver */
	NODE_DO_CSVD_GO,  /* .csvd: answer to ASK_GO; code 0 = go */
	NODE_DO_CSVD_PAY, /* .csvd: pay (volume, epoch): all debts of node with <= incarnation */
	NODE_DO_CSVD_RELEASE, /* .csvd: give up (volume, epoch) in order */
	NODE_DO_CSVD_JOB,     /* .csvd_job: not repeated; answered by NODE_CSVD_JOB reports */
	NODE_DO_JOB_ANSWER,   /* .job: to a client's NODE_JOB: progress, or the end at one node */
	NODE_DO_CSVD_TABLES,  /* state changed: csvd is sent its part of it, if that did */
	NODE_DO_CSVD_LEASE,   /* .lease: issue nothing after until_ms (0: stop now). Also kept in a
				file in /run: by it the next process's VMs stand */
	NODE_DO_INCARNATION, /* .incarnation: write it to the file in /run, before anything else; 0 when that life is
				over, before anything of it is ended */
	NODE_DO_CLEANUP,    /* .incarnation: end all of it: kill every VM, empty its cgroups, close
			    its csvd sessions; then NODE_EV_CLEANED */
	NODE_DO_EXPECT,	    /* .votes: votequorum_setexpected() */
	NODE_DO_WITNESS,    /* .witness: order to witnessd; each but OPEN is answered once */
	NODE_DO_FENCE,	    /* .fence: run a fence agent -> NODE_EV_FENCE, once */
	NODE_DO_FENCE_STOP, /* .fence.id: kill it, its end is not wanted any more */
	NODE_DO_CAST,	    /* .cast: vote of votequorum's quorum device in that ring */
	NODE_DO_EVENT,	    /* .event: a line for `clusterctl events` and the log */
	NODE_DO_SETUP, /* the setup in the state is a new one: write the files, NODE_EV_SETUP */
	NODE_DO_SETUP_RELOAD, /* all have written: corosync is to load it, on all nodes at once */
	NODE_DO_SETUP_STRIP,  /* take the nodes that have gone out of the setup (NODE_SETUP) */
	NODE_DO_SETUP_MOVE, /* a node's address: the next step (NODE_SETUP); .reply.text not "": take it
			       back, that is why */
	NODE_DO_SETUP_DEVICE, /* corosync's quorum device: as the witness says (NODE_SETUP), or it fits
				 (NODE_EV_SETUP) */
	NODE_DO_REMOVED, /* .reply.text: no member any more, and all has ended here: forget it all */
	NODE_DO_END, /* .reply.text: what NODE_EV_END was for is done, or cannot be: end in order */
	NODE_DO_STOP,	 /* .reply.text: this process must end (removed, its log disk failed) */
	NODE_DO_CONDEMN, /* .reply.text: its database must not be used again, by any process: mark it,
			    durably, then end. The next one begins with an empty one, config.anew */
	NODE_DO_WITNESS_KNOWN, /* .witness_known: keep it, durable by and by; an earlier one is no harm */
};

enum node_witness_do {
	NODE_WITNESS_OPEN,	  /* drop the session; url: one to that LUN, "" = none. -> PATH.. */
	NODE_WITNESS_READ,	  /* offset, len */
	NODE_WITNESS_WRITE,	  /* offset, len, data: durable when answered */
	NODE_WITNESS_OWNER_WRITE, /* the same; fails unless CLAIM succeeded on this nexus */
	NODE_WITNESS_CLAIM,	  /* PREEMPT of the holder, barrier, verify */
	NODE_WITNESS_CHECK,	  /* READ RESERVATION */
};

enum node_vm_do {
	NODE_VM_START,		/* -> STARTED | STOPPED(failed) */
	NODE_VM_START_INCOMING, /* as a paused migration target -> INCOMING | STOPPED(failed) */
	NODE_VM_SHUTDOWN,	/* ask the guest, kill after 60 s -> STOPPED */
	NODE_VM_KILL,  /* at once, in the stop order -> STOPPED. Also of what has no process
				   (any more): csvd may hold requests of it */
	NODE_VM_PAUSE, /* at once, or it is killed -> PAUSED */
	NODE_VM_STAND, /* the same, but nobody counts on it: no deadline, nothing is killed -> PAUSED */
	NODE_VM_CONT,	 /* -> CONTINUED */
	NODE_VM_MIGRATE, /* source: text = target's URI -> PROGRESS.. PRE_SWITCHOVER |
				   MIGRATE_FAILED */
	NODE_VM_LOAD, /* target started by START_INCOMING with text "quick": take up the state that
			  generation `text` saved -> PROGRESS.. TARGET_DONE | STOPPED(failed) */
	NODE_VM_SWITCH, /* source: go on from pre-switchover -> SOURCE_DONE | MIGRATE_FAILED */
	NODE_VM_MIGRATE_CANCEL, /* source: end the migration, run here again -> MIGRATE_FAILED */
};

struct node_action {
	enum node_action_type type;
	union {
		struct {
			uint64_t seq;
			struct raft_persist *data; /* owned by the actions */
			struct raft_line line;	   /* to be kept with it, always the same */
			uint8_t database[16];	   /* the cluster's uuid, likewise */
		} persist;
		struct {
			uint32_t to;
			uint8_t *data; /* owned by the actions */
			size_t len;
			bool later; /* nobody acts on it: it may wait for others, some milliseconds */
		} send;
		struct {
			uint64_t client;
			int code;  /* 0 or a negative code of lib/error.h */
			bool more; /* a progress line, others follow */
			char text[200], hint[120];
		} reply;
		struct {
			enum node_vm_do what;
			char name[STATE_NAME_MAX];
			uint64_t generation;
			char text[STATE_URL_MAX];
			const uint8_t
				*spec; /* borrowed from the state: valid until the next step */
			size_t spec_len;
		} vm;
		struct {
			char volume[STATE_NAME_MAX];
			uint64_t epoch;
			uint32_t node;
			uint64_t incarnation;
			int code;
			char text[STATE_REASON_MAX];
		} csvd;
		struct {
			uint64_t id;
			char volume[STATE_NAME_MAX];
			uint32_t kind;
			bool change;
		} csvd_job;
		struct {
			uint64_t client;
			uint32_t node; /* whose csvd */
			bool done;     /* ended there */
			bool last;     /* and everywhere: nothing more for this client */
			int code;      /* done: the node's own word when there is no data */
			char text[200];
			uint8_t *data; /* packed Vol.JobAnswer; owned by the actions */
			size_t len;
		} job;
		struct {
			int64_t until_ms;
			int64_t beat_ms; /* the youngest beat that a majority acked was sent then; not 0
					    when .watched */
			uint64_t watched; /* incarnation that may write heartbeats; 0 = none */
		} lease;
		struct {
			enum node_witness_do what;
			uint64_t id, offset;
			uint32_t len;
			uint8_t *data; /* owned by the actions */
			char url[STATE_URL_MAX];
		} witness;
		struct {
			uint64_t id;
			uint32_t node; /* who is to be switched */
			char agent[STATE_AGENT_NAME_MAX];
			char action[8];
			char *input; /* its standard input, with secrets; owned by the actions */
			int64_t timeout_ms;
		} fence;
		struct {
			bool yes;
			uint64_t ring;
		} cast;
		uint64_t incarnation;
		uint32_t votes;
		struct node_witness_known witness_known;
		struct node_event_line {
			uint64_t id; /* ascending on this node; the same on all for applied ones */
			int64_t time_ms; /* wall clock */
			uint32_t node;	 /* whom it is about, 0 = none */
			char object[STATE_NAME_MAX];
			char event[32]; /* "node-failed", "vm-started", ... see docs/core.md */
			char cause[STATE_REASON_MAX];
			int64_t duration_ms; /* -1: has none */
			char user[32];	     /* who asked; "" = nobody did */
			uint32_t uid;
		} event;
	};
};

CL_DEFINE_VEC(node_action_vec, struct node_action);

struct node_actions {
	struct node_action_vec v;
	bool no_memory; /* an action was lost: the process must end (it is as good as dead) */
};

/* Give back what the actions own; the vector is empty and can be used again. */
void node_actions_clear(struct node_actions *actions);
void node_actions_fini(struct node_actions *actions);

/* Take one event, append what is to be done. Never fails; hostile bytes are dropped and counted. */
void node_step(struct node *node, const struct node_event *event, struct node_actions *actions);

/* When the next NODE_EV_TICK is due at the latest (absolute, same clock as now_ms). */
int64_t node_deadline(const struct node *node);

/* ---- looking at it (for status, list, show: clusterd makes JSON of it) ----------------------- */

enum node_life {
	NODE_EMPTY,    /* no database: only `init` and `join` are possible */
	NODE_JOINING,  /* known to a cluster, not admitted (yet, or again) */
	NODE_UP,       /* admitted, lease valid */
	NODE_ISOLATED, /* admitted, no lease: VMs are paused */
	NODE_FENCED,   /* the log says that we failed: cleaning up */
};

struct node_self {
	enum node_life life;
	char reason[STATE_REASON_MAX]; /* why it is not NODE_UP; "" when it is */
	int64_t since_ms;	       /* wall clock */
	bool quorate;		       /* votequorum's word and a lease from a majority */
	uint32_t leader;	       /* 0: unknown */
	uint64_t line, term, applied;  /* line 0: no database */
	int64_t lease_until_ms;	       /* event clock */
	uint64_t incarnation;
	uint32_t can_lose; /* further voters that may fail with a majority left; 0 when not quorate
			    */
	uint64_t dropped_messages;
};

/* Whether it is, or is becoming, a cluster's: `init` and `join` are not possible. */
bool node_has_database(const struct node *node);

/* The witness as seen from here. */
struct node_quorum {
	uint32_t voters, heard, need;  /* votes in the log, those that answer, a majority */
	const char *witness;	       /* "none", "voter", "learner", "joining", "lost" */
	const char *url;	       /* "" = none; valid until the next step */
	uint32_t host;		       /* who serves it, as far as is known; 0 = nobody */
	char reason[STATE_REASON_MAX]; /* why it does not vote or answer; "" = it does */
	int64_t since_ms;	       /* lost: since when, by the wall clock, for people; else 0 */
	const char *path; /* of this node: "ok", or why not; valid until the next step */
	bool cast;	  /* this node's vote in votequorum's device */
};

void node_get_self(const struct node *node, struct node_self *ret_self);
void node_get_quorum(const struct node *node, struct node_quorum *ret);
/* The witness has, or is about to have, a vote: corosync's configuration is to have a quorum device. */
bool node_wants_device(const struct node *node);
/* How many votes a node has: 1 when it is a voter. */
bool node_is_voter(const struct node *node, uint32_t id);

/* The database as applied here. Valid until the next step. */
const struct state *node_state(const struct node *node);
/* Every living node's corosync runs by the present setup, as far as it is known here. */
bool node_setup_loaded(const struct node *node);

/*
 * All that this node's log holds, committed or not, applied to a copy: what is known here at most. Owned by
 * the caller. -ENOMEM.
 */
int node_known(const struct node *node, struct state *ret);

/* Who is a member of the log and who votes, as of what is applied here; NULL: no database. */
const struct raft_config *node_voters(const struct node *node);

/* How a node reaches a volume, as it said in its last beat. False: not heard of. */
bool node_get_volume_mode(const struct node *node, uint32_t id, const char *volume,
			  enum state_volume_mode *ret_mode, char reason[STATE_REASON_MAX],
			  int64_t *ret_since_ms);

/* The word of interfaces ("up", "isolated", ...) for a node and why, as seen from here. */
const char *node_get_node_word(const struct node *node, const struct state_node *n,
			       char reason[STATE_REASON_MAX]);

/* The word of interfaces for a resource and why, as seen from here ("unknown" without quorum). */
const char *node_get_resource_word(const struct node *node, const struct state_resource *r,
				   char reason[STATE_REASON_MAX]);
/* Since when it is what that word says (wall clock). */
int64_t node_get_resource_since(const struct node *node, const struct state_resource *r);

#endif
