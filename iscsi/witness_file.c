/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_file.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "iscsi/witness_dir_os.h"
#include "lib/mailbox.h"

#define RETRY_MS 500
#define WATCH_MS 500
#define SILENCE_MS 8000 /* as for a LUN */
#define GIVE_UP_MS 2000
#define JOBS_MAX 4096
/* Two for each session. Those of sessions that were dropped while the share hung stay until it answers, and no more
 * than these may: each new clusterd begins a session. */
#define THREADS_MAX 8

static atomic_int threads;

/* What a lane does beside the operations of its user. */
enum { JOB_OPEN = 100, JOB_CLEAR, JOB_END };

struct job {
	struct cl_mail mail; /* first */
	TAILQ_ENTRY(job) link;
	unsigned lane;
	uint64_t session, id, offset;
	int kind; /* enum witness_op_kind or JOB_* */
	int64_t begun_ms;
	uint32_t len;
	uint8_t *data;
	char log[WDIR_NAME_MAX]; /* READ: of this session's claim; CLAIM: its answer */
	/* its answer */
	int code;
	bool mine;
	unsigned holder;
	struct cl_error err;
};
TAILQ_HEAD(job_list, job);

/* The thread's, after it was made. */
struct lane {
	struct witness_file *w;
	struct cl_mailbox in;
	struct wdir_real real;
	struct wdir_os os;
	struct wdir dir; /* the owner's lane */
	bool open;
};

/*
 * Freed by the last one of three: its user and the two threads. A thread that waits for a server which is gone cannot
 * be told to end.
 */
struct witness_file {
	atomic_int users;
	atomic_uint_fast64_t session; /* what was begun in an earlier one is not begun any more */
	char path[PATH_MAX];
	unsigned node;
	bool make, unused;
	struct lane lanes[2]; /* [0] the owner's, [1] reading and slots */
	struct cl_mailbox out;

	/* the loop's */
	struct witness_hooks hooks;
	struct cl_source *answers, *retry, *watch, *gone_timer;
	struct job_list jobs[2]; /* given out, in order */
	unsigned n_jobs;
	int64_t silence_ms;
	bool up, began; /* began: the threads */
	char log[WDIR_NAME_MAX];
	void (*gone)(void *user);
	void *gone_user;
};

/* ---- in the threads ------------------------------------------------------------------------------------ */

static void job_free(struct job *j)
{
	free(j->data);
	free(j);
}

static void put_down(struct witness_file *w)
{
	struct cl_mail *m;

	if (atomic_fetch_sub(&w->users, 1) > 1)
		return;
	while ((m = cl_mailbox_get(&w->out)))
		job_free((struct job *)m);
	for (unsigned i = 0; i < 2; i++) {
		while ((m = cl_mailbox_get(&w->lanes[i].in)))
			job_free((struct job *)m);
		cl_mailbox_fini(&w->lanes[i].in);
	}
	cl_mailbox_fini(&w->out);
	free(w);
}

static int lane_open(struct lane *l, struct cl_error *err)
{
	struct witness_file *w = l->w;
	int r;

	if (l->open)
		wdir_real_close(&l->real);
	l->open = false;
	r = wdir_real_open(&l->real, w->path, &l->os, err);
	if (r < 0)
		return r;
	l->open = true;
	return l == &w->lanes[0] ? wdir_open(&l->dir, &l->os, w->node, w->make, w->unused, err) : 0;
}

static int lane_claim(struct lane *l, struct job *j)
{
	int r = wdir_claim(&l->dir, &j->err);

	memcpy(j->log, l->dir.log, sizeof(j->log));
	return r;
}

static int lane_do(struct lane *l, struct job *j)
{
	bool make = l->w->make;

	if (j->kind == JOB_OPEN)
		return lane_open(l, &j->err);
	if (!l->open)
		return cl_error_set(&j->err, -ENOTCONN, "the directory is not open");
	switch (j->kind) {
	case WITNESS_OP_READ:
		return wdir_read(&l->os, j->log, make, j->offset, j->data, j->len, &j->err);
	case WITNESS_OP_WRITE:
		return wdir_slot_write(&l->os, j->offset, j->data, j->len, &j->err);
	case WITNESS_OP_OWNER_WRITE:
		return wdir_owner_write(&l->dir, j->offset, j->data, j->len, &j->err);
	case WITNESS_OP_CLAIM:
		return lane_claim(l, j);
	case WITNESS_OP_CHECK:
		return wdir_check(&l->dir, &j->mine, &j->holder, &j->err);
	case WITNESS_OP_FORMAT:
		return j->len == WDIR_UNIT ? wdir_format(&l->dir, j->data, &j->err)
					   : cl_error_set(&j->err, -EINVAL, "no superblock");
	default:
		return wdir_clear(&l->dir, &j->err);
	}
}

static void *lane_main(void *user)
{
	struct lane *l = user;
	struct witness_file *w = l->w;
	bool end = false;

	while (!end) {
		struct job *j = (struct job *)cl_mailbox_get(&l->in);

		if (!j) {
			cl_mailbox_wait(&l->in, -1);
			continue;
		}
		end = j->kind == JOB_END;
		if (!end && j->session == atomic_load(&w->session))
			j->code = lane_do(l, j);
		cl_mailbox_put(&w->out, &j->mail);
	}
	if (l->open)
		wdir_real_close(&l->real);
	put_down(w);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

/* ---- the loop: jobs out ------------------------------------------------------------------------------------ */

static void lose(struct witness_file *w, int code, const char *text);

static unsigned lane_of(int kind)
{
	return kind == WITNESS_OP_READ || kind == WITNESS_OP_WRITE;
}

/* data: given away; may be NULL. */
static struct job *give(struct witness_file *w, unsigned lane, int kind, uint8_t *data)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j) {
		free(data);
		return NULL;
	}
	j->lane = lane;
	j->kind = kind;
	j->session = atomic_load(&w->session);
	j->begun_ms = cl_mono_ms(cl_mono_now());
	j->data = data;
	TAILQ_INSERT_TAIL(&w->jobs[lane], j, link);
	w->n_jobs++;
	return j;
}

static void send(struct witness_file *w, struct job *j)
{
	cl_mailbox_put(&w->lanes[j->lane].in, &j->mail);
}

static void begin(struct witness_file *w, unsigned lane)
{
	struct job *j = give(w, lane, JOB_OPEN, NULL);

	if (j)
		send(w, j);
	else
		lose(w, -ENOMEM, "out of memory");
}

static int threads_begin(struct witness_file *w);

static void on_retry(void *user)
{
	struct witness_file *w = user;
	int r = w->began ? 0 : threads_begin(w);

	if (r == 0)
		begin(w, 0);
	else if (r == -EAGAIN)
		lose(w, r, "the share hangs, and earlier sessions wait for it");
	else
		lose(w, r, "no threads for the share");
}

void witness_file_submit(struct witness_file *w, uint64_t id, enum witness_op_kind kind,
			 uint64_t offset, uint32_t len, const uint8_t *data)
{
	uint8_t *copy;
	struct job *j;

	if (!w->up)
		return;
	copy = w->n_jobs < JOBS_MAX ? calloc(1, (size_t)len + 1) : NULL;
	if (copy && data)
		memcpy(copy, data, len);
	j = copy ? give(w, lane_of(kind), (int)kind, copy) : NULL;
	if (!j) {
		lose(w, -ENOMEM, "too many operations at once");
		return;
	}
	j->id = id;
	j->offset = offset;
	j->len = len;
	memcpy(j->log, w->log, sizeof(j->log));
	send(w, j);
}

/* ---- the loop: answers --------------------------------------------------------------------------------------- */

/* code: of a session that was asked for once, and is not to be tried again. */
static void lose(struct witness_file *w, int code, const char *text)
{
	bool refused = w->make && (code == -CL_EREFUSED || code == -EBUSY);

	atomic_fetch_add(&w->session, 1);
	w->up = false;
	w->log[0] = 0;
	if (w->gone)
		return;
	if (!refused)
		(void)cl_timer_set_in(w->retry, RETRY_MS);
	w->hooks.path(w->hooks.user, false, 0, refused ? code : 0, text);
}

static void opened(struct witness_file *w, struct job *j)
{
	if (j->lane == 0) {
		begin(w, 1);
		return;
	}
	w->up = true;
	w->hooks.path(w->hooks.user, true, WDIR_BYTES, 0, "");
}

/* Refused by a rule, not by the file system: the session is as good as before. */
static bool is_refusal(const struct job *j)
{
	return j->code == -EPERM || j->code == -EINVAL || j->code == -ENODATA ||
	       j->code == -EAGAIN || j->code == -CL_ECORRUPT;
}

static void answer(struct witness_file *w, struct job *j)
{
	const struct witness_answer a = {
		.id = j->id,
		.ok = j->code == 0,
		.data = j->kind == WITNESS_OP_READ && j->code == 0 ? j->data : NULL,
		.len = j->kind == WITNESS_OP_READ && j->code == 0 ? j->len : 0,
		.mine = j->mine,
		.holder = j->holder,
		.text = j->err.msg,
	};

	if (j->kind == WITNESS_OP_CLAIM && j->code == 0)
		memcpy(w->log, j->log, sizeof(w->log));
	w->hooks.done(w->hooks.user, &a);
}

static void finished(struct witness_file *w, struct job *j)
{
	if (j->kind == JOB_CLEAR && w->gone)
		(void)cl_timer_set_in(w->gone_timer, 0);
	if (j->session != atomic_load(&w->session) || w->gone)
		return; /* of a session that is gone */
	if (j->kind == JOB_OPEN && j->code == 0)
		opened(w, j);
	else if (j->code < 0 && (j->kind == JOB_OPEN || !is_refusal(j)))
		lose(w, j->code, j->err.msg);
	else
		answer(w, j);
}

static void on_answers(void *user, int fd, uint32_t revents)
{
	struct witness_file *w = user;
	struct job *j;

	(void)fd;
	(void)revents;
	while ((j = (struct job *)cl_mailbox_get(&w->out))) {
		TAILQ_REMOVE(&w->jobs[j->lane], j, link);
		w->n_jobs--;
		if (TAILQ_FIRST(&w->jobs[j->lane]))
			TAILQ_FIRST(&w->jobs[j->lane])->begun_ms = cl_mono_ms(cl_mono_now());
		finished(w, j);
		job_free(j);
	}
}

/*
 * A lane's first job, of this session; those of earlier ones may hang for ever, and the next one waits behind them.
 */
static bool silent(const struct witness_file *w, int64_t now_ms)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct job *j = TAILQ_FIRST(&w->jobs[i]);

		if (j && j->session == atomic_load(&w->session) &&
		    now_ms - j->begun_ms > w->silence_ms)
			return true;
	}
	return false;
}

static void on_watch(void *user)
{
	struct witness_file *w = user;

	(void)cl_timer_set_in(w->watch, WATCH_MS);
	if (silent(w, cl_mono_ms(cl_mono_now())))
		lose(w, -ETIMEDOUT, "the share hangs: no answer for 8 seconds");
}

/* ---- life ------------------------------------------------------------------------------------------------------ */

static void on_gone(void *user)
{
	struct witness_file *w = user;

	w->gone(w->gone_user);
}

void witness_file_give_up(struct witness_file *w, bool clear, void (*gone)(void *user), void *user)
{
	struct job *j = clear && w->up ? give(w, 0, JOB_CLEAR, NULL) : NULL;

	w->up = false;
	w->gone = gone;
	w->gone_user = user;
	(void)cl_timer_set_in(w->gone_timer, j ? GIVE_UP_MS : 0);
	if (j)
		send(w, j);
}

static int thread_begin(struct witness_file *w, unsigned lane)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	w->lanes[lane].w = w;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	atomic_fetch_add(&w->users, 1);
	atomic_fetch_add(&threads, 1);
	r = -pthread_create(&thread, &attr, lane_main, &w->lanes[lane]);
	(void)pthread_attr_destroy(&attr);
	if (r < 0) {
		w->lanes[lane].w = NULL;
		atomic_fetch_sub(&threads, 1);
		atomic_fetch_sub(&w->users, 1);
	}
	return r;
}

/* -EAGAIN: too many wait for a share that hangs. Threads are begun by the loop alone, and end by themselves. */
static int threads_begin(struct witness_file *w)
{
	int r = atomic_load(&threads) > THREADS_MAX - 2 ? -EAGAIN : 0;

	for (unsigned i = 0; r == 0 && i < 2; i++)
		r = w->lanes[i].w ? 0 : thread_begin(w, i);
	w->began = r == 0;
	return r;
}

static int begin_all(struct cl_loop *loop, struct witness_file *w)
{
	int r = cl_fd_new(loop, w->out.fd, POLLIN, on_answers, w, &w->answers);

	if (r == 0)
		r = cl_timer_new(loop, on_retry, w, &w->retry);
	if (r == 0)
		r = cl_timer_new(loop, on_watch, w, &w->watch);
	if (r == 0)
		r = cl_timer_new(loop, on_gone, w, &w->gone_timer);
	if (r < 0)
		return r;
	(void)cl_timer_set_in(w->retry, 0);
	(void)cl_timer_set_in(w->watch, WATCH_MS);
	return 0;
}

static struct witness_file *file_new(const struct witness_config *config)
{
	struct witness_file *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	if (cl_mailbox_init(&w->out) < 0 || cl_mailbox_init(&w->lanes[0].in) < 0 ||
	    cl_mailbox_init(&w->lanes[1].in) < 0) {
		free(w); /* no descriptors are left: the process is about to end */
		return NULL;
	}
	atomic_init(&w->users, 1);
	TAILQ_INIT(&w->jobs[0]);
	TAILQ_INIT(&w->jobs[1]);
	w->hooks = config->hooks;
	w->node = config->node;
	w->make = config->make;
	w->unused = config->unused;
	w->silence_ms = config->silence_ms ? config->silence_ms : SILENCE_MS;
	return w;
}

int witness_file_new(struct cl_loop *loop, const struct witness_config *config,
		     struct witness_file **ret, struct cl_error *err)
{
	const char *path = config->url + strlen(WITNESS_FILE_SCHEME);
	_cleanup_(witness_file_freep) struct witness_file *w = NULL;

	if (path[0] != '/' || strlen(path) >= sizeof(w->path))
		return cl_error_set(err, -EINVAL, "'%.100s' is no absolute path", path);
	w = file_new(config);
	if (!w)
		return cl_error_set(err, -ENOMEM, "out of memory");
	(void)snprintf(w->path, sizeof(w->path), "%s", path);
	if (begin_all(loop, w) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	*ret = cl_steal(w);
	return 0;
}

void witness_file_free(struct witness_file *w)
{
	if (!w)
		return;
	w->up = false;
	atomic_fetch_add(&w->session, 1); /* what waits is not begun */
	for (unsigned i = 0; i < 2; i++) {
		struct job *j = w->lanes[i].w ? calloc(1, sizeof(*j)) : NULL;

		if (!j)
			continue;
		j->kind = JOB_END;
		cl_mailbox_put(&w->lanes[i].in, &j->mail);
	}
	cl_source_free(w->answers);
	cl_source_free(w->retry);
	cl_source_free(w->watch);
	cl_source_free(w->gone_timer);
	put_down(w);
}
