/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator asks the coordinator's thread: a report of what it holds, a job in its place. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/coord_int.h"

static const char *const session_words[] = { "recorded", "reclaiming", "active", "closed" };

void coord_answer_job(struct coord *c, Vol__JobAnswer *answer)
{
	size_t len = vol__job_answer__get_packed_size(answer);
	struct csv_mail *mail = csv_mail_new(MAIL_JOB, NULL, len);

	if (!mail)
		return;
	(void)vol__job_answer__pack(answer, mail->body);
	coord_post_out(c, mail);
}

static void count_session(const struct coord *c, const struct session *s, Vol__Session *ret)
{
	vol__session__init(ret);
	ret->node = s->node;
	ret->incarnation = s->incarnation;
	ret->state = (char *)(uintptr_t)session_words[s->sm.state];
	for (size_t i = 0; i < c->handles.n; i++)
		ret->open_files += c->handles.v[i].session == s->id;
	for (size_t i = 0; i < c->locks.held.n; i++)
		ret->locks += c->locks.held.v[i].session == s->id;
}

/* Called where the state is GRACE or SERVING: the file system is open. */
void coord_on_report(struct coord *c, const struct csv_mail *mail)
{
	size_t n = c->sessions.v.n;
	Vol__Session *rows = calloc(n + 1, sizeof(*rows)), **list = calloc(n + 1, sizeof(*list));
	Vol__JobAnswer answer = VOL__JOB_ANSWER__INIT;
	Vol__Report report = VOL__REPORT__INIT;
	struct fs_statfs st;

	for (size_t i = 0; rows && list && i < n; i++) {
		count_session(c, c->sessions.v.v[i], &rows[i]);
		list[report.n_sessions++] = &rows[i];
	}
	fs_statfs(c->fs, &st);
	report.coordinates = true;
	report.open_files = (uint32_t)c->handles.n;
	report.sessions = list;
	report.size_bytes = st.blocks * FS_BLOCK_SIZE;
	report.free_bytes = st.bavail * FS_BLOCK_SIZE;
	answer.id = mail->id;
	answer.done = true;
	answer.report = &report;
	coord_answer_job(c, &answer);
	free(rows);
	free(list);
}

void coord_run_job(struct coord *c, struct cl_error *err)
{
	if (c->cfg.open(c->cfg.user, c, &c->dev, err) < 0)
		return;
	(void)c->cfg.job(c->cfg.job_user, c, c->dev, err);
}
