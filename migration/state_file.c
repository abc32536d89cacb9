/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/state_file.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/crc32c.h"
#include "lib/le.h"

#define MAGIC "clVMstate1\n"
#define CHUNK_MAGIC 0x4b4e4843u
#define END_MAGIC 0x21444e45u
#define CRC_AT (STATE_BLOCK - 4)

void state_id_of(const struct vm_config *config, uint64_t generation, uint64_t reserved,
		 struct state_id *ret)
{
	*ret = (struct state_id){ .cpus = config->cpus,
				  .ram_bytes = vm_config_ram_bytes(config),
				  .generation = generation,
				  .reserved = reserved };
	(void)snprintf(ret->name, sizeof(ret->name), "%s", config->name);
	(void)snprintf(ret->uuid, sizeof(ret->uuid), "%s", config->uuid);
	(void)snprintf(ret->machine, sizeof(ret->machine), "%s", config->machine);
}

/* ---- where it lies -------------------------------------------------------------------------- */

static int directory_of(const struct vm_config *config, char *buf, size_t size)
{
	const char *path = config->n_disks ? config->disks[0].path : NULL;
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash)
		return -ENOENT;
	return snprintf(buf, size, "%.*s", (int)(slash - path), path) < (int)size ? 0
										  : -ENAMETOOLONG;
}

int state_path(const struct vm_config *config, uint64_t reserved, char *buf, size_t size)
{
	char dir[1024];
	int r = directory_of(config, dir, sizeof(dir));

	if (r < 0)
		return r;
	return snprintf(buf, size, "%s/.%s.%" PRIu64 ".state", dir, config->name, reserved) <
			       (int)size
		       ? 0
		       : -ENAMETOOLONG;
}

/* ".NAME.<digits>.state" */
static bool is_state_of(const char *file, const char *name)
{
	size_t n = strlen(name), digits;

	if (file[0] != '.' || strncmp(file + 1, name, n) != 0 || file[n + 1] != '.')
		return false;
	digits = strspn(file + n + 2, "0123456789");
	return digits > 0 && strcmp(file + n + 2 + digits, ".state") == 0;
}

void state_sweep(const struct vm_config *config)
{
	char path[1024];
	struct dirent *e;
	DIR *dir;

	if (directory_of(config, path, sizeof(path)) < 0 || !(dir = opendir(path)))
		return;
	while ((e = readdir(dir)))
		if (is_state_of(e->d_name, config->name))
			(void)unlinkat(dirfd(dir), e->d_name, 0);
	(void)closedir(dir);
}

/* ---- writing -------------------------------------------------------------------------------- */

static int write_all(struct state_writer *w, const uint8_t *data, size_t len, struct cl_error *err)
{
	while (len) {
		ssize_t n = pwrite(w->fd, data, len, (off_t)w->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return cl_error_errno(err, n ? -errno : -EIO, "saved state");
		data += n;
		len -= (size_t)n;
		w->at += (uint64_t)n;
	}
	return 0;
}

static void seal(uint8_t *block)
{
	cl_put_le32(block + CRC_AT, cl_crc32c(0, block, CRC_AT));
}

/* Field positions of block 0. */
enum {
	AT_NAME = 16,
	AT_UUID = 80,
	AT_MACHINE = 128,
	AT_CPUS = 192,
	AT_RAM = 200,
	AT_GEN = 208,
	AT_RESERVED = 216
};

static void id_to_block(const struct state_id *id, uint8_t *block)
{
	memset(block, 0, STATE_BLOCK);
	memcpy(block, MAGIC, strlen(MAGIC));
	memcpy(block + AT_NAME, id->name, sizeof(id->name));
	memcpy(block + AT_UUID, id->uuid, sizeof(id->uuid));
	memcpy(block + AT_MACHINE, id->machine, sizeof(id->machine));
	cl_put_le32(block + AT_CPUS, id->cpus);
	cl_put_le64(block + AT_RAM, id->ram_bytes);
	cl_put_le64(block + AT_GEN, id->generation);
	cl_put_le64(block + AT_RESERVED, id->reserved);
	seal(block);
}

int state_writer_init(struct state_writer *w, int fd, const struct state_id *id,
		      struct cl_error *err)
{
	*w = (struct state_writer){ .fd = fd };
	w->buf = aligned_alloc(STATE_BLOCK, STATE_BLOCK + STATE_CHUNK);
	if (!w->buf)
		return cl_error_errno(err, -ENOMEM, "saved state");
	id_to_block(id, w->buf);
	return write_all(w, w->buf, STATE_BLOCK, err);
}

static void chunk_head(struct state_writer *w, uint32_t magic)
{
	memset(w->buf, 0, STATE_BLOCK);
	cl_put_le32(w->buf, magic);
	cl_put_le32(w->buf + 4, (uint32_t)w->fill);
	cl_put_le64(w->buf + 8, w->chunks);
	cl_put_le64(w->buf + 16, w->total);
	cl_put_le32(w->buf + 24, cl_crc32c(0, w->buf + STATE_BLOCK, w->fill));
	seal(w->buf);
}

static size_t whole_blocks(size_t n)
{
	return (n + STATE_BLOCK - 1) / STATE_BLOCK * STATE_BLOCK;
}

static int write_chunk(struct state_writer *w, struct cl_error *err)
{
	size_t padded = whole_blocks(w->fill);

	memset(w->buf + STATE_BLOCK + w->fill, 0, padded - w->fill);
	chunk_head(w, CHUNK_MAGIC);
	w->chunks++;
	w->total += w->fill;
	w->fill = 0;
	return write_all(w, w->buf, STATE_BLOCK + padded, err);
}

int state_writer_put(struct state_writer *w, const void *data, size_t len, struct cl_error *err)
{
	const uint8_t *from = data;
	int r = 0;

	while (len && r == 0) {
		size_t n = STATE_CHUNK - w->fill < len ? STATE_CHUNK - w->fill : len;

		memcpy(w->buf + STATE_BLOCK + w->fill, from, n);
		w->fill += n;
		from += n;
		len -= n;
		if (w->fill == STATE_CHUNK)
			r = write_chunk(w, err);
	}
	return r;
}

int state_writer_end(struct state_writer *w, struct cl_error *err)
{
	int r = w->fill ? write_chunk(w, err) : 0;

	if (r < 0)
		return r;
	chunk_head(w, END_MAGIC);
	r = write_all(w, w->buf, STATE_BLOCK, err);
	if (r == 0 && fsync(w->fd) < 0)
		r = cl_error_errno(err, -errno, "saved state");
	return r;
}

void state_writer_fini(struct state_writer *w)
{
	free(w->buf);
	w->buf = NULL;
}

/* ---- reading: every byte may be anything ------------------------------------------------------ */

/* Bytes read, fewer at the end of the file. */
static ssize_t read_all(struct state_reader *r, uint8_t *buf, size_t len)
{
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(r->fd, buf + have, len - have, (off_t)(r->at + have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	r->at += have;
	return (ssize_t)have;
}

static int torn(const struct state_reader *r, struct cl_error *err, const char *what)
{
	return cl_error_set(err, -CL_EREFUSED, "the saved state is torn: chunk %" PRIu64 " %s",
			    r->chunks, what);
}

static int read_block(struct state_reader *r, struct cl_error *err)
{
	ssize_t n = read_all(r, r->buf, STATE_BLOCK);

	if (n < 0)
		return cl_error_errno(err, (int)n, "saved state");
	if (n < (ssize_t)STATE_BLOCK)
		return torn(r, err, "is missing");
	if (cl_get_le32(r->buf + CRC_AT) != cl_crc32c(0, r->buf, CRC_AT))
		return torn(r, err, "has a damaged head");
	return 0;
}

static void id_from_block(const uint8_t *block, struct state_id *id)
{
	memcpy(id->name, block + AT_NAME, sizeof(id->name) - 1);
	memcpy(id->uuid, block + AT_UUID, sizeof(id->uuid) - 1);
	memcpy(id->machine, block + AT_MACHINE, sizeof(id->machine) - 1);
	id->cpus = cl_get_le32(block + AT_CPUS);
	id->ram_bytes = cl_get_le64(block + AT_RAM);
	id->generation = cl_get_le64(block + AT_GEN);
	id->reserved = cl_get_le64(block + AT_RESERVED);
}

static int compare(const struct state_id *is, const struct state_id *want, struct cl_error *err)
{
	if (strcmp(is->name, want->name) != 0 || strcmp(is->uuid, want->uuid) != 0)
		return cl_error_set(err, -CL_EREFUSED,
				    "the saved state is of VM '%s' (%s), not of '%s' (%s)",
				    is->name, is->uuid, want->name, want->uuid);
	if (is->generation != want->generation || is->reserved != want->reserved)
		return cl_error_set(err, -CL_EREFUSED,
				    "the saved state is void: it led from generation %" PRIu64
				    " to %" PRIu64 ", awaited is %" PRIu64 " to %" PRIu64,
				    is->generation, is->reserved, want->generation, want->reserved);
	if (strcmp(is->machine, want->machine) != 0 || is->ram_bytes != want->ram_bytes ||
	    is->cpus != want->cpus)
		return cl_error_set(err, -CL_EREFUSED,
				    "the saved state is of another machine: %s, %u CPUs, %" PRIu64
				    " bytes",
				    is->machine, is->cpus, is->ram_bytes);
	return 0;
}

int state_reader_init(struct state_reader *r, int fd, const struct state_id *awaited,
		      struct cl_error *err)
{
	struct state_id id = { 0 };
	ssize_t n;

	*r = (struct state_reader){ .fd = fd };
	r->buf = aligned_alloc(STATE_BLOCK, STATE_BLOCK + STATE_CHUNK);
	if (!r->buf)
		return cl_error_errno(err, -ENOMEM, "saved state");
	n = read_all(r, r->buf, STATE_BLOCK);
	if (n < 0)
		return cl_error_errno(err, (int)n, "saved state");
	if (n < (ssize_t)STATE_BLOCK || memcmp(r->buf, MAGIC, strlen(MAGIC)) != 0 ||
	    cl_get_le32(r->buf + CRC_AT) != cl_crc32c(0, r->buf, CRC_AT))
		return cl_error_set(err, -CL_EREFUSED,
				    "this is no saved state, or its head is damaged");
	id_from_block(r->buf, &id);
	return compare(&id, awaited, err);
}

int state_reader_next(struct state_reader *r, const void **ret, size_t *ret_len,
		      struct cl_error *err)
{
	uint32_t magic, len, crc;
	ssize_t n;
	int e = read_block(r, err);

	if (e < 0)
		return e;
	magic = cl_get_le32(r->buf);
	len = cl_get_le32(r->buf + 4);
	crc = cl_get_le32(r->buf + 24);
	if ((magic != CHUNK_MAGIC && magic != END_MAGIC) || len > STATE_CHUNK ||
	    (magic == END_MAGIC) != (len == 0) || cl_get_le64(r->buf + 8) != r->chunks ||
	    cl_get_le64(r->buf + 16) != r->total)
		return torn(r, err, "is not the one that follows");
	if (magic == END_MAGIC)
		return 0;
	n = read_all(r, r->buf + STATE_BLOCK, whole_blocks(len));
	if (n < 0)
		return cl_error_errno(err, (int)n, "saved state");
	if ((size_t)n < len || cl_crc32c(0, r->buf + STATE_BLOCK, len) != crc)
		return torn(r, err, "has a wrong checksum");
	r->chunks++;
	r->total += len;
	*ret = r->buf + STATE_BLOCK;
	*ret_len = len;
	return 1;
}

void state_reader_fini(struct state_reader *r)
{
	free(r->buf);
	r->buf = NULL;
}
