/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Do all portals of an address lead to one LUN with one reservation state? A portal that leads to
 * another disk would corrupt; one that leads to the same disk through a controller with reservations
 * of its own would not be fenced: a node there writes on, whatever was preempted here.
 *
 * In use (keys or a reservation there): every portal must show the same keys, the same generation
 * and the same holder. Unused: a scratch key registered through each portal must be seen through
 * every other one; they are taken away again. Always the same name and size.
 *
 * This is for whoever makes a volume, and for the operator. While a volume is in use the rule of
 * admission proves it again for each login: no GO before the coordinator has seen, through the
 * portal that it uses itself, the key that was registered through the new one.
 */
#ifndef CL_ISCSI_PORTALS_H
#define CL_ISCSI_PORTALS_H

#include "iscsi/lun.h"

enum lun_portal_state {
	LUN_PORTAL_OK,	  /* proven to be one with the others that answer */
	LUN_PORTAL_DOWN,  /* does not answer: nothing is known about it */
	LUN_PORTAL_OTHER, /* leads elsewhere, or to other reservations */
};

struct lun_portals {
	unsigned n;
	struct {
		enum lun_portal_state state;
		char text[160]; /* why it is not OK */
	} portal[LUN_PORTALS_MAX];
};

/*
 * Blocks, at most timeout_ms. 0: all that answer are one (see ret for who does not); -EXDEV: one is
 * not, err says which and why; else nobody answers, or the talk broke off.
 */
int lun_portals_prove(const struct lun_url *url, const char *initiator, uint32_t timeout_ms,
		      struct lun_portals *ret, struct cl_error *err);

#endif
