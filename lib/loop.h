/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop: file descriptors, timers, signals, children. A thin layer over libqb's qb_loop
 * (epoll underneath), so that nothing else has to know its API. One loop belongs to one thread;
 * callbacks run in that thread and never block. To wake a loop from another thread, give it an
 * eventfd.
 *
 * A source is freed by cl_source_free(), also from within its own callback. A timer fires once and
 * stays allocated; arm it again with cl_timer_set().
 */
#ifndef CL_LIB_LOOP_H
#define CL_LIB_LOOP_H

#include <stdint.h>
#include <sys/types.h>

#include "lib/cleanup.h"
#include "lib/monotime.h"

struct cl_loop;
struct cl_source;
struct qb_loop;

int cl_loop_new(struct cl_loop **ret);
void cl_loop_free(struct cl_loop *loop);

/* Runs until cl_loop_stop(). */
void cl_loop_run(struct cl_loop *loop);
void cl_loop_stop(struct cl_loop *loop);

/* For libqb's own IPC server, which wants the real thing. */
struct qb_loop *cl_loop_qb(struct cl_loop *loop);

/*
 * Watch fd (borrowed, not closed) for events (POLLIN, POLLOUT ...), level-triggered. cb gets what
 * is set, POLLERR and POLLHUP included. A regular file cannot be watched (-EPERM).
 */
typedef void (*cl_fd_fn)(void *user, int fd, uint32_t revents);
int cl_fd_new(struct cl_loop *loop, int fd, uint32_t events, cl_fd_fn cb, void *user,
	      struct cl_source **ret);
int cl_fd_set_events(struct cl_source *src, uint32_t events);

/* A timer, not armed. */
typedef void (*cl_timer_fn)(void *user);
int cl_timer_new(struct cl_loop *loop, cl_timer_fn cb, void *user, struct cl_source **ret);
/* Fire once at t, replacing what was set. A t in the past fires at the next turn. */
int cl_timer_set(struct cl_source *src, struct cl_mono t);
int cl_timer_set_in(struct cl_source *src, int64_t ms);
void cl_timer_cancel(struct cl_source *src);

/* A signal, delivered in the loop. Only in the process's main loop. */
typedef void (*cl_signal_fn)(void *user, int signo);
int cl_signal_new(struct cl_loop *loop, int signo, cl_signal_fn cb, void *user,
		  struct cl_source **ret);

/*
 * The end of a child, by pidfd (owned by the source from here on). cb gets the wait status as
 * waitpid() gives it when it is our child, and -1 when it is somebody else's. Called once.
 */
typedef void (*cl_child_fn)(void *user, int status);
int cl_child_new(struct cl_loop *loop, int pidfd, cl_child_fn cb, void *user,
		 struct cl_source **ret);

/* Accepts NULL. Returns nothing pending: after it the callback does not run any more. */
void cl_source_free(struct cl_source *src);

CL_DEFINE_CLEANUP(struct cl_loop, cl_loop_free);
CL_DEFINE_CLEANUP(struct cl_source, cl_source_free);

#endif
