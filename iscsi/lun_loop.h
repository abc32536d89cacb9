/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives a session or a control by lib/loop: watches its fd, keeps its deadline. Call _update from
 * the object's `changed` hook. Free the binding before the object; freeing is allowed from within a
 * callback of the object.
 */
#ifndef CL_ISCSI_LUN_LOOP_H
#define CL_ISCSI_LUN_LOOP_H

#include "iscsi/control.h"
#include "iscsi/lun.h"
#include "lib/loop.h"

struct lun_loop;

int lun_loop_session(struct cl_loop *loop, struct lun_session *session, struct lun_loop **ret);
int lun_loop_control(struct cl_loop *loop, struct lun_control *control, struct lun_loop **ret);
void lun_loop_update(struct lun_loop *binding);
void lun_loop_free(struct lun_loop *binding);

CL_DEFINE_CLEANUP(struct lun_loop, lun_loop_free);

#endif
