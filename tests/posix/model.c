/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations against a model, through several mounts of one volume at once.
 *
 *     model OPERATIONS SEED DIR...
 *
 * As many processes as there are mounts. Each has names of its own in directories that all share, and does
 * every operation through a mount that it draws: what it made through one it renames through the next. So
 * every answer is known beforehand, success or errno, and an operation that was done twice or not at all is
 * seen at once. At the end every mount has to show every process's tree. Prints the first difference;
 * exit status 0: there was none.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/posix/tree.h"

#define SHARED 4
#define NAMES 6	   /* of a process in each shared directory */
#define CHILDREN 3 /* names in each of its own directories */
#define PATH 512

static char **mounts;
static int n_mounts;
static uint64_t seed;
static unsigned worker;

static unsigned rnd(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

/* "d1/w0.4" or "d1/w0.4/c2" or one deeper. */
static void draw(char *path)
{
	unsigned depth = rnd(10);
	int n = sprintf(path, "d%u/w%u.%u", rnd(SHARED), worker, rnd(NAMES));

	if (depth > 4)
		n += sprintf(path + n, "/c%u", rnd(CHILDREN));
	if (depth > 7)
		(void)sprintf(path + n, "/c%u", rnd(CHILDREN));
}

static const char *on_mount(const char *path)
{
	static char room[4][PATH];
	static int turn;
	char *s = room[turn++ & 3];

	(void)snprintf(s, PATH, "%s/%s", mounts[rnd((unsigned)n_mounts)], path);
	return s;
}

static int err(long r)
{
	return r < 0 ? errno : 0;
}

static int do_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644), e = err(fd);

	if (fd >= 0)
		(void)close(fd);
	return e;
}

static int do_append(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW), e = err(fd);

	if (fd < 0)
		return e;
	if (write(fd, data, len) != (ssize_t)len)
		e = errno ? errno : EIO;
	(void)close(fd);
	return e;
}

/* What a file is, through a mount. 0 when it is that. */
static int check_file(const char *path, const struct tree_node *n)
{
	static uint8_t data[TREE_DATA + 1];
	int fd = open(path, O_RDONLY);
	ssize_t len = fd < 0 ? -1 : read(fd, data, sizeof(data));

	(void)close(fd);
	return len == (ssize_t)n->size && memcmp(data, n->data, n->size) == 0 ? 0 : EIO;
}

static int check_node(const char *path, const struct tree_node *n)
{
	static const mode_t types[] = { S_IFREG, S_IFDIR, S_IFLNK };
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno;
	if ((st.st_mode & S_IFMT) != types[n->type])
		return EIO;
	if (st.st_nlink != (n->type == TREE_DIR ? tree_dir_links(n) : n->links))
		return EMLINK;
	if (n->type == TREE_FILE && (size_t)st.st_size != n->size)
		return EOVERFLOW;
	return n->type == TREE_FILE ? check_file(path, n) : 0;
}

static int do_look(struct tree_node *root, const char *path, int *ret_want)
{
	struct tree_node *n = tree_find(root, path, ret_want);
	struct stat st;

	return n ? check_node(on_mount(path), n) : err(lstat(on_mount(path), &st));
}

static int complain(unsigned i, const char *what, const char *a, const char *b, int got, int want)
{
	(void)fprintf(stderr, "model: process %u, operation %u: %s %s %s: %s instead of %s\n",
		      worker, i, what, a, b, got ? strerrorname_np(got) : "done",
		      want ? strerrorname_np(want) : "done");
	return 1;
}

/* One operation; 0 when mount and model agree. */
static int step(struct tree_node *root, unsigned i)
{
	static const char *const names[] = { "create",	 "mkdir",  "symlink", "link",
					     "unlink",	 "rmdir",  "rename",  "exchange",
					     "truncate", "append", "look" };
	static const unsigned char often[] = { 0, 0, 0, 0, 1, 1, 1, 2, 3, 3, 4, 4,
					       5, 5, 6, 6, 6, 7, 8, 8, 9, 9, 9, 10 };
	unsigned kind = often[rnd(sizeof(often))];
	char a[64], b[64] = "", text[200];
	int got, want;
	size_t n;

	draw(a);
	switch (kind) {
	case 0:
		got = do_create(on_mount(a));
		want = tree_create(root, a);
		break;
	case 1:
		got = err(mkdir(on_mount(a), 0755));
		want = tree_mkdir(root, a);
		break;
	case 2:
		got = err(symlink("nowhere", on_mount(a)));
		want = tree_symlink(root, a);
		break;
	case 4:
		got = err(unlink(on_mount(a)));
		want = tree_unlink(root, a);
		break;
	case 5:
		got = err(rmdir(on_mount(a)));
		want = tree_rmdir(root, a);
		break;
	case 8:
		n = rnd(TREE_DATA / 2);
		got = err(truncate(on_mount(a), (off_t)n));
		want = tree_truncate(root, a, n);
		break;
	case 9:
		n = (size_t)snprintf(text, sizeof(text), "<%u.%u%.*s>", worker, i, (int)rnd(100),
				     "....................................................."
				     "....................................................");
		want = tree_append(root, a, text, n);
		if (want == EFBIG)
			return 0;
		got = do_append(on_mount(a), text, n);
		break;
	case 10:
		got = do_look(root, a, &want);
		break;
	default: { /* two names, through one mount */
		const char *m = mounts[rnd((unsigned)n_mounts)];
		char pa[PATH], pb[PATH];

		draw(b);
		(void)snprintf(pa, sizeof(pa), "%s/%s", m, a);
		(void)snprintf(pb, sizeof(pb), "%s/%s", m, b);
		if (kind == 3) {
			got = err(link(pa, pb));
			want = tree_link(root, a, b);
		} else {
			got = err(renameat2(AT_FDCWD, pa, AT_FDCWD, pb,
					    kind == 7 ? RENAME_EXCHANGE : 0));
			want = tree_rename(root, a, b, kind == 7);
		}
	}
	}
	return got == want ? 0 : complain(i, names[kind], a, b, got, want);
}

/* The tree of this process, through one mount. */
static int check_below(struct tree_node *n, const char *path)
{
	char below[PATH];
	int e, bad = 0;

	for (size_t i = 0; i < TREE_NAMES; i++) {
		if (!n->entry[i].node)
			continue;
		(void)snprintf(below, sizeof(below), "%.400s/%s", path, n->entry[i].name);
		e = check_node(below, n->entry[i].node);
		if (e)
			bad += complain(0, "at the end", below, "", e, 0);
		if (n->entry[i].node->type == TREE_DIR)
			bad += check_below(n->entry[i].node, below);
	}
	return bad;
}

static int run(unsigned operations)
{
	struct tree_node *root = tree_new();
	char path[PATH];
	int bad = 0;

	for (unsigned i = 0; i < SHARED; i++) {
		(void)snprintf(path, sizeof(path), "d%u", i);
		(void)tree_mkdir(root, path);
	}
	for (unsigned i = 0; i < operations && !bad; i++)
		bad = step(root, i);
	/* The shared directories' links are everybody's: not checked. */
	for (int m = 0; m < n_mounts && !bad; m++)
		for (size_t i = 0; i < SHARED; i++) {
			(void)snprintf(path, sizeof(path), "%s/%s", mounts[m], root->entry[i].name);
			bad += check_below(root->entry[i].node, path);
		}
	tree_free(root);
	return bad ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned operations = argc > 3 ? (unsigned)atoi(argv[1]) : 0;
	char path[PATH];
	int status, bad = 0;

	if (!operations) {
		(void)fprintf(stderr, "usage: model OPERATIONS SEED DIR...\n");
		return 2;
	}
	mounts = argv + 3;
	n_mounts = argc - 3;
	for (unsigned i = 0; i < SHARED; i++) {
		(void)snprintf(path, sizeof(path), "%s/d%u", mounts[0], i);
		if (mkdir(path, 0755) < 0) {
			perror(path);
			return 2;
		}
	}
	for (worker = 0; worker < (unsigned)n_mounts; worker++) {
		seed = strtoull(argv[2], NULL, 10) * 1000003u + worker;
		if (fork() == 0)
			_exit(run(operations / (unsigned)n_mounts));
	}
	while (wait(&status) > 0)
		bad |= status;
	(void)printf("%u operations of %d processes: %s\n", operations, n_mounts,
		     bad ? "mount and model differ" : "as the model");
	return bad ? 1 : 0;
}
