/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs fence agents (the fence-agents project's interface): a program that reads `key=value` lines from its
 * standard input, `action=` among them, and ends with 0, or 2 for "is off" of `status`. Each is a child in
 * its own process group with a deadline; nothing here waits for it. What it says is kept up to a bound, and
 * the values of options that may be secrets are taken out of it.
 *
 * Between the two stands clusterd-fence-guard (fence_guard.c), which ends it when this process is dead, or has stood
 * still for FENCE_SILENCE_MS.
 */
#ifndef CL_CLUSTERD_FENCE_H
#define CL_CLUSTERD_FENCE_H

#include <stdint.h>

#include "lib/error.h"
#include "lib/loop.h"

struct fence_child;

enum { FENCE_SAID_MAX = 160 };

/*
 * The guard's: where it hears that clusterd lives, and how long it waits for that. An agent goes on for FENCE_HAND_MS when
 * its manager does not ask any more, and for so long when the clusterd that would end it then does not live. The next
 * manager has nothing switched off before it has led for both together.
 */
enum { FENCE_LIFE_FD = 3, FENCE_SILENCE_MS = 2000, FENCE_BEAT_MS = 300 };

struct fence_end {
	int code;		   /* exit status; -1: killed by a signal or the deadline */
	char said[FENCE_SAID_MAX]; /* its last line, or what became of it */
	int64_t took_ms;
};
typedef void (*fence_end_fn)(void *user, const struct fence_end *end);

/*
 * Begin DIRECTORY/AGENT with `input` on its standard input. guard: path of clusterd-fence-guard, NULL = the installed
 * one. fn is called once, from the loop, when it has ended and not before this returns; *ret is freed by then. 0,
 * -ENOENT (not installed), -errno.
 */
int fence_child_new(struct cl_loop *loop, const char *guard, const char *directory,
		    const char *agent, const char *input, int64_t timeout_ms, fence_end_fn fn,
		    void *user, struct fence_child **ret, struct cl_error *err);
/* Kill it with its group; fn is not called any more. Accepts NULL. */
void fence_child_free(struct fence_child *child);

/* The last line of `said`, with every value of a secret option of `input` masked. */
void fence_last_words(const char *said, const char *input, char ret[FENCE_SAID_MAX]);

CL_DEFINE_CLEANUP(struct fence_child, fence_child_free);

#endif
