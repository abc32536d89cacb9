/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <poll.h>
#include <stdio.h>

#include "iscsi/scratch.h"
#include "lib/monotime.h"

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

void scratch_init(struct scratch *s, const struct lun_url *url, const char *initiator,
		  uint32_t timeout_ms)
{
	*s = (struct scratch){ .url = url,
			       .initiator = initiator,
			       .until_ms = now_ms() + timeout_ms };
}

void scratch_fini(struct scratch *s)
{
	for (int i = 0; i < SCRATCH_SESSIONS_MAX; i++) {
		lun_session_free(s->sessions[i]);
		s->sessions[i] = NULL;
	}
}

static int wait_ms(const struct scratch *s, int64_t until_ms)
{
	int64_t t = until_ms < s->until_ms ? until_ms : s->until_ms, now = now_ms();

	for (int i = 0; i < SCRATCH_SESSIONS_MAX; i++) {
		int64_t d = s->sessions[i] ? lun_session_deadline_ms(s->sessions[i]) : INT64_MAX;

		t = d < t ? d : t;
	}
	return t <= now ? 0 : t - now > 60000 ? 60000 : (int)(t - now);
}

int scratch_turn(struct scratch *s, int64_t until_ms, struct cl_error *err)
{
	struct pollfd fds[SCRATCH_SESSIONS_MAX];
	int n;

	for (int i = 0; i < SCRATCH_SESSIONS_MAX; i++)
		fds[i] = (struct pollfd){
			.fd = s->sessions[i] ? lun_session_fd(s->sessions[i]) : -1,
			.events = s->sessions[i] ? lun_session_events(s->sessions[i]) : (short)0,
		};
	n = poll(fds, SCRATCH_SESSIONS_MAX, wait_ms(s, until_ms));
	for (int i = 0; i < SCRATCH_SESSIONS_MAX; i++) {
		if (!s->sessions[i])
			continue;
		lun_session_service(s->sessions[i], n > 0 ? fds[i].revents : 0);
		if (lun_session_state(s->sessions[i]) == LUN_DEAD)
			return cl_error_set(err, -ENOLINK, "%s",
					    lun_session_reason(s->sessions[i]));
	}
	return now_ms() < s->until_ms ? 0 : cl_error_set(err, -ETIMEDOUT, "no end of it in time");
}

static int log_in(struct scratch *s, unsigned i, struct lun_session_config c, struct cl_error *err)
{
	char name[LUN_NAME_MAX + 1];
	int r;

	c.url = s->url;
	c.initiator = name;
	c.isid = 0x70726f;
	c.isid_qualifier = (uint16_t)(i + 1);

	if ((size_t)snprintf(name, sizeof(name), "%s.probe-%u", s->initiator, i + 1) >=
	    sizeof(name))
		return cl_error_set(err, -EINVAL, "initiator name too long");
	lun_session_free(s->sessions[i]);
	s->sessions[i] = NULL;
	r = lun_session_new(&c, &s->sessions[i], err);
	while (r == 0 && lun_session_state(s->sessions[i]) == LUN_CONNECTING)
		r = scratch_turn(s, INT64_MAX, err);
	if (r < 0) { /* a dead one would end every turn of the others */
		lun_session_free(s->sessions[i]);
		s->sessions[i] = NULL;
	}
	return r;
}

int scratch_log_in(struct scratch *s, unsigned i, unsigned portal, struct cl_error *err)
{
	const struct lun_session_config c = { .portal = portal, .role = LUN_ROLE_CONTROL };

	return log_in(s, i, c, err);
}

int scratch_log_in_any(struct scratch *s, unsigned i, struct cl_error *err)
{
	int r;

	s->portal = 0;
	do
		r = scratch_log_in(s, i, s->portal, err);
	while (r < 0 && ++s->portal < s->url->n_portals && now_ms() < s->until_ms);
	return r;
}

int scratch_log_in_data(struct scratch *s, unsigned i, uint64_t key, uint8_t pr_type,
			struct cl_error *err)
{
	const struct lun_session_config c = {
		.portal = s->portal, .role = LUN_ROLE_DATA, .key = key, .pr_type = pr_type
	};

	return log_in(s, i, c, err);
}

static void on_answer(struct lun_cmd *cmd)
{
	*(bool *)cmd->user = true;
}

int scratch_run(struct scratch *s, unsigned i, const struct pr_op *op, struct cl_error *err)
{
	int r = 0;

	s->answered = false;
	s->cmd = (struct lun_cmd){ .op = *op, .done = on_answer, .user = &s->answered };
	if (lun_session_command(s->sessions[i], &s->cmd) != LUN_OK)
		return cl_error_set(err, -ENOLINK, "%s", lun_session_reason(s->sessions[i]));
	while (r == 0 && !s->answered)
		r = scratch_turn(s, INT64_MAX, err);
	return r;
}
