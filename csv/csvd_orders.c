/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Orders of clusterd: each is given to the volume that it is about, and answered once, when it is done. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "csv/csvd_int.h"
#include "lib/log.h"

static struct volume *by_field(struct csvd *d, const ProtobufCBinaryData *uuid)
{
	return uuid->len == 16 ? csvd_volume(d, uuid->data) : NULL;
}

static void send_done(struct csvd *d, Vol__Done *done)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;

	done->ok = done->code == 0;
	msg.msg_case = VOL__FROM_CSVD__MSG_DONE;
	msg.done = done;
	if (done->code)
		log_warning("order %" PRIu64 ": %s", done->id, done->error);
	else
		log_info("order %" PRIu64 " done", done->id);
	cluster_send(d->cluster, &msg);
}

void csvd_done(struct csvd *d, uint64_t order, int code, const char *error)
{
	Vol__Done done = VOL__DONE__INIT;

	done.id = order;
	done.code = (uint32_t)code;
	done.error = (char *)(uintptr_t)error;
	send_done(d, &done);
}

void csvd_paid(struct csvd *d, uint64_t order, const uint32_t *seen, size_t n)
{
	Vol__Done done = VOL__DONE__INIT;

	done.id = order;
	done.seen = (uint32_t *)(uintptr_t)seen;
	done.n_seen = n;
	send_done(d, &done);
}

void csvd_formatted(struct csvd *d, const struct csv_mail *mail)
{
	Vol__Done done = VOL__DONE__INIT;

	done.id = mail->id;
	done.code = (uint32_t)mail->state;
	done.error = (char *)(uintptr_t)mail->text;
	done.target = (ProtobufCBinaryData){ mail->len, (uint8_t *)(uintptr_t)mail->body };
	send_done(d, &done);
}

static bool all_failed(const struct csvd *d, const struct fail_order *o)
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (!volume_requests_failed(d->volumes.v[i], o->resource, o->generation))
			return false;
	return true;
}

void csvd_look_at_fails(struct csvd *d)
{
	for (size_t i = 0; i < d->fails.n;) {
		uint64_t id = d->fails.v[i].id;

		if (!all_failed(d, &d->fails.v[i])) {
			i++;
			continue;
		}
		fail_vec_remove(&d->fails, i);
		csvd_done(d, id, 0, "");
	}
}

/* Requests are answered at once; done is said when nothing of them can reach the LUN any more. */
static void on_fail(struct csvd *d, uint64_t id, const Vol__FailRequests *fail)
{
	struct fail_order o = { .id = id, .generation = fail->generation };

	(void)snprintf(o.resource, sizeof(o.resource), "%s", fail->resource);
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_fail_requests(d->volumes.v[i], fail->resource, fail->generation);
	for (size_t i = 0; i < d->fails.n; i++)
		if (d->fails.v[i].id == id)
			return; /* given again: it still is to be met */
	if (fail_vec_push(&d->fails, o) < 0)
		csvd_done(d, id, ENOMEM, "out of memory");
	csvd_look_at_fails(d);
}

static void on_close(struct csvd *d, uint64_t id, const Vol__CloseSessions *close_)
{
	if (close_->incarnation > d->closed_up_to)
		d->closed_up_to = close_->incarnation;
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_close_sessions(d->volumes.v[i]);
	csvd_done(d, id, 0, "");
}

static void on_volume_order(struct csvd *d, const Vol__Order *order,
			    const ProtobufCBinaryData *uuid,
			    void (*act)(struct volume *, const Vol__Order *))
{
	struct volume *v = d->tables ? by_field(d, uuid) : NULL;

	if (v)
		act(v, order);
	else
		csvd_done(d, order->id, ENOENT, "no such volume in the tables");
}

void csvd_on_order(void *user, const Vol__Order *order)
{
	struct csvd *d = user;

	switch (order->what_case) {
	case VOL__ORDER__WHAT_PAY:
		on_volume_order(d, order, &order->pay->volume, volume_pay);
		break;
	case VOL__ORDER__WHAT_HAND_OVER:
		on_volume_order(d, order, &order->hand_over->volume, volume_hand_over);
		break;
	case VOL__ORDER__WHAT_FAIL:
		on_fail(d, order->id, order->fail);
		break;
	case VOL__ORDER__WHAT_CLOSE:
		on_close(d, order->id, order->close);
		break;
	case VOL__ORDER__WHAT_FORMAT:
		if (format_start(d, order->id, order->format) < 0)
			csvd_done(d, order->id, EINVAL, "cannot start");
		break;
	default:
		csvd_done(d, order->id, ENOSYS, "unknown order");
	}
}

void csvd_on_job(void *user, const Vol__Job *job)
{
	struct csvd *d = user;
	struct volume *v = d->tables ? by_field(d, &job->volume) : NULL;

	if (v)
		volume_job(v, job);
	else
		csvd_job_refused(d, job->id, ENOENT, "no such volume in the tables");
}
