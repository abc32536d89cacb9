/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checking the metadata of a volume while it is in use: `check vol1` online. The coordinator calls fs_check_step()
 * between its batches, so that serving goes on; each step is bounded.
 *
 * What is checked, of the state in memory (the running transaction included) or, where nothing waits to be written, of
 * the device:
 *   groups       checksums of descriptors and bitmaps; free counts against the bitmaps
 *   inodes       checksums; extent trees: checksums of their blocks, order, blocks inside the volume
 *   directories  checksums, structure, every name leads to an inode in use
 *   ownership    every cluster that an inode has is marked in use, and none has two owners; in the end every cluster
 *                in use has an owner
 *
 * What is allocated or freed while the check runs is not judged. Nothing is modified, ever. What is found is to be repaired
 * offline (e2fsck -fy), which also looks at what is not looked at here: link counts, inodes without a name.
 *
 * Not found by any of them: data that differs from what was written (there are no checksums of data).
 */
#ifndef CSV_FS_CHECK_H
#define CSV_FS_CHECK_H

#include "csv/fs.h"

struct fs_check;

struct fs_check_report {
	bool done;		   /* the whole volume was walked */
	unsigned permille;	   /* roughly how far it is */
	uint64_t inodes, clusters; /* visited; clusters with an owner */
	uint64_t problems;	   /* found so far */
};

/* One problem, as one line of text, when it is found. Not called for more than 100 of them. */
typedef void (*fs_check_problem_fn)(void *user, const char *text);

/*
 * A cursor at the start of fs. Memory: 2 bits for each cluster (512 KiB for 128 GiB). At most one check of an
 * object at a time (-EBUSY). fs must outlive it; free it before fs_free().
 */
int fs_check_new(struct fs *fs, fs_check_problem_fn problem, void *user, struct fs_check **ret);

/*
 * Go on: 16 groups, 16 blocks of inodes with their trees and directories, or 65536 clusters: milliseconds, but for files of
 * a hundred thousand extents. 0, or negative when it cannot go on: -EIO and the like from the device, -ENOMEM; the volume
 * itself is not affected (reads only). Not between begin and end.
 */
int fs_check_step(struct fs_check *check, struct fs_check_report *ret);

void fs_check_free(struct fs_check *check);
CL_DEFINE_CLEANUP(struct fs_check, fs_check_free);

#endif
