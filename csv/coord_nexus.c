/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data nexuses at the coordinator: a node does direct I/O on the coordinator's word only.
 *
 * Before a session is welcomed, on whatever connection, every data nexus of its (node, incarnation) but
 * the one that the HELLO names is dead. Its client is about to repeat what was not answered; an earlier
 * process's copy of a write must not land behind the repetition, nor behind what others write after it.
 * The same before the session's end: what it held is given to others then.
 *
 * The killing belongs to the loop (volume_nexus.c); what waits for it here is an `ask`. In the meantime
 * the session has no connection: what still comes on the earlier one is not executed.
 */
#include "config.h"

#include <string.h>

#include "csv/coord_int.h"
#include "lib/log.h"

static void ask_fini(struct ask *ask)
{
	if (ask->msg)
		csv__message__free_unpacked(ask->msg, NULL);
}

/* Takes ask->msg over, also when it fails (then the coordinator has failed). */
static void put(struct coord *c, struct ask ask, enum csv_mail_kind kind, struct store_node who,
		uint64_t key)
{
	struct csv_mail *mail = csv_mail_new(kind, NULL, 0);

	ask.id = ++c->last_ask;
	if (!mail || ask_vec_push(&c->asks, ask) < 0) {
		free(mail);
		ask_fini(&ask);
		coord_fail(c, "out of memory");
		return;
	}
	mail->id = ask.id;
	mail->node = who.node;
	mail->incarnation = who.incarnation;
	mail->key = key;
	coord_post_out(c, mail);
}

void nexus_hello(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct ask ask = { .kind = ASK_HELLO, .conn = conn, .msg = msg };
	struct store_node who = { msg->node, msg->incarnation };
	uint64_t keep = msg->hello->nexus;

	if (c->cfg.defects & COORD_DEFECT_NO_KILL) {
		coord_welcome(c, conn, msg);
		ask_fini(&ask);
		return;
	}
	put(c, ask, MAIL_KILL, who, keep);
}

void nexus_bye(struct coord *c, const struct session *s)
{
	struct ask ask = { .kind = ASK_BYE, .session = s->id };
	struct store_node who = { s->node, s->incarnation };

	put(c, ask, MAIL_KILL, who, 0);
}

void nexus_ask(struct coord *c, const struct session *s, const Csv__NexusAsk *in)
{
	struct ask ask = {
		.kind = ASK_PERMIT, .conn = s->conn, .session = s->id, .theirs = in->id
	};
	struct store_node who = { s->node, s->incarnation };

	put(c, ask, MAIL_PERMIT, who, 0);
}

void nexus_registered(struct coord *c, const struct session *s, const Csv__NexusRegistered *in)
{
	struct ask ask = { .kind = ASK_GO, .conn = s->conn, .session = s->id };
	struct store_node who = { s->node, s->incarnation };

	put(c, ask, MAIL_SEE, who, in->key);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void refuse(struct coord *c, const struct session *s, uint64_t id, const char *reason)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusRefuse body = CSV__NEXUS_REFUSE__INIT;

	body.id = id;
	body.reason = (char *)(uintptr_t)reason;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_REFUSE;
	msg.nexus_refuse = &body;
	session_send(c, s, &msg);
}

static void permitted(struct coord *c, const struct session *s, uint64_t id,
		      const struct csv_mail *mail)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusPermit body = CSV__NEXUS_PERMIT__INIT;

	body.id = id;
	body.key = mail->key;
	body.pr_type = mail->pr_type;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_PERMIT;
	msg.nexus_permit = &body;
	session_send(c, s, &msg);
}

static void go(struct coord *c, const struct session *s, const struct csv_mail *mail)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusGo body = CSV__NEXUS_GO__INIT;

	log_info("volume '%s': node %u has its GO (%016llx)", c->name, s->node,
		 (unsigned long long)mail->key);
	body.key = mail->key;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_GO;
	msg.nexus_go = &body;
	session_send(c, s, &msg);
}

static void hello_killed(struct coord *c, const struct ask *ask)
{
	const struct session *s;

	coord_welcome(c, ask->conn, ask->msg);
	s = session_by_conn(&c->sessions, ask->conn);
	/* Of before the target's restart, say. It gets no I/O through, and is to ask for another. */
	if (s && ask->msg->hello->nexus && !ask->known)
		refuse(c, s, 0, "that data nexus is not known here (any more)");
}

static void bye_killed(struct coord *c, const struct ask *ask)
{
	struct session *s = session_by_id(&c->sessions, ask->session);

	if (!s)
		return;
	coord_end_session(c, s, "unmounted");
	coord_try_end_grace(c);
}

/* Its nexuses are dead; and what this node does for it? */
static bool waits_for_blocks(const struct coord *c, const struct ask *ask)
{
	const struct session *s = session_by_id(&c->sessions, ask->session);

	if (ask->kind == ASK_HELLO)
		return block_busy(c, ask->msg->node, ask->msg->incarnation);
	return s && block_busy(c, s->node, s->incarnation);
}

void nexus_retry(struct coord *c)
{
	for (size_t i = 0; i < c->asks.n;) {
		struct ask ask = c->asks.v[i];

		if (!ask.killed || waits_for_blocks(c, &ask)) {
			i++;
			continue;
		}
		ask_vec_remove(&c->asks, i);
		if (ask.kind == ASK_HELLO)
			hello_killed(c, &ask);
		else
			bye_killed(c, &ask);
		ask_fini(&ask);
	}
}

/* The kill failed: the loop has lost the LUN, and its coordinator is about to end. */
static void not_killed(struct coord *c, const struct ask *ask, const char *why)
{
	if (ask->kind == ASK_HELLO)
		coord_refuse(c, ask->conn, ask->msg, EAGAIN, why);
	else
		log_warning("volume '%s': a node has left, but not its data nexus: %s", c->name,
			    why);
}

/* PERMIT, SEE. */
static void answered(struct coord *c, const struct ask *ask, const struct csv_mail *mail)
{
	struct session *s = session_by_id(&c->sessions, ask->session);

	if (!s || s->conn != ask->conn)
		return; /* it ended, or asks anew on another connection */
	if (!mail->ok)
		refuse(c, s, ask->theirs, mail->text);
	else if (ask->kind == ASK_PERMIT)
		permitted(c, s, ask->theirs, mail);
	else
		go(c, s, mail);
}

void nexus_on_mail(struct coord *c, const struct csv_mail *mail)
{
	for (size_t i = 0; i < c->asks.n; i++) {
		struct ask ask = c->asks.v[i];

		if (ask.id != mail->id)
			continue;
		if (mail->ok && (ask.kind == ASK_HELLO || ask.kind == ASK_BYE)) {
			c->asks.v[i].killed = true;
			c->asks.v[i].known = mail->key;
			break;
		}
		ask_vec_remove(&c->asks, i);
		if (ask.kind == ASK_HELLO || ask.kind == ASK_BYE)
			not_killed(c, &ask, mail->text);
		else
			answered(c, &ask, mail);
		ask_fini(&ask);
		break;
	}
	nexus_retry(c);
}

void nexus_conn_lost(struct coord *c, uint64_t conn)
{
	for (size_t i = 0; i < c->asks.n;) {
		struct ask ask = c->asks.v[i];

		if (ask.kind != ASK_HELLO || ask.conn != conn) {
			i++;
			continue;
		}
		ask_vec_remove(&c->asks, i);
		ask_fini(&ask);
	}
}

bool nexus_bye_waits(const struct coord *c)
{
	for (size_t i = 0; i < c->asks.n; i++)
		if (c->asks.v[i].kind == ASK_BYE)
			return true;
	return false;
}

void nexus_fini(struct coord *c)
{
	for (size_t i = 0; i < c->asks.n; i++)
		ask_fini(&c->asks.v[i]);
	ask_vec_fini(&c->asks);
}
