/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See the header. Three sessions: who preempts, who reads, and the victim, a new one for each burst. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "iscsi/paa_probe.h"
#include "iscsi/scratch.h"
#include "lib/monotime.h"

#define WRITES 32
#define WRITE_BYTES (PAA_PROBE_BYTES / WRITES)
#define BURSTS_MAX 10
#define BURSTS_WANTED 5
#define HEAD_START_MS 50 /* so long the first answer of a burst is waited for, at most */
#define CROSSED_MS 20	 /* answers that come so soon after each other may have crossed */
#define SETTLE_MS 1000

enum { ISSUER, READER, VICTIM };

struct write {
	struct lun_io io; /* first */
	struct iovec iov;
	bool out;
	enum lun_result result;
	int64_t done_ns;
};

struct paa {
	struct scratch s;
	uint8_t pr_type;
	uint64_t offset;
	uint64_t keys[3];
	struct write writes[WRITES];
	unsigned out;	      /* of them */
	bool was_out[WRITES]; /* at the answer */
	uint8_t *burst, *before, *after;
	bool read_done;
	enum lun_result read_result;
};

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static int ask(struct paa *p, unsigned who, enum pr_op_kind kind, uint64_t key, uint64_t arg,
	       struct cl_error *err)
{
	const struct pr_op op = { .kind = kind, .key = key, .arg = arg, .type = p->pr_type };
	int r = scratch_run(&p->s, who, &op, err);

	if (r == 0 && p->s.cmd.answer.result != LUN_OK)
		r = cl_error_set(err, -EIO, "%s: %s", pr_op_name(kind),
				 lun_result_name(p->s.cmd.answer.result));
	return r;
}

static int log_in_data(struct paa *p, unsigned who, struct cl_error *err)
{
	int r = scratch_log_in_data(&p->s, who, p->keys[who], p->pr_type, err);

	if (r == 0)
		r = ask(p, who, PR_OP_REGISTER, 0, p->keys[who], err);
	return r < 0 ? r : lun_session_go(p->s.sessions[who], err);
}

static int prepare(struct paa *p, struct cl_error *err)
{
	int r = scratch_log_in_any(&p->s, ISSUER, err);

	if (r == 0)
		r = ask(p, ISSUER, PR_OP_REGISTER, 0, p->keys[ISSUER], err);
	if (r == 0)
		r = ask(p, ISSUER, PR_OP_RESERVE, p->keys[ISSUER], 0, err);
	return r < 0 ? r : log_in_data(p, READER, err);
}

/* ---- a burst ---------------------------------------------------------------------------------- */

static void on_written(struct lun_io *io, enum lun_result result)
{
	struct write *w = (struct write *)io;
	struct paa *p = io->user;

	w->out = false;
	w->result = result;
	w->done_ns = cl_mono_now().ns;
	p->out--;
}

static int write_all(struct paa *p, struct cl_error *err)
{
	struct lun_data *data = lun_session_data(p->s.sessions[VICTIM]);

	for (unsigned i = 0; i < WRITES; i++) {
		struct write *w = &p->writes[i];

		*w = (struct write){ .iov = { p->burst + (size_t)i * WRITE_BYTES, WRITE_BYTES } };
		w->io = (struct lun_io){ .dir = LUN_WRITE,
					 .offset = p->offset + (uint64_t)i * WRITE_BYTES,
					 .length = WRITE_BYTES,
					 .iov = &w->iov,
					 .iovcnt = 1,
					 .done = on_written,
					 .user = p };
		if (lun_submit(data, &w->io) != LUN_OK)
			return cl_error_set(err, -EIO, "a write was refused");
		w->out = true;
		p->out++;
	}
	return 0;
}

static int serve_until(struct paa *p, int64_t until, unsigned out, struct cl_error *err)
{
	int r = 0;

	while (r == 0 && p->out > out && now_ms() < until)
		r = scratch_turn(&p->s, until, err);
	return r;
}

static void on_read(struct lun_io *io, enum lun_result result)
{
	struct paa *p = io->user;

	p->read_done = true;
	p->read_result = result;
}

static int read_some(struct paa *p, bool out, uint8_t *to, struct cl_error *err)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < PAA_PROBE_BYTES; at += WRITE_BYTES) {
		struct iovec iov = { to + at, WRITE_BYTES };
		struct lun_io io = { .dir = LUN_READ,
				     .offset = p->offset + at,
				     .length = WRITE_BYTES,
				     .iov = &iov,
				     .iovcnt = 1,
				     .done = on_read,
				     .user = p };

		if (p->was_out[at / WRITE_BYTES] != out)
			continue;
		p->read_done = false;
		p->read_result = lun_submit(lun_session_data(p->s.sessions[READER]), &io);
		if (p->read_result != LUN_OK)
			p->read_done = true;
		while (r == 0 && !p->read_done)
			r = scratch_turn(&p->s, INT64_MAX, err);
		if (!p->read_done) { /* it points to our stack */
			lun_session_free(p->s.sessions[READER]);
			p->s.sessions[READER] = NULL;
			return r;
		}
		if (p->read_result != LUN_OK)
			r = cl_error_set(err, -EIO, "a read: %s", lun_result_name(p->read_result));
	}
	return r;
}

/* Those first of which nothing is known: a moment later they may have landed, and no difference be seen. */
static int read_all(struct paa *p, uint8_t *to, struct cl_error *err)
{
	int r = read_some(p, true, to, err);

	return r == 0 ? read_some(p, false, to, err) : r;
}

enum shown { NOTHING, CROSSED, LATE, DRAINED };

static enum shown judge(const struct paa *p, int64_t sent_ns, int64_t answered_ns)
{
	bool seen = false, crossed = false;

	if (memcmp(p->before, p->after, PAA_PROBE_BYTES) != 0)
		return LATE;
	for (unsigned i = 0; i < WRITES; i++) {
		const struct write *w = &p->writes[i];
		bool good = !w->out && w->result == LUN_OK;

		if (good && w->done_ns > answered_ns + CROSSED_MS * INT64_C(1000000))
			return LATE;
		crossed = crossed || (good && w->done_ns > answered_ns);
		/* Finished while the answer was waited for; or dropped, without a word. */
		seen = seen || w->out || (good && w->done_ns > sent_ns && w->done_ns < answered_ns);
	}
	return crossed ? CROSSED : seen ? DRAINED : NOTHING;
}

static int try_once(struct paa *p, unsigned round, enum shown *ret, struct cl_error *err)
{
	int64_t sent, answered = 0;
	int r;

	p->keys[VICTIM]++;
	memset(p->burst, (int)(0x51 + round), PAA_PROBE_BYTES);
	r = log_in_data(p, VICTIM, err);
	if (r == 0)
		r = write_all(p, err);
	if (r == 0)
		r = serve_until(p, now_ms() + HEAD_START_MS, WRITES - 1, err);
	sent = cl_mono_now().ns;
	if (r == 0)
		r = ask(p, ISSUER, PR_OP_PREEMPT_AND_ABORT, p->keys[ISSUER], p->keys[VICTIM], err);
	/* What was there already, in the other connection's socket, came before. */
	if (r == 0)
		r = scratch_turn(&p->s, 0, err);
	answered = cl_mono_now().ns;
	for (unsigned i = 0; i < WRITES; i++)
		p->was_out[i] = p->writes[i].out;
	if (r == 0)
		r = read_all(p, p->before, err);
	if (r == 0)
		r = serve_until(p, now_ms() + SETTLE_MS, 0, err);
	if (r == 0)
		r = read_all(p, p->after, err);
	if (r == 0)
		*ret = judge(p, sent, answered);
	lun_session_free(p->s.sessions[VICTIM]); /* ends what is still out */
	p->s.sessions[VICTIM] = NULL;
	return r;
}

static int try_all(struct paa *p, enum pr_abort *ret, struct cl_error *err)
{
	enum shown one = NOTHING;
	unsigned seen = 0;
	int r = 0;

	*ret = PR_ABORT_GOOD;
	for (unsigned i = 0; i < BURSTS_MAX && seen < BURSTS_WANTED; i++) {
		r = try_once(p, i, &one, err);
		if (r < 0)
			return r;
		if (one == LATE)
			*ret = PR_ABORT_LATE;
		if (one == LATE || one == CROSSED)
			return 0;
		seen += one == DRAINED;
	}
	if (seen == BURSTS_WANTED)
		*ret = PR_ABORT_DRAINS;
	return 0;
}

/* Nobody uses the LUN: all keys of it are ours. */
static int clean_up(struct paa *p, struct cl_error *err)
{
	return ask(p, ISSUER, PR_OP_CLEAR, p->keys[ISSUER], 0, err);
}

int lun_paa_probe(const struct lun_url *url, const char *initiator, uint8_t pr_type,
		  uint64_t offset, uint32_t timeout_ms, enum pr_abort *ret, struct cl_error *err)
{
	struct paa *p = calloc(1, sizeof(*p));
	uint8_t *memory = malloc(3 * (size_t)PAA_PROBE_BYTES);
	int r = p && memory ? 0 : cl_error_errno(err, -ENOMEM, "PREEMPT AND ABORT");

	if (r == 0) {
		*p = (struct paa){ .pr_type = pr_type, .offset = offset, .burst = memory };
		p->before = memory + PAA_PROBE_BYTES;
		p->after = p->before + PAA_PROBE_BYTES;
		for (unsigned i = 0; i < 3; i++)
			p->keys[i] = UINT64_C(0xc4706161) << 32 | (i + 1) << 16;
		scratch_init(&p->s, url, initiator, timeout_ms);
		r = prepare(p, err);
		if (r == 0)
			r = try_all(p, ret, err);
		if (p->s.sessions[ISSUER])
			(void)clean_up(p, r == 0 ? err : NULL);
		scratch_fini(&p->s);
	}
	free(memory);
	free(p);
	return r < 0 ? cl_error_wrap(err, r, "trying PREEMPT AND ABORT with slow writes") : 0;
}
