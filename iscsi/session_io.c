/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data path of a session: READ(16), WRITE(16), SYNCHRONIZE CACHE(16) and nothing else. (tgt
 * does not check reservations for UNMAP and WRITE SAME: a fenced node could go on with them.)
 */
#include "config.h"

#include "iscsi/session_int.h"

/* libiscsi takes the caller's array as it is. */
_Static_assert(sizeof(struct scsi_iovec) == sizeof(struct iovec) &&
		       offsetof(struct scsi_iovec, iov_base) == offsetof(struct iovec, iov_base) &&
		       offsetof(struct scsi_iovec, iov_len) == offsetof(struct iovec, iov_len),
	       "scsi_iovec is iovec");

static void list_add(struct io_list *l, struct lun_io *io)
{
	io->next = NULL;
	io->prev = l->last;
	if (l->last)
		l->last->next = io;
	else
		l->first = io;
	l->last = io;
}

static void list_del(struct io_list *l, struct lun_io *io)
{
	if (io->prev)
		io->prev->next = io->next;
	else
		l->first = io->next;
	if (io->next)
		io->next->prev = io->prev;
	else
		l->last = io->prev;
	io->next = io->prev = NULL;
}

static void finish(struct lun_session *s, struct io_list *from, struct lun_io *io,
		   enum lun_result result)
{
	list_del(from, io);
	s->n_io--;
	if (s->aborting == io)
		s->aborting = NULL;
	io->done(io, result);
}

static void end_all(struct lun_session *s, struct io_list *list, enum lun_result result)
{
	while (list->first)
		finish(s, list, list->first, result);
}

void lun_io_lost(struct lun_session *s)
{
	end_all(s, &s->running, LUN_LOST);
	end_all(s, &s->waiting, LUN_LOST);
}

void lun_io_end_waiting(struct lun_session *s, enum lun_result result)
{
	end_all(s, &s->waiting, result);
}

/* Not executed by the target: waits for the verification, or for the target to have room. */
static void wait_again(struct lun_session *s, struct lun_io *io)
{
	list_del(&s->running, io);
	list_add(&s->waiting, io);
	if (s->aborting == io)
		s->aborting = NULL;
}

static void on_unit_attention(struct lun_session *s, struct lun_io *io)
{
	if (s->sm.state == LUN_STOPPED) {
		finish(s, &s->running, io, LUN_CONFLICT);
		return;
	}
	wait_again(s, io);
	lun_hold(s);
}

/* Not for ever: a target that says so of one command for io_ms means it. */
static void on_busy(struct lun_session *s, struct lun_io *io)
{
	int64_t now = lun_now_ms();

	if (now - io->since_ms >= s->io_ms) {
		finish(s, &s->running, io, LUN_ERROR);
		return;
	}
	wait_again(s, io);
	s->retry_ms = now + RETRY_BUSY_MS;
}

static void on_conflict(struct lun_session *s, struct lun_io *io)
{
	lun_session_stop(s, "reservation conflict");
	finish(s, &s->running, io, LUN_CONFLICT);
}

static bool transferred_all(const struct scsi_task *task)
{
	return task->residual_status == SCSI_RESIDUAL_NO_RESIDUAL || task->residual == 0;
}

static void on_task(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_io *io = user;
	struct lun_session *s = io->session;
	struct scsi_task *task = data;
	enum lun_result result = lun_result_of(status, task, &io->sense);

	(void)iscsi;
	if (result == LUN_OK && task && !transferred_all(task))
		result = LUN_ERROR;
	if (task)
		scsi_free_scsi_task(task);
	if (s->doomed)
		result = LUN_LOST;
	if (result == LUN_LOST && s->cancelled == io) {
		wait_again(s, io);
		return;
	}
	if (result == LUN_LOST) {
		lun_session_doom(s, -ENOLINK, "connection lost with data commands under way");
		finish(s, &s->running, io, LUN_LOST);
		return;
	}
	s->heard_ms = lun_now_ms();
	if (result == LUN_UA)
		on_unit_attention(s, io);
	else if (result == LUN_BUSY)
		on_busy(s, io);
	else if (result == LUN_CONFLICT)
		on_conflict(s, io);
	else
		finish(s, &s->running, io, result == LUN_OK ? LUN_OK : LUN_ERROR);
}

static struct scsi_task *send_task(struct lun_session *s, struct lun_io *io)
{
	int block = (int)s->data.block_size;
	uint64_t lba = io->offset / s->data.block_size;
	struct scsi_iovec *iov = (struct scsi_iovec *)(uintptr_t)io->iov;

	switch (io->dir) {
	case LUN_READ:
		return iscsi_read16_iov_task(s->iscsi, s->url.lun, lba, io->length, block, 0, 0, 0,
					     0, 0, on_task, io, iov, io->iovcnt);
	case LUN_WRITE:
		return iscsi_write16_iov_task(s->iscsi, s->url.lun, lba, NULL, io->length, block, 0,
					      0, io->fua, 0, 0, on_task, io, iov, io->iovcnt);
	case LUN_FLUSH:
		break;
	}
	return iscsi_synchronizecache16_task(s->iscsi, s->url.lun, 0, 0, 0, 0, on_task, io);
}

/* false: the session is doomed; io is on no list. */
static bool transmit(struct lun_session *s, struct lun_io *io)
{
	io->task = s->iscsi ? send_task(s, io) : NULL;
	if (!io->task) {
		lun_session_doom(s, -ENOMEM, "cannot queue a data command");
		return false;
	}
	s->unsent++;
	s->unsent_write |= io->dir == LUN_WRITE;
	io->sent_ms = lun_now_ms();
	list_add(&s->running, io);
	return true;
}

/* What waited goes out again, in its order, on this same nexus, whose right was just verified. */
void lun_io_resend(struct lun_session *s)
{
	struct lun_io *io;

	s->retry_ms = INT64_MAX;
	while (s->sm.state == LUN_OPEN && !s->doomed && (io = s->waiting.first)) {
		list_del(&s->waiting, io);
		if (!transmit(s, io))
			list_add(&s->waiting, io);
	}
}

/* ---- what a reset has dropped without a word ---- */

/* Aborted, or unknown to the target: it does not run any more and will not (SAM-5, 7.2). */
static bool is_over(uint32_t response)
{
	return response == ISCSI_TMR_FUNC_COMPLETE || response == ISCSI_TMR_TASK_DOES_NOT_EXIST;
}

/*
 * What is over may be sent again on this same nexus. Any other answer says nothing: asked again in a second, until
 * io_ms decides.
 */
static void on_aborted(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_session *s = user;
	struct lun_io *io = s->aborting;
	const uint32_t *response = data;

	s->abort_out = false;
	s->aborting = NULL;
	if (s->doomed)
		return;
	if (status != SCSI_STATUS_GOOD || !response || !is_over(*response)) {
		s->abort_at_ms = lun_now_ms() + ABORT_AFTER_MS; /* and not again at once */
		return;
	}
	s->heard_ms = lun_now_ms();
	if (!io)
		return;
	s->cancelled = io;
	(void)iscsi_scsi_cancel_task(iscsi, io->task); /* on_task runs from in here */
	s->cancelled = NULL;
	if (s->sm.state == LUN_OPEN)
		lun_io_resend(s);
}

/*
 * One at a time, the oldest first. Of the barrier's own millisecond too: what was sent before it can be as young as
 * that, and one that came behind it is only sent once more.
 */
void lun_io_abort_old(struct lun_session *s, int64_t now)
{
	struct lun_io *io = s->running.first;

	if (now < s->abort_at_ms || s->abort_out || s->sm.state != LUN_OPEN)
		return;
	if (!io || io->sent_ms > s->abort_until_ms) {
		s->abort_at_ms = INT64_MAX;
		return;
	}
	s->aborting = io;
	s->abort_out = iscsi_task_mgmt_abort_task_async(s->iscsi, io->task, on_aborted, s) == 0;
	s->abort_at_ms = s->abort_out ? now : INT64_MAX;
}

void lun_session_barrier_answered(struct lun_session *s)
{
	s->abort_until_ms = lun_now_ms();
	s->abort_at_ms = s->abort_until_ms + ABORT_AFTER_MS;
	lun_session_changed(s);
}

void lun_io_deadline(struct lun_session *s, int64_t now)
{
	if (s->running.first && now - s->running.first->sent_ms >= s->io_ms)
		lun_session_doom(s, -ETIMEDOUT, "a data command was not answered for %u ms",
				 s->io_ms);
	if (now >= s->retry_ms) {
		s->retry_ms = INT64_MAX;
		if (s->sm.state == LUN_OPEN)
			lun_io_resend(s); /* in any other state the state's end decides */
	}
}

/* The gate: the one place where it is decided whether data may leave on this nexus. */
static enum lun_result gate(const struct lun_session *s)
{
	switch (s->sm.state) {
	case LUN_OPEN:
	case LUN_HELD:
		return s->doomed ? LUN_LOST : LUN_OK;
	case LUN_READY:
		if (s->defects & LUN_DEFECT_NO_GO)
			return LUN_OK;
		return LUN_REFUSED;
	case LUN_STOPPED:
		return LUN_CONFLICT;
	case LUN_DEAD:
		return LUN_LOST;
	default:
		return LUN_REFUSED;
	}
}

enum lun_result lun_session_submit(struct lun_data *data, struct lun_io *io)
{
	struct lun_session *s = (struct lun_session *)data;
	enum lun_result r = gate(s);

	if (r != LUN_OK)
		return r;
	if (!lun_io_shape_ok(data, io))
		return LUN_INVALID;
	if (s->n_io >= LUN_IO_DEPTH_MAX)
		return LUN_BUSY;
	io->session = s;
	io->since_ms = lun_now_ms();
	if (s->sm.state == LUN_HELD)
		list_add(&s->waiting, io);
	else if (!transmit(s, io))
		return LUN_LOST;
	s->n_io++;
	lun_session_changed(s);
	return LUN_OK;
}
