/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/log.h"

enum kind { KIND_NAME, KIND_ADDRESS, KIND_PATH, KIND_NUMBER };

/* The one list of keys: reading, checking, printing and the man page's test follow it. */
static const struct key {
	const char *name;
	enum kind kind;
	size_t offset, size;
	uint64_t max; /* KIND_NUMBER */
} keys[] = {
#define TEXT(key, kind)                                                                            \
	{                                                                                          \
#key, kind, offsetof(struct conf, key), sizeof(((struct conf *)0)->key), 0         \
	}
#define NUMBER(key, max)                                                                           \
	{                                                                                          \
#key, KIND_NUMBER, offsetof(struct conf, key), 0, max                              \
	}
	TEXT(node_name, KIND_NAME),
	TEXT(storage_address, KIND_ADDRESS),
	TEXT(migration_address, KIND_ADDRESS),
	TEXT(data_directory, KIND_PATH),
	TEXT(run_directory, KIND_PATH),
	TEXT(volume_directory, KIND_PATH),
	TEXT(corosync_directory, KIND_PATH),
	TEXT(fence_agent_directory, KIND_PATH),
	TEXT(vm_bridge, KIND_NAME),
	TEXT(vm_user, KIND_NAME),
	NUMBER(memory_mib, UINT64_C(1) << 30),
	NUMBER(cpus, 65536),
	NUMBER(log_level, CL_LOG_DEBUG),
	NUMBER(plain_disks, 1),
	NUMBER(no_quarantine, 1),
	NUMBER(plain_migration, 1),
};

#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

const char *conf_key_name(size_t i)
{
	return i < N_KEYS ? keys[i].name : NULL;
}

static char *text_of(const struct conf *conf, const struct key *key)
{
	return (char *)conf + key->offset;
}

static uint64_t *number_of(const struct conf *conf, const struct key *key)
{
	return (uint64_t *)(void *)((char *)conf + key->offset);
}

void conf_defaults(struct conf *conf)
{
	*conf = (struct conf){
		.data_directory = "/var/lib/clusterd",
		.run_directory = "/run/clusterd",
		.volume_directory = "/ClusterStorage",
		.corosync_directory = "/etc/corosync",
		.fence_agent_directory = "/usr/sbin",
		.vm_bridge = "vm",
		.vm_user = "nobody",
		.log_level = CL_LOG_INFO,
	};
}

static const struct key *key_find(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

static bool name_ok(const char *s)
{
	for (const char *p = s; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
			return false;
	return isalnum((unsigned char)*s);
}

static bool address_ok(const char *s)
{
	unsigned char buf[16];

	return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

static int set_number(struct conf *conf, const struct key *key, const char *value,
		      struct cl_error *err)
{
	char *end;
	unsigned long long x;

	errno = 0;
	x = strtoull(value, &end, 10);
	if (errno || *end || !isdigit((unsigned char)*value) || x > key->max)
		return cl_error_set(err, -EINVAL, "%s: '%s' is not a number from 0 to %llu",
				    key->name, value, (unsigned long long)key->max);
	*number_of(conf, key) = x;
	return 0;
}

static int set_text(struct conf *conf, const struct key *key, const char *value,
		    struct cl_error *err)
{
	if (strlen(value) >= key->size)
		return cl_error_set(err, -EINVAL, "%s: longer than %zu characters", key->name,
				    key->size - 1);
	if (key->kind == KIND_NAME && !name_ok(value))
		return cl_error_set(err, -EINVAL, "%s: '%s': letters, digits, '.', '_', '-' only",
				    key->name, value);
	if (key->kind == KIND_ADDRESS && !address_ok(value))
		return cl_error_set(err, -EINVAL, "%s: '%s' is not a numeric address", key->name,
				    value);
	if (key->kind == KIND_PATH && value[0] != '/')
		return cl_error_set(err, -EINVAL, "%s: '%s' is not an absolute path", key->name,
				    value);
	(void)strcpy(text_of(conf, key), value);
	return 0;
}

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

static int set_line(struct conf *conf, char *line, bool seen[N_KEYS], struct cl_error *err)
{
	char *value = strchr(line, '=');
	const struct key *key;

	if (!value)
		return cl_error_set(err, -EINVAL, "not of the form key = value");
	*value++ = '\0';
	line = trim(line);
	value = trim(value);
	key = key_find(line);
	if (!key)
		return cl_error_set(err, -EINVAL, "unknown key '%.60s'", line);
	if (seen[key - keys])
		return cl_error_set(err, -EINVAL, "%s is given twice", key->name);
	seen[key - keys] = true;
	return key->kind == KIND_NUMBER ? set_number(conf, key, value, err)
					: set_text(conf, key, value, err);
}

int conf_parse(FILE *f, const char *path, struct conf *ret, struct cl_error *err)
{
	struct conf conf;
	bool seen[N_KEYS] = { false };
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	int r;

	conf_defaults(&conf);
	for (unsigned n = 1; getline(&line, &cap, f) >= 0; n++) {
		char *text = trim(line);

		if (!*text || *text == '#')
			continue;
		r = set_line(&conf, text, seen, err);
		if (r < 0)
			return cl_error_wrap(err, r, "%s:%u", path, n);
	}
	if (!conf.storage_address[0])
		return cl_error_set(err, -EINVAL, "%s: storage_address is missing", path);
	if (!conf.migration_address[0])
		(void)strcpy(conf.migration_address, conf.storage_address);
	*ret = conf;
	return 0;
}

int conf_read(const char *path, struct conf *ret, struct cl_error *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	if (!f)
		return cl_error_errno(err, -errno, "%s", path);
	return conf_parse(f, path, ret, err);
}

/* Copies a line, or puts this value in its place. true: it is that key's. */
static bool put_address(FILE *out, const char *line, size_t len, const char *key, const char *value)
{
	size_t blank = strspn(line, " \t"), key_len = strlen(key);
	const char *after = line + blank + key_len;

	if (blank + key_len >= len || strncmp(line + blank, key, key_len) != 0 ||
	    after[strspn(after, " \t")] != '=')
		return false;
	(void)fprintf(out, "%s = %s\n", key, value);
	return true;
}

char *conf_readdress(const char *text, const char *storage, const char *migration)
{
	bool has_migration = false, is_migration, ended = true;
	char *made = NULL;
	size_t len;
	FILE *out = open_memstream(&made, &len);

	if (!out)
		return NULL;
	while (*text) {
		const char *end = strchr(text, '\n');
		size_t n = end ? (size_t)(end + 1 - text) : strlen(text);

		ended = end != NULL;
		is_migration = put_address(out, text, n, "migration_address", migration);
		has_migration = has_migration || is_migration;
		if (!is_migration && !put_address(out, text, n, "storage_address", storage))
			(void)fwrite(text, 1, n, out);
		else
			ended = true;
		text += n;
	}
	if (!has_migration && strcmp(storage, migration) != 0)
		(void)fprintf(out, "%smigration_address = %s\n", ended ? "" : "\n", migration);
	if (fclose(out) == 0)
		return made;
	free(made);
	return NULL;
}

void conf_print(const struct conf *conf, FILE *out)
{
	for (size_t i = 0; i < N_KEYS; i++) {
		if (keys[i].kind == KIND_NUMBER)
			(void)fprintf(out, "%s = %llu\n", keys[i].name,
				      (unsigned long long)*number_of(conf, &keys[i]));
		else if (*text_of(conf, &keys[i]))
			(void)fprintf(out, "%s = %s\n", keys[i].name, text_of(conf, &keys[i]));
	}
}
