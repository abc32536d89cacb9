/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/vm_glue.h"

#include <string.h>

_Static_assert(VM_SPEC_DISKS_MAX <= VM_DISKS_MAX, "every spec's disks fit");
_Static_assert(VM_SPEC_NICS_MAX <= VM_NICS_MAX, "every spec's network cards fit");

/* Borrows every string of the spec: vm_config_copy() makes them the config's own. */
static struct vm_config borrow(const struct vm_spec *spec, char *name)
{
	struct vm_config c = { .name = name,
			       .machine = spec->machine,
			       .cpu = spec->cpu,
			       .kvm = spec->kvm,
			       .cpus = spec->cpus,
			       .memory_bytes = spec->memory_bytes,
			       .kernel = spec->kernel,
			       .initrd = spec->initrd,
			       .append = spec->append,
			       .n_disks = spec->n_disks,
			       .n_nics = spec->n_nics };

	memcpy(c.uuid, spec->uuid, sizeof(c.uuid));
	for (unsigned i = 0; i < spec->n_disks; i++)
		c.disks[i] = (struct vm_disk){ spec->disks[i].path,
					       spec->disks[i].qcow2 ? VM_DISK_QCOW2 : VM_DISK_RAW };
	return c;
}

static void borrow_nic(const struct vm_spec_nic *nic, struct vm_nic *ret)
{
	memcpy(ret->mac, nic->mac, sizeof(ret->mac));
	/* `vm` means: whatever bridge this node's configuration names for VMs. */
	ret->bridge = strcmp(nic->bridge, "vm") == 0 ? NULL : (char *)nic->bridge;
}

int vm_glue_config(const struct vm_spec *spec, const char *name, uint64_t generation,
		   bool plain_files, struct vm_config *ret, struct cl_error *err)
{
	struct vm_config c = borrow(spec, (char *)name);
	int r;

	for (unsigned i = 0; i < spec->n_nics; i++)
		borrow_nic(&spec->nics[i], &c.nics[i]);
	c.generation = generation;
	c.plain_files = plain_files;
	r = vm_config_check(&c, err);
	if (r < 0)
		return cl_error_wrap(err, r, "vm '%s'", name);
	return vm_config_copy(&c, ret) < 0 ? cl_error_errno(err, -ENOMEM, "vm '%s'", name) : 0;
}
