/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The specification of a VM: what the operator wrote, by flags or in a file of `key = value` lines,
 * read whole, checked whole, and printed back in one canonical form. That form is what the log
 * stores; reading it gives the same spec again.
 *
 *   disk    = PATH[,format=raw|qcow2]     again for each disk; format from the suffix .qcow2
 *   memory  = SIZE                        256M, 4G, ...
 *   cpus    = N                           1
 *   kernel  = PATH, initrd = PATH, append = TEXT    direct kernel boot
 *   nic     = BRIDGE[,mac=MAC] | none     again for each card; without one: one on `vm`
 *   machine = TYPE                        versioned; pc-i440fx-7.2
 *   cpu     = MODEL[,+flag...]            qemu64
 *   accel   = tcg | kvm                   tcg
 *   uuid    = UUID                        given at creation, never changes
 *   node    = NAME, start = yes | no      where and whether to start at creation; not stored
 */
#ifndef CL_RESOURCES_VM_SPEC_H
#define CL_RESOURCES_VM_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

#define VM_SPEC_DISKS_MAX 16
#define VM_SPEC_NICS_MAX 8
#define VM_SPEC_TEXT_MAX 65536

struct vm_spec_disk {
	char *path;
	bool qcow2;
};

struct vm_spec_nic {
	char bridge[16];
	char mac[18]; /* "" = derived */
};

struct vm_spec {
	struct vm_spec_disk disks[VM_SPEC_DISKS_MAX];
	unsigned n_disks;
	struct vm_spec_nic nics[VM_SPEC_NICS_MAX];
	unsigned n_nics;
	bool no_nic;
	uint64_t memory_bytes;
	unsigned cpus;
	char *kernel, *initrd, *append;
	char *machine, *cpu;
	bool kvm;
	char uuid[37]; /* "" = not given yet */
	char *node;
	bool start;
};

/* Zero-initialised = empty. All strings are owned. */
void vm_spec_fini(struct vm_spec *spec);

/* One key: of a flag ("--disk" is "disk") or of a line. The error names key and value. */
int vm_spec_set(struct vm_spec *spec, const char *key, const char *value, struct cl_error *err);

/* All lines of a text; `file` stands in front of errors: "web.vm:3: ...". */
int vm_spec_read(struct vm_spec *spec, const char *text, const char *file, struct cl_error *err);

/* After the last key: defaults, and what only the whole can show. */
int vm_spec_finish(struct vm_spec *spec, struct cl_error *err);

/* The canonical form; malloc'd. */
int vm_spec_print(const struct vm_spec *spec, char **ret_text);

/* Read and finish what vm_spec_print() gave. */
int vm_spec_parse(struct vm_spec *ret, const char *text, struct cl_error *err);

#endif
