/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/disk_open.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/csv_ioctl.h"

_Static_assert(VM_NAME_MAX < CSV_TAG_NAME_MAX, "every VM's name fits into a tag");

static int tag(int fd, const struct vm_config *config, const char *path, struct cl_error *err)
{
	struct csv_tag t = { .generation = config->generation };

	strncpy(t.resource, config->name, sizeof(t.resource) - 1);
	if (ioctl(fd, CSV_IOC_TAG, &t) == 0)
		return 0;
	if (errno == ESTALE)
		return cl_error_set(err, -CL_EMOVED, "%s: generation %llu is not ours any more",
				    path, (unsigned long long)config->generation);
	if (errno != ENOTTY && errno != ENOSYS && errno != EOPNOTSUPP)
		return cl_error_errno(err, -errno, "%s: tag", path);
	if (config->plain_files)
		return 0;
	/* Without the tag nothing keeps a stale owner from writing. */
	cl_error_set(err, -ENOTTY, "%s is not on a cluster volume", path);
	return cl_error_hint(err, "put it below /ClusterStorage/<volume>");
}

int disk_open(const struct vm_config *config, unsigned i, struct cl_error *err)
{
	const char *path = config->disks[i].path;
	_cleanup_close_ int fd = open(path, O_RDWR | O_DIRECT | O_NOCTTY);
	struct stat st;
	int r;

	if (fd < 0)
		return cl_error_errno(err, -errno, "disk %s", path);
	if (fstat(fd, &st) < 0)
		return cl_error_errno(err, -errno, "disk %s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return cl_error_set(err, -EINVAL, "disk %s: neither a file nor a block device",
				    path);
	r = tag(fd, config, path, err);
	return r < 0 ? r : cl_steal_fd(&fd);
}
