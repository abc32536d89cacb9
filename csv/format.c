/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `create volume`: the file system on a fresh LUN, in a thread of its own (it blocks for seconds). */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/csvd_int.h"
#include "csv/format_dev.h"
#include "csv/fs.h"

struct format {
	struct csvd *d;
	uint64_t order;
	char name[64], url[256];
	struct format_dev_config dev;
	struct fs_mkfs_options opt;
};

/* The database keeps so much of it (STATE_PROBED_MAX), and what it is made of decides how a fence is done. */
#define TEXT_MAX 120

/* What the target can do, for `show` and for whoever fences; nothing where nothing was tried. */
static void describe(struct lun_probe_result *found, const struct timespec *now, Vol__Target *ret)
{
	vol__target__init(ret);
	if (!found->blocks)
		return;
	found->type8[TEXT_MAX] = found->type6[TEXT_MAX] = '\0';
	ret->vendor = found->vendor;
	ret->product = found->product;
	ret->revision = found->revision;
	ret->unsafe = !found->pr_type;
	ret->pr_type = found->pr_type ? found->pr_type : PR_TYPE_EA_ALL_REGISTRANTS;
	ret->type8 = found->type8;
	ret->type6 = found->type6;
	ret->blocks = found->blocks;
	ret->block_size = found->block_size;
	ret->abort = (Vol__Target__Abort)found->quirks.abort;
	ret->unmap = (Vol__Target__Unmap)found->unmap;
	ret->aptpl = (Vol__Target__Aptpl)found->aptpl;
	ret->tested_ms = (uint64_t)now->tv_sec * 1000;
}

static void report(struct format *f, int r, struct lun_probe_result *found,
		   const struct cl_error *err)
{
	struct csv_mail *mail;
	Vol__Target target;

	describe(found, &f->opt.now, &target);
	mail = csv_mail_new(MAIL_FENCE_DONE, NULL, vol__target__get_packed_size(&target));
	if (!mail)
		return;
	(void)vol__target__pack(&target, mail->body);
	mail->id = f->order;
	mail->state = r < 0 ? -r : 0;
	(void)snprintf(mail->text, sizeof(mail->text), "%.250s", err->msg);
	cl_mailbox_put(&f->d->mail, &mail->mail);
}

/* What may be written over is known by then. */
static int try_abort(struct format *f, struct lun_probe_result *found, struct cl_error *err)
{
	_cleanup_(fs_dev_freep) struct fs_dev *dev = NULL;
	int r = format_dev_open(&f->dev, &dev, err);

	if (r == 0)
		r = fs_mkfs_check(dev, &f->opt, err);
	if (r < 0)
		return r;
	fs_dev_free(cl_steal(dev));
	return format_dev_try_abort(&f->dev, found, err);
}

static void *format_main(void *user)
{
	_cleanup_(fs_dev_freep) struct fs_dev *dev = NULL;
	struct cl_error err = CL_ERROR_INIT;
	struct format *f = user;
	struct lun_probe_result found;
	int r = format_dev_probe(&f->dev, &found, &err);

	if (r >= 0 && found.quirks.abort == PR_ABORT_GOOD)
		r = try_abort(f, &found, &err);
	if (r >= 0)
		r = format_dev_open(&f->dev, &dev, &err);
	if (r >= 0)
		r = fs_mkfs(dev, &f->opt, &err);
	report(f, r, &found, &err);
	free(f);
	return NULL;
}

int format_start(struct csvd *d, uint64_t order, const Vol__Format *in)
{
	struct format *f = calloc(1, sizeof(*f));
	pthread_t thread;

	if (!f || in->uuid.len != 16 || !d->tables) {
		free(f);
		return -EINVAL;
	}
	f->d = d;
	f->order = order;
	f->dev = (struct format_dev_config){ .url = f->url,
					     .node = d->tables->self,
					     .nodes = d->tables->n_nodes,
					     .unsafe = in->unsafe };
	(void)snprintf(f->name, sizeof(f->name), "%s", in->name);
	(void)snprintf(f->url, sizeof(f->url), "%s", in->url);
	f->opt.name = f->name;
	f->opt.force = in->force;
	memcpy(f->opt.volume_uuid, in->uuid.data, 16);
	if (d->tables->cluster.len == 16)
		memcpy(f->opt.cluster_uuid, d->tables->cluster.data, 16);
	(void)clock_gettime(CLOCK_REALTIME, &f->opt.now);
	if (pthread_create(&thread, NULL, format_main, f) != 0) {
		free(f);
		return -EAGAIN;
	}
	(void)pthread_detach(thread);
	return 0;
}
