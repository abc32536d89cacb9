/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Targets: what stands on the witness LUN, in heartbeat units, and in the run directory of a node. */
#include "config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clusterd/feeder_files.h"
#include "clusterd/feeder_slice.h"
#include "clusterd/lease_file.h"
#include "csv/hb.h"
#include "iscsi/witness_dir.h"
#include "lib/le.h"
#include "proto/heartbeat.h"
#include "quorum/witness_log.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t id[16] = { 1, 2, 3, 4, 5 };

/* ---- the witness LUN: superblock, two owner's records, a slot ------------------------------------------ */

static size_t seed_witness(uint32_t number, uint8_t *buf, size_t max)
{
	const struct witness_super super = { .half_bytes = (1u + number % 9) << 16 };
	const struct witness_owner owner = { .claim = number, .node = 1 + number % 3 };
	const struct witness_slot slot = {
		.node = 7, .instance = number, .beat = 9, .seq = number
	};

	(void)max;
	witness_super_encode(&super, buf);
	witness_owner_encode(&owner, buf + (1 + number % 2) * WITNESS_UNIT);
	memset(buf + (2 - number % 2) * WITNESS_UNIT, 0, WITNESS_UNIT);
	witness_slot_encode(&slot, buf + 3 * WITNESS_UNIT);
	return (size_t)4 * WITNESS_UNIT;
}

/* What is taken is what it says: written again, it is taken as the same. */
static void one_witness(const uint8_t *data, size_t len)
{
	static uint8_t units[4 * WITNESS_UNIT], again[2 * WITNESS_UNIT];
	struct cl_error err = CL_ERROR_INIT;
	struct witness_super super, super2;
	struct witness_owner owner;
	struct witness_slot slot, slot2;

	memset(units, 0, sizeof(units));
	memcpy(units, data, len < sizeof(units) ? len : sizeof(units));
	if (witness_super_decode(units, &super, &err) < 0) {
		fuzz_claim(err.msg[0] != 0, "a LUN is refused without a word");
	} else {
		witness_super_encode(&super, again);
		fuzz_claim(witness_super_decode(again, &super2, NULL) == 0 &&
				   super2.half_bytes == super.half_bytes,
			   "a superblock that was taken is another one");
	}
	owner = witness_owner_decode(units + WITNESS_UNIT);
	memset(again, 0, sizeof(again));
	witness_owner_encode(&owner, again + owner.claim % 2 * WITNESS_UNIT);
	fuzz_claim(!owner.claim || witness_owner_decode(again).claim == owner.claim,
		   "an owner that was taken is another one");
	if (!witness_slot_decode(units + (size_t)3 * WITNESS_UNIT, 7, &slot))
		return;
	witness_slot_encode(&slot, again);
	fuzz_claim(witness_slot_decode(again, 7, &slot2) && slot2.beat == slot.beat &&
			   slot2.instance == slot.instance,
		   "a slot that was taken is another one");
}

/* ---- its log: places and bytes that are changed in a good one --------------------------------------------- */

enum {
	HALF = 64 * 1024,
	LOG_AT = WITNESS_LOG_UNIT * WITNESS_UNIT,
	LOG_BYTES = 2 * HALF,
	PATCH = 5,
	ENTRIES = 20,
};
static const struct witness_super witness = { .voter = { 1, 2, 3 }, .half_bytes = HALF };
static uint8_t good[LOG_BYTES], work[LOG_BYTES];

static void load(struct witness_log *log, uint64_t claim, const uint8_t *from)
{
	const struct witness_owner owner = { .claim = claim, .node = 1 };
	uint64_t at;
	uint32_t len;

	witness_log_init(log, &witness, &owner);
	while (witness_log_wants(log, &at, &len)) {
		fuzz_claim(at >= LOG_AT && at - LOG_AT + len <= LOG_BYTES,
			   "a read outside of the log");
		fuzz_claim(witness_log_give(log, from + (at - LOG_AT), len) == 0, "no memory");
	}
}

static void append(struct witness_log *log, uint64_t index, uint8_t *to)
{
	const struct raft_entry e = { .index = index,
				      .term = log->term ? log->term : 3,
				      .type = RAFT_ENTRY_COMMAND,
				      .len = 100,
				      .data = good };
	const struct raft_persist p = { .entries = &e,
					.n_entries = 1,
					.has_vote = true,
					.term = e.term,
					.vote = { .node = 2, .uuid = { 9 } } };
	const struct raft_line line = { 1, 77 };
	struct witness_write w = { 0 };

	if (witness_log_put(log, &p, &line, &w) < 0)
		return;
	fuzz_claim(w.offset >= LOG_AT && w.offset - LOG_AT + w.len <= LOG_BYTES &&
			   w.len % WITNESS_UNIT == 0,
		   "a write outside of the log");
	memcpy(to + (w.offset - LOG_AT), w.data, w.len);
	free(w.data);
}

static void make_good(void)
{
	static bool made;
	struct witness_log log;

	if (made)
		return;
	made = true;
	load(&log, 1, good);
	for (uint64_t i = 1; i <= ENTRIES; i++)
		append(&log, i, good);
	witness_log_fini(&log);
}

static size_t seed_witness_log(uint32_t number, uint8_t *buf, size_t max)
{
	size_t n = number % 12;

	(void)max;
	for (size_t i = 0; i < n; i++) {
		cl_put_le32(buf + i * PATCH,
			    fuzz_random() % 2 ? fuzz_random() % 512 : fuzz_random() % HALF);
		buf[i * PATCH + 4] = (uint8_t)fuzz_random();
	}
	return n * PATCH;
}

/* Wherever a record begins, its checksums are made to fit: what a device tears does not get by them, a foe does. */
static void sums_fit(void)
{
	static uint8_t header[WITNESS_RECORD_HEADER];

	for (size_t at = 0; at < LOG_BYTES; at += WITNESS_UNIT) {
		struct witness_record r;

		if (!witness_record_decode(good + at, witness.voter, &r) ||
		    at + WITNESS_RECORD_HEADER + r.len > LOG_BYTES)
			continue;
		witness_record_encode(&r, witness.voter, work + at + WITNESS_RECORD_HEADER, header);
		memcpy(work + at, header, sizeof(header));
	}
}

static void one_witness_log(const uint8_t *data, size_t len)
{
	const struct raft_params params = { .self = { .node = WITNESS_NODE, .uuid = { 1, 2, 3 } },
					    .incarnation = 2,
					    .seed = 1,
					    .witness = true };
	struct cl_error err = CL_ERROR_INIT;
	struct witness_log log;
	struct raft *raft = NULL;
	struct raft_stored s;

	make_good();
	memcpy(work, good, sizeof(work));
	for (size_t i = 0; i + PATCH <= len; i += PATCH)
		work[cl_get_le32(data + i) % LOG_BYTES] = data[i + 4];
	if (fuzz_random() % 4)
		sums_fit();
	load(&log, 2, work);
	s = witness_log_stored(&log);
	fuzz_claim(len >= PATCH || s.n_entries == ENTRIES, "a good log is not read whole");
	if (raft_new(&params, &s, 0, &raft, &err) == 0) {
		for (size_t i = 1; i < s.n_entries; i++)
			fuzz_claim(s.entries[i].index == s.entries[i - 1].index + 1,
				   "raft takes a log with a gap");
		append(&log,
		       s.n_entries ? s.entries[s.n_entries - 1].index + 1 : s.snapshot.index + 1,
		       work);
	} else {
		fuzz_claim(len >= PATCH, "a good log is refused");
		fuzz_claim(err.msg[0] != 0, "a log is refused without a word");
	}
	raft_free(raft);
	witness_log_fini(&log);
	load(&log, 3, work);
	witness_log_fini(&log);
}

/* ---- names in a witness's directory ------------------------------------------------------------------------ */

static size_t seed_names(uint32_t number, uint8_t *buf, size_t max)
{
	const struct wdir_token token = {
		.claim = number, .node = number % 256, .nonce = number * 77ull, .turn = number / 3
	};
	char name[WDIR_NAME_MAX];

	switch (number % 4) {
	case 0:
		wdir_token_name(&token, name);
		break;
	case 1:
		wdir_blocks_name("log-", number, token.nonce, name);
		break;
	case 2:
		wdir_blocks_name("tmp-", number, token.nonce, name);
		break;
	default:
		(void)snprintf(name, sizeof(name), "slot-%u", number % 300);
	}
	return (size_t)snprintf((char *)buf, max, "%s", name);
}

/* What is taken for a name of ours is written the same way. */
static void one_name(const uint8_t *data, size_t len)
{
	char name[300], again[WDIR_NAME_MAX];
	struct wdir_token token;
	uint64_t claim = 0;
	enum wdir_kind kind;

	(void)snprintf(name, sizeof(name), "%.*s", (int)(len < 299 ? len : 299),
		       (const char *)data);
	kind = wdir_kind_of(name, &claim);
	fuzz_claim(claim < UINT64_MAX / 2, "a claim that has no next one");
	if (!wdir_token_parse(name, &token)) {
		fuzz_claim(kind != WDIR_TOKEN, "a token that cannot be read");
		return;
	}
	wdir_token_name(&token, again);
	fuzz_claim(kind == WDIR_TOKEN && strcmp(name, again) == 0, "a token that is another one");
}

/* ---- a heartbeat's unit -------------------------------------------------------------------------------- */

static size_t seed_unit(uint32_t number, uint8_t *buf, size_t max)
{
	const struct hb_unit unit = { 3, number, number / 2, number };

	(void)max;
	hb_unit_encode(&unit, id, buf);
	return HB_UNIT_SIZE;
}

static void one_unit(const uint8_t *data, size_t len)
{
	static uint8_t block[HB_UNIT_SIZE], again[HB_UNIT_SIZE];
	struct hb_unit unit, unit2;

	memset(block, 0, sizeof(block));
	memcpy(block, data, len < sizeof(block) ? len : sizeof(block));
	if (!hb_unit_decode(block, id, 3, &unit) || !unit.incarnation)
		return;
	hb_unit_encode(&unit, id, again);
	fuzz_claim(hb_unit_decode(again, id, 3, &unit2) && unit2.count == unit.count &&
			   unit2.incarnation == unit.incarnation && unit2.instance == unit.instance,
		   "a heartbeat that was taken is another one");
}

/* ---- files of the run directory ------------------------------------------------------------------------- */

enum { LATEST_MS = 1000000 };

static char directory[] = "/tmp/fuzz_files.XXXXXX";

static void forget_directory(void)
{
	static const char *const names[] = { FEEDER_FILE, LEASE_FILE, HEARTBEAT_FILE,
					     FEEDER_SLICE_FILE };
	char path[PATH_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

static void file_is(const char *name, const uint8_t *data, size_t len)
{
	static bool made;
	char path[PATH_MAX];
	int fd;

	if (!made) {
		made = true;
		fuzz_claim(mkdtemp(directory), "no directory");
		(void)atexit(forget_directory);
	}
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	fuzz_claim(fd >= 0 && write(fd, data, len) == (ssize_t)len && close(fd) == 0, "no file");
}

static size_t seed_run(uint32_t number, uint8_t *buf, size_t max)
{
	switch (number % 3) {
	case 0:
		cl_put_le64(buf, number);
		cl_put_le64(buf + 8, number / 2);
		return 16;
	case 1:
		return (size_t)snprintf((char *)buf, max, "%u /dev/watchdog%u\n", number % 60000,
					number);
	default:
		return (size_t)snprintf((char *)buf, max, "/nowhere/clusterd-%u\n", number);
	}
}

/* The same bytes as each of them: none is trusted for where it lies. */
static void one_run(const uint8_t *data, size_t len)
{
	struct feeder_files files;
	struct feeder_view view = { 0 };
	struct feeder_slice slice;
	struct lease_file lease;
	struct feeder_said said;

	file_is(LEASE_FILE, data, len);
	file_is(HEARTBEAT_FILE, data, len);
	file_is(FEEDER_FILE, data, len);
	file_is(FEEDER_SLICE_FILE, data, len);
	said = feeder_files_said(directory);
	fuzz_claim(said.timeout_ms >= 0 && !said.lives, "a feeder that lives by its file alone");
	feeder_files_init(&files, directory);
	feeder_files_look(&files, LATEST_MS, &view);
	feeder_files_fini(&files);
	lease = files.kept;
	fuzz_claim(lease.until_ms <= LATEST_MS + 600000, "a lease that ends after all leases");
	feeder_slice_init(&slice);
	(void)feeder_slice_find(&slice, directory);
	fuzz_claim(!feeder_slice_look(&slice).populated, "a slice that is not there is populated");
	feeder_slice_fini(&slice);
}

const struct fuzz_target fuzz_targets[] = {
	{ "witness", seed_witness, one_witness, 1 },
	{ "witness_log", seed_witness_log, one_witness_log, 1 },
	{ "witness_names", seed_names, one_name, 1 },
	{ "heartbeat", seed_unit, one_unit, 1 },
	{ "run_directory", seed_run, one_run, 1 },
	{ 0 },
};
