/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs pr_probe over four scratch sessions, blocking. */
#include "config.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "iscsi/pr_probe.h"
#include "iscsi/probe.h"
#include "lib/monotime.h"

struct probe {
	struct lun_session *sessions[PR_PROBE_SESSIONS];
	struct lun_cmd cmd;
	bool answered;
	int64_t until_ms;
};

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

static void probe_fini(struct probe *p)
{
	for (int i = 0; i < PR_PROBE_SESSIONS; i++)
		lun_session_free(p->sessions[i]);
}

static int wait_ms(const struct probe *p)
{
	int64_t t = p->until_ms, now = now_ms();

	for (int i = 0; i < PR_PROBE_SESSIONS; i++) {
		int64_t d = p->sessions[i] ? lun_session_deadline_ms(p->sessions[i]) : INT64_MAX;

		t = d < t ? d : t;
	}
	return t <= now ? 0 : t - now > 60000 ? 60000 : (int)(t - now);
}

/* One turn over all sessions. Negative: time is up or a session is dead. */
static int turn(struct probe *p, struct cl_error *err)
{
	struct pollfd fds[PR_PROBE_SESSIONS];
	int n;

	for (int i = 0; i < PR_PROBE_SESSIONS; i++)
		fds[i] = (struct pollfd){
			.fd = p->sessions[i] ? lun_session_fd(p->sessions[i]) : -1,
			.events = p->sessions[i] ? lun_session_events(p->sessions[i]) : (short)0,
		};
	n = poll(fds, PR_PROBE_SESSIONS, wait_ms(p));
	for (int i = 0; i < PR_PROBE_SESSIONS; i++) {
		if (!p->sessions[i])
			continue;
		lun_session_service(p->sessions[i], n > 0 ? fds[i].revents : 0);
		if (lun_session_state(p->sessions[i]) == LUN_DEAD)
			return cl_error_set(err, -ENOLINK, "%s",
					    lun_session_reason(p->sessions[i]));
	}
	return now_ms() < p->until_ms
		       ? 0
		       : cl_error_set(err, -ETIMEDOUT, "no end of the probe in time");
}

static int log_in(struct probe *p, const struct lun_url *url, const char *initiator, unsigned i,
		  unsigned portal, struct cl_error *err)
{
	char name[LUN_NAME_MAX + 1];
	const struct lun_session_config c = {
		.url = url,
		.portal = portal,
		.initiator = name,
		.isid = 0x70726f,
		.isid_qualifier = (uint16_t)(i + 1),
		.role = LUN_ROLE_CONTROL,
	};
	int r;

	if ((size_t)snprintf(name, sizeof(name), "%s.probe-%u", initiator, i + 1) >= sizeof(name))
		return cl_error_set(err, -EINVAL, "initiator name too long");
	lun_session_free(p->sessions[i]);
	p->sessions[i] = NULL;
	r = lun_session_new(&c, &p->sessions[i], err);
	while (r == 0 && lun_session_state(p->sessions[i]) == LUN_CONNECTING)
		r = turn(p, err);
	return r;
}

static int log_in_all(struct probe *p, const struct lun_url *url, const char *initiator,
		      struct cl_error *err)
{
	unsigned portal = 0;
	int r;

	do
		r = log_in(p, url, initiator, 0, portal, err);
	while (r < 0 && ++portal < url->n_portals && now_ms() < p->until_ms);
	for (unsigned i = 1; i < PR_PROBE_SESSIONS && r == 0; i++)
		r = log_in(p, url, initiator, i, portal, err);
	return r;
}

static void on_answer(struct lun_cmd *cmd)
{
	*(bool *)cmd->user = true;
}

static int run_op(struct probe *p, const struct pr_op *op, struct cl_error *err)
{
	int r = 0;

	p->answered = false;
	p->cmd = (struct lun_cmd){ .op = *op, .done = on_answer, .user = &p->answered };
	if (lun_session_command(p->sessions[op->who], &p->cmd) != LUN_OK)
		return cl_error_set(err, -ENOLINK, "%s", lun_session_reason(p->sessions[op->who]));
	while (r == 0 && !p->answered)
		r = turn(p, err);
	return r;
}

static int describe(struct probe *p, struct lun_probe_result *ret, struct cl_error *err)
{
	const struct pr_op inquiry = { .kind = PR_OP_INQUIRY };
	const struct lun_data *d = lun_session_data(p->sessions[0]);
	int r = run_op(p, &inquiry, err);

	if (r < 0)
		return r;
	memcpy(ret->vendor, p->cmd.answer.vendor, sizeof(ret->vendor));
	memcpy(ret->product, p->cmd.answer.product, sizeof(ret->product));
	memcpy(ret->revision, p->cmd.answer.revision, sizeof(ret->revision));
	ret->block_size = d->block_size;
	ret->blocks = d->bytes / d->block_size;
	return 0;
}

static int run_all(struct probe *p, struct pr_probe *machine, struct cl_error *err)
{
	struct pr_op op;
	uint32_t random = 0;
	int r;

	(void)!getrandom(&random, sizeof(random), 0);
	pr_probe_start(machine, random, &op);
	do {
		struct pr_op now = op;

		r = run_op(p, &now, err);
		if (r < 0)
			return r;
		if (!pr_probe_answer(machine, &now, &p->cmd.answer, &op))
			break;
	} while (true);
	if (machine->state == PR_PROBE_BUSY) {
		r = cl_error_set(err, -EBUSY, "the LUN is in use: %s", machine->why);
		(void)cl_error_hint(err, "see who: lunctl keys URL; lunctl reservation URL");
		return r;
	}
	return machine->state == PR_PROBE_DONE ? 0 : cl_error_set(err, -EIO, "%s", machine->why);
}

int lun_probe(const struct lun_url *url, const char *initiator, uint32_t timeout_ms,
	      struct lun_probe_result *ret, struct cl_error *err)
{
	_cleanup_(probe_fini) struct probe p = { .until_ms = now_ms() + timeout_ms };
	struct lun_probe_result result = { 0 };
	struct pr_probe machine;
	int r = log_in_all(&p, url, initiator, err);

	if (r == 0)
		r = describe(&p, &result, err);
	if (r == 0)
		r = run_all(&p, &machine, err);
	if (r < 0)
		return cl_error_wrap(err, r, "probe");
	result.pr_type = machine.pr_type;
	memcpy(result.type8, machine.text[0], sizeof(result.type8));
	memcpy(result.type6, machine.text[1], sizeof(result.type6));
	*ret = result;
	return 0;
}
