/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iscsi/local_file.h"
#include "lib/cleanup.h"

/*
 * Locks lie far behind any data, one byte per node. They belong to the open file (OFD), not to the
 * process: a request in the kernel's hands keeps the file open, so the lock is still there as long as
 * a write of a killed process can land.
 */
#define LOCK_BASE (INT64_MAX - 4096)

const char *lun_local_path(const char *url)
{
	if (strncmp(url, "file:///", 8) == 0)
		return url + 7;
	if (strncmp(url, "block:///", 9) == 0)
		return url + 8;
	return NULL;
}

static bool wants_block(const char *url)
{
	return strncmp(url, "block:", 6) == 0;
}

struct lun_sense local_sense(int error)
{
	if (error == ENOSPC || error == EDQUOT) /* DATA PROTECT, space allocation failed */
		return (struct lun_sense){ .status = 2, .key = 7, .ascq = LUN_ASCQ_NO_SPACE };
	return (struct lun_sense){ .status = 2, .key = 3 };
}

static struct flock lock_of(unsigned node, unsigned role, unsigned roles)
{
	return (struct flock){ .l_type = F_WRLCK,
			       .l_whence = SEEK_SET,
			       .l_start = LOCK_BASE + (off_t)(node * LUN_LOCAL_ROLES + role),
			       .l_len = roles };
}

int lun_local_lock(int fd, const char *url, unsigned node, enum lun_local_role role,
		   struct cl_error *err)
{
	struct flock lock = lock_of(node, role, 1);

	if (node > 255)
		return cl_error_set(err, -EINVAL, "%s: node %u", url, node);
	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return cl_error_set(err, -EBUSY, "%s: an earlier process of node %u still has it",
				    url, node);
	return cl_error_errno(err, -errno, "%s: lock", url);
}

int lun_local_held(const char *url, unsigned node, struct cl_error *err)
{
	const char *path = lun_local_path(url);
	_cleanup_close_ int fd = path ? open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;
	struct flock lock = lock_of(node, 0, LUN_LOCAL_ROLES);

	if (fd < 0)
		return cl_error_errno(err, path ? -errno : -EINVAL, "%s", url);
	if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
		return cl_error_errno(err, -errno, "%s: lock", url);
	return lock.l_type != F_UNLCK;
}

/* ---- shape ---- */

static int measure_device(struct local_file *f, const char *url, struct cl_error *err)
{
	int block = 0, ro = 0;

	if (ioctl(f->fd, BLKGETSIZE64, &f->bytes) != 0 || ioctl(f->fd, BLKSSZGET, &block) != 0 ||
	    ioctl(f->fd, BLKROGET, &ro) != 0)
		return cl_error_errno(err, -errno, "%s: size", url);
	if (ro)
		return cl_error_set(err, -EROFS, "%s: the device is read-only", url);
	f->block_size = (uint32_t)block;
	return 0;
}

/* Direct I/O of a file wants what its file system's device wants: 512 or 4096. */
static void measure_file(struct local_file *f, const struct stat *st)
{
	f->bytes = (uint64_t)st->st_size;
	f->block_size = 512;
#ifdef STATX_DIOALIGN
	struct statx x;

	if (f->direct && statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &x) == 0 &&
	    (x.stx_mask & STATX_DIOALIGN) && x.stx_dio_offset_align > 512)
		f->block_size = x.stx_dio_offset_align;
#else
	if (f->direct)
		f->block_size = 4096;
#endif
}

static int measure(struct local_file *f, const struct lun_uring_config *c, struct cl_error *err)
{
	struct stat st;
	int r;

	if (fstat(f->fd, &st) != 0)
		return cl_error_errno(err, -errno, "%s", c->url);
	if (S_ISBLK(st.st_mode)) {
		r = measure_device(f, c->url, err);
		if (r < 0)
			return r;
	} else {
		measure_file(f, &st);
	}
	if (f->block_size != 512 && f->block_size != 4096)
		return cl_error_set(err, -ENOTSUP, "%s: cannot use blocks of %u bytes", c->url,
				    f->block_size);
	f->memory_align = f->block_size;
	f->bytes -= f->bytes % f->block_size;
	if (!f->bytes || f->bytes < c->min_bytes)
		return cl_error_set(err, -EFBIG,
				    "%s has %" PRIu64 " bytes, and has to have %" PRIu64, c->url,
				    f->bytes, c->min_bytes ? c->min_bytes : f->block_size);
	return 0;
}

/* O_EXCL on a block device: not one that is mounted, or part of something else. */
static int open_it(const struct lun_uring_config *c, struct local_file *f, struct cl_error *err)
{
	bool block = wants_block(c->url);
	struct stat st;

	f->fd = open(lun_local_path(c->url),
		     O_RDWR | O_CLOEXEC | O_NONBLOCK | (block && !c->node ? O_EXCL : 0));
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return cl_error_errno(err, -errno, "%s", c->url);
	if (block ? !S_ISBLK(st.st_mode) : !S_ISREG(st.st_mode))
		return cl_error_set(err, -ENOTBLK, "%s is no %s", c->url,
				    block ? "block device" : "regular file");
	return 0;
}

/*
 * A file system without direct I/O: then fdatasync alone decides what is durable. A device is never read
 * through this machine's cache.
 */
static int make_direct(const struct lun_uring_config *c, struct local_file *f, struct cl_error *err)
{
	if (c->buffered)
		return 0;
	f->direct = fcntl(f->fd, F_SETFL, O_DIRECT) == 0;
	if (!f->direct && wants_block(c->url))
		return cl_error_errno(err, -errno, "%s: direct I/O", c->url);
	return 0;
}

int local_open(const struct lun_uring_config *c, struct local_file *ret, struct cl_error *err)
{
	struct local_file f = { .fd = -1 };
	int r;

	ret->fd = -1;
	if (!lun_local_path(c->url))
		return cl_error_set(err, -EINVAL,
				    "'%.200s' is not of the form file:///PATH or "
				    "block:///dev/...",
				    c->url);
	r = open_it(c, &f, err);
	if (r == 0)
		r = make_direct(c, &f, err);
	if (r == 0)
		r = measure(&f, c, err);
	if (r == 0 && c->node)
		r = lun_local_lock(f.fd, c->url, c->node, LUN_LOCAL_DATA, err);
	if (r < 0) {
		local_close(&f);
		return r;
	}
	*ret = f;
	return 0;
}

void local_close(struct local_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}
