/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which times move, and which can be set. */
#include "config.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "tests/posix/posix.h"

static long opened(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	return fd < 0 ? fd : close(fd);
}

static void made(void)
{
	WATCH(opened("f", O_CREAT | O_WRONLY), ".");
	WATCH(opened("f", O_CREAT | O_WRONLY), ".", "f");
	WATCH(opened("f", O_CREAT | O_EXCL | O_WRONLY), ".", "f");
	WATCH(mkdir("d", 0755), ".");
	WATCH(mkdir("d", 0755), ".", "d");
	WATCH(mkfifo("p", 0644), ".");
	WATCH(symlink("f", "l"), ".");
	WATCH(symlink("f", "l"), ".", "l");
	WATCH(mknod("n", S_IFCHR | 0600, makedev(1, 3)), ".");
	WATCH(link("f", "f2"), ".", "f");
	WATCH(link("f", "f2"), ".", "f");
	WATCH(mkdir("d/x", 0755), ".", "d");
	WATCH(rmdir("d/x"), ".", "d");
	WATCH(rmdir("missing"), ".");
	WATCH(unlink("missing"), ".");
	WATCH(unlink("f2"), ".", "f");
	WATCH(unlink("d"), ".", "d");
	WATCH(rmdir("f"), ".", "f");
}

static void renamed(void)
{
	put_dir("e", 0755, 0, 0);
	WATCH(rename("f", "g"), ".", "g");
	WATCH(rename("g", "d/g"), ".", "d", "d/g");
	WATCH(rename("d/g", "f"), ".", "d", "f");
	WATCH(rename("missing", "x"), ".");
	WATCH(rename("f", "f"), ".", "f");
	NEED(link("f", "same"));
	WATCH(rename("f", "same"), ".", "f", "same");
	put("g", "", 0644, 0, 0);
	NEED(link("g", "g2"));
	WATCH(rename("same", "g"), ".", "g", "g2", "f");
	WATCH(rename("d", "e"), ".", "e");
	WATCH(rename("e", "d"), ".", "d");
	put_dir("up", 0755, 0, 0);
	WATCH(rename("d", "up/d"), ".", "up", "up/d");
	WATCH(rename("up", "up/d/x"), ".", "up", "up/d");
	WATCH(rename("up/d", "d"), ".", "up", "d");
	WATCH(renameat2(AT_FDCWD, "f", AT_FDCWD, "up", RENAME_EXCHANGE), ".", "f", "up");
	WATCH(renameat2(AT_FDCWD, "f", AT_FDCWD, "up", RENAME_EXCHANGE), ".", "f", "up");
	WATCH(renameat2(AT_FDCWD, "f", AT_FDCWD, "g", RENAME_NOREPLACE), ".", "f", "g");
	WATCH(renameat2(AT_FDCWD, "f", AT_FDCWD, "up/g", RENAME_NOREPLACE), ".", "f", "up");
	WATCH(rename("up/g", "f"), ".", "f", "up");
}

static void changed(void)
{
	WATCH(chmod("f", 0600), ".", "f");
	WATCH(chmod("f", 0600), "f");
	WATCH(chmod("d", 0700), "d");
	WATCH(chown("f", ALICE, STAFF), "f");
	WATCH(chown("f", ALICE, STAFF), "f");
	WATCH(chown("f", -1, -1), "f");
	WATCH(lchown("l", ALICE, STAFF), "l", "f");
	WATCH(lchown("l", -1, -1), "l");
	WATCH(chown("d", -1, -1), "d");
	WATCH(setxattr("f", "user.a", "1", 1, 0), "f");
	WATCH(setxattr("f", "user.a", "1", 1, 0), "f");
	WATCH(setxattr("f", "user.a", "1", 1, XATTR_CREATE), "f");
	WATCH(removexattr("f", "user.a"), "f");
	WATCH(removexattr("f", "user.a"), "f");
	NEED(chown("f", 0, 0));
	as(ALICE, STAFF, 0);
	WATCH(chmod("f", 0644), "f");
	WATCH(chown("f", ALICE, STAFF), "f");
	WATCH(truncate("f", 1), "f");
	WATCH(unlink("f"), ".", "f");
	WATCH(utimensat(AT_FDCWD, "f", NULL, 0), "f");
	root();
}

/* An old mtime, so that also a file system that moves it only once a second moves it. */
static void old(const char *name)
{
	const struct timespec t[2] = { { 1000, 0 }, { 1000, 0 } };

	need(name, utimensat(AT_FDCWD, name, t, 0));
}

static long put_bytes(const char *name, int flags, size_t n)
{
	int fd = open(name, O_WRONLY | flags);
	long r;

	if (fd < 0)
		return -1;
	r = write(fd, "abcdefgh", n);
	(void)close(fd);
	return r;
}

static long cut(const char *name, off_t size)
{
	int fd = open(name, O_WRONLY);
	long r = fd < 0 ? -1 : ftruncate(fd, size);

	(void)close(fd);
	return r;
}

static long reserve(const char *name, int mode, off_t off, off_t len)
{
	int fd = open(name, O_WRONLY);
	long r = fd < 0 ? -1 : fallocate(fd, mode, off, len);

	(void)close(fd);
	return r;
}

static void data(void)
{
	static const char *const n = "data";

	put(n, "", 0644, 0, 0);
	old(n);
	WATCH(put_bytes(n, 0, 4), n);
	old(n);
	WATCH(put_bytes(n, 0, 4), n);
	old(n);
	WATCH(put_bytes(n, O_APPEND, 4), n);
	old(n);
	WATCH(put_bytes(n, 0, 0), n);
	WATCH(truncate(n, 2), n);
	WATCH(truncate(n, 200), n);
	WATCH(cut(n, 200), n);
	WATCH(cut(n, 3), n);
	WATCH(cut(n, 3000), n);
	WATCH(truncate(n, -1), n);
	WATCH(opened(n, O_WRONLY | O_TRUNC), n);
	WATCH(opened(n, O_WRONLY | O_TRUNC), n);
	WATCH(truncate("d", 0), "d");
	WATCH(reserve(n, 0, 0, 8192), n);
	WATCH(reserve(n, FALLOC_FL_KEEP_SIZE, 8192, 8192), n);
	WATCH(reserve(n, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), n);
	WATCH(reserve(n, FALLOC_FL_ZERO_RANGE, 0, 4096), n);
	WATCH(reserve(n, FALLOC_FL_PUNCH_HOLE, 0, 4096), n);
}

void cases_times(void)
{
	NEED(chmod(".", 0755));
	made();
	renamed();
	changed();
	data();
}

/* ---- setting ------------------------------------------------------------------------------- */

static void show_times(const char *name)
{
	struct stat st;

	NEED(lstat(name, &st));
	say("  a %lld.%09ld m %lld.%09ld", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static long set(const char *name, time_t as_, long an, time_t ms, long mn)
{
	const struct timespec t[2] = { { as_, an }, { ms, mn } };

	return utimensat(AT_FDCWD, name, t, AT_SYMLINK_NOFOLLOW);
}

static void ranges(void)
{
	T(set("f", 1, 2, 3, 4));
	show_times("f");
	T(set("f", 1900000000, 999999999, 1950000000, 123456789));
	show_times("f");
	T(set("f", -1, 500000000, -2147483648LL, 1));
	show_times("f");
	T(set("f", 2147483647, 1, 2147483648LL, 1));
	show_times("f");
	T(set("f", 4294967295LL, 1, 4294967296LL, 999999999));
	show_times("f");
	T(set("f", 9223372036LL, 1, 9999999999LL, 5));
	show_times("f");
	T(set("f", 15032385535LL, 999999999, 15032385536LL, 5));
	show_times("f");
	T(set("f", -2147483649LL, 7, -99999999999LL, 5));
	show_times("f");
	T(set("f", 0, 1000000000, 0, 0));
	T(set("f", 0, -1, 0, 0));
	show_times("f");
}

static void now_and_omit(void)
{
	NEED(set("f", 10, 20, 30, 40));
	T(set("f", 0, UTIME_OMIT, 50, 60));
	show_times("f");
	T(set("f", 70, 80, 0, UTIME_OMIT));
	show_times("f");
	WATCH(set("f", 0, UTIME_OMIT, 0, UTIME_OMIT), "f");
	show_times("f");
	WATCH(set("f", 0, UTIME_OMIT, 0, UTIME_NOW), "f");
	NEED(set("f", 10, 20, 30, 40));
	WATCH(set("f", 0, UTIME_NOW, 0, UTIME_OMIT), "f");
	WATCH(set("f", 5, 5, 6, 6), "f");
	WATCH(utimensat(AT_FDCWD, "f", NULL, 0), "f");
	T(set("missing", 1, 1, 1, 1));
}

static void who_may_set(void)
{
	put("g", "", 0666, ALICE, STAFF);
	put("h", "", 0644, ALICE, STAFF);
	as(BOB, STAFF, 0);
	T(set("g", 1, 1, 1, 1));
	T(set("g", 0, UTIME_NOW, 0, UTIME_NOW));
	T(set("g", 0, UTIME_NOW, 0, UTIME_OMIT));
	T(set("g", 0, UTIME_OMIT, 0, UTIME_OMIT));
	T(utimensat(AT_FDCWD, "g", NULL, 0));
	T(set("h", 1, 1, 1, 1));
	T(set("h", 0, UTIME_NOW, 0, UTIME_NOW));
	T(set("h", 0, UTIME_OMIT, 0, UTIME_OMIT));
	as(ALICE, STAFF, 0);
	T(set("h", 1, 1, 1, 1));
	T(set("h", 0, UTIME_NOW, 0, UTIME_NOW));
	root();
}

void cases_utimes(void)
{
	NEED(chmod(".", 0777));
	put("f", "", 0644, 0, 0);
	put_dir("d", 0755, 0, 0);
	NEED(symlink("f", "l"));
	ranges();
	now_and_omit();
	T(set("d", 5, 6, 7, 8));
	show_times("d");
	T(set("l", 5, 6, 7, 8));
	show_times("l");
	who_may_set();
}
