/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node does about a volume that the log says it coordinates (or not). Pure: the view of
 * now in, the next single action out; the caller performs it and asks again when something changed.
 *
 *   present   -> MAKE_STORE: a path is kept on every node, so that the cluster knows who could
 *                coordinate; it claims nothing
 *   wanted    -> COORDINATE (asks the log in the middle) -> [PAY debts] -> START
 *   closed (maintenance): CLOSE, STOP, then the store is held again and nothing is opened, but for
 *   the time of a job (START_JOB), which runs in the coordinator's place and by its right
 *   wanted no more or at another epoch, store lost, failed    STOP, DROP_STORE, from the beginning
 *
 * Two rules close histories in which data was lost. A volume with a debt is not opened: the dead
 * node's writes may still be in a TCP buffer or in the target. After a failure the store is dropped
 * before anything is opened again: the failed write may still land, and only a new claim of the
 * store (which kills the old nexus and waits for the barrier) ends that.
 *
 * A refusal is no failure. A claim resets the LUN for all who use it, so what is refused is not claimed again and
 * again: a coordinator that finds something else on the LUN keeps its claim and looks again by reading (coord.h); where
 * the target itself refuses the claim, it is left alone for a while, its session open. After a minute all
 * is claimed anew, in case it is something that reading does not show.
 *
 * For an epoch below the one found on the volume nothing is claimed at all. It is another line of the cluster's
 * history that serves it, by right; a claim would take the reservation from it, and end its guests' I/O by CONFLICTs,
 * and could only find the same again.
 */
#ifndef CL_CSV_ROLE_H
#define CL_CSV_ROLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum role_store { ROLE_STORE_NONE, ROLE_STORE_IDLE, ROLE_STORE_UP, ROLE_STORE_HOLDING };

enum role_action {
	ROLE_NOTHING,
	ROLE_MAKE_STORE,
	ROLE_COORDINATE,
	ROLE_PAY,
	ROLE_START,
	ROLE_START_JOB, /* as START, for the job that waits */
	ROLE_CLOSE,	/* in order: what runs is finished, the file system closed; ends itself */
	ROLE_STOP,
	ROLE_DROP_STORE,
};

struct role_view {
	bool present;	/* the volume is to be reachable from this node */
	bool wanted;	/* the tables name this node, living, and no hand-over stands against it */
	uint64_t epoch; /* at which */
	size_t debts;	/* unpaid ones of the volume, in the tables */
	bool order_to_pay, paying;
	bool looking; /* what a failed node's heartbeat did is still being looked at: no PREEMPT yet */
	enum role_store store;
	uint64_t store_epoch; /* for which it was claimed; 0: it was not */
	bool claiming;	      /* COORDINATE is under way */
	bool store_spoilt;    /* its device failed, or it is of an earlier incarnation: drop it */
	bool running;	      /* the coordinator's thread */
	uint64_t running_epoch;
	bool running_job; /* it runs a job in the coordinator's place */
	bool closing;	  /* CLOSE was done */
	bool closed;	  /* maintenance: the file system is to be closed */
	bool job;	  /* one waits that needs it closed */
	bool ended;	  /* the thread is CLOSED or FAILED */
	bool claim_due; /* it has refused the volume for so long that the LUN is to be claimed anew */
	bool outdated; /* a later epoch than this was found on the volume */
	bool waiting;  /* a pause after a failure */
};

enum {
	ROLE_CLAIM_AGAIN_MS = 60000,
	ROLE_CLAIMS_AT_ONCE =
		3, /* a race with another claim, or with a target that restarts, refuses one */
	ROLE_CLAIM_PAUSE_MS = 30000,
};

/*
 * How long the LUN is left alone when its target has refused `refused` claims, one after the other: 0 = it is claimed
 * again as soon as there is a session. A session that is lost meanwhile ends the pause, and counts anew: it
 * may be another target by then.
 */
int64_t role_claim_pause_ms(unsigned refused);

/*
 * Whether nothing is claimed for `epoch`, after the volume was found to have `found`; 0 = no later one was found. The same
 * one is this node's own, found while its tables lagged: another line's are far above.
 */
static inline bool role_outdated(uint64_t epoch, uint64_t found)
{
	return epoch < found;
}

enum role_action role_next(const struct role_view *view, bool skip_debts);

/*
 * Whether the coordinator is to hear of a fence that has just been paid, before the order is done. One that still
 * opens, too: it may load the sessions by tables in which the fenced node lives, and then nobody would ever
 * end that session, and grace would wait for it for ever. One that has ended loads none; the next one is
 * not started before the tables show the debt as paid, and the node as failed.
 */
bool role_tells_fence(const struct role_view *view);

#endif
