/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/mount.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/cleanup.h"

bool csv_name_valid(const char *name)
{
	if (!isalnum((unsigned char)*name) || strlen(name) > 63)
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-", *name))
			return false;
	return true;
}

static bool is_mounted(const char *path)
{
	FILE *f = setmntent("/proc/self/mounts", "r");
	struct mntent *m;
	bool found = false;

	if (!f)
		return false;
	while (!found && (m = getmntent(f)))
		found = !strcmp(m->mnt_dir, path) && !strncmp(m->mnt_type, "fuse", 4);
	(void)endmntent(f);
	return found;
}

static int make_dir(const char *path)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int csv_mount(const char *root, const char *name, int *ret_fd, struct cl_error *err)
{
	char path[PATH_MAX], options[128];
	_cleanup_close_ int fd = -1;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	while (is_mounted(path))
		if (umount2(path, MNT_DETACH) < 0)
			return cl_error_errno(err, -errno, "removing what is mounted on %s", path);
	r = make_dir(root);
	if (r >= 0)
		r = make_dir(path);
	if (r < 0)
		return cl_error_errno(err, r, "%s", path);
	fd = open("/dev/fuse", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return cl_error_errno(err, -errno, "/dev/fuse");
	(void)snprintf(options, sizeof(options),
		       "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		       fd);
	if (mount(name, path, "fuse.csv", MS_NOSUID | MS_NODEV, options) < 0)
		return cl_error_errno(err, -errno, "mounting %s", path);
	*ret_fd = cl_steal_fd(&fd);
	return 0;
}

int csv_unmount(const char *root, const char *name)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return umount2(path, MNT_DETACH) < 0 ? -errno : 0;
}

bool csv_kernel_can_resend(void)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	if (uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 6 || (major == 6 && minor >= 9);
}
