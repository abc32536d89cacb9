/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * /etc/clusterd/clusterd.conf: `key = value` lines, `#` comments. It is parsed and checked as a
 * whole before anything uses it; an unknown key or a bad value is an error with file and line.
 */
#ifndef CL_CLUSTERD_CONF_H
#define CL_CLUSTERD_CONF_H

#include <stdint.h>
#include <stdio.h>

#include "lib/error.h"

#define CONF_PATH "/etc/clusterd/clusterd.conf"

enum { CONF_MAX = 64 * 1024 };

struct conf {
	char node_name[64];	    /* "" = the name in corosync's node list, else the host's */
	char storage_address[64];   /* numeric; where csvd and the others' csvd meet */
	char migration_address[64]; /* numeric; "" = storage_address */
	char data_directory[200];
	char run_directory[80]; /* short: sockets live under it */
	char volume_directory[80];
	char corosync_directory[80];
	char fence_agent_directory[80]; /* where the programs fence_... are */
	char vm_bridge[16];
	char vm_user[32];    /* QEMU runs as this user; not root unless that is asked for */
	uint64_t memory_mib; /* what VMs may use here; 0 = what the machine has, less 512 MiB */
	uint64_t cpus;	     /* 0 = what the machine has */
	uint64_t log_level;  /* enum cl_log_level */
	uint64_t no_quarantine;	  /* 1: as the manager it counts no failures of nodes */
	uint64_t plain_migration; /* 1: live migrations to this node are not encrypted */
	uint64_t plain_disks;	  /* 1: disks outside a cluster shared volume are allowed (tests) */
};

void conf_defaults(struct conf *conf);

/* Defaults, then the file. The error begins with "PATH:LINE:". A missing file is -ENOENT. */
int conf_read(const char *path, struct conf *ret, struct cl_error *err);

/* The same from an open stream; path is for the messages. */
int conf_parse(FILE *f, const char *path, struct conf *ret, struct cl_error *err);

/*
 * The text of such a file with these addresses, all else as it is; malloc'd, NULL without memory. A line for the
 * migration's is added where it is to be another one than the storage's, and there was none.
 */
char *conf_readdress(const char *text, const char *storage, const char *migration);

/* As a file that would be read back to the same. */
void conf_print(const struct conf *conf, FILE *out);

/* Name of the i-th key, NULL after the last: for the test that holds the man page against it. */
const char *conf_key_name(size_t i);

#endif
