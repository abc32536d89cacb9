/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block-redirected I/O of other nodes, done by this node's data nexus for the coordinator here (which has
 * checked it). Without a path here it is not done (EAGAIN: the client goes by the file system).
 *
 * An I/O whose nexus died under it is of unknown fate: it is neither done again nor given up before that
 * nexus is dead, which is so when this node's mount has its next one.
 *
 * The request's mail is the buffer and becomes the answer: a coordinator that got none would wait for it, and
 * the sender's session with it, for ever.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "csv/volume_int.h"
#include "iscsi/lun.h"
#include "lib/log.h"

/* At a time, so that there is always room for this node's own I/O: nobody else wakes that up. */
#define RUNNING_MAX (LUN_IO_DEPTH_MAX / 2)

enum proxy_state { PROXY_WAITS, PROXY_RUNS, PROXY_LOST };

struct proxy_io {
	struct proxy_io *next;
	struct volume *v;
	uint64_t serial;       /* of the coordinator that asked */
	struct csv_mail *mail; /* its question, and the answer */
	enum proxy_state state;
	bool cancelled;
	uint64_t nexus; /* that it was given to last */
	struct lun_io io;
	struct iovec iov;
};

static void forget(struct proxy_io *p)
{
	struct proxy_io **at = &p->v->proxied;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	free(p->mail);
	free(p);
}

static void answer(struct volume *v, struct csv_mail *mail, int error)
{
	mail->kind = MAIL_IO_DONE;
	mail->state = error;
	coord_post(v->coord, mail);
}

static void finish(struct proxy_io *p, int error)
{
	struct volume *v = p->v;

	if (v->coord && p->serial == v->coord_serial) {
		answer(v, p->mail, error);
		p->mail = NULL;
	}
	forget(p);
}

static bool any_waits(const struct volume *v)
{
	for (const struct proxy_io *p = v->proxied; p; p = p->next)
		if (p->state == PROXY_WAITS)
			return true;
	return false;
}

static void on_done(struct lun_io *io, enum lun_result result)
{
	struct proxy_io *p = io->user;
	struct volume *v = p->v;

	v->proxied_running--;
	p->state = PROXY_LOST;
	if (result == LUN_OK || result == LUN_ERROR || result == LUN_UNSUPPORTED)
		finish(p, -lun_io_errno(io, result));
	else
		volume_poke(v);
	if (any_waits(v))
		volume_poke(v);
}

/*
 * The role is this node's still, as far as the tables say. Without that question: this node loses the role
 * with a write of unknown fate here, gets its next nexus from the successor - a member's, which nothing
 * kills - and does the write once more, long after its sender has sent it again by another way.
 */
static bool may_do(const struct volume *v)
{
	return v->coord && v->coord_epoch == v->epoch && v->coordinator == v->d->tables->self &&
	       !csvd_lease_over(v->d);
}

/* To the nexus of now. EAGAIN: it does not take it, and nothing of it is under way. */
static void submit(struct proxy_io *p)
{
	struct volume *v = p->v;
	struct lun_data *path = may_do(v) && v->client ? client_path(v->client) : NULL;

	if (path && v->proxied_running >= RUNNING_MAX) {
		p->state = PROXY_WAITS; /* until one has ended */
	} else if (path && lun_submit(path, &p->io) == LUN_OK) {
		p->nexus = client_nexus(v->client);
		p->state = PROXY_RUNS;
		v->proxied_running++;
	} else {
		finish(p, EAGAIN);
	}
}

/* Something has changed: what waits may go now, what was lost may be settled. */
void volume_look_at_proxied(struct volume *v)
{
	uint64_t nexus = v->client ? client_nexus(v->client) : 0;
	struct proxy_io *p, *next;

	for (p = v->proxied; p; p = next) {
		next = p->next;
		if (p->state == PROXY_RUNS ||
		    (p->state == PROXY_LOST && (!nexus || nexus == p->nexus)))
			continue;
		if (p->cancelled || !v->coord || p->serial != v->coord_serial)
			finish(p, ECANCELED);
		else
			submit(p);
	}
}

static struct proxy_io *proxy_new(struct volume *v, struct csv_mail *mail)
{
	struct proxy_io *p = calloc(1, sizeof(*p));
	struct proxy_io **at = &v->proxied;

	if (!p)
		return NULL;
	p->v = v;
	p->serial = v->coord_serial;
	p->mail = mail;
	p->iov = (struct iovec){ mail->body, mail->count };
	p->io = (struct lun_io){ .dir = mail->ok ? LUN_WRITE : LUN_READ,
				 .fua = mail->fua,
				 .offset = mail->address,
				 .length = (uint32_t)mail->count,
				 .iov = &p->iov,
				 .iovcnt = 1,
				 .done = on_done,
				 .user = p };
	while (*at)
		at = &(*at)->next;
	*at = p;
	return p;
}

void volume_on_io(struct volume *v, struct csv_mail *mail)
{
	struct proxy_io *p = proxy_new(v, mail);

	if (p) {
		submit(p);
		return;
	}
	log_error("volume '%s': out of memory", v->name);
	answer(v, mail, EAGAIN);
}

void volume_cancel_io(struct volume *v, const struct csv_mail *mail)
{
	for (struct proxy_io *p = v->proxied; p; p = p->next)
		if (p->mail->node == mail->node && p->mail->incarnation <= mail->incarnation)
			p->cancelled = true;
	volume_look_at_proxied(v);
}

void volume_forget_proxied(struct volume *v)
{
	while (v->proxied)
		forget(v->proxied);
}
