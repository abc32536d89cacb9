/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs pr_probe over four scratch sessions, blocking. */
#include "config.h"

#include <string.h>
#include <sys/random.h>

#include "iscsi/pr_probe.h"
#include "iscsi/probe.h"
#include "iscsi/scratch.h"

static int log_in_all(struct scratch *s, struct cl_error *err)
{
	int r = scratch_log_in_any(s, 0, err);

	for (unsigned i = 1; i < PR_PROBE_SESSIONS && r == 0; i++)
		r = scratch_log_in(s, i, s->portal, err);
	return r;
}

static int describe(struct scratch *p, struct lun_probe_result *ret, struct cl_error *err)
{
	const struct pr_op inquiry = { .kind = PR_OP_INQUIRY };
	const struct lun_data *d = lun_session_data(p->sessions[0]);
	int r = scratch_run(p, 0, &inquiry, err);

	if (r < 0)
		return r;
	memcpy(ret->vendor, p->cmd.answer.vendor, sizeof(ret->vendor));
	memcpy(ret->product, p->cmd.answer.product, sizeof(ret->product));
	memcpy(ret->revision, p->cmd.answer.revision, sizeof(ret->revision));
	ret->block_size = d->block_size;
	ret->blocks = d->bytes / d->block_size;
	return 0;
}

static int run_all(struct scratch *p, struct pr_probe *machine, struct cl_error *err)
{
	struct pr_op op;
	uint32_t random = 0;
	int r;

	(void)!getrandom(&random, sizeof(random), 0);
	pr_probe_start(machine, random, &op);
	do {
		struct pr_op now = op;

		r = scratch_run(p, now.who, &now, err);
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
	_cleanup_(scratch_fini) struct scratch p;
	struct lun_probe_result result = { 0 };
	struct pr_probe machine;
	int r;

	scratch_init(&p, url, initiator, timeout_ms);
	r = log_in_all(&p, err);
	if (r == 0)
		r = describe(&p, &result, err);
	if (r == 0)
		r = run_all(&p, &machine, err);
	if (r < 0)
		return cl_error_wrap(err, r, "probe");
	result.pr_type = machine.pr_type;
	memcpy(result.type8, machine.text[0], sizeof(result.type8));
	memcpy(result.type6, machine.text[1], sizeof(result.type6));
	memcpy(result.tail, machine.text[2], sizeof(result.tail));
	result.quirks = machine.quirks;
	result.unmap = machine.unmap;
	result.aptpl = machine.aptpl;
	*ret = result;
	return 0;
}
