/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/op.h"

#include <fcntl.h>

bool op_repeatable(const Csv__Op *op)
{
	switch (op->kind) {
	case CSV__KIND__MKNOD:
	case CSV__KIND__MKDIR:
	case CSV__KIND__UNLINK:
	case CSV__KIND__RMDIR:
	case CSV__KIND__SYMLINK:
	case CSV__KIND__RENAME:
	case CSV__KIND__LINK:
	case CSV__KIND__SETXATTR:
	case CSV__KIND__REMOVEXATTR:
	case CSV__KIND__FALLOCATE:
	case CSV__KIND__NAME_PRIVATE:
		return false;
	case CSV__KIND__CREATE:
		/* What has no name is nobody's yet: made again, and the first one goes with its handle. */
		return (op->flags & O_TMPFILE) == O_TMPFILE;
	case CSV__KIND__SETATTR:
		/* A truncation done again would cut what was written since. */
		return !(op->valid & OP_SET_SIZE);
	case CSV__KIND__WRITE:
		return !(op->flags & O_APPEND);
	default:
		return true;
	}
}

bool op_is_bulk(const Csv__Op *op)
{
	return op->kind == CSV__KIND__READ || op->kind == CSV__KIND__WRITE ||
	       op->kind == CSV__KIND__BLOCK_READ || op->kind == CSV__KIND__BLOCK_WRITE;
}
