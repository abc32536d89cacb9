/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/isid.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_uring.h"
#include "lib/log.h"
#include "lib/sm.h"

#define CONNECT_MS 3000
#define PAUSE_MS 200
#define PAUSE_MAX_MS 2000
#define LOCK_AGAIN_MS 50
#define STEADY_MS 2000	 /* open for so long: the next loss is news, not flapping */
#define ISID_QUALIFIER 3 /* 1: control, 2: the file-system thread */

struct data {
	struct data_config cfg;
	struct cl_loop *loop;
	struct lun_url url;
	char initiator[96];
	struct sm sm;
	bool session, wait; /* the coordinator can be asked; a pause before the next attempt */
	uint64_t id;	    /* of the last question */
	uint64_t key;
	uint8_t pr_type;
	unsigned portal, tried; /* portals, with this key */
	int64_t pause_ms, opened_ms;
	struct lun_session *lun;
	struct lun_loop *binding;
	struct lun_cmd reg;
	bool registering; /* REGISTER was sent: this key is for no other login */
	struct cl_source *timer, *close;
	char local[256]; /* address of a file; "": a LUN */
	struct lun_uring *file;
	char reason[512];
	struct lun_data *plugged; /* in a batch */
};

#define TO_NONE SM_TO(DATA_NONE)
static const struct sm_state data_states[] = {
	[DATA_NONE] = { "none", SM_TO(DATA_ASKED), SM_INITIAL },
	[DATA_ASKED] = { "asked", TO_NONE | SM_TO(DATA_LOGIN), 0 },
	[DATA_LOGIN] = { "login", TO_NONE | SM_TO(DATA_REGISTERED), 0 },
	[DATA_REGISTERED] = { "registered", TO_NONE | SM_TO(DATA_OPEN), 0 },
	[DATA_OPEN] = { "open", TO_NONE, 0 },
};

static void go_to(struct data *d, enum data_state state, const char *why)
{
	sm_move(&d->sm, (int)state, why);
	d->cfg.changed(d->cfg.user);
}

static void say(struct data *d, const char *why)
{
	(void)snprintf(d->reason, sizeof(d->reason), "%s", why);
}

/* ---- asking -------------------------------------------------------------------------------- */

static void ask(struct data *d)
{
	if (!d->session || d->wait || d->lun || d->sm.state != DATA_NONE)
		return;
	d->id++;
	go_to(d, DATA_ASKED, "nexus wanted");
	(void)d->cfg.ask(d->cfg.user, d->id);
}

static void on_pause(void *user)
{
	struct data *d = user;

	d->wait = false;
	ask(d);
}

static void pause_then_ask(struct data *d)
{
	d->wait = true;
	(void)cl_timer_set_in(d->timer, d->pause_ms);
	d->pause_ms = d->pause_ms * 2 < PAUSE_MAX_MS ? d->pause_ms * 2 : PAUSE_MAX_MS;
}

/* ---- the end of a session ------------------------------------------------------------------ */

/* Its I/Os end in here, one by one; whoever submits again finds no path. */
static void drop_lun(struct data *d)
{
	struct lun_session *lun = d->lun;

	lun_loop_free(d->binding);
	d->binding = NULL;
	d->lun = NULL;
	d->registering = false;
	d->plugged = NULL;
	lun_session_free(lun);
}

static bool login(struct data *d);

/* Before REGISTER the key is unused: another portal may be tried with it. */
static bool try_next_portal(struct data *d)
{
	if (d->sm.state != DATA_LOGIN || d->registering || ++d->tried >= d->url.n_portals)
		return false;
	drop_lun(d);
	d->portal = (d->portal + 1) % d->url.n_portals;
	return login(d);
}

static void lose(struct data *d, const char *why)
{
	bool was_open = d->sm.state == DATA_OPEN;
	bool steady = was_open && cl_mono_ms(cl_mono_now()) - d->opened_ms >= STEADY_MS;

	say(d, why);
	if (d->sm.state != DATA_NONE) {
		if (was_open)
			log_notice("volume '%s': direct path lost: %s", d->cfg.name, why);
		go_to(d, DATA_NONE, "lost");
	}
	if (d->lun)
		drop_lun(d);
	if (d->url.n_portals)
		d->portal = (d->portal + 1) % d->url.n_portals;
	if (steady)
		d->pause_ms = PAUSE_MS;
	if (steady && !d->wait)
		ask(d); /* at once: I/O waits for the old nexus to be killed */
	else
		pause_then_ask(d);
}

/* A session may not be freed from its own callbacks. */
static void on_close(void *user)
{
	struct data *d = user;
	char why[512];

	if (!d->lun)
		return;
	(void)snprintf(why, sizeof(why), "%s", lun_session_reason(d->lun));
	if (!try_next_portal(d))
		lose(d, *why ? why : d->reason);
}

static void close_soon(struct data *d, const char *why)
{
	say(d, why);
	(void)cl_timer_set_in(d->close, 0);
}

/* ---- a session ----------------------------------------------------------------------------- */

static void on_registered(struct lun_cmd *cmd)
{
	struct data *d = cmd->user;

	if (!d->lun || d->sm.state != DATA_LOGIN)
		return;
	if (cmd->answer.result != LUN_OK) {
		close_soon(d, "the LUN did not take this node's key");
		return;
	}
	go_to(d, DATA_REGISTERED, "REGISTER answered");
	(void)d->cfg.registered(d->cfg.user, d->key);
}

/* With the old key 0: REGISTER AND IGNORE would also take over what somebody else put there. */
static void send_register(struct data *d)
{
	d->reg = (struct lun_cmd){
		.op = { .kind = PR_OP_REGISTER, .key = 0, .arg = d->key },
		.done = on_registered,
		.user = d,
	};
	d->registering = true;
	if (lun_session_command(d->lun, &d->reg) != LUN_OK)
		close_soon(d, "the path to the LUN was lost");
}

static void on_lun_state(void *user, struct lun_session *lun, enum lun_session_state state,
			 const struct cl_error *why)
{
	struct data *d = user;

	if (lun != d->lun)
		return;
	if (state == LUN_READY && d->sm.state == DATA_LOGIN)
		send_register(d);
	else if (state == LUN_STOPPED || state == LUN_DEAD)
		close_soon(d, why->msg);
}

static void on_lun_changed(void *user, struct lun_session *lun)
{
	struct data *d = user;

	if (lun == d->lun && d->binding)
		lun_loop_update(d->binding);
}

/* false: not even begun; d->reason says why. */
static bool login(struct data *d)
{
	struct lun_session_config cfg = {
		.url = &d->url,
		.portal = d->portal,
		.initiator = d->initiator,
		.isid = csv_isid(d->cfg.volume),
		.isid_qualifier = ISID_QUALIFIER,
		.role = LUN_ROLE_DATA,
		.key = d->key,
		.pr_type = d->pr_type,
		.connect_ms = CONNECT_MS,
		.hooks = { .user = d, .changed = on_lun_changed, .state = on_lun_state },
	};
	struct cl_error err = CL_ERROR_INIT;

	d->registering = false;
	if (lun_session_new(&cfg, &d->lun, &err) < 0) {
		say(d, err.msg);
		return false;
	}
	if (lun_loop_session(d->loop, d->lun, &d->binding) >= 0)
		return true;
	drop_lun(d);
	say(d, "out of memory");
	return false;
}

/* ---- a file in place of a LUN --------------------------------------------------------------- */

/* Until an earlier process's I/O has ended. */
static void on_lock_again(void *user)
{
	struct data *d = user;
	struct lun_uring_config cfg = { .url = d->local, .node = d->cfg.node };
	struct cl_error err = CL_ERROR_INIT;

	if (lun_uring_open(d->loop, &cfg, &d->file, &err) < 0) {
		say(d, err.msg);
		(void)cl_timer_set_in(d->close, LOCK_AGAIN_MS);
	}
	d->cfg.changed(d->cfg.user);
}

bool data_may_begin(const struct data *d)
{
	return !*d->local || d->file;
}

/* ---- the coordinator's word ---------------------------------------------------------------- */

void data_session_up(struct data *d)
{
	d->session = true;
	ask(d);
}

void data_session_down(struct data *d)
{
	d->session = false;
	if (d->sm.state == DATA_NONE || d->sm.state == DATA_OPEN)
		return;
	go_to(d, DATA_NONE, "no coordinator");
	if (d->lun)
		drop_lun(d);
}

void data_close(struct data *d, const char *why)
{
	if (d->sm.state != DATA_NONE)
		lose(d, why);
}

bool data_is_asked(const struct data *d, uint64_t id)
{
	return d->sm.state == DATA_ASKED && d->id == id;
}

void data_permit(struct data *d, uint64_t key, uint32_t pr_type)
{
	if (d->sm.state != DATA_ASKED)
		return;
	if (!key != !!d->file) {
		lose(d, "the coordinator gives no key for direct I/O");
		return;
	}
	d->key = key;
	d->pr_type = (uint8_t)pr_type;
	d->tried = 0;
	go_to(d, DATA_LOGIN, "permitted");
	if (d->file) {
		go_to(d, DATA_REGISTERED, "nothing to register");
		(void)d->cfg.registered(d->cfg.user, 0);
		return;
	}
	if (!login(d) && !try_next_portal(d))
		lose(d, d->reason);
}

void data_go(struct data *d, uint64_t key)
{
	struct cl_error err = CL_ERROR_INIT;

	if (d->sm.state != DATA_REGISTERED || key != d->key)
		return;
	if (!d->file && lun_session_go(d->lun, &err) < 0) {
		close_soon(d, err.msg);
		return;
	}
	d->opened_ms = cl_mono_ms(cl_mono_now());
	d->reason[0] = 0;
	log_notice("volume '%s': direct path by %s", d->cfg.name,
		   d->file ? d->local : d->url.portals[d->portal]);
	go_to(d, DATA_OPEN, "GO");
}

void data_refuse(struct data *d, uint64_t id, const char *reason)
{
	if (id && id != d->id)
		return; /* of an earlier question */
	/* Also one that is open: it came through a target's restart, say, and is known to nobody. */
	if (d->sm.state != DATA_NONE)
		lose(d, *reason ? reason : "refused by the coordinator");
}

void data_barrier_answered(struct data *d)
{
	if (d->lun && d->sm.state == DATA_OPEN)
		lun_session_barrier_answered(d->lun);
}

/* ---- what others see ----------------------------------------------------------------------- */

uint64_t data_key(const struct data *d)
{
	return d->sm.state == DATA_OPEN ? d->key : 0;
}

struct lun_data *data_path(struct data *d)
{
	enum lun_session_state s;

	if (d->sm.state != DATA_OPEN)
		return NULL;
	if (d->file)
		return lun_uring_data(d->file);
	if (!d->lun)
		return NULL;
	s = lun_session_state(d->lun);
	return s == LUN_OPEN || s == LUN_HELD ? lun_session_data(d->lun) : NULL;
}

enum data_state data_state(const struct data *d)
{
	return (enum data_state)d->sm.state;
}

const char *data_reason(const struct data *d)
{
	return d->reason;
}

void data_begin_batch(struct data *d)
{
	d->plugged = data_path(d);
	if (d->plugged)
		lun_plug(d->plugged);
}

void data_end_batch(struct data *d)
{
	struct lun_data *plugged = d->plugged;

	d->plugged = NULL;
	if (plugged)
		lun_unplug(plugged);
}

/* ---- life ---------------------------------------------------------------------------------- */

static int find_place(struct data *d, const char *url, struct cl_error *err)
{
	bool local = lun_local_path(url);
	int r = local ? 0 : lun_url_parse(url, &d->url, err);

	if (r < 0)
		return r;
	if (local)
		(void)snprintf(d->local, sizeof(d->local), "%s", url);
	r = cl_timer_new(d->loop, on_pause, d, &d->timer);
	if (r >= 0)
		r = cl_timer_new(d->loop, local ? on_lock_again : on_close, d, &d->close);
	if (r >= 0 && local)
		r = cl_timer_set_in(d->close, 0);
	return r < 0 ? cl_error_errno(err, r, "data session") : 0;
}

int data_new(struct cl_loop *loop, const struct data_config *config, struct data **ret,
	     struct cl_error *err)
{
	struct data *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return cl_error_set(err, -ENOMEM, "out of memory");
	d->cfg = *config;
	d->loop = loop;
	d->pause_ms = PAUSE_MS;
	(void)snprintf(d->initiator, sizeof(d->initiator), "iqn.2026-11.org.clusterd:node%u.direct",
		       config->node);
	sm_init(&d->sm, "nexus", config->name, data_states, 5, DATA_NONE, NULL);
	say(d, "this node has not been admitted to the LUN yet");
	r = find_place(d, config->url, err);
	if (r < 0) {
		data_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

void data_free(struct data *d)
{
	if (!d)
		return;
	if (d->lun) {
		if (d->sm.state != DATA_NONE)
			sm_move(&d->sm, DATA_NONE, "the end");
		drop_lun(d);
	}
	cl_source_free(d->timer);
	cl_source_free(d->close);
	lun_uring_free(d->file);
	free(d);
}
