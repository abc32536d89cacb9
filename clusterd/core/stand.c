/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/core/stand.h"

#include <stdio.h>

static int64_t doubled(int64_t ms)
{
	if (ms == 0)
		return STAND_RETRY_MS;
	return ms * 2 < STAND_RETRY_MAX_MS ? ms * 2 : STAND_RETRY_MAX_MS;
}

void stand_begin(struct stand *s, enum stand_why why, const char *text, int64_t now_ms,
		 int64_t wall_ms)
{
	bool again = s->why == why;

	s->since_ms = again ? s->since_ms : wall_ms;
	s->wait_ms = again ? doubled(s->wait_ms) : STAND_RETRY_MS;
	s->try_ms = now_ms + s->wait_ms;
	s->runs_ms = INT64_MAX;
	s->why = why;
	(void)snprintf(s->text, sizeof(s->text), "%s", text);
}

void stand_runs(struct stand *s, int64_t now_ms)
{
	if (s->why != STAND_NOT && s->runs_ms == INT64_MAX)
		s->runs_ms = now_ms;
}

void stand_news(struct stand *s, int64_t now_ms)
{
	s->wait_ms = 0;
	s->try_ms = now_ms;
}

bool stand_due(const struct stand *s, int64_t now_ms)
{
	return s->why == STAND_NOT || now_ms >= s->try_ms;
}

void stand_tick(struct stand *s, int64_t now_ms)
{
	/* A volume that came back is no trial: nothing has to be waited for. */
	bool trial = s->why == STAND_NO_SPACE || s->why == STAND_ERROR;

	if (s->why == STAND_NOT || s->runs_ms == INT64_MAX)
		return;
	if (!trial || now_ms - s->runs_ms >= STAND_SETTLED_MS)
		*s = (struct stand){ 0 };
}
