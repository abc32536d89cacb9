/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/session.h"

static const struct sm_state session_states[] = {
	[SESSION_RECORDED] = { "recorded", SM_TO(SESSION_RECLAIMING) | SM_TO(SESSION_CLOSED),
			       SM_INITIAL },
	[SESSION_RECLAIMING] = { "reclaiming", SM_TO(SESSION_ACTIVE) | SM_TO(SESSION_CLOSED),
				 SM_INITIAL },
	[SESSION_ACTIVE] = { "active", SM_TO(SESSION_CLOSED), 0 },
	[SESSION_CLOSED] = { "closed", 0, SM_FINAL },
};

void session_table_fini(struct session_table *table)
{
	for (size_t i = 0; i < table->v.n; i++)
		free(table->v.v[i]);
	session_vec_fini(&table->v);
}

static struct session *session_new(struct session_table *table, uint32_t node, uint64_t mount,
				   uint64_t incarnation, enum session_state state)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s || session_vec_push(&table->v, s) < 0) {
		free(s);
		return NULL;
	}
	s->id = ++table->last_id;
	s->node = node;
	s->mount = mount;
	s->incarnation = incarnation;
	sm_init(&s->sm, "session", "", session_states, 4, state, NULL);
	return s;
}

struct session *session_load(struct session_table *table, uint32_t node, uint64_t mount,
			     uint64_t incarnation)
{
	struct session *s = session_new(table, node, mount, incarnation, SESSION_RECORDED);

	if (s)
		s->owed = true;
	return s;
}

struct session *session_admit(struct session_table *table, uint32_t node, uint64_t mount,
			      uint64_t incarnation)
{
	return session_new(table, node, mount, incarnation, SESSION_RECLAIMING);
}

static enum session_verdict verdict_known(const struct session *s)
{
	return s->sm.state == SESSION_ACTIVE ? SESSION_RESUME : SESSION_RECLAIM;
}

enum session_verdict session_hello(const struct session_table *table, uint32_t node, uint64_t mount,
				   uint64_t incarnation, bool living, uint64_t admitted,
				   struct session **ret, struct session **ret_over)
{
	*ret = *ret_over = NULL;
	if (incarnation > admitted)
		return SESSION_LATER;
	if (!living || incarnation < admitted)
		return SESSION_REFUSE;
	for (size_t i = 0; i < table->v.n; i++) {
		struct session *s = table->v.v[i];

		if (s->node != node || s->incarnation != incarnation)
			continue;
		if (s->mount > mount)
			return SESSION_REFUSE;
		if (s->mount < mount) {
			*ret_over = s;
			continue;
		}
		*ret = s;
		return verdict_known(s);
	}
	return SESSION_ADMIT;
}

void session_begin_reclaim(struct session *s, uint64_t conn)
{
	s->conn = conn;
	if (s->sm.state == SESSION_RECORDED)
		sm_move(&s->sm, SESSION_RECLAIMING, "hello");
}

void session_activate(struct session *s)
{
	s->owed = false;
	sm_move(&s->sm, SESSION_ACTIVE, "reclaimed");
}

void session_close(struct session_table *table, struct session *s, const char *why)
{
	for (size_t i = 0; i < table->v.n; i++)
		if (table->v.v[i] == s) {
			session_vec_remove(&table->v, i);
			break;
		}
	sm_move(&s->sm, SESSION_CLOSED, why);
	free(s);
}

struct session *session_by_conn(const struct session_table *table, uint64_t conn)
{
	for (size_t i = 0; i < table->v.n; i++)
		if (conn && table->v.v[i]->conn == conn)
			return table->v.v[i];
	return NULL;
}

struct session *session_by_id(const struct session_table *table, uint64_t id)
{
	for (size_t i = 0; i < table->v.n; i++)
		if (table->v.v[i]->id == id)
			return table->v.v[i];
	return NULL;
}

const struct session *session_owing(const struct session_table *table)
{
	for (size_t i = 0; i < table->v.n; i++)
		if (table->v.v[i]->owed)
			return table->v.v[i];
	return NULL;
}

struct session *session_fenced(const struct session_table *table, uint32_t node, uint64_t up_to)
{
	for (size_t i = 0; i < table->v.n; i++)
		if (table->v.v[i]->node == node && table->v.v[i]->incarnation <= up_to)
			return table->v.v[i];
	return NULL;
}
