/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does this target fence? A table of commands and of what has to be answered. Pure. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "iscsi/pr_probe.h"

#define SCRATCH_PREFIX UINT64_C(0xc4) /* nobody else's: what a dead probe left may be swept away */

enum { A, B, C, D, NOBODY };

enum expect {
	GOOD,
	CONFLICT,
	KEYS,	  /* exactly those of the mask */
	RESERVED, /* of the type that is tried */
	NO_KEYS,  /* of anybody */
	FREE,	  /* no reservation */
	ANY,
	/* nothing is expected, and it is remembered what came: */
	ABORT,
	ABORT_KEYS, /* after an ABORT */
	UNMAP,
	APTPL,
};

#define MASK(k) (1u << (k))

struct line {
	enum pr_op_kind kind;
	unsigned who;
	unsigned key, arg; /* A..D or NOBODY (0) */
	enum expect expect;
	unsigned mask;
	const char *meaning;
};

static const struct line script[] = {
	{ PR_OP_READ_KEYS, A, NOBODY, NOBODY, NO_KEYS, 0, "no key is registered" },
	{ PR_OP_READ_RESERVATION, A, NOBODY, NOBODY, FREE, 0, "nobody has a reservation" },
	{ PR_OP_REGISTER, A, NOBODY, A, GOOD, 0, "a first key registers" },
	{ PR_OP_REGISTER, B, NOBODY, B, GOOD, 0, "a second key registers" },
	{ PR_OP_REGISTER, C, NOBODY, C, GOOD, 0, "a third key registers" },
	{ PR_OP_RESERVE, A, A, NOBODY, GOOD, 0, "the first one reserves" },
	{ PR_OP_TOUCH, C, NOBODY, NOBODY, GOOD, 0, "a registered nexus reads" },
	{ PR_OP_TOUCH, D, NOBODY, NOBODY, CONFLICT, 0, "an unregistered nexus does not read" },
	{ PR_OP_PREEMPT, B, B, A, GOOD, 0, "the second one preempts the holder" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(B) | MASK(C),
	  "only the holder's key is gone" },
	{ PR_OP_REGISTER, B, B, B, GOOD, 0, "the preemptor's key is still accepted" },
	{ PR_OP_REGISTER, D, NOBODY, D, GOOD, 0, "a fourth key registers" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(B) | MASK(C) | MASK(D),
	  "the keys are right" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, RESERVED, 0, "the type is still the same" },
	{ PR_OP_TOUCH, A, NOBODY, NOBODY, CONFLICT, 0, "the preempted nexus does not read" },
	{ PR_OP_TOUCH, C, NOBODY, NOBODY, GOOD, 0, "a registered nexus still reads" },
	{ PR_OP_RESET, B, NOBODY, NOBODY, GOOD, 0, "a logical unit reset is answered" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(B) | MASK(C) | MASK(D),
	  "the keys outlive a reset" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, RESERVED, 0,
	  "the reservation outlives a reset" },
	{ PR_OP_PREEMPT_AND_ABORT, B, B, D, ABORT, 0, "" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, ABORT_KEYS, MASK(B) | MASK(C), "" },
	{ PR_OP_UNMAP_NOTHING, A, NOBODY, NOBODY, UNMAP, 0, "" },
	{ PR_OP_REGISTER_APTPL, A, NOBODY, A, APTPL, 0, "" },
};

/* As pr_fence does it with quirks.tail: those behind the victim first, and then the own one is renamed. */
static const struct line tail_script[] = {
	{ PR_OP_READ_KEYS, A, NOBODY, NOBODY, NO_KEYS, 0, "no key is registered" },
	{ PR_OP_READ_RESERVATION, A, NOBODY, NOBODY, FREE, 0, "nobody has a reservation" },
	{ PR_OP_REGISTER, A, NOBODY, A, GOOD, 0, "a first key registers" },
	{ PR_OP_RESERVE, A, A, NOBODY, GOOD, 0, "it reserves" },
	{ PR_OP_REGISTER, C, NOBODY, C, GOOD, 0, "a second key registers" },
	{ PR_OP_REGISTER, B, NOBODY, B, GOOD, 0, "a third key registers" },
	{ PR_OP_REGISTER, D, NOBODY, D, GOOD, 0, "a fourth key registers" },
	{ PR_OP_TOUCH, D, NOBODY, NOBODY, GOOD, 0, "a registered nexus reads" },
	{ PR_OP_PREEMPT, B, B, D, GOOD, 0, "the last key is preempted" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(A) | MASK(C) | MASK(B),
	  "only the last key is gone" },
	{ PR_OP_TOUCH, D, NOBODY, NOBODY, CONFLICT, 0, "the preempted nexus does not read" },
	{ PR_OP_PREEMPT, B, B, C, GOOD, 0, "the one before the own is preempted" },
	{ PR_OP_PREEMPT, B, B, A, GOOD, 0, "the first one is preempted" },
	{ PR_OP_REGISTER, B, A, B, GOOD, 0, "the own nexus has its key, and renames itself" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(B), "only the own key is left" },
	{ PR_OP_TOUCH, A, NOBODY, NOBODY, CONFLICT, 0, "the preempted holder does not read" },
	{ PR_OP_TOUCH, C, NOBODY, NOBODY, CONFLICT, 0, "a preempted nexus does not read" },
	{ PR_OP_TOUCH, B, NOBODY, NOBODY, GOOD, 0, "the own nexus reads" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, RESERVED, 0, "the type is still the same" },
	{ PR_OP_REGISTER, C, NOBODY, C, GOOD, 0, "a preempted one registers again" },
	{ PR_OP_RESET, B, NOBODY, NOBODY, GOOD, 0, "a logical unit reset is answered" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, KEYS, MASK(B) | MASK(C), "the keys outlive a reset" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, RESERVED, 0,
	  "the reservation outlives a reset" },
	{ PR_OP_PREEMPT_AND_ABORT, B, B, C, ABORT, 0, "" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, ABORT_KEYS, MASK(B), "" },
	{ PR_OP_UNMAP_NOTHING, A, NOBODY, NOBODY, UNMAP, 0, "" },
	{ PR_OP_REGISTER_APTPL, A, NOBODY, A, APTPL, 0, "" },
};

/*
 * The holder unregisters last: nobody's data is at stake here. On tgt type 8 leaves a holder by
 * accident (whoever registered last); with its key the reservation goes.
 */
static const struct line cleanup[] = {
	{ PR_OP_REGISTER, D, D, NOBODY, ANY, 0, "" },
	{ PR_OP_REGISTER, C, C, NOBODY, ANY, 0, "" },
	{ PR_OP_REGISTER, A, A, NOBODY, ANY, 0, "" },
	{ PR_OP_REGISTER, B, B, NOBODY, ANY, 0, "" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, NO_KEYS, 0, "no scratch key is left" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, FREE, 0, "no scratch reservation is left" },
	/* Only for a target whose list is so wrong that a key cannot be taken back (istgt). */
	{ PR_OP_REGISTER, B, NOBODY, B, ANY, 0, "" },
	{ PR_OP_CLEAR, B, B, NOBODY, ANY, 0, "" },
	{ PR_OP_READ_KEYS, B, NOBODY, NOBODY, NO_KEYS, 0, "CLEAR leaves no scratch key" },
	{ PR_OP_READ_RESERVATION, B, NOBODY, NOBODY, FREE, 0, "CLEAR leaves no reservation" },
};

#define CLEANUP_LINES 6 /* of the usual way */

#define N(table) (sizeof(table) / sizeof(*(table)))

static const struct {
	uint8_t type;
	const struct line *lines;
	size_t n;
} rounds[PR_PROBE_ROUNDS] = {
	{ PR_TYPE_EA_ALL_REGISTRANTS, script, N(script) },
	{ PR_TYPE_EA_REGISTRANTS_ONLY, script, N(script) },
	{ PR_TYPE_EA_ALL_REGISTRANTS, tail_script, N(tail_script) },
};

static uint64_t key_of(const struct pr_probe *p, unsigned who)
{
	return who == NOBODY ? 0 : p->keys[who];
}

static const struct line *line_now(const struct pr_probe *p)
{
	return p->cleaning ? &cleanup[p->step] : &rounds[p->round].lines[p->step];
}

static bool ask(struct pr_probe *p, struct pr_op *next)
{
	const struct line *l = line_now(p);

	*next = (struct pr_op){
		.kind = l->kind,
		.who = l->who,
		.key = key_of(p, l->key),
		.arg = key_of(p, l->arg),
		.type = l->kind == PR_OP_REGISTER || l->kind == PR_OP_REGISTER_APTPL
				? 0
				: rounds[p->round].type,
	};
	return true;
}

void pr_probe_start(struct pr_probe *p, uint32_t random, struct pr_op *first)
{
	memset(p, 0, sizeof(*p));
	for (unsigned i = 0; i < PR_PROBE_SESSIONS; i++)
		p->keys[i] = SCRATCH_PREFIX << 56 | (uint64_t)random << 8 | (i + 1);
	(void)ask(p, first);
}

static bool keys_are(const struct pr_probe *p, const struct pr_answer *a, unsigned mask)
{
	size_t want = 0;

	for (unsigned i = 0; i < PR_PROBE_SESSIONS; i++) {
		if (!(mask & MASK(i)))
			continue;
		want++;
		if (!pr_keys_contain(a->keys, a->n_keys, p->keys[i]))
			return false;
	}
	return a->n_keys == want;
}

/* true: of such a line nothing is expected. The last round in which it was tried counts. */
static bool remembered(struct pr_probe *p, const struct line *l, const struct pr_answer *a)
{
	enum lun_result r = a->result;

	switch (l->expect) {
	case ABORT:
		p->quirks.abort = r == LUN_OK ? PR_ABORT_GOOD : PR_ABORT_NONE;
		return true;
	case ABORT_KEYS:
		if (r != LUN_OK || !keys_are(p, a, l->mask))
			p->quirks.abort = PR_ABORT_NONE; /* no good as it is here */
		return true;
	case UNMAP:
		p->unmap = r == LUN_OK	       ? PR_UNMAP_UNCHECKED
			   : r == LUN_CONFLICT ? PR_UNMAP_CHECKED
					       : PR_UNMAP_NONE;
		return true;
	case APTPL:
		p->aptpl = r == LUN_OK ? PR_APTPL_TAKEN : PR_APTPL_NONE;
		return true;
	default:
		return false;
	}
}

static bool as_expected(const struct pr_probe *p, const struct line *l, const struct pr_answer *a)
{
	if (l->expect == ANY)
		return true;
	if (l->expect == CONFLICT)
		return a->result == LUN_CONFLICT;
	if (a->result != LUN_OK)
		return false;
	switch (l->expect) {
	case KEYS:
		return keys_are(p, a, l->mask);
	case RESERVED:
		return a->type == rounds[p->round].type;
	case NO_KEYS:
		return a->n_keys == 0;
	case FREE:
		return a->type == PR_TYPE_NONE;
	default:
		return true;
	}
}

/* Why a line was not as it should: "not true that ...: what came instead". */
static void describe(char out[160], const struct line *l, const struct pr_answer *a)
{
	if (a->result != LUN_OK || l->expect == CONFLICT)
		(void)snprintf(out, 160, "not true that %s: %s (%s)", l->meaning,
			       lun_result_name(a->result), pr_op_name(l->kind));
	else if (l->kind == PR_OP_READ_KEYS)
		(void)snprintf(out, 160, "not true that %s: READ KEYS shows %zu", l->meaning,
			       a->n_keys);
	else
		(void)snprintf(out, 160, "not true that %s: type %u, holder 0x%" PRIx64, l->meaning,
			       a->type, a->holder);
}

static bool end(struct pr_probe *p, enum pr_probe_state state)
{
	p->state = state;
	return false;
}

static bool all_scratch(const struct pr_answer *a)
{
	for (size_t i = 0; i < a->n_keys; i++)
		if (a->keys[i] >> 56 != SCRATCH_PREFIX)
			return false;
	return a->n_keys > 0;
}

/* A probe that died left its keys: register, CLEAR, from the beginning. Once. */
static bool sweep(struct pr_probe *p, const struct pr_op *op, struct pr_op *next)
{
	*next = (struct pr_op){ .kind = PR_OP_REGISTER, .who = A, .arg = p->keys[A] };
	if (op->kind == PR_OP_REGISTER)
		*next = (struct pr_op){ .kind = PR_OP_CLEAR, .who = A, .key = p->keys[A] };
	if (op->kind != PR_OP_CLEAR)
		return true;
	p->swept = true;
	p->step = 0;
	return ask(p, next);
}

/* The first two lines: is the LUN somebody's? Then no command that changes anything may follow. */
static bool in_use(struct pr_probe *p, const struct line *l, const struct pr_op *op,
		   const struct pr_answer *a, struct pr_op *next)
{
	if (l->kind == PR_OP_READ_KEYS && a->result == LUN_OK && all_scratch(a) && !p->swept)
		return sweep(p, op, next);
	describe(p->why, l, a);
	if (a->result == LUN_OK)
		return end(p, PR_PROBE_BUSY);
	(void)snprintf(p->text[0], sizeof(p->text[0]), "%s", p->why);
	(void)snprintf(p->text[1], sizeof(p->text[1]), "%s", p->why);
	return end(p, a->result == LUN_UNSUPPORTED ? PR_PROBE_DONE : PR_PROBE_FAILED);
}

static bool round_over(struct pr_probe *p, struct pr_op *next)
{
	if (!p->cleaning) {
		p->cleaning = true;
		p->step = 0;
		return ask(p, next);
	}
	p->cleaning = false;
	if (strcmp(p->text[p->round], "passed") == 0) {
		p->quirks.tail = p->round == PR_PROBE_ROUNDS - 1;
		p->pr_type = p->quirks.tail ? 0 : rounds[p->round].type;
		return end(p, PR_PROBE_DONE);
	}
	if (p->round == PR_PROBE_ROUNDS - 1)
		return end(p, PR_PROBE_DONE);
	p->round++;
	p->step = 0;
	return ask(p, next);
}

/* What cannot even be taken back is no fence, whatever else it did right. */
static bool not_clean(struct pr_probe *p, const struct line *l, const struct pr_answer *a,
		      struct pr_op *next)
{
	char *text = p->text[p->round];

	if (p->step < CLEANUP_LINES) {
		p->step = CLEANUP_LINES;
		return ask(p, next);
	}
	if (!text[0] || strcmp(text, "passed") == 0)
		describe(text, l, a);
	if (p->round == 0)
		(void)snprintf(p->text[1], sizeof(p->text[1]),
			       "not tried: scratch keys of type 8 cannot be taken back");
	return end(p, PR_PROBE_DONE);
}

bool pr_probe_answer(struct pr_probe *p, const struct pr_op *op, const struct pr_answer *a,
		     struct pr_op *next)
{
	const struct line *l = line_now(p);

	if (p->state != PR_PROBE_RUNNING)
		return false;
	if (a->result == LUN_LOST) {
		(void)snprintf(p->why, sizeof(p->why), "the connection was lost during %s",
			       pr_op_name(op->kind));
		return end(p, PR_PROBE_FAILED);
	}
	if (!p->cleaning && p->step == 0 && op->kind != PR_OP_READ_KEYS)
		return sweep(p, op, next);
	if (!remembered(p, l, a) && !as_expected(p, l, a)) {
		if (!p->cleaning && p->step < 2 && p->round == 0)
			return in_use(p, l, op, a, next);
		if (p->cleaning)
			return not_clean(p, l, a, next);
		describe(p->text[p->round], l, a);
		return round_over(p, next);
	}
	if (++p->step != CLEANUP_LINES || !p->cleaning)
		if (p->step < (p->cleaning ? N(cleanup) : rounds[p->round].n))
			return ask(p, next);
	if (!p->cleaning)
		(void)snprintf(p->text[p->round], sizeof(p->text[0]), "passed");
	return round_over(p, next);
}
