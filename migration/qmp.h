/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A QMP connection on the loop: greeting and capabilities, commands with ids and deadlines, events.
 * QEMU serves one connection at a time on its socket; a second one waits in the backlog.
 *
 * Callbacks run from the loop. From within any of them qmp_free() is allowed.
 */
#ifndef CL_MIGRATION_QMP_H
#define CL_MIGRATION_QMP_H

#include <jansson.h>

#include "lib/error.h"
#include "lib/loop.h"

struct qmp;

struct qmp_ops {
	void (*ready)(void *user); /* commands are accepted from here on */
	/* data may be NULL; time_us is QEMU's clock, 0 when unknown. */
	void (*event)(void *user, const char *name, const json_t *data, int64_t time_us);
	/* The connection is over (QEMU ended, or spoke nonsense). Called once, last. */
	void (*closed)(void *user, const struct cl_error *why);
};

/* Exactly one of result and err is non-NULL; both are borrowed. */
typedef void (*qmp_reply_fn)(void *user, const json_t *result, const struct cl_error *err);

/* Connect to the unix socket at path. ready() comes when QEMU has answered. */
int qmp_open(struct cl_loop *loop, const char *path, const struct qmp_ops *ops, void *user,
	     struct qmp **ret, struct cl_error *err);

/*
 * Send a command. args (may be NULL) is taken over, also on failure. fn (may be NULL) is called
 * once: with the answer, with QEMU's error (-EIO), with -ETIMEDOUT after timeout_ms (the command may
 * still be carried out), or with -ECONNRESET. Negative return: nothing was sent, fn is not called.
 */
int qmp_exec(struct qmp *qmp, const char *command, json_t *args, int64_t timeout_ms,
	     qmp_reply_fn fn, void *user);

/*
 * The same with a descriptor that travels with the command (getfd); fd is borrowed. -EBUSY while an
 * earlier one has not left.
 */
int qmp_exec_fd(struct qmp *qmp, const char *command, json_t *args, int fd, int64_t timeout_ms,
		qmp_reply_fn fn, void *user);

/* Closes without calling anybody. Accepts NULL. */
void qmp_free(struct qmp *qmp);

CL_DEFINE_CLEANUP(struct qmp, qmp_free);

#endif
