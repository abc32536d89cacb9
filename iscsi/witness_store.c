/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_store.h"

#include <stdlib.h>
#include <string.h>

#include "iscsi/witness_file.h"
#include "iscsi/witness_lun.h"

/* One of the two. */
struct witness_store {
	struct witness_lun *lun;
	struct witness_file *file;
};

bool witness_store_is_file(const char *url)
{
	return strncmp(url, WITNESS_FILE_SCHEME, strlen(WITNESS_FILE_SCHEME)) == 0;
}

int witness_store_new(struct cl_loop *loop, const struct witness_config *config,
		      struct witness_store **ret, struct cl_error *err)
{
	_cleanup_(witness_store_freep) struct witness_store *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if (witness_store_is_file(config->url))
		r = witness_file_new(loop, config, &s->file, err);
	else
		r = witness_lun_new(loop, config, &s->lun, err);
	if (r == 0)
		*ret = cl_steal(s);
	return r;
}

void witness_store_free(struct witness_store *s)
{
	if (!s)
		return;
	witness_lun_free(s->lun);
	witness_file_free(s->file);
	free(s);
}

void witness_store_submit(struct witness_store *s, uint64_t id, enum witness_op_kind kind,
			  uint64_t offset, uint32_t len, const uint8_t *data)
{
	if (s->file)
		witness_file_submit(s->file, id, kind, offset, len, data);
	else
		witness_lun_submit(s->lun, id, kind, offset, len, data);
}

void witness_store_give_up(struct witness_store *s, bool clear, void (*gone)(void *user),
			   void *user)
{
	if (s->file)
		witness_file_give_up(s->file, clear, gone, user);
	else
		witness_lun_give_up(s->lun, clear, gone, user);
}
