/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue between threads: any thread puts, one thread takes. In order per putter. The taker either
 * watches the descriptor in its loop (readable while mail is there) or blocks in
 * cl_mailbox_wait(). Mail is embedded in the sender's own struct; putting it gives it away.
 */
#ifndef CL_LIB_MAILBOX_H
#define CL_LIB_MAILBOX_H

#include <pthread.h>

struct cl_mail {
	struct cl_mail *next;
};

struct cl_mailbox {
	pthread_mutex_t lock;
	struct cl_mail *head, *tail;
	int fd; /* eventfd */
};

/* 0 or -errno (no descriptors left). */
int cl_mailbox_init(struct cl_mailbox *box);
/* Nobody may use it any more. What is still in it is the owner's to take out first. */
void cl_mailbox_fini(struct cl_mailbox *box);

void cl_mailbox_put(struct cl_mailbox *box, struct cl_mail *mail);
/* The oldest, or NULL at once when there is none. */
struct cl_mail *cl_mailbox_get(struct cl_mailbox *box);
/* Sleep until there is mail or timeout_ms (-1: for ever) has passed. */
void cl_mailbox_wait(struct cl_mailbox *box, int timeout_ms);

#endif
