/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operator types and what a hostile target answers: any bytes. Each input lies in a buffer of
 * exactly its size, so that a sanitizer (or valgrind) sees a read past it; what comes out has to keep its
 * own promises. Seeded: a failure comes again.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "iscsi/chap.h"
#include "iscsi/pr.h"
#include "iscsi/url.h"

#define ROUNDS 60000

static uint64_t seed = 88172645463325252u;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16) % n;
}

/* A copy with some bytes changed, cut off or doubled, in memory of exactly *len bytes. */
static uint8_t *mutate(const uint8_t *from, size_t *len)
{
	static uint8_t work[8192];
	size_t n = *len;
	uint8_t *out;

	memcpy(work, from, n);
	for (uint32_t i = rnd(5); i > 0 && n; i--)
		work[rnd((uint32_t)n)] = rnd(3) ? (uint8_t)rnd(256) : (uint8_t)(rnd(2) * 255);
	if (!rnd(4) && n)
		n = rnd((uint32_t)n + 1);
	if (!rnd(8) && n && n < sizeof(work) / 2) {
		memcpy(work + n, work, n);
		n *= 2;
	}
	out = malloc(n ? n : 1);
	assert_non_null(out);
	memcpy(out, work, n);
	*len = n;
	return out;
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* READ KEYS with n keys. */
static size_t keys_page(uint8_t *p, uint32_t n)
{
	put32(p, rnd(1000));
	put32(p + 4, 8 * n);
	for (uint32_t i = 0; i < 8 * n; i++)
		p[8 + i] = (uint8_t)rnd(256);
	return 8 + 8 * n;
}

static void test_keys(void **state)
{
	static uint8_t page[PR_PARAMETER_BYTES];
	static struct pr_answer a;
	unsigned good = 0, bad = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = keys_page(page, rnd(rnd(20) ? 6 : PR_KEYS_MAX));
		uint8_t *data = mutate(page, &len);
		int r;

		a.n_keys = 12345;
		r = pr_parse_keys(data, len, &a);
		assert_true(r == 0 || r == -EBADMSG || r == -E2BIG);
		if (r == 0)
			assert_true(a.n_keys <= PR_KEYS_MAX && 8 + 8 * a.n_keys <= len);
		good += r == 0;
		bad += r != 0;
		free(data);
	}
	/* Neither all taken nor all refused: the test would show nothing. */
	assert_true(good > ROUNDS / 10 && bad > ROUNDS / 20);
}

static void test_reservation(void **state)
{
	static struct pr_answer a;
	unsigned good = 0, bad = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t page[24] = { [7] = 16, [21] = (uint8_t)rnd(9) };
		size_t len = sizeof(page);
		uint8_t *data = mutate(page, &len);
		int r = pr_parse_reservation(data, len, &a);

		assert_true(r == 0 || r == -EBADMSG);
		if (r == 0)
			assert_true(a.type < 16);
		good += r == 0;
		bad += r != 0;
		free(data);
	}
	assert_true(good > ROUNDS / 10 && bad > ROUNDS / 20);
}

/* What tgt says: a T10 name and an NAA one. */
static const uint8_t page83[] = { 0,	0x83, 0,   44,	2,   1,	  0,   24,  'I', 'E', 'T', ' ',
				  ' ',	' ',  ' ', ' ', '0', '0', '0', '1', '0', '0', '0', '1',
				  0,	0,    0,   0,	0,   0,	  0,   0,   1,	 3,   0,   8,
				  0x30, 0,    0,   0,	0,   1,	  0,   1,   0,	 0,   0,   0 };

static void test_identity(void **state)
{
	static struct pr_answer a;
	unsigned named = 0, bad = 0;

	(void)state;
	assert_int_equal(pr_parse_identity(page83, sizeof(page83), &a), 0);
	assert_string_equal(a.identity, "naa.3000000000010001");
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = sizeof(page83);
		uint8_t *data = mutate(page83, &len);
		int r;

		memset(a.identity, 'x', sizeof(a.identity));
		r = pr_parse_identity(data, len, &a);
		assert_true(r == 0 || r == -EBADMSG);
		assert_non_null(memchr(a.identity, '\0', sizeof(a.identity)));
		for (const char *p = a.identity; *p; p++)
			assert_true(*p >= ' ' && *p < 0x7f);
		named += a.identity[0] != '\0';
		bad += r != 0;
		free(data);
	}
	assert_true(named > ROUNDS / 10 && bad > ROUNDS / 50);
}

/* A designator as long as one can be does not fit, and is cut. */
static void test_long_identity(void **state)
{
	uint8_t page[4 + 4 + 255] = { 0, 0x83, 1, 3, 1, 3, 0, 255 };
	static struct pr_answer a;

	(void)state;
	assert_int_equal(pr_parse_identity(page, sizeof(page), &a), 0);
	assert_true(strlen(a.identity) < PR_IDENTITY_TEXT && strlen(a.identity) > 100);
	/* A designator of the port or the target is no name of the LUN. */
	page[5] |= 1 << 4;
	assert_int_equal(pr_parse_identity(page, sizeof(page), &a), 0);
	assert_string_equal(a.identity, "");
}

static const char *const urls[] = {
	"iscsi://10.0.0.9/iqn.2026-01.org.example:disk1/1",
	"iscsi://10.0.0.9:3261,10.0.1.9/iqn.2026-01.org.example:disk1/255",
	"iscsi://[fe80::1]:3260,h-1.example/eui.02004567A425678D/0",
	"iscsi://user%pass%2fword@a,b,c,d,e,f,g,h/naa.52004567BA64678D/7",
	"iscsi://us%25er%p@@w@10.0.0.9/iqn.a:%41%42/1",
};

static void check_url(const struct lun_url *u)
{
	assert_true(u->n_portals >= 1 && u->n_portals <= LUN_PORTALS_MAX);
	assert_true(u->lun >= 0 && u->lun <= LUN_NUMBER_MAX);
	assert_true(strlen(u->target) <= LUN_NAME_MAX && u->target[0]);
	assert_true(strlen(u->user) <= LUN_NAME_MAX && strlen(u->password) <= LUN_NAME_MAX);
	for (unsigned i = 0; i < u->n_portals; i++)
		assert_non_null(strrchr(u->portals[i], ':'));
}

static void test_url(void **state)
{
	static const char alphabet[] = "iscsi://%@,[]:.-/0123456789abcdef";
	unsigned good = 0, bad = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		struct lun_url u;

		assert_int_equal(lun_url_parse(urls[i], &u, NULL), 0);
	}
	for (int i = 0; i < ROUNDS; i++) {
		const char *from = urls[rnd(sizeof(urls) / sizeof(*urls))];
		size_t len = strlen(from);
		uint8_t *bytes = mutate((const uint8_t *)from, &len);
		char *text = malloc(len + 1);
		struct cl_error err = CL_ERROR_INIT;
		struct lun_url u = { .n_portals = 99 };

		memcpy(text, bytes, len);
		text[len] = '\0';
		for (uint32_t k = rnd(4); k > 0 && len; k--)
			text[rnd((uint32_t)len)] = alphabet[rnd(sizeof(alphabet) - 1)];
		if (lun_url_parse(text, &u, &err) == 0) {
			check_url(&u);
			good++;
		} else {
			assert_int_equal(u.n_portals, 99); /* untouched */
			assert_true(err.msg[0] && !strchr(err.msg, '\n') && err.hint[0]);
			bad++;
		}
		free(bytes);
		free(text);
	}
	assert_true(good > ROUNDS / 20 && bad > ROUNDS / 10);
}

/* The password is in no message, whatever is wrong with the rest. */
static void test_no_password(void **state)
{
	static const char *const wrong[] = {
		"iscsi://u%s3cr3t@/iqn.a/1",	"iscsi://u%s3cr3t@h:0/iqn.a/1",
		"iscsi://u%s3cr3t@h/x/1",	"iscsi://u%s3cr3t@h/iqn.a/x",
		"iscsi://u%s3cr3t@h,,/iqn.a/1", "iscsi://u%s3cr3t\001@h/iqn.a/1",
		"iscsi://u%s3cr3t@[h/iqn.a/1",	"http://u%s3cr3t@h/iqn.a/1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct cl_error err = CL_ERROR_INIT;
		struct lun_url u;

		assert_true(lun_url_parse(wrong[i], &u, &err) < 0);
		assert_null(strstr(err.msg, "s3cr3t"));
		assert_null(strstr(err.hint, "s3cr3t"));
	}
}

/* ---- chap.conf ---- */

static const char conf[] = "# two targets\n"
			   "[iqn.a:one]\n"
			   "user = bob\n"
			   "  secret = s3cret # and = more \n"
			   "\n"
			   "[ * ]\r\n"
			   "user=eve\r\n"
			   "secret=other\r\n"
			   "target-user = disk\n"
			   "target-secret = its own";

static void test_chap(void **state)
{
	struct lun_chap c;

	(void)state;
	assert_int_equal(lun_chap_parse(conf, "f", "iqn.a:one", &c, NULL), 0);
	assert_string_equal(c.user, "bob");
	assert_string_equal(c.secret, "s3cret # and = more");
	assert_string_equal(c.target_user, "");
	assert_int_equal(lun_chap_parse(conf, "f", "iqn.a:two", &c, NULL), 0);
	assert_string_equal(c.user, "eve");
	assert_string_equal(c.secret, "other");
	assert_string_equal(c.target_user, "disk");
	assert_string_equal(c.target_secret, "its own");
	assert_int_equal(lun_chap_parse("[iqn.x]\nuser=a\nsecret=b", "f", "iqn.y", &c, NULL), 0);
	assert_string_equal(c.user, "");
}

static void test_bad_chap(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "user = a", "f:1: a key before" },
		{ "\n[x]\nuser=a", "f:2: this section needs" },
		{ "[x]\nuser=a\nsecret=b\ntarget-user=c", "f:1: target-user and" },
		{ "[x]\nuser=a\nsecret=b\ntarget-user=c\ntarget-secret=b", "must differ" },
		{ "[x]\nuser=a\nuser=b", "f:3: the key stands twice" },
		{ "[x]\nusr=s3cr3t", "f:2: unknown key" },
		{ "[x]\ns3cr3t", "f:2: neither" },
		{ "[x]\nuser=", "f:2: the value" },
		{ "[x", "f:1: a section is" },
		{ "[]", "f:1: a section is" },
		{ "[t]\nuser=a\nsecret=b\n[t]\nuser=a\nsecret=b", "f:4: a second section" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct cl_error err = CL_ERROR_INIT;
		struct lun_chap c;

		assert_int_equal(lun_chap_parse(bad[i].text, "f", "t", &c, &err), -EINVAL);
		if (!strstr(err.msg, bad[i].says))
			fail_msg("'%s' does not say '%s'", err.msg, bad[i].says);
		assert_null(strstr(err.msg, "s3cr3t"));
	}
}

static void test_random_chap(void **state)
{
	unsigned good = 0, bad = 0;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t len = sizeof(conf) - 1;
		uint8_t *bytes = mutate((const uint8_t *)conf, &len);
		char *text = malloc(len + 1);
		struct lun_chap c;

		memcpy(text, bytes, len);
		text[len] = '\0';
		if (lun_chap_parse(text, "f", "iqn.a:one", &c, NULL) == 0) {
			assert_true(!c.user[0] == !c.secret[0]);
			assert_true(!c.target_user[0] == !c.target_secret[0]);
			assert_true(strlen(c.user) <= LUN_NAME_MAX &&
				    strlen(c.secret) <= LUN_NAME_MAX);
			good++;
		} else
			bad++;
		free(bytes);
		free(text);
	}
	assert_true(good > ROUNDS / 20 && bad > ROUNDS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),	    cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_identity),    cmocka_unit_test(test_long_identity),
		cmocka_unit_test(test_url),	    cmocka_unit_test(test_no_password),
		cmocka_unit_test(test_chap),	    cmocka_unit_test(test_bad_chap),
		cmocka_unit_test(test_random_chap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
