/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>

#include "csv/fs_int.h"

static const struct {
	errcode_t e;
	int code;
} table[] = {
	{ EXT2_ET_BLOCK_ALLOC_FAIL, -ENOSPC },	{ EXT2_ET_INODE_ALLOC_FAIL, -ENOSPC },
	{ EXT2_ET_DIR_NO_SPACE, -ENOSPC },	{ EXT2_ET_EA_NO_SPACE, -ENOSPC },
	{ EXT2_ET_NO_MEMORY, -ENOMEM },		{ EXT2_ET_FILE_NOT_FOUND, -ENOENT },
	{ EXT2_ET_EA_KEY_NOT_FOUND, -ENODATA }, { EXT2_ET_NO_DIRECTORY, -ENOTDIR },
	{ EXT2_ET_RO_FILSYS, -EROFS },		{ EXT2_ET_SHORT_READ, -EIO },
	{ EXT2_ET_SHORT_WRITE, -EIO },		{ EXT2_ET_BAD_INODE_NUM, -ENOENT },
	{ EXT2_ET_FILE_TOO_BIG, -EFBIG },	{ EXT2_ET_INVALID_ARGUMENT, -EINVAL },
};

int fs_errno(errcode_t e)
{
	if (e == 0)
		return 0;
	if (e > 0 && e < 256)
		return -(int)e;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].e == e)
			return table[i].code;
	return -EUCLEAN; /* the rest says that the structure on disk does not hold together */
}
