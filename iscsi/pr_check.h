/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is what the target says what the coordinator decided? After each fence and every 5 s: type,
 * holder, and READ KEYS == table. Nothing else would show a REGISTER that was delayed past its
 * sender's fence (its unit attention is nobody's), or a target that lost its memory without losing
 * its connections. Pure.
 */
#ifndef CL_ISCSI_PR_CHECK_H
#define CL_ISCSI_PR_CHECK_H

#include "iscsi/pr.h"

enum pr_verdict {
	PR_CHECK_OK,
	PR_CHECK_STRAYS,   /* keys that nobody was allowed: kill them */
	PR_CHECK_OWN_GONE, /* own key not there: fenced, or all forgotten. Stop */
	PR_CHECK_NO_RESERVATION,
	PR_CHECK_WRONG_TYPE,
	PR_CHECK_WRONG_HOLDER,
};

struct pr_table {
	uint64_t own;
	uint8_t type;
	size_t n;
	uint64_t allowed[PR_KEYS_MAX];
};

/* 0, -EEXIST, -ENOSPC. Removing what is not there is no error. */
int pr_table_add(struct pr_table *table, uint64_t key);
void pr_table_remove(struct pr_table *table, uint64_t key);
void pr_table_remove_matching(struct pr_table *table, const struct pr_match *match, size_t n);

/* keys, reservation: answers to READ KEYS and READ RESERVATION. strays: room for keys->n_keys. */
enum pr_verdict pr_check(const struct pr_table *table, const struct pr_answer *keys,
			 const struct pr_answer *reservation, uint64_t *strays, size_t *ret_n);
const char *pr_verdict_text(enum pr_verdict verdict);

#endif
