/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operations on a nexus that stands: two lanes, each in order. */
#include "config.h"

#include "iscsi/witness_lun_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- the end of an operation ----------------------------------------------------------------------- */

void wlun_op_free(struct witness_lun *w, unsigned lane)
{
	struct op *o = TAILQ_FIRST(&w->lanes[lane].ops);

	TAILQ_REMOVE(&w->lanes[lane].ops, o, link);
	w->lanes[lane].busy = false;
	w->n_ops--;
	free(o->data);
	free(o);
}

/* The first of the lane is done; the next one begins in the next turn. */
static void answer(struct witness_lun *w, unsigned lane, struct witness_answer a)
{
	struct op *o = TAILQ_FIRST(&w->lanes[lane].ops);

	a.id = o->id;
	if (a.ok && o->kind == WITNESS_OP_READ) {
		a.data = o->data;
		a.len = o->iov.iov_len;
	}
	if (!a.text)
		a.text = "";
	w->hooks.done(w->hooks.user, &a);
	wlun_op_free(w, lane);
	(void)cl_timer_set_in(w->turn, 0);
}

static void fail(struct witness_lun *w, unsigned lane, const char *text)
{
	answer(w, lane, (struct witness_answer){ .text = text });
}

/* ---- reading and writing ----------------------------------------------------------------------------------- */

static unsigned lane_of(enum witness_op_kind kind)
{
	return kind == WITNESS_OP_READ || kind == WITNESS_OP_WRITE;
}

static void on_io(struct lun_io *io, enum lun_result result)
{
	struct witness_lun *w = io->user;
	struct op *o = TAILQ_FIRST(&w->lanes[0].ops);
	unsigned lane = !(o && io == &o->io && w->lanes[0].busy);

	if (w->dead || result == LUN_LOST)
		return; /* the session's end tells */
	if (result == LUN_OK)
		answer(w, lane, (struct witness_answer){ .ok = true });
	else
		fail(w, lane,
		     result == LUN_CONFLICT ? "reservation conflict" : "the target refuses it");
}

static void begin_io(struct witness_lun *w, struct op *o, unsigned lane)
{
	enum lun_result r;

	o->io.iov = &o->iov;
	o->io.iovcnt = 1;
	o->io.length = (uint32_t)o->iov.iov_len;
	o->io.done = on_io;
	o->io.user = w;
	r = lun_submit(lun_session_data(w->session), &o->io);
	if (r != LUN_OK && r != LUN_LOST)
		fail(w, lane, lun_result_name(r));
}

/* ---- CHECK ------------------------------------------------------------------------------------------------ */

static void on_check(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;
	const struct pr_answer *a = &cmd->answer;
	struct pr_key k = { 0 };

	if (w->dead || a->result == LUN_LOST)
		return;
	if (a->result != LUN_OK) {
		fail(w, 0, lun_result_name(a->result));
		return;
	}
	if (a->type && !pr_key_parse(a->holder, &k))
		k.node = 0;
	answer(w, 0,
	       (struct witness_answer){ .ok = true,
					.mine = w->claimed && a->holder == w->key &&
						a->type == PR_TYPE_WE_REGISTRANTS_ONLY,
					.holder = k.node });
}

/* ---- CLAIM ------------------------------------------------------------------------------------------------- */

static void fence_step(struct witness_lun *w, const struct pr_step *out);

static void on_fence_answer(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;
	struct pr_step out = { 0 };

	w->fence_cmd_used[cmd - w->fence_cmd] = false;
	if (w->dead || cmd->answer.result == LUN_LOST)
		return;
	pr_fence_answer(&w->fence, &cmd->op, &cmd->answer, cl_mono_ms(cl_mono_now()), &out);
	fence_step(w, &out);
}

static void fence_send(struct witness_lun *w, const struct pr_op *op)
{
	for (size_t i = 0; i <= PR_FENCE_RESETS_MAX; i++) {
		if (w->fence_cmd_used[i])
			continue;
		w->fence_cmd_used[i] = true;
		w->fence_cmd[i] = (struct lun_cmd){ .op = *op, .done = on_fence_answer, .user = w };
		if (lun_session_command(w->session, &w->fence_cmd[i]) != LUN_OK)
			wlun_lose(w, -ENOLINK, "the session was lost");
		return;
	}
	wlun_lose(w, -EIO, "the target answers no reset");
}

static void fence_step(struct witness_lun *w, const struct pr_step *out)
{
	if (out->ignored)
		return;
	if (out->timer_ms == PR_NEVER)
		cl_timer_cancel(w->fence_timer);
	else
		(void)cl_timer_set(w->fence_timer, (struct cl_mono){ out->timer_ms * 1000000 });
	if (out->send)
		fence_send(w, &out->op);
	if (pr_fence_running(&w->fence))
		return;
	w->claimed = pr_fence_phase(&w->fence) == PR_FENCE_PAID;
	if (w->claimed) {
		w->holder = w->key;
		lun_session_barrier_answered(w->session);
		answer(w, 0, (struct witness_answer){ .ok = true });
	} else {
		fail(w, 0, w->fence.why.msg);
		/* What stands at the target is not known: a new nexus finds out. */
		wlun_lose(w, -EIO, w->fence.why.msg);
	}
}

void wlun_on_fence_timer(void *user)
{
	struct witness_lun *w = user;
	struct pr_step out = { 0 };

	if (w->dead || !pr_fence_running(&w->fence))
		return;
	pr_fence_timer(&w->fence, cl_mono_ms(cl_mono_now()), &out);
	fence_step(w, &out);
}

static void begin_claim(struct witness_lun *w)
{
	const struct pr_fence_job job = {
		.own = w->key,
		.type = PR_TYPE_WE_REGISTRANTS_ONLY,
		.take = true,
		.n = 1,
		.match = { { .kind = PR_MATCH_NODE_UP_TO,
			     .node = w->node,
			     .incarnation = UINT32_MAX } },
	};
	struct pr_step out = { 0 };

	pr_fence_start(&w->fence, &job, cl_mono_ms(cl_mono_now()), &out);
	fence_step(w, &out);
}

/* ---- lanes --------------------------------------------------------------------------------------------------- */

void wlun_begin(struct witness_lun *w, unsigned lane)
{
	struct op *o = TAILQ_FIRST(&w->lanes[lane].ops);

	if (!o || w->lanes[lane].busy || w->dead || w->step != LOGIN_UP)
		return;
	w->lanes[lane].busy = true;
	switch (o->kind) {
	case WITNESS_OP_CLAIM:
		begin_claim(w);
		break;
	case WITNESS_OP_CHECK:
		wlun_command(w, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, on_check);
		break;
	case WITNESS_OP_OWNER_WRITE:
		if (!w->claimed) {
			fail(w, lane, "this nexus does not own it");
			break;
		}
		begin_io(w, o, lane);
		break;
	case WITNESS_OP_READ:
	case WITNESS_OP_WRITE:
		begin_io(w, o, lane);
		break;
	case WITNESS_OP_FORMAT:
		fail(w, lane, "a LUN is written block by block");
		break;
	}
}

void witness_lun_submit(struct witness_lun *w, uint64_t id, enum witness_op_kind kind,
			uint64_t offset, uint32_t len, const uint8_t *data)
{
	struct op *o;

	if (w->step != LOGIN_UP || w->dead)
		return;
	o = w->n_ops < OPS_MAX ? calloc(1, sizeof(*o)) : NULL;
	if (o)
		o->data = calloc(1, (size_t)len + 1);
	if (!o || !o->data) {
		free(o);
		wlun_lose(w, -ENOMEM, "too many operations at once");
		return;
	}
	o->id = id;
	o->kind = kind;
	o->iov = (struct iovec){ o->data, len };
	o->io.dir = kind == WITNESS_OP_READ ? LUN_READ : LUN_WRITE;
	o->io.fua = true;
	o->io.offset = offset;
	if (data)
		memcpy(o->data, data, len);
	w->n_ops++;
	TAILQ_INSERT_TAIL(&w->lanes[lane_of(kind)].ops, o, link);
	(void)cl_timer_set_in(w->turn, 0);
}
