/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rename(2), over everything. */
#include "config.h"

#include "tests/posix/posix.h"

static const char *const kinds[] = { "file", "empty", "full", "symlink", "fifo", "missing" };

static void make(const char *name, const char *kind)
{
	char below[64];

	if (!strcmp(kind, "file"))
		put(name, name, 0644, 0, 0);
	else if (!strcmp(kind, "empty") || !strcmp(kind, "full"))
		put_dir(name, 0755, 0, 0);
	else if (!strcmp(kind, "symlink"))
		need(name, symlink("target", name));
	else if (!strcmp(kind, "fifo"))
		need(name, mkfifo(name, 0600));
	if (!strcmp(kind, "full")) {
		(void)snprintf(below, sizeof(below), "%s/below", name);
		put(below, "", 0644, 0, 0);
	}
}

static void over(const char *from, const char *to, unsigned flags, int other_dir)
{
	const char *target = other_dir ? "dir/to" : "to";
	long r;

	put_dir("dir", 0755, 0, 0);
	make("from", from);
	make(target, to);
	r = renameat2(AT_FDCWD, "from", AT_FDCWD, target, flags);
	say("%s over %s flags %u%s = %s", from, to, flags, other_dir ? " elsewhere" : "",
	    r < 0 ? strerrorname_np(errno) : "0");
	show("from");
	show(target);
	show("dir");
	show(".");
	if (system("rm -rf from to dir"))
		say("rm failed");
}

static void into_itself(void)
{
	NEED(mkdir("a", 0755));
	NEED(mkdir("a/b", 0755));
	NEED(mkdir("a/b/c", 0755));
	T(rename("a", "a/b/x"));
	T(rename("a", "a/x"));
	T(rename("a", "a/b"));
	T(rename("a/b", "a"));
	T(rename("a/b/c", "a"));
	T(rename("a", "a"));
	T(rename("a/.", "x"));
	T(rename("a/..", "x"));
	T(rename("a", "."));
	T(rename("a", ".."));
	T(rename("a/b", "a/b/."));
	T(renameat2(AT_FDCWD, "a", AT_FDCWD, "a/b", RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "a/b", AT_FDCWD, "a", RENAME_EXCHANGE));
	show("a");
	show("a/b");
}

static void dotdot(void)
{
	struct stat a, b;

	NEED(mkdir("m", 0755));
	NEED(mkdir("n", 0755));
	NEED(mkdir("m/k", 0755));
	T(rename("m/k", "n/k"));
	NEED(stat("n", &a));
	NEED(stat("n/k/..", &b));
	say("..: %s", a.st_ino == b.st_ino ? "the new parent" : "not the new parent");
	show("m");
	show("n");
	T(renameat2(AT_FDCWD, "n/k", AT_FDCWD, "m", RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "n/k", AT_FDCWD, "a", RENAME_EXCHANGE));
	NEED(stat("n/k/..", &b));
	say("..: %s", a.st_ino == b.st_ino ? "the new parent" : "not the new parent");
	show("a");
	show("n/k");
	show("n");
	show(".");
}

static void same_file(void)
{
	put("x", "one", 0644, 0, 0);
	NEED(link("x", "y"));
	T(rename("x", "y"));
	show("x");
	show("y");
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE));
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "x", RENAME_NOREPLACE));
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE | RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", 64));
	T(renameat2(AT_FDCWD, "x", AT_FDCWD, "missing", RENAME_EXCHANGE));
	T(renameat2(AT_FDCWD, "missing", AT_FDCWD, "x", RENAME_EXCHANGE));
	T(rename("x", "/proc/x"));
	T(link("x", "/proc/x"));
}

void cases_rename(void)
{
	size_t n = sizeof(kinds) / sizeof(kinds[0]);

	for (unsigned flags = 0; flags <= RENAME_EXCHANGE; flags++)
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n; j++) {
				over(kinds[i], kinds[j], flags, 0);
				over(kinds[i], kinds[j], flags, 1);
			}
	into_itself();
	dotdot();
	same_file();
}
