/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume in a file or on a block device: for tests, tools and mkfs's image. */
#include "config.h"

#include "csv/fs_dev.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file_dev {
	struct fs_dev dev;
	int fd;
};

static int file_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	struct file_dev *f = (struct file_dev *)dev;
	char *p = buf;

	while (len) {
		ssize_t n = pread(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int file_flush(struct fs_dev *dev)
{
	struct file_dev *f = (struct file_dev *)dev;

	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int file_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	struct file_dev *f = (struct file_dev *)dev;
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return flags & FS_DEV_FUA ? file_flush(dev) : 0;
}

static void file_free(struct fs_dev *dev)
{
	struct file_dev *f = (struct file_dev *)dev;

	(void)close(f->fd);
	free(f);
}

static const struct fs_dev_ops file_ops = {
	.read = file_read,
	.write = file_write,
	.flush = file_flush,
	.free = file_free,
};

int fs_dev_file_from_fd(int fd_in, struct fs_dev **ret, struct cl_error *err)
{
	_cleanup_close_ int fd = fd_in;
	struct file_dev *f;
	off_t end = lseek(fd, 0, SEEK_END);

	if (end < 0)
		return cl_error_errno(err, -errno, "size of the device");
	f = calloc(1, sizeof(*f));
	if (!f)
		return cl_error_errno(err, -ENOMEM, "device");
	f->dev.ops = &file_ops;
	f->dev.bytes = (uint64_t)end;
	f->fd = cl_steal_fd(&fd);
	*ret = &f->dev;
	return 0;
}

int fs_dev_file_open(const char *path, int read_only, struct fs_dev **ret, struct cl_error *err)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC), r;

	if (fd < 0)
		return cl_error_errno(err, -errno, "'%s'", path);
	r = fs_dev_file_from_fd(fd, ret, err);
	return r < 0 ? cl_error_wrap(err, r, "'%s'", path) : 0;
}
