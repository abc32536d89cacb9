/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/jbd2_log.h"

#include <endian.h>
#include <string.h>

#define INCOMPAT_KNOWN JBD2_INCOMPAT_OURS

static int check_super(struct jbd2_log *log, struct cl_error *err)
{
	const struct jbd2_super *sb = &log->sb;
	uint32_t incompat = be32toh(sb->feature_incompat), start = be32toh(sb->start);

	if (be32toh(sb->h.magic) != JBD2_MAGIC || be32toh(sb->h.type) != JBD2_SUPER_V2)
		return cl_error_set(err, -EUCLEAN, "the journal has no superblock: run e2fsck");
	if (be32toh(sb->blocksize) != FS_BLOCK_SIZE || be32toh(sb->maxlen) != log->len ||
	    be32toh(sb->first) == 0 || be32toh(sb->first) + 256 > log->len)
		return cl_error_set(err, -EUCLEAN, "the journal's size is not the one of its file");
	if (start && (start < be32toh(sb->first) || start >= log->len))
		return cl_error_set(err, -EUCLEAN,
				    "the journal starts outside of itself: run e2fsck");
	if (incompat & ~INCOMPAT_KNOWN)
		return cl_error_set(err, -ENOTSUP, "journal with unknown features 0x%x", incompat);
	if (incompat & JBD2_INCOMPAT_CSUM_V3 && be32toh(sb->checksum) != jbd2_super_csum(sb))
		return cl_error_set(err, -EUCLEAN, "the journal superblock's checksum is wrong");
	/* Only our own writer's form is replayed; any other is e2fsck's to replay. */
	if (start && incompat != JBD2_INCOMPAT_OURS) {
		(void)cl_error_set(err, -ENOTSUP, "a journal in use that we did not write");
		(void)cl_error_hint(err,
				    "stop the volume and replay it with e2fsck -fy on one node");
		return -ENOTSUP;
	}
	return 0;
}

int jbd2_log_open(struct jbd2_log *log, struct fs_dev *dev, uint64_t *map, uint32_t len,
		  struct cl_error *err)
{
	int r;

	*log = (struct jbd2_log){ .dev = dev, .map = map, .len = len };
	if (len < 1024)
		return cl_error_set(err, -EUCLEAN, "a journal of %u blocks is too small", len);
	r = jbd2_log_read(log, 0, log->block0);
	if (r < 0)
		return cl_error_errno(err, r, "read the journal's superblock");
	r = check_super(log, err);
	if (r < 0)
		return r;
	log->first = be32toh(log->sb.first);
	log->seed = jbd2_seed(&log->sb);
	return 0;
}

void jbd2_log_fini(struct jbd2_log *log)
{
	free(log->map);
	log->map = NULL;
}

int jbd2_log_read(struct jbd2_log *log, uint32_t at, void *block)
{
	return fs_dev_read(log->dev, log->map[at] * FS_BLOCK_SIZE, block, FS_BLOCK_SIZE);
}

int jbd2_log_write_super(struct jbd2_log *log, uint32_t start, uint32_t sequence)
{
	struct jbd2_super *sb = &log->sb;

	/* mke2fs leaves these empty; a writer has to set them before the log has anything in it. */
	sb->feature_compat = 0;
	sb->feature_incompat = htobe32(JBD2_INCOMPAT_OURS);
	sb->feature_ro_compat = 0;
	sb->checksum_type = JBD2_CHECKSUM_CRC32C;
	sb->num_fc_blks = 0;
	sb->head = 0;
	sb->start = htobe32(start);
	sb->sequence = htobe32(sequence);
	sb->checksum = htobe32(jbd2_super_csum(sb));
	return fs_dev_write(log->dev, log->map[0] * FS_BLOCK_SIZE, log->block0, FS_BLOCK_SIZE,
			    FS_DEV_FUA);
}
