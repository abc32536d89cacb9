/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of allowed keys against the target's list. Pure. */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "iscsi/pr_check.h"

int pr_table_add(struct pr_table *t, uint64_t key)
{
	if (key == t->own || pr_keys_contain(t->allowed, t->n, key))
		return -EEXIST;
	if (t->n == PR_KEYS_MAX)
		return -ENOSPC;
	t->allowed[t->n++] = key;
	return 0;
}

void pr_table_remove(struct pr_table *t, uint64_t key)
{
	const struct pr_match match = { .kind = PR_MATCH_KEY, .key = key };

	pr_table_remove_matching(t, &match, 1);
}

void pr_table_remove_matching(struct pr_table *t, const struct pr_match *match, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++)
		if (!pr_match_key(match, n, t->allowed[i]))
			t->allowed[kept++] = t->allowed[i];
	t->n = kept;
}

enum pr_verdict pr_check(const struct pr_table *t, const struct pr_answer *keys,
			 const struct pr_answer *reservation, uint64_t *strays, size_t *ret_n)
{
	*ret_n = 0;
	if (!pr_keys_contain(keys->keys, keys->n_keys, t->own))
		return PR_CHECK_OWN_GONE;
	if (reservation->type == PR_TYPE_NONE)
		return PR_CHECK_NO_RESERVATION;
	if (reservation->type != t->type)
		return PR_CHECK_WRONG_TYPE;
	if (t->type != PR_TYPE_EA_ALL_REGISTRANTS && reservation->holder != t->own)
		return PR_CHECK_WRONG_HOLDER;
	for (size_t i = 0; i < keys->n_keys; i++)
		if (keys->keys[i] != t->own && !pr_keys_contain(t->allowed, t->n, keys->keys[i]) &&
		    !pr_keys_contain(strays, *ret_n, keys->keys[i]))
			strays[(*ret_n)++] = keys->keys[i];
	return *ret_n ? PR_CHECK_STRAYS : PR_CHECK_OK;
}

const char *pr_verdict_text(enum pr_verdict verdict)
{
	static const char *const texts[] = {
		[PR_CHECK_OK] = "as it should be",
		[PR_CHECK_STRAYS] = "a key that nobody was allowed is registered",
		[PR_CHECK_OWN_GONE] = "own key is gone: fenced, or the target has forgotten",
		[PR_CHECK_NO_RESERVATION] = "no reservation stands: the target has forgotten",
		[PR_CHECK_WRONG_TYPE] = "the reservation is of another type",
		[PR_CHECK_WRONG_HOLDER] = "the reservation is held by somebody else",
	};

	return texts[verdict];
}
