/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of a corosync.conf: its own grammar is `key: value`, `name {` and `}`, one a line. Shared by
 * reading (corosync_conf.c) and changing (corosync_edit.c). Takes any text.
 */
#ifndef CL_CLUSTERD_COROSYNC_LINES_H
#define CL_CLUSTERD_COROSYNC_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/error.h"

enum { COROSYNC_DEPTH_MAX = 4 };

enum line_kind { LINE_OTHER, LINE_OPEN, LINE_CLOSE, LINE_KEY };

struct line {
	const char *start;
	size_t len; /* with its newline */
	enum line_kind kind;
	char key[64], value[128];
};

struct reader {
	const char *at;
	unsigned number, depth;
	char section[COROSYNC_DEPTH_MAX][32]; /* after the line: where we are */
};

/* Without the blanks at both ends; cut to size. */
void line_copy(char *to, size_t size, const char *from, size_t len);

/* 1 = a line, 0 = the end. An OPEN is inside of its section already, a CLOSE still. */
int line_next(struct reader *rd, struct line *ret, struct cl_error *err);
/* To be called when a line was dealt with. */
void line_done(struct reader *rd, const struct line *l);

/* Right in section a, or in its section b. */
bool line_in(const struct reader *rd, const char *a, const char *b);
bool line_is(const struct line *l, const char *key);

#endif
