/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The journal's checksums: crc32c without final inversion, seeded with the journal's uuid. */
#include "config.h"

#include "csv/jbd2_fmt.h"

#include <endian.h>
#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>

static const uint8_t zeros[4];

static uint32_t crc(uint32_t seed, const void *p, size_t len)
{
	return ext2fs_crc32c_le(seed, p, len);
}

static uint32_t crc_with_hole(uint32_t seed, const void *block, size_t size, size_t csum_off)
{
	const uint8_t *p = block;

	seed = crc(seed, p, csum_off);
	seed = crc(seed, zeros, 4);
	return crc(seed, p + csum_off + 4, size - csum_off - 4);
}

uint32_t jbd2_super_csum(const struct jbd2_super *sb)
{
	return crc_with_hole(~0u, sb, sizeof(*sb), offsetof(struct jbd2_super, checksum));
}

uint32_t jbd2_seed(const struct jbd2_super *sb)
{
	return crc(~0u, sb->uuid, sizeof(sb->uuid));
}

uint32_t jbd2_block_csum(uint32_t seed, const void *block, size_t csum_off)
{
	return crc_with_hole(seed, block, 4096, csum_off);
}

uint32_t jbd2_data_csum(uint32_t seed, uint32_t sequence, const void *block)
{
	uint32_t seq_be = htobe32(sequence);

	return crc(crc(seed, &seq_be, 4), block, 4096);
}
