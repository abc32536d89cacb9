/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a volume as its users see it: names, attributes, attributes' times, maps, data,
 * records, epoch. Two volumes with the same text are in the same state. (Free counts are e2fsck's
 * to check.)
 */
#ifndef TESTS_CRASH_CANON_H
#define TESTS_CRASH_CANON_H

#include <stdint.h>
#include <stdio.h>

#include "csv/fs.h"

struct canon {
	uint64_t hash; /* all of it */
	uint64_t
		linked; /* without orphans and what lies beyond ends of files: what e2fsck leaves */
};

/* Write the text to out (may be NULL) too. Negative errno when anything cannot be read. */
int canon_take(struct fs *fs, struct fs_dev *dev, FILE *out, struct canon *ret);

#endif
