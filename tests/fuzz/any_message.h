/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message of any kind, made of its description alone: every field may be there, with a value that the protocol could
 * mean or could not. What a hostile sender can say that decodes; the driver damages the bytes besides.
 */
#ifndef TESTS_FUZZ_ANY_MESSAGE_H
#define TESTS_FUZZ_ANY_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

/* Values that mean something to the receiver; NULL = numbers only. */
struct any_words {
	const uint64_t *numbers;
	size_t n_numbers;
	const char *const *names;
	size_t n_names;
};

/* Packed into buf; 0 when it did not fit. */
size_t any_message(const ProtobufCMessageDescriptor *type, const struct any_words *words,
		   uint8_t *buf, size_t max);

#endif
