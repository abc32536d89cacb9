/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before there is a term: GO is awaited, with other mail kept back in its order; then the volume is opened and
 * has the term's epoch written into it.
 */
#include "config.h"

#include <string.h>
#include <time.h>

#include "csv/coord_int.h"

struct csv_mail *coord_next_mail(struct coord *c)
{
	struct csv_mail *mail = c->early;

	if (!mail)
		return csv_mail_get(&c->in);
	c->early = (struct csv_mail *)(void *)mail->mail.next;
	if (!c->early)
		c->early_tail = NULL;
	return mail;
}

static void keep_early(struct coord *c, struct csv_mail *mail)
{
	mail->mail.next = NULL;
	if (c->early_tail)
		c->early_tail->mail.next = &mail->mail;
	else
		c->early = mail;
	c->early_tail = mail;
}

bool coord_stop_asked(struct coord *c)
{
	struct csv_mail *mail;

	while (!c->stop && (mail = csv_mail_get(&c->in))) {
		c->stop = mail->kind == MAIL_STOP;
		if (c->stop)
			free(mail);
		else
			keep_early(c, mail);
	}
	return c->stop;
}

int coord_mail_fd(const struct coord *c)
{
	return c->in.fd;
}

int coord_wait_go(struct coord *c, struct cl_error *err)
{
	struct csv_mail *mail = csv_mail_new(MAIL_LOGGED_IN, NULL, 0);
	bool ok;

	if (!mail)
		return cl_error_set(err, -ENOMEM, "out of memory");
	coord_post_out(c, mail);
	for (;;) {
		mail = csv_mail_get(&c->in);
		if (!mail) {
			cl_mailbox_wait(&c->in, -1);
			continue;
		}
		if (mail->kind == MAIL_GO)
			break;
		if (mail->kind == MAIL_STOP) {
			c->stop = true;
			free(mail);
			return cl_error_set(err, -ECANCELED, "stopped before GO");
		}
		keep_early(c, mail);
	}
	ok = mail->ok;
	if (!ok)
		(void)cl_error_set(err, -CL_EREFUSED, "no GO: %s", mail->text);
	free(mail);
	return ok ? 0 : -CL_EREFUSED;
}

/* The term's first change: nothing of an older epoch may be taken for ours afterwards. */
static int write_epoch(struct coord *c, struct cl_error *err)
{
	struct timespec now;
	struct fs_vol vol;
	int r;

	fs_vol_get(c->fs, &vol);
	if (vol.epoch > c->cfg.epoch)
		return cl_error_set(err, -ESTALE, "the volume has seen epoch %llu, this is %llu",
				    (unsigned long long)vol.epoch,
				    (unsigned long long)c->cfg.epoch);
	/* The same epoch: this node's csvd takes up its own term again, with GO for it. */
	if (vol.epoch == c->cfg.epoch)
		return 0;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	r = fs_begin(c->fs, now);
	if (r < 0)
		return cl_error_errno(err, r, "begin");
	r = fs_set_epoch(c->fs, c->cfg.epoch);
	if (r < 0) {
		fs_abort(c->fs);
		return cl_error_errno(err, r, "epoch");
	}
	r = fs_end(c->fs);
	if (r >= 0)
		r = fs_commit(c->fs);
	return r < 0 ? cl_error_errno(err, r, "epoch") : 0;
}

/* A LUN can be copied, with the volume's uuid: it is still not this cluster's. NULL: not known. */
static const uint8_t *cluster_of(const struct coord *c)
{
	return c->tables->cluster.len == FS_UUID_SIZE ? c->tables->cluster.data : NULL;
}

int coord_open_volume(struct coord *c, struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = c->cfg.volume,
				       .cluster_uuid = cluster_of(c) };
	int r = c->cfg.open(c->cfg.user, c, &c->dev, err);

	if (r < 0)
		return r;
	r = fs_open(c->dev, &opt, &c->fs, err);
	if (r < 0)
		return r;
	r = write_epoch(c, err);
	if (r < 0)
		return r;
	coord_find_heartbeat(c);
	r = coord_load_sessions(c);
	return r < 0 ? cl_error_errno(err, r, "sessions") : 0;
}
