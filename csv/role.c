/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/role.h"

static bool must_stop(const struct role_view *v)
{
	return !v->wanted || v->ended || v->running_epoch != v->epoch ||
	       v->store != ROLE_STORE_HOLDING;
}

static bool must_drop(const struct role_view *v)
{
	return !v->wanted || v->store_spoilt || v->store_epoch != v->epoch;
}

enum role_action role_next(const struct role_view *v, bool skip_debts)
{
	if (v->running)
		return must_stop(v)		       ? ROLE_STOP
		       : v->order_to_pay && !v->paying ? ROLE_PAY
						       : ROLE_NOTHING;
	if (v->store != ROLE_STORE_NONE && must_drop(v))
		return ROLE_DROP_STORE;
	if (!v->wanted || v->waiting)
		return ROLE_NOTHING;
	switch (v->store) {
	case ROLE_STORE_NONE:
		return ROLE_MAKE_STORE;
	case ROLE_STORE_UP:
		return v->claiming ? ROLE_NOTHING : ROLE_COORDINATE;
	case ROLE_STORE_HOLDING:
		if (v->order_to_pay && !v->paying)
			return ROLE_PAY;
		return v->debts && !skip_debts ? ROLE_NOTHING : ROLE_START;
	case ROLE_STORE_IDLE:
	default:
		return ROLE_NOTHING;
	}
}
