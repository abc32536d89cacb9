/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of sessions: executed and answered, or parked and tried again; withdrawn. */
#include "config.h"

#include <stdlib.h>

#include "csv/coord_int.h"
#include "lib/monotime.h"

void req_free(struct req *q)
{
	csv__message__free_unpacked(q->msg, NULL);
	free(q);
}

static void park(struct coord *c, struct req *q)
{
	q->next = NULL;
	*c->parked_tail = q;
	c->parked_tail = &q->next;
}

static void res_fini(struct res *res)
{
	for (size_t i = 0; i < res->n_dirents; i++)
		free(res->dirents[i].name);
	free(res->r.dirents);
	free(res->dirents);
	free(res->owned);
}

static int res_finish(struct res *res)
{
	if (!res->n_dirents)
		return 0;
	res->r.dirents = calloc(res->n_dirents, sizeof(*res->r.dirents));
	if (!res->r.dirents)
		return -ENOMEM;
	for (size_t i = 0; i < res->n_dirents; i++)
		res->r.dirents[i] = &res->dirents[i];
	res->r.n_dirents = res->n_dirents;
	return 0;
}

void req_reply(struct coord *c, struct req *q, struct res *res)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	msg.msg_case = CSV__MESSAGE__MSG_RESULT;
	msg.result = &res->r;
	msg.node = q->msg->node;
	msg.mount = q->msg->mount;
	msg.incarnation = q->msg->incarnation;
	if (res->later)
		coord_send_soon(c, q->conn, &msg);
	else
		coord_send(c, q->conn, &msg);
}

bool coord_lease_over(const struct coord *c)
{
	return cl_mono_ms(cl_mono_now()) >= atomic_load(c->cfg.lease_until_ms);
}

bool coord_may_execute(const struct coord *c)
{
	return c->state == COORD_SERVING && !c->closing && !coord_lease_over(c);
}

/* Answers and frees q, or parks it. */
static void req_run(struct coord *c, struct req *q)
{
	struct res res = { .r = CSV__RESULT__INIT };
	int r = OP_PARK;

	q->want = (struct want){ 0 };
	if (coord_may_execute(c))
		r = q->op ? coord_execute(c, q, &res) : layout_get(c, q);
	if (r == OP_PARK && c->state != COORD_FAILED) {
		res_fini(&res);
		park(c, q);
		c->lease_parked |= coord_lease_over(c);
		return;
	}
	if (r == OP_TAKEN)
		return;
	if (!q->op) {
		if (r < 0)
			(void)coord_dead(c, r);
		req_free(q);
		return;
	}
	if (r >= 0)
		r = res_finish(&res);
	res.r.unique = q->op->unique;
	res.r.error = (uint32_t)-r;
	if (c->state != COORD_FAILED)
		req_reply(c, q, &res);
	res_fini(&res);
	req_free(q);
}

void req_run_parked(struct coord *c)
{
	struct req *q = c->parked, *next;

	c->retry_parked = c->lease_parked = false;
	c->parked = NULL;
	c->parked_tail = &c->parked;
	for (; q; q = next) {
		next = q->next;
		req_run(c, q);
	}
}

void coord_drop_parked(struct coord *c, uint64_t session)
{
	struct req **p = &c->parked, *q;

	while ((q = *p)) {
		if (q->session == session) {
			*p = q->next;
			req_free(q);
		} else {
			p = &q->next;
		}
	}
	c->parked_tail = p;
}

/* An interrupted wait: answered EINTR, unless it has been answered otherwise meanwhile. */
static void on_cancel(struct coord *c, const struct session *s, uint64_t unique)
{
	struct req **p = &c->parked, *q;
	struct res res = { .r = CSV__RESULT__INIT };

	for (; (q = *p); p = &q->next)
		if (q->session == s->id && q->op && q->op->unique == unique)
			break;
	if (!q)
		return;
	*p = q->next;
	if (!q->next)
		c->parked_tail = p;
	res.r.unique = unique;
	res.r.error = EINTR;
	req_reply(c, q, &res);
	req_free(q);
}

/* Takes msg over. */
static void add(struct coord *c, const struct session *s, Csv__Message *msg)
{
	struct req *q = calloc(1, sizeof(*q));

	if (!q) {
		csv__message__free_unpacked(msg, NULL);
		coord_fail(c, "out of memory");
		return;
	}
	*q = (struct req){ .conn = s->conn, .session = s->id, .msg = msg };
	q->op = msg->msg_case == CSV__MESSAGE__MSG_OP ? msg->op : NULL;
	req_run(c, q);
}

void req_take(struct coord *c, const struct session *s, Csv__Message *msg)
{
	if (msg->msg_case == CSV__MESSAGE__MSG_OP && msg->op->kind == CSV__KIND__CANCEL) {
		on_cancel(c, s, msg->op->offset);
		csv__message__free_unpacked(msg, NULL);
		return;
	}
	add(c, s, msg);
}
