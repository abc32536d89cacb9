/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From nothing to a registered nexus: who had it before goes first. */
#include "config.h"

#include "iscsi/witness_lun_int.h"

#include <stdio.h>
#include <sys/random.h>

static void login_next(struct witness_lun *w);

static void keys_look(struct witness_lun *w, const struct pr_answer *a)
{
	w->n_stale = 0;
	for (size_t i = 0; i < a->n_keys; i++)
		if (wlun_is_ours(w, a->keys[i]) && a->keys[i] != w->key && a->keys[i] != w->holder)
			w->stale[w->n_stale++] = a->keys[i];
}

static void on_login_answer(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;
	const struct pr_answer *a = &cmd->answer;

	if (w->dead || a->result == LUN_LOST)
		return;
	if (a->result != LUN_OK && w->step != LOGIN_PREEMPT) {
		char text[120];

		(void)snprintf(text, sizeof(text), "%s: %s", pr_op_name(cmd->op.kind),
			       lun_result_name(a->result));
		wlun_lose(w, -EIO, text);
		return;
	}
	if (w->step == LOGIN_RESERVATION && w->unused && a->type) {
		wlun_lose(w, -EBUSY, "the LUN is in use: a reservation stands on it");
		return;
	}
	if (w->step == LOGIN_HOLDER)
		w->holder = a->type ? a->holder : 0;
	if (w->step == LOGIN_KEYS)
		keys_look(w, a);
	if (w->step != LOGIN_PREEMPT)
		w->step++;
	login_next(w);
}

static void up(struct witness_lun *w)
{
	struct cl_error err = CL_ERROR_INIT;

	w->step = LOGIN_UP;
	/* Nobody else gives it: an owner's write waits for its CLAIM, and a slot is its node's own. */
	if (lun_session_go(w->session, &err) < 0) {
		wlun_lose(w, err.code, err.msg);
		return;
	}
	w->hooks.path(w->hooks.user, true, lun_session_data(w->session)->bytes, 0, "");
}

static void login_next(struct witness_lun *w)
{
	static const enum pr_op_kind kinds[] = {
		[LOGIN_RESERVATION] = PR_OP_READ_RESERVATION,
		[LOGIN_REGISTER] = PR_OP_REGISTER,
		[LOGIN_HOLDER] = PR_OP_READ_RESERVATION,
		[LOGIN_KEYS] = PR_OP_READ_KEYS,
		[LOGIN_PREEMPT] = PR_OP_PREEMPT,
	};
	struct pr_op op = { .kind = kinds[w->step] };

	if (w->step == LOGIN_REGISTER)
		op.arg = w->key; /* old key 0: on a nexus that has one it must fail */
	if (w->step == LOGIN_PREEMPT && w->n_stale == 0) {
		up(w);
		return;
	}
	if (w->step == LOGIN_PREEMPT) {
		op.key = w->key;
		op.arg = w->stale[--w->n_stale];
		op.type = PR_TYPE_WE_REGISTRANTS_ONLY;
	}
	wlun_command(w, op, on_login_answer);
}

static void on_changed(void *user, struct lun_session *session)
{
	struct witness_lun *w = user;

	(void)session;
	if (w->binding)
		lun_loop_update(w->binding);
}

static void on_state(void *user, struct lun_session *session, enum lun_session_state state,
		     const struct cl_error *why)
{
	struct witness_lun *w = user;

	(void)session;
	if (state == LUN_READY && w->step == LOGIN_RESERVATION)
		login_next(w);
	else if (state == LUN_DEAD || state == LUN_STOPPED)
		wlun_lose(w, -ENOLINK, why ? why->msg : "the session was lost");
}

static uint64_t new_key(const struct witness_lun *w)
{
	uint16_t random = 0;
	uint64_t key = 0;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = (uint16_t)cl_mono_now().ns;
	(void)pr_key_make(w->node, w->incarnation & UINT32_MAX, random ? random : 1, &key);
	return key;
}

void wlun_on_retry(void *user)
{
	struct witness_lun *w = user;
	struct lun_session_config c = {
		.url = &w->url,
		.portal = w->portal,
		.initiator = w->initiator,
		.isid = ISID,
		.isid_qualifier = (uint16_t)w->number,
		.role = LUN_ROLE_DATA,
		.path_ms = PATH_MS,
		.silence_ms = SILENCE_MS,
		.io_ms = IO_MS,
		.hooks = { .user = w, .changed = on_changed, .state = on_state },
	};
	struct cl_error err = CL_ERROR_INIT;

	w->key = c.key = new_key(w);
	if (lun_session_new(&c, &w->session, &err) < 0 ||
	    lun_loop_session(w->loop, w->session, &w->binding) < 0)
		wlun_lose(w, -EIO, err.code ? err.msg : "out of memory");
}
