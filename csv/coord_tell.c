/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the coordinator tells sessions unasked. */
#include "config.h"

#include <errno.h>

#include "csv/coord_int.h"
#include "lib/log.h"
#include "lib/monotime.h"

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static Csv__Space space_now(const struct coord *c)
{
	Csv__Space space = CSV__SPACE__INIT;
	struct fs_statfs st;

	fs_statfs(c->fs, &st);
	space.size_bytes = st.blocks * FS_BLOCK_SIZE;
	space.free_bytes = st.bavail * FS_BLOCK_SIZE;
	return space;
}

/* Without: who stands on a full volume is not told when there is room, and a node that does not coordinate shows
 * what was free once. */
static void send_space(struct coord *c, const struct session *s, Csv__Space *space)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	if (!s->conn || s->sm.state != SESSION_ACTIVE ||
	    c->cfg.defects & COORD_DEFECT_NO_SPACE_WORD)
		return;
	msg.msg_case = CSV__MESSAGE__MSG_SPACE;
	msg.space = space;
	session_send(c, s, &msg);
}

void coord_tell_space_to(struct coord *c, const struct session *s)
{
	Csv__Space space = space_now(c);

	send_space(c, s, &space);
}

int coord_space_wait_ms(const struct coord *c)
{
	Csv__Space space;

	if (c->state != COORD_SERVING)
		return -1;
	space = space_now(c);
	return space_wait_ms(&c->space, space.size_bytes, space.free_bytes, now_ms());
}

void coord_tell_space(struct coord *c)
{
	Csv__Space space;

	if (coord_space_wait_ms(c) != 0)
		return;
	space = space_now(c);
	c->space = (struct space){ true, space.free_bytes, now_ms() };
	for (size_t i = 0; i < c->sessions.v.n; i++)
		send_space(c, c->sessions.v.v[i], &space);
}

void coord_tell_barrier_to(struct coord *c, const struct session *s)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Barrier body = CSV__BARRIER__INIT;

	if (!s->conn || !c->barrier || c->cfg.defects & COORD_DEFECT_NO_BARRIER_WORD)
		return;
	body.n = c->barrier;
	msg.msg_case = CSV__MESSAGE__MSG_BARRIER;
	msg.barrier = &body;
	session_send(c, s, &msg);
}

/* Without: what the target has dropped without a word is noticed when io_ms is over, a minute.
 * Also in grace: what a node has to drain before it reclaims may be what the target has dropped. */
void coord_on_barrier(struct coord *c, uint64_t n)
{
	c->barrier = n;
	for (size_t i = 0; i < c->sessions.v.n; i++)
		coord_tell_barrier_to(c, c->sessions.v.v[i]);
}

void coord_find_heartbeat(struct coord *c)
{
	uint32_t ino;
	int n = fs_hidden_ino(c->fs, "hb", &ino);

	if (n == 0)
		n = fs_map(c->fs, ino, 0, 256, c->hb, COORD_HB_EXTENTS);
	for (int i = 0; i < n; i++)
		if (c->hb[i].state != FS_DATA)
			n = -EINVAL;
	c->n_hb = n > 0 ? n : 0;
	if (!c->n_hb)
		log_warning("volume '%s': no heartbeats: its file .csv/hb is not as it should be",
			    c->name);
}

void coord_fill_heartbeat(const struct coord *c, Csv__Welcome *to, Csv__Extent *rows,
			  Csv__Extent **list)
{
	for (int i = 0; i < c->n_hb; i++) {
		csv__extent__init(&rows[i]);
		rows[i].offset = c->hb[i].lblk * FS_BLOCK_SIZE;
		rows[i].length = c->hb[i].len * FS_BLOCK_SIZE;
		rows[i].address = c->hb[i].pblk * FS_BLOCK_SIZE;
		list[i] = &rows[i];
	}
	to->heartbeat = list;
	to->n_heartbeat = (size_t)c->n_hb;
}
