/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/left.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/backup.h"
#include "lib/cleanup.h"
#include "lib/file.h"
#include "lib/log.h"
#include "quorum/state_force.h"

#define REPORT_MAX 200 /* lines: the events of all nodes are not to be flooded */

static void path_of(const struct daemon *d, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, "%s/left.json", d->conf.data_directory);
}

void left_keep(const struct daemon *d)
{
	struct cl_error err = CL_ERROR_INIT;
	char path[PATH_MAX];
	struct state known;
	char *text = NULL;
	json_t *doc = NULL;

	if (!d->node || !node_has_database(d->node))
		return;
	path_of(d, path);
	if (node_known(d->node, &known) == 0) {
		doc = backup_make(d->node, &known);
		state_fini(&known);
	}
	if (doc)
		text = json_dumps(doc, JSON_INDENT(1));
	if (!text)
		log_error("out of memory: what was known here is only in the database");
	else if (cl_file_write_synced(path, text, strlen(text), 0600, &err) < 0)
		log_error("%s", err.msg);
	free(text);
	json_decref(doc);
}

struct report {
	struct daemon *d;
	unsigned n;
};

static void say(struct daemon *d, const char *object, const char *cause)
{
	struct node_event event = { .type = NODE_EV_AUDIT };

	event.audit.object = object;
	event.audit.event = "change-dropped";
	event.audit.cause = cause;
	event.audit.user = "";
	event.audit.duration_ms = -1;
	event.audit.everywhere = true;
	daemon_step(d, &event);
}

static void each(void *user, const char *object, const char *text)
{
	struct report *r = user;
	char cause[STATE_REASON_MAX];

	if (++r->n > REPORT_MAX)
		return;
	(void)snprintf(cause, sizeof(cause), "%s (on %.63s, in the line that --force ended)", text,
		       r->d->name);
	say(r->d, object, cause);
}

/* With a copy of the core's own state: each event may change that. */
static int compare(struct daemon *d, const struct backup *b, struct cl_error *err)
{
	struct report report = { d, 0 };
	struct state old, now;
	char cause[STATE_REASON_MAX];
	int r = node_known(d->node, &now);

	if (r < 0)
		return cl_error_set(err, r, "out of memory");
	r = state_decode(b->state, b->len, &old, err);
	if (r == 0) {
		state_dropped(&old, &now, each, &report);
		state_fini(&old);
		(void)snprintf(cause, sizeof(cause),
			       "%u differences to what %.63s knew; its old database was set aside",
			       report.n, d->name);
		say(d, "cluster", cause);
	}
	state_fini(&now);
	return r;
}

void left_step(struct daemon *d)
{
	struct cl_error err = CL_ERROR_INIT;
	struct backup b = { 0 };
	struct node_self self;
	char path[PATH_MAX];
	int r;

	if (d->left_done || !d->node)
		return;
	node_get_self(d->node, &self);
	if (self.life != NODE_UP)
		return;
	d->left_done = true;
	path_of(d, path);
	r = backup_read(path, &b, &err);
	/* Of the same line it was damaged or old: the others have all that it had. */
	if (r == 0 && b.line < self.line)
		r = compare(d, &b, &err);
	backup_fini(&b);
	if (r == -ENOENT)
		return;
	if (r < 0)
		log_warning("what was dropped is not known: %s", err.msg);
	(void)unlink(path);
}
