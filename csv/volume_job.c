/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jobs of operators on this node's volume (proto/volume.proto): a report; a check while it is in use,
 * done by the coordinator's thread; and, in maintenance, those that need the file system closed
 * (offline.c). Each is answered once with `done`; one that changes or checks runs alone.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/volume_int.h"
#include "lib/log.h"

/* So long a LUN may take to be claimed before it is said that its keys cannot be taken off. */
#define RELEASE_MS 15000

static void send_answer(struct volume *v, Vol__JobAnswer *answer)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;

	msg.msg_case = VOL__FROM_CSVD__MSG_JOB_ANSWER;
	msg.job_answer = answer;
	cluster_send(v->d->cluster, &msg);
}

void csvd_job_refused(struct csvd *d, uint64_t id, int code, const char *text)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;

	answer.id = id;
	answer.done = true;
	answer.code = (uint32_t)code;
	answer.text = (char *)(uintptr_t)text;
	msg.msg_case = VOL__FROM_CSVD__MSG_JOB_ANSWER;
	msg.job_answer = &answer;
	cluster_send(d->cluster, &msg);
}

/* ---- report -------------------------------------------------------------------------------------- */

/* What the loop knows, beside what the coordinator's thread said (its part of the same message). */
static void send_report(struct volume *v, uint64_t id, Vol__JobAnswer *from_coord)
{
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;
	Vol__Report fresh = VOL__REPORT__INIT;
	Vol__Report *report = from_coord && from_coord->report ? from_coord->report : &fresh;
	Vol__Counters counters, *before = report->counters;
	char *reason = report->reason;

	if (counters_message(&v->counters, &counters) == 0)
		report->counters = &counters;
	report->mode = v->mode;
	report->reason = v->reason;
	report->since_ms = v->since_ms;
	report->waiting = v->client ? client_waiting(v->client) : 0;
	answer.id = id;
	answer.done = true;
	answer.report = report;
	send_answer(v, &answer);
	report->counters = before;
	report->reason = reason;
	counters_message_free(&counters);
}

static bool coord_serves(const struct volume *v)
{
	return v->coord && (v->coord_state == COORD_GRACE || v->coord_state == COORD_SERVING);
}

static bool ask_coord(struct volume *v, enum csv_mail_kind kind, uint64_t id)
{
	struct csv_mail *mail = coord_serves(v) ? csv_mail_new(kind, NULL, 0) : NULL;

	if (!mail)
		return false;
	mail->id = id;
	coord_post(v->coord, mail);
	return true;
}

/* ---- one that runs alone --------------------------------------------------------------------------- */

static void alone_is_over(struct volume *v)
{
	cl_source_free(v->job.late);
	v->job.late = NULL;
	v->job.id = 0;
	v->job.running = false;
	volume_poke(v);
}

static void alone_ends(struct volume *v, int code, const char *text)
{
	csvd_job_refused(v->d, v->job.id, code, text);
	alone_is_over(v);
}

void volume_jobs_lost(struct volume *v, const char *why)
{
	for (size_t i = 0; i < v->reports.n; i++)
		send_report(v, v->reports.v[i], NULL);
	report_vec_clear(&v->reports);
	if (v->job.id && (v->job.kind == VOL__JOB__KIND__CHECK || v->job.running))
		alone_ends(v, EIO, why);
}

/* Whether the job can be done here at all: 0, or why not. */
static int refuse_alone(const struct volume *v, const Vol__Job *job, char *text, size_t size)
{
	bool offline = job->kind != VOL__JOB__KIND__CHECK;

	if (v->job.id)
		(void)snprintf(text, size, "another job on volume '%s' is under way", v->name);
	else if (v->coordinator != v->d->tables->self)
		(void)snprintf(text, size, "this node does not coordinate volume '%s'", v->name);
	else if (offline && !v->maintenance)
		(void)snprintf(text, size,
			       "volume '%s' is in use: `clusterctl maintenance %s on` first",
			       v->name, v->name);
	else if (!offline && v->maintenance)
		(void)snprintf(text, size,
			       "volume '%s' is in maintenance: `clusterctl check %s --offline`",
			       v->name, v->name);
	else
		return 0;
	return v->job.id ? EBUSY : EAGAIN;
}

static void on_release_late(void *user)
{
	struct volume *v = user;
	char text[256];

	(void)snprintf(text, sizeof(text), "the LUN cannot be claimed, its keys stay there: %.150s",
		       v->store_why);
	alone_ends(v, EAGAIN, text);
}

static void wait_for_claim(struct volume *v)
{
	if (cl_timer_new(v->d->loop, on_release_late, v, &v->job.late) < 0)
		alone_ends(v, ENOMEM, "out of memory");
	else
		(void)cl_timer_set_in(v->job.late, RELEASE_MS);
}

static void not_served(struct volume *v)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "the coordinator does not serve at present: %.180s",
		       *v->reason ? v->reason : "try again");
	alone_ends(v, EAGAIN, text);
	if (v->lun_refused)
		volume_claim_now(v);
}

static void begin_alone(struct volume *v, const Vol__Job *job)
{
	char text[256];
	int code = refuse_alone(v, job, text, sizeof(text));

	if (code) {
		csvd_job_refused(v->d, job->id, code, text);
		return;
	}
	v->job.id = job->id;
	v->job.kind = job->kind;
	v->job.change = job->change;
	v->job.running = false;
	if (job->kind == VOL__JOB__KIND__RELEASE)
		wait_for_claim(v);
	if (job->kind != VOL__JOB__KIND__CHECK)
		volume_poke(v);
	else if (!ask_coord(v, MAIL_CHECK, job->id))
		not_served(v);
}

void volume_job(struct volume *v, const Vol__Job *job)
{
	switch (job->kind) {
	case VOL__JOB__KIND__REPORT:
		if (!ask_coord(v, MAIL_REPORT, job->id))
			send_report(v, job->id, NULL);
		else
			(void)report_vec_push(&v->reports, job->id);
		break;
	case VOL__JOB__KIND__CHECK:
	case VOL__JOB__KIND__CHECK_OFFLINE:
	case VOL__JOB__KIND__GROW:
	case VOL__JOB__KIND__WIPE:
	case VOL__JOB__KIND__RELEASE:
		begin_alone(v, job);
		break;
	default:
		csvd_job_refused(v->d, job->id, ENOSYS, "this csvd does not know such a job");
	}
}

/* ---- what the thread says -------------------------------------------------------------------------- */

void volume_on_job_mail(struct volume *v, const struct csv_mail *mail)
{
	Vol__JobAnswer *answer = vol__job_answer__unpack(NULL, mail->len, mail->body);

	if (!answer)
		return;
	for (size_t i = 0; i < v->reports.n; i++)
		if (v->reports.v[i] == answer->id) {
			report_vec_remove(&v->reports, i);
			send_report(v, answer->id, answer);
			vol__job_answer__free_unpacked(answer, NULL);
			return;
		}
	if (answer->id == v->job.id) {
		send_answer(v, answer);
		if (answer->done)
			alone_is_over(v);
	}
	vol__job_answer__free_unpacked(answer, NULL);
}

bool volume_job_waits(const struct volume *v)
{
	return v->job.id && !v->job.running && v->job.kind != VOL__JOB__KIND__CHECK &&
	       v->job.kind != VOL__JOB__KIND__RELEASE;
}

static void on_given_up(void *user, bool cleared, const char *why)
{
	struct volume *v = user;

	if (v->job.kind != VOL__JOB__KIND__RELEASE || !v->job.id)
		return;
	v->given_up = cleared;
	alone_ends(v, cleared ? 0 : EIO, cleared ? "the LUN was released" : why ? why : "");
	volume_poke(v);
}

/* It waits until the LUN is held, which it is not while it is claimed anew after another job. */
void volume_look_at_release(struct volume *v)
{
	if (!v->maintenance)
		v->given_up = false;
	if (v->job.kind != VOL__JOB__KIND__RELEASE || !v->job.id || v->job.running || v->coord ||
	    !v->store || v->store->state != STORE_HOLDING || v->debts)
		return;
	v->job.running = true;
	if (store_give_up(v->store, on_given_up, v) < 0)
		v->job.running = false; /* something else is under way there: looked at again */
}

void volume_job_begins(struct volume *v)
{
	v->job.running = true;
	v->offline_job = (struct offline_job){
		.id = v->job.id,
		.kind = v->job.kind,
		.change = v->job.change,
		.lease_until_ms = &v->d->lease_until_ms,
	};
	memcpy(v->offline_job.volume, v->uuid, sizeof(v->uuid));
	if (v->d->tables->cluster.len == sizeof(v->offline_job.cluster))
		memcpy(v->offline_job.cluster, v->d->tables->cluster.data,
		       sizeof(v->offline_job.cluster));
	(void)snprintf(v->offline_job.name, sizeof(v->offline_job.name), "%s", v->name);
}
