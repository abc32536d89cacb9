/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See the header. Pure. */
#include "config.h"

#include "iscsi/pr_tail.h"

void pr_tail_plan(const uint64_t *keys, size_t n, size_t first, uint64_t own, struct pr_tail *ret)
{
	size_t at = n;

	ret->n_victims = ret->n_expected = 0;
	ret->own = own;
	ret->rename = 0;
	for (size_t i = n; i-- > first;)
		if (keys[i] == own)
			at = i;
		else if (!pr_keys_contain(ret->victims, ret->n_victims, keys[i]))
			ret->victims[ret->n_victims++] = keys[i];
	for (size_t i = 0; i < first; i++)
		ret->expected[ret->n_expected++] = keys[i];
	if (at == n)
		return;
	ret->expected[ret->n_expected++] = own;
	if (keys[first] != own)
		ret->rename = keys[first];
}

bool pr_tail_done(const struct pr_tail *t, const uint64_t *keys, size_t n)
{
	if (n != t->n_expected)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!pr_keys_contain(t->expected, t->n_expected, keys[i]))
			return false;
	return true;
}
