/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State machines as tables. A machine is an array of states, each with its name and the states that
 * may follow. sm_move() is the only writer: it asserts that the edge is in the table (a
 * programmer's error, never caused by input: callers decide *whether* to move from input, and only
 * ask for edges that exist), runs the owner's invariant and gives one trace line. Asserts stay on
 * in release builds: a node that stops is fenced, a node that guesses corrupts a disk.
 *
 *     static const struct sm_state lease_states[] = {
 *             [LEASE_VALID]  = { "valid",  SM_TO(LEASE_PAUSED), SM_INITIAL },
 *             [LEASE_PAUSED] = { "paused", SM_TO(LEASE_VALID) | SM_TO(LEASE_LOST) },
 *             [LEASE_LOST]   = { "lost",   0, SM_FINAL },
 *     };
 */
#ifndef CL_LIB_SM_H
#define CL_LIB_SM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SM_TO(state) (UINT64_C(1) << (state))

enum { SM_INITIAL = 1, SM_FINAL = 2 };

struct sm_state {
	const char *name;
	uint64_t to; /* SM_TO() of each state that may follow */
	unsigned flags;
};

struct sm {
	const char *machine; /* "lease"; a literal */
	const char *id;	     /* which one: "vm1"; owned by whoever embeds the machine */
	const struct sm_state *states;
	int n_states, state;
	/* Checked after each move; prev is the state before. NULL = none. */
	bool (*invariant)(const struct sm *sm, int prev);
};

/* Called for each move when set (the simulator's trace, the daemons' debug log). */
extern void (*sm_trace)(const struct sm *sm, int prev, const char *why);

/* Begin in state; it must be marked SM_INITIAL. states, machine and id are borrowed. */
void sm_init(struct sm *sm, const char *machine, const char *id, const struct sm_state *states,
	     size_t n_states, int state, bool (*invariant)(const struct sm *sm, int prev));

/* Go to state `to`, for the reason `why` (a literal or a string that outlives the call). */
void sm_move(struct sm *sm, int to, const char *why);

/* Whether the table has an edge from here to `to`. */
bool sm_may(const struct sm *sm, int to);

const char *sm_name(const struct sm *sm);

#endif
