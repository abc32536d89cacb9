/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mount's session (client*.c) for unit tests: coordinator, LUN and kernel are played by the test, in one
 * thread. The nexus (data.h) is played, too; the real one has a test of its own.
 */
#ifndef TESTS_UNIT_MOUNT_RIG_H
#define TESTS_UNIT_MOUNT_RIG_H

#include "csv/client.h"
#include "csv/data.h"
#include "iscsi/lun.h"

#define EPOCH 3
#define KB 1024u
#define BASE (1u << 30)
#define INO 12
#define FH 100

struct data;

/* What was seen, and what is answered; of the last message or operation where there are several. */
struct mount_rig {
	struct cl_loop *loop;
	struct client *client;
	struct holding_shared *shared;
	Vol__Tables tables;
	Vol__Owner owner;
	/* nexus and LUN */
	struct data *nexus;
	bool lun_open;
	uint64_t lun_key, asked_id;
	unsigned lun_depth; /* more are LUN_BUSY */
	struct lun_io *ios[512];
	int n_ios, n_barriers;
	/* coordinator */
	int n_ops, n_asks, n_reclaims, n_returned, n_busy, n_touched, n_reconnects, n_byes,
		n_settles;
	unsigned n_grown;
	uint64_t grown_start, grown_end;
	Csv__Kind op_kind;
	bool op_sync, ask_write, ask_grow;
	bool op_later;
	bool grow_before_returned; /* the last operation before the last RETURNED */
	uint64_t op_unique, op_address, op_length, ask_id, ask_start, ask_end, hello_nexus;
	uint64_t file_size; /* as an OPEN says */
	/* kernel */
	uint64_t unique; /* of the last call */
	int n_answers, last_error;
	uint8_t answer[1 << 20];
	size_t answer_len;
};
extern struct mount_rig rig;

/* An open file, an open nexus. setup and teardown are cmocka's. */
void rig_come_up(unsigned defects);
int rig_setup(void **state);
int rig_teardown(void **state);
/* [0, 64K) DATA that may be written, then a hole up to 128K; nothing further. */
void rig_learn(void);
/* Nothing has been seen so far. */
void rig_forget(void);

/* ---- nexus and LUN ---- */
void rig_end_io(int i, enum lun_result r);
void rig_lose_lun(void);
void rig_another_nexus(void);

/* ---- the coordinator says ---- */
bool rig_tell(Csv__Message *msg, Csv__Message__MsgCase what, uint64_t epoch);
void rig_welcome(uint64_t epoch, bool reclaim);
void rig_reclaimed(uint64_t epoch);
void rig_permit_and_go(uint64_t key, uint64_t epoch);
void rig_result(uint64_t unique);
/* A GROW, before it is durable; and that it is. */
void rig_result_growth(uint64_t unique, uint64_t number);
void rig_settled(uint64_t number);
/* csvd is started anew, by the same mount; GREETED. */
void rig_restart_csvd(void);
/* Of an operation that found or made no file. */
void rig_failed(uint64_t unique, int error);
/* [start, end) of the file: DATA at address, or a hole (0). */
void rig_grant(uint64_t start, uint64_t end, uint64_t address, bool write);
/* The same, behind the end of file, for growth; start == end: nothing. */
void rig_grant_growth(uint64_t start, uint64_t end, uint64_t address);
void rig_recall(uint64_t start, uint64_t len, bool keep_read);

/* ---- the kernel asks ---- */
void rig_read(uint64_t off, uint64_t len);
void rig_write(uint64_t off, uint64_t len, unsigned flags);
void rig_write_sync(uint64_t off, uint64_t len);
void rig_simple(Csv__Kind kind);
/* fdatasync(2), answered by the LUN */
void rig_sync_data(void);
void rig_open_file(void);
void rig_tag(const char *resource, uint64_t generation);
/* Tagged, and it is the owner. */
void rig_own(const char *resource, uint64_t generation);

#endif
