/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions at the coordinator: hello, reclaim, grace, end. The decisions are in session.c. */
#include "config.h"

#include <string.h>
#include <time.h>

#include "csv/coord_int.h"
#include "lib/log.h"

#define DATA_MAX (256 * 1024)

static struct fs_record_key session_key(uint32_t node, uint64_t mount, uint64_t incarnation)
{
	return (struct fs_record_key){ .owner = node, .instance = mount, .id = incarnation };
}

static const Vol__Node *node_of(const struct coord *c, uint32_t id)
{
	for (size_t i = 0; i < c->tables->n_nodes; i++)
		if (c->tables->nodes[i]->id == id)
			return c->tables->nodes[i];
	return NULL;
}

static bool living_at(const struct coord *c, uint32_t id, uint64_t incarnation)
{
	const Vol__Node *n = node_of(c, id);

	return n && n->living && n->incarnation == incarnation;
}

/* ---- records on the volume ----------------------------------------------------------------- */

struct load {
	struct coord *c;
	int r;
};

static bool load_one(void *user, const struct fs_record_key *key, const void *data, size_t len)
{
	struct load *l = user;

	(void)data;
	(void)len;
	if (!session_load(&l->c->sessions, (uint32_t)key->owner, key->instance, key->id))
		l->r = -ENOMEM;
	return l->r == 0;
}

static int session_unrecord(struct coord *c, const struct session *s)
{
	struct fs_record_key key = session_key(s->node, s->mount, s->incarnation);
	int r = op_begin(c);

	if (r < 0)
		return r;
	r = fs_record_drop(c->fs, FS_SESSIONS, &key);
	if (r == -ENOENT)
		r = 0;
	if (r >= 0)
		r = fs_record_drop_instance(c->fs, FS_REPLIES, s->node, s->mount);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	return fs_end(c->fs);
}

static int session_record(struct coord *c, uint32_t node, uint64_t mount, uint64_t incarnation)
{
	struct fs_record_key key = session_key(node, mount, incarnation);
	int r = op_begin(c);

	if (r < 0)
		return r;
	fs_use_reserve(c->fs);
	r = fs_record_put(c->fs, FS_SESSIONS, &key, "", 0);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	return fs_end(c->fs);
}

/* What it holds is released, its record and its replies go. */
void coord_end_session(struct coord *c, struct session *s, const char *why)
{
	int r;

	log_info("volume '%s': session of node %u ends: %s", c->name, s->node, why);
	coord_drop_parked(c, s->id);
	handle_drop_session(c, s->id);
	(void)layout_drop(&c->layouts, s->id, 0);
	if (c->state == COORD_FAILED)
		return;
	r = session_unrecord(c, s);
	if (r < 0 && !coord_dead(c, r))
		log_warning("volume '%s': record of a session of node %u: %s", c->name, s->node,
			    strerror(-r));
	session_close(&c->sessions, s, why);
	c->retry_parked = true;
}

/*
 * Those whose node is not living at that incarnation any more cannot reclaim: this coordinator was given
 * its GO after every debt of the volume was paid, so they are fenced. Who is fenced since then, while it
 * opens, comes by MAIL_FENCED; or came by it, while it was refused, ahead of the tables.
 */
static void drop_fenced_records(struct coord *c)
{
	for (size_t i = 0; i < c->sessions.v.n;) {
		struct session *s = c->sessions.v.v[i];

		if (living_at(c, s->node, s->incarnation) &&
		    s->incarnation > c->fenced[s->node & 255])
			i++;
		else
			coord_end_session(c, s, "its node is fenced");
	}
}

int coord_load_sessions(struct coord *c)
{
	struct load l = { .c = c };

	fs_record_foreach(c->fs, FS_SESSIONS, load_one, &l);
	if (l.r == 0)
		drop_fenced_records(c);
	return l.r;
}

/* ---- messages ------------------------------------------------------------------------------ */

static void send_to(struct coord *c, uint64_t conn, const Csv__Message *in, Csv__Message *out)
{
	out->node = in->node;
	out->mount = in->mount;
	out->incarnation = in->incarnation;
	coord_send(c, conn, out);
}

void coord_refuse(struct coord *c, uint64_t conn, const Csv__Message *in, uint32_t code,
		  const char *reason)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Refuse body = CSV__REFUSE__INIT;

	body.code = code;
	body.reason = (char *)(uintptr_t)reason;
	msg.msg_case = CSV__MESSAGE__MSG_REFUSE;
	msg.refuse = &body;
	send_to(c, conn, in, &msg);
}

static void welcome(struct coord *c, uint64_t conn, const Csv__Message *in, bool reclaim)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Welcome body = CSV__WELCOME__INIT;
	Csv__Extent rows[COORD_HB_EXTENTS], *list[COORD_HB_EXTENTS];

	coord_fill_heartbeat(c, &body, rows, list);
	body.reclaim = reclaim;
	body.max_data = DATA_MAX;
	msg.msg_case = CSV__MESSAGE__MSG_WELCOME;
	msg.welcome = &body;
	send_to(c, conn, in, &msg);
}

/* The previous connection's unanswered operations come again on the new one. */
static void take_conn(struct coord *c, struct session *s, uint64_t conn)
{
	coord_drop_parked(c, s->id);
	block_call_off(c, s->node, s->incarnation);
	recall_conn_gone(c, s->id);
	s->growth = 0; /* its welcome leaves behind a commit */
	s->conn = conn;
}

/* A new mount: on record before its first operation, or a take-over would not wait for it. */
static void admit(struct coord *c, uint64_t conn, const Csv__Message *msg)
{
	struct session *s;
	int r = session_record(c, msg->node, msg->mount, msg->incarnation);

	if (r < 0) {
		if (!coord_dead(c, r))
			coord_refuse(c, conn, msg, EAGAIN, "no room to record the session");
		return;
	}
	s = session_admit(&c->sessions, msg->node, msg->mount, msg->incarnation);
	if (!s) {
		coord_fail(c, "out of memory");
		return;
	}
	s->process = msg->hello->process;
	session_begin_reclaim(s, conn);
	welcome(c, conn, msg, true);
	coord_tell_barrier_to(c, s);
}

static enum session_verdict judge(const struct coord *c, const Csv__Message *msg,
				  struct session **ret, struct session **ret_over)
{
	const Vol__Node *n = node_of(c, msg->node);

	/* The fence can be ahead of the tables: what it has ended does not begin again. */
	if (msg->incarnation <= c->fenced[msg->node & 255])
		return SESSION_REFUSE;
	return session_hello(&c->sessions, msg->node, msg->mount, msg->incarnation, n && n->living,
			     n ? n->incarnation : 0, ret, ret_over);
}

/* Whether it was refused. */
static bool turn_away(struct coord *c, uint64_t conn, const Csv__Message *msg,
		      enum session_verdict v)
{
	if (msg->epoch != c->cfg.epoch)
		coord_refuse(c, conn, msg, ESTALE, "another epoch");
	else if (v == SESSION_LATER)
		coord_refuse(c, conn, msg, EAGAIN, "not admitted yet, as far as is known here");
	else if (v == SESSION_REFUSE)
		coord_refuse(c, conn, msg, EPERM, "that incarnation or mount is over");
	else
		return false;
	return true;
}

void coord_on_hello(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct session *s = NULL, *over = NULL;

	if (turn_away(c, conn, msg, judge(c, msg, &s, &over))) {
		csv__message__free_unpacked(msg, NULL);
		return;
	}
	/* From here on nothing of the earlier connection is executed beside its repetition. */
	if (s)
		take_conn(c, s, 0);
	if (over)
		take_conn(c, over, 0);
	nexus_hello(c, conn, msg);
}

void coord_welcome(struct coord *c, uint64_t conn, const Csv__Message *msg)
{
	struct session *s, *over;
	enum session_verdict v = judge(c, msg, &s, &over);

	if (turn_away(c, conn, msg, v))
		return;
	if (over)
		coord_end_session(c, over, "a newer mount of its node");
	if (v == SESSION_ADMIT) {
		admit(c, conn, msg);
		return;
	}
	take_conn(c, s, conn);
	/*
	 * Another process knows of no layout, and the nexus under which there was I/O is dead. But as long as it has not
	 * heard this welcome it may have growth of its predecessor to reclaim; who cuts that off has to ask it.
	 */
	if (s->process != msg->hello->process && !s->grew)
		c->retry_parked |= layout_drop(&c->layouts, s->id, 0);
	s->process = msg->hello->process;
	if (v == SESSION_RECLAIM) {
		handle_drop_session(c, s->id); /* a reclaim that broke off begins again */
		session_begin_reclaim(s, conn);
	}
	welcome(c, conn, msg, v == SESSION_RECLAIM);
	coord_tell_barrier_to(c, s);
	coord_tell_space_to(c, s);
	recall_send(c);
}

static bool reclaim_handle(struct coord *c, const struct session *s, const Csv__Handle *in)
{
	struct handle h = { .session = s->id, .fh = in->fh, .flags = in->flags };
	struct fs_attr attr;

	h.ino = ino_in(in->ino);
	h.generation = in->generation;
	(void)strncpy(h.resource, in->resource, sizeof(h.resource) - 1);
	if (fs_getattr(c->fs, h.ino, &attr) < 0)
		return false;
	return handle_add(c, &h) == 0;
}

static void reclaim_lock(struct coord *c, const struct session *s, const Csv__Lock *in)
{
	struct lock l;

	if (lock_from_wire(in, s->id, &l) < 0 || lock_set(&c->locks, &l) < 0)
		log_warning("volume '%s': node %u reclaims a lock on inode %llu that cannot be",
			    c->name, s->node, (unsigned long long)in->ino);
}

void session_send(struct coord *c, const struct session *s, Csv__Message *msg)
{
	msg->node = s->node;
	msg->mount = s->mount;
	msg->incarnation = s->incarnation;
	coord_send(c, s->conn, msg);
}

static void send_reclaimed(struct coord *c, const struct session *s, Csv__Reclaimed *body)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	msg.msg_case = CSV__MESSAGE__MSG_RECLAIMED;
	msg.reclaimed = body;
	session_send(c, s, &msg);
}

void coord_on_reclaim(struct coord *c, struct session *s, const Csv__Reclaim *reclaim)
{
	Csv__Reclaimed body = CSV__RECLAIMED__INIT;
	uint64_t *lost;

	if (s->sm.state != SESSION_RECLAIMING)
		return;
	lost = calloc(reclaim->n_handles + 1, sizeof(*lost));
	if (!lost) {
		coord_fail(c, "out of memory");
		return;
	}
	body.lost = lost;
	for (size_t i = 0; i < reclaim->n_handles; i++)
		if (!reclaim_handle(c, s, reclaim->handles[i]))
			body.lost[body.n_lost++] = reclaim->handles[i]->fh;
	for (size_t i = 0; i < reclaim->n_locks; i++)
		reclaim_lock(c, s, reclaim->locks[i]);
	for (size_t i = 0; i < reclaim->n_grown; i++)
		grow_reclaim(c, s, reclaim->grown[i]);
	if (reclaim->last) {
		session_activate(s);
		send_reclaimed(c, s, &body);
		coord_tell_space_to(c, s);
		coord_try_end_grace(c);
	}
	free(lost);
}

void coord_on_bye(struct coord *c, struct session *s)
{
	take_conn(c, s, 0);
	nexus_bye(c, s);
}

void coord_on_conn_lost(struct coord *c, uint64_t conn)
{
	struct session *s = session_by_conn(&c->sessions, conn);

	nexus_conn_lost(c, conn);
	if (!s)
		return;
	take_conn(c, s, 0);
}

void coord_shut_out(struct coord *c, uint32_t node, uint64_t up_to)
{
	if (c->fenced[node & 255] < up_to)
		c->fenced[node & 255] = up_to;
	for (size_t i = 0; i < c->sessions.v.n; i++) {
		struct session *s = c->sessions.v.v[i];

		if (s->node == node && s->incarnation <= up_to)
			take_conn(c, s, 0);
	}
}

void coord_close_fenced(struct coord *c, uint32_t node, uint64_t up_to)
{
	struct session *s;

	while (c->state != COORD_FAILED && (s = session_fenced(&c->sessions, node, up_to)))
		coord_end_session(c, s, "its node is fenced");
}

/* ---- grace --------------------------------------------------------------------------------- */

static int free_orphan(struct coord *c, uint32_t ino)
{
	int r = op_begin(c);

	if (r < 0)
		return r;
	fs_use_reserve(c->fs);
	r = fs_orphan_free(c->fs, ino);
	if (r < 0) {
		fs_abort(c->fs);
		return r;
	}
	return fs_end(c->fs);
}

/* Unlinked files that nobody has open any more; only after all have said what they have open. */
static void free_orphans(struct coord *c)
{
	uint32_t ino, prev = 0;
	int r;

	while ((r = fs_orphan_next(c->fs, prev, &ino)) == 0 && ino) {
		if (handle_open_anywhere(c, ino)) {
			prev = ino;
			continue;
		}
		r = free_orphan(c, ino);
		if (r < 0)
			break;
	}
	if (r < 0 && !coord_dead(c, r))
		log_warning("volume '%s': orphans stay: %s", c->name, strerror(-r));
}

void coord_try_end_grace(struct coord *c)
{
	if (c->state != COORD_GRACE)
		return;
	if (session_owing(&c->sessions) && !(c->cfg.defects & COORD_DEFECT_NO_GRACE))
		return;
	free_orphans(c);
	if (c->state != COORD_GRACE)
		return;
	coord_set_state(c, COORD_SERVING, "");
	c->retry_parked = true;
}
