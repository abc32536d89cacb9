/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd-vm-launch: becomes QEMU. Started by clusterd for one VM (migration/launch.h): writes its
 * pid, enters the VM's cgroup, opens and tags the disks, makes the tap devices, gives up its
 * privileges and executes QEMU in its own place, so that pid, start time and lock stay the same.
 * What goes wrong is one line on the status descriptor.
 */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "migration/argv.h"
#include "migration/cgroup.h"
#include "migration/disk_open.h"
#include "migration/proc.h"
#include "migration/state_file.h"
#include "migration/tap.h"

struct options {
	const char *dir, *uuid, *qemu, *bridge, *cgroup;
	int status_fd, qmp_fd, incoming;
	uid_t uid;
	gid_t gid;
};

enum {
	OPT_DIR = 1,
	OPT_UUID,
	OPT_QEMU,
	OPT_BRIDGE,
	OPT_CGROUP,
	OPT_STATUS,
	OPT_QMP,
	OPT_UID,
	OPT_GID
};

static int parse_options(int argc, char **argv, struct options *o)
{
	const struct option table[] = {
		{ "dir", required_argument, NULL, OPT_DIR },
		{ "uuid", required_argument, NULL, OPT_UUID },
		{ "qemu", required_argument, NULL, OPT_QEMU },
		{ "bridge", required_argument, NULL, OPT_BRIDGE },
		{ "cgroup", required_argument, NULL, OPT_CGROUP },
		{ "status-fd", required_argument, NULL, OPT_STATUS },
		{ "qmp-fd", required_argument, NULL, OPT_QMP },
		{ "uid", required_argument, NULL, OPT_UID },
		{ "gid", required_argument, NULL, OPT_GID },
		{ "incoming", no_argument, &o->incoming, 1 },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", table, NULL)) != -1)
		switch (c) {
		case 0:
			break;
		case OPT_DIR:
			o->dir = optarg;
			break;
		case OPT_UUID:
			o->uuid = optarg;
			break;
		case OPT_QEMU:
			o->qemu = optarg;
			break;
		case OPT_BRIDGE:
			o->bridge = optarg;
			break;
		case OPT_CGROUP:
			o->cgroup = optarg;
			break;
		case OPT_STATUS:
			o->status_fd = atoi(optarg);
			break;
		case OPT_QMP:
			o->qmp_fd = atoi(optarg);
			break;
		case OPT_UID:
			o->uid = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case OPT_GID:
			o->gid = (gid_t)strtoul(optarg, NULL, 10);
			break;
		default:
			return -EINVAL;
		}
	return o->dir && o->uuid && o->qemu && o->bridge && o->status_fd > 2 && o->qmp_fd > 2
		       ? 0
		       : -EINVAL;
}

static int write_pid(const struct options *o, struct cl_error *err)
{
	char path[512], text[64];
	uint64_t start;
	int r = proc_start_time(getpid(), &start);

	if (r < 0)
		return cl_error_errno(err, r, "/proc/self/stat");
	snprintf(path, sizeof(path), "%s/pid", o->dir);
	snprintf(text, sizeof(text), "%d %" PRIu64 "\n", (int)getpid(), start);
	return cl_file_write(path, text, 0644, err);
}

static int enter_cgroup(const struct options *o, struct cl_error *err)
{
	int r = o->cgroup ? cgroup_enter(o->cgroup) : 0;

	return r < 0 ? cl_error_errno(err, r, "cgroup %s", o->cgroup) : 0;
}

static int read_config(const struct options *o, struct vm_config *ret, struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	char path[512];
	int r;

	snprintf(path, sizeof(path), "%s/spec.json", o->dir);
	r = cl_file_read(path, 1 << 20, &text, NULL, err);
	if (r == 0)
		r = vm_config_parse(text, ret, err);
	return r < 0 ? cl_error_wrap(err, r, "spec.json") : 0;
}

static int open_devices(struct vm_argv_in *in, const struct options *o, struct cl_error *err)
{
	const struct vm_config *c = in->config;

	for (unsigned i = 0; i < c->n_disks; i++) {
		in->disk_fds[i] = disk_open(c, i, err);
		if (in->disk_fds[i] < 0)
			return in->disk_fds[i];
	}
	for (unsigned i = 0; i < c->n_nics; i++) {
		in->tap_fds[i] = tap_open(c->nics[i].bridge ? c->nics[i].bridge : o->bridge, err);
		if (in->tap_fds[i] < 0)
			return in->tap_fds[i];
	}
	return 0;
}

static int record_argv(const struct options *o, const struct argv_vec *argv, struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	char path[512];
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return cl_error_errno(err, -errno, "argv");
	for (size_t i = 0; argv->v[i]; i++)
		fprintf(f, "%s\n", argv->v[i]);
	if (fclose(f) != 0)
		return cl_error_errno(err, -errno, "argv");
	snprintf(path, sizeof(path), "%s/argv", o->dir);
	return cl_file_write(path, text, 0600, err);
}

/* QEMU opens /dev/kvm itself, and distributions give it to a group: that one, and no other. */
static size_t find_groups(const struct vm_config *config, gid_t ret[1])
{
	struct stat st;

	if (!config->kvm || stat("/dev/kvm", &st) < 0 || st.st_gid == 0)
		return 0;
	ret[0] = st.st_gid;
	return 1;
}

static int drop_privileges(const struct options *o, const struct vm_config *config,
			   struct cl_error *err)
{
	gid_t groups[1];
	size_t n = find_groups(config, groups);

	if (o->uid && (setgroups(n, groups) < 0 || setresgid(o->gid, o->gid, o->gid) < 0 ||
		       setresuid(o->uid, o->uid, o->uid) < 0))
		return cl_error_errno(err, -errno, "cannot become user %u", (unsigned)o->uid);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return cl_error_errno(err, -errno, "no_new_privs");
	return 0;
}

/* Does not return on success. */
static int run(const struct options *o, struct cl_error *err)
{
	struct vm_config config = { 0 };
	struct vm_argv_in in = {
		.config = &config, .qemu = o->qemu, .incoming = o->incoming, .qmp_fd = o->qmp_fd
	};
	struct argv_vec argv = { 0 };
	int r = write_pid(o, err);

	if (r == 0)
		r = enter_cgroup(o, err);
	if (r == 0)
		r = read_config(o, &config, err);
	/* It starts from its disks, and everything that was saved is void. */
	if (r == 0 && !o->incoming)
		state_sweep(&config);
	if (r == 0)
		r = open_devices(&in, o, err);
	if (r == 0 && (r = vm_argv(&in, &argv)) < 0)
		cl_error_errno(err, r, "command line");
	if (r == 0)
		r = record_argv(o, &argv, err);
	if (r == 0)
		r = drop_privileges(o, &config, err);
	if (r < 0)
		return r;
	(void)execv(o->qemu, argv.v);
	return cl_error_errno(err, -errno, "%s", o->qemu);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct cl_error err = CL_ERROR_INIT;

	if (parse_options(argc, argv, &o) < 0) {
		fprintf(stderr, "clusterd-vm-launch is started by clusterd, not by hand\n");
		return 2;
	}
	(void)fcntl(o.status_fd, F_SETFD, FD_CLOEXEC);
	run(&o, &err);
	dprintf(o.status_fd, "%s\n", err.msg);
	return 1;
}
