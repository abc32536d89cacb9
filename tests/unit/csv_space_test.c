/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When nodes are told how much of a volume is free, and that they are. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/space.h"
#include "tests/unit/coord_rig.h"

#define MB (UINT64_C(1) << 20)

static void a_hundredth_once_a_second(void **state)
{
	struct space s = { 0 };

	(void)state;
	assert_int_equal(space_wait_ms(&s, 1000 * MB, 500 * MB, 7), 0); /* never told */
	s = (struct space){ true, 500 * MB, 1000 };
	assert_int_equal(space_wait_ms(&s, 1000 * MB, 490 * MB, 9000), -1);
	assert_int_equal(space_wait_ms(&s, 1000 * MB, 489 * MB, 1300), 700);
	assert_int_equal(space_wait_ms(&s, 1000 * MB, 511 * MB, 1300), 700);
	assert_int_equal(space_wait_ms(&s, 1000 * MB, 511 * MB, 2000), 0);
}

/* On a large volume a hundredth is much more than what somebody waits for. */
static void into_full_and_out_of_it(void **state)
{
	struct space s = { true, 2 * MB, 1000 };

	(void)state;
	assert_int_equal(space_wait_ms(&s, 1000000 * MB, 1 * MB, 1200), -1);
	assert_int_equal(space_wait_ms(&s, 1000000 * MB, 1 * MB - 1, 1200), 0);
	assert_int_equal(space_wait_ms(&s, 1000000 * MB, 1 * MB - 1, 1040), 60);
	s.free = 0;
	assert_int_equal(space_wait_ms(&s, 1000000 * MB, 1 * MB - 1, 1200), -1);
	assert_int_equal(space_wait_ms(&s, 1000000 * MB, 1 * MB, 1200), 0);
}

/* ---- the coordinator ---- */

static uint64_t told_free(struct peer *p)
{
	Csv__Message *msg = peer_expect(p, CSV__MESSAGE__MSG_SPACE);
	uint64_t ret = msg->space->free_bytes;

	assert_true(ret < msg->space->size_bytes);
	csv__message__free_unpacked(msg, NULL);
	return ret;
}

/* The last word is what stands: earlier ones may be under way. */
static void await_free(struct peer *p, uint64_t from, uint64_t to)
{
	uint64_t now;

	do
		now = told_free(p);
	while (now < from || now > to);
}

static void all_are_told(void **state)
{
	static uint8_t data[256 * 1024];
	struct rig *rig = rig_new();
	Csv__Op op = CSV__OP__INIT;
	uint64_t fh, ino, before;
	struct peer two, three;

	(void)state;
	rig_start(rig);
	peer_init(&two, rig, 2);
	peer_init(&three, rig, 3);
	peer_up(&two);
	before = told_free(&two);
	ino = peer_create(&two, "f", &fh);
	memset(data, 7, sizeof(data));
	for (uint64_t at = 0; at < 4 * MB; at += sizeof(data))
		assert_int_equal(peer_write(&two, ino, fh, at, data, sizeof(data)), 0);
	await_free(&two, 0, before - 4 * MB);
	peer_up(&three); /* who comes later knows it from the start */
	assert_true(told_free(&three) <= before - 4 * MB);
	peer_lost(&three);
	op.kind = CSV__KIND__UNLINK;
	op.ino = 2;
	op.name = (char *)(uintptr_t) "f";
	assert_int_equal(peer_try(&two, &op), 0);
	peer_release(&two, ino, fh);
	await_free(&two, before - MB, before);
	peer_up(&three);
	await_free(&three, before - MB, before);
	rig_free(rig);
}

/* The control: nobody is told, also when the volume fills and empties. */
static void nobody_is_told(void **state)
{
	static uint8_t data[256 * 1024];
	struct rig *rig = rig_new();
	uint64_t fh, ino;
	struct peer two;

	(void)state;
	rig->defects = COORD_DEFECT_NO_SPACE_WORD;
	rig_start(rig);
	peer_init(&two, rig, 2);
	peer_up(&two);
	ino = peer_create(&two, "f", &fh);
	for (uint64_t at = 0; at < 4 * MB; at += sizeof(data))
		assert_int_equal(peer_write(&two, ino, fh, at, data, sizeof(data)), 0);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_SPACE));
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hundredth_once_a_second),
		cmocka_unit_test(into_full_and_out_of_it),
		cmocka_unit_test(all_are_told),
		cmocka_unit_test(nobody_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
