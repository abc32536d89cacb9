/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to clusterd (proto/volume.proto). Made again for ever when it breaks: csvd goes on
 * under the last tables until the lease ends. What comes in is checked here; the rest of csvd may
 * rely on it.
 */
#ifndef CL_CSV_CLUSTER_H
#define CL_CSV_CLUSTER_H

#include "lib/error.h"
#include "lib/loop.h"
#include "proto/volume.pb-c.h"

struct cluster;

struct cluster_ops {
	void (*connected)(void *user); /* hello has been sent */
	/* Newer than the last ones. The callee's (vol__tables__free_unpacked). */
	void (*tables)(void *user, Vol__Tables *tables);
	void (*lease)(void *user, const Vol__Lease *lease);
	void (*go_answer)(void *user, const Vol__GoAnswer *answer);
	void (*order)(void *user, const Vol__Order *order);
	void (*job)(void *user, const Vol__Job *job);
	void (*credentials)(void *user, const Vol__Credentials *credentials);
};

struct cluster_config {
	const char *path; /* of the socket; borrowed */
	const char *mount_root;
	bool can_resend;
	uint64_t lost_before_ms; /* as in Hello */
	const struct cluster_ops *ops;
	void *user;
};

int cluster_new(struct cl_loop *loop, const struct cluster_config *config, struct cluster **ret,
		struct cl_error *err);
void cluster_free(struct cluster *cluster);

/* Lost when there is no connection at present: state is told again after `connected`. */
void cluster_send(struct cluster *cluster, const Vol__FromCsvd *msg);

/* 0, or -EBADMSG with what is wrong. */
int cluster_check_tables(const Vol__Tables *tables, struct cl_error *err);

#endif
