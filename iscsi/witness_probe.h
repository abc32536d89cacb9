/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a LUN becomes the witness: are its target's reservations sound? The witness rests on them as a
 * volume does: a preempted host must not write any more, and READ RESERVATION must name who holds it.
 * Asked as for a volume (iscsi/probe.h), in a thread, since the sessions of a probe block.
 */
#ifndef CL_ISCSI_WITNESS_PROBE_H
#define CL_ISCSI_WITNESS_PROBE_H

#include "lib/error.h"
#include "lib/loop.h"

struct witness_probe;

struct witness_probe_config {
	const char *url;
	unsigned node;
	/*
	 * On the loop, once; the probe is gone by then. code 0: sound; -CL_EREFUSED: it cannot fence; -EBUSY:
	 * somebody uses the LUN, so that nothing was tried; other: no answer.
	 */
	void (*done)(void *user, int code, const char *text);
	void *user;
};

/* Never blocks. -EINVAL: the address. */
int witness_probe_new(struct cl_loop *loop, const struct witness_probe_config *config,
		      struct witness_probe **ret, struct cl_error *err);
/* done is not called any more; what runs ends by itself. Accepts NULL. */
void witness_probe_forget(struct witness_probe *probe);

#endif
