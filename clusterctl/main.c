/* SPDX-License-Identifier: GPL-2.0-or-later */
/* clusterctl: asks the clusterd of this node. Exit codes: docs/cli.md. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "clusterctl/args.h"
#include "clusterctl/backup.h"
#include "clusterctl/client.h"
#include "clusterctl/confirm.h"
#include "clusterctl/text.h"
#include "lib/cleanup.h"

#define READ_TIMEOUT_MS 10000

/* ---- failing --------------------------------------------------------------------------------------- */

static void print_json(const json_t *json, FILE *out)
{
	_cleanup_free_ char *text = json_dumps(json, JSON_COMPACT);

	if (text)
		(void)fprintf(out, "%s\n", text);
}

/* One line on stderr whatever is in it; with --json the same as an object on stdout. */
static int fail(const struct args *args, const struct client_error *err)
{
	const struct cl_error *e = &err->err;
	json_t *json;

	(void)fprintf(stderr, "clusterctl: %s%s%s\n", e->msg, *e->hint ? "; " : "", e->hint);
	if (args->json) {
		json = json_pack("{s:{s:s,s:s,s:s?,s:s?}}", "error", "code", cl_error_word(e->code),
				 "message", e->msg, "object", *err->object ? err->object : NULL,
				 "hint", *e->hint ? e->hint : NULL);
		print_json(json, stdout);
		json_decref(json);
	}
	return cl_error_exit_code(e->code);
}

/* ---- verbs that ask nobody -------------------------------------------------------------------------- */

static int do_help(const struct args *args)
{
	unsigned words;
	const struct verb *verb;
	struct client_error err = { 0 };

	if (args->verb && strcmp(args->verb->name, "help") != 0) {
		verb_help(args->verb, stdout); /* --help */
		return 0;
	}
	if (args->verb && args_option(args, "man")) {
		verb_man_synopsis(stdout);
		return 0;
	}
	if (!args->n_operands) {
		verb_help_all(stdout);
		return 0;
	}
	verb = verb_find(args->operands[0], args->n_operands > 1 ? args->operands[1] : NULL,
			 &words);
	if (!verb) {
		(void)cl_error_set(&err.err, -EINVAL, "unknown verb '%.60s'", args->operands[0]);
		(void)cl_error_hint(&err.err, "see `clusterctl help`");
		return fail(args, &err);
	}
	verb_help(verb, stdout);
	return 0;
}

static int do_completion(const struct args *args)
{
	struct client_error err = { 0 };

	if (strcmp(args->operands[0], "bash") == 0) {
		verb_bash_completion(stdout);
		return 0;
	}
	(void)cl_error_set(&err.err, -EINVAL, "no completion for '%.60s': only bash",
			   args->operands[0]);
	return fail(args, &err);
}

/* ---- verbs that ask clusterd ------------------------------------------------------------------------- */

struct lines {
	const struct args *args;
	bool tty, open; /* a progress line stands on the terminal */
};

static void on_line(void *user, const json_t *line)
{
	struct lines *lines = user;

	if (json_object_get(line, "progress")) {
		if (!lines->tty || lines->args->json)
			return;
		(void)fputs("\r\033[K", stderr);
		text_progress(line, stderr);
		lines->open = true;
	} else if (lines->args->json) {
		print_json(line, stdout);
	} else if (lines->args->verb->text) {
		lines->args->verb->text(line, stdout);
	}
	(void)fflush(stdout);
}

static int64_t timeout_of(const struct args *args)
{
	if (args->timeout_ms >= 0)
		return args->timeout_ms;
	if ((args->verb->flags & VERB_ENDLESS) && args_option(args, "follow"))
		return 0;
	return args->verb->flags & VERB_READS ? READ_TIMEOUT_MS : 0;
}

static void print_result(const struct args *args, const json_t *result)
{
	/* `events` has given its lines already; its end says nothing. */
	if (args->verb->flags & VERB_ENDLESS)
		return;
	if (args->json)
		print_json(result, stdout);
	else if (args->verb->text)
		args->verb->text(result, stdout);
	else
		text_message(result, stdout);
}

/* What was asked for was found out, and is bad news: `check` of a damaged volume, an agent
 * that does not answer. */
static int code_of(const json_t *result)
{
	return json_is_false(json_object_get(json_object_get(result, "check"), "clean")) ||
			       json_is_false(
				       json_object_get(json_object_get(result, "fence_test"), "ok"))
		       ? 1
		       : 0;
}

static int do_backup(struct args *args)
{
	const char *path = args->operands[0];
	struct lines lines = { args, false, false };
	struct client_error err = { 0 };
	json_t *result;
	int r;

	(void)backup_prepare(args, &err.err);
	r = client_ask(args, timeout_of(args), on_line, &lines, &result, &err);
	if (r < 0)
		return fail(args, &err);
	r = backup_write(path, result, &err.err);
	json_decref(result);
	return r < 0 ? fail(args, &err) : 0;
}

static int do_ask(const struct args *args)
{
	struct lines lines = { args, isatty(STDERR_FILENO) == 1, false };
	struct client_error err = { 0 };
	json_t *result;
	int r = client_ask(args, timeout_of(args), on_line, &lines, &result, &err);

	if (lines.open)
		(void)fputs("\r\033[K", stderr);
	if (r < 0)
		return fail(args, &err);
	print_result(args, result);
	r = code_of(result);
	json_decref(result);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return r;
	(void)fprintf(stderr, "clusterctl: cannot write the result\n");
	return 1;
}

static int run(struct args *args)
{
	struct client_error err = { 0 };

	if (args->version) {
		(void)printf("clusterctl %s\n", PACKAGE_VERSION);
		return 0;
	}
	if (args->help || !args->verb || strcmp(args->verb->name, "help") == 0)
		return do_help(args);
	if (strcmp(args->verb->name, "completion") == 0)
		return do_completion(args);
	if (strcmp(args->verb->name, "backup") == 0)
		return do_backup(args);
	if (backup_prepare(args, &err.err) < 0 || confirm_typed(args, stdin, stderr, &err.err) < 0)
		return fail(args, &err);
	return do_ask(args);
}

int main(int argc, char *argv[])
{
	struct client_error err = { 0 };
	struct args args;
	int code;

	if (args_parse(argc, argv, &args, &err.err) < 0) {
		code = fail(&args, &err);
	} else if (argc < 2) {
		(void)cl_error_set(&err.err, -EINVAL, "which verb?");
		(void)cl_error_hint(&err.err, "see `clusterctl help`");
		code = fail(&args, &err);
	} else {
		code = run(&args);
	}
	args_fini(&args);
	return code;
}
