/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/acl.h"

#include <errno.h>
#include <string.h>

#include "lib/le.h"

#define ACL_VERSION 2u
#define ENTRY 8u /* tag 16 bits, permissions 16, id 32 */
#define ENTRIES_MAX 512u

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

bool acl_is_name(const char *name)
{
	return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static size_t entries(size_t len)
{
	return (len - ACL_EMPTY) / ENTRY;
}

static uint16_t tag_at(const uint8_t *acl, size_t i)
{
	return cl_get_le16(acl + ACL_EMPTY + i * ENTRY);
}

static uint16_t perm_at(const uint8_t *acl, size_t i)
{
	return cl_get_le16(acl + ACL_EMPTY + i * ENTRY + 2);
}

static void set_perm(uint8_t *acl, size_t i, uint32_t perm)
{
	cl_put_le16(acl + ACL_EMPTY + i * ENTRY + 2, (uint16_t)(perm & 7));
}

/* Tags come in the order of their bits; those of one user or group may repeat, the others are once. */
static int check_tags(const uint8_t *acl, size_t n)
{
	unsigned seen = 0, need = USER_OBJ | GROUP_OBJ | OTHER;

	for (size_t i = 0; i < n; i++) {
		unsigned tag = tag_at(acl, i);

		if (!tag || tag > OTHER || tag & (tag - 1) || perm_at(acl, i) > 7)
			return -EINVAL;
		if (seen >= tag && !((tag == USER || tag == GROUP) && seen < 2 * tag))
			return -EINVAL;
		seen |= tag;
	}
	if (seen & (USER | GROUP))
		need |= MASK;
	return (seen & need) == need ? 0 : -EINVAL;
}

int acl_check(const uint8_t *acl, size_t len)
{
	if (len < ACL_EMPTY || (len - ACL_EMPTY) % ENTRY || cl_get_le32(acl) != ACL_VERSION)
		return -EINVAL;
	if (entries(len) > ENTRIES_MAX)
		return -EINVAL;
	return entries(len) ? check_tags(acl, entries(len)) : 0;
}

/* The place of a tag that is there once, or -1. */
static int find(const uint8_t *acl, size_t len, unsigned tag)
{
	for (size_t i = 0; i < entries(len); i++)
		if (tag_at(acl, i) == tag)
			return (int)i;
	return -1;
}

/* What the group bits of the mode stand for. */
static size_t group_class(const uint8_t *acl, size_t len)
{
	int mask = find(acl, len, MASK);

	return (size_t)(mask >= 0 ? mask : find(acl, len, GROUP_OBJ));
}

bool acl_to_mode(const uint8_t *acl, size_t len, uint32_t *mode)
{
	uint32_t owner, group, other;

	if (len <= ACL_EMPTY)
		return false;
	owner = perm_at(acl, (size_t)find(acl, len, USER_OBJ));
	group = perm_at(acl, group_class(acl, len));
	other = perm_at(acl, (size_t)find(acl, len, OTHER));
	*mode = (*mode & ~0777u) | owner << 6 | group << 3 | other;
	return entries(len) > 3;
}

void acl_chmod(uint8_t *acl, size_t len, uint32_t mode)
{
	if (len <= ACL_EMPTY)
		return;
	set_perm(acl, (size_t)find(acl, len, USER_OBJ), mode >> 6);
	set_perm(acl, group_class(acl, len), mode >> 3);
	set_perm(acl, (size_t)find(acl, len, OTHER), mode);
}

bool acl_inherit(uint8_t *acl, size_t len, uint32_t *mode)
{
	uint32_t of_list = 0777;

	if (len <= ACL_EMPTY)
		return false;
	(void)acl_to_mode(acl, len, &of_list);
	*mode &= of_list | ~0777u;
	acl_chmod(acl, len, *mode);
	return entries(len) > 3;
}
