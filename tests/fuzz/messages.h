/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The targets of fuzz_messages that stand in files of their own (fuzz.h: seed, one). */
#ifndef TESTS_FUZZ_MESSAGES_H
#define TESTS_FUZZ_MESSAGES_H

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define TEXT(s) ((char *)(uintptr_t)(s))

/* Of nodes, databases and clusters. */
static const uint8_t fuzz_uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

#define UUID ((ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)fuzz_uuid })

size_t fuzz_seed_raft(uint32_t number, uint8_t *buf, size_t max);
size_t fuzz_seed_log(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_log(const uint8_t *data, size_t len);
size_t fuzz_seed_snapshot(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_snapshot(const uint8_t *data, size_t len);
size_t fuzz_seed_core(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_core(const uint8_t *data, size_t len);
size_t fuzz_seed_conf(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_conf(const uint8_t *data, size_t len);
size_t fuzz_seed_corosync(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_corosync(const uint8_t *data, size_t len);
size_t fuzz_seed_token(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_token(const uint8_t *data, size_t len);
size_t fuzz_seed_vm(uint32_t number, uint8_t *buf, size_t max);
void fuzz_one_vm(const uint8_t *data, size_t len);

#endif
