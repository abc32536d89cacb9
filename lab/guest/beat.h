/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the test guests and the collector agree on. Freestanding: the bare-metal guest has no libc.
 *
 * A guest broadcasts a `struct beat` by UDP every few ms, and writes a `struct beat_block` after the
 * other into the first part of its disk, used as a ring: block number n stands in slot n modulo the
 * ring, is flushed before number n + 1 begins, and counts as acknowledged from then on. Everything
 * is little-endian, as the guests' machine is.
 */
#ifndef CL_LAB_GUEST_BEAT_H
#define CL_LAB_GUEST_BEAT_H

#include <stddef.h>
#include <stdint.h>

#define BEAT_PORT 9999
#define BEAT_MAGIC 0x54414542U /* "BEAT" */
#define BEAT_VERSION 1
#define BEAT_NAME 32
#define BEAT_BLOCK_MAGIC 0x4b4c4243U /* "CBLK" */
#define BEAT_BLOCK_SIZE 4096U
/* A new boot's beats begin at the next multiple: never below those of the boot before. */
#define BEAT_BOOT_STEP 0x100000ULL

struct beat {
	uint32_t magic;
	uint16_t version, size;
	char name[BEAT_NAME]; /* of the VM, NUL-padded */
	uint64_t boot;	      /* random, one per boot */
	uint64_t seq;	      /* one more with each beat */
	uint64_t disk_seq;    /* highest block acknowledged to this guest; 0 = none */
	uint64_t disk_found;  /* highest block found on the disk at boot; 0 = none */
	uint32_t disk_errors; /* failed requests and failed verifications since boot */
	uint32_t mem_errors;  /* memory pages that did not hold what was written to them */
	uint32_t interval_ms;
	uint32_t check; /* beat_check() of everything before */
};

struct beat_block {
	uint32_t magic;
	uint32_t check; /* beat_check() of everything behind this field */
	uint64_t disk_seq;
	uint64_t seq; /* beat at that time */
	uint64_t boot;
	char name[BEAT_NAME];
	uint32_t pattern[(BEAT_BLOCK_SIZE - 64) / 4];
};

_Static_assert(sizeof(struct beat_block) == BEAT_BLOCK_SIZE, "a block is 4 KiB");
_Static_assert(sizeof(struct beat) == 88, "the beat's layout");

/* FNV-1a over 32-bit words; size is a multiple of 4. */
static inline uint32_t beat_check(const void *data, size_t size)
{
	const unsigned char *p = (const unsigned char *)data;
	uint32_t h = 2166136261U;

	for (size_t i = 0; i < size; i += 4) {
		uint32_t w = (uint32_t)p[i] | (uint32_t)p[i + 1] << 8 | (uint32_t)p[i + 2] << 16 |
			     (uint32_t)p[i + 3] << 24;

		h = (h ^ w) * 16777619U;
	}
	return h;
}

static inline void beat_block_fill(struct beat_block *b, const char name[BEAT_NAME],
				   uint64_t disk_seq, uint64_t seq, uint64_t boot)
{
	uint32_t x = (uint32_t)disk_seq * 2654435761U + 1;

	b->magic = BEAT_BLOCK_MAGIC;
	b->disk_seq = disk_seq;
	b->seq = seq;
	b->boot = boot;
	for (int i = 0; i < BEAT_NAME; i++)
		b->name[i] = name[i];
	for (size_t i = 0; i < sizeof(b->pattern) / 4; i++) {
		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		b->pattern[i] = x;
	}
	b->check = beat_check(&b->disk_seq, BEAT_BLOCK_SIZE - 8);
}

static inline int beat_block_ok(const struct beat_block *b)
{
	return b->magic == BEAT_BLOCK_MAGIC && b->disk_seq != 0 &&
	       b->check == beat_check(&b->disk_seq, BEAT_BLOCK_SIZE - 8);
}

static inline int beat_block_blank(const struct beat_block *b)
{
	const uint32_t *w = (const uint32_t *)(const void *)b;

	for (size_t i = 0; i < BEAT_BLOCK_SIZE / 4; i++)
		if (w[i])
			return 0;
	return 1;
}

static inline void beat_seal(struct beat *b)
{
	b->magic = BEAT_MAGIC;
	b->version = BEAT_VERSION;
	b->size = sizeof(*b);
	b->check = beat_check(b, offsetof(struct beat, check));
}

#endif
