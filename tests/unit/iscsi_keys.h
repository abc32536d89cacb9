/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For tests of iscsi/: a key of a node, and nothing else. */
#ifndef CL_TESTS_UNIT_ISCSI_KEYS_H
#define CL_TESTS_UNIT_ISCSI_KEYS_H

#include "iscsi/pr.h"

static inline uint64_t key_of(unsigned node, uint64_t incarnation, unsigned instance)
{
	uint64_t key = 0;

	assert_int_equal(pr_key_make(node, incarnation, instance, &key), 0);
	return key;
}

#endif
