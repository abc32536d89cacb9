/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_lun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/witness_lun_int.h"
#include "lib/log.h"

/* ---- the session's end ------------------------------------------------------------------------------ */

/* Off the stack of the session: it is freed in the next turn. */
void wlun_lose(struct witness_lun *w, int code, const char *text)
{
	if (w->dead)
		return;
	w->dead = true;
	w->refused = code == -EBUSY;
	(void)cl_error_set(&w->why, code, "%s", text);
	(void)cl_timer_set_in(w->turn, 0);
}

static void drop_session(struct witness_lun *w)
{
	lun_loop_free(w->binding);
	w->binding = NULL;
	lun_session_free(w->session); /* ends all I/O with LUN_LOST */
	w->session = NULL;
	w->claimed = false;
	w->step = LOGIN_RESERVATION;
	cl_timer_cancel(w->fence_timer);
	memset(w->fence_cmd_used, 0, sizeof(w->fence_cmd_used));
	pr_fence_init(&w->fence);
	for (unsigned i = 0; i < 2; i++)
		while (!TAILQ_EMPTY(&w->lanes[i].ops))
			wlun_op_free(w, i);
}

static void bury(struct witness_lun *w)
{
	bool refused = w->refused;

	drop_session(w);
	if (w->gone) { /* given up: no other one */
		(void)cl_timer_set_in(w->gone_timer, 0);
		return;
	}
	w->dead = w->refused = false;
	w->hooks.path(w->hooks.user, false, 0, refused ? w->why.code : 0, w->why.msg);
	if (refused)
		return; /* asked for once, answered once */
	w->portal = (w->portal + 1) % w->url.n_portals;
	(void)cl_timer_set_in(w->retry, RETRY_MS);
}

/* ---- commands ------------------------------------------------------------------------------------------ */

void wlun_command(struct witness_lun *w, struct pr_op op, void (*done)(struct lun_cmd *))
{
	w->cmd = (struct lun_cmd){ .op = op, .done = done, .user = w };
	if (lun_session_command(w->session, &w->cmd) != LUN_OK)
		wlun_lose(w, -ENOLINK, "the session was lost");
}

bool wlun_is_ours(const struct witness_lun *w, uint64_t key)
{
	struct pr_key k;

	return pr_key_parse(key, &k) && k.node == w->node;
}

/* ---- the next turn ------------------------------------------------------------------------------- */

static void on_turn(void *user)
{
	struct witness_lun *w = user;

	if (w->dead) {
		bury(w);
		return;
	}
	wlun_begin(w, 0);
	wlun_begin(w, 1);
}

/* ---- giving up ---------------------------------------------------------------------------------------------------- */

static void on_gone(void *user)
{
	struct witness_lun *w = user;
	void (*gone)(void *) = w->gone;
	void *gone_user = w->gone_user;

	gone(gone_user);
}

static void on_cleared(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;

	(void)cl_timer_set_in(w->gone_timer, 0);
}

static void last_command(struct witness_lun *w, unsigned nth, struct pr_op op,
			 void (*done)(struct lun_cmd *))
{
	w->fence_cmd[nth] = (struct lun_cmd){ .op = op, .done = done, .user = w };
	if (lun_session_command(w->session, &w->fence_cmd[nth]) != LUN_OK)
		(void)cl_timer_set_in(w->gone_timer, 0);
}

static void unregister(struct witness_lun *w)
{
	last_command(w, 1, (struct pr_op){ .kind = PR_OP_REGISTER, .key = w->key }, on_cleared);
}

/* CLEAR takes everybody's key, and is the holder's. */
static void on_give_up_holder(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;
	const struct pr_answer *a = &cmd->answer;

	if (a->result == LUN_OK && a->type && wlun_is_ours(w, a->holder))
		last_command(w, 1, (struct pr_op){ .kind = PR_OP_CLEAR, .key = w->key },
			     on_cleared);
	else
		unregister(w);
}

static void no_path(void *user, bool up, uint64_t bytes, int code, const char *text)
{
	(void)user, (void)up, (void)bytes, (void)code, (void)text;
}

static void no_done(void *user, const struct witness_answer *answer)
{
	(void)user, (void)answer;
}

void witness_lun_give_up(struct witness_lun *w, bool clear, void (*gone)(void *user), void *user)
{
	bool stands = w->step == LOGIN_UP && !w->dead;

	w->gone = gone;
	w->gone_user = user;
	w->hooks = (struct witness_hooks){ .path = no_path, .done = no_done };
	(void)cl_timer_set_in(w->gone_timer, stands ? GIVE_UP_MS : 0);
	for (unsigned i = 0; i < 2; i++)
		while (!w->lanes[i].busy && !TAILQ_EMPTY(&w->lanes[i].ops))
			wlun_op_free(w, i);
	/* Over whatever is under way: it is not waited for. A claim has these commands. */
	if (!stands || pr_fence_running(&w->fence))
		return;
	if (clear)
		last_command(w, 0, (struct pr_op){ .kind = PR_OP_READ_RESERVATION },
			     on_give_up_holder);
	else
		unregister(w);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

int witness_lun_new(struct cl_loop *loop, const struct witness_config *config,
		    struct witness_lun **ret, struct cl_error *err)
{
	_cleanup_(witness_lun_freep) struct witness_lun *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return cl_error_set(err, -ENOMEM, "out of memory");
	TAILQ_INIT(&w->lanes[0].ops);
	TAILQ_INIT(&w->lanes[1].ops);
	r = lun_url_parse(config->url, &w->url, err);
	if (r < 0)
		return r;
	w->loop = loop;
	w->hooks = config->hooks;
	w->node = config->node;
	w->number = config->number;
	w->incarnation = config->incarnation;
	w->unused = config->unused;
	(void)snprintf(w->initiator, sizeof(w->initiator),
		       "iqn.2026-11.org.clusterd:node%u.witness%u", config->node, config->number);
	pr_fence_init(&w->fence);
	if (cl_timer_new(loop, wlun_on_retry, w, &w->retry) < 0 ||
	    cl_timer_new(loop, on_turn, w, &w->turn) < 0 ||
	    cl_timer_new(loop, on_gone, w, &w->gone_timer) < 0 ||
	    cl_timer_new(loop, wlun_on_fence_timer, w, &w->fence_timer) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	(void)cl_timer_set_in(w->retry, 0);
	*ret = cl_steal(w);
	return 0;
}

void witness_lun_free(struct witness_lun *w)
{
	if (!w)
		return;
	w->dead = true; /* done callbacks run: they have nothing to say */
	if (w->fence_timer)
		drop_session(w);
	cl_source_free(w->retry);
	cl_source_free(w->turn);
	cl_source_free(w->gone_timer);
	cl_source_free(w->fence_timer);
	free(w);
}
