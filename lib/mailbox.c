/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "lib/mailbox.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int cl_mailbox_init(struct cl_mailbox *box)
{
	*box = (struct cl_mailbox){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (box->fd < 0)
		return -errno;
	(void)pthread_mutex_init(&box->lock, NULL);
	return 0;
}

void cl_mailbox_fini(struct cl_mailbox *box)
{
	(void)close(box->fd);
	(void)pthread_mutex_destroy(&box->lock);
}

/* The descriptor is written when the box becomes non-empty and read when it becomes empty, both
 * under the lock: it is readable exactly while there is mail. */
void cl_mailbox_put(struct cl_mailbox *box, struct cl_mail *mail)
{
	uint64_t one = 1;

	mail->next = NULL;
	(void)pthread_mutex_lock(&box->lock);
	if (box->tail)
		box->tail->next = mail;
	else
		box->head = mail;
	if (!box->tail && write(box->fd, &one, sizeof(one)) != sizeof(one))
		(void)0; /* cannot fail: the counter is 0 here */
	box->tail = mail;
	(void)pthread_mutex_unlock(&box->lock);
}

struct cl_mail *cl_mailbox_get(struct cl_mailbox *box)
{
	struct cl_mail *mail;
	uint64_t count;

	(void)pthread_mutex_lock(&box->lock);
	mail = box->head;
	if (mail) {
		box->head = mail->next;
		if (!box->head) {
			box->tail = NULL;
			if (read(box->fd, &count, sizeof(count)) != sizeof(count))
				(void)0; /* cannot fail: it was written when the first mail came */
		}
		mail->next = NULL;
	}
	(void)pthread_mutex_unlock(&box->lock);
	return mail;
}

void cl_mailbox_wait(struct cl_mailbox *box, int timeout_ms)
{
	struct pollfd pfd = { .fd = box->fd, .events = POLLIN };

	while (poll(&pfd, 1, timeout_ms) < 0 && errno == EINTR)
		;
}
