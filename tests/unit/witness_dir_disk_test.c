/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A witness's directory (iscsi/witness_dir.h) on a real one: what a system call does there, and what is refused. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "iscsi/witness_dir.h"
#include "iscsi/witness_dir_os.h"

static char directory[] = "/tmp/witness_dir_test.XXXXXX";
static struct wdir_real real[2];
static struct wdir_os os[2];
static uint8_t super[WDIR_UNIT] = { 'W', 1, 2, 3 };

static void in_directory(const char *command)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "cd %s && %s", directory, command);
	assert_int_equal(system(text), 0);
}

static int setup_directory(void **state)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	(void)strcpy(directory, "/tmp/witness_dir_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(wdir_real_open(&real[i], directory, &os[i], &err), 0);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++)
		wdir_real_close(&real[i]);
	in_directory("rm -f -- * .nfs*");
	return rmdir(directory);
}

static void made(struct wdir *a, struct wdir *b)
{
	struct cl_error err = CL_ERROR_INIT;

	*a = *b = (struct wdir){ 0 };
	assert_int_equal(wdir_open(a, &os[0], 1, true, true, &err), 0);
	assert_int_equal(wdir_format(a, super, &err), 0);
	assert_int_equal(wdir_open(a, &os[0], 1, false, false, &err), 0);
	assert_int_equal(wdir_open(b, &os[1], 2, false, false, &err), 0);
	assert_memory_equal(b->super, super, WDIR_UNIT);
}

static bool owns(struct wdir *d, unsigned *ret_holder)
{
	struct cl_error err = CL_ERROR_INIT;
	bool mine;

	assert_int_equal(wdir_check(d, &mine, ret_holder, &err), 0);
	return mine;
}

static void test_real_claims(void **state)
{
	static uint8_t block[WDIR_UNIT], got[2 * WDIR_UNIT];
	const uint64_t at = (uint64_t)WDIR_LOG_UNIT * WDIR_UNIT;
	struct cl_error err = CL_ERROR_INIT;
	struct wdir a, b;
	unsigned holder = 9;

	(void)state;
	made(&a, &b);
	assert_false(owns(&b, &holder));
	assert_int_equal(holder, 0);
	assert_int_equal(wdir_owner_write(&a, at, block, sizeof(block), &err), -EPERM);
	assert_int_equal(wdir_claim(&a, &err), 0);
	assert_true(owns(&a, &holder));
	assert_false(owns(&b, &holder));
	assert_int_equal(holder, 1);
	memset(block, 'a', sizeof(block));
	assert_int_equal(wdir_owner_write(&a, at, block, sizeof(block), &err), 0);
	assert_int_equal(wdir_claim(&b, &err), 0);
	memset(block, 'b', sizeof(block));
	/* What continues lands in a file that nobody reads; what begins anew asks first. */
	assert_int_equal(wdir_owner_write(&a, at + WDIR_UNIT, block, sizeof(block), &err), 0);
	assert_int_equal(wdir_owner_write(&a, at, block, sizeof(block), &err), -EPERM);
	assert_false(owns(&a, &holder));
	assert_int_equal(holder, 2);
	assert_int_equal(wdir_read(&os[1], b.log, false, at, got, sizeof(got), &err), 0);
	assert_int_equal(got[0], 'a');
	assert_int_equal(got[WDIR_UNIT], 0);
	assert_true(owns(&b, &holder));
	in_directory("test $(ls | grep -c ^log-) = 1"); /* the former one is removed */
}

static void test_real_slots(void **state)
{
	static uint8_t block[WDIR_UNIT], got[3 * WDIR_UNIT];
	const uint64_t at = (uint64_t)(WDIR_SLOT_UNIT + 1) * WDIR_UNIT;
	struct cl_error err = CL_ERROR_INIT;
	struct wdir a, b;

	(void)state;
	made(&a, &b);
	memset(block, 's', sizeof(block));
	assert_int_equal(wdir_slot_write(&os[1], at + WDIR_UNIT, block, sizeof(block), &err), 0);
	memset(block, 't', sizeof(block));
	assert_int_equal(wdir_slot_write(&os[1], at + WDIR_UNIT, block, sizeof(block), &err), 0);
	assert_int_equal(wdir_read(&os[0], "", false, at, got, sizeof(got), &err), 0);
	assert_int_equal(got[0], 0);
	assert_int_equal(got[WDIR_UNIT], 't');
	assert_int_equal(got[2 * WDIR_UNIT], 0);
	assert_true(wdir_slot_write(&os[1], 0, block, sizeof(block), &err) < 0);
	assert_true(wdir_read(&os[0], "", false, 7, got, WDIR_UNIT, &err) < 0);
	assert_true(wdir_read(&os[0], "", false, UINT64_MAX - 4095, got, WDIR_UNIT, &err) < 0);
}

static void test_real_refusals(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct wdir a, b;
	unsigned holder;

	(void)state;
	a = (struct wdir){ 0 };
	assert_int_equal(wdir_open(&a, &os[0], 1, false, false, &err), -ENODATA);
	in_directory("echo mine > letter.txt");
	assert_int_equal(wdir_open(&a, &os[0], 1, true, true, &err), -CL_EREFUSED);
	in_directory("rm letter.txt && touch .nfs0000000000012345");
	made(&a, &b);
	assert_int_equal(wdir_claim(&a, &err), 0);
	assert_int_equal(wdir_open(&b, &os[1], 2, true, true, &err), -EBUSY);
	/* Made anew: the former one is out, and cannot come in again by what it knows. */
	assert_int_equal(wdir_open(&b, &os[1], 2, true, false, &err), 0);
	super[1]++;
	assert_int_equal(wdir_format(&b, super, &err), 0);
	assert_false(owns(&a, &holder));
	assert_int_equal(wdir_claim(&a, &err), -ESTALE);
	/* A claim, or a log, that the server has lost. */
	assert_int_equal(wdir_open(&a, &os[0], 1, false, false, &err), 0);
	in_directory("touch log-7-0000000000000001");
	assert_int_equal(wdir_claim(&a, &err), -CL_ECORRUPT);
	in_directory("rm log-*");
	assert_int_equal(wdir_claim(&a, &err), -CL_ECORRUPT);
	in_directory("touch claim-3-1-0000000000000001-0");
	assert_int_equal(wdir_claim(&a, &err), -CL_ECORRUPT);
	in_directory("rm claim-*");
	assert_int_equal(wdir_claim(&a, &err), -CL_ECORRUPT);
}

/* The whole directory as it was a while ago: its owner is out by its next turn. */
static void test_real_restored(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct wdir a, b;
	unsigned holder;

	(void)state;
	made(&a, &b);
	assert_int_equal(wdir_claim(&a, &err), 0);
	assert_true(owns(&a, &holder));
	in_directory("cp -r . $PWD.saved");
	assert_true(owns(&a, &holder));
	in_directory("rm -f -- * && cp $PWD.saved/* . && rm -r $PWD.saved");
	assert_false(owns(&a, &holder));
}

static void test_real_clear(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct wdir a, b;

	(void)state;
	made(&a, &b);
	assert_int_equal(wdir_claim(&a, &err), 0);
	assert_int_equal(wdir_clear(&b, &err), 0); /* not its */
	in_directory("test -e superblock");
	assert_int_equal(wdir_clear(&a, &err), 0);
	in_directory("test -z \"$(ls)\"");
}

static void test_names(void **state)
{
	static const char *const bad[] = {
		"claim-1-2-0000000000000003-4x",
		"claim-1-256-0000000000000003-4",
		"claim-01-2-0000000000000003-4",
		"claim--1-2-0000000000000003-4",
		"claim-1-2-3-4",
		"claim-18446744073709551615-2-0000000000000003-4",
		"log-1",
		"log- 1-0000000000000003",
		"slot-0",
		"slot-256",
		"slot-01",
		"tmp-1-g000000000000003",
		"superblock2",
		"",
	};
	struct wdir_token t = { 7, 3, 0xabc, 9 }, got;
	char name[WDIR_NAME_MAX];
	uint64_t claim;

	(void)state;
	wdir_token_name(&t, name);
	assert_true(wdir_token_parse(name, &got));
	assert_true(got.claim == t.claim && got.node == t.node && got.nonce == t.nonce &&
		    got.turn == t.turn);
	assert_int_equal(wdir_kind_of("log-5-0000000000000003", &claim), WDIR_LOG);
	assert_int_equal(claim, 5);
	assert_int_equal(wdir_kind_of("slot-255", &claim), WDIR_SLOT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(wdir_kind_of(bad[i], &claim), WDIR_OTHER);
}

int main(void)
{
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, setup_directory, remove_directory)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names), ON_DISK(test_real_claims),   ON_DISK(test_real_slots),
		ON_DISK(test_real_refusals),  ON_DISK(test_real_restored), ON_DISK(test_real_clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
