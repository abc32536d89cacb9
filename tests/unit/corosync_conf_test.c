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
	assert_int_equal(corosync_conf_add(two, &n, false, &made, NULL), 0);
	assert_int_equal(corosync_conf_read(made, &c, NULL), 0);
	assert_int_equal(c.version, 1);
	assert_int_equal(c.expected_votes, 4);
	assert_int_equal(c.nodes.n, 3);
	assert_string_equal(corosync_conf_node(&c, 2)->name, "c");
	corosync_conf_fini(&c);
	assert_non_null(strstr(made, "# mine\n"));
	assert_non_null(strstr(made, "        votes: 1\n")); /* the device's own */
	/* And back: what is left is as it was, but for the version. */
	assert_int_equal(corosync_conf_remove(made, 2, false, &again, NULL), 0);
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
	assert_int_equal(corosync_conf_add(two, &taken_id, false, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &taken_name, false, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &taken_address, false, &made, NULL), -EEXIST);
	assert_int_equal(corosync_conf_add(two, &none, false, &made, NULL), -EINVAL);
	assert_int_equal(corosync_conf_add(two, &links, false, &made, NULL), -EINVAL);
	assert_int_equal(corosync_conf_remove(two, 7, false, &made, NULL), -ENOENT);
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

/* Takes text, gives it back changed. */
static char *witness_is(char *text, bool witness)
{
	char *made;

	assert_int_equal(corosync_conf_device(text, witness, &made, NULL), 0);
	free(text);
	return made;
}

static void has(const char *text, size_t nodes, bool device, uint32_t votes)
{
	struct corosync_conf c;

	assert_int_equal(corosync_conf_read(text, &c, NULL), 0);
	assert_int_equal(c.nodes.n, nodes);
	assert_int_equal(corosync_conf_has_device(&c), device);
	assert_int_equal(c.expected_votes, votes);
	corosync_conf_fini(&c);
}

/* One node has no device: corosync would not start. The second one brings it, the last but one takes it. */
static void test_witness(void **state)
{
	struct corosync_node a = node(1, "a", "10.0.0.1"), b = node(2, "b", "10.0.0.2"),
			     c = node(3, "c", "10.0.0.3");
	struct corosync_conf conf;
	char *text = witness_is(corosync_conf_make("lab", &a), true), *made;

	(void)state;
	has(text, 1, false, 1);
	assert_int_equal(corosync_conf_add(text, &b, true, &made, NULL), 0);
	has(made, 2, true, 3);
	free(text);
	text = witness_is(made, true);
	has(text, 2, true, 3);
	assert_int_equal(corosync_conf_add(text, &c, true, &made, NULL), 0);
	has(made, 3, true, 4);
	free(text);
	text = witness_is(made, false);
	has(text, 3, false, 3);
	assert_null(strstr(text, "device"));
	text = witness_is(text, true);
	has(text, 3, true, 4);
	assert_int_equal(corosync_conf_remove(text, 1, true, &made, NULL), 0);
	free(text);
	assert_int_equal(corosync_conf_remove(made, 3, true, &text, NULL), 0);
	free(made);
	has(text, 1, false, 1);
	assert_int_equal(corosync_conf_read(text, &conf, NULL), 0);
	assert_true(corosync_conf_device_right(&conf, true));
	assert_true(corosync_conf_device_right(&conf, false));
	corosync_conf_fini(&conf);
	free(text);
}

#define NODES                                                                                      \
	"nodelist {\nnode {\nnodeid: 1\nname: a\nring0_addr: 10.0.0.1\n}\n"                        \
	"node {\nnodeid: 2\nname: b\nring0_addr: 10.0.0.2\n}\n}\n"

/* An administrator's: what he did not say is said with a device, two_node goes. */
static void test_witness_of_others(void **state)
{
	char *made;

	(void)state;
	assert_int_equal(corosync_conf_device(
				 "totem {\n}\nquorum {\ntwo_node: 1\nwait_for_all: 1\n}\n" NODES,
				 true, &made, NULL),
			 0);
	has(made, 2, true, 3);
	assert_null(strstr(made, "two_node"));
	assert_non_null(strstr(made, "wait_for_all: 1\n"));
	free(made);
}

static void test_witness_refused(void **state)
{
	static const char net[] = "totem {\n}\nquorum {\nexpected_votes: 3\ndevice {\nmodel: net\n"
				  "votes: 1\n}\n}\n" NODES;
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf c;
	char *made;

	(void)state;
	assert_int_equal(corosync_conf_device(net, true, &made, &err), -CL_EREFUSED);
	assert_non_null(strstr(err.msg, "'net'"));
	assert_int_equal(corosync_conf_read(net, &c, NULL), 0);
	assert_true(corosync_conf_device_right(&c, true)); /* nothing that we could do */
	corosync_conf_fini(&c);
	assert_int_equal(corosync_conf_remove(net, 2, true, &made, NULL), 0);
	assert_non_null(strstr(made, "model: net\n"));
	assert_non_null(strstr(made, "expected_votes: 2\n"));
	free(made);
	assert_int_equal(corosync_conf_device("totem {\n}\n" NODES, true, &made, NULL), -EINVAL);
	assert_int_equal(
		corosync_conf_device("totem {\n}\nquorum {\nlast_man_standing: 1\n}\n" NODES, true,
				     &made, NULL),
		-CL_EREFUSED);
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
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_make),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_witness),
		cmocka_unit_test(test_witness_of_others),
		cmocka_unit_test(test_witness_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
