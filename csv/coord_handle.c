/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of all sessions. An unlinked inode lives until the last of them is dropped. */
#include "config.h"

#include <string.h>

#include "csv/coord_int.h"
#include "csv/owner.h"
#include "lib/log.h"

struct handle *handle_find(struct coord *c, uint64_t session, uint64_t fh)
{
	for (size_t i = 0; i < c->handles.n; i++)
		if (c->handles.v[i].fh == fh && c->handles.v[i].session == session)
			return &c->handles.v[i];
	return NULL;
}

int handle_add(struct coord *c, const struct handle *h)
{
	struct handle *old = handle_find(c, h->session, h->fh);

	/* The same OPEN again: its name is its handle's name. */
	if (old)
		return old->ino == h->ino ? 0 : -EINVAL;
	return handle_vec_push(&c->handles, *h);
}

bool handle_open_anywhere(const struct coord *c, uint32_t ino)
{
	for (size_t i = 0; i < c->handles.n; i++)
		if (c->handles.v[i].ino == ino)
			return true;
	return false;
}

bool handle_of_session(const struct coord *c, uint64_t session, uint32_t ino)
{
	for (size_t i = 0; i < c->handles.n; i++)
		if (c->handles.v[i].ino == ino && c->handles.v[i].session == session)
			return true;
	return false;
}

static void reap(struct coord *c, uint32_t ino)
{
	struct fs_attr attr;
	int r;

	/* In grace others may still reclaim it; those that nobody has are freed at its end. */
	if (c->state != COORD_SERVING || handle_open_anywhere(c, ino))
		return;
	if (fs_getattr(c->fs, ino, &attr) < 0 || attr.nlink)
		return;
	r = op_begin(c);
	if (r < 0)
		goto failed;
	fs_use_reserve(c->fs);
	r = fs_orphan_free(c->fs, ino);
	if (r < 0)
		fs_abort(c->fs);
	else
		r = fs_end(c->fs);
failed:
	if (r < 0 && !coord_dead(c, r))
		log_warning("volume '%s': unlinked inode %u stays: %s", c->name, ino, strerror(-r));
}

/* What was prepared behind the end for growth; another one that has the file open takes over. */
static void trim(struct coord *c, uint32_t ino)
{
	struct fs_attr attr;
	int r;

	for (size_t i = 0; i < c->handles.n; i++)
		if (c->handles.v[i].ino == ino) {
			c->handles.v[i].grew = true;
			return;
		}
	if (c->state != COORD_SERVING || fs_getattr(c->fs, ino, &attr) < 0 || !attr.nlink)
		return;
	r = op_begin(c);
	if (r < 0)
		return;
	fs_use_reserve(c->fs);
	r = fs_trim(c->fs, ino);
	if (r >= 0)
		r = fs_end(c->fs);
	if (r >= 0)
		return;
	fs_abort(c->fs);
	if (!coord_dead(c, r))
		log_warning("volume '%s': inode %u keeps space behind its end: %s", c->name, ino,
			    strerror(-r));
}

void handle_drop(struct coord *c, uint64_t session, uint64_t fh)
{
	for (size_t i = 0; i < c->handles.n; i++) {
		uint32_t ino = c->handles.v[i].ino;
		bool grew = c->handles.v[i].grew;

		if (c->handles.v[i].fh != fh || c->handles.v[i].session != session)
			continue;
		handle_vec_remove(&c->handles, i);
		c->retry_parked |= lock_drop_handle(&c->locks, session, fh);
		if (!handle_of_session(c, session, ino))
			c->retry_parked |= layout_drop(&c->layouts, session, ino);
		if (grew)
			trim(c, ino);
		reap(c, ino);
		return;
	}
}

void handle_drop_session(struct coord *c, uint64_t session)
{
	for (size_t i = 0; i < c->handles.n && c->state != COORD_FAILED;) {
		if (c->handles.v[i].session == session)
			handle_drop(c, session, c->handles.v[i].fh);
		else
			i++;
	}
	c->retry_parked |= lock_drop_session(&c->locks, session);
}

int handle_may(struct coord *c, const struct handle *h, bool writes)
{
	switch (owner_judge(c->tables, h->resource, h->generation, writes)) {
	case OWNER_ALLOW:
		return 0;
	case OWNER_WAIT:
		return OP_PARK;
	case OWNER_STALE:
	default:
		return -ESTALE;
	}
}
