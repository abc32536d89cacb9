/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The run lease: how long a node may let its VMs execute without hearing from a majority. The proof
 * with its timeline stands in docs/timing.md.
 *
 *   node N      beat(sent) ---->  every voter
 *               <---- ack(sent)   unless `N failed` is in the voter's log
 *   lease of N = the latest `sent` that a majority of voters acked, + L.
 *
 *                     renewed                      renewed
 *                   +---------+                 +------------+
 *                   v         |                 v            |
 *     NONE -------> VALID ----+--- L - 1 s ---> PAUSED ------+
 *       ^  renewed                                |
 *       |                  L: killed what is not  |
 *       +------------------ confirmed paused -----+  LOST (renewed: VALID again)
 *
 * Watched: once the node writes storage heartbeats, others may start its VMs when these stand still,
 * long before L. So VALID ends also when neither a beat that a majority acked nor a heartbeat is younger
 * than HEARTBEAT_FRESH_MS: PAUSED, and VALID again with the next beat (a heartbeat: csv/hb.h).
 *
 * The bound of N, for the others: after `N failed` is in their logs a majority of voters is asked
 * for its youngest ack; the youngest of these + L is the time from which N executes nothing.
 */
#ifndef CL_QUORUM_LEASE_H
#define CL_QUORUM_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/sm.h"
#include "proto/heartbeat.h"
#include "quorum/raft.h"

enum {
	LEASE_BEAT_MS = 250,
	LEASE_PAUSE_MS = 1000,	 /* before the end */
	LEASE_INHERIT_MS = 1000, /* a restarted daemon's VMs run on so long before it has its own */
};

/* L for a cluster whose ring takes so long to change; a healthy majority never runs out meanwhile. */
static inline int64_t lease_length_ms(uint32_t token_ms, uint32_t consensus_ms)
{
	return (int64_t)token_ms + consensus_ms + 3000;
}

/* ---- the holder's side ----------------------------------------------------------------------- */

enum lease_state {
	LEASE_NONE,   /* never had one in this life at this incarnation */
	LEASE_VALID,  /* VMs run */
	LEASE_PAUSED, /* ends in less than a second: VMs are being paused */
	LEASE_LOST,   /* ended: what is not confirmed paused is killed */
};

struct lease_ack {
	struct raft_id voter;
	int64_t sent_ms; /* latest beat of ours that it acked */
};

struct lease {
	struct sm sm;
	int64_t length_ms;
	struct lease_ack acks[RAFT_MEMBERS_MAX];
	uint32_t n_acks;
	int64_t until_ms; /* 0 = none */
	bool inherited;	  /* not asked for yet: VMs may run on, nothing may begin */
	bool watched;	  /* heartbeats are (or may be) written: see above */
	int64_t beat_ms;  /* sending of the youngest beat that a majority acked; 0 = none */
	int64_t heartbeat_until_ms; /* csvd's word: VMs may execute until then */
	int64_t conflict_ms; /* a heartbeat met a key that was taken: only a later beat counts; 0 = none */
};

void lease_init(struct lease *lease, int64_t length_ms);

/* A new incarnation, or none: what was acked for the old one counts no more. */
void lease_reset(struct lease *lease);

/* What an earlier process left where a restart finds it; all 0 = nothing. */
struct lease_kept {
	int64_t until_ms;
	int64_t beat_ms; /* 0 = it was not watched */
	int64_t heartbeat_until_ms;
};

/*
 * This process begins while VMs of an earlier one run. Its lease goes on when its end is known; else
 * they run on for a moment, long enough to ask, instead of being paused at every upgrade of the daemon.
 */
void lease_inherit(struct lease *lease, int64_t now_ms, const struct lease_kept *kept);

/* The planned stop of this process is in the log: VMs run on without it, until then. */
void lease_detach(struct lease *lease, int64_t until_ms);

/* csvd begins to write heartbeats: from here on this lease is a watched one. */
void lease_watch(struct lease *lease);
/* Nobody concludes anything from them any more, until the node says that it is back (docs/timing.md). */
void lease_unwatch(struct lease *lease);
/* A heartbeat allows VMs to execute until then. Never shortens. */
void lease_heartbeat(struct lease *lease, int64_t until_ms);
/*
 * Our key was taken from a volume. With a beat that was acked a moment ago that is the volume's own business: an
 * old nexus that was killed, a target that forgot its keys. Without one we may be fenced, and what runs here
 * may run elsewhere soon: it pauses now, and goes on by a beat that is sent from here on and acked. It is not
 * killed for it: keys are lost in a ring change as well, and if we are fenced the log will say so.
 */
void lease_conflict(struct lease *lease, int64_t now_ms);

/* A voter acked the beat that we sent at sent_ms. Only a time that we did send is accepted. */
void lease_acked(struct lease *lease, const struct raft_id *voter, int64_t sent_ms);

/*
 * Recompute from the acks of a majority of the voters of config. Never shortens what this process has asked
 * for itself. Returns whether the end moved.
 */
bool lease_renew(struct lease *lease, const struct raft_config *config);

/* Let time pass. Returns whether the state changed. */
bool lease_tick(struct lease *lease, int64_t now_ms);

/* When lease_tick() has something to do; INT64_MAX = not by time. */
int64_t lease_deadline(const struct lease *lease);

static inline enum lease_state lease_state(const struct lease *lease)
{
	return (enum lease_state)lease->sm.state;
}

/* ---- a voter's side --------------------------------------------------------------------------- */

/* What this process remembers of the beats that it acked. */
struct lease_voter {
	int64_t began_ms; /* of this process: what an earlier one acked is not known */
	struct {
		uint32_t node;
		uint64_t incarnation;
		int64_t acked_ms;
	} last[RAFT_MEMBERS_MAX];
	uint32_t n;
};

void lease_voter_init(struct lease_voter *voter, int64_t now_ms);

/* Note an ack for (node, incarnation) that leaves now. False: no room, then it must not leave. */
bool lease_voter_ack(struct lease_voter *voter, uint32_t node, uint64_t incarnation,
		     int64_t now_ms);

/* Age of the youngest ack for the node, or of this process when that is younger. */
int64_t lease_voter_age(const struct lease_voter *voter, uint32_t node, int64_t now_ms);

/* ---- the manager's side ------------------------------------------------------------------------ */

/* One question "until when may (node, incarnation) execute?" */
struct lease_bound {
	uint32_t node;
	uint64_t incarnation;
	uint64_t id; /* of the question: answers to another one do not count */
	struct {
		struct raft_id voter;
		int64_t acked_ms; /* on the asker's clock, latest that it can have been */
	} answers[RAFT_MEMBERS_MAX];
	uint32_t n;
};

void lease_bound_init(struct lease_bound *bound, uint32_t node, uint64_t incarnation, uint64_t id);

/* A voter answered, received now. */
void lease_bound_answer(struct lease_bound *bound, const struct raft_id *voter, uint64_t age_ms,
			int64_t now_ms);

/*
 * Until when, on the asker's clock; false while no majority of the voters of config has answered.
 * config_seen_ms: since when the asker knows that configuration. A node that counts by a voter set
 * two changes old can have a majority that shares no voter with those asked; it can have got no ack
 * after the last change began, so that its lease ends by config_seen_ms + L.
 */
bool lease_bound_until(const struct lease_bound *bound, const struct raft_config *config,
		       int64_t config_seen_ms, int64_t length_ms, int64_t *ret_until_ms);

#endif
