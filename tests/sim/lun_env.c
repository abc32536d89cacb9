/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clock, random numbers, timers, log of the csvds: the simulator's in place of a process's. */
#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "csv/coord.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_sync.h"
#include "iscsi/lun_uring.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "tests/sim/cluster_driver.h"
#include "tests/sim/lun_env.h"

static struct env_at now_at;

struct env_at env_enter(struct cworld *w, unsigned node)
{
	struct env_at before = now_at;

	now_at = (struct env_at){ w, node };
	return before;
}

void env_leave(struct env_at before)
{
	now_at = before;
}

struct env_at env_now(void)
{
	return now_at;
}

uint64_t env_rand(struct cworld *w, uint64_t n)
{
	w->lun.rng ^= w->lun.rng << 13;
	w->lun.rng ^= w->lun.rng >> 7;
	w->lun.rng ^= w->lun.rng << 17;
	return (w->lun.rng >> 11) % n;
}

/* ---- by --wrap ------------------------------------------------------------------------------------------ */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);
ssize_t __real_getrandom(void *buf, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t ms;

	if (!now_at.w)
		return __real_clock_gettime(id, ts);
	ms = cw_clock(now_at.w, now_at.node);
	*ts = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
	return 0;
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned flags)
{
	if (!now_at.w)
		return __real_getrandom(buf, len, flags);
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)env_rand(now_at.w, 256);
	return (ssize_t)len;
}

/* ---- timers ------------------------------------------------------------------------------------------------ */

struct cl_source {
	struct cl_source *next;
	struct env_at at;
	uint64_t id, set; /* set: counts; an earlier setting is void */
	int64_t t;	  /* of the node's clock; INT64_MAX: not armed */
	cl_timer_fn cb;
	void *user;
};

int cl_timer_new(struct cl_loop *loop, cl_timer_fn cb, void *user, struct cl_source **ret)
{
	struct cl_source *src = calloc(1, sizeof(*src));

	(void)loop;
	cl_assert(src && now_at.w);
	*src = (struct cl_source){
		.next = now_at.w->timers,
		.at = now_at,
		.id = ++now_at.w->timer_ids,
		.t = INT64_MAX,
		.cb = cb,
		.user = user,
	};
	now_at.w->timers = src;
	*ret = src;
	return 0;
}

static void arm(struct cl_source *src, int64_t t)
{
	struct cworld *w = src->at.w;
	int64_t in_ms = cw_when(w, src->at.node, t) - sim_now(w->s);
	struct task *task;

	if (t == src->t)
		return;
	src->t = t;
	src->set++;
	if (t == INT64_MAX)
		return;
	task = task_new(w, T_TIMER, src->at.node, in_ms > 0 ? (uint64_t)in_ms : 0);
	task->a = src->id;
	task->b = src->set;
}

int cl_timer_set_in(struct cl_source *src, int64_t ms)
{
	arm(src, cw_clock(src->at.w, src->at.node) + ms);
	return 0;
}

void cl_source_free(struct cl_source *src)
{
	struct cl_source **p;

	if (!src)
		return;
	for (p = &src->at.w->timers; *p != src;)
		p = &(*p)->next;
	*p = src->next;
	free(src);
}

void env_timer(struct cworld *w, struct task *t)
{
	struct cl_source *src = w->timers;
	struct env_at before;

	while (src && src->id != t->a)
		src = src->next;
	if (!src || src->set != t->b)
		return;
	src->t = INT64_MAX;
	before = env_enter(w, t->node);
	src->cb(src->user);
	env_leave(before);
}

/* ---- iscsi/lun_loop.h: nothing is polled; a control has deadlines ------------------------------------------ */

struct lun_loop {
	struct lun_control *control;
	struct cl_source *timer;
};

static void serve(void *user)
{
	struct lun_loop *b = user;

	lun_control_service(b->control, 0);
	lun_loop_update(b);
}

int lun_loop_control(struct cl_loop *loop, struct lun_control *control, struct lun_loop **ret)
{
	struct lun_loop *b = calloc(1, sizeof(*b));

	cl_assert(b);
	b->control = control;
	(void)cl_timer_new(loop, serve, b, &b->timer);
	*ret = b;
	lun_loop_update(b);
	return 0;
}

/* A session's events come from the target and need no driving. */
int lun_loop_session(struct cl_loop *loop, struct lun_session *session, struct lun_loop **ret)
{
	(void)loop;
	(void)session;
	*ret = calloc(1, sizeof(**ret));
	cl_assert(*ret);
	return 0;
}

void lun_loop_update(struct lun_loop *b)
{
	if (b->control)
		arm(b->timer, lun_control_deadline_ms(b->control));
}

void lun_loop_free(struct lun_loop *b)
{
	if (!b)
		return;
	cl_source_free(b->timer);
	free(b);
}

/* ---- log ------------------------------------------------------------------------------------------------------ */

void cl_log_init(const char *ident, enum cl_log_level max)
{
	(void)ident;
	(void)max;
}

bool cl_log_enabled(enum cl_log_level level)
{
	(void)level;
	return sim_tracing;
}

void cl_log(enum cl_log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!sim_tracing || !now_at.w)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_trace(now_at.w->s, "n%u csvd: <%d> %s", now_at.node, (int)level, text);
}

/* ---- of the coordinator's thread and of files, which are not simulated: never called --------------------------- */

#define NEVER cl_assert(!"not simulated")

int lun_sync_open(const struct lun_session_config *config, struct lun_sync **ret,
		  struct cl_error *err)
{
	(void)config;
	(void)ret;
	(void)err;
	NEVER;
	return -1;
}

int lun_sync_go(struct lun_sync *sync, struct cl_error *err)
{
	(void)sync;
	(void)err;
	NEVER;
	return -1;
}

void lun_sync_close(struct lun_sync *sync)
{
	(void)sync;
	NEVER;
}

uint64_t lun_sync_bytes(const struct lun_sync *sync)
{
	(void)sync;
	NEVER;
	return 0;
}

int lun_sync_pread(struct lun_sync *sync, void *buf, size_t len, uint64_t offset)
{
	(void)sync;
	(void)buf;
	(void)len;
	(void)offset;
	NEVER;
	return -1;
}

int lun_sync_pwrite(struct lun_sync *sync, const void *buf, size_t len, uint64_t offset, bool fua)
{
	(void)sync;
	(void)buf;
	(void)len;
	(void)offset;
	(void)fua;
	NEVER;
	return -1;
}

int lun_sync_flush(struct lun_sync *sync)
{
	(void)sync;
	NEVER;
	return -1;
}

void lun_sync_set_deadline(struct lun_sync *sync, uint32_t ms)
{
	(void)sync;
	(void)ms;
	NEVER;
}

void lun_sync_barrier_answered(struct lun_sync *sync)
{
	(void)sync;
	NEVER;
}

void lun_sync_break(struct lun_sync *sync)
{
	(void)sync;
	NEVER;
}

int coord_wait_go(struct coord *coord, struct cl_error *err)
{
	(void)coord;
	(void)err;
	NEVER;
	return -1;
}

void coord_post(struct coord *coord, struct csv_mail *mail)
{
	(void)coord;
	(void)mail;
	NEVER;
}

struct csv_mail *csv_mail_new(enum csv_mail_kind kind, const void *body, size_t len)
{
	(void)kind;
	(void)body;
	(void)len;
	NEVER;
	return NULL;
}

const char *lun_local_path(const char *url)
{
	(void)url;
	return NULL;
}

int lun_uring_open(struct cl_loop *loop, const struct lun_uring_config *config,
		   struct lun_uring **ret, struct cl_error *err)
{
	(void)loop;
	(void)config;
	(void)ret;
	(void)err;
	NEVER;
	return -1;
}

void lun_uring_free(struct lun_uring *u)
{
	(void)u;
}

struct lun_data *lun_uring_data(struct lun_uring *u)
{
	(void)u;
	NEVER;
	return NULL;
}
