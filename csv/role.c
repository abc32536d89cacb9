/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/role.h"

static bool must_stop(const struct role_view *v)
{
	return !v->wanted || v->ended || v->claim_due || (v->outdated && !v->running_job) ||
	       v->running_epoch != v->epoch || v->store != ROLE_STORE_HOLDING;
}

static bool must_drop(const struct role_view *v)
{
	bool claimed = v->store_epoch != 0;

	return !v->present || v->store_spoilt ||
	       (claimed && (!v->wanted || v->outdated || v->store_epoch != v->epoch));
}

static enum role_action with_store(const struct role_view *v, bool skip_debts)
{
	if (v->store == ROLE_STORE_UP)
		return v->claiming || v->looking || v->outdated ? ROLE_NOTHING : ROLE_COORDINATE;
	if (v->store != ROLE_STORE_HOLDING)
		return ROLE_NOTHING;
	if (v->order_to_pay && !v->paying)
		return v->looking ? ROLE_NOTHING : ROLE_PAY;
	if (v->debts && !skip_debts)
		return ROLE_NOTHING;
	if (v->closed)
		return v->job ? ROLE_START_JOB : ROLE_NOTHING;
	return ROLE_START;
}

static enum role_action while_running(const struct role_view *v)
{
	if (must_stop(v))
		return ROLE_STOP;
	if (v->order_to_pay && !v->paying && !v->looking)
		return ROLE_PAY;
	/* A job is let end whatever is wanted meanwhile: half a repair is worse than none. */
	return v->closed && !v->running_job && !v->closing ? ROLE_CLOSE : ROLE_NOTHING;
}

enum role_action role_next(const struct role_view *v, bool skip_debts)
{
	if (v->running)
		return while_running(v);
	if (v->store != ROLE_STORE_NONE && must_drop(v))
		return ROLE_DROP_STORE;
	if (v->waiting || !v->present)
		return ROLE_NOTHING;
	if (v->store == ROLE_STORE_NONE)
		return ROLE_MAKE_STORE;
	return v->wanted ? with_store(v, skip_debts) : ROLE_NOTHING;
}

int64_t role_claim_pause_ms(unsigned refused)
{
	return refused < ROLE_CLAIMS_AT_ONCE ? 0 : ROLE_CLAIM_PAUSE_MS;
}

bool role_tells_fence(const struct role_view *view)
{
	return view->running && !view->running_job && !view->ended;
}
