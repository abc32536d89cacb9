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

static const char *const state_names[] = { "opening", "grace", "serving", "closed", "failed" };

void coord_post_out(struct coord *c, struct csv_mail *mail)
{
	mail->from = c;
	mail->serial = c->cfg.serial;
	cl_mailbox_put(c->cfg.out, &mail->mail);
}

static void set_state(struct coord *c, enum coord_state state, const char *text)
{
	struct csv_mail *mail = csv_mail_new(MAIL_STATE, NULL, 0);
	struct fs_statfs st = { 0 };

	c->state = state;
	if (!mail)
		return;
	if (c->fs && state != COORD_FAILED)
		fs_statfs(c->fs, &st);
	mail->state = state;
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
	set_state(c, COORD_FAILED, c->why);
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

void coord_send(struct coord *c, uint64_t conn, Csv__Message *msg)
{
	struct csv_mail *mail;

	msg->epoch = c->cfg.epoch;
	msg->sequence = ++c->sequence;
	mail = csv_mail_pack(MAIL_REPLY, msg);
	if (!mail) {
		coord_fail(c, "out of memory");
		return;
	}
	mail->conn = conn;
	mail->bulk = msg->msg_case == CSV__MESSAGE__MSG_RESULT && msg->result->data.len > 4096;
	if (c->batch_tail)
		c->batch_tail->mail.next = &mail->mail;
	else
		c->batch = mail;
	c->batch_tail = mail;
}

/* What the batch tells is true only now: it leaves after the commit, or never. */
static void flush_batch(struct coord *c, bool send)
{
	struct csv_mail *mail = c->batch, *next;

	for (; mail; mail = next) {
		next = (struct csv_mail *)(void *)mail->mail.next;
		if (send)
			coord_post_out(c, mail);
		else
			free(mail);
	}
	c->batch = c->batch_tail = NULL;
}

static void commit_batch(struct coord *c)
{
	int r = 0;

	if (c->cfg.defects & COORD_DEFECT_EARLY_ANSWER)
		flush_batch(c, c->state != COORD_FAILED);
	if (c->state == COORD_GRACE || c->state == COORD_SERVING) {
		coord_drop_records(c);
		if (fs_uncommitted(c->fs)) {
			r = fs_commit(c->fs);
			counters_add(c->cfg.counters, COUNTERS_COMMITS);
		}
		if (r >= 0 && c->flush)
			r = fs_dev_flush(c->dev);
		c->flush = false;
		if (r < 0 && !coord_dead(c, r))
			coord_fail(c, "commit: %s", strerror(-r));
	}
	flush_batch(c, c->state != COORD_FAILED);
}

/* ---- operations ---------------------------------------------------------------------------- */

void req_free(struct req *q)
{
	csv__message__free_unpacked(q->msg, NULL);
	free(q);
}

static void park(struct coord *c, struct req *q)
{
	q->next = NULL;
	*c->parked_tail = q;
	c->parked_tail = &q->next;
}

static void res_fini(struct res *res)
{
	for (size_t i = 0; i < res->n_dirents; i++)
		free(res->dirents[i].name);
	free(res->r.dirents);
	free(res->dirents);
	free(res->owned);
}

static int res_finish(struct res *res)
{
	if (!res->n_dirents)
		return 0;
	res->r.dirents = calloc(res->n_dirents, sizeof(*res->r.dirents));
	if (!res->r.dirents)
		return -ENOMEM;
	for (size_t i = 0; i < res->n_dirents; i++)
		res->r.dirents[i] = &res->dirents[i];
	res->r.n_dirents = res->n_dirents;
	return 0;
}

void req_reply(struct coord *c, struct req *q, struct res *res)
{
	Csv__Message msg = CSV__MESSAGE__INIT;

	msg.msg_case = CSV__MESSAGE__MSG_RESULT;
	msg.result = &res->r;
	msg.node = q->msg->node;
	msg.mount = q->msg->mount;
	msg.incarnation = q->msg->incarnation;
	coord_send(c, q->conn, &msg);
}

static bool lease_over(const struct coord *c)
{
	return cl_mono_ms(cl_mono_now()) >= atomic_load(c->cfg.lease_until_ms);
}

static bool may_execute(const struct coord *c)
{
	return c->state == COORD_SERVING && !c->closing && !lease_over(c);
}

/* Answers and frees q, or parks it. */
static void req_run(struct coord *c, struct req *q)
{
	struct res res = { .r = CSV__RESULT__INIT };
	int r = OP_PARK;

	q->want = (struct want){ 0 };
	if (may_execute(c))
		r = q->op ? coord_execute(c, q, &res) : layout_get(c, q);
	if (r == OP_PARK && c->state != COORD_FAILED) {
		res_fini(&res);
		park(c, q);
		c->lease_parked |= lease_over(c);
		return;
	}
	if (r == OP_TAKEN)
		return;
	if (!q->op) {
		if (r < 0)
			(void)coord_dead(c, r);
		req_free(q);
		return;
	}
	if (r >= 0)
		r = res_finish(&res);
	res.r.unique = q->op->unique;
	res.r.error = (uint32_t)-r;
	if (c->state != COORD_FAILED)
		req_reply(c, q, &res);
	res_fini(&res);
	req_free(q);
}

static void run_parked(struct coord *c)
{
	struct req *q = c->parked, *next;

	c->retry_parked = c->lease_parked = false;
	c->parked = NULL;
	c->parked_tail = &c->parked;
	for (; q; q = next) {
		next = q->next;
		req_run(c, q);
	}
}

void coord_drop_parked(struct coord *c, uint64_t session)
{
	struct req **p = &c->parked, *q;

	while ((q = *p)) {
		if (q->session == session) {
			*p = q->next;
			req_free(q);
		} else {
			p = &q->next;
		}
	}
	c->parked_tail = p;
}

/* An interrupted wait: answered EINTR, unless it has been answered otherwise meanwhile. */
static void on_cancel(struct coord *c, const struct session *s, uint64_t unique)
{
	struct req **p = &c->parked, *q;
	struct res res = { .r = CSV__RESULT__INIT };

	for (; (q = *p); p = &q->next)
		if (q->session == s->id && q->op && q->op->unique == unique)
			break;
	if (!q)
		return;
	*p = q->next;
	if (!q->next)
		c->parked_tail = p;
	res.r.unique = unique;
	res.r.error = EINTR;
	req_reply(c, q, &res);
	req_free(q);
}

/* ---- messages ------------------------------------------------------------------------------ */

/* Takes msg over. */
static void add_req(struct coord *c, const struct session *s, Csv__Message *msg)
{
	struct req *q = calloc(1, sizeof(*q));

	if (!q) {
		csv__message__free_unpacked(msg, NULL);
		coord_fail(c, "out of memory");
		return;
	}
	*q = (struct req){ .conn = s->conn, .session = s->id, .msg = msg };
	q->op = msg->msg_case == CSV__MESSAGE__MSG_OP ? msg->op : NULL;
	req_run(c, q);
}

/* Takes msg over. */
static void on_op(struct coord *c, const struct session *s, Csv__Message *msg)
{
	if (msg->msg_case == CSV__MESSAGE__MSG_OP && msg->op->kind == CSV__KIND__CANCEL) {
		on_cancel(c, s, msg->op->offset);
		csv__message__free_unpacked(msg, NULL);
		return;
	}
	add_req(c, s, msg);
}

static void on_ack(struct coord *c, const struct session *s, const Csv__Ack *ack)
{
	for (size_t i = 0; i < ack->n_unique; i++)
		(void)ack_vec_push(&c->acks, (struct ack){ { s->node, s->mount, ack->unique[i] } });
}

static void close_conn(struct coord *c, uint64_t conn)
{
	struct csv_mail *mail = csv_mail_new(MAIL_CLOSE_CONN, NULL, 0);

	if (!mail)
		return;
	mail->conn = conn;
	coord_post_out(c, mail);
}

void coord_cut_off(struct coord *c, struct session *s)
{
	close_conn(c, s->conn);
	coord_on_conn_lost(c, s->conn);
}

/* A message of an established session, in its own term. Takes msg over. */
static void on_session_message(struct coord *c, struct session *s, Csv__Message *msg)
{
	switch (msg->msg_case) {
	case CSV__MESSAGE__MSG_RECLAIM:
		coord_on_reclaim(c, s, msg->reclaim);
		break;
	case CSV__MESSAGE__MSG_ACK:
		on_ack(c, s, msg->ack);
		break;
	case CSV__MESSAGE__MSG_BYE:
		coord_on_bye(c, s);
		break;
	case CSV__MESSAGE__MSG_NEXUS_ASK:
		nexus_ask(c, s, msg->nexus_ask);
		break;
	case CSV__MESSAGE__MSG_NEXUS_REGISTERED:
		nexus_registered(c, s, msg->nexus_registered);
		break;
	case CSV__MESSAGE__MSG_OP:
	case CSV__MESSAGE__MSG_LAYOUT_GET:
		if (s->sm.state == SESSION_ACTIVE) {
			on_op(c, s, msg);
			return;
		}
		close_conn(c, s->conn);
		break;
	case CSV__MESSAGE__MSG_RECALLED:
		recall_answered(c, s, msg->recalled);
		break;
	case CSV__MESSAGE__MSG_TOUCHED:
		if (may_execute(c))
			layout_touched(c, s, msg->touched);
		break;
	default:
		close_conn(c, s->conn);
	}
	csv__message__free_unpacked(msg, NULL);
}

static void on_message(struct coord *c, const struct csv_mail *mail)
{
	Csv__Message *msg = csv__message__unpack(NULL, mail->len, mail->body);
	struct session *s;

	if (!msg) {
		close_conn(c, mail->conn);
		return;
	}
	if (msg->msg_case == CSV__MESSAGE__MSG_HELLO) {
		coord_on_hello(c, mail->conn, msg);
		return;
	}
	/* A connection that was superseded has no session any more: what was still under way on it
	 * comes again on the new one, and must not be executed beside it. */
	s = session_by_conn(&c->sessions, mail->conn);
	if (!s || msg->epoch != c->cfg.epoch || msg->node != s->node || msg->mount != s->mount) {
		csv__message__free_unpacked(msg, NULL);
		if (s)
			close_conn(c, mail->conn);
		return;
	}
	on_session_message(c, s, msg);
}

static void on_tables(struct coord *c, const struct csv_mail *mail)
{
	Vol__Tables *t = vol__tables__unpack(NULL, mail->len, mail->body);

	if (!t)
		return;
	if (c->tables)
		vol__tables__free_unpacked(c->tables, NULL);
	c->tables = t;
	c->retry_parked = true;
	if (c->state == COORD_SERVING && layout_redirected(c))
		recall_all(c);
}

/* What ran for it in this thread has finished, what was parked is dropped with the session. */
static void end_fence(struct coord *c, const struct fence *f)
{
	struct csv_mail *done = csv_mail_new(MAIL_FENCE_DONE, NULL, 0);

	counters_add(c->cfg.counters, COUNTERS_FENCES);
	coord_close_fenced(c, f->node, f->up_to);
	coord_try_end_grace(c);
	if (!done)
		return;
	done->id = f->id;
	coord_post_out(c, done);
}

void coord_retry_fences(struct coord *c)
{
	for (size_t i = 0; i < c->fences.n;) {
		struct fence f = c->fences.v[i];

		if (block_busy(c, f.node, f.up_to)) {
			i++;
			continue;
		}
		fence_vec_remove(&c->fences, i);
		end_fence(c, &f);
	}
}

static void on_fenced(struct coord *c, const struct csv_mail *mail)
{
	struct fence f = { mail->id, mail->node, mail->incarnation };

	coord_shut_out(c, f.node, f.up_to);
	if (fence_vec_push(&c->fences, f) < 0)
		coord_fail(c, "out of memory");
	coord_retry_fences(c);
}

/* Not before goodbyes have been met: the session of one that has left would be waited for in grace. */
static void try_close(struct coord *c)
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
		set_state(c, COORD_CLOSED, "");
}

static void on_mail(struct coord *c, struct csv_mail *mail)
{
	bool up = c->state == COORD_GRACE || c->state == COORD_SERVING;

	if (mail->kind == MAIL_STOP)
		c->stop = true;
	else if (mail->kind == MAIL_TABLES)
		on_tables(c, mail);
	else if (mail->kind == MAIL_BARRIER)
		coord_on_barrier(c, mail->id); /* before there are sessions: kept for them */
	else if (!up)
		; /* closed or failed: whoever asked goes to the next coordinator */
	else if (mail->kind == MAIL_MESSAGE)
		on_message(c, mail);
	else if (mail->kind == MAIL_CONN_LOST)
		coord_on_conn_lost(c, mail->conn);
	else if (mail->kind == MAIL_NEXUS)
		nexus_on_mail(c, mail);
	else if (mail->kind == MAIL_IO_DONE)
		block_on_done(c, mail);
	else if (mail->kind == MAIL_FENCED)
		on_fenced(c, mail);
	else if (mail->kind == MAIL_CLOSE)
		c->closing = true;
	else if (mail->kind == MAIL_REPORT)
		coord_on_report(c, mail);
	else if (mail->kind == MAIL_CHECK)
		coord_on_check(c, mail);
	if (up && c->state != COORD_FAILED)
		try_close(c);
	free(mail);
}

/* ---- life ---------------------------------------------------------------------------------- */

static struct csv_mail *next_mail(struct coord *c)
{
	struct csv_mail *mail = c->early;

	if (!mail)
		return csv_mail_get(&c->in);
	c->early = (struct csv_mail *)(void *)mail->mail.next;
	if (!c->early)
		c->early_tail = NULL;
	return mail;
}

static void keep_early(struct coord *c, struct csv_mail *mail)
{
	mail->mail.next = NULL;
	if (c->early_tail)
		c->early_tail->mail.next = &mail->mail;
	else
		c->early = mail;
	c->early_tail = mail;
}

bool coord_stop_asked(struct coord *c)
{
	struct csv_mail *mail;

	while (!c->stop && (mail = csv_mail_get(&c->in))) {
		c->stop = mail->kind == MAIL_STOP;
		if (c->stop)
			free(mail);
		else
			keep_early(c, mail);
	}
	return c->stop;
}

int coord_mail_fd(const struct coord *c)
{
	return c->in.fd;
}

int coord_wait_go(struct coord *c, struct cl_error *err)
{
	struct csv_mail *mail = csv_mail_new(MAIL_LOGGED_IN, NULL, 0);
	bool ok;

	if (!mail)
		return cl_error_set(err, -ENOMEM, "out of memory");
	coord_post_out(c, mail);
	for (;;) {
		mail = csv_mail_get(&c->in);
		if (!mail) {
			cl_mailbox_wait(&c->in, -1);
			continue;
		}
		if (mail->kind == MAIL_GO)
			break;
		if (mail->kind == MAIL_STOP) {
			c->stop = true;
			free(mail);
			return cl_error_set(err, -ECANCELED, "stopped before GO");
		}
		keep_early(c, mail);
	}
	ok = mail->ok;
	if (!ok)
		(void)cl_error_set(err, -CL_EREFUSED, "no GO: %s", mail->text);
	free(mail);
	return ok ? 0 : -CL_EREFUSED;
}

/* The term's first change: nothing of an older epoch may be taken for ours afterwards. */
static int write_epoch(struct coord *c, struct cl_error *err)
{
	struct timespec now;
	struct fs_vol vol;
	int r;

	fs_vol_get(c->fs, &vol);
	if (vol.epoch > c->cfg.epoch)
		return cl_error_set(err, -ESTALE, "the volume has seen epoch %llu, this is %llu",
				    (unsigned long long)vol.epoch,
				    (unsigned long long)c->cfg.epoch);
	/* The same epoch: this node's csvd takes up its own term again, with GO for it. */
	if (vol.epoch == c->cfg.epoch)
		return 0;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	r = fs_begin(c->fs, now);
	if (r < 0)
		return cl_error_errno(err, r, "begin");
	r = fs_set_epoch(c->fs, c->cfg.epoch);
	if (r < 0) {
		fs_abort(c->fs);
		return cl_error_errno(err, r, "epoch");
	}
	r = fs_end(c->fs);
	if (r >= 0)
		r = fs_commit(c->fs);
	return r < 0 ? cl_error_errno(err, r, "epoch") : 0;
}

/* A LUN can be copied, with the volume's uuid: it is still not this cluster's. NULL: not known. */
static const uint8_t *cluster_of(const struct coord *c)
{
	return c->tables->cluster.len == FS_UUID_SIZE ? c->tables->cluster.data : NULL;
}

static int open_volume(struct coord *c, struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = c->cfg.volume,
				       .cluster_uuid = cluster_of(c) };
	int r = c->cfg.open(c->cfg.user, c, &c->dev, err);

	if (r < 0)
		return r;
	r = fs_open(c->dev, &opt, &c->fs, err);
	if (r < 0)
		return r;
	r = write_epoch(c, err);
	if (r < 0)
		return r;
	r = coord_load_sessions(c);
	return r < 0 ? cl_error_errno(err, r, "sessions") : 0;
}

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
	return sooner(sooner(ms, recall), coord_space_wait_ms(c));
}

static void serve(struct coord *c)
{
	struct csv_mail *mail;

	while (!c->stop) {
		cl_mailbox_wait(&c->in, wait_ms(c));
		for (int n = 0; n < BATCH_MAX && !c->stop && (mail = next_mail(c)); n++)
			on_mail(c, mail);
		if (c->retry_parked || (c->lease_parked && !lease_over(c)))
			run_parked(c);
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

	set_state(c, COORD_OPENING, "");
	if (c->cfg.job) {
		coord_run_job(c, &err);
		if (err.code)
			coord_fail(c, "%s", err.msg);
		else
			set_state(c, COORD_CLOSED, "");
	} else if (open_volume(c, &err) < 0) {
		coord_fail(c, "%s", err.msg);
	} else {
		set_state(c, COORD_GRACE, "");
		coord_try_end_grace(c);
		commit_batch(c);
	}
	serve(c);
	return NULL;
}

void coord_set_serving(struct coord *c)
{
	set_state(c, COORD_SERVING, "");
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
	while ((mail = next_mail(c)))
		free(mail);
	for (struct req *q = c->parked, *next; q; q = next) {
		next = q->next;
		req_free(q);
	}
	flush_batch(c, false);
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
