/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which LUN is the witness, as of this node's log. */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

bool witness_configured(const struct node *n, struct state_witness *ret)
{
	const struct wit *w = &n->wit;

	*ret = w->sets.n ? w->sets.v[w->sets.n - 1].w : n->state.witness;
	return ret->url[0] != 0;
}

/* Found in our log, committed or not. To act on one that is cut later is harmless: whoever serves
 * the LUN of a witness that is no voter is counted by nobody. */
void witness_note_set(struct node *n, uint64_t index, const char *url, const uint8_t *uuid,
		      size_t uuid_len)
{
	struct wit_set s = { .index = index };

	if (strlen(url) >= sizeof(s.w.url) || (url[0] && uuid_len != sizeof(s.w.uuid)))
		return;
	CORE_COPY(s.w.url, url);
	if (url[0])
		memcpy(s.w.uuid, uuid, sizeof(s.w.uuid));
	if (wit_set_vec_push(&n->wit.sets, s) < 0)
		n->out->no_memory = true;
}

void witness_note_cut(struct node *n, uint64_t from)
{
	while (n->wit.sets.n && n->wit.sets.v[n->wit.sets.n - 1].index >= from)
		n->wit.sets.n--;
}

void witness_note_applied(struct node *n)
{
	while (n->wit.sets.n && n->wit.sets.v[0].index <= n->state.applied)
		wit_set_vec_remove(&n->wit.sets, 0);
}

struct raft_id witness_id(const struct state_witness *w)
{
	struct raft_id id = { .node = WITNESS_NODE };

	memcpy(id.uuid, w->uuid, sizeof(id.uuid));
	return id;
}
