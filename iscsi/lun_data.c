/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every kind of LUN has in common. Pure. */
#include "config.h"

#include <errno.h>

#include "iscsi/lun.h"

bool lun_io_shape_ok(const struct lun_data *d, const struct lun_io *io)
{
	uint64_t sum = 0;

	if (!io->done || (unsigned)io->dir > LUN_FLUSH)
		return false;
	if (io->dir == LUN_FLUSH)
		return true;
	if (!io->length || io->length > LUN_IO_BYTES_MAX || io->length % d->block_size ||
	    io->offset % d->block_size || io->offset > d->bytes ||
	    io->length > d->bytes - io->offset || io->iovcnt < 1 || io->iovcnt > LUN_IO_IOV_MAX)
		return false;
	for (int i = 0; i < io->iovcnt; i++) {
		if (io->iov[i].iov_len > LUN_IO_BYTES_MAX)
			return false;
		sum += io->iov[i].iov_len;
	}
	return sum == io->length;
}

static bool is_full(const struct lun_sense *sense)
{
	return sense->key == 7 && sense->ascq == LUN_ASCQ_NO_SPACE;
}

int lun_io_errno(const struct lun_io *io, enum lun_result result)
{
	switch (result) {
	case LUN_OK:
		return 0;
	case LUN_INVALID:
		return -EINVAL;
	case LUN_CONFLICT:
		return -EBADE;
	case LUN_LOST:
		return -ENOLINK;
	case LUN_REFUSED:
	case LUN_BUSY:
		return -EAGAIN;
	default:
		return is_full(&io->sense) ? -ENOSPC : -EIO;
	}
}
