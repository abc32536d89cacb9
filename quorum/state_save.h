/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of a VM that is kept over a stop (`stop cluster --save`).
 *
 *   stop     reserves a number; the agent saves generation g for it, kills the VM, says so with `stopped g`
 *   start    is given that number, and takes the memory up
 *   else     any other start is given another number: the state on the volume is void
 *
 * A number is given to one start on one node, once. So a memory is taken up once at most: had that start failed
 * after its guest ran, and the next one the same number, the guest would be back in time beside a disk that went on.
 * No entry "consumed" is needed: the start's own entry is it.
 */
#ifndef CL_QUORUM_STATE_SAVE_H
#define CL_QUORUM_STATE_SAVE_H

#include "quorum/state.h"

struct apply;

/* STOPPING begins: what has no volume has nowhere to keep it. */
void save_begin(struct state_resource *r);
/* Its agent's word that the owner is gone; reserved: for whom the memory was kept, 0 = it was not. */
void save_done(struct state_resource *r, uint64_t reserved);
/* The number of the next start. */
uint64_t save_generation(const struct apply *ap, struct state_resource *r);
/* It runs. */
void save_used(const struct apply *ap, struct state_resource *r);
/* It has no owner any more: a memory that was not saved whole, or was given out, is of no use. */
void save_dropped(const struct apply *ap, struct state_resource *r);

/* The start that is under way takes the memory up. */
bool state_restores(const struct state_resource *r);
/* A stop that saves. */
bool state_saves(const struct state_resource *r);

#endif
