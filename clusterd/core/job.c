/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an operator asks of the csvd of some node about a volume (proto/volume.proto, Job): carried to
 * it and its words back. Nothing is decided upon it, so it needs no log.
 *
 *   asker                              node whose csvd does it
 *     | -- JobAsk (id), each second -->  | begun once for (node, instance, id), however often it comes
 *     | <-- JobAnswer: progress -------- |
 *     | <-- JobAnswer: done ------------ | kept for a while: said again whenever it is asked again
 *
 * A node that fails, and a csvd that ends, answers no more: the asker is told so.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/volume.pb-c.h"

enum {
	JOB_ASK_MS = 1000,    /* the question again */
	JOB_REPORT_MS = 3000, /* a csvd that does not report by then hangs */
	JOB_KEEP_MS = 30000,  /* an answer is forgotten when nobody asked for so long */
	JOB_RUNS_MAX = 64,
};

/* ---- at who asks --------------------------------------------------------------------------------- */

static void answered(struct node *n, const struct job_ask *a, int code, const char *text,
		     const uint8_t *data, size_t len, bool done)
{
	struct node_action *out = core_emit(n, NODE_DO_JOB_ANSWER);

	out->job.client = a->client;
	out->job.node = a->node;
	out->job.code = code;
	out->job.done = done;
	CORE_COPY(out->job.text, text);
	out->job.data = malloc(len + 1);
	if (!out->job.data) {
		n->out->no_memory = true;
		return;
	}
	if (len)
		memcpy(out->job.data, data, len);
	out->job.len = len;
}

static bool last_of(const struct node *n, uint64_t client)
{
	for (size_t i = 0; i < n->job_asks.n; i++)
		if (n->job_asks.v[i].client == client)
			return false;
	return true;
}

static void ask_ends(struct node *n, size_t i, int code, const char *text, const uint8_t *data,
		     size_t len)
{
	struct job_ask a = n->job_asks.v[i];

	job_ask_vec_remove(&n->job_asks, i);
	answered(n, &a, code, text, data, len, true);
	n->out->v.v[n->out->v.n - 1].job.last = last_of(n, a.client);
}

static void ask_add(struct node *n, const struct node_request *rq, uint32_t node)
{
	struct job_ask a = {
		.id = ++n->next_id,
		.client = rq->client,
		.node = node,
		.kind = rq->job,
		.change = rq->on,
		.begun_ms = n->now_ms,
		.told_ms = INT64_MIN / 2,
	};

	CORE_COPY(a.volume, rq->object);
	if (job_ask_vec_push(&n->job_asks, a) < 0)
		n->out->no_memory = true;
}

static void ask_everybody(struct node *n, const struct node_request *rq)
{
	for (size_t i = 0; i < n->state.nodes.n; i++)
		if (n->state.nodes.v[i].phase == STATE_NODE_LIVING)
			ask_add(n, rq, n->state.nodes.v[i].id);
}

void job_new(struct node *n, const struct node_request *rq)
{
	const struct state_volume *v = state_volume(&n->state, rq->object);

	if (!v) {
		core_reply(n, rq->client, -ENOENT, "see `clusterctl list volume`",
			   "no volume '%.63s'", rq->object);
		return;
	}
	if (rq->job == VOL__JOB__KIND__REPORT)
		ask_everybody(n, rq);
	else if (state_living(&n->state, v->coordinator, v->coordinator_incarnation))
		ask_add(n, rq, v->coordinator);
	if (last_of(n, rq->client))
		core_reply(n, rq->client, -CL_EREFUSED, "clusterctl status shows why",
			   "volume '%s' has no coordinator at present", v->name);
}

static void ask_send(struct node *n, struct job_ask *a)
{
	MESSAGE(JOB_ASK, JobAsk, job_ask);

	if (n->now_ms - a->told_ms < JOB_ASK_MS)
		return;
	a->told_ms = n->now_ms;
	m.id = a->id;
	m.volume = a->volume;
	m.kind = a->kind;
	m.change = a->change;
	message_send(n, a->node, &msg);
}

/* To ourselves the answer comes from within ask_send(): a is not looked at afterwards. */
static void ask_step(struct node *n, size_t i)
{
	struct job_ask *a = &n->job_asks.v[i];
	const struct state_node *s = state_node(&n->state, a->node);

	if (!s || s->phase != STATE_NODE_LIVING)
		ask_ends(n, i, -CL_EREFUSED, "its node has failed meanwhile", NULL, 0);
	else if (a->kind == VOL__JOB__KIND__REPORT && n->now_ms - a->begun_ms > JOB_REPORT_MS)
		ask_ends(n, i, -ETIMEDOUT, "its csvd does not answer", NULL, 0);
	else
		ask_send(n, a);
}

void job_on_answer(struct node *n, const Core__Message *msg)
{
	const Core__JobAnswer *m = msg->job_answer;

	for (size_t i = 0; i < n->job_asks.n; i++) {
		const struct job_ask *a = &n->job_asks.v[i];

		if (a->id != m->id || a->node != msg->from || m->instance != n->cfg.instance)
			continue;
		if (m->done)
			ask_ends(n, i, m->code, m->text, m->body.data, m->body.len);
		else
			answered(n, a, 0, m->text, m->body.data, m->body.len, false);
		return;
	}
}

void job_client_gone(struct node *n, uint64_t client)
{
	for (size_t i = n->job_asks.n; i-- > 0;)
		if (n->job_asks.v[i].client == client)
			job_ask_vec_remove(&n->job_asks, i);
}

/* ---- at whose csvd does it ------------------------------------------------------------------------ */

static void run_tell(struct node *n, const struct job_run *r, const uint8_t *data, size_t len)
{
	MESSAGE(JOB_ANSWER, JobAnswer, job_answer);

	m.id = r->ask_id;
	m.instance = r->instance;
	m.done = r->done;
	m.code = r->code;
	m.text = COMMAND_STRING(r->text);
	m.body = (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)data };
	message_send(n, r->from, &msg);
}

static void run_free(struct node *n, size_t i)
{
	free(n->job_runs.v[i].answer);
	job_run_vec_remove(&n->job_runs, i);
}

static void run_fails(struct node *n, struct job_run *r, int code, const char *text)
{
	r->done = true;
	r->code = code;
	CORE_COPY(r->text, text);
	run_tell(n, r, NULL, 0);
}

static struct job_run *run_new(struct node *n, const Core__Message *msg)
{
	struct job_run r = {
		.from = msg->from,
		.instance = msg->instance,
		.ask_id = msg->job_ask->id,
		.id = ++n->next_id,
	};

	for (size_t i = 0; i < n->job_runs.n && n->job_runs.n >= JOB_RUNS_MAX; i++)
		if (n->job_runs.v[i].done)
			run_free(n, i--);
	if (n->job_runs.n >= JOB_RUNS_MAX || job_run_vec_push(&n->job_runs, r) < 0)
		return NULL; /* asked again */
	return &n->job_runs.v[n->job_runs.n - 1];
}

static void run_begin(struct node *n, const Core__Message *msg)
{
	const Core__JobAsk *q = msg->job_ask;
	struct job_run *r = run_new(n, msg);
	struct node_action *a;

	if (!r)
		return;
	r->asked_ms = n->now_ms;
	if (!n->csvd_up) {
		run_fails(n, r, -CL_EREFUSED, "csvd is not running there");
		return;
	}
	a = core_emit(n, NODE_DO_CSVD_JOB);
	a->csvd_job.id = r->id;
	a->csvd_job.kind = q->kind;
	a->csvd_job.change = q->change;
	CORE_COPY(a->csvd_job.volume, q->volume);
}

void job_on_ask(struct node *n, const Core__Message *msg)
{
	for (size_t i = 0; i < n->job_runs.n; i++) {
		struct job_run *r = &n->job_runs.v[i];

		if (r->from != msg->from || r->instance != msg->instance ||
		    r->ask_id != msg->job_ask->id)
			continue;
		r->asked_ms = n->now_ms;
		if (r->done)
			run_tell(n, r, r->answer, r->len);
		return;
	}
	run_begin(n, msg);
}

static void run_keep(struct node *n, struct job_run *r, const uint8_t *data, size_t len)
{
	r->answer = malloc(len + 1);
	if (!r->answer) {
		n->out->no_memory = true;
		return;
	}
	if (len)
		memcpy(r->answer, data, len);
	r->len = len;
}

void job_on_csvd(struct node *n, const struct node_csvd_event *ev)
{
	for (size_t i = 0; i < n->job_runs.n; i++) {
		struct job_run *r = &n->job_runs.v[i];

		if (r->id != ev->job || r->done)
			continue;
		r->done = ev->job_done;
		if (r->done)
			run_keep(n, r, ev->data, ev->len);
		run_tell(n, r, ev->data, ev->len);
		return;
	}
}

void job_csvd_gone(struct node *n)
{
	for (size_t i = 0; i < n->job_runs.n; i++)
		if (!n->job_runs.v[i].done)
			run_fails(n, &n->job_runs.v[i], -EIO,
				  "csvd ended there before it was done");
}

/* ---- with each step --------------------------------------------------------------------------------- */

void job_step(struct node *n)
{
	for (size_t i = n->job_asks.n; i-- > 0;)
		if (i < n->job_asks.n)
			ask_step(n, i);
	for (size_t i = n->job_runs.n; i-- > 0;)
		if (n->job_runs.v[i].done && n->now_ms - n->job_runs.v[i].asked_ms > JOB_KEEP_MS)
			run_free(n, i);
}

void job_free(struct node *n)
{
	while (n->job_runs.n > 0)
		run_free(n, n->job_runs.n - 1);
	job_run_vec_fini(&n->job_runs);
	job_ask_vec_fini(&n->job_asks);
}
