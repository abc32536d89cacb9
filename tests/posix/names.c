/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making things, paths, lists. */
#include "config.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include "tests/posix/posix.h"

static long bind_socket(const char *name)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	(void)strncpy(sa.sun_path, name, sizeof(sa.sun_path) - 1);
	r = bind(fd, (struct sockaddr *)&sa, sizeof(sa));
	(void)close(fd);
	return r;
}

static long create(const char *name, mode_t mode)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, mode);

	return fd < 0 ? fd : close(fd);
}

static void remove_all(void)
{
	static const char *const names[] = { "f", "d", "p", "n", "s", "l", "c", "b" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)remove(names[i]);
}

static void make_with(mode_t mask)
{
	say("umask %03o", mask);
	(void)umask(mask);
	T(create("f", 0666));
	show("f");
	T(mkdir("d", 0777));
	show("d");
	T(mkfifo("p", 0666));
	show("p");
	T(mknod("n", S_IFREG | 0777, 0));
	show("n");
	T(bind_socket("s"));
	show("s");
	T(symlink("target", "l"));
	show("l");
	T(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	show("c");
	T(mknod("b", S_IFBLK | 0666, makedev(4095, 1048575)));
	show("b");
	remove_all();
}

static void make_modes(void)
{
	(void)umask(0);
	T(create("f", 07777));
	show("f");
	T(mkdir("d", 07777));
	show("d");
	T(mkfifo("p", 07777));
	show("p");
	T(mknod("n", 0644, 0));
	show("n");
	T(mknod("s", S_IFSOCK | 0700, 0));
	show("s");
	T(mknod("c", S_IFCHR | 0600, makedev(255, 255)));
	show("c");
	T(mknod("b", S_IFBLK | 0600, makedev(256, 0)));
	show("b");
	T(mknod("x", S_IFDIR | 0700, 0));
	T(mknod("x", S_IFLNK | 0700, 0));
	remove_all();
}

static void make_twice(void)
{
	put("f", "", 0644, 0, 0);
	put_dir("d", 0755, 0, 0);
	T(create("f", 0644));
	T(create("d", 0644));
	T(mkdir("f", 0755));
	T(mkdir("d", 0755));
	T(mkfifo("f", 0755));
	T(mknod("d", S_IFCHR | 0600, makedev(1, 3)));
	T(symlink("x", "f"));
	T(link("f", "d"));
	T(link("f", "f"));
	T(link("d", "dd"));
	T(bind_socket("f"));
	T(link("missing", "x"));
	T(rmdir("f"));
	T(unlink("d"));
	T(rmdir("missing"));
	T(unlink("missing"));
}

static void make_as_user(void)
{
	put_dir("mine", 0755, ALICE, STAFF);
	NEED(chdir("mine"));
	(void)umask(022);
	as(ALICE, STAFF, 0);
	T(create("f", 0666));
	show("f");
	T(mkdir("d", 0777));
	show("d");
	T(mkfifo("p", 0666));
	show("p");
	T(bind_socket("s"));
	show("s");
	T(symlink("f", "l"));
	show("l");
	T(mknod("c", S_IFCHR | 0666, makedev(1, 3)));
	T(mknod("b", S_IFBLK | 0666, makedev(1, 3)));
	T(create("g", 06777));
	show("g");
	root();
	NEED(chdir(".."));
}

static void links(void)
{
	put("a", "x", 0644, 0, 0);
	T(link("a", "b"));
	T(link("b", "c"));
	show("a");
	T(unlink("a"));
	show("c");
	T(symlink("b", "sym"));
	T(link("sym", "sym2"));
	show("sym2");
	T(linkat(AT_FDCWD, "sym", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	show("followed");
	T(mkfifo("p", 0600));
	T(link("p", "p2"));
	show("p2");
	put_dir("dir", 0755, 0, 0);
	show("dir");
	T(mkdir("dir/1", 0755));
	T(mkdir("dir/2", 0755));
	T(mkdir("dir/2/3", 0755));
	show("dir");
	show("dir/2");
	T(rmdir("dir"));
	T(rmdir("dir/2/3"));
	T(rmdir("dir/2"));
	show("dir");
	T(rmdir("dir/1/."));
	T(rmdir("dir/1/.."));
	T(rmdir("dir/1"));
	show("dir");
}

void cases_make(void)
{
	static const mode_t masks[] = { 0, 022, 027, 077, 0177, 0777 };

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++)
		make_with(masks[i]);
	make_modes();
	(void)umask(022);
	make_twice();
	make_as_user();
	links();
}

/* ---- paths --------------------------------------------------------------------------------- */

/* Every call that takes a path, on this one. */
static void every_call(const char *label, const char *p)
{
	struct stat st;
	struct statvfs sv;
	char buf[16];
	int fd;

	say("-- %s", label);
	put("other", "", 0644, 0, 0);
	T(lstat(p, &st));
	T(stat(p, &st));
	T(chmod(p, 0755));
	T(chown(p, 0, 0));
	T(lchown(p, 0, 0));
	T(truncate(p, 0));
	T(utimensat(AT_FDCWD, p, NULL, 0));
	T(readlink(p, buf, sizeof(buf)) < 0 ? -1 : 0);
	T(statvfs(p, &sv));
	T(access(p, F_OK));
	fd = FD(open(p, O_RDONLY));
	if (fd >= 0)
		(void)close(fd);
	fd = FD(open(p, O_RDONLY | O_CREAT, 0644));
	if (fd >= 0)
		(void)close(fd);
	T(mkdir(p, 0755));
	T(mkfifo(p, 0644));
	T(mknod(p, S_IFCHR | 0644, makedev(1, 3)));
	T(symlink("x", p));
	T(link(p, "linked"));
	T(link("other", p));
	T(rename(p, "renamed"));
	T(rename("other", p));
	T(rmdir(p));
	T(unlink(p));
	(void)unlink("linked");
	(void)unlink("renamed");
	(void)unlink("other");
}

static const char *dots(size_t n, const char *end)
{
	static char path[8192];

	path[0] = 0;
	while (strlen(path) + 2 + strlen(end) <= n)
		(void)strcat(path, "./");
	if (strlen(path) + strlen(end) < n)
		(void)strcat(path, "/");
	return strcat(path, end);
}

static void bad_pointers(void)
{
	const char *bad = (const char *)1;
	struct stat st;

	T(syscall(SYS_mkdirat, AT_FDCWD, bad, 0755));
	T(syscall(SYS_mknodat, AT_FDCWD, bad, S_IFIFO, 0));
	T(syscall(SYS_openat, AT_FDCWD, bad, O_RDONLY));
	T(syscall(SYS_openat, AT_FDCWD, bad, O_CREAT | O_RDWR, 0644));
	T(syscall(SYS_unlinkat, AT_FDCWD, bad, 0));
	T(syscall(SYS_unlinkat, AT_FDCWD, bad, AT_REMOVEDIR));
	T(syscall(SYS_fchmodat, AT_FDCWD, bad, 0755));
	T(syscall(SYS_fchownat, AT_FDCWD, bad, 0, 0, 0));
	T(syscall(SYS_symlinkat, bad, AT_FDCWD, "x"));
	T(syscall(SYS_symlinkat, "x", AT_FDCWD, bad));
	T(syscall(SYS_linkat, AT_FDCWD, bad, AT_FDCWD, "x", 0));
	T(syscall(SYS_renameat2, AT_FDCWD, bad, AT_FDCWD, "x", 0));
	T(syscall(SYS_truncate, bad, 0));
	T(syscall(SYS_utimensat, AT_FDCWD, bad, NULL, 0));
	T(syscall(SYS_newfstatat, AT_FDCWD, bad, &st, 0));
	T(syscall(SYS_newfstatat, AT_FDCWD, ".", bad, 0));
}

void cases_path(void)
{
	char name[300];

	every_call("255 bytes", many('n', 255));
	every_call("256 bytes", many('n', 256));
	every_call("1024 bytes", many('n', 1024));
	every_call("1025 bytes", many('n', 1025));
	every_call("path of 4095", dots(4095, "f"));
	every_call("path of 4096", dots(4096, "f"));
	(void)snprintf(name, sizeof(name), "%s/x", many('n', 256));
	every_call("long name in the middle", name);
	every_call("empty", "");
	every_call("missing in the middle", "missing/x");
	put("file", "", 0644, 0, 0);
	every_call("file in the middle", "file/x");
	every_call("file with a slash", "file/");
	NEED(symlink("loop2", "loop1"));
	NEED(symlink("loop1", "loop2"));
	every_call("loop", "loop1");
	NEED(symlink("loop2", "loop1"));
	every_call("loop in the middle", "loop1/x");
	NEED(symlink("nowhere/x", "dangling"));
	every_call("dangling", "dangling");
	every_call("root", "/");
	every_call("dot", ".");
	every_call("bytes that are no UTF-8", "\xff\xfe\x80");
	bad_pointers();
	T(symlink(many('t', 4095), "longlink"));
	show("longlink");
	T(symlink(many('t', 4096), "longerlink"));
	T(symlink(many('t', 59), "l59"));
	show("l59");
	T(symlink(many('t', 60), "l60"));
	show("l60");
	T(symlink("", "emptylink"));
}

/* ---- lists --------------------------------------------------------------------------------- */

static int in_list(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	NEED(d ? 0 : -1);
	while ((e = readdir(d)))
		n += !strncmp(e->d_name, prefix, strlen(prefix));
	(void)closedir(d);
	return n;
}

/* Names go and come between the parts of a list: what stays is there once. */
static void list_while_changing(int n)
{
	char name[64];
	int seen[2000] = { 0 }, i, count = 0, wrong = 0;
	struct dirent *e;
	DIR *d;

	for (i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "many/stays-%05d-with-some-length", i);
		need(name, create(name, 0644));
		(void)snprintf(name, sizeof(name), "many/goes-%05d", i);
		need(name, create(name, 0644));
	}
	d = opendir("many");
	NEED(d ? 0 : -1);
	while ((e = readdir(d))) {
		if (sscanf(e->d_name, "stays-%d", &i) == 1)
			seen[i]++;
		(void)snprintf(name, sizeof(name), "many/goes-%05d", count);
		if (count < n)
			need(name, unlink(name));
		(void)snprintf(name, sizeof(name), "many/new-%05d-longer-than-what-goes", count);
		if (count < n)
			need(name, create(name, 0644));
		count++;
	}
	(void)closedir(d);
	for (i = 0; i < n; i++)
		wrong += seen[i] != 1;
	say("names that stayed and were not listed exactly once: %d", wrong);
}

static void cookies(void)
{
	DIR *d = opendir("many");
	char third[256] = "", again[256] = "";
	struct dirent *e;
	long at = 0;

	NEED(d ? 0 : -1);
	for (int i = 0; i < 5; i++) {
		if (i == 3)
			at = telldir(d);
		e = readdir(d);
		if (e && i == 3)
			(void)snprintf(third, sizeof(third), "%s", e->d_name);
	}
	seekdir(d, at);
	e = readdir(d);
	if (e)
		(void)snprintf(again, sizeof(again), "%s", e->d_name);
	say("seekdir: %s", strcmp(third, again) ? "another name" : "the same name");
	rewinddir(d);
	e = readdir(d);
	say("rewinddir: %s", e ? "ok" : "nothing");
	(void)closedir(d);
}

static void types_in_list(void)
{
	static const char *const names[] = { "f", "d", "p", "s", "l", "c", "b" };
	unsigned char type[128] = { 0 };
	struct dirent *e;
	DIR *d;

	put_dir("types", 0755, 0, 0);
	NEED(chdir("types"));
	NEED(create("f", 0644));
	NEED(mkdir("d", 0755));
	NEED(mkfifo("p", 0644));
	NEED(bind_socket("s"));
	NEED(symlink("f", "l"));
	NEED(mknod("c", S_IFCHR, makedev(1, 3)));
	NEED(mknod("b", S_IFBLK, makedev(1, 3)));
	d = opendir(".");
	NEED(d ? 0 : -1);
	while ((e = readdir(d)))
		type[e->d_name[0] & 127] = e->d_type;
	(void)closedir(d);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		say("  %s: d_type %u", names[i], type[names[i][0] & 127]);
	say("  dots: %d", in_list(".", "."));
	NEED(chdir(".."));
}

void cases_list(void)
{
	struct statvfs sv;

	put_dir("many", 0755, 0, 0);
	list_while_changing(300);
	say("stays %d, goes %d, new %d", in_list("many", "stays"), in_list("many", "goes"),
	    in_list("many", "new"));
	cookies();
	types_in_list();
	T(rmdir("many"));
	NEED(statvfs(".", &sv));
	say("longest name %lu, block %lu, fragment %lu", sv.f_namemax, sv.f_bsize, sv.f_frsize);
	T(pathconf(".", _PC_NAME_MAX));
	T(read(open(".", O_RDONLY), many('x', 10), 10));
}
