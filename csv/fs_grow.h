/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a volume as large as its LUN, offline. resize2fs is no help: it refuses volumes with clusters, and forced (-f,
 * 1.47.0) it leaves wrong bitmaps and counts.
 */
#ifndef CSV_FS_GROW_H
#define CSV_FS_GROW_H

#include "csv/fs.h"

/*
 * Offline: nobody else may have the volume open, and the caller owns it as for fs_open() (whose checks and replay come
 * first). Grows to the size of dev, rounded down to clusters; a rest at the end too small for a group's metadata is left.
 * Sizes in bytes; both the same: there was nothing to grow.
 *
 * New groups are written behind the end of the old file system, where nobody looks; one transaction then makes it larger; the
 * backups of superblock and descriptors come last. Interrupted anywhere it is the old or the new volume, and calling again
 * finishes it. A volume whose descriptors need more blocks than it was made with gets the feature meta_bg.
 * -ENOSPC is not possible. May take long: the new inode tables (32 KiB to 4 MiB a GiB) are zeroed.
 */
int fs_grow(struct fs_dev *dev, const uint8_t *volume_uuid, uint64_t *ret_old, uint64_t *ret_new,
	    struct cl_error *err);

#endif
