/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator's thread: mail in, batches, commit, mail out. See coord.h for the contract. */
#include "config.h"

#include "csv/coord.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/coord_int.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define BATCH_MAX 64	  /* mails executed before a commit lets results out */
#define LEASE_RETRY_MS 50 /* operations that wait for the lease are tried again this often */
#define IDLE_MS 1000	  /* records of answered operations are dropped at the latest then */

static const char *const state_names[] = { "opening", "grace",	"serving",
					   "closed",  "failed", "refused" };

void coord_post_out(struct coord *c, struct csv_mail *mail)
{
	mail->from = c;
	mail->serial = c->cfg.serial;
	cl_mailbox_put(c->cfg.out, &mail->mail);
}

void coord_set_state(struct coord *c, enum coord_state state, const char *text)
{
	struct csv_mail *mail = csv_mail_new(MAIL_STATE, NULL, 0);
	struct fs_statfs st = { 0 };

	c->state = state;
	if (!mail)
		return;
	if (c->fs && state != COORD_FAILED && state != COORD_REFUSED)
		fs_statfs(c->fs, &st);
	mail->state = state;
	mail->id = c->later_epoch;
	mail->size_bytes = st.blocks * FS_BLOCK_SIZE;
	mail->free_bytes = st.bavail * FS_BLOCK_SIZE;
	(void)snprintf(mail->text, sizeof(mail->text), "%s%s%s", state_names[state],
		       *text ? ": " : "", text);
	coord_post_out(c, mail);
}

void coord_fail(struct coord *c, const char *fmt, ...)
{
	va_list ap;

	if (c->state == COORD_FAILED)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	coord_set_state(c, COORD_FAILED, c->why);
}

bool coord_dead(struct coord *c, int r)
{
	if (r == -EBADE)
		coord_fail(c, "fenced: the LUN no longer takes this node's commands");
	else if (r == -ENOLINK || r == -ETIMEDOUT)
		coord_fail(c, "the path to the LUN is lost");
	else if (c->fs && fs_dead(c->fs))
		coord_fail(c, "a write to the journal failed (%s)", strerror(-r));
	return c->state == COORD_FAILED;
}

static struct csv_mail *pack(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct csv_mail *mail;

	msg->epoch = c->cfg.epoch;
	msg->sequence = ++c->sequence;
	mail = csv_mail_pack(MAIL_REPLY, msg);
	if (!mail) {
		coord_fail(c, "out of memory");
		return NULL;
	}
	mail->conn = conn;
	mail->bulk = msg->msg_case == CSV__MESSAGE__MSG_RESULT && msg->result->data.len > 4096;
	return mail;
}

static void append(struct csv_mail **list, struct csv_mail **tail, struct csv_mail *mail)
{
	if (*tail)
		(*tail)->mail.next = &mail->mail;
	else
		*list = mail;
	*tail = mail;
}

void coord_send(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct csv_mail *mail = pack(c, conn, msg);

	if (mail)
		append(&c->batch, &c->batch_tail, mail);
}

void coord_send_soon(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct csv_mail *mail = pack(c, conn, msg);

	if (mail)
		append(&c->soon, &c->soon_tail, mail);
}

void coord_send_first(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct csv_mail *mail = pack(c, conn, msg);

	if (mail)
		coord_post_out(c, mail);
}

static void flush_list(struct coord *c, struct csv_mail **list, struct csv_mail **tail, bool send)
{
	struct csv_mail *mail = *list, *next;

	for (; mail; mail = next) {
		next = (struct csv_mail *)(void *)mail->mail.next;
		if (send)
			coord_post_out(c, mail);
		else
			free(mail);
	}
	*list = *tail = NULL;
}

/* What the batch tells is true only now: it leaves after the commit, or never. */
static void flush_batch(struct coord *c, bool send)
{
	flush_list(c, &c->batch, &c->batch_tail, send);
}

static void commit(struct coord *c)
{
	int r = 0;

	coord_drop_records(c);
	if (fs_uncommitted(c->fs)) {
		r = fs_commit(c->fs);
		counters_add(c->cfg.counters, COUNTERS_COMMITS);
	}
	if (r >= 0 && c->flush)
		r = fs_dev_flush(c->dev);
	c->flush = c->other_change = false;
	if (r < 0 && !coord_dead(c, r))
		coord_fail(c, "commit: %s", strerror(-r));
	if (c->state != COORD_FAILED)
		grow_tell_settled(c);
}

/* Whether nothing was done, and nothing has to be told, that a commit has to precede. */
static bool may_wait(const struct coord *c)
{
	return c->settle_at_ms && !c->batch && !c->flush && !c->other_change && !c->closing &&
	       !c->check && grow_wait_ms(c) > 0;
}

static void commit_batch(struct coord *c)
{
	if (c->cfg.defects & COORD_DEFECT_EARLY_ANSWER)
		flush_batch(c, c->state != COORD_FAILED);
	if ((c->state == COORD_GRACE || c->state == COORD_SERVING) && !may_wait(c))
		commit(c);
	flush_batch(c, c->state != COORD_FAILED);
	flush_list(c, &c->soon, &c->soon_tail, c->state != COORD_FAILED);
}

/* Not before goodbyes have been met: the session of one that has left would be waited for in grace. */
void coord_try_close(struct coord *c)
{
	int r;

	if (!c->closing || nexus_bye_waits(c) || c->proxied.n)
		return;
	commit_batch(c);
	if (c->state == COORD_FAILED)
		return;
	coord_check_stop(c);
	r = fs_close(c->fs);
	if (r < 0 && !coord_dead(c, r))
		coord_fail(c, "close: %s", strerror(-r));
	if (c->state != COORD_FAILED)
		coord_set_state(c, COORD_CLOSED, "");
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool has_work(const struct coord *c)
{
	return c->state == COORD_SERVING && fs_has_work(c->fs);
}

/* One step of large deletions; with its own commit, so that nobody's answer waits for it. */
static void work(struct coord *c)
{
	struct timespec now;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	c->other_change = true;
	r = fs_work(c->fs, now);
	if (r < 0 && !coord_dead(c, r))
		log_warning(
			"volume '%s': a deleted file keeps its space until the next take-over: %s",
			c->name, strerror(-r));
	commit_batch(c);
}

/* Of two waits; -1 = for ever. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static int wait_ms(const struct coord *c)
{
	int ms = c->acks.n ? IDLE_MS : -1, recall = recall_wait_ms(c);

	if (c->early || c->retry_parked || c->check || has_work(c))
		return 0;
	if (c->lease_parked && (ms < 0 || ms > LEASE_RETRY_MS))
		ms = LEASE_RETRY_MS;
	ms = sooner(sooner(ms, recall), sooner(coord_space_wait_ms(c), grow_wait_ms(c)));
	return sooner(ms, coord_look_wait_ms(c));
}

static void serve(struct coord *c)
{
	struct csv_mail *mail;

	while (!c->stop) {
		cl_mailbox_wait(&c->in, wait_ms(c));
		for (int n = 0; n < BATCH_MAX && !c->stop && (mail = coord_next_mail(c)); n++)
			coord_on_mail(c, mail);
		if (c->retry_parked || (c->lease_parked && !coord_lease_over(c)))
			req_run_parked(c);
		coord_look_again(c);
		recall_check_silence(c);
		coord_tell_space(c);
		commit_batch(c);
		if (has_work(c))
			work(c);
		else
			coord_check_step(c); /* no operation is open here */
	}
}

static void *coord_main(void *arg)
{
	struct cl_error err = CL_ERROR_INIT;
	struct coord *c = arg;

	coord_set_state(c, COORD_OPENING, "");
	if (c->cfg.job) {
		coord_run_job(c, &err);
		if (err.code)
			coord_fail(c, "%s", err.msg);
		else
			coord_set_state(c, COORD_CLOSED, "");
	} else {
		coord_open(c);
	}
	serve(c);
	return NULL;
}

void coord_begin_grace(struct coord *c)
{
	coord_set_state(c, COORD_GRACE, "");
	coord_try_end_grace(c);
	commit_batch(c);
}

int coord_new(const struct coord_config *config, const void *tables, size_t len, struct coord **ret,
	      struct cl_error *err)
{
	struct coord *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return cl_error_set(err, -ENOMEM, "out of memory");
	c->cfg = *config;
	(void)snprintf(c->name, sizeof(c->name), "%s", config->name);
	c->cfg.name = c->name;
	c->parked_tail = &c->parked;
	c->tables = vol__tables__unpack(NULL, len, tables);
	r = c->tables ? cl_mailbox_init(&c->in) : -EINVAL;
	if (r < 0) {
		free(c);
		return cl_error_errno(err, r, "coordinator of '%s'", config->name);
	}
	r = -pthread_create(&c->thread, NULL, coord_main, c);
	if (r < 0) {
		cl_mailbox_fini(&c->in);
		vol__tables__free_unpacked(c->tables, NULL);
		free(c);
		return cl_error_errno(err, r, "coordinator of '%s': thread", config->name);
	}
	*ret = c;
	return 0;
}

void coord_post(struct coord *c, struct csv_mail *mail)
{
	cl_mailbox_put(&c->in, &mail->mail);
}

void coord_free(struct coord *c)
{
	struct csv_mail *mail;

	if (!c)
		return;
	(void)pthread_join(c->thread, NULL);
	while ((mail = coord_next_mail(c)))
		free(mail);
	for (struct req *q = c->parked, *next; q; q = next) {
		next = q->next;
		req_free(q);
	}
	flush_batch(c, false);
	flush_list(c, &c->soon, &c->soon_tail, false);
	coord_check_stop(c);
	fs_free(c->fs);
	fs_dev_free(c->dev);
	session_table_fini(&c->sessions);
	handle_vec_fini(&c->handles);
	lock_table_fini(&c->locks);
	layout_fini(&c->layouts);
	ack_vec_fini(&c->acks);
	nexus_fini(c);
	block_fini(c);
	fence_vec_fini(&c->fences);
	vol__tables__free_unpacked(c->tables, NULL);
	cl_mailbox_fini(&c->in);
	free(c);
}
