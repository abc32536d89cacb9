/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's own GO. Pure. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "iscsi/pr_admit.h"
#include "lib/assert.h"

#define A(x) SM_TO(PR_ADMIT_##x)

static const struct sm_state admit_states[] = {
	[PR_ADMIT_IDLE] = { "idle", A(KEYS), SM_INITIAL },
	[PR_ADMIT_KEYS] = { "keys", A(RESERVATION) | A(FAILED) },
	[PR_ADMIT_RESERVATION] = { "reservation", A(REGISTER) | A(FAILED) },
	[PR_ADMIT_REGISTER] = { "register", A(SEEN) | A(FAILED) },
	[PR_ADMIT_SEEN] = { "seen", A(ASK) | A(FAILED) },
	[PR_ADMIT_ASK] = { "ask", A(KILL) | A(FAILED) },
	[PR_ADMIT_KILL] = { "kill", A(DONE) | A(FAILED) },
	[PR_ADMIT_DONE] = { "done", A(KEYS) },
	[PR_ADMIT_FAILED] = { "failed", A(KEYS) },
};

static void out_init(struct pr_step *out)
{
	memset(out, 0, sizeof(*out));
	out->timer_ms = PR_NEVER;
}

static void fail(struct pr_admit *a, int code, const char *what)
{
	(void)cl_error_set(&a->why, code, "becoming coordinator: %s", what);
	sm_move(&a->sm, PR_ADMIT_FAILED, what);
}

static void ask(struct pr_admit *a, enum pr_admit_phase phase, enum pr_op_kind kind, uint64_t arg,
		struct pr_step *out)
{
	sm_move(&a->sm, (int)phase, pr_op_name(kind));
	out->send = true;
	out->op = (struct pr_op){ .kind = kind, .arg = arg, .tag = ++a->tag };
}

static void on_keys(struct pr_admit *a, const struct pr_answer *ans, struct pr_step *out)
{
	unsigned instance = pr_key_free_instance(a->config.node, ans->keys, ans->n_keys,
						 a->config.random, false);

	if (pr_key_make(a->config.node, a->config.incarnation, instance, &a->key) < 0)
		fail(a, -ERANGE, "node or incarnation does not fit into a key");
	else
		ask(a, PR_ADMIT_RESERVATION, PR_OP_READ_RESERVATION, 0, out);
}

static void on_reservation(struct pr_admit *a, const struct pr_answer *ans, struct pr_step *out)
{
	a->type = a->config.type;
	if (!a->type)
		a->type = ans->type ? ans->type : PR_TYPE_EA_REGISTRANTS_ONLY;
	if ((a->type != PR_TYPE_EA_REGISTRANTS_ONLY && a->type != PR_TYPE_EA_ALL_REGISTRANTS) ||
	    (ans->type && ans->type != a->type))
		fail(a, -EBUSY,
		     "the LUN carries a reservation of another type: somebody else uses it");
	else
		/* Old key 0, never REGISTER AND IGNORE: a nexus that has a key already is not
		 * fresh. */
		ask(a, PR_ADMIT_REGISTER, PR_OP_REGISTER, a->key, out);
}

static void on_seen(struct pr_admit *a, const struct pr_answer *ans)
{
	if (!pr_keys_contain(ans->keys, ans->n_keys, a->key))
		fail(a, -EIO, "the key just registered is not there");
	else
		sm_move(&a->sm, PR_ADMIT_ASK, "registered and seen");
}

static void after_fence(struct pr_admit *a)
{
	if (pr_fence_phase(a->fence) == PR_FENCE_PAID)
		sm_move(&a->sm, PR_ADMIT_DONE, "all others are killed");
	else if (pr_fence_phase(a->fence) == PR_FENCE_FAILED)
		fail(a, a->fence->why.code, a->fence->why.msg);
}

static void on_answer(struct pr_admit *a, const struct pr_answer *ans, struct pr_step *out)
{
	switch (a->sm.state) {
	case PR_ADMIT_KEYS:
		on_keys(a, ans, out);
		break;
	case PR_ADMIT_RESERVATION:
		on_reservation(a, ans, out);
		break;
	case PR_ADMIT_REGISTER:
		ask(a, PR_ADMIT_SEEN, PR_OP_READ_KEYS, 0, out);
		break;
	case PR_ADMIT_SEEN:
		on_seen(a, ans);
		break;
	default:
		break;
	}
}

void pr_admit_init(struct pr_admit *a, struct pr_fence *fence)
{
	memset(a, 0, sizeof(*a));
	a->fence = fence;
	sm_init(&a->sm, "admit", "", admit_states, sizeof(admit_states) / sizeof(*admit_states),
		PR_ADMIT_IDLE, NULL);
}

void pr_admit_start(struct pr_admit *a, const struct pr_admit_config *config, struct pr_step *out)
{
	cl_assert(!pr_admit_running(a) && !pr_fence_running(a->fence));
	out_init(out);
	a->config = *config;
	a->key = 0;
	a->why = (struct cl_error)CL_ERROR_INIT;
	ask(a, PR_ADMIT_KEYS, PR_OP_READ_KEYS, 0, out);
}

void pr_admit_answer(struct pr_admit *a, const struct pr_op *op, const struct pr_answer *ans,
		     int64_t now_ms, struct pr_step *out)
{
	out_init(out);
	if (a->sm.state == PR_ADMIT_KILL) {
		pr_fence_answer(a->fence, op, ans, now_ms, out);
		after_fence(a);
		return;
	}
	if (!pr_admit_running(a) || op->tag != a->tag)
		return;
	if (ans->result == LUN_UNSUPPORTED)
		fail(a, -ENOTSUP, "the target has no persistent reservations: it cannot be shared");
	else if (ans->result != LUN_OK)
		fail(a, -EIO, lun_result_name(ans->result));
	else
		on_answer(a, ans, out);
}

void pr_admit_timer(struct pr_admit *a, int64_t now_ms, struct pr_step *out)
{
	out_init(out);
	if (a->sm.state != PR_ADMIT_KILL)
		return;
	pr_fence_timer(a->fence, now_ms, out);
	after_fence(a);
}

void pr_admit_log_says(struct pr_admit *a, bool still, const struct pr_match *living, size_t n,
		       int64_t now_ms, struct pr_step *out)
{
	struct pr_fence_job job = { .own = a->key, .type = a->type, .all_but = true, .take = true };

	out_init(out);
	if (a->sm.state != PR_ADMIT_ASK)
		return;
	if (!still || n > PR_MATCHES_MAX) {
		fail(a, still ? -E2BIG : -EPERM,
		     still ? "too many living nexuses" : "the log names another coordinator");
		return;
	}
	job.no_barrier = a->config.no_barrier;
	job.quirks = a->config.quirks;
	job.settle_until_ms = a->config.settle_until_ms;
	job.n = n;
	if (n)
		memcpy(job.match, living, n * sizeof(*living));
	sm_move(&a->sm, PR_ADMIT_KILL, "the log names us");
	pr_fence_start(a->fence, &job, now_ms, out);
}

void pr_admit_lost(struct pr_admit *a, const char *why)
{
	pr_fence_lost(a->fence, why);
	if (pr_admit_running(a))
		fail(a, -ENOLINK, why);
}

enum pr_admit_phase pr_admit_phase(const struct pr_admit *a)
{
	return (enum pr_admit_phase)a->sm.state;
}

bool pr_admit_running(const struct pr_admit *a)
{
	return a->sm.state != PR_ADMIT_IDLE && a->sm.state != PR_ADMIT_DONE &&
	       a->sm.state != PR_ADMIT_FAILED;
}
