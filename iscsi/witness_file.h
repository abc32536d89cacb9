/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One session to a witness that is a directory (file:/PATH): iscsi/witness_dir.h in two threads, one for each lane,
 * since a share may hang for as long as its server is gone ("hard" mounts wait for ever, in the kernel). The loop
 * never waits for them: what has not been answered for eight seconds is a path that is lost, and the threads' answers
 * mean nothing any more when they come.
 */
#ifndef CL_ISCSI_WITNESS_FILE_H
#define CL_ISCSI_WITNESS_FILE_H

#include "iscsi/witness_store.h"

#define WITNESS_FILE_SCHEME "file:"

struct witness_file;

/* As iscsi/witness_store.h has it. -EINVAL: not an absolute path. */
int witness_file_new(struct cl_loop *loop, const struct witness_config *config,
		     struct witness_file **ret, struct cl_error *err);
void witness_file_free(struct witness_file *file);
void witness_file_submit(struct witness_file *file, uint64_t id, enum witness_op_kind kind,
			 uint64_t offset, uint32_t len, const uint8_t *data);
void witness_file_give_up(struct witness_file *file, bool clear, void (*gone)(void *user),
			  void *user);

CL_DEFINE_CLEANUP(struct witness_file, witness_file_free);

#endif
