/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `check` of a volume in use: the file system's own cursor (csv/fs_check.h) goes on by one bounded step
 * after each batch, so that serving goes on beside it. Nothing is changed.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/coord_int.h"
#include "csv/fs_check.h"
#include "lib/monotime.h"

#define PROGRESS_MS 500

CL_DEFINE_VEC(finding_vec, char *);

struct check {
	struct coord *c;
	uint64_t id; /* of the job */
	struct fs_check *cursor;
	struct finding_vec findings;
	struct cl_mono told;
};

void coord_check_stop(struct coord *c)
{
	struct check *k = c->check;

	c->check = NULL;
	if (!k)
		return;
	fs_check_free(k->cursor);
	for (size_t i = 0; i < k->findings.n; i++)
		free(k->findings.v[i]);
	finding_vec_fini(&k->findings);
	free(k);
}

static void ended(struct coord *c, int code, const char *text, uint64_t problems)
{
	struct check *k = c->check;
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;

	answer.id = k->id;
	answer.done = true;
	answer.code = (uint32_t)code;
	answer.text = (char *)(uintptr_t)text;
	answer.findings = k->findings.v;
	answer.n_findings = k->findings.n;
	answer.damages = problems;
	coord_answer_job(c, &answer);
	coord_check_stop(c);
}

static void on_problem(void *user, const char *text)
{
	struct check *k = user;
	char *copy = strdup(text);

	if (!copy || finding_vec_push(&k->findings, copy) < 0)
		free(copy);
}

void coord_on_check(struct coord *c, const struct csv_mail *mail)
{
	struct check *k = calloc(1, sizeof(*k));
	int r = k ? 0 : -ENOMEM;
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;

	if (r == 0 && (c->state != COORD_SERVING || c->check))
		r = -EAGAIN;
	if (r == 0) {
		k->c = c;
		k->id = mail->id;
		k->told = cl_mono_now();
		r = fs_check_new(c->fs, on_problem, k, &k->cursor);
	}
	if (r == 0) {
		c->check = k;
		return;
	}
	free(k);
	answer.id = mail->id;
	answer.done = true;
	answer.code = (uint32_t)-r;
	answer.text = (char *)(uintptr_t)(r == -EAGAIN ? "it does not serve yet: try again"
						       : strerror(-r));
	coord_answer_job(c, &answer);
}

static void progress(struct coord *c, const struct fs_check_report *report)
{
	struct check *k = c->check;
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;
	char text[120];

	if (cl_mono_diff_ms(k->told, cl_mono_now()) < PROGRESS_MS)
		return;
	k->told = cl_mono_now();
	(void)snprintf(text, sizeof(text), "%llu files, %llu problems",
		       (unsigned long long)report->inodes, (unsigned long long)report->problems);
	answer.id = k->id;
	answer.text = text;
	answer.percent = report->permille / 10;
	coord_answer_job(c, &answer);
}

void coord_check_step(struct coord *c)
{
	struct fs_check_report report = { 0 };
	char text[160];
	int r;

	if (!c->check || c->state != COORD_SERVING)
		return;
	r = fs_check_step(c->check->cursor, &report);
	if (r < 0) {
		(void)snprintf(text, sizeof(text), "the check cannot go on: %s", strerror(-r));
		ended(c, -r, text, report.problems);
		(void)coord_dead(c, r);
	} else if (!report.done) {
		progress(c, &report);
	} else if (report.problems) {
		ended(c, EUCLEAN, "the volume is damaged: repair it offline", report.problems);
	} else {
		(void)snprintf(text, sizeof(text), "clean: %llu files, %llu MiB in use",
			       (unsigned long long)report.inodes,
			       (unsigned long long)(report.clusters * FS_CLUSTER_SIZE >> 20));
		ended(c, 0, text, 0);
	}
}
