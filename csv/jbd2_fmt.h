/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The journal's form on disk (kernel documentation: filesystems/ext4/journal.rst). All fields are
 * big-endian. We write 64BIT + CSUM_V3 + REVOKE and nothing else.
 */
#ifndef CSV_JBD2_FMT_H
#define CSV_JBD2_FMT_H

#include <stddef.h>
#include <stdint.h>

#define JBD2_MAGIC 0xC03B3998u

enum jbd2_type {
	JBD2_DESCRIPTOR = 1,
	JBD2_COMMIT = 2,
	JBD2_SUPER_V2 = 4,
	JBD2_REVOKE = 5,
};

enum {
	JBD2_INCOMPAT_REVOKE = 0x1,
	JBD2_INCOMPAT_64BIT = 0x2,
	JBD2_INCOMPAT_CSUM_V3 = 0x10,
	JBD2_INCOMPAT_OURS = JBD2_INCOMPAT_REVOKE | JBD2_INCOMPAT_64BIT | JBD2_INCOMPAT_CSUM_V3,
	JBD2_CHECKSUM_CRC32C = 4,
};

enum { JBD2_TAG_ESCAPE = 1, JBD2_TAG_SAME_UUID = 2, JBD2_TAG_LAST = 8 };

struct jbd2_header {
	uint32_t magic, type, sequence;
};

struct jbd2_super {
	struct jbd2_header h;
	uint32_t blocksize, maxlen, first;
	uint32_t sequence, start; /* of the log's tail; start 0 = empty */
	uint32_t error;
	uint32_t feature_compat, feature_incompat, feature_ro_compat;
	uint8_t uuid[16];
	uint32_t nr_users, dynsuper, max_transaction, max_trans_data;
	uint8_t checksum_type, pad1[3];
	uint32_t num_fc_blks, head, pad2[40];
	uint32_t checksum; /* of these 1024 bytes with this field 0 */
	uint8_t users[768];
};
_Static_assert(sizeof(struct jbd2_super) == 1024, "journal superblock");
_Static_assert(offsetof(struct jbd2_super, checksum) == 0xFC, "journal superblock checksum");

/* A tag with 64BIT and CSUM_V3; without SAME_UUID the journal's uuid (16 bytes) follows it. */
struct jbd2_tag {
	uint32_t blocknr, flags, blocknr_high, checksum;
};

struct jbd2_revoke {
	struct jbd2_header h;
	uint32_t bytes_used; /* this header included; then 64-bit block numbers */
};

struct jbd2_commit {
	struct jbd2_header h;
	uint8_t chksum_type, chksum_size, pad[2];
	uint32_t chksum[8]; /* [0]: of the whole block with this field 0 */
	uint64_t sec;
	uint32_t nsec;
} __attribute__((packed));

/* The last four bytes of descriptor and revoke blocks. */
#define JBD2_TAIL_OFFSET (4096 - 4)
#define JBD2_REVOKES_PER_BLOCK ((JBD2_TAIL_OFFSET - sizeof(struct jbd2_revoke)) / 8)
#define JBD2_TAGS_PER_BLOCK                                                                        \
	((JBD2_TAIL_OFFSET - sizeof(struct jbd2_header) - 16) / sizeof(struct jbd2_tag))

uint32_t jbd2_super_csum(const struct jbd2_super *sb);
uint32_t jbd2_seed(const struct jbd2_super *sb);
/* Of a 4-KiB block whose 4 checksum bytes at csum_off count as zero. */
uint32_t jbd2_block_csum(uint32_t seed, const void *block, size_t csum_off);
/* Of a logged block (as it is in the log, escaped), for its tag. */
uint32_t jbd2_data_csum(uint32_t seed, uint32_t sequence, const void *block);

#endif
