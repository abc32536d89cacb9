/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may do what: permission bits, sticky directories, set-id bits. */
#include "config.h"

#include <sys/sysmacros.h>

#include "tests/posix/posix.h"

/* ---- permission bits ----------------------------------------------------------------------- */

/* Every call below dir, which says by its mode who may. */
static void in_dir(const char *label, mode_t mode)
{
	struct stat st;
	char buf[8];
	int fd;

	say("-- %s", label);
	NEED(seteuid(0));
	NEED(chmod("dir", 0755));
	put("dir/f", "abc", 0666, 0, 0);
	put_dir("dir/d", 0777, 0, 0);
	put("out", "abc", 0666, BOB, STAFF);
	NEED(symlink("f", "dir/l"));
	NEED(chmod("dir", mode));
	as(BOB, STAFF, 0);
	T(stat("dir/f", &st));
	T(readlink("dir/l", buf, sizeof(buf)));
	fd = FD(open("dir/f", O_RDWR));
	(void)close(fd);
	fd = FD(open("dir/new", O_RDWR | O_CREAT, 0644));
	(void)close(fd);
	fd = FD(open("dir/f", O_RDWR | O_CREAT | O_TRUNC, 0644));
	(void)close(fd);
	fd = FD(open("dir", O_RDONLY | O_DIRECTORY));
	(void)close(fd);
	T(truncate("dir/f", 1));
	T(chmod("dir/f", 0644));
	T(chown("dir/f", BOB, STAFF));
	T(mkdir("dir/x", 0755));
	T(mkfifo("dir/x", 0755));
	T(symlink("x", "dir/x"));
	T(link("out", "dir/x"));
	T(link("dir/f", "x"));
	T(rename("out", "dir/x"));
	T(rename("dir/f", "x"));
	T(rename("dir/d", "dir/x"));
	T(unlink("dir/f"));
	T(rmdir("dir/d"));
	T(utimensat(AT_FDCWD, "dir/f", NULL, 0));
	NEED(seteuid(0));
	NEED(setegid(0));
	NEED(chmod("dir", 0755));
	if (system("rm -rf dir/* out x"))
		say("rm failed");
}

static void file_modes(void)
{
	static const mode_t modes[] = { 0,    0400, 0200, 0100, 040, 020,  010,	 04,   02,  01,
					0600, 060,  06,	  070,	07,  0444, 0222, 0666, 0777 };
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC };
	static const uid_t users[] = { ALICE, BOB, CAROL };

	for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
		NEED(seteuid(0));
		put("f", "abc", modes[m], ALICE, STAFF);
		say("mode %03o", modes[m]);
		for (size_t u = 0; u < 3; u++) {
			as(users[u], users[u] == CAROL ? OTHERS : STAFF, 0);
			for (size_t k = 0; k < 4; k++) {
				int fd = open("f", flags[k]);

				say("  open %x = %s", flags[k],
				    fd < 0 ? strerrorname_np(errno) : "ok");
				(void)close(fd);
			}
			T(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
			T(faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS));
			T(faccessat(AT_FDCWD, "f", X_OK, AT_EACCESS));
			T(truncate("f", 2));
		}
	}
	NEED(seteuid(0));
	as(CAROL, OTHERS, STAFF);
	NEED(seteuid(0));
	put("f", "abc", 060, ALICE, STAFF);
	as(CAROL, OTHERS, STAFF);
	(void)close(FD(open("f", O_RDWR)));
	root();
}

static void owners(void)
{
	put("f", "", 0644, ALICE, STAFF);
	put_dir("d", 0755, ALICE, STAFF);
	as(BOB, STAFF, 0);
	T(chmod("f", 0600));
	T(chown("f", BOB, STAFF));
	T(chown("f", -1, -1));
	T(chown("f", -1, STAFF));
	T(chmod("d", 0700));
	T(chown("d", BOB, -1));
	as(ALICE, STAFF, OTHERS);
	T(chmod("f", 0600));
	T(chown("f", ALICE, -1));
	T(chown("f", BOB, -1));
	T(chown("f", -1, OTHERS));
	show("f");
	T(chown("f", -1, 65203));
	T(chown("f", ALICE, STAFF));
	T(chmod("d", 01777));
	show("d");
	T(chmod("f", 01777));
	show("f");
	root();
	T(chown("f", BOB, OTHERS));
	show("f");
	T(chown("f", 4000000000u, 3000000000u));
	show("f");
	T(lchown("f", 0, 0));
	NEED(symlink("f", "l"));
	T(lchown("l", ALICE, STAFF));
	show("l");
	T(chown("l", BOB, -1));
	show("l");
	show("f");
	T(fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
	T(chmod("l", 0600));
	show("f");
}

void cases_access(void)
{
	NEED(chmod(".", 0777));
	put_dir("dir", 0755, ALICE, OTHERS);
	in_dir("all", 0777);
	in_dir("no write", 0755);
	in_dir("no search", 0776);
	in_dir("no read", 0773);
	in_dir("nothing", 0770);
	NEED(rmdir("dir"));
	file_modes();
	NEED(unlink("f"));
	owners();
}

/* ---- sticky directories -------------------------------------------------------------------- */

static void sticky(uid_t dir_owner, uid_t owner, mode_t mode)
{
	NEED(seteuid(0));
	put_dir("s", mode, dir_owner, STAFF);
	put_dir("from", 0777, BOB, STAFF);
	put("s/f", "", 0666, owner, STAFF);
	put("s/g", "", 0666, owner, STAFF);
	put("s/h", "", 0666, owner, STAFF);
	put("from/x", "", 0666, BOB, STAFF);
	put_dir("s/d", 0777, owner, STAFF);
	put_dir("s/e", 0777, owner, STAFF);
	put_dir("from/y", 0777, BOB, STAFF);
	say("-- directory of %u %04o, names of %u", dir_owner, mode, owner);
	as(BOB, STAFF, 0);
	T(unlink("s/f"));
	T(rmdir("s/d"));
	T(rename("s/g", "s/g2"));
	T(rename("s/g", "from/g"));
	T(rename("from/x", "s/h"));
	T(rename("from/y", "s/e"));
	T(rename("s/e", "from/e"));
	T(renameat2(AT_FDCWD, "from/x", AT_FDCWD, "s/h", RENAME_EXCHANGE));
	NEED(seteuid(0));
	if (system("rm -rf s from"))
		say("rm failed");
}

void cases_sticky(void)
{
	static const uid_t who[] = { 0, ALICE, BOB };

	NEED(chmod(".", 0777));
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			sticky(who[i], who[j], 01777);
			if (!i)
				sticky(who[i], who[j], 0777);
		}
}

/* ---- set-id bits --------------------------------------------------------------------------- */

static long write_to(const char *name, int flags)
{
	int fd = open(name, O_WRONLY | flags);
	long r = fd < 0 ? -1 : write(fd, "x", 1);

	(void)close(fd);
	return r;
}

static long allocate(const char *name, int mode)
{
	int fd = open(name, O_WRONLY);
	long r = fd < 0 ? -1 : fallocate(fd, mode, 0, 4096);

	(void)close(fd);
	return r;
}

static long cut_fd(const char *name)
{
	int fd = open(name, O_WRONLY);
	long r = fd < 0 ? -1 : ftruncate(fd, 1);

	(void)close(fd);
	return r;
}

/* What changes a file takes its set-id bits, unless root does it. */
static void cleared_by(uid_t uid, mode_t mode)
{
	static const char *const names[] = { "w", "a", "t", "ft", "fa", "o", "c", "cg", "u" };

	NEED(seteuid(0));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		put(names[i], "abcdef", mode, ALICE, STAFF);
	say("-- %04o", mode);
	if (uid)
		as(uid, uid == CAROL ? OTHERS : STAFF, OTHERS);
	else
		root();
	T(write_to("w", 0));
	show("w");
	T(write_to("a", O_APPEND));
	show("a");
	T(truncate("t", 3));
	show("t");
	T(cut_fd("ft"));
	show("ft");
	T(allocate("fa", 0));
	show("fa");
	T(close(open("o", O_WRONLY | O_TRUNC)));
	show("o");
	T(chown("c", -1, -1));
	show("c");
	T(chown("cg", -1, OTHERS));
	show("cg");
	T(utimensat(AT_FDCWD, "u", NULL, 0));
	show("u");
	T(chmod("u", mode));
	show("u");
}

static void chmod_setgid(void)
{
	put("f", "", 0755, ALICE, OTHERS);
	put_dir("d", 0755, ALICE, OTHERS);
	as(ALICE, STAFF, 0);
	T(chmod("f", 02755));
	show("f");
	T(chmod("f", 04755));
	show("f");
	T(chmod("d", 02755));
	show("d");
	as(ALICE, STAFF, OTHERS);
	T(chmod("f", 02755));
	show("f");
	root();
	T(chmod("f", 06755));
	show("f");
	T(chown("d", BOB, STAFF));
	show("d");
	NEED(chmod("d", 06755));
	T(chown("d", ALICE, OTHERS));
	show("d");
}

static void inherited(mode_t mode)
{
	NEED(seteuid(0));
	put_dir("dir", mode, ALICE, OTHERS);
	(void)umask(0);
	say("-- in %04o", mode);
	as(ALICE, STAFF, 0);
	(void)close(FD(open("dir/f", O_CREAT | O_WRONLY, 0666)));
	show("dir/f");
	(void)close(FD(open("dir/g", O_CREAT | O_WRONLY, 02777)));
	show("dir/g");
	(void)close(FD(open("dir/h", O_CREAT | O_WRONLY, 02767)));
	show("dir/h");
	T(mkdir("dir/d", 0755));
	show("dir/d");
	T(mkdir("dir/e", 02755));
	show("dir/e");
	T(mkfifo("dir/p", 0644));
	show("dir/p");
	T(mknod("dir/n", S_IFREG | 02777, 0));
	show("dir/n");
	T(symlink("x", "dir/l"));
	show("dir/l");
	root();
	(void)close(FD(open("dir/rf", O_CREAT | O_WRONLY, 02777)));
	show("dir/rf");
	T(mkdir("dir/rd", 0755));
	show("dir/rd");
	(void)umask(022);
	if (system("rm -rf dir"))
		say("rm failed");
}

void cases_setid(void)
{
	static const mode_t modes[] = { 06777, 04777, 02777, 02767, 06767, 0777, 02666 };

	NEED(chmod(".", 0777));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		cleared_by(ALICE, modes[i]);
		/* Without the group's x the kernel does not tell who is no member (docs/csv.md). */
		if ((modes[i] & (S_ISGID | S_IXGRP)) != S_ISGID)
			cleared_by(CAROL, modes[i]);
		cleared_by(0, modes[i]);
	}
	chmod_setgid();
	inherited(0755);
	inherited(02775);
	inherited(03777);
}
