/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/args.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

void args_fini(struct args *args)
{
	for (size_t i = 0; i < args->options.n; i++) {
		free(args->options.v[i].name);
		free(args->options.v[i].value);
	}
	arg_option_vec_fini(&args->options);
}

const char *args_option(const struct args *args, const char *name)
{
	for (size_t i = args->options.n; i > 0; i--)
		if (strcmp(args->options.v[i - 1].name, name) == 0)
			return args->options.v[i - 1].value;
	return NULL;
}

int args_parse_duration(const char *text, int64_t *ret_ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = { { "", 1000 }, { "s", 1000 }, { "ms", 1 }, { "m", 60000 }, { "min", 60000 } };
	char *end;
	double x;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	x = strtod(text, &end);
	if (!(x >= 0 && x <= 1e6))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(end, units[i].unit) == 0) {
			*ret_ms = (int64_t)(x * (double)units[i].ms);
			return 0;
		}
	return -EINVAL;
}

static int option_add(struct args *args, const char *name, const char *value, struct cl_error *err)
{
	struct arg_option o = { strdup(name), strdup(value) };

	if (o.name && o.value && args->options.n < ARGS_OPTIONS_MAX &&
	    arg_option_vec_push(&args->options, o) == 0)
		return 0;
	free(o.name);
	free(o.value);
	return cl_error_set(err, -EINVAL, "too many options");
}

/* ---- --file ------------------------------------------------------------------------------------- */

static char *trim(char *s)
{
	char *end;

	while (isspace((unsigned char)*s))
		s++;
	end = s + strlen(s);
	while (end > s && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return s;
}

static bool text_is(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(s, *words) == 0)
			return true;
	return false;
}

static int file_flag(struct args *args, const char *key, const char *value, struct cl_error *err)
{
	static const char *const yes[] = { "yes", "true", "1", "on", NULL };
	static const char *const no[] = { "no", "false", "0", "off", NULL };

	if (text_is(value, yes))
		return option_add(args, key, "", err);
	if (text_is(value, no))
		return 0;
	return cl_error_set(err, -EINVAL, "%s: '%.40s' is neither yes nor no", key, value);
}

static int file_line(struct args *args, char *line, struct cl_error *err)
{
	char *value = strchr(line, '=');
	const struct verb_option *o;

	if (!value)
		return cl_error_set(err, -EINVAL, "not of the form key = value");
	*value++ = '\0';
	line = trim(line);
	value = trim(value);
	for (o = args->verb->options; o->name && strcmp(o->name, line) != 0; o++)
		;
	if (!o->name || strcmp(line, "file") == 0)
		return cl_error_set(err, -EINVAL, "unknown key '%.40s'", line);
	return o->value ? option_add(args, line, value, err) : file_flag(args, line, value, err);
}

static int file_read(struct args *args, const char *path, struct cl_error *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	int r;

	if (!f)
		return cl_error_set(err, -EINVAL, "%s: %s", path, strerror(errno));
	for (unsigned n = 1; getline(&line, &cap, f) >= 0; n++) {
		char *text = trim(line);

		if (!*text || *text == '#')
			continue;
		r = file_line(args, text, err);
		if (r < 0)
			return cl_error_wrap(err, r, "%s:%u", path, n);
	}
	if (ferror(f))
		return cl_error_set(err, -EINVAL, "%s: cannot be read", path);
	return 0;
}

/* ---- words --------------------------------------------------------------------------------------- */

static int take_global(struct args *args, const struct verb_option *o, const char *value,
		       struct cl_error *err)
{
	if (strcmp(o->name, "json") == 0)
		args->json = true;
	else if (strcmp(o->name, "help") == 0)
		args->help = true;
	else if (strcmp(o->name, "version") == 0)
		args->version = true;
	else if (args_parse_duration(value, &args->timeout_ms) < 0)
		return cl_error_set(err, -EINVAL, "--timeout: '%.40s' is not a time in seconds",
				    value);
	return 0;
}

static const struct verb_option *global_find(const char *name)
{
	const struct verb none = { 0 };

	return verb_option_find(&none, name);
}

static int unknown_option(const struct verb *verb, const char *name, struct cl_error *err)
{
	(void)cl_error_set(err, -EINVAL, "unknown option '--%.60s'", name);
	(void)cl_error_hint(err, "see `clusterctl help%s%s`", verb ? " " : "",
			    verb ? verb->name : "");
	return -EINVAL;
}

/* One option at argv[*i]; moves *i to its last word. */
static int take_option(struct args *args, int argc, char *const argv[], int *i,
		       struct cl_error *err)
{
	const char *word = argv[*i] + 2, *equals = strchr(word, '='), *value = "";
	const struct verb_option *o, *global;
	char name[64];

	(void)snprintf(name, sizeof(name), "%.*s",
		       equals ? (int)(equals - word) : (int)strlen(word), word);
	global = global_find(name);
	o = args->verb ? verb_option_find(args->verb, name) : global;
	if (!o)
		return unknown_option(args->verb, name, err);
	if (!o->value && equals)
		return cl_error_set(err, -EINVAL, "--%s takes no value", name);
	if (o->value && equals)
		value = equals + 1;
	else if (o->value && ++*i < argc)
		value = argv[*i];
	else if (o->value)
		return cl_error_set(err, -EINVAL, "--%s needs a value: %s", name, o->value);
	if (o == global)
		return take_global(args, o, value, err);
	if (!o->repeats && args_option(args, name))
		return cl_error_set(err, -EINVAL, "--%s is given twice", name);
	return option_add(args, name, value, err);
}

static int take_operand(struct args *args, const char *word, struct cl_error *err)
{
	if (args->n_operands == args->verb->max) {
		(void)cl_error_set(err, -EINVAL, "%s: one operand too many: '%.60s'",
				   args->verb->name, word);
		(void)cl_error_hint(err, "usage: clusterctl %s %s", args->verb->name,
				    args->verb->operands);
		return -EINVAL;
	}
	args->operands[args->n_operands++] = word;
	return 0;
}

static int unknown_verb(const char *first, const char *second, struct cl_error *err)
{
	const struct verb *near[3];
	char names[100] = "";
	unsigned n = verb_nearest(first, near, 3);

	if (second && strcmp(first, "create") == 0)
		return cl_error_set(err, -EINVAL,
				    "cannot create a '%.60s': only vm, volume and token", second);
	if (strcmp(first, "create") == 0)
		return cl_error_set(err, -EINVAL, "create what: vm, volume or token?");
	if (strcmp(first, "set") == 0 || strcmp(first, "fence") == 0)
		return cl_error_set(err, -EINVAL, "%s what? see `clusterctl help`", first);
	(void)cl_error_set(err, -EINVAL, "unknown verb '%.60s'", first);
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s'%s'",
			       i ? " or " : "", near[i]->name);
	if (n)
		(void)cl_error_hint(err, "did you mean %s?", names);
	else
		(void)cl_error_hint(err, "see `clusterctl help`");
	return -EINVAL;
}

/* The verb is the first word, or the first two, that are no options. */
static int find_verb(struct args *args, int argc, char *const argv[], int *ret_skip1,
		     int *ret_skip2, struct cl_error *err)
{
	int first = 0, second = 0;
	unsigned words;

	for (int i = 1; i < argc && !second; i++) {
		const struct verb_option *o;

		if (strncmp(argv[i], "--", 2) == 0) {
			o = global_find(argv[i] + 2);
			i += o && o->value; /* its value is no verb */
			continue;
		}
		*(first ? &second : &first) = i;
	}
	if (!first)
		return 0;
	args->verb = verb_find(argv[first], second ? argv[second] : NULL, &words);
	if (!args->verb)
		return unknown_verb(argv[first], second ? argv[second] : NULL, err);
	*ret_skip1 = first;
	*ret_skip2 = words == 2 ? second : first;
	return 0;
}

static bool has_json(int argc, char *const argv[])
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--json") == 0)
			return true;
	return false;
}

static int check_count(const struct args *args, struct cl_error *err)
{
	if (!args->verb || args->help || args->version || args->n_operands >= args->verb->min)
		return 0;
	(void)cl_error_set(err, -EINVAL, "%s: operand missing", args->verb->name);
	(void)cl_error_hint(err, "usage: clusterctl %s %s", args->verb->name, args->verb->operands);
	return -EINVAL;
}

/* The command line's own options come after those of the file, so that they win. */
static int read_files(struct args *args, struct cl_error *err)
{
	const char *path = args_option(args, "file");
	struct arg_option_vec given = args->options;
	int r;

	if (!path || !args->verb)
		return 0;
	args->options = (struct arg_option_vec){ 0 };
	r = file_read(args, path, err);
	for (size_t i = 0; i < given.n; i++)
		if (arg_option_vec_push(&args->options, given.v[i]) < 0)
			r = cl_error_set(err, -ENOMEM, "out of memory");
	arg_option_vec_fini(&given);
	return r;
}

int args_parse(int argc, char *const argv[], struct args *ret, struct cl_error *err)
{
	int skip1 = 0, skip2 = 0, r;
	bool only_operands = false;

	*ret = (struct args){ .timeout_ms = -1, .json = has_json(argc, argv) };
	r = find_verb(ret, argc, argv, &skip1, &skip2, err);
	for (int i = 1; r == 0 && i < argc; i++) {
		if (i == skip1 || i == skip2)
			continue;
		if (!only_operands && strcmp(argv[i], "--") == 0)
			only_operands = true;
		else if (!only_operands && strncmp(argv[i], "--", 2) == 0)
			r = take_option(ret, argc, argv, &i, err);
		else if (!only_operands && argv[i][0] == '-' && argv[i][1])
			r = unknown_option(ret->verb, argv[i] + 1, err);
		else
			r = take_operand(ret, argv[i], err);
	}
	if (r == 0)
		r = check_count(ret, err);
	return r == 0 ? read_files(ret, err) : r;
}
