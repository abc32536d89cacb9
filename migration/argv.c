/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/argv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fnv.h"

void vm_argv_fini(struct argv_vec *argv)
{
	for (size_t i = 0; i < argv->n; i++)
		free(argv->v[i]);
	argv_vec_fini(argv);
}

__attribute__((format(printf, 2, 3))) static int add(struct argv_vec *argv, const char *fmt, ...)
{
	va_list ap;
	char *word;
	int r;

	va_start(ap, fmt);
	r = vasprintf(&word, fmt, ap);
	va_end(ap);
	if (r < 0 || argv_vec_push(argv, word) < 0)
		return -ENOMEM;
	return 0;
}

#define ADD(...)                                                                                   \
	do {                                                                                       \
		if (add(argv, __VA_ARGS__) < 0)                                                    \
			return -ENOMEM;                                                            \
	} while (0)

static int add_machine(struct argv_vec *argv, const struct vm_argv_in *in)
{
	const struct vm_config *c = in->config;

	ADD("%s", in->qemu);
	ADD("-name");
	ADD("guest=%s,debug-threads=on", c->name);
	ADD("-uuid"); /* on both sides of a migration; adoption looks for it, too */
	ADD("%s", c->uuid);
	ADD("-machine");
	ADD("%s,accel=%s,usb=off,dump-guest-core=off", c->machine, c->kvm ? "kvm" : "tcg");
	/* Without enforce a missing CPU feature is a warning and the guest starts all the same. */
	ADD("-cpu");
	ADD("%s,enforce", c->cpu ? c->cpu : "qemu64");
	ADD("-smp");
	ADD("%u", c->cpus);
	ADD("-m");
	ADD("%lluK", (unsigned long long)vm_config_ram_bytes(c) >> 10);
	ADD("-nodefaults");
	ADD("-no-user-config");
	ADD("-display");
	ADD("none");
	return 0;
}

static int add_control(struct argv_vec *argv, const struct vm_argv_in *in)
{
	/* spawn=deny: a QEMU that was broken out of cannot exec. `migrate exec:` would kill it. */
	ADD("-sandbox");
	ADD("on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	ADD("-action");
	ADD("panic=pause,watchdog=reset,shutdown=poweroff");
	ADD("-chardev");
	ADD("socket,id=qmp,fd=%d,server=on,wait=off", in->qmp_fd);
	ADD("-mon");
	ADD("chardev=qmp,mode=control");
	/* The guest's console goes into a ring: it cannot fill /run. Read by QMP ringbuf-read. */
	ADD("-chardev");
	ADD("ringbuf,id=console,size=65536");
	ADD("-serial");
	ADD("chardev:console");
	/* Never runs by itself: `cont` comes from clusterd, which asked the log. */
	ADD("-S");
	if (in->incoming) {
		ADD("-incoming");
		ADD("defer");
	}
	return 0;
}

static int add_disk(struct argv_vec *argv, const struct vm_argv_in *in, unsigned i)
{
	const struct vm_disk *disk = &in->config->disks[i];

	ADD("-add-fd");
	ADD("fd=%d,set=%u", in->disk_fds[i], i);
	ADD("-blockdev");
	ADD("driver=file,node-name=file%u,filename=/dev/fdset/%u,aio=threads,locking=on,"
	    "cache.direct=on,cache.no-flush=off,auto-read-only=off",
	    i, i);
	if (disk->format == VM_DISK_QCOW2) {
		/* Growing a file synchronously would stop QEMU's main loop: grow it ahead. */
		ADD("-blockdev");
		ADD("driver=preallocate,node-name=grow%u,file=file%u,cache.direct=on", i, i);
		ADD("-blockdev");
		ADD("driver=qcow2,node-name=disk%u,file=grow%u,cache.direct=on", i, i);
	} else {
		ADD("-blockdev");
		ADD("driver=raw,node-name=disk%u,file=file%u,cache.direct=on", i, i);
	}
	/* The guest never sees an I/O error: it is stopped, and goes on when the volume does. */
	ADD("-device");
	ADD("virtio-blk-pci,id=vd%u,drive=disk%u,write-cache=on,werror=stop,rerror=stop", i, i);
	return 0;
}

/* Stable over nodes and restarts: from the uuid and the card's number. */
static void nic_mac(const struct vm_config *c, unsigned i, char mac[18])
{
	uint32_t h = cl_fnv32(CL_FNV32_START, c->uuid, strlen(c->uuid));
	uint8_t number = (uint8_t)i;

	if (c->nics[i].mac[0]) {
		strcpy(mac, c->nics[i].mac);
		return;
	}
	h = cl_fnv32(h, &number, 1);
	snprintf(mac, 18, "52:54:%02x:%02x:%02x:%02x", h >> 24, h >> 16 & 255, h >> 8 & 255,
		 h & 255);
}

static int add_nic(struct argv_vec *argv, const struct vm_argv_in *in, unsigned i)
{
	char mac[18];

	nic_mac(in->config, i, mac);
	ADD("-netdev");
	ADD("tap,id=net%u,fd=%d,vhost=off", i, in->tap_fds[i]);
	ADD("-device");
	ADD("virtio-net-pci,id=nic%u,netdev=net%u,mac=%s,romfile=", i, i, mac);
	return 0;
}

static int add_boot(struct argv_vec *argv, const struct vm_config *c)
{
	if (c->kernel) {
		ADD("-kernel");
		ADD("%s", c->kernel);
	}
	if (c->initrd) {
		ADD("-initrd");
		ADD("%s", c->initrd);
	}
	if (c->append) {
		ADD("-append");
		ADD("%s", c->append);
	}
	return 0;
}

int vm_argv(const struct vm_argv_in *in, struct argv_vec *ret)
{
	int r = add_machine(ret, in);

	if (r == 0)
		r = add_control(ret, in);
	for (unsigned i = 0; i < in->config->n_disks && r == 0; i++)
		r = add_disk(ret, in, i);
	for (unsigned i = 0; i < in->config->n_nics && r == 0; i++)
		r = add_nic(ret, in, i);
	if (r == 0)
		r = add_boot(ret, in->config);
	return r < 0 ? r : argv_vec_push(ret, NULL);
}
