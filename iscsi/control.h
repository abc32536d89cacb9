/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control side of one volume on one node: a session without data, with its own key, through
 * which reservations and barriers go (docs/fencing.md). It reconnects by itself, each time as a new
 * nexus with a new key and nothing carried over: a fence or admission under way ends as failed and
 * has to be started again, because the target may be a new instance that has forgotten everything.
 *
 * One issuer per volume: only the node that the log names uses _coordinate, _fence and _kill, and
 * here at most one of them runs at a time (others wait). On tgt of two resets one is never
 * answered.
 *
 * Not thread-safe: belongs to the thread whose loop drives it.
 */
#ifndef CL_ISCSI_CONTROL_H
#define CL_ISCSI_CONTROL_H

#include "iscsi/lun.h"
#include "iscsi/pr.h"

struct lun_control;

enum lun_control_state {
	LUN_CONTROL_DOWN, /* no session; connecting, the portals in turn */
	LUN_CONTROL_UP,	  /* logged in; no key of ours there */
	LUN_CONTROL_ADMITTING,
	LUN_CONTROL_HOLDING, /* coordinator: reservation ours, all others killed, checked every 5 s
			      */
};

struct lun_control_hooks {
	void *user;
	void (*changed)(void *user, struct lun_control *control);
	/*
	 * why is set when it went back to DOWN or UP. After HOLDING that means: every GO given
	 * under it is void; stop the data sessions, coordinate anew, then admit anew.
	 */
	void (*state)(void *user, struct lun_control *control, enum lun_control_state state,
		      const struct cl_error *why);
	/*
	 * In the middle of lun_control_coordinate: is this node still the coordinator, at the epoch
	 * it was told? Ask by a read-index round, then lun_control_log_says(). No data command of
	 * anybody has been given a GO yet.
	 */
	void (*ask_log)(void *user, struct lun_control *control);
	/* A key that nobody was allowed was found and is being preempted with barrier. For the log.
	 */
	void (*stray)(void *user, struct lun_control *control, uint64_t key);
	/* "barrier n answered": tell all nodes; each calls lun_session_barrier_answered(). */
	void (*barrier)(void *user, struct lun_control *control, uint64_t n);
};

struct lun_control_config {
	const struct lun_url *url;
	const char *initiator; /* its own: "...:node1.control" */
	unsigned node;
	uint64_t incarnation;
	uint8_t pr_type; /* 6 or 8: what the probe found. 0 = a standing reservation decides, else 6
			  */
	struct pr_quirks quirks; /* likewise */
	uint32_t check_ms;	 /* type, holder and READ KEYS == table; 0 = 5000 */
	uint32_t settle_ms; /* target whose backend may outlive its instance: wait this long after a
			       login before the first barrier counts; 0 = not needed */
	unsigned defects;   /* LUN_DEFECT_*; only honoured with --enable-defects */
	struct lun_control_hooks hooks;
};

int lun_control_new(const struct lun_control_config *config, struct lun_control **ret,
		    struct cl_error *err);
/* Ends without unregistering: the holder never does. Pending callbacks are not called. */
void lun_control_free(struct lun_control *control);

int lun_control_fd(const struct lun_control *control);
short lun_control_events(struct lun_control *control);
int64_t lun_control_deadline_ms(const struct lun_control *control);
void lun_control_service(struct lun_control *control, short revents);

enum lun_control_state lun_control_state(const struct lun_control *control);
const char *lun_control_state_name(enum lun_control_state state);
/* Its last claim ended by what the target answered, and not by the session's end or the log's no. */
bool lun_control_refused(const struct lun_control *control);
const char *lun_control_reason(const struct lun_control *control); /* why it is not HOLDING */
/*
 * What the LUN called itself at the first login ("" = not yet, or it does not say), and the portal of this
 * session: for data sessions that shall go the way that works, and end at the same disk.
 */
const char *lun_control_identity(const struct lun_control *control);
unsigned lun_control_portal(const struct lun_control *control);
uint64_t lun_control_key(const struct lun_control *control); /* 0 before REGISTER */
uint8_t lun_control_pr_type(const struct lun_control *control);

/*
 * Become the coordinator of this volume: REGISTER, READ KEYS, ask_log, then everybody who is not
 * living loses the right, barrier, RESERVE if none stands, verify. Ends in HOLDING (state hook) or
 * back in UP/DOWN with the reason. Only in state UP; -EPERM else.
 */
int lun_control_coordinate(struct lun_control *control, struct cl_error *err);

/*
 * The answer to ask_log. `still` false: stop, another node is it. living[] = whose keys may stay
 * (copied); they are allowed from here on. Every other key is preempted, the old holder's always.
 * Name members only (PR_MATCH_MEMBER): what a node did in the coordinator's role, for itself or for
 * others, must not go on beside its successor. Never the own node: an earlier process of it may have had
 * the same incarnation, and its writes would be spared. Debts in the log at the time of this answer are paid by
 * reaching HOLDING (nobody who owes one is living).
 */
void lun_control_log_says(struct lun_control *control, bool still, const struct pr_match *living,
			  size_t n_living);

/*
 * Kill nexuses: PREEMPT of all keys that match, barrier, verify. Only in HOLDING (-EPERM else);
 * victims copied, matching keys leave the table. done: paid == true: no write of a victim lands any
 * more; false: nothing is known, start again (why is set).
 */
typedef void (*lun_fence_done)(void *user, bool paid, const struct cl_error *why);
int lun_control_fence(struct lun_control *control, const struct pr_match *victims, size_t n,
		      lun_fence_done done, void *user, struct cl_error *err);

/*
 * Admission of a nexus of ours or of a member: _allow makes a fresh key and records it as permitted
 * (a key that nobody was allowed is killed at the next check); its session REGISTERs it; then _seen
 * looks whether it is there at this epoch and instance: done(true) = GO may be given.
 */
int lun_control_allow(struct lun_control *control, unsigned node, uint64_t incarnation,
		      uint64_t *ret_key, struct cl_error *err);
/* All of them, those that the claim spared included; valid until the next call. */
size_t lun_control_allowed(const struct lun_control *control, const uint64_t **ret);
void lun_control_disallow(struct lun_control *control, uint64_t key); /* killed at the next check */
typedef void (*lun_seen_done)(void *user, bool seen, const char *why);
int lun_control_seen(struct lun_control *control, uint64_t key, lun_seen_done done, void *user);

/*
 * CLEAR: the reservation and every key, our own too, are gone from the LUN. For a volume that is being
 * forgotten, after everybody else was killed: nothing keeps anybody from writing any more. Only in
 * HOLDING (-EPERM else). done(true): it was answered; the control then leaves HOLDING by itself.
 */
int lun_control_clear(struct lun_control *control, lun_seen_done done, void *user);

/* For hooks.verify of a data session: key registered, type right, once, now. */
#define lun_control_verify lun_control_seen

CL_DEFINE_CLEANUP(struct lun_control, lun_control_free);

#endif
