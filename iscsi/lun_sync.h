/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A data session for a thread that may block: the file-system thread. Each call runs its own poll
 * loop over the session until done or until the deadline. Once it has failed with anything but
 * -EINVAL it stays failed (-EBADE fenced, -ENOLINK session dead or silent), and nothing is resent:
 * writes that were under way are of unknown fate until the nexus (lun_sync_key) has been killed.
 *
 *     control thread                        this thread
 *     lun_control_allow -> key       ->     lun_sync_open(key)    login, REGISTER
 *     lun_control_seen(key) -> yes   ->     lun_sync_go()
 *                                           lun_sync_pread / _pwrite / _flush
 *
 * One thread at a time; only lun_sync_break() and _barrier_answered() may be called from another.
 */
#ifndef CL_ISCSI_LUN_SYNC_H
#define CL_ISCSI_LUN_SYNC_H

#include "iscsi/lun.h"

struct lun_sync;

/*
 * Connects (the url's portals in turn, beginning with config->portal), logs in, REGISTERs config->key. Blocks, at most
 * config->connect_ms per portal. config->hooks are not used; the key and the reservation are
 * verified over the session's own nexus after a unit attention.
 */
int lun_sync_open(const struct lun_session_config *config, struct lun_sync **ret,
		  struct cl_error *err);
int lun_sync_go(struct lun_sync *sync, struct cl_error *err);

/*
 * For making a volume: as _open, and gives itself the GO, because there is no coordinator yet. -EBUSY when
 * the LUN is in use: a reservation stands, or a key that is not of this cluster software is registered.
 * (A mere _open and _go would REGISTER and then be a registrant that may write over a live volume.)
 * _close unregisters then. Two at once on one LUN are the caller's to exclude.
 */
int lun_sync_open_unused(const struct lun_session_config *config, struct lun_sync **ret,
			 struct cl_error *err);
void lun_sync_close(struct lun_sync *sync); /* accepts NULL; does not unregister, save _unused */

uint64_t lun_sync_key(const struct lun_sync *sync);
uint64_t lun_sync_bytes(const struct lun_sync *sync);
uint32_t lun_sync_block_size(const struct lun_sync *sync);

/*
 * 0, -EINVAL (unaligned, outside), -ENOSPC (a thin LUN is full), -EIO (the target says no), -EBADE (fenced: stop), -ENOLINK
 * (dead; the write may still land). No length limit: split here. fua: durable when it returns.
 */
int lun_sync_pread(struct lun_sync *sync, void *buf, size_t len, uint64_t offset);
int lun_sync_pwrite(struct lun_sync *sync, const void *buf, size_t len, uint64_t offset, bool fua);
int lun_sync_flush(struct lun_sync *sync);

/* Deadline of each call in ms; 0 = none. Default: io_ms of the config. Past it: -ENOLINK, for good.
 */
void lun_sync_set_deadline(struct lun_sync *sync, uint32_t ms);

/* Why it failed ("" while it has not). */
const char *lun_sync_reason(const struct lun_sync *sync);

/* From any thread: as lun_session_barrier_answered(), for the call that blocks, or before the next one. */
void lun_sync_barrier_answered(struct lun_sync *sync);

/* From any thread: the call that blocks and all later ones return -ENOLINK. */
void lun_sync_break(struct lun_sync *sync);

CL_DEFINE_CLEANUP(struct lun_sync, lun_sync_close);

#endif
