/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mail of the loop: messages of sessions, tables, fences, jobs. */
#include "config.h"

#include <stdlib.h>

#include "csv/coord_int.h"

static void on_ack(struct coord *c, const struct session *s, const Csv__Ack *ack)
{
	for (size_t i = 0; i < ack->n_unique; i++)
		(void)ack_vec_push(&c->acks, (struct ack){ { s->node, s->mount, ack->unique[i] } });
}

static void close_conn(struct coord *c, uint64_t conn)
{
	struct csv_mail *mail = csv_mail_new(MAIL_CLOSE_CONN, NULL, 0);

	if (!mail)
		return;
	mail->conn = conn;
	coord_post_out(c, mail);
}

void coord_cut_off(struct coord *c, struct session *s)
{
	close_conn(c, s->conn);
	coord_on_conn_lost(c, s->conn);
}

/* A message of an established session, in its own term. Takes msg over. */
static void on_session_message(struct coord *c, struct session *s, Csv__Message *msg)
{
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_RECLAIM:
		coord_on_reclaim(c, s, msg->reclaim);
		break;
	case CSV__MESSAGE__MSG_ACK:
		on_ack(c, s, msg->ack);
		break;
	case CSV__MESSAGE__MSG_BYE:
		coord_on_bye(c, s);
		break;
	case CSV__MESSAGE__MSG_NEXUS_ASK:
		nexus_ask(c, s, msg->nexus_ask);
		break;
	case CSV__MESSAGE__MSG_NEXUS_REGISTERED:
		nexus_registered(c, s, msg->nexus_registered);
		break;
	case CSV__MESSAGE__MSG_OP:
	case CSV__MESSAGE__MSG_LAYOUT_GET:
		if (s->sm.state == SESSION_ACTIVE) {
			req_take(c, s, msg);
			return;
		}
		close_conn(c, s->conn);
		break;
	case CSV__MESSAGE__MSG_SETTLE:
		c->other_change = true;
		break;
	case CSV__MESSAGE__MSG_RECALLED:
		recall_answered(c, s, msg->recalled);
		break;
	case CSV__MESSAGE__MSG_TOUCHED:
		if (coord_may_execute(c))
			layout_touched(c, s, msg->touched);
		break;
	default:
		close_conn(c, s->conn);
	}
	csv__message__free_unpacked(msg, NULL);
}

static void on_message(struct coord *c, const struct csv_mail *mail)
{
	Csv__Message *msg = csv__message__unpack(NULL, mail->len, mail->body);
	struct session *s;

	if (!msg) {
		close_conn(c, mail->conn);
		return;
	}
	if (msg->msg_case == CSV__MESSAGE__MSG_HELLO) {
		coord_on_hello(c, mail->conn, msg);
		return;
	}
	/* A connection that was superseded has no session any more: what was still under way on it
	 * comes again on the new one, and must not be executed beside it. */
	s = session_by_conn(&c->sessions, mail->conn);
	if (!s || msg->epoch != c->cfg.epoch || msg->node != s->node || msg->mount != s->mount) {
		csv__message__free_unpacked(msg, NULL);
		if (s)
			close_conn(c, mail->conn);
		return;
	}
	on_session_message(c, s, msg);
}

static void on_tables(struct coord *c, const struct csv_mail *mail)
{
	Vol__Tables *t = vol__tables__unpack(NULL, mail->len, mail->body);

	if (!t)
		return;
	if (c->tables)
		vol__tables__free_unpacked(c->tables, NULL);
	c->tables = t;
	c->retry_parked = true;
	if (c->state == COORD_SERVING && layout_redirected(c))
		recall_all(c);
}

/* What ran for it in this thread has finished, what was parked is dropped with the session. */
static void end_fence(struct coord *c, const struct fence *f)
{
	struct csv_mail *done = csv_mail_new(MAIL_FENCE_DONE, NULL, 0);

	counters_add(c->cfg.counters, COUNTERS_FENCES);
	coord_close_fenced(c, f->node, f->up_to);
	coord_try_end_grace(c);
	if (!done)
		return;
	done->id = f->id;
	coord_post_out(c, done);
}

void coord_retry_fences(struct coord *c)
{
	for (size_t i = 0; i < c->fences.n;) {
		struct fence f = c->fences.v[i];

		if (block_busy(c, f.node, f.up_to)) {
			i++;
			continue;
		}
		fence_vec_remove(&c->fences, i);
		end_fence(c, &f);
	}
}

static void on_fenced(struct coord *c, const struct csv_mail *mail)
{
	struct fence f = { mail->id, mail->node, mail->incarnation };

	coord_shut_out(c, f.node, f.up_to);
	if (fence_vec_push(&c->fences, f) < 0)
		coord_fail(c, "out of memory");
	coord_retry_fences(c);
}

void coord_on_mail(struct coord *c, struct csv_mail *mail)
{
	bool up = c->state == COORD_GRACE || c->state == COORD_SERVING;

	if (mail->kind == MAIL_STOP)
		c->stop = true;
	else if (mail->kind == MAIL_TABLES)
		on_tables(c, mail);
	else if (mail->kind == MAIL_BARRIER)
		coord_on_barrier(c, mail->id); /* before there are sessions: kept for them */
	else if (c->state == COORD_REFUSED && mail->kind == MAIL_FENCED)
		on_fenced(c, mail);
	else if (c->state == COORD_REFUSED && mail->kind == MAIL_CLOSE)
		coord_set_state(c, COORD_CLOSED, ""); /* nothing is open */
	else if (!up)
		; /* closed or failed: whoever asked goes to the next coordinator */
	else if (mail->kind == MAIL_MESSAGE)
		on_message(c, mail);
	else if (mail->kind == MAIL_CONN_LOST)
		coord_on_conn_lost(c, mail->conn);
	else if (mail->kind == MAIL_NEXUS)
		nexus_on_mail(c, mail);
	else if (mail->kind == MAIL_IO_DONE)
		block_on_done(c, mail);
	else if (mail->kind == MAIL_FENCED)
		on_fenced(c, mail);
	else if (mail->kind == MAIL_CLOSE)
		c->closing = true;
	else if (mail->kind == MAIL_REPORT)
		coord_on_report(c, mail);
	else if (mail->kind == MAIL_CHECK)
		coord_on_check(c, mail);
	if (up && c->state != COORD_FAILED)
		coord_try_close(c);
	free(mail);
}
