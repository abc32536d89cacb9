/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * corosync.conf as text in, text out: what the cluster's life changes in it (nodes, addresses, the
 * version, the witness's quorum device, expected votes), and everything else as the administrator
 * wrote it. Pure; the text may be hostile.
 *
 * The device section belongs to the witness: it is there while the witness votes in the log, and there
 * are two nodes or more: corosync does not start with a device and less than two votes beside it.
 */
#ifndef CL_CLUSTERD_COROSYNC_CONF_H
#define CL_CLUSTERD_COROSYNC_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "lib/vec.h"

#define COROSYNC_DEVICE_MODEL "clusterd" /* by this word a device section is ours */

enum { COROSYNC_LINKS_MAX = 8, COROSYNC_CONF_MAX = 32 * 1024, COROSYNC_PORT = 5405 };

struct corosync_node {
	uint32_t id;
	char name[64];
	char address[COROSYNC_LINKS_MAX][64]; /* ring0_addr, ... */
	size_t n_addresses;
};
CL_DEFINE_VEC(corosync_node_vec, struct corosync_node);

/* A node's address is being changed (corosync_move.h). */
struct corosync_move {
	uint32_t node; /* 0: none is */
	unsigned link; /* whose address it is */
	unsigned by;   /* stands meanwhile */
	char from[64];
};

struct corosync_conf {
	char cluster_name[64];
	uint64_t version;	 /* totem.config_version; 0 = none */
	uint32_t expected_votes; /* 0 = not said */
	struct corosync_node_vec nodes;
	unsigned n_quorum, n_devices; /* sections */
	char device_model[64];
	char not_with_device[32]; /* a setting beside which corosync takes no device; "" = none */
	uint8_t links_set_up;	  /* bit N: link N has a totem.interface section */
	uint8_t ports_taken;	  /* bit N: or one of them has link N's port, by its mcastport */
	struct corosync_move move;
};

/* -EINVAL with the line's number. */
int corosync_conf_read(const char *text, struct corosync_conf *ret, struct cl_error *err);
void corosync_conf_fini(struct corosync_conf *conf);

const struct corosync_node *corosync_conf_node(const struct corosync_conf *conf, uint32_t id);
const struct corosync_node *corosync_conf_node_by_name(const struct corosync_conf *conf,
						       const char *name);
/* Of its first link: where it can be asked. "" only between two steps of a change. */
const char *corosync_node_address(const struct corosync_node *node);
/* The lowest id that no node has; 0: all 255 are taken. */
uint32_t corosync_conf_free_id(const struct corosync_conf *conf);

/* A new cluster's, of one node. malloc'd. */
char *corosync_conf_make(const char *cluster_name, const struct corosync_node *node);

/* Our own device section is there. */
bool corosync_conf_has_device(const struct corosync_conf *conf);
/*
 * Whether a witness can have its vote here: 0; -CL_EREFUSED when another program's device, or a
 * setting that excludes devices, is there; -EINVAL without a quorum section. Then changes leave all that
 * as it is.
 */
int corosync_conf_takes_device(const struct corosync_conf *conf, struct cl_error *err);
/* The section is there exactly when it ought to be. */
bool corosync_conf_device_right(const struct corosync_conf *conf, bool device);

/*
 * Changes, each with config_version one higher than it was. Refused with -EEXIST (name, id or
 * address is taken), -ENOENT, -EINVAL. *ret is malloc'd. device: node_wants_device(); it comes
 * and goes in the same change as the node that makes the difference.
 */
int corosync_conf_add(const char *text, const struct corosync_node *node, bool device, char **ret,
		      struct cl_error *err);
int corosync_conf_remove(const char *text, uint32_t id, bool device, char **ret,
			 struct cl_error *err);
/* No node more or less: the device alone. */
int corosync_conf_device(const char *text, bool device, char **ret, struct cl_error *err);
/* The links of all nodes alike. */
struct corosync_links {
	int drop;	     /* -1: none */
	int add, like;	     /* add one on which each node has what it has on link like; -1: none */
	uint32_t node;	     /* but this one .. */
	const char *address; /* .. has this */
	const struct corosync_move
		*mark; /* noted in the text; its node 0: the note is taken out; NULL: as it is */
};
/* links NULL: none changes, only the version. */
int corosync_conf_links(const char *text, const struct corosync_links *links, char **ret,
			struct cl_error *err);
/* Nothing but the version (0 becomes 1): for a new key. */
int corosync_conf_touch(const char *text, char **ret, struct cl_error *err);

#endif
