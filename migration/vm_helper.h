/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of clusterd-vm-state. The object outlives whoever began it: a helper that waits for a volume
 * ends when the volume lets it.
 */
#ifndef CL_MIGRATION_VM_HELPER_H
#define CL_MIGRATION_VM_HELPER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"
#include "migration/state_file.h"

struct vm_helper;

struct vm_helper_ops {
	void (*progress)(void *user, uint64_t bytes);
	void (*ended)(void *user, bool ok, const char *why); /* once, last; unless detached */
};

/*
 * what: "save", "load" (id is needed; *ret_data_fd is QEMU's end of the pipe, the caller's) or "drop".
 * ops NULL: nobody waits for it, and *ret is not set.
 */
int vm_helper_run(struct cl_loop *loop, const char *program, const char *what, const char *path,
		  const struct state_id *id, const struct vm_helper_ops *ops, void *user,
		  struct vm_helper **ret, int *ret_data_fd, struct cl_error *err);

/* save: QEMU has written all of it. */
void vm_helper_finish(struct vm_helper *helper);

/* Nobody listens any more. A save that was not told to finish leaves nothing. Accepts NULL. */
void vm_helper_detach(struct vm_helper *helper);

#endif
