/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cgroup (version 2) per VM, so that everything it started can be killed at once and nothing can
 * escape (Linux Documentation/admin-guide/cgroup-v2.rst: cgroup.kill needs 5.14). A machine without
 * one, or where it may not be written, is tolerated: the process alone is killed then.
 */
#ifndef CL_MIGRATION_CGROUP_H
#define CL_MIGRATION_CGROUP_H

#include <stdbool.h>

/*
 * The folder of the caller's own cgroup in the mounted version 2 hierarchy, from the texts of
 * /proc/self/mountinfo and /proc/self/cgroup. 0 and a malloc'd path; -ENOENT when there is none.
 */
int cgroup_find(const char *mountinfo, const char *self_cgroup, char **ret_path);
int cgroup_find_own(char **ret_path);

/* Make the folder and the one above it. */
int cgroup_make(const char *path);
/* Move the caller into it. */
int cgroup_enter(const char *path);
/* SIGKILL to all in it and below. */
int cgroup_kill(const char *path);
/* Remove the empty folder. -EBUSY while somebody is in it. */
int cgroup_remove(const char *path);

#endif
