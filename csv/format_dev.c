/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/format_dev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi/chap.h"
#include "iscsi/lun_sync.h"
#include "iscsi/lun_uring.h"
#include "iscsi/paa_probe.h"
#include "iscsi/portals.h"
#include "iscsi/pr.h"
#include "lib/log.h"

#define PROBE_MS 30000
#define ABORT_MS 60000

struct plain_lun {
	struct fs_dev dev;
	struct lun_sync *sync;
};

static int plain_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	return lun_sync_pread(((struct plain_lun *)(void *)dev)->sync, buf, len, off);
}

static int plain_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len,
		       unsigned flags)
{
	return lun_sync_pwrite(((struct plain_lun *)(void *)dev)->sync, buf, len, off,
			       flags & FS_DEV_FUA);
}

static int plain_flush(struct fs_dev *dev)
{
	return lun_sync_flush(((struct plain_lun *)(void *)dev)->sync);
}

static void plain_free(struct fs_dev *dev)
{
	lun_sync_close(((struct plain_lun *)(void *)dev)->sync);
	free(dev);
}

static const struct fs_dev_ops plain_ops = { plain_read, plain_write, plain_flush, plain_free };

/* One that is sound by the rules, or one on which somebody insists and that follows the emergency rule. */
static bool is_fit(const struct lun_probe_result *found, bool unsafe)
{
	return found->pr_type || (unsafe && found->quirks.tail);
}

/* A target that cannot fence is no place for a shared volume: found out now, not in a failover. */
static int check_target(const struct lun_url *url, const char *name, bool unsafe,
			struct lun_probe_result *found, struct cl_error *err)
{
	int r = lun_probe(url, name, PROBE_MS, found, err);

	if (r < 0)
		return r;
	if (is_fit(found, unsafe)) {
		if (!found->pr_type)
			log_warning(
				"the target (%s %s) cannot fence, and somebody insists on it: %s",
				found->vendor, found->product, found->type6);
		return 0;
	}
	(void)cl_error_set(err, -CL_EREFUSED, "the target (%s %s) cannot fence: %.150s",
			   found->vendor, found->product, unsafe ? found->tail : found->type6);
	return cl_error_hint(err, "a shared volume needs persistent reservations of type 6 or 8");
}

/* A portal that does not answer now may be one that is cut; one that leads elsewhere corrupts. */
static int check_portals(const struct lun_url *url, const char *name, struct cl_error *err)
{
	struct lun_portals found;
	int r;

	if (url->n_portals < 2)
		return 0;
	r = lun_portals_prove(url, name, PROBE_MS, &found, err);
	for (unsigned i = 0; r == 0 && i < found.n; i++)
		if (found.portal[i].state == LUN_PORTAL_DOWN)
			log_warning("portal not proven: %s", found.portal[i].text);
	return r;
}

static void format_name(const struct format_dev_config *cfg, char name[96])
{
	(void)snprintf(name, 96, "iqn.2026-11.org.clusterd:node%u.format", cfg->node);
}

static int open_lun(const struct lun_url *url, const struct format_dev_config *dev,
		    struct lun_sync **ret, struct cl_error *err)
{
	char name[96];
	struct lun_session_config cfg = {
		.url = url,
		.initiator = name,
		.isid = 0xf0,
		.isid_qualifier = 3,
		.role = LUN_ROLE_DATA,
	};
	int r;

	format_name(dev, name);
	/* A key, because data needs a GO and a GO a registration; taken away again at the end. */
	r = pr_key_make(dev->node, 1, 0xffff, &cfg.key);
	if (r < 0)
		return cl_error_errno(err, r, "key");
	return lun_sync_open_unused(&cfg, ret, err);
}

/*
 * Nothing fences a file, nor a block device: the kernel's ioctls for persistent reservations (linux/pr.h)
 * have no READ KEYS before Linux 6.x, no nexus of csvd's own and no barrier. One machine has its own means
 * (iscsi/lun_uring.h); several have none.
 */
static int check_local(const char *url, size_t nodes, struct cl_error *err)
{
	const char *one_machine = getenv("CSVD_ONE_MACHINE"); /* all "nodes" are one, in a test */

	if (nodes > 1 && !(one_machine && !strcmp(one_machine, "yes"))) {
		(void)cl_error_set(
			err, -CL_EREFUSED,
			"%.200s cannot be shared by %zu nodes: nothing could fence one of them",
			url, nodes);
		return cl_error_hint(err, "a shared volume needs a LUN: iscsi://HOST/IQN/LUN");
	}
	return 0;
}

/* In use, or portals that lead to several disks: a state that somebody has to change first. */
static int refusal(int r, struct cl_error *err)
{
	if (r == -EBUSY || r == -EXDEV)
		err->code = r = -CL_EREFUSED;
	return r;
}

static int parse(const char *url, struct lun_url *ret, struct cl_error *err)
{
	int r = lun_url_parse(url, ret, err);

	if (r < 0 || !ret->password[0])
		return r;
	(void)cl_error_set(
		err, -EINVAL,
		"a password in a volume's address would stand in the cluster's database and "
		"in logs");
	return cl_error_hint(err, "put it into %s on every node", LUN_CHAP_FILE);
}

int format_dev_probe(const struct format_dev_config *cfg, struct lun_probe_result *ret_found,
		     struct cl_error *err)
{
	struct lun_url url;
	char name[96];
	int r;

	*ret_found = (struct lun_probe_result){ 0 };
	if (lun_local_path(cfg->url))
		return check_local(cfg->url, cfg->nodes, err);
	r = parse(cfg->url, &url, err);
	if (r < 0)
		return r;
	format_name(cfg, name);
	r = check_target(&url, name, cfg->unsafe, ret_found, err);
	if (r == 0)
		r = check_portals(&url, name, err);
	return refusal(r, err);
}

int format_dev_open(const struct format_dev_config *cfg, struct fs_dev **ret, struct cl_error *err)
{
	struct plain_lun *p;
	struct lun_url lun;
	int r;

	if (lun_local_path(cfg->url))
		return fs_dev_file_open(lun_local_path(cfg->url), 0, ret, err);
	r = parse(cfg->url, &lun, err);
	if (r < 0)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	r = open_lun(&lun, cfg, &p->sync, err);
	if (r < 0) {
		free(p);
		return refusal(r, err);
	}
	p->dev = (struct fs_dev){ &plain_ops, lun_sync_bytes(p->sync) };
	*ret = &p->dev;
	return 0;
}

int format_dev_try_abort(const struct format_dev_config *cfg, struct lun_probe_result *found,
			 struct cl_error *err)
{
	uint64_t bytes = found->blocks * found->block_size;
	struct lun_url url;
	char name[96];
	int r;

	if (found->quirks.abort != PR_ABORT_GOOD || bytes < 4 * (uint64_t)PAA_PROBE_BYTES)
		return 0;
	r = parse(cfg->url, &url, err);
	if (r < 0)
		return r;
	format_name(cfg, name);
	return lun_paa_probe(
		&url, name, found->pr_type ? found->pr_type : PR_TYPE_EA_ALL_REGISTRANTS,
		bytes / 2 / PAA_PROBE_BYTES * PAA_PROBE_BYTES, ABORT_MS, &found->quirks.abort, err);
}
