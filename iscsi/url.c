/* SPDX-License-Identifier: GPL-2.0-or-later */
/* iscsi:// addresses. Pure; takes any text. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/url.h"

#define SCHEME "iscsi://"

struct span {
	const char *p;
	size_t n;
};

static int bad(struct cl_error *err, const char *what)
{
	(void)cl_error_set(err, -EINVAL, "iSCSI address: %s", what);
	(void)cl_error_hint(err, "iscsi://[USER[%%PASSWORD]@]HOST[:PORT][,HOST...]/IQN/LUN, e.g. "
				 "iscsi://10.0.0.9/iqn.2026-01.org.example:disk1/1");
	return -EINVAL;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_escape(const char *p, size_t left)
{
	return left >= 3 && p[0] == '%' && hex(p[1]) >= 0 && hex(p[2]) >= 0;
}

/* %XX and printable bytes; at most LUN_NAME_MAX of them, no NUL, no control characters. */
static int decode(struct span in, char out[LUN_NAME_MAX + 1])
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		int c = (unsigned char)in.p[i];

		if (is_escape(in.p + i, in.n - i)) {
			c = hex(in.p[i + 1]) * 16 + hex(in.p[i + 2]);
			i += 2;
		}
		if (c <= 0x20 || c == 0x7f || n == LUN_NAME_MAX)
			return -EINVAL;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

/* USER[%PASSWORD]: the first '%' that begins no %XX separates. */
static int parse_login(struct span in, struct lun_url *u, struct cl_error *err)
{
	size_t i = 0;

	while (i < in.n && (in.p[i] != '%' || is_escape(in.p + i, in.n - i)))
		i++;
	if (decode((struct span){ in.p, i }, u->user) < 0 || !u->user[0])
		return bad(err, "the user name before '@' is empty, too long or not printable");
	if (i == in.n)
		return 0;
	if (decode((struct span){ in.p + i + 1, in.n - i - 1 }, u->password) < 0)
		return bad(err, "the password before '@' is too long or not printable");
	return 0;
}

static int parse_number(struct span in, long max)
{
	long v = 0;

	if (!in.n || in.n > 5)
		return -EINVAL;
	for (size_t i = 0; i < in.n; i++) {
		if (!isdigit((unsigned char)in.p[i]))
			return -EINVAL;
		v = v * 10 + in.p[i] - '0';
	}
	return v <= max ? (int)v : -EINVAL;
}

static bool host_ok(struct span h)
{
	bool v6 = h.n > 2 && h.p[0] == '[' && h.p[h.n - 1] == ']';

	for (size_t i = v6; i < h.n - v6; i++) {
		char c = h.p[i];

		if (v6 ? !(isxdigit((unsigned char)c) || c == ':' || c == '.')
		       : !(isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_'))
			return false;
	}
	return h.n > 0;
}

static int parse_portal(struct span in, struct lun_url *u, struct cl_error *err)
{
	const char *bracket = in.n && in.p[0] == '[' ? memchr(in.p, ']', in.n) : NULL;
	const char *from = bracket ? bracket : in.p;
	const char *colon = memchr(from, ':', in.n - (size_t)(from - in.p));
	struct span host = { in.p, colon ? (size_t)(colon - in.p) : in.n };
	int port = LUN_PORT_DEFAULT;

	if (u->n_portals == LUN_PORTALS_MAX)
		return bad(err, "more than 8 portals");
	if (!host_ok(host))
		return bad(err, "a portal's host is empty or not a name, IPv4 or [IPv6] address");
	if (colon)
		port = parse_number((struct span){ colon + 1, in.n - host.n - 1 }, 65535);
	if (port <= 0)
		return bad(err, "a portal's port is not a number from 1 to 65535");
	if (host.n > sizeof(u->portals[0]) - 8)
		return bad(err, "a portal's host is too long");
	(void)snprintf(u->portals[u->n_portals++], sizeof(u->portals[0]), "%.*s:%d", (int)host.n,
		       host.p, port);
	return 0;
}

static int parse_portals(struct span in, struct lun_url *u, struct cl_error *err)
{
	for (;;) {
		const char *comma = memchr(in.p, ',', in.n);
		size_t n = comma ? (size_t)(comma - in.p) : in.n;
		int r = parse_portal((struct span){ in.p, n }, u, err);

		if (r < 0 || !comma)
			return r;
		in.p += n + 1;
		in.n -= n + 1;
	}
}

static int parse_target(struct span iqn, struct span lun, struct lun_url *u, struct cl_error *err)
{
	if (decode(iqn, u->target) < 0 || !u->target[0] || strchr(u->target, '/'))
		return bad(err, "the target name is empty, too long or not printable");
	if (strncmp(u->target, "iqn.", 4) != 0 && strncmp(u->target, "eui.", 4) != 0 &&
	    strncmp(u->target, "naa.", 4) != 0)
		return bad(err, "the target name does not begin with iqn., eui. or naa.");
	u->lun = parse_number(lun, LUN_NUMBER_MAX);
	if (u->lun < 0)
		return bad(err, "the LUN is not a number from 0 to 255");
	return 0;
}

static int parse_rest(const char *rest, struct lun_url *u, struct cl_error *err)
{
	const char *slash = strchr(rest, '/');
	const char *last = slash ? strrchr(slash + 1, '/') : NULL;
	const char *at;
	int r;

	if (!last)
		return bad(err, "it needs /IQN/LUN after the host");
	/* The last '@' before the path: a password may contain one. */
	at = memrchr(rest, '@', (size_t)(slash - rest));
	if (at) {
		r = parse_login((struct span){ rest, (size_t)(at - rest) }, u, err);
		if (r < 0)
			return r;
		rest = at + 1;
	}
	r = parse_portals((struct span){ rest, (size_t)(slash - rest) }, u, err);
	if (r < 0)
		return r;
	return parse_target((struct span){ slash + 1, (size_t)(last - slash - 1) },
			    (struct span){ last + 1, strlen(last + 1) }, u, err);
}

int lun_url_parse(const char *text, struct lun_url *ret, struct cl_error *err)
{
	struct lun_url u = { .n_portals = 0 };
	int r;

	if (!text || strncmp(text, SCHEME, strlen(SCHEME)) != 0)
		return bad(err, "it does not begin with iscsi://");
	if (strlen(text) > 2048)
		return bad(err, "it is longer than 2048 bytes");
	r = parse_rest(text + strlen(SCHEME), &u, err);
	if (r == 0)
		*ret = u;
	return r;
}
