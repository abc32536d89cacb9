/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_lun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "iscsi/lun.h"
#include "iscsi/lun_loop.h"
#include "iscsi/pr_fence.h"
#include "lib/log.h"

#define PR_TYPE_WE_REGISTRANTS_ONLY 5
#define RETRY_MS 500
#define PATH_MS 2000 /* shorter than a volume's: nothing of a guest's waits here */
#define SILENCE_MS 8000
#define IO_MS 20000
#define ISID 0x776974
#define GIVE_UP_MS 2000
#define OPS_MAX 4096

struct op {
	TAILQ_ENTRY(op) link;
	uint64_t id;
	enum witness_op_kind kind;
	uint8_t *data;
	struct iovec iov;
	struct lun_io io;
};
TAILQ_HEAD(op_list, op);

struct lane {
	struct op_list ops; /* the first one runs */
	bool busy;
};

/* What follows a login, before the path is up. */
enum login_step {
	LOGIN_RESERVATION, /* is it in use? */
	LOGIN_REGISTER,
	LOGIN_HOLDER,
	LOGIN_KEYS,
	LOGIN_PREEMPT, /* what earlier nexuses of this node left */
	LOGIN_UP,
};

struct witness_lun {
	struct cl_loop *loop;
	struct witness_lun_hooks hooks;
	struct lun_url url;
	unsigned node, number, portal;
	uint64_t incarnation;
	bool unused;
	char initiator[96];

	struct lun_session *session;
	struct lun_loop *binding;
	struct cl_source *retry, *turn, *fence_timer;
	uint64_t key, holder;
	enum login_step step;
	struct lun_cmd cmd; /* of the login, then of the owner's lane */
	bool dead, refused, told_down;
	struct cl_error why;
	uint64_t stale[PR_KEYS_MAX];
	size_t n_stale;

	struct lane lanes[2]; /* [0] the owner's, [1] reading and slots */
	unsigned n_ops;
	bool claimed;
	struct pr_fence fence;
	struct lun_cmd fence_cmd[PR_FENCE_RESETS_MAX + 1];
	bool fence_cmd_used[PR_FENCE_RESETS_MAX + 1];

	void (*gone)(void *user);
	void *gone_user;
	struct cl_source *gone_timer;
};

static void begin(struct witness_lun *w, unsigned lane);

/* ---- the end of an operation ----------------------------------------------------------------------- */

static void op_free(struct witness_lun *w, unsigned lane)
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
	op_free(w, lane);
	(void)cl_timer_set_in(w->turn, 0);
}

static void fail(struct witness_lun *w, unsigned lane, const char *text)
{
	answer(w, lane, (struct witness_answer){ .text = text });
}

/* ---- the session's end ------------------------------------------------------------------------------ */

/* Off the stack of the session: it is freed in the next turn. */
static void give_up_session(struct witness_lun *w, int code, const char *text)
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
			op_free(w, i);
}

static void bury(struct witness_lun *w)
{
	bool refused = w->refused;

	drop_session(w);
	w->dead = w->refused = false;
	w->hooks.path(w->hooks.user, false, 0, refused ? w->why.code : 0, w->why.msg);
	if (refused)
		return; /* asked for once, answered once */
	w->portal = (w->portal + 1) % w->url.n_portals;
	(void)cl_timer_set_in(w->retry, RETRY_MS);
}

/* ---- commands ------------------------------------------------------------------------------------------ */

static void command(struct witness_lun *w, struct pr_op op, void (*done)(struct lun_cmd *))
{
	w->cmd = (struct lun_cmd){ .op = op, .done = done, .user = w };
	if (lun_session_command(w->session, &w->cmd) != LUN_OK)
		give_up_session(w, -ENOLINK, "the session was lost");
}

static bool is_ours(const struct witness_lun *w, uint64_t key)
{
	struct pr_key k;

	return pr_key_parse(key, &k) && k.node == w->node;
}

/* ---- after the login ------------------------------------------------------------------------------------ */

static void login_next(struct witness_lun *w);

static void keys_look(struct witness_lun *w, const struct pr_answer *a)
{
	w->n_stale = 0;
	for (size_t i = 0; i < a->n_keys; i++)
		if (is_ours(w, a->keys[i]) && a->keys[i] != w->key && a->keys[i] != w->holder)
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
		give_up_session(w, -EIO, text);
		return;
	}
	if (w->step == LOGIN_RESERVATION && w->unused && a->type) {
		give_up_session(w, -EBUSY, "the LUN is in use: a reservation stands on it");
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
		give_up_session(w, err.code, err.msg);
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
	command(w, op, on_login_answer);
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
		give_up_session(w, -ENOLINK, why ? why->msg : "the session was lost");
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

static void on_retry(void *user)
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
		give_up_session(w, -EIO, err.code ? err.msg : "out of memory");
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
			give_up_session(w, -ENOLINK, "the session was lost");
		return;
	}
	give_up_session(w, -EIO, "the target answers no reset");
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
		give_up_session(w, -EIO, w->fence.why.msg);
	}
}

static void on_fence_timer(void *user)
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

static void begin(struct witness_lun *w, unsigned lane)
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
		command(w, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, on_check);
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
	}
}

static void on_turn(void *user)
{
	struct witness_lun *w = user;

	if (w->dead) {
		bury(w);
		return;
	}
	begin(w, 0);
	begin(w, 1);
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
		give_up_session(w, -ENOMEM, "too many operations at once");
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

static void on_give_up_holder(struct lun_cmd *cmd)
{
	struct witness_lun *w = cmd->user;
	const struct pr_answer *a = &cmd->answer;

	if (a->result == LUN_OK && a->type && is_ours(w, a->holder))
		command(w, (struct pr_op){ .kind = PR_OP_CLEAR, .key = w->key }, on_cleared);
	else
		(void)cl_timer_set_in(w->gone_timer, 0);
}

void witness_lun_give_up(struct witness_lun *w, void (*gone)(void *user), void *user)
{
	bool stands = w->step == LOGIN_UP && !w->dead;

	w->gone = gone;
	w->gone_user = user;
	(void)cl_timer_set_in(w->gone_timer, stands ? GIVE_UP_MS : 0);
	for (unsigned i = 0; i < 2; i++)
		while (!w->lanes[i].busy && !TAILQ_EMPTY(&w->lanes[i].ops))
			op_free(w, i);
	/* Over whatever is under way: it is not waited for. */
	w->fence_cmd[0] = (struct lun_cmd){ .op = { .kind = PR_OP_READ_RESERVATION },
					    .done = on_give_up_holder,
					    .user = w };
	if (stands && !w->lanes[0].busy)
		(void)lun_session_command(w->session, &w->fence_cmd[0]);
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

int witness_lun_new(struct cl_loop *loop, const struct witness_lun_config *config,
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
	if (cl_timer_new(loop, on_retry, w, &w->retry) < 0 ||
	    cl_timer_new(loop, on_turn, w, &w->turn) < 0 ||
	    cl_timer_new(loop, on_gone, w, &w->gone_timer) < 0 ||
	    cl_timer_new(loop, on_fence_timer, w, &w->fence_timer) < 0)
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
