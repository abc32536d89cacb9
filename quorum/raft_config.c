/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Identities, lines and configurations as values, and a configuration's encoding. */
#include "config.h"

#include <string.h>

#include "quorum/raft.h"

bool raft_id_equal(const struct raft_id *a, const struct raft_id *b)
{
	return a->node == b->node && memcmp(a->uuid, b->uuid, RAFT_UUID_LEN) == 0;
}

static int id_compare(const struct raft_id *a, const struct raft_id *b)
{
	if (a->node != b->node)
		return a->node < b->node ? -1 : 1;
	return memcmp(a->uuid, b->uuid, RAFT_UUID_LEN);
}

int raft_line_compare(const struct raft_line *a, const struct raft_line *b)
{
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	if (a->random_id != b->random_id)
		return a->random_id < b->random_id ? -1 : 1;
	return 0;
}

const struct raft_member *raft_config_find(const struct raft_config *c, const struct raft_id *id)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (raft_id_equal(&c->member[i].id, id))
			return &c->member[i];
	return NULL;
}

uint32_t raft_config_voters(const struct raft_config *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n; i++)
		n += c->member[i].role == RAFT_VOTER;
	return n;
}

bool raft_config_put(struct raft_config *c, const struct raft_member *m)
{
	uint32_t at = 0;

	while (at < c->n && id_compare(&c->member[at].id, &m->id) < 0)
		at++;
	if (at == c->n || !raft_id_equal(&c->member[at].id, &m->id)) {
		if (c->n == RAFT_MEMBERS_MAX)
			return false;
		memmove(&c->member[at + 1], &c->member[at], (c->n - at) * sizeof(*m));
		c->n++;
	}
	c->member[at] = *m;
	return true;
}

void raft_config_remove(struct raft_config *c, const struct raft_id *id)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (raft_id_equal(&c->member[i].id, id)) {
			memmove(&c->member[i], &c->member[i + 1],
				(c->n - i - 1) * sizeof(c->member[0]));
			c->n--;
			return;
		}
}

bool raft_config_equal(const struct raft_config *a, const struct raft_config *b)
{
	if (a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++)
		if (!raft_id_equal(&a->member[i].id, &b->member[i].id) ||
		    a->member[i].role != b->member[i].role)
			return false;
	return true;
}

static void put_u32(uint8_t *p, uint32_t x)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(x >> (8 * i));
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

enum { MEMBER_BYTES = 4 + RAFT_UUID_LEN + 1, VERSION_BYTES = 8 };

size_t raft_config_encode(const struct raft_config *c, uint8_t *buf)
{
	uint8_t *p = buf + 4;

	put_u32(buf, c->n);
	for (uint32_t i = 0; i < c->n; i++, p += MEMBER_BYTES) {
		put_u32(p, c->member[i].id.node);
		memcpy(p + 4, c->member[i].id.uuid, RAFT_UUID_LEN);
		p[4 + RAFT_UUID_LEN] = (uint8_t)c->member[i].role;
	}
	put_u32(p, (uint32_t)c->version);
	put_u32(p + 4, (uint32_t)(c->version >> 32));
	return (size_t)(p + VERSION_BYTES - buf);
}

static bool member_decode(const uint8_t *p, struct raft_member *ret)
{
	*ret = (struct raft_member){ .role = p[4 + RAFT_UUID_LEN] };
	ret->id.node = get_u32(p);
	memcpy(ret->id.uuid, p + 4, RAFT_UUID_LEN);
	return ret->id.node != 0 && ret->role >= RAFT_LEARNER && ret->role <= RAFT_VOTER;
}

int raft_config_decode(const uint8_t *buf, size_t len, struct raft_config *ret)
{
	struct raft_config c = { 0 };
	size_t end;

	if (len < 4 || get_u32(buf) > RAFT_MEMBERS_MAX)
		return -CL_ECORRUPT;
	c.n = get_u32(buf);
	end = 4 + (size_t)c.n * MEMBER_BYTES;
	if (len == end + VERSION_BYTES)
		c.version = get_u32(buf + end) | (uint64_t)get_u32(buf + end + 4) << 32;
	else if (len != end) /* as it was written before there was a version: 0 */
		return -CL_ECORRUPT;
	for (uint32_t i = 0; i < c.n; i++) {
		if (!member_decode(buf + 4 + i * MEMBER_BYTES, &c.member[i]))
			return -CL_ECORRUPT;
		/* Sorted and without doubles: counted twice, one vote would be two. */
		if (i && id_compare(&c.member[i - 1].id, &c.member[i].id) >= 0)
			return -CL_ECORRUPT;
	}
	*ret = c;
	return 0;
}
