/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "iscsi/portals.h"
#include "iscsi/scratch.h"

_Static_assert(SCRATCH_SESSIONS_MAX >= LUN_PORTALS_MAX, "a session for each portal");

/* Not one of ours ("0xc5"): nobody takes it for a node's. */
#define SCRATCH_PREFIX UINT64_C(0xc4706f7274000000)

struct view {
	size_t n_keys;
	uint64_t keys[PR_KEYS_MAX], holder;
	uint32_t generation;
	uint8_t type;
};

struct proof {
	struct scratch scratch;
	struct lun_portals result;
	unsigned first; /* the first portal that answers: the others are held against it */
	struct view reference, view;
};

static bool is_ok(const struct proof *p, unsigned i)
{
	return p->result.portal[i].state == LUN_PORTAL_OK;
}

static void mark(struct proof *p, unsigned i, enum lun_portal_state state, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void mark(struct proof *p, unsigned i, enum lun_portal_state state, const char *fmt, ...)
{
	va_list ap;

	p->result.portal[i].state = state;
	va_start(ap, fmt);
	(void)vsnprintf(p->result.portal[i].text, sizeof(p->result.portal[i].text), fmt, ap);
	va_end(ap);
}

static int log_in_all(struct proof *p, struct cl_error *err)
{
	struct cl_error why = CL_ERROR_INIT;
	unsigned n = 0;

	p->first = p->result.n;
	for (unsigned i = 0; i < p->result.n; i++) {
		if (scratch_log_in(&p->scratch, i, i, &why) < 0) {
			mark(p, i, LUN_PORTAL_DOWN, "%s", why.msg);
			continue;
		}
		if (!n++)
			p->first = i;
	}
	return n ? 0 : cl_error_set(err, -ENOLINK, "no portal answers: %s", why.msg);
}

static void compare_names(struct proof *p)
{
	struct lun_session *a = p->scratch.sessions[p->first];

	for (unsigned i = p->first + 1; i < p->result.n; i++) {
		struct lun_session *b = p->scratch.sessions[i];

		if (!is_ok(p, i))
			continue;
		if (strcmp(lun_session_identity(a), lun_session_identity(b)) != 0)
			mark(p, i, LUN_PORTAL_OTHER, "another disk: '%.50s', not '%.50s'",
			     lun_session_identity(b), lun_session_identity(a));
		else if (lun_session_data(a)->bytes != lun_session_data(b)->bytes ||
			 lun_session_data(a)->block_size != lun_session_data(b)->block_size)
			mark(p, i, LUN_PORTAL_OTHER, "a disk of another size");
	}
}

/* 0, or negative: broken off. A refusal is an answer that is no basis for anything: -EIO. */
static int ask(struct proof *p, unsigned i, struct pr_op op, struct cl_error *err)
{
	int r = scratch_run(&p->scratch, i, &op, err);

	if (r == 0 && p->scratch.cmd.answer.result != LUN_OK)
		r = cl_error_set(err, -EIO, "%s through %s: %s", pr_op_name(op.kind),
				 p->scratch.url->portals[i],
				 lun_result_name(p->scratch.cmd.answer.result));
	return r;
}

static int look(struct proof *p, unsigned i, struct view *v, struct cl_error *err)
{
	const struct pr_answer *a = &p->scratch.cmd.answer;
	int r = ask(p, i, (struct pr_op){ .kind = PR_OP_READ_KEYS }, err);

	if (r < 0)
		return r;
	v->n_keys = a->n_keys;
	v->generation = a->generation;
	memcpy(v->keys, a->keys, a->n_keys * sizeof(*a->keys));
	r = ask(p, i, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, err);
	v->type = a->type;
	v->holder = a->holder;
	return r;
}

static bool same_keys(const struct view *a, const struct view *b)
{
	if (a->n_keys != b->n_keys)
		return false;
	for (size_t i = 0; i < a->n_keys; i++)
		if (!pr_keys_contain(b->keys, b->n_keys, a->keys[i]))
			return false;
	return true;
}

static bool in_use(const struct view *v)
{
	return v->n_keys || v->type;
}

/* Somebody may register in between: a difference counts only if the first still says the same. */
static int compare_views(struct proof *p, struct cl_error *err)
{
	int r = 0;

	for (unsigned i = p->first + 1, tries = 0; i < p->result.n && r == 0; i++) {
		if (!is_ok(p, i))
			continue;
		r = look(p, p->first, &p->reference, err);
		if (r == 0)
			r = look(p, i, &p->view, err);
		if (r < 0 ||
		    (same_keys(&p->reference, &p->view) &&
		     p->reference.generation == p->view.generation &&
		     p->reference.type == p->view.type && p->reference.holder == p->view.holder))
			continue;
		if (++tries < 3)
			i--;
		else
			mark(p, i, LUN_PORTAL_OTHER, "it shows other keys or another reservation");
	}
	return r;
}

static int register_keys(struct proof *p, uint64_t base, bool in, struct cl_error *err)
{
	int r = 0, one;

	/* Back in reverse: a list may be true only as long as its last key goes (iscsi/pr_tail.h). */
	for (unsigned n = 0; n < p->result.n; n++) {
		unsigned i = in ? n : p->result.n - 1 - n;
		uint64_t key = base + i + 1;
		struct pr_op op = { .kind = PR_OP_REGISTER,
				    .key = in ? 0 : key,
				    .arg = in ? key : 0 };

		if (!is_ok(p, i))
			continue;
		/* Taking away goes on over failures: as few as possible shall stay. */
		one = ask(p, i, op, r == 0 ? err : NULL);
		r = r == 0 ? one : r;
		if (in && r < 0)
			break;
	}
	return r;
}

/* Through portal i: is the key there that was registered through each of the others? */
static int cross_check(struct proof *p, uint64_t base, struct cl_error *err)
{
	int r = 0;

	for (unsigned i = p->first; i < p->result.n && r == 0; i++) {
		if (!is_ok(p, i))
			continue;
		r = look(p, i, &p->view, err);
		for (unsigned k = p->first; r == 0 && k < p->result.n; k++)
			if (is_ok(p, k) &&
			    !pr_keys_contain(p->view.keys, p->view.n_keys, base + k + 1))
				mark(p, i == p->first ? k : i, LUN_PORTAL_OTHER,
				     "a key registered through %.60s is not seen through %.60s",
				     p->scratch.url->portals[k], p->scratch.url->portals[i]);
	}
	return r;
}

static int register_and_look(struct proof *p, struct cl_error *err)
{
	uint64_t base = 0;
	int r, end;

	(void)!getrandom(&base, 2, 0);
	base = SCRATCH_PREFIX | base << 8;
	r = register_keys(p, base, true, err);
	if (r == 0)
		r = cross_check(p, base, err);
	/* Those that failed the check have one, too. */
	for (unsigned i = 0; i < p->result.n; i++)
		if (p->result.portal[i].state == LUN_PORTAL_OTHER && p->scratch.sessions[i])
			(void)ask(p, i,
				  (struct pr_op){ .kind = PR_OP_REGISTER, .key = base + i + 1 },
				  NULL);
	end = register_keys(p, base, false, r == 0 ? err : NULL);
	return r == 0 ? end : r;
}

static int verdict(const struct proof *p, struct cl_error *err)
{
	for (unsigned i = 0; i < p->result.n; i++)
		if (p->result.portal[i].state == LUN_PORTAL_OTHER) {
			(void)cl_error_set(err, -EXDEV,
					   "portal %s does not lead to the same LUN: %s",
					   p->scratch.url->portals[i], p->result.portal[i].text);
			return cl_error_hint(err,
					     "all portals of an address must be ways to one LUN "
					     "with one set of reservations");
			return -EXDEV;
		}
	return 0;
}

static int prove(struct proof *p, struct cl_error *err)
{
	int r = log_in_all(p, err);

	if (r < 0)
		return r;
	compare_names(p);
	r = look(p, p->first, &p->reference, err);
	if (r == 0)
		r = in_use(&p->reference) ? compare_views(p, err) : register_and_look(p, err);
	return r == 0 ? verdict(p, err) : r;
}

int lun_portals_prove(const struct lun_url *url, const char *initiator, uint32_t timeout_ms,
		      struct lun_portals *ret, struct cl_error *err)
{
	struct proof p = { .result.n = url->n_portals };
	int r;

	scratch_init(&p.scratch, url, initiator, timeout_ms);
	r = prove(&p, err);
	scratch_fini(&p.scratch);
	*ret = p.result;
	return r;
}
