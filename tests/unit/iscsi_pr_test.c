/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What iscsi/ reads and names: keys, addresses, parameter data of a target. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/pr.h"
#include "iscsi/url.h"
#include "tests/unit/iscsi_keys.h"

/* ---- keys ---- */

static void test_key_round_trip(void **state)
{
	struct pr_key k;
	uint64_t key;

	(void)state;
	assert_int_equal(pr_key_make(255, UINT32_MAX, 65535, &key), 0);
	assert_true(pr_key_parse(key, &k));
	assert_int_equal(k.node, 255);
	assert_int_equal(k.instance, 65535);
	assert_int_equal(k.incarnation, UINT32_MAX);
	assert_int_equal(pr_key_make(0, 1, 1, &key), -ERANGE);
	assert_int_equal(pr_key_make(256, 1, 1, &key), -ERANGE);
	assert_int_equal(pr_key_make(1, 1, 0, &key), -ERANGE);
	assert_int_equal(pr_key_make(1, UINT64_C(1) << 32, 1, &key), -ERANGE);
	assert_false(pr_key_parse(0x1234, &k));
	assert_false(pr_key_parse(0, &k));
}

static void test_free_instance(void **state)
{
	const uint64_t keys[] = { key_of(3, 1, 8), key_of(3, 7, 9), key_of(4, 1, 10) };

	(void)state;
	assert_int_equal(pr_key_free_instance(3, keys, 3, 7, false), 10);
	assert_int_equal(pr_key_free_instance(4, keys, 3, 7, false), 8);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 32766, false), 32767);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 32767, false), 1);
	assert_int_equal(pr_key_free_instance(3, keys, 3, 7, true), PR_INSTANCE_MEMBER | 8);
}

static void test_match(void **state)
{
	const struct pr_match debt = { .kind = PR_MATCH_NODE_UP_TO, .node = 3, .incarnation = 5 };
	const struct pr_match living = { .kind = PR_MATCH_NODE, .node = 3, .incarnation = 5 };
	const struct pr_match member = { .kind = PR_MATCH_MEMBER, .node = 3, .incarnation = 5 };

	(void)state;
	assert_true(pr_match_key(&debt, 1, key_of(3, 5, 1)));
	assert_true(pr_match_key(&debt, 1, key_of(3, 1, 1)));
	assert_false(pr_match_key(&debt, 1, key_of(3, 6, 1)));
	assert_false(pr_match_key(&debt, 1, key_of(2, 5, 1)));
	assert_false(pr_match_key(&debt, 1, 0x33));
	assert_true(pr_match_key(&member, 1, key_of(3, 5, PR_INSTANCE_MEMBER | 9)));
	assert_false(pr_match_key(&member, 1, key_of(3, 5, 9))); /* the coordinator's own */
	assert_false(pr_match_key(&member, 1, key_of(3, 4, PR_INSTANCE_MEMBER | 9)));
	assert_true(pr_match_key(&living, 1, key_of(3, 5, 9)));
	assert_false(pr_match_key(&living, 1, key_of(3, 4, 9)));
	assert_false(pr_match_key(NULL, 0, key_of(3, 4, 9)));
}

/* ---- parameter data ---- */

static void test_parse_keys(void **state)
{
	uint8_t d[24] = { 0, 0, 0, 7, 0, 0, 0, 16, 1, 2, 3, 4, 5, 6, 7, 8, [23] = 9 };
	struct pr_answer a = { 0 };

	(void)state;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), 0);
	assert_int_equal(a.generation, 7);
	assert_int_equal(a.n_keys, 2);
	assert_true(a.keys[0] == UINT64_C(0x0102030405060708));
	assert_true(a.keys[1] == 9);
	/* A list that was cut off is no list: the victim could be in what is missing. */
	assert_int_equal(pr_parse_keys(d, sizeof(d) - 1, &a), -EBADMSG);
	assert_int_equal(pr_parse_keys(d, 7, &a), -EBADMSG);
	d[7] = 15;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), -EBADMSG);
	d[4] = 0xff;
	d[7] = 8;
	assert_int_equal(pr_parse_keys(d, sizeof(d), &a), -E2BIG);
}

static void test_parse_reservation(void **state)
{
	uint8_t d[24] = { [7] = 16, [15] = 5, [21] = 6 };
	struct pr_answer a = { 0 };

	(void)state;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), 0);
	assert_int_equal(a.type, 6);
	assert_true(a.holder == 5);
	assert_int_equal(pr_parse_reservation(d, 23, &a), -EBADMSG);
	d[21] = 0x16;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), -EBADMSG);
	d[7] = 0;
	assert_int_equal(pr_parse_reservation(d, 8, &a), 0);
	assert_int_equal(a.type, 0);
	d[7] = 8;
	assert_int_equal(pr_parse_reservation(d, sizeof(d), &a), -EBADMSG);
}

static void test_parse_garbage(void **state)
{
	uint8_t d[64];
	struct pr_answer a = { 0 };

	(void)state;
	srand(1);
	for (int i = 0; i < 200000; i++) {
		size_t len = (size_t)rand() % sizeof(d);
		uint8_t *exact = malloc(len ? len : 1);

		for (size_t j = 0; j < len; j++)
			exact[j] = (uint8_t)(rand() % 4 ? 0 : rand());
		(void)pr_parse_keys(exact, len, &a);
		assert_true(a.n_keys <= PR_KEYS_MAX);
		(void)pr_parse_reservation(exact, len, &a);
		free(exact);
	}
}

/* ---- addresses ---- */

static void test_url_good(void **state)
{
	struct lun_url u;
	struct cl_error err = CL_ERROR_INIT;

	(void)state;
	assert_int_equal(lun_url_parse("iscsi://10.0.0.9/iqn.2026-01.org:d/1", &u, &err), 0);
	assert_string_equal(u.portals[0], "10.0.0.9:3260");
	assert_string_equal(u.target, "iqn.2026-01.org:d");
	assert_int_equal(u.lun, 1);
	assert_string_equal(u.user, "");
	assert_int_equal(
		lun_url_parse("iscsi://bob%s3@cret@[fe80::1]:99,b-2.x/iqn.a%3Ab/0", &u, &err), 0);
	assert_string_equal(u.user, "bob");
	assert_string_equal(u.password, "s3@cret");
	assert_int_equal(u.n_portals, 2);
	assert_string_equal(u.portals[0], "[fe80::1]:99");
	assert_string_equal(u.portals[1], "b-2.x:3260");
	assert_string_equal(u.target, "iqn.a:b");
}

static void test_url_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"iscsi:/",
		"iscsi://",
		"iscsi:///iqn.a/1",
		"http://a/iqn.a/1",
		"iscsi://h/iqn.a",
		"iscsi://h/iqn.a/",
		"iscsi://h/iqn.a/256",
		"iscsi://h/iqn.a/-1",
		"iscsi://h/iqn.a/1x",
		"iscsi://h/foo/1",
		"iscsi://h//1",
		"iscsi://h:0/iqn.a/1",
		"iscsi://h:65536/iqn.a/1",
		"iscsi://h:/iqn.a/1",
		"iscsi://h:1:2/iqn.a/1",
		"iscsi://h,/iqn.a/1",
		"iscsi://[::1/iqn.a/1",
		"iscsi://@h/iqn.a/1",
		"iscsi://a b@h/iqn.a/1",
		"iscsi://h/iqn.a%00b/1",
		"iscsi://h/iqn.%0a/1",
		"iscsi://h/iqn.a%2fb/1",
		"iscsi://1,2,3,4,5,6,7,8,9/iqn.a/1",
		"iscsi://h;rm/iqn.a/1",
		"iscsi://h/iqn.a/99999999999",
	};
	struct lun_url u = { .lun = 77 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct cl_error err = CL_ERROR_INIT;

		if (lun_url_parse(bad[i], &u, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_true(err.msg[0] && err.hint[0]);
		assert_int_equal(u.lun, 77); /* untouched */
	}
}

static void test_url_secret(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct lun_url u;

	(void)state;
	assert_int_equal(lun_url_parse("iscsi://bob%secret@h:x/iqn.a/1", &u, &err), -EINVAL);
	assert_null(strstr(err.msg, "secret"));
	assert_null(strstr(err.hint, "secret"));
}

static void test_url_garbage(void **state)
{
	static const char alphabet[] = "iscsi://h,:@%[]0aZ./\x7f\x80 -";
	struct lun_url u;

	(void)state;
	srand(2);
	for (int i = 0; i < 100000; i++) {
		size_t len = (size_t)rand() % 300;
		char *s = malloc(len + 20);

		strcpy(s, rand() % 4 ? "iscsi://" : "");
		for (size_t j = strlen(s); len; len--)
			s[j++] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)], s[j] = '\0';
		(void)lun_url_parse(s, &u, NULL);
		free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_round_trip),
		cmocka_unit_test(test_free_instance),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_parse_keys),
		cmocka_unit_test(test_parse_reservation),
		cmocka_unit_test(test_parse_garbage),
		cmocka_unit_test(test_url_good),
		cmocka_unit_test(test_url_bad),
		cmocka_unit_test(test_url_secret),
		cmocka_unit_test(test_url_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
