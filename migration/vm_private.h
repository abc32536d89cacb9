/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of struct vm share: vm.c (life), vm_pause.c (stop and go), vm_heartbeat.c,
 * vm_adopt.c, migrate.c.
 */
#ifndef CL_MIGRATION_VM_PRIVATE_H
#define CL_MIGRATION_VM_PRIVATE_H

#include "lib/sm.h"
#include "lib/vec.h"
#include "migration/launch.h"
#include "migration/plan_migrate.h"
#include "migration/plan_quick.h"
#include "migration/qmp.h"
#include "migration/vm.h"
#include "migration/vm_helper.h"

#define VM_QMP_TIMEOUT_MS 10000

struct vm_host {
	struct cl_loop *loop;
	char *run_dir, *launcher, *qemu, *bridge, *cgroup; /* cgroup NULL = there is none */
	char *state_helper;
	uid_t uid;
	gid_t gid;
};

CL_DEFINE_VEC(vm_event_vec, struct vm_event);

struct vm_migration {
	bool active; /* a source machine is at work, or has ended in SENT */
	struct mig_source source;
	struct mig_target target;
	struct vm_migrate_args args;
	char *address, *listen;
	/* migrate_tls.h; directory "" = in the clear */
	char tls_directory[120], tls_peer[64];
	bool tls_server;
	qmp_reply_fn tls_then;
	uint16_t port, port_last;  /* target: the one being tried */
	struct outgoing *outgoing; /* source: what QEMU sends by */
	struct cl_source *poll;
	struct cl_mono began;
	int64_t stop_us; /* QEMU's clock at STOP */
	struct vm_progress progress;
	char error[256]; /* QEMU's or the caller's words for a failure */
	bool asking;	 /* a query-migrate is under way */
};

struct vm_quick {
	bool active; /* source: a machine is at work, or has ended in SENT */
	struct quick plan;
	uint64_t reserved;
	struct vm_helper *helper;
	struct cl_source *poll;
	struct cl_mono stop_at;
	int64_t stop_us;
	char path[1024]; /* of the state, while it may be there */
	char error[256];
	bool restoring;		 /* target: started to be fed from a file */
	bool complete, verified; /* target: by QEMU; by the helper */
};

struct vm {
	struct vm_host *host;
	struct sm sm;
	struct vm_config config;
	char *dir, *cgroup;
	vm_event_fn fn;
	void *user;

	pid_t pid;
	int pidfd; /* for signals; the loop has its own */
	struct cl_source *child, *status_io;
	int status_fd;
	char status_line[512];
	size_t status_len;
	struct qmp *qmp;

	bool incoming;	/* launched to receive, never continued */
	bool announced; /* STARTED or ADOPTED was told */
	bool killed_told;
	bool ordered_gone; /* stop or kill by order */
	bool guest_off;	   /* SHUTDOWN by the guest */
	int64_t resume_us; /* QEMU's clock at the last RESUME */
	char reason[256];
	enum vm_stop_why stop_why; /* of the block error that comes before its STOP */
	const char *stop_disk;	   /* borrowed from config */

	/* vm_heartbeat.c */
	struct cl_source *heartbeat;
	bool silent;

	/* vm_pause.c */
	struct cl_source *pause_timer;
	struct cl_mono pause_deadline;
	bool pausing, sigstopped;
	bool cont_sent; /* and not answered */

	struct cl_source *grace; /* vm_stop() */
	struct vm_migration mig;
	struct vm_quick quick;

	/* Events that an order caused wait here for the next turn of the loop. */
	struct vm_event_vec later;
	struct cl_source *later_timer;
	bool *freed; /* set when vm_free() is called from within an event */
};

/* vm.c */
int vm_new(struct vm_host *host, const struct vm_config *config, const char *name, int state,
	   vm_event_fn fn, void *user, struct vm **ret, struct cl_error *err);
int vm_watch_process(struct vm *vm, struct cl_error *err);
int vm_connect(struct vm *vm, struct cl_error *err);
void vm_set_state(struct vm *vm, enum vm_state state, const char *why);
void vm_set_reason(struct vm *vm, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Tell at once; the vm may be gone when it returns true. text NULL = "". */
bool vm_tell(struct vm *vm, enum vm_event_kind kind, const char *text);
bool vm_tell_event(struct vm *vm, struct vm_event event);
void vm_tell_later(struct vm *vm, enum vm_event_kind kind);
int vm_refuse(const struct vm *vm, struct cl_error *err, const char *what);
/* Send a command without arguments whose failure kills the VM's order `what` (VM_EV_FAILED). */
int vm_qmp(struct vm *vm, const char *command, json_t *args, qmp_reply_fn fn);
void vm_first_cont(struct vm *vm);

/* vm_pause.c */
void vm_pause_fini(struct vm *vm);
bool vm_pause_on_stop(struct vm *vm); /* QMP STOP; true: it was by our order */
bool vm_pause_on_resume(struct vm *vm);
void vm_send_cont(struct vm *vm);

/* vm_heartbeat.c */
void vm_heartbeat_begin(struct vm *vm);
void vm_heartbeat_fini(struct vm *vm);

/* vm.c: what query-status says of a guest that should run. May end the vm's object: true then. */
bool vm_on_status(struct vm *vm, const char *status);
void vm_ask_status(struct vm *vm);

/* vm_adopt.c */
void vm_adopt_ready(struct vm *vm);

/* quick.c */
void vm_quick_fini(struct vm *vm);
void vm_quick_drop(struct vm *vm);
void vm_quick_switch(struct vm *vm);
void vm_quick_abort(struct vm *vm, const char *why);
bool vm_quick_on_event(struct vm *vm, const char *name, const json_t *data, int64_t time_us);
void vm_restore_prepare(struct vm *vm);
/* QEMU is complete. False: the file's checks are not; vm_tell_loaded() follows, or its end. */
bool vm_quick_loaded(struct vm *vm);

/* migrate.c */
void vm_tell_loaded(struct vm *vm);
void vm_migration_fini(struct vm *vm);
void vm_incoming_prepare(struct vm *vm);
void vm_migration_adopt(struct vm *vm, const char *run, const char *status);
/* QMP events; true when the vm may be gone. */
bool vm_migration_on_event(struct vm *vm, const char *name, const json_t *data, int64_t time_us);

#endif
