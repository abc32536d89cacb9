/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mount answers, as a transcript: every call with its result, every file with its attributes, every
 * time stamp that moved. Nothing is expected here; two transcripts are compared, and that of a kernel's ext4
 * is the reference (ext4.txt). So nothing may be printed that differs from run to run: no inode numbers, no
 * times, no descriptors.
 */
#ifndef CL_TESTS_POSIX_H
#define CL_TESTS_POSIX_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Users that own nothing else, and their groups. */
enum { ALICE = 65101, BOB = 65102, CAROL = 65103, STAFF = 65201, OTHERS = 65202 };

/* "call(...) = 0" or "= ENOENT"; counts as they are. Returns r. */
long report(const char *what, long r);
#define T(call) report(#call, (long)(call))
/* For calls that return a descriptor: "ok". */
int report_fd(const char *what, int fd);
#define FD(call) report_fd(#call, call)
/* A call that only prepares: prints nothing, ends the program when it fails. */
void need(const char *what, long r);
#define NEED(call) need(#call, (long)(call))

__attribute__((format(printf, 1, 2))) void say(const char *fmt, ...);

/* Type, mode, links, owner, size, device. Not the size of directories. */
void show(const char *name);
void show_fd(const char *what, int fd);

/* The call, and which of mtime and ctime of these names moved: "f: m+ c+". */
#define WATCH(call, ...)                                                                           \
	do {                                                                                       \
		const char *names_[] = { __VA_ARGS__, NULL };                                      \
		watch_begin(names_);                                                               \
		report(#call, (long)(call));                                                       \
		watch_end(names_);                                                                 \
	} while (0)
void watch_begin(const char *const *names);
void watch_end(const char *const *names);

/* Effective identity with one further group (0 = none); root() goes back. */
void as(uid_t uid, gid_t gid, gid_t more);
void root(void);

/* A file with this content, mode and owner. */
void put(const char *name, const char *text, mode_t mode, uid_t uid, gid_t gid);
void put_dir(const char *name, mode_t mode, uid_t uid, gid_t gid);
/* n times c. Static: four at a time. */
char *many(char c, size_t n);

/* Each runs in an empty directory of its own, as root, with umask 022. */
void cases_make(void);
void cases_path(void);
void cases_access(void);
void cases_sticky(void);
void cases_setid(void);
void cases_times(void);
void cases_rename(void);
void cases_open(void);
void cases_unlinked(void);
void cases_size(void);
void cases_utimes(void);
void cases_lock(void);
void cases_xattr(void);
void cases_acl(void);
void cases_list(void);

#endif
