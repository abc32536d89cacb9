/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Access control lists, as the value of system.posix_acl_access and _default: in place, pure. Rules: the
 * withdrawn POSIX 1003.1e draft 17 as acl(5) has it; layout: linux/posix_acl_xattr.h, version 2.
 *
 * The kernel judges by them; whoever stores files owes it three things, and these are they.
 */
#ifndef CL_CSV_ACL_H
#define CL_CSV_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

bool acl_is_name(const char *name);

/* Whether it is a list at all: entries in order, a mask where one is needed. 0 or -EINVAL. */
int acl_check(const uint8_t *acl, size_t len);

/* The lists below have passed acl_check(). An empty one (header only) has no entries: len <= ACL_EMPTY. */
#define ACL_EMPTY 4u

/* Sets the permission bits of *mode to what the list says. false: the bits say it all, keep no list. */
bool acl_to_mode(const uint8_t *acl, size_t len, uint32_t *mode);

/* chmod: owner, mask (without one: group) and others become what mode says. */
void acl_chmod(uint8_t *acl, size_t len, uint32_t mode);

/*
 * A directory's default list becomes the list of what is made in it: neither gives more than the other,
 * *mode as asked for by the caller. The umask has no part in it. false: keep no list.
 */
bool acl_inherit(uint8_t *acl, size_t len, uint32_t *mode);

#endif
