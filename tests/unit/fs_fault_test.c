/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every request to the device, and every allocation of memory, fails once, wherever that is in a script of operations. What
 * may come of it: an operation fails, is aborted and has left nothing; or the object is dead. The next one finds the last
 * state that was committed, or the one whose commit failed; never another, and e2fsck has nothing to say.
 */
#include "config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/fs_vol.h"

/* ---- failing -------------------------------------------------------------------------------- */

static long io_left = -1, mem_left = -1; /* until one fails; < 0 never */
static int io_errno;
static bool failed;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);

static bool mem_fails(void)
{
	if (mem_left < 0 || mem_left-- > 0)
		return false;
	failed = true;
	return true;
}

void *__wrap_malloc(size_t n)
{
	return mem_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
	return mem_fails() ? NULL : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
	return mem_fails() ? NULL : __real_realloc(p, n);
}

/*
 * libext2fs's first read of an inode makes its cache of inodes, and crashes in its own clean-up when there is no memory for
 * that: let that be.
 */
errcode_t __real_ext2fs_read_inode_full(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
					int size);
errcode_t __wrap_ext2fs_read_inode_full(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
					int size);

errcode_t __wrap_ext2fs_read_inode_full(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
					int size)
{
	long left = mem_left;

	mem_left = -1;
	if (!e2->icache)
		(void)ext2fs_create_inode_cache(e2, 4);
	mem_left = left;
	return __real_ext2fs_read_inode_full(e2, ino, inode, size);
}

/* Likewise: the clean-up of a handle that has no path yet. */
errcode_t __real_ext2fs_extent_open2(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
				     ext2_extent_handle_t *ret);
errcode_t __wrap_ext2fs_extent_open2(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
				     ext2_extent_handle_t *ret);

errcode_t __wrap_ext2fs_extent_open2(ext2_filsys e2, ext2_ino_t ino, struct ext2_inode *inode,
				     ext2_extent_handle_t *ret)
{
	long left = mem_left;
	errcode_t e;

	mem_left = -1;
	e = __real_ext2fs_extent_open2(e2, ino, inode, ret);
	mem_left = left;
	return e;
}

static int io_fails(void)
{
	if (io_left < 0 || io_left-- > 0)
		return 0;
	failed = true;
	return io_errno;
}

struct mem_dev {
	struct fs_dev dev;
	uint8_t *mem;
};

static int dev_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	memcpy(buf, ((struct mem_dev *)(void *)dev)->mem + off, len);
	return io_fails();
}

static int dev_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	int r = io_fails();

	(void)flags;
	/* A failed write may have been done, or in part. */
	if (r == 0 || io_errno == -ENOLINK)
		memcpy(((struct mem_dev *)(void *)dev)->mem + off, buf, len);
	return r;
}

static int dev_flush(struct fs_dev *dev)
{
	(void)dev;
	return io_fails();
}

static void dev_free(struct fs_dev *dev)
{
	(void)dev;
}

static const struct fs_dev_ops ops = { dev_read, dev_write, dev_flush, dev_free };

/* ---- a run of the script ----------------------------------------------------------------------- */

struct run {
	struct mem_dev d;
	int fd;
	struct fs *fs;
	struct canon now, committed, pending; /* as the script believes */
	bool maybe;			      /* the commit of `pending` failed: either */
	int refused;
};

/* Looking does not count. */
static struct canon look(struct run *r)
{
	long io = io_left, mem = mem_left;
	struct canon c;

	io_left = mem_left = -1;
	assert_int_equal(canon_take(r->fs, &r->d.dev, NULL, &c), 0);
	fs_cache_drop_clean(r->fs); /* and saves no request later */
	io_left = io;
	mem_left = mem;
	return c;
}

static uint32_t find(struct run *r, const char *name)
{
	uint32_t ino;

	return fs_lookup(r->fs, FS_ROOT_INO, name, &ino) == 0 ? ino : 0;
}

static void fill_value(char *big, size_t n)
{
	memset(big, 'v', n);
	big[n - 1] = 0;
}

static int one(struct run *r, int which)
{
	struct fs_record_key key = { 1, 2, 3 };
	struct fs_attr a = { .size = 5000 };
	char big[3000];

	fill_value(big, sizeof(big));
	switch (which) {
	case 0:
		return fs_mkdir(r->fs, FS_ROOT_INO, "dir", &subdir, NULL);
	case 1:
		return fs_mknod(r->fs, FS_ROOT_INO, "f", &file, NULL);
	case 2:
		return fs_alloc(r->fs, find(r, "f"), 0, 300000, 300000);
	case 3:
		return fs_xattr_set(r->fs, find(r, "f"), "user.big", big, sizeof(big), 0);
	case 4:
		return fs_prepare(r->fs, find(r, "f"), 300000, 70000, 1 << 20);
	case 5:
		return fs_convert(r->fs, find(r, "f"), 300000, 70000, 370000);
	case 6:
		return fs_punch(r->fs, find(r, "f"), 65536, 20000);
	case 7:
		return fs_zero_range(r->fs, find(r, "f"), 8192, 8192, 0);
	case 8:
		return fs_symlink(r->fs, FS_ROOT_INO, "link", big, &file, NULL);
	case 9:
		return fs_rename(r->fs, FS_ROOT_INO, "f", find(r, "dir"), "g", 0, NULL);
	case 10:
		return fs_rename(r->fs, find(r, "dir"), "g", FS_ROOT_INO, "f", 0, NULL);
	case 11:
		return fs_record_put(r->fs, FS_REPLIES, &key, "abc", 3);
	case 12:
		return fs_setattr(r->fs, find(r, "f"), FS_SET_SIZE, &a, NULL);
	case 13:
		return fs_tmpfile(r->fs, &file, NULL);
	case 14:
		return fs_unlink(r->fs, FS_ROOT_INO, "old", false, NULL);
	case 15:
		return fs_set_epoch(r->fs, 77);
	case 16:
		return fs_rmdir(r->fs, FS_ROOT_INO, "dir");
	case 17:
		return fs_unlink(r->fs, FS_ROOT_INO, "f", true, NULL);
	default:
		return 1;
	}
}

static void commit(struct run *r)
{
	r->pending = r->now;
	if (fs_commit(r->fs) == 0)
		r->committed = r->now;
	else
		r->maybe = true;
}

/* What failed has left nothing. */
static void abort_it(struct run *r)
{
	fs_abort(r->fs);
	r->refused++;

	assert_true(look(r).hash == r->now.hash);
}

static bool step(struct run *r, int which)
{
	int rc = fs_begin(r->fs, now);

	/* begin may have committed, or have failed in it. */
	if (rc == 0 && !fs_uncommitted(r->fs))
		r->committed = r->now;
	if (rc < 0) {
		r->pending = r->now;
		r->maybe = fs_dead(r->fs);
		return !fs_dead(r->fs);
	}
	rc = one(r, which);
	if (rc == 0)
		rc = fs_end(r->fs);
	if (rc != 0) {
		abort_it(r);
		return rc < 0;
	}
	r->now = look(r);
	if (which % 3 == 2)
		commit(r);
	if (which % 7 == 6 && !fs_dead(r->fs)) {
		r->pending = r->now;
		if (fs_checkpoint(r->fs) == 0)
			r->committed = r->now;
		else
			r->maybe = true;
	}
	return !fs_dead(r->fs);
}

static int base_fd; /* a volume with something on it, un-replayed */

static void run_script(struct run *r)
{
	if (fs_open(&r->d.dev, NULL, &r->fs, NULL) < 0) {
		r->fs = NULL; /* the base has one state only: compared below */
		return;
	}
	r->now = r->committed = look(r);
	for (int n = 0; step(r, n); n++)
		;
	if (!fs_dead(r->fs)) {
		r->pending = r->now;
		if (fs_close(r->fs) < 0)
			r->maybe = true;
		else
			r->committed = r->now;
	}
}

static void fsck(struct run *r)
{
	char cmd[120];

	sprintf(cmd, "PATH=$PATH:/usr/sbin:/sbin e2fsck -fn /proc/self/fd/%d >/dev/null 2>&1",
		r->fd);
	assert_int_equal(system(cmd), 0);
}

static uint8_t *copy_of_base(int *ret_fd)
{
	uint8_t *base = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, base_fd, 0), *mem;
	int fd = memfd_create("fault", 0);

	assert_int_equal(ftruncate(fd, BYTES), 0);
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(base != MAP_FAILED && mem != MAP_FAILED);
	for (size_t off = 0; off < BYTES; off += FS_BLOCK_SIZE) /* holes stay holes */
		if (base[off] || memcmp(base + off, base + off + 1, FS_BLOCK_SIZE - 1) != 0)
			memcpy(mem + off, base + off, FS_BLOCK_SIZE);
	(void)munmap(base, BYTES);
	*ret_fd = fd;
	return mem;
}

static struct canon base_state;

/* True when the fault happened. */
static bool attempt(bool with_fsck)
{
	struct run r = { .d.dev = { .ops = &ops, .bytes = BYTES } };
	struct canon got;

	r.d.mem = copy_of_base(&r.fd);
	failed = false;
	run_script(&r);
	io_left = mem_left = -1;
	if (!r.fs)
		r.committed = r.now = base_state;
	fs_free(r.fs);
	r.fs = NULL;
	assert_int_equal(fs_open(&r.d.dev, NULL, &r.fs, NULL), 0);
	got = look(&r);
	if (got.hash != r.committed.hash && !(r.maybe && got.hash == r.pending.hash))
		fail_msg("neither the committed state nor the pending one");
	if (with_fsck) {
		uint32_t ino;

		while (fs_orphan_next(r.fs, 0, &ino) == 0 && ino) {
			assert_int_equal(fs_begin(r.fs, now), 0);
			assert_int_equal(fs_orphan_free(r.fs, ino), 0);
			assert_int_equal(fs_end(r.fs), 0);
		}
		assert_int_equal(fs_close(r.fs), 0);
		fsck(&r);
	}
	fs_free(r.fs);
	(void)munmap(r.d.mem, BYTES);
	(void)close(r.fd);
	return failed;
}

static void test_device(void **state)
{
	static const int errors[] = { -EIO, -ENOLINK };

	(void)state;
	for (size_t e = 0; e < 2; e++) {
		long n = 0;

		io_errno = errors[e];
		for (bool go = true; go; n++) {
			io_left = n;
			go = attempt(n % 10 == 0);
		}
		assert_in_range(n, 60, 5000);
	}
}

static void test_memory(void **state)
{
	long n = 0;

	(void)state;
	for (bool go = true; go; n += n < 40 ? 1 : 5) {
		mem_left = n + n / 5 % 5; /* all residues, over the script */
		go = attempt(n % 50 == 0);
	}
	assert_in_range(n, 200, 20000);
}

static int setup(void **state)
{
	struct vol *v;
	uint8_t *mem;

	if (vol_setup(state) < 0)
		return -1;
	v = vol_new();
	(void)make(v, "old", 200000);
	assert_int_equal(canon_take(v->fs, &v->t.dev, NULL, &base_state), 0);
	fs_free(v->fs);
	base_fd = memfd_create("base", 0);
	assert_int_equal(ftruncate(base_fd, BYTES), 0);
	mem = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, base_fd, 0);
	memcpy(mem, v->t.mem, BYTES);
	(void)munmap(mem, BYTES);
	v->fs = NULL;
	vol_free(v);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device),
		cmocka_unit_test(test_memory),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
