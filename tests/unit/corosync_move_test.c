/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A member's other address: the texts that follow each other, and what is refused. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clusterd/corosync_move.h"

static const char three[] = "# mine\n"
			    "totem {\n"
			    "    version: 2\n"
			    "    config_version: 7\n"
			    "}\n"
			    "quorum {\n"
			    "    expected_votes: 3\n"
			    "}\n"
			    "nodelist {\n"
			    "    # by hand\n"
			    "    node {\n"
			    "        nodeid: 1\n"
			    "        name: a\n"
			    "        ring0_addr: 10.0.0.1\n"
			    "    }\n"
			    "    node {\n"
			    "        ring0_addr: 10.0.0.2\n"
			    "        nodeid: 2\n"
			    "        name: b\n"
			    "    }\n"
			    "    node {\n"
			    "        nodeid: 4\n"
			    "        name: c\n"
			    "        ring0_addr: 10.0.0.4\n"
			    "    }\n"
			    "}\n";

/* Two links, and a port of the first that the third one would have. */
static const char two_links[] = "totem {\n"
				"    interface {\n"
				"        linknumber: 0\n"
				"        mcastport: 5407\n"
				"    }\n"
				"}\n"
				"nodelist {\n"
				"    node {\n"
				"        nodeid: 1\n"
				"        name: a\n"
				"        ring0_addr: 10.0.0.1\n"
				"        ring1_addr: 10.1.0.1\n"
				"    }\n"
				"    node {\n"
				"        nodeid: 2\n"
				"        name: b\n"
				"        ring0_addr: 10.0.0.2\n"
				"        ring1_addr: 10.1.0.2\n"
				"    }\n"
				"}\n";

static char *begun(const char *text, const char *from, const char *to)
{
	char *made;

	assert_int_equal(corosync_move_begin(text, "b", from, to, &made, NULL), 0);
	return made;
}

/* Takes text. */
static char *next(char *text)
{
	char *made;

	assert_int_equal(corosync_move_next(text, &made, NULL), 0);
	free(text);
	return made;
}

static void is_at(const char *text, enum corosync_move_step step, uint64_t version)
{
	struct corosync_conf c;

	assert_int_equal(corosync_conf_read(text, &c, NULL), 0);
	assert_int_equal(corosync_move_step(&c), step);
	assert_int_equal(c.version, version);
	corosync_conf_fini(&c);
}

/* "" = it has none. */
static void has(const char *text, uint32_t id, unsigned link, const char *address)
{
	struct corosync_conf c;

	assert_int_equal(corosync_conf_read(text, &c, NULL), 0);
	assert_string_equal(corosync_conf_node(&c, id)->address[link], address);
	corosync_conf_fini(&c);
}

static void all_have(const char *text, unsigned link, const char *a, const char *b, const char *c)
{
	has(text, 1, link, a);
	has(text, 2, link, b);
	has(text, 4, link, c);
}

static void the_whole_way(void **state)
{
	char *t = begun(three, NULL, "10.0.0.9");

	(void)state;
	is_at(three, COROSYNC_MOVE_NONE, 7);
	is_at(t, COROSYNC_MOVE_ADDED, 8);
	all_have(t, 0, "10.0.0.1", "10.0.0.2", "10.0.0.4");
	all_have(t, 1, "10.0.0.1", "10.0.0.9", "10.0.0.4");
	t = next(t);
	is_at(t, COROSYNC_MOVE_DROPPED, 9);
	all_have(t, 0, "", "", "");
	all_have(t, 1, "10.0.0.1", "10.0.0.9", "10.0.0.4");
	t = next(t);
	is_at(t, COROSYNC_MOVE_LAST, 10);
	all_have(t, 0, "10.0.0.1", "10.0.0.9", "10.0.0.4");
	all_have(t, 1, "10.0.0.1", "10.0.0.9", "10.0.0.4");
	t = next(t);
	is_at(t, COROSYNC_MOVE_NONE, 11);
	all_have(t, 0, "10.0.0.1", "10.0.0.9", "10.0.0.4");
	all_have(t, 1, "", "", "");
	assert_non_null(strstr(t, "# mine\n"));
	assert_non_null(strstr(t, "    # by hand\n"));
	assert_null(strstr(t, "clusterd:"));
	free(t);
}

static void taken_back(void **state)
{
	char *t = begun(three, "10.0.0.2", "10.0.0.9"), *back;
	struct corosync_conf old, now;

	(void)state;
	assert_int_equal(corosync_move_back(t, &back, NULL), 0);
	is_at(back, COROSYNC_MOVE_NONE, 9);
	assert_int_equal(corosync_conf_read(three, &old, NULL), 0);
	assert_int_equal(corosync_conf_read(back, &now, NULL), 0);
	assert_int_equal(now.nodes.n, old.nodes.n);
	for (size_t i = 0; i < old.nodes.n; i++)
		assert_memory_equal(&now.nodes.v[i], &old.nodes.v[i], sizeof(old.nodes.v[i]));
	corosync_conf_fini(&old);
	corosync_conf_fini(&now);
	free(back);
	/* The old link is gone: by then there is nothing to go back to. */
	t = next(t);
	assert_int_equal(corosync_move_back(t, &back, NULL), -CL_EREFUSED);
	t = next(t);
	assert_int_equal(corosync_move_back(t, &back, NULL), -CL_EREFUSED);
	free(t);
	assert_int_equal(corosync_move_back(three, &back, NULL), -CL_EREFUSED);
	assert_int_equal(corosync_move_next(three, &back, NULL), -CL_EREFUSED);
}

static void one_link_of_two(void **state)
{
	char *t = begun(two_links, "10.1.0.2", "10.1.0.9");

	(void)state;
	/* Number 2 is free, but its port is link 0's. */
	has(t, 1, 2, "");
	has(t, 1, 3, "10.1.0.1");
	has(t, 2, 3, "10.1.0.9");
	t = next(next(next(t)));
	is_at(t, COROSYNC_MOVE_NONE, 4);
	has(t, 2, 0, "10.0.0.2");
	has(t, 2, 1, "10.1.0.9");
	has(t, 2, 3, "");
	free(t);
}

static void gone_meanwhile(void **state)
{
	char *t = begun(three, NULL, "10.0.0.9"), *made;

	(void)state;
	assert_int_equal(corosync_conf_remove(t, 2, false, &made, NULL), 0);
	free(t);
	is_at(made, COROSYNC_MOVE_LAST, 9);
	t = next(made);
	is_at(t, COROSYNC_MOVE_NONE, 10);
	has(t, 1, 0, "10.0.0.1");
	has(t, 1, 1, "");
	free(t);
}

static void refused(void **state)
{
	struct corosync_node n = {
		.id = 3, .name = "d", .address = { "10.0.0.3" }, .n_addresses = 1
	};
	char *t = begun(three, NULL, "10.0.0.9"), *made;

	(void)state;
	assert_int_equal(corosync_move_begin(t, "a", NULL, "10.0.0.8", &made, NULL), -CL_EREFUSED);
	assert_int_equal(corosync_conf_add(t, &n, false, &made, NULL), -CL_EREFUSED);
	free(t);
	assert_int_equal(corosync_move_begin(three, "d", NULL, "10.0.0.8", &made, NULL), -ENOENT);
	assert_int_equal(corosync_move_begin(three, "b", NULL, "10.0.0.4", &made, NULL), -EEXIST);
	assert_int_equal(corosync_move_begin(three, "b", NULL, "10.0.0.2", &made, NULL), -EEXIST);
	assert_int_equal(corosync_move_begin(three, "b", NULL, "fd00::2", &made, NULL), -EINVAL);
	assert_int_equal(corosync_move_begin(three, "b", NULL, "here", &made, NULL), -EINVAL);
	assert_int_equal(corosync_move_begin(three, "b", "10.0.0.7", "10.0.0.8", &made, NULL),
			 -EINVAL);
	assert_int_equal(corosync_move_begin(two_links, "b", NULL, "10.0.0.8", &made, NULL),
			 -EINVAL);
}

/* Whatever stands in the line, nothing out of range is taken from it. */
static void odd_notes(void **state)
{
	static const char *const notes[] = {
		"node 0 changes its address on link 0 from x by link 1",
		"node 999 changes its address on link 0 from x by link 1",
		"node 2 changes its address on link 9 from x by link 1",
		"node 2 changes its address on link 1 from x by link 1",
		"node 2 changes its address on link 0 from",
		"node -1 changes its address on link -1 from x by link -1",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++) {
		struct corosync_conf c;
		char text[1024];

		(void)snprintf(text, sizeof(text), "nodelist {\n    # clusterd: %s\n}\n", notes[i]);
		assert_int_equal(corosync_conf_read(text, &c, NULL), 0);
		assert_int_equal(c.move.node, 0);
		corosync_conf_fini(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_whole_way),   cmocka_unit_test(taken_back),
		cmocka_unit_test(one_link_of_two), cmocka_unit_test(gone_meanwhile),
		cmocka_unit_test(refused),	   cmocka_unit_test(odd_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
