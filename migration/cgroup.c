/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/file.h"

/* One line of mountinfo: "id parent maj:min ROOT MOUNTPOINT options [tags] - TYPE source super". */
static bool cgroup2_line(char *line, char **ret_root, char **ret_mount)
{
	char *sep = strstr(line, " - "), *save = NULL, *word;
	char *fields[5];

	if (!sep || strncmp(sep + 3, "cgroup2 ", 8) != 0)
		return false;
	word = strtok_r(line, " ", &save);
	for (int i = 0; i < 5; i++, word = strtok_r(NULL, " ", &save)) {
		if (!word)
			return false;
		fields[i] = word;
	}
	*ret_root = fields[3];
	*ret_mount = fields[4];
	return true;
}

/* "0::/path" is version 2's line. */
static char *own_path(const char *self_cgroup)
{
	for (const char *p = self_cgroup; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (strncmp(p, "0::/", 4) == 0)
			return strndup(p + 3, strcspn(p + 3, "\n"));
	return NULL;
}

/* What is mounted may be a part of the hierarchy (a container): ROOT is where that part begins. */
static int join(const char *mount, const char *root, const char *own, char **ret)
{
	size_t n = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(own, root, n) != 0 || (own[n] != '/' && own[n] != '\0'))
		return -ENOENT; /* we are outside of what we can see */
	if (strstr(own, "/../") || strcmp(own + n, "/..") == 0)
		return -ENOENT;
	own += n;
	if (strcmp(own, "/") == 0)
		own = "";
	return asprintf(ret, "%s%s", mount, own) < 0 ? -ENOMEM : 0;
}

int cgroup_find(const char *mountinfo, const char *self_cgroup, char **ret_path)
{
	_cleanup_free_ char *text = strdup(mountinfo), *own = own_path(self_cgroup);
	char *save = NULL, *root, *mount;

	if (!text)
		return -ENOMEM;
	if (!own)
		return -ENOENT;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (cgroup2_line(line, &root, &mount) && join(mount, root, own, ret_path) == 0)
			return 0;
	return -ENOENT;
}

int cgroup_find_own(char **ret_path)
{
	_cleanup_free_ char *mounts = NULL, *self = NULL;
	int r = cl_file_read("/proc/self/mountinfo", 4 << 20, &mounts, NULL, NULL);

	if (r == 0)
		r = cl_file_read("/proc/self/cgroup", 1 << 16, &self, NULL, NULL);
	return r < 0 ? r : cgroup_find(mounts, self, ret_path);
}

static int make_one(const char *path)
{
	return mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int cgroup_make(const char *path)
{
	_cleanup_free_ char *parent = strdup(path);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	int r;

	if (!slash)
		return parent ? -EINVAL : -ENOMEM;
	*slash = '\0';
	r = make_one(parent);
	return r < 0 ? r : make_one(path);
}

static int write_to(const char *path, const char *file, const char *text)
{
	_cleanup_free_ char *full = NULL;
	_cleanup_close_ int fd = -1;

	if (asprintf(&full, "%s/%s", path, file) < 0)
		return -ENOMEM;
	fd = open(full, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int cgroup_enter(const char *path)
{
	return write_to(path, "cgroup.procs", "0");
}

int cgroup_kill(const char *path)
{
	/* A frozen one would only die at the thaw. */
	(void)write_to(path, "cgroup.freeze", "0");
	return write_to(path, "cgroup.kill", "1");
}

int cgroup_remove(const char *path)
{
	return rmdir(path) < 0 && errno != ENOENT ? -errno : 0;
}
