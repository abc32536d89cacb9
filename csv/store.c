/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/store.h"

#include "iscsi/lun_uring.h"

int store_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
	      struct cl_error *err)
{
	if (lun_local_path(config->url))
		return store_file_new(loop, config, ret, err);
	return store_lun_new(loop, config, ret, err);
}

void store_free(struct store *store)
{
	if (store)
		store->ops->free(store);
}
