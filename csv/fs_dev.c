/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every device has in common: requests cut to size and held against the end of the device. */
#include "config.h"

#include "csv/fs_dev.h"

#include <stdbool.h>

#define PIECE (1u << 20)

/* The numbers may come from a damaged disk: refuse, never assert. */
static bool in_device(const struct fs_dev *dev, uint64_t off, uint64_t len)
{
	return off % FS_BLOCK_SIZE == 0 && len % FS_BLOCK_SIZE == 0 && len <= dev->bytes &&
	       off <= dev->bytes - len;
}

int fs_dev_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	char *p = buf;

	if (!in_device(dev, off, len))
		return -EIO;
	while (len) {
		size_t n = len < PIECE ? len : PIECE;
		int r = dev->ops->read(dev, off, p, n);

		if (r < 0)
			return r;
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

int fs_dev_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	const char *p = buf;

	if (!in_device(dev, off, len))
		return -EIO;
	while (len) {
		size_t n = len < PIECE ? len : PIECE;
		int r = dev->ops->write(dev, off, p, n, flags);

		if (r < 0)
			return r;
		off += n;
		p += n;
		len -= n;
	}
	return 0;
}

int fs_dev_zero(struct fs_dev *dev, uint64_t off, uint64_t len)
{
	static const char zeros[PIECE];

	while (len) {
		size_t n = len < PIECE ? len : PIECE;
		int r = fs_dev_write(dev, off, zeros, n, 0);

		if (r < 0)
			return r;
		off += n;
		len -= n;
	}
	return 0;
}

int fs_dev_flush(struct fs_dev *dev)
{
	return dev->ops->flush(dev);
}

void fs_dev_free(struct fs_dev *dev)
{
	if (dev)
		dev->ops->free(dev);
}
