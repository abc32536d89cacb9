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

#include "csv/isid.h"
#include "csv/nexus.h"
#include "csv/store.h"
#include "iscsi/control.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_sync.h"
#include "iscsi/pr_fence.h"
#include "lib/log.h"

#define IO_DEADLINE_MS                                                                             \
	30000 /* of one call; past it the session is given up and the journal undone */
#define CONNECT_MS 3000

/* A fence under way, of nexuses or of debts. Listed, because a control that is freed forgets its callers. */
struct kill {
	struct kill *next;
	struct store_lun *lun;
	store_fence_done done;
	void *user;
	size_t n;
	struct pr_match victims[];
};

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
	struct coord *waiting;	  /* for its GO */
	struct nexus_vec nexuses; /* of mounts; the coordinator's thread has its own key */
	struct kill *kills;
	uint64_t fenced[256]; /* per node; who is fenced is permitted nothing any more */
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
		.isid = csv_isid(lun->cfg.volume),
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

static int load_nexuses(struct store_lun *lun)
{
	const uint64_t *keys;
	size_t n = lun_control_allowed(lun->control, &keys);

	return nexus_load(&lun->nexuses, keys, n);
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

	if (now == lun->store.state && state == LUN_CONTROL_ADMITTING)
		return;
	if (state == LUN_CONTROL_HOLDING && (load_nexuses(lun) < 0 || !permit(lun)))
		now = STORE_UP;
	lun->store.state = now;
	lun->store.refused = lun_control_refused(control);
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

/*
 * The coordinator's thread itself first, and not by its mail: it may be the one that waits for a write that
 * the reset took away, and as long as it does it tells nobody else.
 */
static void on_barrier(void *user, struct lun_control *control, uint64_t n)
{
	struct store_lun *lun = user;

	(void)control;
	(void)pthread_mutex_lock(&lun->lock);
	if (lun->sync)
		lun_sync_barrier_answered(lun->sync);
	(void)pthread_mutex_unlock(&lun->lock);
	lun->store.hooks.barrier(lun->store.hooks.user, n);
}

static int lun_coordinate(struct store *store, struct cl_error *err)
{
	return lun_control_coordinate(lun_of(store)->control, err);
}

/* Members go on under their keys: the maps that they use are not changed before all have reclaimed. */
static void lun_log_says(struct store *store, bool still, const struct store_node *living,
			 size_t n_living)
{
	struct pr_match match[PR_MATCHES_MAX];
	size_t n = n_living < PR_MATCHES_MAX ? n_living : PR_MATCHES_MAX; /* the others ask anew */

	for (size_t i = 0; i < n; i++)
		match[i] = (struct pr_match){ .kind = PR_MATCH_MEMBER,
					      .node = living[i].node,
					      .incarnation = living[i].incarnation };
	lun_control_log_says(lun_of(store)->control, still, match, n);
}

/* ---- killing --------------------------------------------------------------------------------- */

static struct kill *kill_new(struct store_lun *lun, size_t n, store_fence_done done, void *user)
{
	struct kill *k = calloc(1, sizeof(*k) + n * sizeof(k->victims[0]));

	if (!k)
		return NULL;
	k->lun = lun;
	k->done = done;
	k->user = user;
	k->n = n;
	k->next = lun->kills;
	lun->kills = k;
	return k;
}

static void kill_free(struct kill *k)
{
	struct kill **p = &k->lun->kills;

	while (*p != k)
		p = &(*p)->next;
	*p = k->next;
	free(k);
}

/* Those who went with a victim (iscsi/pr_tail.h): nobody has to kill them once more. */
static void forget_swept(struct store_lun *lun)
{
	const uint64_t *keys;
	size_t n = lun_control_allowed(lun->control, &keys);

	nexus_keep(&lun->nexuses, keys, n);
}

static void on_killed(void *user, bool paid, const struct cl_error *why)
{
	struct kill *k = user;
	store_fence_done done = k->done;
	void *done_user = k->user;

	/* Not paid: the control session is given up, and the next claim counts anew. */
	if (paid) {
		nexus_dead(&k->lun->nexuses, k->victims, k->n);
		forget_swept(k->lun);
	}
	kill_free(k);
	done(done_user, paid, why ? why->msg : "");
}

static int kill_start(struct kill *k, struct cl_error *err)
{
	int r = lun_control_fence(k->lun->control, k->victims, k->n, on_killed, k, err);

	if (r < 0)
		kill_free(k);
	return r;
}

static int lun_fence(struct store *store, const Vol__Debt *const *debts, size_t n,
		     store_fence_done done, void *user, struct cl_error *err)
{
	struct kill *k = kill_new(lun_of(store), n, done, user);

	if (!k)
		return cl_error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		uint64_t *fenced = &lun_of(store)->fenced[debts[i]->node & 255];

		if (*fenced < debts[i]->incarnation)
			*fenced = debts[i]->incarnation;
		k->victims[i] = (struct pr_match){ .kind = PR_MATCH_NODE_UP_TO,
						   .node = debts[i]->node,
						   .incarnation = debts[i]->incarnation };
	}
	return kill_start(k, err);
}

/* By their keys: of the own node others must live, those of the control and of the thread. */
static int lun_kill(struct store *store, struct store_node who, uint64_t keep,
		    store_fence_done done, void *user, struct cl_error *err)
{
	struct store_lun *lun = lun_of(store);
	struct kill *k = kill_new(lun, lun->nexuses.n, done, user);

	if (!k)
		return cl_error_set(err, -ENOMEM, "out of memory");
	k->n = nexus_kill(&lun->nexuses, who, keep, k->victims, k->n);
	if (k->n)
		return kill_start(k, err);
	kill_free(k);
	done(user, true, "");
	return 0;
}

static bool lets_in(const struct store_lun *lun)
{
#ifdef CL_DEFECTS
	return lun->cfg.defects & STORE_DEFECT_LET_IN;
#else
	(void)lun;
	return false;
#endif
}

static int lun_permit(struct store *store, struct store_node who, uint64_t *ret_key,
		      uint8_t *ret_pr_type, struct cl_error *err)
{
	struct store_lun *lun = lun_of(store);
	uint64_t key;
	int r;

	if (who.incarnation <= lun->fenced[who.node & 255] && !lets_in(lun))
		return cl_error_set(err, -EPERM, "node %u is fenced at that incarnation", who.node);
	r = lun_control_allow(lun->control, who.node, who.incarnation, &key, err);

	if (r < 0)
		return r;
	if (nexus_add(&lun->nexuses, who, key) < 0) {
		lun_control_disallow(lun->control, key);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	*ret_key = key;
	*ret_pr_type = lun_control_pr_type(lun->control);
	return 0;
}

static bool lun_knows(const struct store *store, struct store_node who, uint64_t key)
{
	return nexus_known(&((const struct store_lun *)(const void *)store)->nexuses, who, key);
}

static int lun_see(struct store *store, uint64_t key, store_fence_done done, void *user)
{
	return lun_control_seen(lun_of(store)->control, key, done, user);
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

static int lun_give_up(struct store *store, store_fence_done done, void *user)
{
	return lun_control_clear(lun_of(store)->control, done, user);
}

static void lun_free(struct store *store)
{
	struct store_lun *lun = lun_of(store);

	lun_loop_free(lun->binding);
	lun_control_free(lun->control);
	while (lun->kills)
		kill_free(lun->kills);
	nexus_vec_fini(&lun->nexuses);
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
	.kill = lun_kill,
	.permit = lun_permit,
	.knows = lun_knows,
	.see = lun_see,
	.give_up = lun_give_up,
};

static unsigned control_defects(unsigned defects)
{
	return (defects & STORE_DEFECT_NO_BARRIER ? LUN_DEFECT_NO_BARRIER : 0) |
	       (defects & STORE_DEFECT_NO_REPEAT ? LUN_DEFECT_NO_REPEAT : 0) |
	       (defects & STORE_DEFECT_NO_CHECK ? LUN_DEFECT_NO_CHECK : 0) |
	       (defects & STORE_DEFECT_NO_VERIFY ? LUN_DEFECT_NO_VERIFY : 0);
}

static int start_control(struct store_lun *lun, struct cl_loop *loop, struct cl_error *err)
{
	struct lun_control_config cfg = {
		.url = &lun->url,
		.initiator = lun->control_name,
		.node = lun->cfg.node,
		.incarnation = lun->cfg.incarnation,
		.pr_type = lun->cfg.pr_type,
		.quirks = lun->cfg.quirks,
		.defects = control_defects(lun->cfg.defects),
		.hooks = { .user = lun,
			   .changed = on_changed,
			   .state = on_state,
			   .ask_log = on_ask_log,
			   .stray = on_stray,
			   .barrier = on_barrier },
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
