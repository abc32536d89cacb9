/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterd.conf: golden input and print-back, errors with file and line, and the manual. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/conf.h"
#include "lib/file.h"

static int parse(const char *text, struct conf *conf, struct cl_error *err)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	int r;

	assert_non_null(f);
	r = conf_parse(f, "x.conf", conf, err);
	(void)fclose(f);
	return r;
}

static void test_what_is_printed_reads_back_the_same(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct conf a, b;
	char *text = NULL;
	size_t len = 0;
	FILE *f;

	(void)state;
	assert_int_equal(parse("# a node\n\n node_name = node1 \nstorage_address=10.0.0.1\n"
			       "memory_mib = 2048\n",
			       &a, &err),
			 0);
	assert_string_equal(a.node_name, "node1");
	assert_string_equal(a.migration_address, "10.0.0.1"); /* as storage_address */
	assert_int_equal(a.memory_mib, 2048);
	f = open_memstream(&text, &len);
	conf_print(&a, f);
	(void)fclose(f);
	assert_int_equal(parse(text, &b, &err), 0);
	assert_memory_equal(&a, &b, sizeof(a));
	free(text);
}

static void test_errors_name_file_and_line(void **state)
{
	static const struct {
		const char *text, *want;
	} bad[] = {
		{ "storage_address = 10.0.0.1\ncolour = blue\n", "x.conf:2: unknown key 'colour'" },
		{ "storage_address = here\n",
		  "x.conf:1: storage_address: 'here' is not a numeric" },
		{ "node_name = a b\n", "x.conf:1: node_name: 'a b'" },
		{ "node_name = a\nnode_name = b\n", "x.conf:2: node_name is given twice" },
		{ "run_directory = run\n", "x.conf:1: run_directory: 'run' is not an absolute" },
		{ "cpus = -1\n", "x.conf:1: cpus: '-1' is not a number" },
		{ "what\n", "x.conf:1: not of the form key = value" },
		{ "node_name = a\n", "x.conf: storage_address is missing" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cl_error err = CL_ERROR_INIT;
		struct conf conf;

		assert_int_equal(parse(bad[i].text, &conf, &err), -EINVAL);
		if (strncmp(err.msg, bad[i].want, strlen(bad[i].want)) != 0)
			fail_msg("'%s' instead of '%s'", err.msg, bad[i].want);
	}
}

static void readdressed(const char *text, const char *storage, const char *migration,
			const char *want)
{
	char *made = conf_readdress(text, storage, migration);

	assert_string_equal(made, want);
	free(made);
}

static void test_other_addresses(void **state)
{
	(void)state;
	readdressed("# mine\n  storage_address=10.0.0.1\nnode_name = a\n", "10.0.0.9", "10.0.0.9",
		    "# mine\nstorage_address = 10.0.0.9\nnode_name = a\n");
	readdressed("storage_address = 10.0.0.1\nmigration_address = 10.1.0.1", "10.0.0.1",
		    "10.1.0.9", "storage_address = 10.0.0.1\nmigration_address = 10.1.0.9\n");
	/* Until now it was the storage's. */
	readdressed("storage_address = 10.0.0.1\n# end", "10.0.0.1", "10.1.0.9",
		    "storage_address = 10.0.0.1\n# end\nmigration_address = 10.1.0.9\n");
	readdressed("# storage_address = x\nstorage_addresses = 1\nstorage_address\n", "10.0.0.1",
		    "10.0.0.1", "# storage_address = x\nstorage_addresses = 1\nstorage_address\n");
}

static void test_manual_explains_every_key(void **state)
{
	const char *dir = getenv("srcdir");
	char path[500], word[80], *page;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/man/clusterd.8", dir ? dir : ".");
	assert_int_equal(cl_file_read(path, 1 << 20, &page, NULL, NULL), 0);
	for (size_t i = 0; conf_key_name(i); i++) {
		(void)snprintf(word, sizeof(word), ".It Cm %s\n", conf_key_name(i));
		if (!strstr(page, word))
			fail_msg("man/clusterd.8 does not explain %s", conf_key_name(i));
	}
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_printed_reads_back_the_same),
		cmocka_unit_test(test_errors_name_file_and_line),
		cmocka_unit_test(test_other_addresses),
		cmocka_unit_test(test_manual_explains_every_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
