/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker thread around store_db.c: a queue in, an eventfd back to the loop. */
#include "config.h"

#include "clusterd/store.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "clusterd/store_db.h"
#include "lib/assert.h"

/* So long lines of the event log wait for something that somebody waits for. */
#define LINES_MS 20

struct job {
	struct job *next;
	struct store_write w; /* owns its bytes and entries */
	struct cl_mono submitted;
};

struct store {
	struct store_db *db;
	const struct store_ops *ops;
	void *user;
	struct cl_source *wake, *lines;
	int wake_fd;
	pthread_t thread;
	bool running;

	pthread_mutex_t lock; /* for everything below */
	pthread_cond_t more;
	struct job *first, **last;
	bool due; /* somebody waits for one of them, or they have lain long enough */
	bool stop, failed_told;
	uint64_t done_seq;
	struct cl_mono done_submitted, done_at;
	struct cl_error failed;
};

/* ---- jobs ----------------------------------------------------------------------------------- */

static int blob_copy(const struct store_blob *from, struct store_blob *ret)
{
	if (!from->data)
		return 0;
	ret->data = malloc(from->len + 1);
	if (!ret->data)
		return -ENOMEM;
	memcpy(ret->data, from->data, from->len);
	ret->len = from->len;
	return 0;
}

static void job_free(struct job *job)
{
	struct store_entry *entries;

	if (!job)
		return;
	entries = (struct store_entry *)job->w.entries; /* ours: job_new() made it */
	for (size_t i = 0; i < job->w.n_entries; i++)
		free(entries[i].data.data);
	free(entries);
	free(job->w.hard.data);
	free(job->w.event.data);
	free(job->w.witness.data);
	free(job->w.snapshot.data);
	free(job);
}

CL_DEFINE_CLEANUP(struct job, job_free);

static int job_copy_entries(struct job *job, const struct store_write *w)
{
	struct store_entry *entries;
	int r = 0;

	if (!w->n_entries)
		return 0;
	entries = calloc(w->n_entries, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	job->w.entries = entries;
	job->w.n_entries = w->n_entries;
	for (size_t i = 0; r == 0 && i < w->n_entries; i++) {
		entries[i] = w->entries[i];
		entries[i].data = (struct store_blob){ 0 };
		r = blob_copy(&w->entries[i].data, &entries[i].data);
	}
	return r;
}

static int job_new(const struct store_write *w, struct job **ret)
{
	_cleanup_(job_freep) struct job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return -ENOMEM;
	job->w = *w;
	job->w.hard = job->w.snapshot = job->w.event = job->w.witness = (struct store_blob){ 0 };
	job->w.entries = NULL;
	job->w.n_entries = 0;
	job->submitted = cl_mono_now();
	r = blob_copy(&w->hard, &job->w.hard);
	if (r == 0)
		r = blob_copy(&w->snapshot, &job->w.snapshot);
	if (r == 0)
		r = blob_copy(&w->event, &job->w.event);
	if (r == 0)
		r = blob_copy(&w->witness, &job->w.witness);
	if (r == 0)
		r = job_copy_entries(job, w);
	if (r < 0)
		return r;
	*ret = cl_steal(job);
	return 0;
}

static void jobs_free(struct job *job)
{
	while (job) {
		struct job *next = job->next;

		job_free(job);
		job = next;
	}
}

/* ---- worker thread --------------------------------------------------------------------------- */

/* All that is waiting, or NULL when it is time to stop and nothing is left. */
static struct job *worker_take(struct store *st)
{
	struct job *jobs;

	(void)pthread_mutex_lock(&st->lock);
	while (!(st->first && st->due) && !st->stop)
		(void)pthread_cond_wait(&st->more, &st->lock);
	jobs = st->first;
	st->first = NULL;
	st->last = &st->first;
	st->due = false;
	(void)pthread_mutex_unlock(&st->lock);
	return jobs;
}

/* One transaction and one sync for all of them. */
static int worker_write(struct store *st, struct job *jobs, struct cl_error *err)
{
	int r = store_db_begin(st->db, err);

	for (struct job *job = jobs; r == 0 && job; job = job->next)
		r = store_db_put(st->db, &job->w, err);
	return r == 0 ? store_db_commit(st->db, err) : r;
}

static void worker_report(struct store *st, const struct job *last, const struct cl_error *err)
{
	if (!last && !err->code)
		return; /* nobody waits */
	(void)pthread_mutex_lock(&st->lock);
	if (err->code) {
		st->failed = *err;
	} else {
		st->done_seq = last->w.seq;
		st->done_submitted = last->submitted;
		st->done_at = cl_mono_now();
	}
	(void)pthread_mutex_unlock(&st->lock);
	(void)eventfd_write(st->wake_fd, 1);
}

static void *worker(void *user)
{
	struct store *st = user;
	struct job *jobs;

	while ((jobs = worker_take(st))) {
		struct cl_error err = CL_ERROR_INIT;
		const struct job *last = NULL;

		for (const struct job *job = jobs; job; job = job->next)
			last = job->w.seq ? job : last;
		(void)worker_write(st, jobs, &err);
		worker_report(st, last, &err);
		jobs_free(jobs);
		if (err.code)
			break; /* final: nothing after a failed write may reach the disk */
	}
	return NULL;
}

/* ---- loop side ------------------------------------------------------------------------------- */

static void on_wake(void *user, int fd, uint32_t revents)
{
	struct store *st = user;
	struct cl_error failed;
	bool tell_failed;
	eventfd_t n;
	uint64_t seq;
	int64_t took;

	(void)revents;
	(void)eventfd_read(fd, &n);
	(void)pthread_mutex_lock(&st->lock);
	seq = st->done_seq;
	st->done_seq = 0;
	took = cl_mono_diff_ms(st->done_submitted, st->done_at);
	failed = st->failed;
	tell_failed = failed.code && !st->failed_told;
	st->failed_told |= tell_failed;
	(void)pthread_mutex_unlock(&st->lock);
	if (seq)
		st->ops->on_persisted(st->user, seq, took);
	if (tell_failed)
		st->ops->on_failed(st->user, &failed);
}

static void on_lines(void *user)
{
	struct store *st = user;

	(void)pthread_mutex_lock(&st->lock);
	st->due |= st->first != NULL;
	(void)pthread_mutex_unlock(&st->lock);
	(void)pthread_cond_signal(&st->more);
}

/*
 * Lines of the event log, for which nobody waits, share the sync of the next write, or one of their own after a
 * moment. Each change leads to one or two of them: with a sync for each the next change waits for theirs. Nor do they
 * wake the writer, which would run just when the others are told.
 */
int store_submit(struct store *st, const struct store_write *w)
{
	struct job *job;
	int r = job_new(w, &job);
	bool first;

	if (r < 0)
		return r;
	(void)pthread_mutex_lock(&st->lock);
	first = !st->first;
	st->due |= w->seq != 0;
	*st->last = job;
	st->last = &job->next;
	(void)pthread_mutex_unlock(&st->lock);
	if (w->seq)
		(void)pthread_cond_signal(&st->more);
	else if (first)
		(void)cl_timer_set_in(st->lines, LINES_MS);
	return 0;
}

static int store_start(struct store *st, struct cl_loop *loop)
{
	int r;

	st->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (st->wake_fd < 0)
		return -errno;
	r = cl_fd_new(loop, st->wake_fd, POLLIN, on_wake, st, &st->wake);
	if (r == 0)
		r = cl_timer_new(loop, on_lines, st, &st->lines);
	if (r == 0)
		r = -pthread_create(&st->thread, NULL, worker, st);
	st->running = r == 0;
	return r;
}

int store_open(const char *dir, const char *anew, struct cl_loop *loop, const struct store_ops *ops,
	       void *user, struct store **ret, struct store_image *ret_image, struct cl_error *err)
{
	_cleanup_(store_closep) struct store *st = calloc(1, sizeof(*st));
	int r;

	if (!st)
		return cl_error_set(err, -ENOMEM, "out of memory");
	st->wake_fd = -1;
	st->ops = ops;
	st->user = user;
	st->last = &st->first;
	(void)pthread_mutex_init(&st->lock, NULL);
	(void)pthread_cond_init(&st->more, NULL);
	r = store_db_open(dir, anew, &st->db, ret_image, err);
	if (r < 0)
		return r;
	r = store_start(st, loop);
	if (r < 0) {
		store_image_fini(ret_image);
		return cl_error_errno(err, r, "start the database's writer");
	}
	*ret = cl_steal(st);
	return 0;
}

void store_close(struct store *st)
{
	if (!st)
		return;
	if (st->running) {
		(void)pthread_mutex_lock(&st->lock);
		st->stop = true;
		(void)pthread_cond_signal(&st->more);
		(void)pthread_mutex_unlock(&st->lock);
		(void)pthread_join(st->thread, NULL);
	}
	cl_source_free(st->wake);
	cl_source_free(st->lines);
	if (st->wake_fd >= 0)
		(void)close(st->wake_fd);
	jobs_free(st->first);
	store_db_close(st->db);
	(void)pthread_cond_destroy(&st->more);
	(void)pthread_mutex_destroy(&st->lock);
	free(st);
}
