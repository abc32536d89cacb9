/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `fence confirm`, `fence history`. */
#include "config.h"

#include <string.h>

#include "clusterd/requests_int.h"
#include "clusterd/view.h"

int do_fence_confirm(struct ask *ask, struct cl_error *err)
{
	struct node_request req = {
		.verb = NODE_FENCE_CONFIRM,
		.object = ask_operand(ask, 0),
		.user = ask->who->user,
	};

	return request_core(ask, &req, err);
}

int do_fence_history(struct ask *ask, struct cl_error *err)
{
	const struct state *state = node_state(ask->rq->d->node);
	const char *name = ask_operand(ask, 0);
	const struct state_node *n = *name ? state_node_by_name(state, name) : NULL;

	if (*name && !n)
		return ask_not_found(name, err);
	ask_answer(ask, view_fences(ask->rq->d->node, n ? n->id : 0));
	return 0;
}
