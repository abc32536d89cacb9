/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before there is a term: GO is awaited, with other mail kept back in its order; then the volume is opened and
 * has the term's epoch written into it. What is refused is looked at again and again, without a new claim.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "csv/coord_int.h"
#include "lib/monotime.h"

#define LOOK_MS 1000
#define LOOK_SHARE 20
#define LOOK_MAX_MS 30000

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
	if (vol.epoch > c->cfg.epoch) {
		c->later_epoch = vol.epoch;
		return cl_error_set(err, -ESTALE,
				    "the volume has a later epoch, %llu, than this cluster's %llu: "
				    "another line of the cluster's history uses it",
				    (unsigned long long)vol.epoch,
				    (unsigned long long)c->cfg.epoch);
	}
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

static int open_fs(struct coord *c, struct cl_error *err)
{
	struct fs_open_options opt = { .volume_uuid = c->cfg.volume,
				       .cluster_uuid = cluster_of(c) };
	int r;

	c->later_epoch = 0;
	r = fs_open(c->dev, &opt, &c->fs, err);
	if (r >= 0)
		r = write_epoch(c, err);
	if (r < 0)
		return r;
	coord_find_heartbeat(c);
	r = coord_load_sessions(c);
	return r < 0 ? cl_error_errno(err, r, "sessions") : 0;
}

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

/* Not because of what lies there: the path, a fence; or a write of ours may be there in part. */
static bool is_failure(const struct coord *c, int r)
{
	return r == -EBADE || r == -ENOLINK || r == -ETIMEDOUT || r == -ECANCELED || r == -ENOMEM ||
	       (c->fs && fs_dead(c->fs));
}

static void forget_volume(struct coord *c)
{
	fs_free(c->fs);
	c->fs = NULL;
	c->n_hb = 0;
	session_table_fini(&c->sessions);
	memset(&c->sessions, 0, sizeof(c->sessions));
}

/*
 * Looking reads as far as it finds something wrong, a journal of 256 MiB at worst: a twentieth of the time at most.
 * Nothing was written by a volume that is refused (fs.h), so nothing of unknown fate is under way and no new claim,
 * with its LOGICAL UNIT RESET for all who use the target, is needed before the next look.
 */
static void look_later(struct coord *c, int64_t took_ms)
{
	int64_t pause_ms = c->cfg.look_ms ? c->cfg.look_ms : LOOK_MS;

	if (pause_ms < LOOK_SHARE * took_ms)
		pause_ms = LOOK_SHARE * took_ms;
	c->look_at_ms = now_ms() + (pause_ms < LOOK_MAX_MS ? pause_ms : LOOK_MAX_MS);
}

static void refuse(struct coord *c, const char *why, int64_t took_ms)
{
	bool news = c->state != COORD_REFUSED || strncmp(c->why, why, 250) != 0;

	forget_volume(c);
	look_later(c, took_ms);
	if (!news)
		return;
	(void)snprintf(c->why, sizeof(c->why), "%.250s", why);
	coord_set_state(c, COORD_REFUSED, c->why);
}

static void look(struct coord *c)
{
	struct cl_error err = CL_ERROR_INIT;
	int64_t began_ms = now_ms();
	int r = open_fs(c, &err);

	if (c->state == COORD_FAILED)
		return;
	if (r >= 0)
		coord_begin_grace(c);
	else if (is_failure(c, r))
		coord_fail(c, "%s", err.msg);
	else
		refuse(c, err.msg, now_ms() - began_ms);
}

void coord_open(struct coord *c)
{
	struct cl_error err = CL_ERROR_INIT;

	if (c->cfg.open(c->cfg.user, c, &c->dev, &err) < 0)
		coord_fail(c, "%s", err.msg);
	else
		look(c);
}

/*
 * A node that has failed while it was refused is not living in these tables. Its session is taken for fenced when it is
 * loaded, because the claim came after all debts; of this one that is not true before it is paid.
 */
static bool owes_fences(const struct coord *c)
{
	for (size_t i = 0; i < c->tables->n_volumes; i++) {
		const Vol__Volume *v = c->tables->volumes[i];

		if (v->uuid.len == sizeof(c->cfg.volume) &&
		    memcmp(v->uuid.data, c->cfg.volume, sizeof(c->cfg.volume)) == 0)
			return v->n_debts > 0;
	}
	return true; /* it is no volume of this cluster any more */
}

void coord_look_again(struct coord *c)
{
	if (c->state != COORD_REFUSED || coord_look_wait_ms(c) > 0)
		return;
	if (owes_fences(c) || coord_lease_over(c))
		look_later(c, 0);
	else
		look(c);
}

int coord_look_wait_ms(const struct coord *c)
{
	int64_t left = c->look_at_ms - now_ms();

	if (c->state != COORD_REFUSED)
		return -1;
	return left < 0 ? 0 : (int)left;
}
