/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Extended attributes and access control lists. */
#include "config.h"

#include <endian.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <sys/xattr.h>

#include "tests/posix/posix.h"

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In a fixed order, "security." left out: a host may add some of its own. */
static void names_of(const char *name)
{
	char buf[8192], *names[64];
	ssize_t len = llistxattr(name, buf, sizeof(buf));
	size_t n = 0;

	if (len < 0)
		return say("  names: %s", strerrorname_np(errno));
	for (char *p = buf; p < buf + len && n < 64; p += strlen(p) + 1)
		if (strncmp(p, "security.", 9) != 0)
			names[n++] = p;
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++)
		say("  name %.40s", names[i]);
}

static void sizes(void)
{
	static const size_t lens[] = { 0,    1,	   60,	 100,  200,  1000,  3000,
				       3900, 4000, 4056, 4096, 5000, 65536, 65537 };
	char buf[10];

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		char *value = calloc(1, 70000);
		long r = setxattr("f", "user.size", value, lens[i], 0);

		say("value of %zu = %s", lens[i], r < 0 ? strerrorname_np(errno) : "0");
		free(value);
	}
	T(setxattr("f", "user.size", "0123456789", 10, 0));
	T(getxattr("f", "user.size", NULL, 0));
	T(getxattr("f", "user.size", buf, 3));
	T(getxattr("f", "user.size", buf, 10));
	T(listxattr("f", NULL, 0) > 0);
	T(listxattr("f", buf, 3));
}

/* Many: inode and one block, then no room. */
static void fill(void)
{
	int n, r = 0;

	for (n = 0; n < 200 && r == 0; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "user.%03d", n);
		r = setxattr("full", name, many('v', 100), 100, 0);
	}
	say("full: %s, %s", r < 0 ? strerrorname_np(errno) : "never",
	    n > 25 ? "many fit" : "few fit");
	T(setxattr("full", "user.000", many('w', 100), 100, XATTR_REPLACE));
	T(setxattr("full", "user.000", many('w', 2000), 2000, 0));
	T(removexattr("full", "user.001"));
	T(setxattr("full", "user.again", many('w', 90), 90, 0));
}

static void flags(void)
{
	T(setxattr("f", "user.x", "1", 1, XATTR_REPLACE));
	T(setxattr("f", "user.x", "1", 1, XATTR_CREATE));
	T(setxattr("f", "user.x", "2", 1, XATTR_CREATE));
	T(setxattr("f", "user.x", "3", 1, XATTR_REPLACE));
	T(setxattr("f", "user.x", "3", 1, XATTR_REPLACE | XATTR_CREATE));
	T(setxattr("f", "user.x", "3", 1, 8));
	T(removexattr("f", "user.missing"));
	T(getxattr("f", "user.missing", NULL, 0));
	T(setxattr("f", "", "3", 1, 0));
	T(setxattr("f", "user.", "3", 1, 0));
	T(setxattr("f", "nospace", "3", 1, 0));
	T(setxattr("f", "other.x", "3", 1, 0));
	T(getxattr("f", "other.x", NULL, 0));
	T(removexattr("f", "other.x"));
	T(setxattr("f", "system.x", "3", 1, 0));
	T(setxattr("f", "security.x", "3", 1, 0));
	T(setxattr("f", "trusted.x", "3", 1, 0));
	names_of("f");
	T(setxattr("missing", "user.x", "3", 1, 0));
	T(setxattr("f", many('n', 256), "3", 1, 0));
	{
		char name[300] = "user.";

		(void)strcat(name, many('n', 250));
		T(setxattr("f", name, "3", 1, 0));
		T(getxattr("f", name, NULL, 0));
		(void)strcat(name, "n");
		T(setxattr("f", name, "3", 1, 0));
	}
}

static void on_types(void)
{
	NEED(symlink("f", "l"));
	NEED(mkfifo("p", 0666));
	NEED(mknod("s", S_IFSOCK | 0666, 0));
	put_dir("d", 0777, 0, 0);
	put_dir("sticky", 01777, 0, 0);
	T(lsetxattr("l", "user.x", "1", 1, 0));
	T(lsetxattr("l", "trusted.x", "1", 1, 0));
	T(lsetxattr("l", "security.x", "1", 1, 0));
	T(setxattr("p", "user.x", "1", 1, 0));
	T(setxattr("p", "trusted.x", "1", 1, 0));
	T(setxattr("s", "user.x", "1", 1, 0));
	T(setxattr("d", "user.x", "1", 1, 0));
	T(setxattr("l", "user.through", "1", 1, 0));
	names_of("l");
	names_of("f");
	names_of("d");
}

static void by_user(void)
{
	put("mine", "", 0644, ALICE, STAFF);
	NEED(setxattr("mine", "trusted.secret", "1", 1, 0));
	NEED(setxattr("mine", "user.open", "1", 1, 0));
	as(ALICE, STAFF, 0);
	T(setxattr("mine", "user.x", "1", 1, 0));
	T(setxattr("mine", "trusted.x", "1", 1, 0));
	T(getxattr("mine", "trusted.secret", NULL, 0));
	T(setxattr("mine", "security.x", "1", 1, 0));
	names_of("mine");
	as(BOB, OTHERS, 0);
	T(setxattr("mine", "user.x", "1", 1, 0));
	T(getxattr("mine", "user.open", NULL, 0));
	T(setxattr("sticky", "user.x", "1", 1, 0));
	names_of("mine");
	NEED(seteuid(0));
	NEED(chmod("mine", 0600));
	as(BOB, OTHERS, 0);
	T(getxattr("mine", "user.open", NULL, 0));
	root();
}

void cases_xattr(void)
{
	NEED(chmod(".", 0777));
	put("f", "", 0644, 0, 0);
	put("full", "", 0644, 0, 0);
	sizes();
	flags();
	on_types();
	by_user();
	fill();
	T(close(open("f", O_RDWR)));
}

/* ---- access control lists ------------------------------------------------------------------ */

struct acl {
	struct posix_acl_xattr_header head;
	struct posix_acl_xattr_entry e[8];
	size_t n;
};

static void acl_add(struct acl *a, unsigned tag, unsigned perm, unsigned id)
{
	a->head.a_version = htole32(POSIX_ACL_XATTR_VERSION);
	a->e[a->n].e_tag = htole16((uint16_t)tag);
	a->e[a->n].e_perm = htole16((uint16_t)perm);
	a->e[a->n++].e_id = htole32(id);
}

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

/* user::u, user:BOB:b, group::g, mask::m, other::o */
static struct acl acl_with(unsigned u, unsigned b, unsigned g, unsigned m, unsigned o)
{
	struct acl a = { .n = 0 };

	acl_add(&a, USER_OBJ, u, (unsigned)-1);
	acl_add(&a, USER, b, BOB);
	acl_add(&a, GROUP_OBJ, g, (unsigned)-1);
	acl_add(&a, MASK, m, (unsigned)-1);
	acl_add(&a, OTHER, o, (unsigned)-1);
	return a;
}

static struct acl acl_minimal(unsigned u, unsigned g, unsigned o)
{
	struct acl a = { .n = 0 };

	acl_add(&a, USER_OBJ, u, (unsigned)-1);
	acl_add(&a, GROUP_OBJ, g, (unsigned)-1);
	acl_add(&a, OTHER, o, (unsigned)-1);
	return a;
}

static const char *const ACCESS = "system.posix_acl_access", *const DEFAULT =
								     "system.posix_acl_default";

static long acl_set(const char *name, const char *which, struct acl a)
{
	return setxattr(name, which, (void *)&a, sizeof(a.head) + a.n * sizeof(a.e[0]), 0);
}

static void acl_show(const char *name, const char *which)
{
	struct acl a;
	char text[256] = "", one[32];
	ssize_t len = getxattr(name, which, (void *)&a, sizeof(a.head) + sizeof(a.e));

	if (len < 0)
		return say("  %s %s: %s", name, which + 17, strerrorname_np(errno));
	for (size_t i = 0; i < ((size_t)len - sizeof(a.head)) / sizeof(a.e[0]); i++) {
		(void)snprintf(one, sizeof(one), " %u:%d:%o", le16toh(a.e[i].e_tag),
			       (int)le32toh(a.e[i].e_id), le16toh(a.e[i].e_perm));
		(void)strcat(text, one);
	}
	say("  %s %s:%s", name, which + 17, text);
}

static void acl_all(const char *name)
{
	show(name);
	acl_show(name, ACCESS);
	acl_show(name, DEFAULT);
}

static void acl_access(void)
{
	put("f", "abc", 0640, ALICE, STAFF);
	T(acl_set("f", ACCESS, acl_with(6, 6, 4, 6, 0)));
	acl_all("f");
	as(BOB, OTHERS, 0);
	(void)close(FD(open("f", O_RDWR)));
	T(faccessat(AT_FDCWD, "f", W_OK, AT_EACCESS));
	T(acl_set("f", ACCESS, acl_with(7, 7, 7, 7, 7)));
	as(CAROL, OTHERS, 0);
	(void)close(FD(open("f", O_RDONLY)));
	as(ALICE, STAFF, 0);
	T(chmod("f", 0604));
	acl_all("f");
	as(BOB, OTHERS, 0);
	(void)close(FD(open("f", O_RDONLY)));
	as(ALICE, STAFF, 0);
	T(chmod("f", 0664));
	acl_all("f");
	as(BOB, OTHERS, 0);
	(void)close(FD(open("f", O_RDWR)));
	root();
	WATCH(acl_set("f", ACCESS, acl_minimal(7, 5, 1)), "f");
	acl_all("f");
	T(acl_set("f", ACCESS, acl_with(6, 6, 4, 4, 0)));
	T(removexattr("f", ACCESS));
	acl_all("f");
	T(removexattr("f", ACCESS));
	T(acl_set("f", DEFAULT, acl_minimal(7, 5, 1)));
	T(setxattr("f", ACCESS, "rubbish", 7, 0));
	T(setxattr("f", ACCESS, NULL, 0, 0));
	T(acl_set("f", ACCESS, (struct acl){ .head = { htole32(2) }, .n = 0 }));
	T(chown("f", BOB, -1));
	acl_all("f");
}

static void acl_inherit(mode_t mask, struct acl a)
{
	(void)umask(mask);
	say("-- inherit, umask %03o", mask);
	put_dir("dir", 0755, 0, 0);
	T(acl_set("dir", DEFAULT, a));
	acl_all("dir");
	(void)close(FD(open("dir/f", O_CREAT | O_WRONLY, 0666)));
	acl_all("dir/f");
	(void)close(FD(open("dir/x", O_CREAT | O_WRONLY, 0700)));
	acl_all("dir/x");
	T(mkdir("dir/d", 0777));
	acl_all("dir/d");
	T(mkdir("dir/e", 0700));
	acl_all("dir/e");
	T(mkfifo("dir/p", 0666));
	acl_all("dir/p");
	T(mknod("dir/n", S_IFREG | 0644, 0));
	acl_all("dir/n");
	T(symlink("f", "dir/l"));
	show("dir/l");
	T(mkdir("dir/d/deeper", 0777));
	acl_all("dir/d/deeper");
	T(removexattr("dir", DEFAULT));
	acl_all("dir");
	(void)close(FD(open("dir/after", O_CREAT | O_WRONLY, 0666)));
	acl_all("dir/after");
	(void)umask(022);
	if (system("rm -rf dir"))
		say("rm failed");
}

/* Setting a list by somebody who is not of the file's group takes the set-group-id bit. */
static void acl_setgid(void)
{
	put("g", "", 02755, ALICE, OTHERS);
	as(ALICE, STAFF, 0);
	T(acl_set("g", ACCESS, acl_minimal(7, 7, 5)));
	show("g");
	root();
	NEED(chmod("g", 02755));
	T(acl_set("g", ACCESS, acl_minimal(7, 7, 4)));
	show("g");
	NEED(chmod("g", 02755));
	as(ALICE, STAFF, OTHERS);
	T(acl_set("g", ACCESS, acl_minimal(7, 7, 1)));
	show("g");
	NEED(seteuid(0));
	NEED(chmod("g", 02755));
	as(ALICE, STAFF, 0);
	T(acl_set("g", ACCESS, acl_with(7, 7, 7, 7, 1)));
	show("g");
	root();
}

void cases_acl(void)
{
	NEED(chmod(".", 0777));
	acl_access();
	acl_inherit(022, acl_with(7, 5, 5, 7, 0));
	acl_inherit(077, acl_with(7, 5, 5, 7, 0));
	acl_inherit(022, acl_minimal(7, 7, 7));
	acl_inherit(0, acl_minimal(7, 5, 0));
	acl_setgid();
}
