/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access to a LUN: the data path, and one session of it.
 *
 * `struct lun_data` is what a reader or writer of blocks sees: submit an I/O, get its end once. The
 * iSCSI session is the first thing behind it; a block device or file on io_uring can be the next.
 *
 * `struct lun_session` is one nexus: one login, one TCP connection, one persistent-reservation key,
 * and never a second of any of them. It does not reconnect and it resends nothing anywhere else:
 * whoever wants to go on after its death makes a new session with a new key, AFTER the old nexus
 * has been killed (iscsi/control.h). Its commands of unknown fate end with LUN_LOST and may still
 * land.
 *
 * Nothing here blocks. An object belongs to one thread. Any loop drives it by four functions (fd,
 * events, deadline, service); `changed` says when to ask again. iscsi/lun_loop.h binds it to
 * lib/loop, iscsi/lun_sync.h to a thread that may block.
 *
 * No data command leaves on a nexus before its GO. That rule alone protects against a REGISTER that
 * was still in a TCP buffer when its sender was fenced, and in the gap after the restart of a
 * target that forgets its reservations; so it is not the caller's to remember: submit refuses.
 */
#ifndef CL_ISCSI_LUN_H
#define CL_ISCSI_LUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "iscsi/pr.h"
#include "iscsi/url.h"
#include "lib/cleanup.h"
#include "lib/error.h"

/* ---- the data path ---- */

enum lun_dir { LUN_READ, LUN_WRITE, LUN_FLUSH };

#define LUN_IO_BYTES_MAX (4u << 20) /* of one I/O; longer ones are the caller's to split */
#define LUN_IO_IOV_MAX 1024
#define LUN_IO_DEPTH_MAX 256 /* I/Os of one session; more get LUN_BUSY */

/*
 * One I/O, embedded in the caller's own object: nothing is allocated for it here. Untouched from
 * submit to done, the iovec array and the buffers included.
 */
struct lun_io {
	enum lun_dir dir;
	bool fua;	 /* write: durable when done */
	uint64_t offset; /* bytes; a multiple of the block size */
	uint32_t length; /* bytes; the same; what the iovecs sum up to. 0 for LUN_FLUSH (= all) */
	const struct iovec *iov;
	int iovcnt;
	/* Called exactly once per accepted I/O, never from within submit. May submit again. */
	void (*done)(struct lun_io *io, enum lun_result result);
	void *user;
	struct lun_sense sense; /* set with LUN_ERROR */

	/* private */
	struct lun_io *next, *prev;
	struct lun_session *session;
	void *task; /* libiscsi's, while it is running */
	int64_t since_ms, sent_ms;
};

struct lun_data;

struct lun_ops {
	enum lun_result (*submit)(struct lun_data *data, struct lun_io *io);
	void (*plug)(struct lun_data *data);
	void (*unplug)(struct lun_data *data);
};

struct lun_data {
	const struct lun_ops *ops;
	uint32_t block_size; /* 512 or 4096; 0 before the capacity is known */
	uint64_t bytes;
};

/*
 * LUN_OK: accepted, done follows. Anything else: refused, done is not called:
 *   LUN_INVALID    unaligned, outside the LUN, too long, iovecs do not sum up
 *   LUN_REFUSED    no GO on this nexus (yet, or any more)
 *   LUN_CONFLICT   this nexus has lost its right: stop
 *   LUN_LOST       the session is dead; this I/O was not sent
 *   LUN_BUSY       too many at once
 */
static inline enum lun_result lun_submit(struct lun_data *data, struct lun_io *io)
{
	return data->ops->submit(data, io);
}

/*
 * A batch of submits around which the caller puts plug and unplug leaves together at unplug, with a
 * fraction of the system calls. Not needed for correctness: what was submitted without leaves in the
 * next turn of the loop. Does not nest; plug nothing across turns. done callbacks (LUN_LOST) may run
 * from within unplug. Inside done callbacks it is implied.
 */
static inline void lun_plug(struct lun_data *data)
{
	data->ops->plug(data);
}

static inline void lun_unplug(struct lun_data *data)
{
	data->ops->unplug(data);
}

/* SPC-4, table 53: with sense key 7, a write that a thin LUN has no room for. */
#define LUN_ASCQ_NO_SPACE 0x2707

/*
 * The end of an I/O as an errno: 0, -ENOSPC (the LUN is thin and full), -EIO (the target says no), -EBADE
 * (fenced), -ENOLINK (fate unknown), -EINVAL, -EAGAIN (not sent: no GO, or too many).
 */
int lun_io_errno(const struct lun_io *io, enum lun_result result);

/* For what implements struct lun_data: aligned, inside, not too long, iovecs that sum up? */
bool lun_io_shape_ok(const struct lun_data *data, const struct lun_io *io);

/* ---- a session ---- */

enum lun_session_state {
	LUN_CONNECTING, /* TCP, login, unit attentions of the login, READ CAPACITY */
	LUN_READY,	/* commands; no data */
	LUN_OPEN,	/* GO was given: data flows */
	LUN_HELD,	/* a unit attention: data waits while key and reservation are verified */
	LUN_STOPPED,	/* CONFLICT, or own key gone: no data ever again; commands still work */
	LUN_DEAD,	/* final */
};

enum lun_role {
	LUN_ROLE_CONTROL, /* reservations and task management; never data */
	LUN_ROLE_DATA,
};

struct lun_session;

struct lun_session_hooks {
	void *user;
	/* fd, events or deadline may have changed. May be NULL for a loop that asks every turn. */
	void (*changed)(void *user, struct lun_session *session);
	/*
	 * The state moved. `why` is set for LUN_STOPPED and LUN_DEAD, else NULL. At LUN_DEAD every
	 * I/O and command has had its done (LUN_LOST) before. The session may be freed from here
	 * only when the state is LUN_DEAD.
	 */
	void (*state)(void *user, struct lun_session *session, enum lun_session_state state,
		      const struct cl_error *why);
	/*
	 * After a unit attention that can mean "keys lost" (29, 2A, 2F): is `key` still registered
	 * and a reservation of the right type in force? Answer with lun_session_verified(), from
	 * anywhere in this thread, once. NULL: the session asks over its own nexus.
	 */
	void (*verify)(void *user, struct lun_session *session, uint64_t key);
};

struct lun_session_config {
	const struct lun_url *url; /* copied */
	unsigned portal;	   /* which of url's portals */
	const char *initiator;	   /* "iqn...."; copied */
	uint32_t isid;		   /* 24 bits; with isid_qualifier one number per (node, role) */
	uint16_t isid_qualifier;   /* a new login with the same ones ends the old session */
	enum lun_role role;
	uint64_t key;	     /* this nexus's own reservation key; 0 = none (probe, diagnosis) */
	uint8_t pr_type;     /* the reservation that has to stand (6 or 8); 0 = do not check */
	uint32_t connect_ms; /* until LUN_READY; 0 = 5000 */
	/*
	 * The path is dead: TCP got no acknowledgement of what was sent for so long; 0 = 5000. The
	 * target is dead: it acknowledges and answers nothing at all, though asked every second; 0 =
	 * 15000. A target that stands still (8 s are usual in a failover of an array) acknowledges.
	 */
	uint32_t path_ms;
	uint32_t silence_ms;
	uint32_t io_ms; /* one data command or reservation command; 0 = 60000. A RESET has none:
			     it is answered when the slowest write has landed */
	/* What the LUN has to call itself (lun_session_identity of a session before); NULL = anything.
	 * Another portal may lead to another disk. */
	const char *identity;
	unsigned defects; /* LUN_DEFECT_*; honoured with --enable-defects only */
	struct lun_session_hooks hooks;
};

/* Guards that a drill can leave out, to prove that it notices. */
#define LUN_DEFECT_NO_BARRIER 1u /* a fence is reported without a barrier */
#define LUN_DEFECT_NO_GO 2u	 /* a session accepts data before its GO */
#define LUN_DEFECT_NO_REPEAT 8u	 /* a barrier's reset is sent once */
#define LUN_DEFECT_NO_CHECK 4u	 /* no periodic READ KEYS */
#define LUN_DEFECT_NO_VERIFY 16u /* no READ KEYS after a barrier: paid when it was answered */

/*
 * Starts to connect. 0, -ENOMEM, -EINVAL. SIGPIPE is ignored in this process from here on, when it was at
 * its default: libiscsi would kill the process with it.
 */
int lun_session_new(const struct lun_session_config *config, struct lun_session **ret,
		    struct cl_error *err);

/*
 * Drops the connection. Everything pending ends with LUN_LOST first (done callbacks run from here);
 * the state hook is not called. Accepts NULL. Not from within a done callback of this session.
 */
void lun_session_free(struct lun_session *session);

/* For a loop: poll fd (-1: none) for events; call service with what came, or at the deadline
 * (CLOCK_BOOTTIME ms, INT64_MAX: none) with 0. POLLERR and POLLHUP go into service too. libiscsi
 * resolves host names with getaddrinfo when it connects: portals should be addresses. */
int lun_session_fd(const struct lun_session *session);
short lun_session_events(struct lun_session *session);
int64_t lun_session_deadline_ms(const struct lun_session *session);
void lun_session_service(struct lun_session *session, short revents);

enum lun_session_state lun_session_state(const struct lun_session *session);
const char *lun_session_state_name(enum lun_session_state state);
struct lun_data *lun_session_data(struct lun_session *session);
uint64_t lun_session_key(const struct lun_session *session);
/* What the LUN calls itself (VPD page 83); "" before LUN_READY, and when it does not say. */
const char *lun_session_identity(const struct lun_session *session);
/* Data I/Os accepted and not done: what would be of unknown fate if it died now. */
unsigned lun_session_in_flight(const struct lun_session *session);
/* Why it is STOPPED or DEAD ("" before). */
const char *lun_session_reason(const struct lun_session *session);

/*
 * GO for this nexus. The caller states by it that the coordinator has seen this session's key in
 * READ KEYS at the current epoch and target instance. Only in LUN_READY, with role DATA, and after
 * this very session's REGISTER was answered GOOD; else -EPERM.
 */
int lun_session_go(struct lun_session *session, struct cl_error *err);

/* The answer to hooks.verify. false = key or reservation gone: the session stops. */
void lun_session_verified(struct lun_session *session, bool stands, const char *why);

/* No data from here on (fenced by word, coordinator's order). What runs goes on and ends. */
void lun_session_stop(struct lun_session *session, const char *why);

/*
 * The coordinator's barrier was answered (lun_control_hooks.barrier; every node is told). What was sent
 * before and is not answered a second from now is aborted and sent again: a target that drops other nodes'
 * commands on a reset says nothing about it (TAS = 0). Not earlier, and only then: on tgt an ABORT TASK
 * while a barrier is open swallows the barrier's answer, and there nothing is left by now.
 */
void lun_session_barrier_answered(struct lun_session *session);

/* ---- commands other than data ---- */

/*
 * One command, embedded in the caller's object; op says what, answer is filled. A unit attention is
 * repeated here (bound 64) and counted in answer.unit_attentions; TEST UNIT READY reports it.
 */
struct lun_cmd {
	struct pr_op op;
	struct pr_answer answer;
	void (*done)(struct lun_cmd *cmd);
	void *user;

	/* private */
	struct lun_cmd *next, *prev;
	struct lun_session *session;
	int64_t sent_ms;
	bool internal;
};

/* LUN_OK: done follows, once, never from within. Else (LUN_REFUSED, LUN_LOST): it does not. */
enum lun_result lun_session_command(struct lun_session *session, struct lun_cmd *cmd);

CL_DEFINE_CLEANUP(struct lun_session, lun_session_free);

#endif
