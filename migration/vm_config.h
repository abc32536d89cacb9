/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one QEMU is started with: the VM's specification as far as QEMU needs it, at one generation.
 * It is plain data. clusterd fills it from the resource's spec (resources/vm_spec.h); the launcher
 * writes it as `spec.json` into the runtime directory before anything runs, and adoption reads it
 * back from there.
 */
#ifndef CL_MIGRATION_VM_CONFIG_H
#define CL_MIGRATION_VM_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "lib/error.h"

#define VM_NAME_MAX 63
#define VM_DISKS_MAX 16
#define VM_NICS_MAX 8
#define VM_CPUS_MAX 64
#define VM_MEMORY_MIN (UINT64_C(1) << 20)
#define VM_MEMORY_MAX (UINT64_C(1) << 42)

enum vm_disk_format { VM_DISK_RAW, VM_DISK_QCOW2 };

struct vm_disk {
	char *path;
	enum vm_disk_format format;
};

struct vm_nic {
	char *bridge; /* bridge of this node that the tap is put on; NULL = the host's default */
	char mac[18]; /* "52:54:00:.."; "" = derived from the uuid and the card's number */
};

struct vm_config {
	char *name;	     /* [A-Za-z0-9][A-Za-z0-9._-]{0,62}: it becomes a folder's name */
	char uuid[37];	     /* lower case; given to QEMU and looked for at adoption */
	uint64_t generation; /* ownership generation that the disks are tagged with */
	char *machine;	     /* versioned, "pc-i440fx-7.2"; never an alias */
	char *cpu;	     /* QEMU CPU model with flags; NULL = "qemu64" */
	bool kvm;	     /* else TCG */
	unsigned cpus;
	uint64_t memory_bytes; /* as specified; see vm_config_ram_bytes() */
	struct vm_disk disks[VM_DISKS_MAX];
	unsigned n_disks;
	struct vm_nic nics[VM_NICS_MAX];
	unsigned n_nics;
	char *kernel, *initrd, *append; /* direct kernel boot; NULL = from the disk */
	bool plain_files; /* a disk outside a cluster volume (tag ioctl: ENOTTY) is allowed: tests
			   */
};

/* All strings are owned by the config and freed here. Zero-initialised = empty. */
void vm_config_fini(struct vm_config *config);
int vm_config_copy(const struct vm_config *config, struct vm_config *ret);

/* Bounds and names; one line of error. vm_start() calls it, too. */
int vm_config_check(const struct vm_config *config, struct cl_error *err);

/*
 * The RAM that QEMU is given. QEMU before 9 loses pages in a live migration under TCG when RAM is a
 * multiple of 256 KiB (guest memory goes back in time, silently): 8 KiB are added in that case.
 */
uint64_t vm_config_ram_bytes(const struct vm_config *config);

/* JSON text, ends with a newline; malloc'd. Reading back is bounded and never asserts. */
int vm_config_print(const struct vm_config *config, char **ret_text);
int vm_config_parse(const char *text, struct vm_config *ret, struct cl_error *err);

#endif
