/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Login secrets (CHAP: RFC 7143, 12.1.3). They stand in one file on each node, not in a volume's
 * address: that one is in the cluster's database, in logs and in `show`. It is read at each login,
 * so that a change counts from the next one on.
 *
 *     # /etc/clusterd/chap.conf: mode 0600, owned by who runs csvd (root)
 *     [iqn.2026-01.org.example:disk1]     or [*]: every target without a section of its own
 *     user = node1
 *     secret = our secret
 *     target-user = disk1                 mutual: the target has to prove itself, too
 *     target-secret = its secret
 */
#ifndef CL_ISCSI_CHAP_H
#define CL_ISCSI_CHAP_H

#include "iscsi/url.h"

#define LUN_CHAP_FILE "/etc/clusterd/chap.conf"

struct lun_chap {
	char user[LUN_NAME_MAX + 1]; /* "" = no CHAP */
	char secret[LUN_NAME_MAX + 1];
	char target_user[LUN_NAME_MAX + 1]; /* "" = one way */
	char target_secret[LUN_NAME_MAX + 1];
};

/* Pure. The section of target, or [*], or nothing (0, all ""). -EINVAL: one line with the line's
 * number and never its text. name: of the file, for messages. */
int lun_chap_parse(const char *text, const char *name, const char *target, struct lun_chap *ret,
		   struct cl_error *err);

/* From the file; none is no error. -EPERM when others can read it, -EINVAL, an errno. Small, local:
 * it does not block. */
int lun_chap_lookup(const char *target, struct lun_chap *ret, struct cl_error *err);

/* Another file, for tools and tests. Borrowed. Before the first login. */
void lun_chap_set_file(const char *path);
const char *lun_chap_file(void);

#endif
