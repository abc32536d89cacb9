/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tap device on a bridge of this node. It lives as long as its descriptor: when QEMU ends, however
 * it ends, the device is gone; there is nothing to clean up and nothing that a crash leaves behind.
 */
#ifndef CL_MIGRATION_TAP_H
#define CL_MIGRATION_TAP_H

#include "lib/error.h"

/* A descriptor (inheritable) of a new tap "vmtapN" with virtio headers, up, on the bridge. */
int tap_open(const char *bridge, struct cl_error *err);

#endif
