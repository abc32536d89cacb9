/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A handful of sessions, mostly without data, driven by a thread or process that may block: what probes of a
 * target are made of. One command at a time.
 */
#ifndef CL_ISCSI_SCRATCH_H
#define CL_ISCSI_SCRATCH_H

#include "iscsi/lun.h"

#define SCRATCH_SESSIONS_MAX 8

struct scratch {
	const struct lun_url *url; /* borrowed */
	const char *initiator;	   /* each session gets a suffix; borrowed */
	int64_t until_ms;	   /* of all that is done with it */
	unsigned portal;	   /* found by scratch_log_in_any */
	struct lun_session *sessions[SCRATCH_SESSIONS_MAX];
	struct lun_cmd cmd; /* the answer to the last command */
	bool answered;
};

void scratch_init(struct scratch *s, const struct lun_url *url, const char *initiator,
		  uint32_t timeout_ms);
void scratch_fini(struct scratch *s);

/* Session i over that portal, in place of what was there. 0 or negative. */
int scratch_log_in(struct scratch *s, unsigned i, unsigned portal, struct cl_error *err);

/* The same over the first portal that answers; the others then take that one. */
int scratch_log_in_any(struct scratch *s, unsigned i, struct cl_error *err);

/* A session that can carry data, over that portal: with this key, which it has yet to register. */
int scratch_log_in_data(struct scratch *s, unsigned i, uint64_t key, uint8_t pr_type,
			struct cl_error *err);

/* One turn over all sessions, waiting until `until_ms` at the latest. Negative: time is up, or one died. */
int scratch_turn(struct scratch *s, int64_t until_ms, struct cl_error *err);

/*
 * One command on session i; the answer is in s->cmd.answer. 0: there is one, whatever it says. Negative:
 * a session died, or the time is up.
 */
int scratch_run(struct scratch *s, unsigned i, const struct pr_op *op, struct cl_error *err);

CL_DEFINE_CLEANUP(struct scratch, scratch_fini);

#endif
