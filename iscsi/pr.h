/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistent reservations as this project uses them (SPC-4, 5.13): keys, who is meant by a fence,
 * and the commands and answers that the decision machines (pr_fence, pr_admit, pr_probe) give out
 * and take in. Pure: no libiscsi, no clock, no socket.
 *
 * A key names one nexus instance:  prefix 8 | node 8 | instance 16 | incarnation 32.
 * `instance` tells apart the nexuses of one incarnation of one node (control, data, next login). Its top
 * bit says whose word the nexus lives by: set = a member's, permitted by the coordinator on another node.
 */
#ifndef CL_ISCSI_PR_H
#define CL_ISCSI_PR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- results, shared with iscsi/lun.h ---- */

enum lun_result {
	LUN_OK = 0,
	LUN_ERROR, /* the target answered with an error: see sense. A write may be partly there */
	LUN_CONFLICT, /* RESERVATION CONFLICT: this nexus has no right (any more) */
	LUN_LOST,     /* the session died. If it had been accepted: fate unknown, may still land */
	LUN_REFUSED,  /* not sent: no GO, or the session is not in a state for it */
	LUN_INVALID,  /* not sent: the request makes no sense */
	LUN_BUSY,     /* not sent: too many */
	LUN_UA,	      /* unit attention (only TEST UNIT READY reports it) */
	LUN_UNSUPPORTED, /* ILLEGAL REQUEST, or "task management function not supported" */
};

const char *lun_result_name(enum lun_result result);

struct lun_sense {
	uint8_t status; /* SCSI status byte */
	uint8_t key;
	uint16_t ascq; /* ASC << 8 | ASCQ */
};

/* ---- keys ---- */

struct pr_key {
	uint8_t node;	      /* 1..255 */
	uint16_t instance;    /* 1..65535 */
	uint32_t incarnation; /* of the node; the log counts in 64 bits, 32 fit */
};

/* 0 and *ret_key, or -ERANGE: node or instance 0, or an incarnation that does not fit. */
int pr_key_make(unsigned node, uint64_t incarnation, unsigned instance, uint64_t *ret_key);

/* false: not one of ours (foreign prefix, node 0, instance 0). */
bool pr_key_parse(uint64_t key, struct pr_key *ret);

#define PR_INSTANCE_MEMBER 0x8000u

/*
 * An instance number that no key of this node in keys[] has, beginning at `start` (random); with or
 * without the member's bit.
 */
unsigned pr_key_free_instance(unsigned node, const uint64_t *keys, size_t n, unsigned start,
			      bool member);

/* "node 3, incarnation 7, instance 0x12ab" or "foreign key 0x..."; into buf. Returns buf. */
#define PR_KEY_TEXT 64
const char *pr_key_text(uint64_t key, char buf[PR_KEY_TEXT]);

/* ---- who is meant ---- */

enum pr_match_kind {
	PR_MATCH_KEY,	     /* exactly this key */
	PR_MATCH_NODE_UP_TO, /* keys of `node` with incarnation <= `incarnation` (a fence debt) */
	PR_MATCH_NODE,	     /* keys of `node` with exactly this incarnation (a living node) */
	PR_MATCH_MEMBER,     /* those of them that have the member's bit */
};

struct pr_match {
	enum pr_match_kind kind;
	uint64_t key;
	unsigned node;
	uint64_t incarnation;
};

bool pr_match_key(const struct pr_match *match, size_t n, uint64_t key);

/* What the probe found about a target beside its type; see pr_fence.h for what follows from it. */
enum pr_abort {
	PR_ABORT_UNTRIED,
	PR_ABORT_NONE,	 /* PREEMPT AND ABORT is not implemented */
	PR_ABORT_GOOD,	 /* it takes the right; whether it drains is not known */
	PR_ABORT_LATE,	 /* seen: a write landed after its answer */
	PR_ABORT_DRAINS, /* seen with slow writes: none did */
};

struct pr_quirks {
	enum pr_abort abort;
	bool tail; /* the list of keys is true only as long as nothing but its last key is removed */
};
bool pr_keys_contain(const uint64_t *keys, size_t n, uint64_t key);

/* ---- commands and answers ---- */

#define PR_KEYS_MAX 512
#define PR_PARAMETER_BYTES (8 + 8 * PR_KEYS_MAX)
#define PR_TYPE_NONE 0
#define PR_TYPE_EA_REGISTRANTS_ONLY 6
#define PR_TYPE_EA_ALL_REGISTRANTS 8

enum pr_op_kind {
	PR_OP_TEST_UNIT_READY,
	PR_OP_INQUIRY,
	PR_OP_IDENTITY, /* INQUIRY, VPD page 83 */
	PR_OP_READ_CAPACITY,
	PR_OP_REGISTER, /* key -> arg; key 0 = not registered yet; arg 0 = unregister */
	PR_OP_RESERVE,	/* type, with key */
	PR_OP_RELEASE,
	PR_OP_CLEAR,
	PR_OP_PREEMPT, /* arg = the victim's key; with key and type */
	PR_OP_PREEMPT_AND_ABORT,
	PR_OP_READ_KEYS,
	PR_OP_READ_RESERVATION,
	PR_OP_RESET,	      /* LOGICAL UNIT RESET: the barrier */
	PR_OP_TOUCH,	      /* READ(16) of block 0, data thrown away: has this nexus the right? */
	PR_OP_UNMAP_NOTHING,  /* UNMAP of no block at all: is it let through? */
	PR_OP_REGISTER_APTPL, /* as REGISTER, to be kept when the target loses its power */
};

const char *pr_op_name(enum pr_op_kind kind);

struct pr_op {
	enum pr_op_kind kind;
	uint64_t key; /* this nexus's own */
	uint64_t arg;
	uint8_t type;
	unsigned who; /* pr_probe: which scratch session; else 0 */
	uint32_t tag; /* comes back in the answer */
};

#define PR_IDENTITY_TEXT 160

struct pr_answer {
	uint32_t tag;
	enum lun_result result;
	struct lun_sense sense;
	unsigned unit_attentions; /* seen and repeated on the way */
	/* READ KEYS */
	size_t n_keys;
	uint64_t keys[PR_KEYS_MAX];
	uint32_t generation; /* PRgeneration; also READ RESERVATION */
	/* READ RESERVATION; type 0 = none */
	uint8_t type;
	uint64_t holder;
	/* READ CAPACITY(16) */
	uint64_t blocks;
	uint32_t block_size;
	/* INQUIRY */
	char vendor[9], product[17], revision[5];
	/* IDENTITY: the LUN's best designator, e.g. "naa.6001405..."; "" = it names none */
	char identity[PR_IDENTITY_TEXT];
};

/*
 * Parameter data of PERSISTENT RESERVE IN as it came off the wire; any bytes. -EBADMSG when it does
 * not hold together, -E2BIG when there are more than PR_KEYS_MAX keys.
 */
int pr_parse_keys(const uint8_t *data, size_t len, struct pr_answer *ret);
int pr_parse_reservation(const uint8_t *data, size_t len, struct pr_answer *ret);

/*
 * VPD page 83 (SPC-4, 7.8.6): the designator of the logical unit itself, NAA before EUI-64 before T10.
 * What it names is not proof that two LUNs are one (tgt names its LUNs alike on every machine), but
 * different names are proof that they are two. -EBADMSG when it does not hold together.
 */
int pr_parse_identity(const uint8_t *data, size_t len, struct pr_answer *ret);

#endif
