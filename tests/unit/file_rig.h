/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two mounts at a coordinator (coord_rig.h), on nodes 2 and 3, that have one file open; and its layouts. */
#ifndef TESTS_UNIT_FILE_RIG_H
#define TESTS_UNIT_FILE_RIG_H

#include "tests/unit/coord_rig.h"

#define B 4096u
#define MIB (1u << 20)

struct file_rig {
	struct rig *rig;
	struct peer two, three;
	uint64_t ino, fh2, fh3;
	uint8_t data[2 * MIB]; /* what is written; never zero */
};
extern struct file_rig file;

/* cmocka's */
int file_setup(void **state);
int file_teardown(void **state);

void msg_free(Csv__Message *msg);
uint64_t file_fh(const struct peer *p);
void file_write(struct peer *p, uint64_t off, size_t len);
/* Its unique; without waiting. */
uint64_t file_post_size(struct peer *p, uint64_t size);
void file_set_size(uint64_t size);
/* The answer is awaited, and good. */
void file_result(struct peer *p, uint64_t unique);

/* LayoutGet; the answer is the caller's. */
void file_ask(struct peer *p, uint64_t off, uint64_t len, bool write);
Csv__Message *file_get(struct peer *p, uint64_t off, uint64_t len, bool write);
void file_hold(struct peer *p, uint64_t off, uint64_t len, bool write);
/* Growth: the answer is the caller's. */
void file_ask_growth(struct peer *p, uint64_t off, uint64_t len);
Csv__Message *file_get_growth(struct peer *p, uint64_t off, uint64_t len);
Csv__Layout *layout_good(Csv__Message *msg);
/* The extent that covers off. */
const Csv__Extent *layout_at(const Csv__Layout *l, uint64_t off);

/* The next recall to p: its id; checks what it is about. */
uint64_t recall_await(struct peer *p, uint64_t off, uint64_t end, bool keep_read);
void recall_answer(struct peer *p, uint64_t id, bool returned);
void recall_give_back(struct peer *p, uint64_t off, uint64_t end, bool keep_read);
bool recall_none(struct peer *p);

#endif
