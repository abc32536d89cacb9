/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "migration/cgroup.h"
#include "migration/vm_private.h"

void vm_host_free(struct vm_host *host)
{
	if (!host)
		return;
	free(host->run_dir);
	free(host->launcher);
	free(host->qemu);
	free(host->bridge);
	free(host->cgroup);
	free(host->state_helper);
	free(host);
}

static char *own_cgroup(const char *configured)
{
	_cleanup_free_ char *own = NULL;
	char *path = NULL;

	if (configured)
		return strdup(configured);
	if (cgroup_find_own(&own) < 0)
		return NULL;
	return asprintf(&path, "%s/vm", own) < 0 ? NULL : path;
}

int vm_host_new(struct cl_loop *loop, const struct vm_host_config *config, struct vm_host **ret,
		struct cl_error *err)
{
	_cleanup_(vm_host_freep) struct vm_host *host = calloc(1, sizeof(*host));

	if (!host)
		return cl_error_errno(err, -ENOMEM, "vm host");
	host->loop = loop;
	host->uid = config->uid;
	host->gid = config->gid;
	host->run_dir = strdup(config->run_dir);
	host->launcher =
		strdup(config->launcher ? config->launcher : PKGLIBEXECDIR "/clusterd-vm-launch");
	host->state_helper = strdup(config->state_helper ? config->state_helper
							 : PKGLIBEXECDIR "/clusterd-vm-state");
	host->qemu = strdup(config->qemu ? config->qemu : "/usr/bin/qemu-system-x86_64");
	host->bridge = strdup(config->bridge ? config->bridge : "vm");
	host->cgroup = own_cgroup(config->cgroup);
	if (!host->run_dir || !host->launcher || !host->state_helper || !host->qemu ||
	    !host->bridge)
		return cl_error_errno(err, -ENOMEM, "vm host");
	if (mkdir(host->run_dir, 0711) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", host->run_dir);
	if (!host->cgroup || cgroup_make(host->cgroup) < 0)
		log_debug("no cgroup version 2 here: a vm is killed by its process alone");
	*ret = cl_steal(host);
	return 0;
}

const char *vm_host_cgroup(const struct vm_host *host)
{
	return host->cgroup;
}

static void close_dir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int vm_host_scan(struct vm_host *host, vm_scan_fn fn, void *user, struct cl_error *err)
{
	_cleanup_(close_dir) DIR *dir = opendir(host->run_dir);
	struct dirent *e;

	if (!dir)
		return cl_error_errno(err, -errno, "%s", host->run_dir);
	while ((e = readdir(dir))) {
		_cleanup_free_ char *spec = NULL;

		if (e->d_name[0] == '.')
			continue;
		if (asprintf(&spec, "%s/%s/spec.json", host->run_dir, e->d_name) < 0)
			return cl_error_errno(err, -ENOMEM, "%s", host->run_dir);
		if (access(spec, F_OK) == 0)
			fn(user, e->d_name);
	}
	return 0;
}
