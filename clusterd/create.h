/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `create vm`, `create volume`, `move --check`: operands and options checked and made ready. */
#ifndef CL_CLUSTERD_CREATE_H
#define CL_CLUSTERD_CREATE_H

#include "clusterd/conf.h"
#include "clusterd/core/node.h"
#include "proto/ipc.pb-c.h"

struct create_vm {
	struct node_request req; /* points into what follows */
	char *spec_text, *node;
	char volume[STATE_VOLUMES_OF_RESOURCE_MAX][STATE_NAME_MAX];
	const char *volumes[STATE_VOLUMES_OF_RESOURCE_MAX];
};

/* -EINVAL with one line. Fini in any case. */
int create_vm_read(const Ipc__Request *msg, const struct conf *conf, struct create_vm *ret,
		   struct cl_error *err);
void create_vm_fini(struct create_vm *vm);

struct create_volume {
	char name[STATE_NAME_MAX], url[STATE_URL_MAX];
	uint8_t uuid[16];
	bool force, unsafe;
};

/*
 * Everything that can be refused before a LUN is written to is refused here: bad name or URL, a name
 * that is taken, no quorum.
 */
int create_volume_read(const Ipc__Request *msg, const struct node *node, struct create_volume *ret,
		       struct cl_error *err);

/* -EINVAL: it is not auto, fence or lease. */
int create_start_after(const char *value, enum state_start_after *ret, struct cl_error *err);

/* Whether `move name target` would be begun, as far as this node knows. */
int create_check_move(const struct node *node, const char *name, const char *target,
		      struct cl_error *err);

#endif
