/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/fs_sig.h"

#include <string.h>

#include "csv/fs_int.h"

#define LOOK (1u << 20)

static const struct {
	const char *what;
	size_t off;
	const char *bytes;
	size_t len;
} sigs[] = {
	{ FS_SIG_VOLUME, 1024 + 0x78, FS_LABEL_PREFIX, 4 },
	{ "an ext2/3/4 file system", 1024 + 0x38, "\x53\xef", 2 },
	{ "an XFS file system", 0, "XFSB", 4 },
	{ "a LUKS container", 0, "LUKS\xba\xbe", 6 },
	{ "a qcow2 image", 0, "QFI\xfb", 4 },
	{ "an NTFS file system", 3, "NTFS    ", 8 },
	{ "a Btrfs file system", 65536 + 64, "_BHRfS_M", 8 },
	{ "swap space", 4086, "SWAPSPACE2", 10 },
	{ "a RAID member", 4096, "\xfc\x4e\x2b\xa9", 4 },
	{ "a RAID member", 0, "\xfc\x4e\x2b\xa9", 4 },
	{ "an LVM physical volume", 512, "LABELONE", 8 },
	{ "an LVM physical volume", 0, "LABELONE", 8 },
	{ "an LVM physical volume", 1024, "LABELONE", 8 },
	{ "a GFS2 file system", 65536, "\x01\x16\x19\x70", 4 },
	{ "an OCFS2 file system", 8192, "OCFSV2", 6 },
	{ "a partition table (GPT)", 512, "EFI PART", 8 },
	{ "a partition table (GPT)", 4096, "EFI PART", 8 },
	{ "a partition table", 510, "\x55\xaa", 2 },
};

int fs_sig_find(struct fs_dev *dev, const char **ret_what)
{
	_cleanup_free_ char *buf = malloc(LOOK);
	int r = buf ? fs_dev_read(dev, 0, buf, LOOK) : -ENOMEM;

	if (r < 0)
		return r;
	*ret_what = NULL;
	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		if (memcmp(buf + sigs[i].off, sigs[i].bytes, sigs[i].len) == 0) {
			*ret_what = sigs[i].what;
			return 0;
		}
	}
	for (size_t i = 0; i < LOOK && !*ret_what; i++)
		if (buf[i])
			*ret_what = FS_SIG_UNKNOWN;
	return 0;
}
