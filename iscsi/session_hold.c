/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a session does by itself: clear the unit attentions of its login, and after a unit attention
 * on a living nexus find out whether its right still stands before anything else is sent.
 *
 * A reset by somebody's fence gives every nexus one unit attention per reset; they stack. So: TEST
 * UNIT READY until GOOD (bound 64), verify key and reservation once, then send again what got the
 * unit attention and go on. Commands that were under way keep running: they end GOOD. Without the
 * verification a nexus whose key is gone would find out only by its next CONFLICT, and after a
 * target restart that lost the reservation, never.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "iscsi/session_int.h"

static void own_command(struct lun_session *s, enum pr_op_kind kind, void (*done)(struct lun_cmd *))
{
	s->own = (struct lun_cmd){
		.op = { .kind = kind }, .done = done, .user = s, .internal = true
	};
	(void)lun_cmd_send(s, &s->own); /* a failure has doomed the session */
}

/* true: another TEST UNIT READY is on its way (or the session is lost). */
static bool ask_again(struct lun_session *s, void (*done)(struct lun_cmd *))
{
	enum lun_result r = s->own.answer.result;

	if (s->doomed || r == LUN_LOST)
		return true;
	if (r != LUN_UA)
		return false;
	if (++s->tur_count > UA_MAX)
		lun_session_doom(s, -EIO, "more than %d unit attentions in a row", UA_MAX);
	else
		own_command(s, PR_OP_TEST_UNIT_READY, done);
	return true;
}

/* ---- after the login ---- */

/* A target that names nothing, or that nobody named before, is taken as it is. */
static void on_identity(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;
	const char *now = cmd->answer.identity, *want = s->identity;

	if (s->doomed || cmd->answer.result == LUN_LOST)
		return;
	if (cmd->answer.result != LUN_OK)
		now = "";
	if (want[0] && strcmp(now, want) != 0) {
		lun_session_doom(s, -EXDEV,
				 "this portal leads to another disk: '%.60s', not '%.60s'", now,
				 want);
		return;
	}
	(void)snprintf(s->identity, sizeof(s->identity), "%s", now);
	lun_session_move(s, LUN_READY, "logged in");
}

static void on_capacity(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;
	const struct pr_answer *a = &cmd->answer;

	if (s->doomed || a->result == LUN_LOST)
		return;
	if (a->result != LUN_OK) {
		lun_session_doom(s, -EIO, "READ CAPACITY(16): %s (is there such a LUN?)",
				 lun_result_name(a->result));
		return;
	}
	if ((a->block_size != 512 && a->block_size != 4096) || !a->blocks ||
	    a->blocks > INT64_MAX / a->block_size) {
		lun_session_doom(s, -EIO, "cannot use blocks of %u bytes", a->block_size);
		return;
	}
	s->data.block_size = a->block_size;
	s->data.bytes = a->blocks * a->block_size;
	own_command(s, PR_OP_IDENTITY, on_identity);
}

static void on_settle_tur(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;

	if (ask_again(s, on_settle_tur))
		return;
	/* CONFLICT is fine here: nobody has registered on this nexus yet. */
	if (s->own.answer.result == LUN_OK || s->own.answer.result == LUN_CONFLICT)
		own_command(s, PR_OP_READ_CAPACITY, on_capacity);
	else
		lun_session_doom(s, -EIO, "TEST UNIT READY: %s (is there such a LUN?)",
				 lun_result_name(s->own.answer.result));
}

void lun_settle(struct lun_session *s)
{
	s->tur_count = 0;
	own_command(s, PR_OP_TEST_UNIT_READY, on_settle_tur);
}

/* ---- held ---- */

static void on_hold_tur(struct lun_cmd *cmd);

static void on_reservation(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;

	if (s->doomed || cmd->answer.result == LUN_LOST)
		return;
	if (cmd->answer.result != LUN_OK)
		lun_session_verified(s, false, "READ RESERVATION failed");
	else if (s->pr_type && cmd->answer.type != s->pr_type)
		lun_session_verified(s, false, "the reservation is gone or of another type");
	else
		lun_session_verified(s, true, NULL);
}

static void on_keys(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;

	if (s->doomed || cmd->answer.result == LUN_LOST)
		return;
	if (cmd->answer.result != LUN_OK)
		lun_session_verified(s, false, "READ KEYS failed");
	else if (!pr_keys_contain(cmd->answer.keys, cmd->answer.n_keys, s->key))
		lun_session_verified(s, false, "this nexus's key is gone");
	else
		own_command(s, PR_OP_READ_RESERVATION, on_reservation);
}

static void on_hold_tur(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;

	if (ask_again(s, on_hold_tur) || s->sm.state != LUN_HELD)
		return;
	if (s->own.answer.result == LUN_CONFLICT)
		lun_session_stop(s, "reservation conflict");
	else if (s->hooks.verify)
		s->hooks.verify(s->hooks.user, s, s->key);
	else
		own_command(s, PR_OP_READ_KEYS, on_keys);
}

static void hold_begin(struct lun_session *s)
{
	s->tur_count = 0;
	s->hold_again = false;
	own_command(s, PR_OP_TEST_UNIT_READY, on_hold_tur);
}

void lun_hold(struct lun_session *s)
{
	if (s->sm.state == LUN_HELD)
		s->hold_again = true; /* what is being verified may be older than this one */
	if (s->sm.state != LUN_OPEN)
		return;
	lun_session_move(s, LUN_HELD, "unit attention");
	if (s->sm.state == LUN_HELD)
		hold_begin(s);
}

void lun_session_verified(struct lun_session *s, bool stands, const char *why)
{
	if (s->sm.state != LUN_HELD || s->doomed)
		return;
	if (!stands) {
		lun_session_stop(s, why ? why : "key or reservation gone");
		return;
	}
	if (s->hold_again) {
		hold_begin(s);
		return;
	}
	lun_session_move(s, LUN_OPEN, "key and reservation stand");
	if (s->sm.state == LUN_OPEN)
		lun_io_resend(s);
	lun_session_changed(s);
}
