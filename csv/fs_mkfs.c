/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a volume. mke2fs makes it on a sparse file in memory, /.csv is added there through the
 * journal, and then every allocated cluster is copied to the device. The holes of the sparse file
 * are copied too, as zeros: inode tables and journal have to BE zero, and a used LUN is not. The
 * superblock goes last.
 */
#include "config.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "csv/fs_int.h"
#include "csv/fs_sig.h"

#define COPY_MAX (1u << 20)

extern char **environ;

int fs_mkfs_check(struct fs_dev *dev, const struct fs_mkfs_options *opt, struct cl_error *err)
{
	const char *what;
	int r;

	if (dev->bytes < (32u << 20))
		return cl_error_set(err, -EINVAL, "the device is smaller than 32 MiB");
	r = fs_sig_find(dev, &what);
	if (r < 0)
		return cl_error_errno(err, r, "read the device");
	if (!what || opt->force)
		return 0;
	(void)cl_error_set(err, -EEXIST, "%s is on the device", what);
	(void)cl_error_hint(err, "--force overwrites it; what is there is lost");
	return -EEXIST;
}

static unsigned journal_mb(uint64_t bytes)
{
	const uint64_t gib = 1ull << 30;

	return bytes < 128u << 20   ? 4
	       : bytes < gib	    ? 16
	       : bytes < 16 * gib   ? 64
	       : bytes < 4096 * gib ? 128
				    : 256;
}

/* A file has a cluster at least, so one inode per cluster is all that can be used. */
static unsigned bytes_per_inode(uint64_t bytes)
{
	const uint64_t gib = 1ull << 30;

	return bytes < 16 * gib ? FS_CLUSTER_SIZE : bytes < 64 * gib ? 1u << 20 : 1u << 22;
}

/* What the program said, on one line. */
static void read_output(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = 0;
	for (char *p = buf; *p; p++)
		if (*p == '\n')
			*p = ' ';
}

static int run(char *const argv[], struct cl_error *err)
{
	_cleanup_close_ int out = memfd_create("mke2fs-output", MFD_CLOEXEC);
	posix_spawn_file_actions_t fa;
	int status = -1, r;
	char text[300];
	pid_t pid;

	if (out < 0 || posix_spawn_file_actions_init(&fa) != 0)
		return cl_error_errno(err, -ENOMEM, "run mke2fs");
	(void)posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 1);
	(void)posix_spawn_file_actions_adddup2(&fa, out, 2);
	r = posix_spawn(&pid, "/usr/sbin/mke2fs", &fa, NULL, argv, environ);
	if (r == ENOENT)
		r = posix_spawn(&pid, "/sbin/mke2fs", &fa, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	if (r)
		return cl_error_errno(err, -r, "run mke2fs (package e2fsprogs)");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_output(out, text, sizeof(text));
	return cl_error_set(err, -EIO, "mke2fs failed (status %d): %s", status, text);
}

static void uuid_text(const uint8_t *u, char *out)
{
	for (int i = 0; i < FS_UUID_SIZE; i++)
		out += sprintf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
}

static int run_mke2fs(int fd, uint64_t blocks, const struct fs_mkfs_options *opt,
		      struct cl_error *err)
{
	uint64_t bytes = blocks * FS_BLOCK_SIZE;
	char path[64], count[32], label[17], uuid[40], journal[32], ratio[16];
	const char *argv[] = {
		"mke2fs",
		"-q",
		"-F",
		"-b",
		"4096",
		"-C",
		"65536",
		"-I",
		"256",
		"-m",
		"0",
		"-O",
		"none,has_journal,extent,64bit,metadata_csum,metadata_csum_seed,flex_bg,bigalloc,"
		"huge_file,large_file,dir_nlink,extra_isize,filetype,sparse_super,ext_"
		"attr",
		"-E",
		"lazy_itable_init=0,lazy_journal_init=0,nodiscard",
		"-J",
		journal,
		"-i",
		ratio,
		"-U",
		uuid,
		"-L",
		label,
		path,
		count,
		NULL
	};

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	(void)snprintf(count, sizeof(count), "%llu", (unsigned long long)blocks);
	(void)snprintf(label, sizeof(label), FS_LABEL_PREFIX "%.12s", opt->name);
	(void)snprintf(journal, sizeof(journal), "size=%u",
		       opt->journal_mb ? opt->journal_mb : journal_mb(bytes));
	(void)snprintf(ratio, sizeof(ratio), "%u", bytes_per_inode(bytes));
	uuid_text(opt->volume_uuid, uuid);
	return run((char *const *)argv, err);
}

/* The image, complete but for being on the device; ret_fs still has its bitmaps. */
static int make_image(uint64_t bytes, const struct fs_mkfs_options *opt, struct fs_dev **ret_dev,
		      struct fs **ret_fs, struct cl_error *err)
{
	/* Not CLOEXEC: mke2fs opens it as /proc/self/fd/N. */
	int fd = memfd_create("volume-image", 0), r;

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0) {
		r = cl_error_errno(err, -errno, "image in memory");
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	r = run_mke2fs(fd, bytes / FS_BLOCK_SIZE, opt, err);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	r = fs_dev_file_from_fd(fd, ret_dev, err);
	if (r == 0)
		r = fs_open_for_mkfs(*ret_dev, ret_fs, err);
	if (r == 0)
		r = fs_vol_create(*ret_fs, opt, err);
	return r;
}

static int copy_run(struct fs_dev *from, struct fs_dev *to, uint64_t off, uint64_t len,
		    uint8_t *buf)
{
	while (len) {
		size_t n = len < COPY_MAX ? len : COPY_MAX;
		int r = fs_dev_read(from, off, buf, n);

		if (r == 0)
			r = fs_dev_write(to, off, buf, n, 0);
		if (r < 0)
			return r;
		off += n;
		len -= n;
	}
	return 0;
}

/* Every allocated cluster but the first block, which holds the superblock. */
static int copy_all(struct fs *fs, struct fs_dev *from, struct fs_dev *to)
{
	_cleanup_free_ uint8_t *buf = malloc(COPY_MAX);
	uint64_t total = ext2fs_blocks_count(fs->e2->super), at = 0;

	if (!buf)
		return -ENOMEM;
	while (at < total) {
		blk64_t start, end;
		uint64_t skip;
		int r;

		if (ext2fs_find_first_set_block_bitmap2(fs->e2->block_map, at, total - 1, &start))
			return 0;
		start -= start % FS_RATIO;
		if (ext2fs_find_first_zero_block_bitmap2(fs->e2->block_map, start, total - 1, &end))
			end = total;
		end -= end % FS_RATIO;
		skip = start == 0 ? 1 : 0;
		r = copy_run(from, to, (start + skip) * FS_BLOCK_SIZE,
			     (end - start - skip) * FS_BLOCK_SIZE, buf);
		if (r < 0)
			return r;
		at = end;
	}
	return 0;
}

static int install(struct fs *fs, struct fs_dev *image, struct fs_dev *dev)
{
	uint8_t super[FS_BLOCK_SIZE];
	uint64_t tail = dev->bytes - dev->bytes % FS_BLOCK_SIZE - (1u << 20);
	int r = fs_dev_read(image, 0, super, sizeof(super));

	/* From here until the last write there is no file system on the device. */
	if (r == 0)
		r = fs_dev_zero(dev, 0, 1u << 20);
	if (r == 0)
		r = fs_dev_flush(dev);
	if (r == 0)
		r = fs_dev_zero(dev, tail, 1u << 20); /* a backup partition table */
	if (r == 0)
		r = copy_all(fs, image, dev);
	if (r == 0)
		r = fs_dev_flush(dev);
	if (r == 0)
		r = fs_dev_write(dev, 0, super, sizeof(super), FS_DEV_FUA);
	return r == 0 ? fs_dev_flush(dev) : r;
}

int fs_mkfs(struct fs_dev *dev, const struct fs_mkfs_options *opt, struct cl_error *err)
{
	_cleanup_(fs_dev_freep) struct fs_dev *image = NULL;
	_cleanup_(fs_freep) struct fs *fs = NULL;
	int r = fs_mkfs_check(dev, opt, err);

	if (r == 0)
		r = make_image(dev->bytes - dev->bytes % FS_CLUSTER_SIZE, opt, &image, &fs, err);
	if (r < 0)
		return r;
	r = install(fs, image, dev);
	return r < 0 ? cl_error_errno(err, r, "write the volume") : 0;
}
