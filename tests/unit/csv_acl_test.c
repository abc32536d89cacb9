/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lists and modes; and what is no list. The rules against a kernel's: drill 22-posix, cases "acl". */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "csv/acl.h"
#include "lib/le.h"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

static size_t add(uint8_t *acl, size_t len, unsigned tag, unsigned perm)
{
	cl_put_le32(acl, 2);
	cl_put_le16(acl + len, (uint16_t)tag);
	cl_put_le16(acl + len + 2, (uint16_t)perm);
	cl_put_le32(acl + len + 4, 1000);
	return len + 8;
}

static size_t with_user(uint8_t *acl)
{
	size_t len = add(acl, 4, USER_OBJ, 7);

	len = add(acl, len, USER, 5);
	len = add(acl, len, USER, 1);
	len = add(acl, len, GROUP_OBJ, 4);
	len = add(acl, len, MASK, 6);
	return add(acl, len, OTHER, 1);
}

static void mode_follows(void **state)
{
	uint8_t acl[100];
	size_t len = with_user(acl);
	uint32_t mode = 04000;

	(void)state;
	assert_int_equal(acl_check(acl, len), 0);
	assert_true(acl_to_mode(acl, len, &mode));
	assert_int_equal(mode, 04761);
	acl_chmod(acl, len, 0640);
	assert_true(acl_to_mode(acl, len, &mode));
	assert_int_equal(mode, 04640);
	mode = 0666;
	(void)with_user(acl);
	assert_true(acl_inherit(acl, len, &mode));
	assert_int_equal(mode, 0660);
}

static void three_entries_are_the_mode(void **state)
{
	uint8_t acl[100];
	size_t len = add(acl, add(acl, add(acl, 4, USER_OBJ, 6), GROUP_OBJ, 4), OTHER, 0);
	uint32_t mode = 0777;

	(void)state;
	assert_int_equal(acl_check(acl, len), 0);
	assert_false(acl_inherit(acl, len, &mode));
	assert_int_equal(mode, 0640);
	assert_false(acl_to_mode(acl, len, &mode));
}

static void what_is_none(void **state)
{
	uint8_t acl[100] = { 2 }, good[100];
	size_t len = with_user(good);

	(void)state;
	assert_int_equal(acl_check(acl, 4), 0); /* empty */
	assert_int_equal(acl_check(acl, 3), -EINVAL);
	assert_int_equal(acl_check(good, len - 1), -EINVAL);
	assert_int_equal(acl_check(good, len - 8), -EINVAL); /* no others */
	/* Every single byte spoilt: refused, or still a list that can be worked with. */
	for (size_t i = 0; i < len; i++) {
		for (unsigned x = 0; x < 256; x++) {
			uint32_t mode = 0777;

			memcpy(acl, good, len);
			acl[i] = (uint8_t)x;
			if (acl_check(acl, len) < 0)
				continue;
			(void)acl_to_mode(acl, len, &mode);
			(void)acl_inherit(acl, len, &mode);
			assert_int_equal(acl_check(acl, len), 0);
		}
	}
	/* A user without a mask. */
	len = add(acl, add(acl, add(acl, add(acl, 4, USER_OBJ, 6), USER, 4), GROUP_OBJ, 4), OTHER,
		  0);
	assert_int_equal(acl_check(acl, len), -EINVAL);
	/* Two owners; out of order. */
	len = add(acl, add(acl, add(acl, add(acl, 4, USER_OBJ, 6), USER_OBJ, 4), GROUP_OBJ, 4),
		  OTHER, 0);
	assert_int_equal(acl_check(acl, len), -EINVAL);
	len = add(acl, add(acl, add(acl, 4, GROUP_OBJ, 6), USER_OBJ, 4), OTHER, 0);
	assert_int_equal(acl_check(acl, len), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mode_follows),
		cmocka_unit_test(three_entries_are_the_mode),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
