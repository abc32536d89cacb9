/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/corosync_conf.h"

static const char two[] = "# mine\n"
			  "totem {\n"
			  "    version: 2\n"
			  "    cluster_name: c\n"
			  "    interface {\n"
			  "        linknumber: 0\n"
			  "    }\n"
			  "}\n"
			  "quorum {\n"
			  "    expected_votes: 3\n"
			  "    device {\n"
			  "        votes: 1\n"
			  "    }\n"
			  "}\n"
			  "nodelist {\n"
			  "    node {\n"
			  "        nodeid: 1\n"
			  "        name: a\n"
			  "        ring0_addr: 10.0.0.1\n"
			  "    }\n"
			  "    node {\n"
			  "        ring0_addr: 10.0.0.2\n"
			  "        nodeid: 3\n"
			  "        name: b\n"
			  "    }\n"
			  "}\n";

static struct corosync_node node(uint32_t id, const char *name, const char *address)
{
	struct corosync_node n = { .id = id, .n_addresses = 1 };

	(void)strcpy(n.name, name);
	(void)strcpy(n.address[0], address);
	return n;
}

static void test_read(void **state)
{
	struct corosync_conf c;

	(void)state;
	assert_int_equal(corosync_conf_read(two, &c, NULL), 0);
	assert_string_equal(c.cluster_name, "c");
	assert_int_equal(c.version, 0);
	assert_int_equal(c.expected_votes, 3);
	assert_int_equal(c.nodes.n, 2);
	assert_string_equal(corosync_conf_node(&c, 3)->address[0], "10.0.0.2");
	assert_int_equal(corosync_conf_node_by_name(&c, "a")->id, 1);
	assert_null(corosync_conf_node(&c, 2));
	assert_int_equal(corosync_conf_free_id(&c), 2);
	corosync_conf_fini(&c);
}

static void test_add(void **state)
{
	struct corosync_node n = node(2, "c", "10.0.0.3");
	struct corosync_conf c;
	char *made, *again;

	(void)state;
	assert_int_equal(corosync_conf_add(two, &n, &made, NULL), 0);
	assert_int_equal(corosync_conf_read(made, &c, NULL), 0);
	assert_int_equal(c.version, 1);
	assert_int_equal(c.expected_votes, 4);
	assert_int_equal(c.nodes.n, 3);
	assert_string_equal(corosync_conf_node(&c, 2)->name, "c");
	corosync_conf_fini(&c);
	assert_non_null(strstr(made, "# mine\n"));
	assert_non_null(strstr(made, "        votes: 1\n")); /* the device's own */
	/* And back: what is left is as it was, but for the version. */
	assert_int_equal(corosync_conf_remove(made, 2, &again, NULL), 0);
	assert_int_equal(corosync_conf_read(again, &c, NULL), 0);
	assert_int_equal(c.version, 2);
	assert_int_equal(c.expected_votes, 3);
	assert_int_equal(c.nodes.n, 2);
	corosync_conf_fini(&c);
	free(made);
	free(again);
}

static void test_refused(void **state)
{
	struct corosync_node taken_id = node(1, "c", "10.0.0.3"),
			     taken_name = node(2, "a", "10.0.0.3"),
			     taken_address = node(2, "c", "10.0.0.2"), none = node(2, "c", "here"),
			     links = node(2, "c", "10.0.0.3");
	char *made;

	(void)state;
	links.n_addresses = 2;
	(void)strcpy(links.address[1], "10.1.0.3");
	assert_int_equal(corosync_conf_add(two, &taken_id, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &taken_name, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &taken_address, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &none, &made, NULL), -EINVAL);
	assert_int_equal(corosync_conf_add(two, &links, &made, NULL), -EINVAL);
	assert_int_equal(corosync_conf_remove(two, 7, &made, NULL), -ENOENT);
}

static void test_make(void **state)
{
	struct corosync_node n = node(1, "a", "10.0.0.1");
	struct corosync_conf c;
	char *made = corosync_conf_make("lab", &n), *touched;

	(void)state;
	assert_int_equal(corosync_conf_read(made, &c, NULL), 0);
	assert_int_equal(c.version, 1);
	assert_string_equal(c.cluster_name, "lab");
	corosync_conf_fini(&c);
	assert_int_equal(corosync_conf_touch(made, &touched, NULL), 0);
	assert_non_null(strstr(touched, "config_version: 2\n"));
	assert_null(strstr(touched, "config_version: 1\n"));
	free(made);
	free(touched);
}

static void test_bad(void **state)
{
	static const char *const bad[] = {
		"totem {\n",
		"}\n",
		"a {\nb {\nc {\nd {\ne {\n}\n}\n}\n}\n}\n",
		"nodelist {\nnode {\nnodeid: 256\n}\n}\n",
		"nodelist {\nnode {\nnodeid: 1\n}\n}\n",
		"nodelist {\nnode {\nring0_addr: 1.1.1.1\n}\n}\n",
		"totem {\nconfig_version: x\n}\n",
		"nodelist {\nnode {\nnodeid: 1\nring0_addr: a\n}\nnode {\nnodeid: 1\nring0_addr: "
		"b\n}\n}\n",
	};
	struct corosync_conf c;
	struct cl_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct cl_error)CL_ERROR_INIT;
		assert_int_equal(corosync_conf_read(bad[i], &c, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "corosync.conf"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),	cmocka_unit_test(test_add),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_make),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
