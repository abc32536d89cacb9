/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator over its file system: whose volume it opens, space, large files. */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/fs.h"
#include "csv/op.h"
#include "tests/unit/coord_rig.h"

#define VOLUME_BYTES (32u << 20)

/* With our volume's uuid: a copy of the LUN in another cluster's hands, or theirs in ours. */
static void another_clusters_volume(void **state)
{
	struct rig *rig = rig_new();
	uint8_t *before = malloc(VOLUME_BYTES);

	(void)state;
	assert_non_null(before);
	memcpy(before, rig->mem, VOLUME_BYTES);
	rig->cluster[0] ^= 1;
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_FAILED);
	assert_non_null(strstr(rig->text, "another cluster"));
	assert_memory_equal(rig->mem, before, VOLUME_BYTES);
	rig_kill(rig);
	rig->cluster[0] ^= 1;
	rig_start(rig);
	assert_int_equal(rig->state, COORD_SERVING);
	rig_free(rig);
	free(before);
}

/* ---- space ------------------------------------------------------------------------------------ */

static uint64_t blocks_free(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t n;

	op.kind = CSV__KIND__STATFS;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	n = msg->result->statfs->bfree;
	csv__message__free_unpacked(msg, NULL);
	return n;
}

static uint64_t post_allocate(struct peer *p, uint64_t ino, uint64_t fh, uint64_t blocks)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__FALLOCATE;
	op.ino = ino;
	op.fh = fh;
	op.length = blocks * FS_BLOCK_SIZE;
	peer_post(p, &op);
	return op.unique;
}

static uint64_t post_unlink(struct peer *p, const char *name)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__UNLINK;
	op.ino = FS_ROOT_INO;
	op.name = (char *)(uintptr_t)name;
	peer_post(p, &op);
	return op.unique;
}

static int error_of(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);
	int error = (int)msg->result->error;

	csv__message__free_unpacked(msg, NULL);
	return error;
}

/* What waits for the lease is executed in one batch when it is back. */
static void lease(struct rig *rig, bool there)
{
	rig_settle(rig);
	atomic_store(&rig->lease_until_ms, there ? INT64_MAX : 0);
	rig_tables(rig);
}

/*
 * What a file had is free only when its deletion is durable. Whoever comes in the same batch and does not fit
 * into the rest must not be told that there is no space.
 */
static void space_of_the_deleted(void **state)
{
	struct rig *rig = rig_new();
	uint64_t ino[2], fh[2], unlinked, allocated, too_much, n;
	struct peer one;

	(void)state;
	peer_init(&one, rig, 1);
	rig_start(rig);
	peer_up(&one);
	ino[0] = peer_create(&one, "deleted", &fh[0]);
	ino[1] = peer_create(&one, "written", &fh[1]);
	n = blocks_free(&one);
	assert_int_equal(error_of(&one, post_allocate(&one, ino[0], fh[0], n / 2)), 0);
	peer_release(&one, ino[0], fh[0]);
	lease(rig, false);
	unlinked = post_unlink(&one, "deleted");
	allocated = post_allocate(&one, ino[1], fh[1], n / 4 * 3);
	too_much = post_allocate(&one, ino[1], fh[1], 2 * n);
	lease(rig, true);
	assert_int_equal(error_of(&one, unlinked), 0);
	assert_int_equal(error_of(&one, allocated), 0);
	assert_int_equal(error_of(&one, too_much), ENOSPC);
	rig_free(rig);
}

/* ---- large truncations -------------------------------------------------------------------------- */

/*
 * Of data, with as many between them that are not: more than one step takes. The cuts fall into the middle of
 * clusters: after such a one there is a commit before the next.
 */
#define PIECES 605

/* Runs of one block: DATA, unwritten, DATA, ... */
static uint64_t in_pieces(struct peer *p, uint64_t *ret_fh)
{
	uint64_t ino = peer_create(p, "pieces", ret_fh), last = 0;
	uint8_t block[FS_BLOCK_SIZE] = { 1 };

	assert_int_equal(error_of(p, post_allocate(p, ino, *ret_fh, 2 * PIECES)), 0);
	for (uint64_t i = 0; i < PIECES; i++)
		last = peer_post_write(p, ino, *ret_fh, 2 * i * FS_BLOCK_SIZE, block,
				       sizeof(block));
	assert_int_equal(error_of(p, last), 0);
	return ino;
}

static uint64_t post_truncate(struct peer *p, uint64_t ino)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	op.kind = CSV__KIND__SETATTR;
	op.ino = ino;
	op.valid = OP_SET_SIZE;
	op.attr = &attr;
	peer_post(p, &op);
	return op.unique;
}

static uint64_t size_of(struct peer *p, uint64_t ino)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t size;

	op.kind = CSV__KIND__GETATTR;
	op.ino = ino;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	size = msg->result->attr->size;
	csv__message__free_unpacked(msg, NULL);
	return size;
}

/* Whether the truncation was answered before the coordinator failed. */
static bool is_answered(struct peer *p)
{
	Csv__Message *msg = NULL;

	while (p->rig->state != COORD_FAILED && !(msg = peer_take(p, CSV__MESSAGE__MSG_RESULT)))
		rig_await_mail(p->rig);
	if (msg)
		csv__message__free_unpacked(msg, NULL);
	return msg;
}

/*
 * The device is lost with the given flush: the size that the next coordinator finds. Sent again, the operation
 * is done. false: the device was not lost, so many flushes are not needed.
 */
static bool size_after_crash(unsigned flushes, uint64_t *ret_size)
{
	struct rig *rig = rig_new();
	uint64_t ino, fh;
	struct peer one;
	bool answered;

	peer_init(&one, rig, 1);
	rig_start(rig);
	peer_up(&one);
	ino = in_pieces(&one, &fh);
	rig_close(rig);
	rig_start(rig);
	peer_up(&one);
	rig->flushes_left = flushes;
	(void)post_truncate(&one, ino);
	answered = is_answered(&one);
	rig_kill(rig);
	rig->fail = 0;
	rig->flushes_left = 0;
	rig_start(rig);
	peer_up(&one);
	*ret_size = size_of(&one, ino);
	assert_int_equal(error_of(&one, post_truncate(&one, ino)), 0);
	assert_int_equal(size_of(&one, ino), 0);
	rig_free(rig);
	return !answered;
}

/* Not a transaction as large as the file, which the journal would refuse: steps, each a smaller file. */
static void a_large_truncation_goes_in_steps(void **state)
{
	const uint64_t whole = 2 * PIECES * FS_BLOCK_SIZE;
	bool between = false;
	uint64_t size;

	(void)state;
	for (unsigned n = 1; size_after_crash(n, &size); n++) {
		assert_true(size <= whole);
		between |= size > 0 && size < whole;
	}
	assert_true(between);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_clusters_volume),
		cmocka_unit_test(space_of_the_deleted),
		cmocka_unit_test(a_large_truncation_goes_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
