/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys, matches and the parameter data of PERSISTENT RESERVE IN. Pure. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "iscsi/pr.h"

#define KEY_PREFIX UINT64_C(0xc5)

const char *lun_result_name(enum lun_result result)
{
	static const char *const names[] = {
		[LUN_OK] = "good",
		[LUN_ERROR] = "error",
		[LUN_CONFLICT] = "reservation conflict",
		[LUN_LOST] = "session lost",
		[LUN_REFUSED] = "refused here",
		[LUN_INVALID] = "invalid",
		[LUN_BUSY] = "too many at once",
		[LUN_UA] = "unit attention",
		[LUN_UNSUPPORTED] = "not supported by the target",
	};

	return (unsigned)result < sizeof(names) / sizeof(*names) ? names[result] : "?";
}

const char *pr_op_name(enum pr_op_kind kind)
{
	static const char *const names[] = {
		[PR_OP_TEST_UNIT_READY] = "TEST UNIT READY",
		[PR_OP_INQUIRY] = "INQUIRY",
		[PR_OP_IDENTITY] = "INQUIRY of VPD page 83",
		[PR_OP_READ_CAPACITY] = "READ CAPACITY(16)",
		[PR_OP_REGISTER] = "REGISTER",
		[PR_OP_RESERVE] = "RESERVE",
		[PR_OP_RELEASE] = "RELEASE",
		[PR_OP_CLEAR] = "CLEAR",
		[PR_OP_PREEMPT] = "PREEMPT",
		[PR_OP_PREEMPT_AND_ABORT] = "PREEMPT AND ABORT",
		[PR_OP_READ_KEYS] = "READ KEYS",
		[PR_OP_READ_RESERVATION] = "READ RESERVATION",
		[PR_OP_RESET] = "LOGICAL UNIT RESET",
		[PR_OP_TOUCH] = "READ(16)",
		[PR_OP_UNMAP_NOTHING] = "UNMAP",
		[PR_OP_REGISTER_APTPL] = "REGISTER with APTPL",
	};

	return (unsigned)kind < sizeof(names) / sizeof(*names) ? names[kind] : "?";
}

int pr_key_make(unsigned node, uint64_t incarnation, unsigned instance, uint64_t *ret_key)
{
	/* A truncated incarnation would make an old key look like a living one: refuse instead. */
	if (!node || node > 255 || !instance || instance > 65535 || incarnation > UINT32_MAX)
		return -ERANGE;
	*ret_key = KEY_PREFIX << 56 | (uint64_t)node << 48 | (uint64_t)instance << 32 | incarnation;
	return 0;
}

bool pr_key_parse(uint64_t key, struct pr_key *ret)
{
	struct pr_key k = {
		.node = (uint8_t)(key >> 48),
		.instance = (uint16_t)(key >> 32),
		.incarnation = (uint32_t)key,
	};

	if (key >> 56 != KEY_PREFIX || !k.node || !k.instance)
		return false;
	*ret = k;
	return true;
}

static bool instance_used(unsigned node, unsigned instance, const uint64_t *keys, size_t n)
{
	struct pr_key k;

	for (size_t i = 0; i < n; i++)
		if (pr_key_parse(keys[i], &k) && k.node == node && k.instance == instance)
			return true;
	return false;
}

unsigned pr_key_free_instance(unsigned node, const uint64_t *keys, size_t n, unsigned start,
			      bool member)
{
	unsigned bit = member ? PR_INSTANCE_MEMBER : 0, i = start % 32767 + 1;

	/*
	 * Two nexuses with the same key would be killed by one PREEMPT: a zombie of ours and its
	 * successor must differ. n < 32767, so one is free.
	 */
	for (size_t tries = 0; tries <= n && instance_used(node, bit | i, keys, n); tries++)
		i = i % 32767 + 1;
	return bit | i;
}

const char *pr_key_text(uint64_t key, char buf[PR_KEY_TEXT])
{
	struct pr_key k;

	if (pr_key_parse(key, &k))
		(void)snprintf(buf, PR_KEY_TEXT,
			       "node %u, incarnation %" PRIu32 ", instance 0x%04x", k.node,
			       k.incarnation, k.instance);
	else
		(void)snprintf(buf, PR_KEY_TEXT, "foreign key 0x%016" PRIx64, key);
	return buf;
}

static bool match_one(const struct pr_match *m, uint64_t key)
{
	struct pr_key k;

	if (m->kind == PR_MATCH_KEY)
		return m->key == key;
	if (!pr_key_parse(key, &k) || k.node != m->node)
		return false;
	if (m->kind == PR_MATCH_MEMBER && !(k.instance & PR_INSTANCE_MEMBER))
		return false;
	return m->kind == PR_MATCH_NODE_UP_TO ? k.incarnation <= m->incarnation
					      : k.incarnation == m->incarnation;
}

bool pr_match_key(const struct pr_match *match, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		if (match_one(&match[i], key))
			return true;
	return false;
}

bool pr_keys_contain(const uint64_t *keys, size_t n, uint64_t key)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i] == key)
			return true;
	return false;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* Header of both: PRgeneration, ADDITIONAL LENGTH (SPC-4, 6.15). Returns the length behind it. */
static int parse_header(const uint8_t *data, size_t len, struct pr_answer *ret, uint32_t *ret_more)
{
	if (len < 8)
		return -EBADMSG;
	ret->generation = be32(data);
	*ret_more = be32(data + 4);
	return 0;
}

int pr_parse_keys(const uint8_t *data, size_t len, struct pr_answer *ret)
{
	uint32_t more;

	if (parse_header(data, len, ret, &more) < 0 || more % 8)
		return -EBADMSG;
	/* A list that is cut off must not pass for a whole one: a victim could be in the rest. */
	if (more > 8 * PR_KEYS_MAX)
		return -E2BIG;
	if (more > len - 8)
		return -EBADMSG;
	ret->n_keys = more / 8;
	for (size_t i = 0; i < ret->n_keys; i++)
		ret->keys[i] = be64(data + 8 + 8 * i);
	return 0;
}

int pr_parse_reservation(const uint8_t *data, size_t len, struct pr_answer *ret)
{
	uint32_t more;

	if (parse_header(data, len, ret, &more) < 0)
		return -EBADMSG;
	ret->type = PR_TYPE_NONE;
	ret->holder = 0;
	if (!more)
		return 0;
	if (more < 16 || len < 24)
		return -EBADMSG;
	ret->holder = be64(data + 8);
	ret->type = data[21] & 0x0f;
	/* Scope must be the logical unit, and a reservation of "type 0" (seen) is none that holds.
	 */
	return data[21] >> 4 ? -EBADMSG : 0;
}

/* ---- VPD page 83 ---- */

struct designator {
	unsigned code_set, type;
	const uint8_t *id;
	size_t len;
};

/* How good a name it is; 0: none of the logical unit's own. */
static int rank(const struct designator *d)
{
	switch (d->type) {
	case 3: /* NAA */
		return 3;
	case 2: /* EUI-64 */
		return 2;
	case 1: /* T10 vendor identification */
		return 1;
	default:
		return 0;
	}
}

static void put_hex(char *out, size_t n, const uint8_t *id, size_t len)
{
	for (size_t i = 0; i < len && 2 * i + 2 < n; i++)
		(void)snprintf(out + 2 * i, n - 2 * i, "%02x", id[i]);
}

static void put_ascii(char *out, size_t n, const uint8_t *id, size_t len)
{
	size_t o = 0;

	for (size_t i = 0; i < len && o + 1 < n; i++)
		if (id[i] > 0x20 && id[i] < 0x7f)
			out[o++] = (char)id[i];
		else if (o && out[o - 1] != ' ')
			out[o++] = ' ';
	while (o && out[o - 1] == ' ')
		o--;
	out[o] = '\0';
}

static void put_identity(const struct designator *d, char out[PR_IDENTITY_TEXT])
{
	static const char *const prefix[] = { "", "t10.", "eui.", "naa." };
	size_t n = strlen(prefix[d->type]);

	memcpy(out, prefix[d->type], n + 1);
	if (d->code_set == 1)
		put_hex(out + n, PR_IDENTITY_TEXT - n, d->id, d->len);
	else
		put_ascii(out + n, PR_IDENTITY_TEXT - n, d->id, d->len);
}

int pr_parse_identity(const uint8_t *data, size_t len, struct pr_answer *ret)
{
	size_t end;
	int best = 0;

	ret->identity[0] = '\0';
	if (len < 4 || data[1] != 0x83)
		return -EBADMSG;
	end = 4 + ((size_t)data[2] << 8 | data[3]);
	if (end > len)
		end = len; /* the rest was not asked for */
	for (size_t at = 4; at + 4 <= end;) {
		const uint8_t *p = data + at;
		struct designator d = { p[0] & 15, p[1] & 15, p + 4, p[3] };

		if (d.len > end - at - 4)
			return -EBADMSG;
		if (!(p[1] >> 4 & 3) && d.len && rank(&d) > best) { /* of the logical unit */
			best = rank(&d);
			put_identity(&d, ret->identity);
		}
		at += 4 + d.len;
	}
	return 0;
}
