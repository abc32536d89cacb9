/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz targets, one per decoder of what comes from disk, wire or operator. A target makes valid inputs
 * (seeds) and takes hostile ones; the driver damages the first into the second. A crash, an assert, a
 * sanitizer's word is a finding; so is what a target itself finds untrue (fuzz_claim).
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FUZZ_MAX 65536

struct fuzz_target {
	const char *name;
	/* A valid input, another one for each number; returns its length. */
	size_t (*seed)(uint32_t number, uint8_t *buf, size_t max);
	void (*one)(const uint8_t *data, size_t len);
	unsigned share; /* of the time, as against the others; 0 counts as 1 */
};

extern const struct fuzz_target fuzz_targets[]; /* name NULL ends it */

/* Ends the process with the words, and the input for `fuzz TARGET FILE`. */
void fuzz_claim(bool holds, const char *what);

uint32_t fuzz_random(void);

#endif
