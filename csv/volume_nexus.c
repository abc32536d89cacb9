/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the coordinator's thread asks of the store about data nexuses. The store belongs to the loop, the
 * sessions to the thread; so it goes there and back by mail. A question may outlive the thread that
 * asked, never the store.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "csv/volume_int.h"

struct question {
	struct question *next;
	struct volume *v;
	uint64_t serial; /* of the coordinator that asked */
	uint64_t id;
	enum csv_mail_kind kind;
	struct store_node who;
	uint64_t key;
};

static void forget(struct question *q)
{
	struct question **p = &q->v->questions;

	while (*p != q)
		p = &(*p)->next;
	*p = q->next;
	free(q);
}

void volume_forget_questions(struct volume *v)
{
	while (v->questions)
		forget(v->questions);
}

static void answer(struct question *q, bool ok, uint64_t key, uint8_t pr_type, const char *why)
{
	struct volume *v = q->v;
	struct csv_mail *mail = NULL;

	if (v->coord && q->serial == v->coord_serial)
		mail = csv_mail_new(MAIL_NEXUS, NULL, 0);
	if (mail) {
		mail->id = q->id;
		mail->ok = ok;
		mail->key = key;
		mail->pr_type = pr_type;
		(void)snprintf(mail->text, sizeof(mail->text), "%s", why ? why : "");
		coord_post(v->coord, mail);
	}
	forget(q);
}

static void permit(struct question *q)
{
	struct cl_error err = CL_ERROR_INIT;
	uint8_t pr_type = 0;
	uint64_t key = 0;
	int r = store_permit(q->v->store, q->who, &key, &pr_type, &err);

	answer(q, r >= 0, key, pr_type, r < 0 ? err.msg : "");
}

static void on_killed(void *user, bool paid, const char *why)
{
	struct question *q = user;
	bool known = paid && q->key && store_knows(q->v->store, q->who, q->key);

	if (paid && q->kind == MAIL_PERMIT)
		permit(q);
	else
		answer(q, paid, known ? q->key : 0, 0, why);
}

static void on_seen(void *user, bool seen, const char *why)
{
	struct question *q = user;

	answer(q, seen, q->key, 0, why);
}

static void ask(struct question *q)
{
	struct store *store = q->v->store;
	struct cl_error err = CL_ERROR_INIT;

	if (!store || store->state != STORE_HOLDING)
		answer(q, false, 0, 0, "the coordinator has lost its hold of the LUN");
	else if (q->kind != MAIL_SEE) {
		if (store_kill(store, q->who, q->kind == MAIL_KILL ? q->key : 0, on_killed, q,
			       &err) < 0)
			answer(q, false, 0, 0, err.msg);
	} else if (!store_knows(store, q->who, q->key))
		answer(q, false, 0, 0, "that key is not permitted (any more)");
	else if (store_see(store, q->key, on_seen, q) < 0)
		answer(q, false, 0, 0, "the control session is down");
}

void volume_on_question(struct volume *v, const struct csv_mail *mail)
{
	struct question *q = calloc(1, sizeof(*q));

	if (!q)
		return; /* the client asks again on its next connection */
	*q = (struct question){
		.next = v->questions,
		.v = v,
		.serial = v->coord_serial,
		.id = mail->id,
		.kind = mail->kind,
		.who = { mail->node, mail->incarnation },
		.key = mail->key,
	};
	v->questions = q;
	ask(q);
}
