/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line of a QEMU, from its config. Pure, so that a test can hold it against what was
 * measured: QEMU does not notice when source and target of a migration have different devices.
 */
#ifndef CL_MIGRATION_ARGV_H
#define CL_MIGRATION_ARGV_H

#include "lib/vec.h"
#include "migration/vm_config.h"

CL_DEFINE_VEC(argv_vec, char *);

struct vm_argv_in {
	const struct vm_config *config;
	const char *qemu;
	bool incoming;
	int qmp_fd;		    /* listening unix socket */
	int disk_fds[VM_DISKS_MAX]; /* open read-write */
	int tap_fds[VM_NICS_MAX];
};

/* A NULL-terminated vector of malloc'd words; vm_argv_fini() in any case. 0 or -ENOMEM. */
int vm_argv(const struct vm_argv_in *in, struct argv_vec *ret);
void vm_argv_fini(struct argv_vec *argv);

#endif
