/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is this target good for? Runs pr_probe over four scratch sessions of its own, without data.
 * Only on a LUN that nobody uses: a registered key or a reservation there ends it with -EBUSY.
 */
#ifndef CL_ISCSI_PROBE_H
#define CL_ISCSI_PROBE_H

#include "iscsi/lun.h"
#include "iscsi/pr_probe.h"

struct lun_probe_result {
	uint8_t pr_type;	 /* 8 or 6; 0 = unfenceable: refuse it for shared use */
	struct pr_quirks quirks; /* .tail: only with pr_type 0; type 8 then, for who insists */
	enum pr_unmap unmap;
	enum pr_aptpl aptpl;
	char type8[160]; /* "passed", or what type 8 did wrong */
	char type6[160]; /* the same; "" when not tried */
	char tail[160];	 /* likewise: type 8, keys removed from the list's end only */
	char vendor[9], product[17], revision[5];
	uint64_t blocks;
	uint32_t block_size;
};

/* Blocking, at most timeout_ms; for a thread or process that may. 0 also when unfenceable. */
int lun_probe(const struct lun_url *url, const char *initiator, uint32_t timeout_ms,
	      struct lun_probe_result *ret, struct cl_error *err);

#endif
