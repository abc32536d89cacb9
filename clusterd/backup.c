/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/crc32c.h"
#include "lib/file.h"
#include "lib/walltime.h"

/* ---- hexadecimal ------------------------------------------------------------------------------------ */

static char *hex_of(const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char *out = malloc(2 * n + 1);

	for (size_t i = 0; out && i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	if (out)
		out[2 * n] = '\0';
	return out;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL when it is none, or without memory. */
static uint8_t *hex_read(const char *text, size_t *ret_len)
{
	size_t n = strlen(text) / 2;
	_cleanup_free_ uint8_t *out = malloc(n + 1);

	if (!out || text[2 * n])
		return NULL;
	for (size_t i = 0; i < n; i++) {
		int a = digit(text[2 * i]), b = digit(text[2 * i + 1]);

		if (a < 0 || b < 0)
			return NULL;
		out[i] = (uint8_t)(a << 4 | b);
	}
	*ret_len = n;
	return cl_steal(out);
}

/* ---- out --------------------------------------------------------------------------------------------- */

json_t *backup_make(const struct node *node, const struct state *s)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	_cleanup_free_ char *hex = NULL, *uuid = hex_of(s->cluster_uuid, sizeof(s->cluster_uuid));
	struct node_self self;
	char time[CL_RFC3339_SIZE];
	size_t len;

	if (state_encode(s, &bytes, &len) < 0)
		return NULL;
	hex = hex_of(bytes, len);
	node_get_self(node, &self);
	(void)cl_rfc3339(cl_wall_ms(), time);
	if (!hex || !uuid)
		return NULL;
	return json_pack("{s:{s:i,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:s}}", "backup", "format",
			 BACKUP_FORMAT, "time", time, "cluster", s->cluster_name, "uuid", uuid,
			 "line", (json_int_t)self.line, "term", (json_int_t)self.term, "index",
			 (json_int_t)s->applied, "crc32c", (json_int_t)cl_crc32c(0, bytes, len),
			 "version", PACKAGE_VERSION, "state", hex);
}

/* ---- in ---------------------------------------------------------------------------------------------- */

static int take(const json_t *json, const char *path, struct backup *b, struct cl_error *err)
{
	const json_t *from = json_object_get(json, "backup");
	json_int_t format = json_integer_value(json_object_get(from, "format"));
	json_int_t line = json_integer_value(json_object_get(from, "line"));
	const char *hex = json_string_value(json_object_get(from, "state"));

	if (!from)
		return cl_error_set(err, -CL_ECORRUPT, "%s: is no backup of a cluster", path);
	if (format != BACKUP_FORMAT)
		return cl_error_set(err, -EPROTONOSUPPORT, "%s: format %lld, this program reads %d",
				    path, (long long)format, BACKUP_FORMAT);
	b->state = hex ? hex_read(hex, &b->len) : NULL;
	if (!b->state || line <= 0)
		return cl_error_set(err, -CL_ECORRUPT, "%s: its state cannot be read", path);
	if (cl_crc32c(0, b->state, b->len) !=
	    (uint32_t)json_integer_value(json_object_get(from, "crc32c")))
		return cl_error_set(err, -CL_ECORRUPT, "%s: its checksum is wrong", path);
	b->line = (uint64_t)line;
	return 0;
}

int backup_read(const char *path, struct backup *ret, struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct backup b = { 0 };
	json_error_t bad;
	json_t *json;
	int r = cl_file_read(path, BACKUP_BYTES_MAX, &text, NULL, err);

	if (r < 0)
		return r;
	json = json_loads(text, 0, &bad);
	if (!json)
		return cl_error_set(err, -CL_ECORRUPT, "%s:%d: %s", path, bad.line, bad.text);
	r = take(json, path, &b, err);
	json_decref(json);
	if (r < 0)
		backup_fini(&b);
	else
		*ret = b;
	return r;
}

void backup_fini(struct backup *b)
{
	free(b->state);
	*b = (struct backup){ 0 };
}
