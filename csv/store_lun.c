/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A LUN over iSCSI. The control session (reservations, barriers; its own key) runs in the loop; the
 * data session belongs to the coordinator's thread and has a key that the control session permitted
 * and saw in READ KEYS before its GO.
 */
#include "config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/store.h"
#include "iscsi/control.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_sync.h"
#include "lib/log.h"

#define IO_DEADLINE_MS                                                                             \
	30000 /* of one call; past it the session is given up and the journal undone */
#define CONNECT_MS 3000

struct store_lun {
	struct store store;
	struct store_config cfg;
	struct lun_url url;
	char control_name[96], data_name[96];
	struct lun_control *control;
	struct lun_loop *binding;
	uint64_t key;	 /* of the data session that may log in */
	unsigned portal; /* for it: the one that works for the control session */
	uint8_t pr_type;
	struct coord *waiting; /* for its GO */
	store_fence_done done;
	void *done_user;
	/* between the threads */
	pthread_mutex_t lock;
	struct lun_sync *sync;
	bool broken;
};

static struct store_lun *lun_of(struct store *store)
{
	return (struct store_lun *)(void *)store;
}

/* ---- the device, in the coordinator's thread ------------------------------------------------ */

struct lun_dev {
	struct fs_dev dev;
	struct store_lun *lun;
	struct lun_sync *sync;
};

static int dev_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	return lun_sync_pread(((struct lun_dev *)(void *)dev)->sync, buf, len, off);
}

static int dev_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	return lun_sync_pwrite(((struct lun_dev *)(void *)dev)->sync, buf, len, off,
			       flags & FS_DEV_FUA);
}

static int dev_flush(struct fs_dev *dev)
{
	return lun_sync_flush(((struct lun_dev *)(void *)dev)->sync);
}

static void dev_free(struct fs_dev *dev)
{
	struct lun_dev *d = (struct lun_dev *)(void *)dev;

	(void)pthread_mutex_lock(&d->lun->lock);
	d->lun->sync = NULL;
	(void)pthread_mutex_unlock(&d->lun->lock);
	lun_sync_close(d->sync);
	free(d);
}

static const struct fs_dev_ops dev_ops = { dev_read, dev_write, dev_flush, dev_free };

/* Under an ISID of its own per volume and role: two LUNs of one target are two sessions. */
static uint32_t isid_of(const struct store_lun *lun)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(lun->cfg.volume); i++)
		h = (h ^ lun->cfg.volume[i]) * 16777619u;
	return (h ^ h >> 24) & 0xffffff;
}

static bool publish(struct store_lun *lun, struct lun_sync *sync)
{
	bool ok;

	(void)pthread_mutex_lock(&lun->lock);
	ok = !lun->broken;
	if (ok)
		lun->sync = sync;
	(void)pthread_mutex_unlock(&lun->lock);
	return ok;
}

static int lun_open(void *user, struct coord *coord, struct fs_dev **ret, struct cl_error *err)
{
	struct store_lun *lun = user;
	struct lun_session_config cfg = {
		.url = &lun->url,
		.portal = lun->portal,
		.initiator = lun->data_name,
		.isid = isid_of(lun),
		.isid_qualifier = 2,
		.role = LUN_ROLE_DATA,
		.key = lun->key,
		.pr_type = lun->pr_type,
		.connect_ms = CONNECT_MS,
	};
	struct lun_sync *sync;
	struct lun_dev *d;
	int r = lun_sync_open(&cfg, &sync, err);

	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d || !publish(lun, sync)) {
		free(d);
		lun_sync_close(sync);
		return cl_error_set(err, d ? -ECANCELED : -ENOMEM, d ? "stopped" : "out of memory");
	}
	lun_sync_set_deadline(sync, IO_DEADLINE_MS);
	*d = (struct lun_dev){ { &dev_ops, lun_sync_bytes(sync) }, lun, sync };
	*ret = &d->dev;
	/* No data command before the control session has seen our key. */
	r = coord_wait_go(coord, err);
	return r < 0 ? r : lun_sync_go(sync, err);
}

/* ---- the control session, in the loop -------------------------------------------------------- */

static void on_changed(void *user, struct lun_control *control)
{
	struct store_lun *lun = user;

	(void)control;
	if (lun->binding)
		lun_loop_update(lun->binding);
}

static enum store_state state_of(enum lun_control_state state)
{
	switch (state) {
	case LUN_CONTROL_HOLDING:
		return STORE_HOLDING;
	case LUN_CONTROL_UP:
	case LUN_CONTROL_ADMITTING:
		return STORE_UP;
	case LUN_CONTROL_DOWN:
	default:
		return STORE_IDLE;
	}
}

/* The key of the data session is permitted before anybody could use it. */
static bool permit(struct store_lun *lun)
{
	struct cl_error err = CL_ERROR_INIT;

	lun->portal = lun_control_portal(lun->control);
	lun->pr_type = lun_control_pr_type(lun->control);
	if (lun_control_allow(lun->control, lun->cfg.node, lun->cfg.incarnation, &lun->key, &err) >=
	    0)
		return true;
	log_error("%s", err.msg);
	return false;
}

static void on_state(void *user, struct lun_control *control, enum lun_control_state state,
		     const struct cl_error *why)
{
	struct store_lun *lun = user;
	enum store_state now = state_of(state);

	(void)control;
	if (now == lun->store.state && state == LUN_CONTROL_ADMITTING)
		return;
	if (state == LUN_CONTROL_HOLDING && !permit(lun))
		now = STORE_UP;
	lun->store.state = now;
	lun->store.hooks.state(lun->store.hooks.user, now, why ? why->msg : "");
}

static void on_ask_log(void *user, struct lun_control *control)
{
	struct store_lun *lun = user;

	(void)control;
	lun->store.hooks.ask_log(lun->store.hooks.user);
}

static void on_stray(void *user, struct lun_control *control, uint64_t key)
{
	char text[PR_KEY_TEXT];

	(void)user;
	(void)control;
	log_warning("a key that nobody was allowed is being removed: %s", pr_key_text(key, text));
}

static int lun_coordinate(struct store *store, struct cl_error *err)
{
	return lun_control_coordinate(lun_of(store)->control, err);
}

/* Nobody else does I/O while all of it goes through the coordinator: no key but ours may stay. */
static void lun_log_says(struct store *store, bool still)
{
	lun_control_log_says(lun_of(store)->control, still, NULL, 0);
}

static void on_fenced(void *user, bool paid, const struct cl_error *why)
{
	struct store_lun *lun = user;
	store_fence_done done = lun->done;

	lun->done = NULL;
	done(lun->done_user, paid, why ? why->msg : "");
}

static int lun_fence(struct store *store, const Vol__Debt *const *debts, size_t n,
		     store_fence_done done, void *user, struct cl_error *err)
{
	struct store_lun *lun = lun_of(store);
	struct pr_match *victims = calloc(n ? n : 1, sizeof(*victims));
	int r;

	if (!victims)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if (lun->done) {
		free(victims);
		return cl_error_set(err, -EBUSY, "a fence of this volume is under way");
	}
	for (size_t i = 0; i < n; i++)
		victims[i] = (struct pr_match){ .kind = PR_MATCH_NODE_UP_TO,
						.node = debts[i]->node,
						.incarnation = debts[i]->incarnation };
	lun->done = done;
	lun->done_user = user;
	r = lun_control_fence(lun->control, victims, n, on_fenced, lun, err);
	if (r < 0)
		lun->done = NULL;
	free(victims);
	return r;
}

static void on_seen(void *user, bool seen, const char *why)
{
	struct store_lun *lun = user;
	struct csv_mail *mail = csv_mail_new(MAIL_GO, NULL, 0);

	if (!lun->waiting || !mail)
		return;
	mail->ok = seen;
	(void)snprintf(mail->text, sizeof(mail->text), "%s", why ? why : "");
	coord_post(lun->waiting, mail);
	lun->waiting = NULL;
}

static void lun_logged_in(struct store *store, struct coord *coord)
{
	struct store_lun *lun = lun_of(store);

	lun->waiting = coord;
	if (lun_control_seen(lun->control, lun->key, on_seen, lun) < 0)
		on_seen(lun, false, "the control session is down");
}

static void lun_break(struct store *store)
{
	struct store_lun *lun = lun_of(store);

	lun->waiting = NULL;
	(void)pthread_mutex_lock(&lun->lock);
	lun->broken = true;
	if (lun->sync)
		lun_sync_break(lun->sync);
	(void)pthread_mutex_unlock(&lun->lock);
}

static void lun_free(struct store *store)
{
	struct store_lun *lun = lun_of(store);

	lun_loop_free(lun->binding);
	lun_control_free(lun->control);
	(void)pthread_mutex_destroy(&lun->lock);
	free(lun);
}

static const struct store_ops lun_store_ops = {
	.free = lun_free,
	.coordinate = lun_coordinate,
	.log_says = lun_log_says,
	.fence = lun_fence,
	.open = lun_open,
	.logged_in = lun_logged_in,
	.break_off = lun_break,
};

static int start_control(struct store_lun *lun, struct cl_loop *loop, struct cl_error *err)
{
	struct lun_control_config cfg = {
		.url = &lun->url,
		.initiator = lun->control_name,
		.node = lun->cfg.node,
		.incarnation = lun->cfg.incarnation,
		.defects = lun->cfg.defects & STORE_DEFECT_NO_BARRIER ? LUN_DEFECT_NO_BARRIER : 0,
		.hooks = { .user = lun,
			   .changed = on_changed,
			   .state = on_state,
			   .ask_log = on_ask_log,
			   .stray = on_stray },
	};
	int r = lun_control_new(&cfg, &lun->control, err);

	if (r < 0)
		return r;
	r = lun_loop_control(loop, lun->control, &lun->binding);
	return r < 0 ? cl_error_errno(err, r, "control session") : 0;
}

int store_lun_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
		  struct cl_error *err)
{
	struct store_lun *lun = calloc(1, sizeof(*lun));
	int r;

	if (!lun)
		return cl_error_set(err, -ENOMEM, "out of memory");
	lun->store = (struct store){ .ops = &lun_store_ops, .hooks = config->hooks };
	lun->cfg = *config;
	lun->cfg.url = NULL;
	(void)pthread_mutex_init(&lun->lock, NULL);
	(void)snprintf(lun->control_name, sizeof(lun->control_name),
		       "iqn.2026-11.org.clusterd:node%u.control", config->node);
	(void)snprintf(lun->data_name, sizeof(lun->data_name),
		       "iqn.2026-11.org.clusterd:node%u.data", config->node);
	r = lun_url_parse(config->url, &lun->url, err);
	if (r >= 0)
		r = start_control(lun, loop, err);
	if (r < 0) {
		lun_free(&lun->store);
		return r;
	}
	*ret = &lun->store;
	return 0;
}
