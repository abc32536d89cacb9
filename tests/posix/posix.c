/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 *     posix DIR [CASES...]     the transcript of all cases, or of those named, run in DIR; as root
 */
#include "config.h"

#include "tests/posix/posix.h"

#include <ftw.h>
#include <grp.h>
#include <stdarg.h>
#include <sys/sysmacros.h>
#include <time.h>

#define WATCHED 8
#define NAP_NS 12000000 /* more than a tick: a kernel's file times move by ticks */

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

long report(const char *what, long r)
{
	if (r < 0)
		say("%s = %s", what, strerrorname_np(errno));
	else
		say("%s = %ld", what, r);
	return r;
}

int report_fd(const char *what, int fd)
{
	say("%s = %s", what, fd < 0 ? strerrorname_np(errno) : "ok");
	return fd;
}

void need(const char *what, long r)
{
	if (r >= 0)
		return;
	(void)fprintf(stderr, "posix: %s: %s\n", what, strerror(errno));
	(void)fflush(stdout);
	exit(2);
}

static char type_of(mode_t mode)
{
	return S_ISREG(mode)	? 'f'
	       : S_ISDIR(mode)	? 'd'
	       : S_ISLNK(mode)	? 'l'
	       : S_ISFIFO(mode) ? 'p'
	       : S_ISSOCK(mode) ? 's'
	       : S_ISCHR(mode)	? 'c'
				: 'b';
}

static void show_stat(const char *name, const struct stat *st)
{
	char more[64] = "";

	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		(void)snprintf(more, sizeof(more), " dev %u:%u", major(st->st_rdev),
			       minor(st->st_rdev));
	else if (!S_ISDIR(st->st_mode))
		(void)snprintf(more, sizeof(more), " size %lld", (long long)st->st_size);
	say("  %s: %c %04o links %u owner %u:%u%s", name, type_of(st->st_mode), st->st_mode & 07777,
	    (unsigned)st->st_nlink, st->st_uid, st->st_gid, more);
}

void show(const char *name)
{
	struct stat st;

	if (lstat(name, &st) < 0)
		say("  %s: %s", name, strerrorname_np(errno));
	else
		show_stat(name, &st);
}

void show_fd(const char *what, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		say("  %s: %s", what, strerrorname_np(errno));
	else
		show_stat(what, &st);
}

/* ---- times --------------------------------------------------------------------------------- */

static struct stat before[WATCHED];
static int there[WATCHED];

void watch_begin(const char *const *names)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };

	for (int i = 0; i < WATCHED && names[i]; i++)
		there[i] = lstat(names[i], &before[i]) == 0;
	(void)nanosleep(&nap, NULL);
}

static char moved(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec ? '-' : '+';
}

void watch_end(const char *const *names)
{
	for (int i = 0; i < WATCHED && names[i]; i++) {
		struct stat st;

		if (!there[i] || lstat(names[i], &st) < 0)
			continue;
		say("  %s: m%c c%c", names[i], moved(before[i].st_mtim, st.st_mtim),
		    moved(before[i].st_ctim, st.st_ctim));
	}
}

/* ---- who ----------------------------------------------------------------------------------- */

void root(void)
{
	NEED(seteuid(0));
	NEED(setegid(0));
	NEED(setgroups(0, NULL));
	say("root:");
}

void as(uid_t uid, gid_t gid, gid_t more)
{
	NEED(seteuid(0));
	NEED(setgroups(more ? 1 : 0, &more));
	NEED(setegid(gid));
	NEED(seteuid(uid));
	say("%u:%u,%u:", uid, gid, more);
}

/* ---- files --------------------------------------------------------------------------------- */

void put(const char *name, const char *text, mode_t mode, uid_t uid, gid_t gid)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	size_t len = strlen(text);

	need(name, fd);
	need(name, write(fd, text, len) == (ssize_t)len ? 0 : -1);
	NEED(fchown(fd, uid, gid));
	NEED(fchmod(fd, mode));
	NEED(close(fd));
}

void put_dir(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
	need(name, mkdir(name, 0700));
	need(name, chown(name, uid, gid));
	need(name, chmod(name, mode));
}

char *many(char c, size_t n)
{
	static char room[4][8192];
	static int turn;
	char *s = room[turn++ & 3];

	memset(s, c, n);
	s[n] = 0;
	return s;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{ "make", cases_make },	    { "path", cases_path },	{ "access", cases_access },
	{ "sticky", cases_sticky }, { "setid", cases_setid },	{ "times", cases_times },
	{ "rename", cases_rename }, { "open", cases_open },	{ "unlinked", cases_unlinked },
	{ "size", cases_size },	    { "utimes", cases_utimes }, { "lock", cases_lock },
	{ "xattr", cases_xattr },   { "acl", cases_acl },	{ "list", cases_list },
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void run(size_t i, const char *dir)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/posix-%s", dir, all[i].name);
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	need(path, mkdir(path, 0755));
	need(path, chdir(path));
	(void)umask(022);
	say("==== %s", all[i].name);
	all[i].run();
	NEED(seteuid(0));
	NEED(chdir("/"));
	need(path, nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS));
	(void)fflush(stdout);
}

static int wanted(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], name))
			return 1;
	return argc == 2;
}

int main(int argc, char **argv)
{
	if (argc < 2 || geteuid() != 0 || argv[1][0] != '/') {
		(void)fprintf(stderr, "usage: posix DIR [CASES...] (as root, absolute)\n");
		return 2;
	}
	NEED(setegid(0));
	NEED(setgroups(0, NULL));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (wanted(all[i].name, argc, argv))
			run(i, argv[1]);
	return 0;
}
