/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VM on this node: a QEMU process, its control socket and what may be ordered of it.
 *
 * The object decides nothing about ownership. It runs, pauses, moves and ends a QEMU as it is told,
 * and reports what it saw; that a start, a `cont` or a handover is allowed is the caller's
 * knowledge (docs/vm.md). It never sends `cont` without an order, with one exception: a vm_start()
 * with VM_START_RUN is such an order.
 *
 *   vm_start(RUN)       starting ----------> running <---> paused
 *   vm_start(INCOMING)  starting -> incoming -> loaded -(vm_cont)-> running
 *   vm_adopt()          adopting -> running | paused | incoming | loaded | sent
 *   vm_migrate()        running/paused -> (moving, see VM_EV_MIGRATE_*) -> sent
 *   any                 -> stopping -> killing -> gone
 *
 * Everything is asynchronous on lib/loop: orders return at once (a negative code means that the
 * order was refused in this state and nothing was done) and the outcome comes as an event. Events
 * are delivered from the loop, never from inside the order itself. Exactly one VM_EV_GONE ends each
 * object; after it only vm_free() may be called (from within the event is fine).
 *
 * Nothing here touches a cluster volume from the caller's process: disks are opened and tagged by
 * the launcher, a process of its own, since an open may block for as long as the volume does.
 */
#ifndef CL_MIGRATION_VM_H
#define CL_MIGRATION_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "migration/vm_config.h"

struct vm;
struct vm_host;

/* ---- the node's settings, the same for all its VMs ------------------------------------------ */

struct vm_host_config {
	const char *run_dir;	  /* "/run/clusterd/vm"; made when missing, mode 0711 */
	const char *launcher;	  /* path of clusterd-vm-launch; NULL = PKGLIBEXECDIR's */
	const char *state_helper; /* path of clusterd-vm-state; likewise */
	const char *qemu;	  /* NULL = "/usr/bin/qemu-system-x86_64" */
	const char *bridge;	  /* default bridge of network cards; NULL = "vm" */
	const char *cgroup; /* parent cgroup folder (absolute path); NULL = "<own cgroup>/vm" */
	uid_t uid;	    /* QEMU runs as this one; 0 = stay root (tests) */
	gid_t gid;
};

/* Copies config; loop is borrowed and outlives the host. */
int vm_host_new(struct cl_loop *loop, const struct vm_host_config *config, struct vm_host **ret,
		struct cl_error *err);
void vm_host_free(struct vm_host *host);
/* Below which every VM has a cgroup of its own; it exists. NULL: no cgroup version 2 here. */
const char *vm_host_cgroup(const struct vm_host *host);

/*
 * VMs that have a runtime directory here, alive or not, called once per name: at the start of
 * clusterd each is either adopted or, when the log says that it is not ours, adopted and killed.
 */
typedef void (*vm_scan_fn)(void *user, const char *name);
int vm_host_scan(struct vm_host *host, vm_scan_fn fn, void *user, struct cl_error *err);

/* ---- what is told --------------------------------------------------------------------------- */

enum vm_state {
	VM_STARTING, /* launched; QMP not ready. No guest instruction has run */
	VM_ADOPTING, /* found alive; being asked what it is doing */
	VM_RUNNING,  /* the guest executes */
	VM_PAUSED,   /* stopped by order, by an I/O error (reason), or never continued */
	VM_INCOMING, /* target of a migration, waiting for or receiving the state */
	VM_LOADED,   /* target: complete and paused. Runs only by vm_cont() */
	VM_SENT,     /* source: completed + postmigrate; QEMU never resumes by itself from here */
	VM_STOPPING, /* powerdown asked; killed at the deadline */
	VM_KILLING,  /* SIGKILL sent; waiting for the process to be gone */
	VM_GONE,
};

const char *vm_state_name(enum vm_state state);

enum vm_event_kind {
	/* Life. */
	VM_EV_STARTED, /* RUN: the guest executes. INCOMING: listens; .port is set */
	VM_EV_ADOPTED, /* .state says what was found; or VM_EV_GONE comes instead */
	VM_EV_PAUSED,  /* .pause says how it was confirmed; .text why (order, "I/O error", ...) */
	VM_EV_RUNNING, /* the guest executes (again): after vm_cont(), or a failed migration */
	VM_EV_KILLED,  /* SIGKILL sent to all of it. Now csvd must fail this VM's pending requests
			  at this generation: a QEMU that waits in FUSE does not end before */
	VM_EV_GONE,    /* the process is gone, .gone says how, .text the last line of its stderr */
	VM_EV_FAILED,  /* an order failed and the state is as before it; .text says why */
	VM_EV_NOTE,    /* worth a line in the event log: guest reset, panic, watchdog; .text */
	VM_EV_SILENT,  /* QEMU does not answer on its control socket. Nothing is done about it */
	VM_EV_ANSWERS, /* it does again */

	/* Source of a migration (after vm_migrate()). */
	VM_EV_MIGRATE_PROGRESS, /* .progress; four times a second at most */
	VM_EV_MIGRATE_SWITCH,	/* nearly done: commit phase=switch, then vm_migrate_switch() */
	VM_EV_MIGRATE_SENT,	/* completed and status postmigrate: report it to the manager.
				   .progress has the final figures */
	VM_EV_MIGRATE_FAILED, /* over, not handed over. .state = VM_RUNNING: QEMU went on by itself;
				 VM_PAUSED: it was paused before. .text why. Target: kill it */
	VM_EV_MIGRATE_NEED_DEAD, /* wants to abort in a phase where the target may hold everything:
				    prove the target dead, then vm_migrate_abort(.., true) */

	/* Target. */
	VM_EV_LOADED, /* MIGRATION completed and status paused: report it to the manager */
};

enum vm_pause_how { VM_PAUSE_STOP_EVENT, VM_PAUSE_SIGSTOP };

enum vm_stop_why {
	VM_STOP_ORDER,	  /* or not known */
	VM_STOP_NO_SPACE, /* a write found no space; continuing it repeats the write */
	VM_STOP_IO_ERROR, /* likewise, another error */
};

enum vm_gone_how {
	VM_GONE_START_FAILED, /* never got to VM_EV_STARTED */
	VM_GONE_GUEST,	      /* the guest powered itself off */
	VM_GONE_ORDER,	      /* vm_stop() or vm_kill() */
	VM_GONE_CRASHED,      /* QEMU died, or was killed by somebody else */
	VM_GONE_INCOMING,     /* target whose source went away, or that refused the stream */
	VM_GONE_ABSENT,	      /* vm_adopt(): nothing alive; the runtime directory is cleaned up */
};

struct vm_progress {
	uint64_t transferred, remaining, total; /* bytes */
	unsigned passes;
	int64_t total_ms;    /* since the order */
	int64_t downtime_ms; /* as QEMU says; -1 = not known yet */
};

struct vm_event {
	enum vm_event_kind kind;
	enum vm_state state; /* after the event */
	enum vm_pause_how pause;
	enum vm_stop_why stop; /* PAUSED */
	const char *disk;      /* PAUSED by an error: path of the disk; NULL = not known */
	enum vm_gone_how gone;
	uint16_t port;
	int64_t time_us; /* QEMU's wall clock; MIGRATE_SENT: when the guest stopped, RUNNING: when it
			    went on; 0 = not known. Their difference is the blackout */
	const char *text; /* "" when there is nothing to say; valid during the call */
	struct vm_progress progress;
};

typedef void (*vm_event_fn)(void *user, struct vm *vm, const struct vm_event *event);

/* ---- orders --------------------------------------------------------------------------------- */

/* RESTORE: to be fed from a saved state (vm_load()); it listens nowhere. */
enum vm_start_mode { VM_START_RUN, VM_START_INCOMING, VM_START_RESTORE };

struct vm_start_args {
	enum vm_start_mode mode;
	const char *listen_address;	/* INCOMING: migration_address of this node, numeric */
	uint16_t port_first, port_last; /* INCOMING: the first free one is taken; 7420..7499 */
	const char *tls_directory; /* INCOMING: QEMU's certificates; NULL or "": in the clear */
};

/*
 * Launch. The caller has the log's word that (name, generation) may be started, or received, here.
 * -EEXIST: a process of that name lives here already (adopt it). The config is copied.
 */
int vm_start(struct vm_host *host, const struct vm_config *config, const struct vm_start_args *args,
	     vm_event_fn fn, void *user, struct vm **ret, struct cl_error *err);

/*
 * Take over what an earlier clusterd started: process (pidfd, start time, uuid in its command line)
 * and control socket. Ends in VM_EV_ADOPTED or VM_EV_GONE. -ENOENT: no such runtime directory.
 * -EAGAIN: a process of it lives and cannot be taken over (yet): ask again until it can, or is gone.
 * A migration that was under way at that time is reported as what it is now (VM_SENT, VM_LOADED),
 * or goes on as VM_RUNNING; it can be aborted, not resumed.
 */
int vm_adopt(struct vm_host *host, const char *name, vm_event_fn fn, void *user, struct vm **ret,
	     struct cl_error *err);

/* Ask the guest to power off; kill it after grace_ms. Repeated orders shorten the deadline. */
int vm_stop(struct vm *vm, int64_t grace_ms, struct cl_error *err);
/* When its process began (CLOCK_BOOTTIME, ms, 10 ms early at most); 0 when that cannot be known. */
int64_t vm_began_ms(const struct vm *vm);
/* The stop order of design: cgroup killed, VM_EV_KILLED, then VM_EV_GONE. Never refused. */
void vm_kill(struct vm *vm, const char *why);

/*
 * Stop the vCPUs and know it: STOP by QMP, else SIGSTOP of all threads, confirmed by `deadline`;
 * when neither is confirmed by then, the VM is killed. Refused while VM_STOPPING or VM_KILLING.
 */
int vm_pause(struct vm *vm, struct cl_mono deadline, const char *why, struct cl_error *err);
/*
 * Stop the vCPUs, with all the time that QEMU needs: nobody counts on it. A vm_pause() may follow.
 */
int vm_stand(struct vm *vm, const char *why, struct cl_error *err);
/*
 * Let the guest run. Only with the log's word: for VM_LOADED the commit that made this generation
 * the owner; for VM_SENT the entry that gave it back after the target was proven dead.
 */
int vm_cont(struct vm *vm, struct cl_error *err);

struct vm_migrate_args {
	const char *address;	   /* numeric, of the target node */
	uint16_t port;		   /* from the target's VM_EV_STARTED */
	unsigned downtime_ms;	   /* 0 = 300 */
	uint64_t bandwidth;	   /* bytes/s; 0 = no limit */
	const char *tls_directory; /* QEMU's certificates; NULL or "": in the clear */
	const char *tls_peer;	   /* name that the target's has to have */
};

/* Begin to move a running or paused VM to a target that listens. One at a time. */
int vm_migrate(struct vm *vm, const struct vm_migrate_args *args, struct cl_error *err);
/*
 * The quick way: stop, save into a file on the VM's volume, for who holds the reserved number
 * (migration/state_file.h). The same events and orders as of a live migration follow; SENT means that
 * the file is whole, stable and named. Nothing is stopped before vm_migrate_switch().
 */
int vm_save(struct vm *vm, uint64_t reserved, struct cl_error *err);
/*
 * Target, started with RESTORE and in VM_INCOMING: take up the state that generation saved for this
 * VM's own. Ends in VM_EV_LOADED, or in VM_EV_GONE with the reason: torn, foreign, used.
 */
int vm_load(struct vm *vm, uint64_t generation, struct cl_error *err);
/* phase=switch is committed: from here the source may stop and send the last part. */
int vm_migrate_switch(struct vm *vm, struct cl_error *err);
/*
 * Give up. Without target_dead it is done at once only while the target cannot be complete; later
 * VM_EV_MIGRATE_NEED_DEAD asks for the proof. Ends in VM_EV_MIGRATE_FAILED, or in
 * VM_EV_MIGRATE_SENT when it was too late: then the commit or vm_cont() after the entry that gives
 * it back decides.
 */
int vm_migrate_abort(struct vm *vm, bool target_dead, const char *why, struct cl_error *err);

/* ---- what is known -------------------------------------------------------------------------- */

enum vm_state vm_state(const struct vm *vm);
const char *vm_name(const struct vm *vm);
uint64_t vm_generation(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);
bool vm_is_migrating(const struct vm *vm);
/* Why it is paused, stopping, ...; "" when it just runs. */
const char *vm_reason(const struct vm *vm);

/*
 * Forget the object. The QEMU lives on (clusterd ends, or will adopt it later); it must not be in
 * the middle of vm_kill() unless VM_EV_GONE was delivered.
 */
void vm_free(struct vm *vm);

CL_DEFINE_CLEANUP(struct vm_host, vm_host_free);
CL_DEFINE_CLEANUP(struct vm, vm_free);

#endif
