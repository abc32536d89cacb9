/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/nexus.h"

static bool is_of(const struct nexus *x, struct store_node who)
{
	return x->who.node == who.node && x->who.incarnation == who.incarnation;
}

int nexus_add(struct nexus_vec *v, struct store_node who, uint64_t key)
{
	return nexus_vec_push(v, (struct nexus){ .key = key, .who = who });
}

int nexus_load(struct nexus_vec *v, const uint64_t *keys, size_t n)
{
	struct pr_key k;
	int r = 0;

	nexus_vec_clear(v);
	for (size_t i = 0; i < n && r == 0; i++)
		if (pr_key_parse(keys[i], &k))
			r = nexus_add(v, (struct store_node){ k.node, k.incarnation }, keys[i]);
	return r;
}

bool nexus_known(const struct nexus_vec *v, struct store_node who, uint64_t key)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->v[i].key == key)
			return is_of(&v->v[i], who) && !v->v[i].dying;
	return false;
}

size_t nexus_kill(struct nexus_vec *v, struct store_node who, uint64_t keep, struct pr_match *ret,
		  size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n && n < max; i++) {
		if (!is_of(&v->v[i], who) || v->v[i].key == keep)
			continue;
		v->v[i].dying = true;
		ret[n++] = (struct pr_match){ .kind = PR_MATCH_KEY, .key = v->v[i].key };
	}
	return n;
}

void nexus_keep(struct nexus_vec *v, const uint64_t *keys, size_t n)
{
	for (size_t i = 0; i < v->n;) {
		if (!v->v[i].dying && !pr_keys_contain(keys, n, v->v[i].key))
			nexus_vec_remove(v, i);
		else
			i++;
	}
}

void nexus_dead(struct nexus_vec *v, const struct pr_match *match, size_t n)
{
	for (size_t i = 0; i < v->n;) {
		if (pr_match_key(match, n, v->v[i].key))
			nexus_vec_remove(v, i);
		else
			i++;
	}
}
