/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verb table against everything that is made from it or written by hand beside it: help,
 * completion, the manual page; the arguments; and the text that is made of golden JSON.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterctl/args.h"
#include "clusterctl/text.h"
#include "clusterctl/verbs.h"
#include "lib/file.h"

static char *made; /* what a printing function wrote */

static FILE *begin(void)
{
	static size_t len;

	free(made);
	made = NULL;
	return open_memstream(&made, &len);
}

static char *source_file(const char *name)
{
	const char *dir = getenv("srcdir");
	char path[500], *text;
	struct cl_error err = CL_ERROR_INIT;

	(void)snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", name);
	if (cl_file_read(path, 1 << 20, &text, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	return text;
}

/* ---- table ------------------------------------------------------------------------------------ */

static void test_table_is_whole(void **state)
{
	(void)state;
	for (const struct verb *v = verbs; v->name; v++) {
		unsigned words = 0, spaces = 0;
		const char *space = strchr(v->name, ' ');
		char first[40];

		(void)snprintf(first, sizeof(first), "%.*s",
			       space ? (int)(space - v->name) : (int)strlen(v->name), v->name);
		assert_ptr_equal(verb_find(first, space ? space + 1 : NULL, &words), v);
		assert_int_equal(words, space ? 2 : 1);
		assert_true(v->min <= v->max && v->max <= 4);
		assert_true(v->summary && v->example && !isupper((unsigned char)v->summary[0]));
		assert_non_null(strstr(v->example, v->name));
		for (const char *p = v->operands; *p; p++)
			spaces += *p == ' ';
		if (*v->operands && !strstr(v->operands, "..."))
			assert_int_equal(v->max, spaces + 1);
	}
}

static void test_help_and_completion_name_every_verb_and_option(void **state)
{
	(void)state;
	for (const struct verb *v = verbs; v->name; v++) {
		FILE *f = begin();

		verb_help_all(f);
		verb_help(v, f);
		verb_bash_completion(f);
		(void)fclose(f);
		for (const struct verb_option *o = v->options; o && o->name; o++) {
			char word[50];

			(void)snprintf(word, sizeof(word), "--%s", o->name);
			assert_non_null(strstr(made, word));
		}
		assert_non_null(strstr(made, v->summary));
	}
}

static void test_manual_has_the_synopsis_of_the_table(void **state)
{
	char *page = source_file("man/clusterctl.8"), *begins, *ends;
	FILE *f = begin();

	(void)state;
	verb_man_synopsis(f);
	(void)fclose(f);
	begins = strstr(page, ".Sh SYNOPSIS\n");
	assert_non_null(begins);
	begins += strlen(".Sh SYNOPSIS\n");
	ends = strstr(begins, ".Sh ");
	assert_non_null(ends);
	*ends = '\0';
	assert_string_equal(begins, made); /* `clusterctl help --man` prints what it has to be */
	free(page);
}

static void test_manual_explains_every_verb_and_option(void **state)
{
	char *page = source_file("man/clusterctl.8"), *from = strstr(page, ".Sh DESCRIPTION");
	char word[80];

	(void)state;
	assert_non_null(from);
	for (const struct verb *v = verbs; v->name; v++) {
		(void)snprintf(word, sizeof(word), ".It Cm %s", v->name);
		if (!strstr(from, word))
			fail_msg("man/clusterctl.8 does not explain %s", v->name);
		for (const struct verb_option *o = v->options; o && o->name; o++) {
			(void)snprintf(word, sizeof(word), "Fl -%s", o->name);
			if (!strstr(from, word))
				fail_msg("man/clusterctl.8 does not explain --%s", o->name);
		}
	}
	for (const struct verb_option *o = verb_globals; o->name; o++) {
		(void)snprintf(word, sizeof(word), ".It Fl -%s", o->name);
		assert_non_null(strstr(from, word));
	}
	free(page);
}

static void test_nearest(void **state)
{
	const struct verb *near[3];

	(void)state;
	assert_int_equal(verb_nearest("sttus", near, 3), 1);
	assert_string_equal(near[0]->name, "status");
	assert_true(verb_nearest("moev", near, 3) >= 1);
	assert_string_equal(near[0]->name, "move");
	assert_int_equal(verb_nearest("xyzzyxyzzy", near, 3), 0);
}

/* ---- arguments ----------------------------------------------------------------------------------- */

static int parse(const char *line, struct args *args, struct cl_error *err)
{
	static char copy[500], *argv[40];
	char *save = NULL;
	int argc = 0;

	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *w = strtok_r(copy, " ", &save); w && argc < 39; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	return args_parse(argc, argv, args, err);
}

static void test_arguments(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct args args;

	(void)state;
	assert_int_equal(parse("c create vm web --disk a --disk=b --start --timeout 1.5 --json",
			       &args, &err),
			 0);
	assert_string_equal(args.verb->name, "create vm");
	assert_int_equal(args.n_operands, 1);
	assert_string_equal(args.operands[0], "web");
	assert_int_equal(args.options.n, 3);
	assert_string_equal(args_option(&args, "disk"), "b");
	assert_int_equal(args.timeout_ms, 1500);
	assert_true(args.json);
	args_fini(&args);
	assert_int_equal(parse("c --json --timeout 2m move -- --odd node2", &args, &err), 0);
	assert_string_equal(args.operands[0], "--odd");
	assert_int_equal(args.timeout_ms, 120000);
	args_fini(&args);
}

static void test_bad_arguments(void **state)
{
	static const char *const bad[] = {
		"c nothing",
		"c create",
		"c create thing x",
		"c move a",
		"c move a b c",
		"c status --quick",
		"c status --json=1",
		"c status -x",
		"c init --name",
		"c init --name a --name b",
		"c status --timeout x",
		"c status --timeout -1",
		"c create vm x --file /no/such/file",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cl_error err = CL_ERROR_INIT;
		struct args args;

		if (parse(bad[i], &args, &err) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_true(err.msg[0] && !strchr(err.msg, '\n'));
		args_fini(&args);
	}
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void test_file_of_options(void **state)
{
	char name[] = "/tmp/clusterctl-test-XXXXXX", line[100];
	struct cl_error err = CL_ERROR_INIT;
	struct args args;
	int fd = mkstemp(name);

	(void)state;
	assert_true(fd >= 0);
	put(fd, "# a VM\nmemory = 64M\ndisk=a\ndisk = b\nstart = yes\n");
	(void)snprintf(line, sizeof(line), "c create vm x --file %s --memory 128M", name);
	assert_int_equal(parse(line, &args, &err), 0);
	assert_string_equal(args_option(&args, "memory"), "128M"); /* the command line wins */
	assert_string_equal(args_option(&args, "disk"), "b");
	assert_non_null(args_option(&args, "start"));
	args_fini(&args);
	put(fd, "colour = blue\n");
	assert_int_equal(parse(line, &args, &err), -EINVAL);
	assert_non_null(strstr(err.msg, ":6: unknown key 'colour'"));
	args_fini(&args);
	(void)close(fd);
	(void)unlink(name);
}

/* ---- text ---------------------------------------------------------------------------------------- */

static const char status_json[] =
	"{\"cluster\":{\"name\":\"lab\",\"quorate\":true,\"epoch\":4,\"manager\":\"node1\",\"can_"
	"lose\":1},"
	"\"nodes\":[{\"name\":\"node1\",\"state\":\"up\",\"incarnation\":2,\"reason\":null,"
	"\"since\":null},"
	"{\"name\":\"node2\",\"state\":\"down\",\"incarnation\":3,\"reason\":\"left the "
	"ring\",\"since\":null}],"
	"\"volumes\":[{\"name\":\"vol1\",\"coordinator\":\"node1\",\"epoch\":7,\"nodes\":["
	"{\"node\":\"node1\",\"mode\":\"direct\",\"reason\":null,\"since\":null}]}],"
	"\"resources\":[{\"name\":\"vm\",\"type\":\"vm\",\"state\":\"migrating\",\"node\":"
	"\"node1\","
	"\"target\":\"node2\",\"generation\":3,\"priority\":1000,\"reason\":null,\"since\":null}],"
	"\"of_a_later_version\":1}";

static const char status_text[] = "cluster lab: NOT HEALTHY; can lose 1 more node; manager node1\n"
				  "\n"
				  "NODE   STATE  SINCE  REASON\n"
				  "node1  up     -      -\n"
				  "node2  down   -      left the ring\n"
				  "\n"
				  "VOLUME  COORDINATOR  NODE   MODE    SINCE  REASON\n"
				  "vol1    node1        node1  direct  -      -\n"
				  "\n"
				  "RESOURCE  TYPE  STATE      NODE            SINCE  REASON\n"
				  "vm        vm    migrating  node1 -> node2  -      -\n";

static void test_status_text(void **state)
{
	json_t *json = json_loads(status_json, 0, NULL);
	FILE *f = begin();

	(void)state;
	assert_non_null(json);
	text_status(json, f);
	(void)fclose(f);
	assert_string_equal(made, status_text);
	json_decref(json);
}

static void health_is(const char *mode, const char *reason, const char *word)
{
	json_t *json = json_pack("{s:{s:s,s:b},s:[{s:[{s:s,s:s,s:s}]}]}", "cluster", "name", "lab",
				 "quorate", 1, "volumes", "nodes", "node", "node1", "mode", mode,
				 "reason", reason);
	FILE *f = begin();

	assert_non_null(json);
	text_status(json, f);
	(void)fclose(f);
	if (strncmp(made, word, strlen(word)) != 0)
		fail_msg("%s, %s: %.40s", mode, reason, made);
	json_decref(json);
}

static void test_health_looks_at_volumes(void **state)
{
	(void)state;
	health_is("direct", "", "cluster lab: healthy");
	health_is("block-redirected", "x", "cluster lab: healthy");
	health_is("unavailable", "maintenance: an offline job is running", "cluster lab: healthy");
	health_is("unavailable", "not mounted yet", "cluster lab: NOT HEALTHY");
	health_is("paused", "a failed node is being fenced", "cluster lab: NOT HEALTHY");
}

static const char volume_json[] =
	"{\"name\":\"vol1\",\"type\":\"volume\",\"coordinator\":\"node1\",\"epoch\":13,\"since\":"
	"null,"
	"\"reason\":null,\"moving_to\":\"node2\",\"redirected\":true,\"maintenance\":false,"
	"\"uuid\":\"5f\","
	"\"target\":\"iscsi://t/i/1\",\"size_bytes\":4294967296,\"free_bytes\":1536,"
	"\"probe\":{\"vendor\":\"IET\",\"product\":\"DISK\",\"revision\":\"1\",\"pr_type\":6,"
	"\"type8\":\"bad\",\"type6\":\"passed\",\"tested\":null},"
	"\"fence_debts\":[{\"node\":\"node3\",\"incarnation\":2}],"
	"\"sessions\":[{\"node\":\"node1\",\"state\":\"active\",\"open_files\":2,\"locks\":0}],"
	"\"files\":[{\"vm\":\"web\",\"path\":\"/ClusterStorage/vol1/w\",\"format\":\"raw\"}],"
	"\"nodes\":[{\"node\":\"node1\",\"mode\":\"direct\",\"reason\":null,\"since\":null,"
	"\"waiting\":1,"
	"\"counters\":{\"io\":[{\"path\":\"direct\",\"direction\":\"read\",\"operations\":4,"
	"\"bytes\":2048,"
	"\"microseconds\":10,\"below_2_to_n_us\":[]}],\"recalls_sent\":1,\"recalls_answered\":2,"
	"\"recalls_busy\":3,\"commits\":4,\"fences\":5,\"resends\":6}},"
	"{\"node\":\"node2\",\"mode\":\"paused\",\"reason\":\"x\",\"since\":null,\"error\":"
	"\"silent\"}]}";

static const char volume_text[] =
	"vol1: cluster shared volume, 4.0 GiB, 1.5 KiB free\n"
	"coordinator node1, epoch 13; moving to node2; redirected by the operator\n"
	"uuid 5f\n"
	"LUN iscsi://t/i/1\n"
	"target IET DISK 1: reservations of type 6\n"
	"  type 8 bad\n"
	"  type 6 passed\n"
	"a fence of node3 is owed\n"
	"\n"
	"NODE   MODE    SINCE  SESSION  OPEN  WAITING  REASON\n"
	"node1  direct  -      active   2     1        -\n"
	"node2  paused  -      -        -     -        silent\n"
	"\n"
	"NODE   I/O     -     COUNT  BYTES    MEAN\n"
	"node1  direct  read  4      2.0 KiB  2 us\n"
	"\n"
	"NODE   COMMITS  FENCES  RECALLS SENT  ANSWERED  BUSY  RESENDS\n"
	"node1  4        5       1             2         3     6\n"
	"\n"
	"VM   FILE                    FORMAT\n"
	"web  /ClusterStorage/vol1/w  raw\n";

static void test_volume_text(void **state)
{
	json_t *json = json_loads(volume_json, 0, NULL);
	FILE *f = begin();

	(void)state;
	assert_non_null(json);
	text_show(json, f);
	(void)fclose(f);
	assert_string_equal(made, volume_text);
	json_decref(json);
}

/* Whatever clusterd of another version sends, text is made of it. */
static void test_text_of_anything(void **state)
{
	static const char *const odd[] = { "{}",
					   "[]",
					   "1",
					   "null",
					   "{\"nodes\":3,\"cluster\":[]}",
					   "{\"objects\":[{},1,null]}",
					   "{\"done\":{\"total_ms\":5}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		json_t *json = json_loads(odd[i], JSON_DECODE_ANY, NULL);
		FILE *f = begin();

		for (const struct verb *v = verbs; v->name; v++)
			if (v->text)
				v->text(json, f);
		text_progress(json, f);
		text_message(json, f);
		(void)fclose(f);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table_is_whole),
		cmocka_unit_test(test_help_and_completion_name_every_verb_and_option),
		cmocka_unit_test(test_manual_has_the_synopsis_of_the_table),
		cmocka_unit_test(test_manual_explains_every_verb_and_option),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_file_of_options),
		cmocka_unit_test(test_status_text),
		cmocka_unit_test(test_health_looks_at_volumes),
		cmocka_unit_test(test_volume_text),
		cmocka_unit_test(test_text_of_anything),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	free(made);
	return r;
}
