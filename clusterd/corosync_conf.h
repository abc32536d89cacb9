/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync.conf as text in, text out: what the cluster's life changes in it (nodes, addresses, the
 * version, expected votes), and everything else as the administrator wrote it. Pure; the text may be
 * hostile.
 */
#ifndef CL_CLUSTERD_COROSYNC_CONF_H
#define CL_CLUSTERD_COROSYNC_CONF_H

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/vec.h"

enum { COROSYNC_LINKS_MAX = 8, COROSYNC_CONF_MAX = 32 * 1024 };

struct corosync_node {
	uint32_t id;
	char name[64];
	char address[COROSYNC_LINKS_MAX][64]; /* ring0_addr, ... */
	size_t n_addresses;
};
CL_DEFINE_VEC(corosync_node_vec, struct corosync_node);

struct corosync_conf {
	char cluster_name[64];
	uint64_t version; /* totem.config_version; 0 = none */
	uint32_t expected_votes;
	struct corosync_node_vec nodes;
};

/* -EINVAL with the line's number. */
int corosync_conf_read(const char *text, struct corosync_conf *ret, struct cl_error *err);
void corosync_conf_fini(struct corosync_conf *conf);

const struct corosync_node *corosync_conf_node(const struct corosync_conf *conf, uint32_t id);
const struct corosync_node *corosync_conf_node_by_name(const struct corosync_conf *conf,
						       const char *name);
/* The lowest id that no node has; 0: all 255 are taken. */
uint32_t corosync_conf_free_id(const struct corosync_conf *conf);

/* A new cluster's, of one node. malloc'd. */
char *corosync_conf_make(const char *cluster_name, const struct corosync_node *node);

/*
 * Changes, each with config_version one higher than it was. Refused with -EEXIST (name, id or
 * address is taken), -ENOENT, -EINVAL. *ret is malloc'd.
 */
int corosync_conf_add(const char *text, const struct corosync_node *node, char **ret,
		      struct cl_error *err);
int corosync_conf_remove(const char *text, uint32_t id, char **ret, struct cl_error *err);
/* Nothing but the version (0 becomes 1): for a new key. */
int corosync_conf_touch(const char *text, char **ret, struct cl_error *err);

#endif
