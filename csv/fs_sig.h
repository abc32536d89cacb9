/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose data is on a device: only to refuse in words before it is overwritten. */
#ifndef CSV_FS_SIG_H
#define CSV_FS_SIG_H

#include "csv/fs_dev.h"

/* What was recognised in the first MiB ("a partition table"), NULL when it is all zeros; or -errno.
 */
#define FS_SIG_VOLUME "a cluster volume"
#define FS_SIG_UNKNOWN "data of an unknown kind"

int fs_sig_find(struct fs_dev *dev, const char **ret_what);

#endif
