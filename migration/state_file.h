/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a saved state: whose it is, then QEMU's migration stream in chunks.
 *
 *     block 0      identity (struct state_id), checksummed
 *     chunk i      block: magic, i, length, checksum of the data, bytes before it, own checksum
 *                  the data, filled up with zeros to whole blocks
 *     end          block like a chunk's of length 0, with the totals
 *
 * Blocks are of 4096 bytes, so that all I/O is aligned. A chunk is checked before a byte of it is
 * given out: QEMU never sees what is not what another QEMU wrote. Without the end it is torn, however
 * much of it is there.
 *
 * A state is valid for one handover: from generation g to the reserved number, both of which are
 * never given twice. So a state that was used, or one that was saved for a handover that was given
 * up, is refused wherever it turns up.
 */
#ifndef CL_MIGRATION_STATE_FILE_H
#define CL_MIGRATION_STATE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "migration/vm_config.h"

#define STATE_BLOCK 4096u
#define STATE_CHUNK (1u << 20)

struct state_id {
	char name[VM_NAME_MAX + 1];
	char uuid[37];
	char machine[64];
	uint32_t cpus;
	uint64_t ram_bytes;
	uint64_t generation, reserved;
};

/* Of a VM with this configuration; reserved is the number of who may take it up. */
void state_id_of(const struct vm_config *config, uint64_t generation, uint64_t reserved,
		 struct state_id *ret);

/* Where it lies: beside the VM's first disk. -ENOENT: it has none; -ENAMETOOLONG. */
int state_path(const struct vm_config *config, uint64_t reserved, char *buf, size_t size);

/*
 * Remove every saved state of the VM that lies there: it is about to start from its disks, which
 * voids them. May wait as long as the volume does.
 */
void state_sweep(const struct vm_config *config);

struct state_writer {
	int fd;
	uint64_t at, total, chunks;
	size_t fill;
	uint8_t *buf; /* a block and a chunk */
};

/* fd is borrowed. */
int state_writer_init(struct state_writer *w, int fd, const struct state_id *id,
		      struct cl_error *err);
int state_writer_put(struct state_writer *w, const void *data, size_t len, struct cl_error *err);
/* The end, and all of it stable. */
int state_writer_end(struct state_writer *w, struct cl_error *err);
void state_writer_fini(struct state_writer *w);

struct state_reader {
	int fd;
	uint64_t at, total, chunks;
	uint8_t *buf;
};

/* -CL_EREFUSED with the reason when it is not the state that is awaited, or no state at all. */
int state_reader_init(struct state_reader *r, int fd, const struct state_id *awaited,
		      struct cl_error *err);
/* 1: the next chunk (valid until the next call), 0: the end was there and right, negative: torn. */
int state_reader_next(struct state_reader *r, const void **ret, size_t *ret_len,
		      struct cl_error *err);
void state_reader_fini(struct state_reader *r);

#endif
