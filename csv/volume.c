/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A volume on this node: its mount, its session (client.c), the way to the coordinator of now, and
 * the coordinator itself when the log says that it is here. Everything that happens only notes what
 * is the case and pokes; one turn later look() does the next step. So no callback of one part frees
 * another one under its feet, and every step is decided from the whole state.
 *
 * The mode, as told to clusterd:
 *
 *   UNAVAILABLE (no mount) -> PAUSED (no session: no coordinator, failover, lease over; calls wait)
 *        -> FILE_SYSTEM_REDIRECTED (served by another node) or DIRECT (the coordinator is here)
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/client.h"
#include "csv/csvd_int.h"
#include "csv/front.h"
#include "csv/link.h"
#include "csv/role.h"
#include "csv/store.h"
#include "lib/assert.h"
#include "lib/log.h"

#define RECONNECT_MS 50
#define FAILURE_PAUSE_MS 1000
#define CLAIM_PAUSE_MS 200
#define GO_AGAIN_MS 500
#define HAND_OVER_MS 10000

CL_DEFINE_VEC(order_vec, Vol__Order *);

struct volume {
	struct csvd *d;
	char name[64], url[256];
	uint8_t uuid[16];
	/* what the log says */
	uint32_t coordinator;
	uint64_t epoch;
	size_t debts;
	bool offline;
	/* mount and session */
	bool mount_asked, mount_failed;
	struct mount_state *state;
	uint64_t incarnation;
	struct client *client;
	struct front *front;
	struct link *link;
	bool link_down;
	uint64_t local_conn; /* != 0: the session runs to the coordinator here */
	uint32_t to_node;    /* whom the transport leads to */
	uint64_t to_epoch;
	struct cl_source *eval, *reconnect, *pause;
	bool reconnect_wait;
	char refused[128];
	/* the coordinator's role */
	struct store *store;
	uint64_t store_epoch, store_incarnation;
	bool store_spoilt, claiming, paused;
	char store_why[256];
	uint64_t go_id;
	struct coord *coord;
	uint64_t coord_epoch;
	int coord_state;
	char coord_text[256];
	uint64_t size_bytes, free_bytes;
	struct order_vec orders; /* to pay; the first is under way when `paying` */
	bool paying;
	size_t fence_left;
	uint64_t hand_over; /* order id; 0 = none */
	uint64_t handed_epoch;
	/* last told */
	Vol__Mode mode;
	char reason[256];
	uint64_t since_ms;
	bool told, told_serving, told_path;
};

static void look(void *user);

void volume_poke(struct volume *v)
{
	(void)cl_timer_set_in(v->eval, 0);
}

const char *volume_name(const struct volume *v)
{
	return v->name;
}

bool volume_is(const struct volume *v, const uint8_t uuid[16])
{
	return !memcmp(v->uuid, uuid, 16);
}

bool volume_owns(const struct volume *v, const void *coord)
{
	return v->coord && v->coord == coord;
}

/* ---- status -------------------------------------------------------------------------------- */

static bool is_serving(const struct volume *v)
{
	return v->coord && v->coord_state == COORD_SERVING;
}

static Vol__Mode mode_now(const struct volume *v, const char **reason)
{
	bool here = v->local_conn != 0;

	*reason = "";
	if (!v->front) {
		*reason = v->offline	    ? "offline"
			  : v->mount_failed ? "cannot be mounted here; see csvd's log"
					    : "not mounted yet";
		return VOL__MODE__UNAVAILABLE;
	}
	if (csvd_lease_over(v->d))
		*reason = "this node's run lease is over";
	else if (!v->coordinator)
		*reason = "no coordinator; ends when the cluster names one";
	else if (v->debts)
		*reason = "a failed node is being fenced";
	else if (v->coord && v->coord_state != COORD_SERVING)
		*reason = v->coord_text;
	else if (v->coordinator == v->d->tables->self && !v->coord)
		*reason = *v->store_why ? v->store_why : "taking over the coordinator's role";
	else if (client_state(v->client) != CLIENT_ACTIVE)
		*reason = *v->refused ? v->refused : "waiting for the coordinator";
	if (**reason)
		return VOL__MODE__PAUSED;
	*reason = here ? "" : "direct I/O off";
	return here ? VOL__MODE__DIRECT : VOL__MODE__FILE_SYSTEM_REDIRECTED;
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void volume_tell_status(struct volume *v)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Status st = VOL__STATUS__INIT;

	st.volume = (ProtobufCBinaryData){ .len = 16, .data = v->uuid };
	st.mode = v->mode;
	st.reason = v->reason;
	st.since_ms = v->since_ms;
	st.has_path = v->store && v->store->state >= STORE_UP;
	st.serving = is_serving(v);
	st.epoch = v->epoch;
	st.size_bytes = v->size_bytes;
	st.free_bytes = v->free_bytes;
	msg.msg_case = VOL__FROM_CSVD__MSG_STATUS;
	msg.status = &st;
	cluster_send(v->d->cluster, &msg);
	v->told_serving = st.serving;
	v->told_path = st.has_path;
	v->told = true;
}

static void update_status(struct volume *v)
{
	const char *reason;
	Vol__Mode mode = mode_now(v, &reason);
	bool path = v->store && v->store->state >= STORE_UP;

	if (v->told && mode == v->mode && !strcmp(reason, v->reason) &&
	    v->told_serving == is_serving(v) && v->told_path == path)
		return;
	if (!v->told || mode != v->mode)
		v->since_ms = wall_ms();
	if (mode != v->mode || strcmp(reason, v->reason))
		log_notice("volume '%s': %s%s%s", v->name,
			   protobuf_c_enum_descriptor_get_value(&vol__mode__descriptor, (int)mode)
				   ->name,
			   *reason ? ": " : "", reason);
	v->mode = mode;
	(void)snprintf(v->reason, sizeof(v->reason), "%s", reason);
	volume_tell_status(v);
}

/* ---- the way to the coordinator ------------------------------------------------------------ */

static void transport_drop(struct volume *v)
{
	if (v->client)
		client_down(v->client);
	link_free(v->link);
	v->link = NULL;
	v->link_down = false;
	if (v->local_conn && v->coord) {
		struct csv_mail *mail = csv_mail_new(MAIL_CONN_LOST, NULL, 0);

		if (mail) {
			mail->conn = v->local_conn;
			coord_post(v->coord, mail);
		}
	}
	v->local_conn = 0;
	v->to_node = 0;
}

static void wait_and_retry(struct volume *v)
{
	v->reconnect_wait = true;
	(void)cl_timer_set_in(v->reconnect, RECONNECT_MS);
}

static void on_reconnect(void *user)
{
	struct volume *v = user;

	v->reconnect_wait = false;
	volume_poke(v);
}

static void on_link_up(void *user)
{
	struct volume *v = user;

	client_up(v->client, v->to_epoch, v->incarnation);
}

static bool on_link_input(void *user, const Csv__Message *msg)
{
	return client_input(((struct volume *)user)->client, msg);
}

static void on_link_down(void *user, const char *why)
{
	struct volume *v = user;

	if (!*v->refused)
		(void)snprintf(v->refused, sizeof(v->refused), "the coordinator: %.100s", why);
	v->link_down = true;
	volume_poke(v);
}

static const struct link_ops link_ops = { on_link_up, on_link_input, on_link_down };

static bool on_client_send(void *user, bool bulk, Csv__Message *msg)
{
	struct volume *v = user;
	struct csv_mail *mail;

	if (!v->local_conn)
		return v->link && link_send(v->link, bulk, msg);
	/* The second hello is for pairing TCP connections. */
	if (msg->msg_case == CSV__MESSAGE__MSG_HELLO && msg->hello->bulk)
		return true;
	mail = csv_mail_pack(MAIL_MESSAGE, msg);
	if (!mail || !v->coord) {
		free(mail);
		return false;
	}
	mail->conn = v->local_conn;
	coord_post(v->coord, mail);
	return true;
}

static void on_client_changed(void *user, const char *reason)
{
	struct volume *v = user;

	if (reason)
		(void)snprintf(v->refused, sizeof(v->refused), "the coordinator: %.100s", reason);
	else if (v->client && client_state(v->client) == CLIENT_ACTIVE)
		v->refused[0] = 0;
	volume_poke(v);
}

static void connect_here(struct volume *v)
{
	if (!v->coord || v->coord_epoch != v->epoch ||
	    (v->coord_state != COORD_GRACE && v->coord_state != COORD_SERVING))
		return;
	v->local_conn = csvd_new_conn(v->d);
	v->to_node = v->coordinator;
	v->to_epoch = v->epoch;
	client_up(v->client, v->epoch, v->incarnation);
}

static void connect_there(struct volume *v, const Vol__Node *me, const Vol__Node *them)
{
	struct cl_error err = CL_ERROR_INIT;

	v->to_node = v->coordinator;
	v->to_epoch = v->epoch;
	if (link_new(v->d->loop, me->storage_address, them->storage_address, &link_ops, v, &v->link,
		     &err) >= 0)
		return;
	(void)snprintf(v->refused, sizeof(v->refused), "%.120s", err.msg);
	v->to_node = 0;
	wait_and_retry(v);
}

static void look_at_transport(struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	const Vol__Node *them = csvd_node(v->d, v->coordinator);
	bool stale = v->to_node && (v->to_node != v->coordinator || v->to_epoch != v->epoch ||
				    (me && me->incarnation != v->incarnation));

	if (v->to_node && (stale || v->link_down)) {
		transport_drop(v);
		if (!stale)
			wait_and_retry(v);
	}
	if (!v->client || !me || !them || v->to_node || v->reconnect_wait || v->d->stopping)
		return;
	if (me->incarnation <= v->d->closed_up_to)
		return;
	v->incarnation = me->incarnation;
	if (v->coordinator == v->d->tables->self)
		connect_here(v);
	else
		connect_there(v, me, them);
}

/* ---- mount --------------------------------------------------------------------------------- */

static void on_front_gone(void *user)
{
	struct volume *v = user;

	log_error("volume '%s': its mount has ended", v->name);
	v->mount_failed = true;
	volume_poke(v);
}

static int make_client(struct volume *v, int state_fd, struct cl_error *err)
{
	struct client_config cfg = {
		.name = v->name,
		.node = v->d->tables->self,
		.send = on_client_send,
		.changed = on_client_changed,
		.user = v,
	};
	int r = front_state_open(state_fd, &v->state, err);

	if (r < 0)
		return r;
	cfg.mount = front_state_mount(v->state);
	cfg.shared = front_state_holding(v->state);
	memcpy(cfg.volume, v->uuid, sizeof(cfg.volume));
	r = client_new(v->d->loop, &cfg, &v->client);
	if (r < 0)
		return cl_error_errno(err, r, "session");
	client_set_tables(v->client, v->d->tables);
	client_hold(v->client, csvd_lease_over(v->d));
	return 0;
}

void volume_mounted(struct volume *v, int error, int fuse_fd, int state_fd)
{
	struct front_hooks hooks = { .gone = on_front_gone, .user = v };
	struct cl_error err = CL_ERROR_INIT;

	if (error || fuse_fd < 0 || v->front) {
		v->mount_failed = !v->front;
		if (fuse_fd >= 0)
			(void)close(fuse_fd);
		if (state_fd >= 0)
			(void)close(state_fd);
		volume_poke(v);
		return;
	}
	if (make_client(v, state_fd, &err) < 0) {
		(void)close(fuse_fd);
	} else {
		(void)front_new(v->d->loop, v->name, fuse_fd, v->state, v->client, &hooks,
				&v->front, &err);
	}
	if (err.code) {
		log_error("volume '%s': %s", v->name, err.msg);
		v->mount_failed = true;
	}
	volume_poke(v);
}

static void look_at_mount(struct volume *v)
{
	int fuse_fd, state_fd;

	if (v->front || v->mount_asked || v->offline || !v->d->keeper_ready)
		return;
	v->mount_asked = true;
	if (csvd_take_early(v->name, &fuse_fd, &state_fd)) {
		volume_mounted(v, 0, fuse_fd, state_fd);
		return;
	}
	keeper_link_mount(v->d->keeper, v->name);
}

/* ---- the coordinator's role ---------------------------------------------------------------- */

/* Not at once again: what failed would fail in a circle. */
static void pause_for(struct volume *v, int64_t ms)
{
	v->paused = true;
	(void)cl_timer_set_in(v->pause, ms);
}

static void on_store_state(void *user, enum store_state state, const char *why)
{
	struct volume *v = user;

	if (state == STORE_UP && *why && v->claiming)
		pause_for(v, CLAIM_PAUSE_MS);
	if (state != STORE_UP || *why)
		v->claiming = false;
	(void)snprintf(v->store_why, sizeof(v->store_why), "%s", why);
	if (state != STORE_HOLDING && v->paying) {
		v->paying = false; /* the fence ended with it; paid anew when it is held again */
		v->fence_left = 0;
	}
	volume_poke(v);
}

/* The store asks: is this node still the coordinator, at the epoch for which it claims? */
static void on_ask_log(void *user)
{
	struct volume *v = user;
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Go go = VOL__GO__INIT;

	v->go_id = ++v->d->last_go;
	go.id = v->go_id;
	go.volume = (ProtobufCBinaryData){ .len = 16, .data = v->uuid };
	go.epoch = v->store_epoch;
	msg.msg_case = VOL__FROM_CSVD__MSG_GO;
	msg.go = &go;
	cluster_send(v->d->cluster, &msg);
	(void)cl_timer_set_in(v->pause, GO_AGAIN_MS);
}

bool volume_on_go(struct volume *v, uint64_t id, bool yes)
{
	if (!v->go_id || v->go_id != id)
		return false;
	v->go_id = 0;
	log_info("volume '%s': the log says %s for epoch %llu", v->name, yes ? "go" : "no",
		 (unsigned long long)v->store_epoch);
	if (!v->store)
		return true;
	store_log_says(v->store, yes);
	if (!yes) {
		v->store_spoilt = true; /* claim anew, later: the tables are about to move */
		pause_for(v, FAILURE_PAUSE_MS);
		volume_poke(v);
	}
	return true;
}

/* After a failure, or when an answer of clusterd was lost: go on. */
static void on_pause(void *user)
{
	struct volume *v = user;

	if (v->go_id && v->store)
		on_ask_log(v);
	v->paused = false;
	volume_poke(v);
}

static void make_store(struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	struct store_config cfg = {
		.url = v->url,
		.node = me->id,
		.incarnation = me->incarnation,
		.defects = v->d->defects.no_barrier ? STORE_DEFECT_NO_BARRIER : 0,
		.hooks = { on_store_state, on_ask_log, v },
	};
	struct cl_error err = CL_ERROR_INIT;

	memcpy(cfg.volume, v->uuid, sizeof(cfg.volume));
	v->store_epoch = 0;
	v->store_incarnation = me->incarnation;
	v->store_spoilt = v->claiming = false;
	if (store_new(v->d->loop, &cfg, &v->store, &err) >= 0)
		return;
	log_error("volume '%s': %s", v->name, err.msg);
	(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", err.msg);
	pause_for(v, FAILURE_PAUSE_MS);
}

static void drop_store(struct volume *v)
{
	store_free(v->store);
	v->store = NULL;
	v->go_id = 0;
	v->paying = v->claiming = false;
	v->fence_left = 0;
}

static void claim(struct volume *v)
{
	struct cl_error err = CL_ERROR_INIT;

	v->claiming = true;
	v->store_epoch = v->epoch;
	if (store_coordinate(v->store, &err) >= 0)
		return;
	v->claiming = false;
	(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", err.msg);
	pause_for(v, FAILURE_PAUSE_MS);
}

static unsigned coord_defects(const struct csvd_defects *d)
{
	return (d->no_record ? COORD_DEFECT_NO_RECORD : 0) |
	       (d->no_grace ? COORD_DEFECT_NO_GRACE : 0);
}

static void start_coord(struct volume *v)
{
	struct coord_config cfg = {
		.name = v->name,
		.self = v->d->tables->self,
		.epoch = v->epoch,
		.open = store_open_fn(v->store),
		.user = v->store,
		.lease_until_ms = &v->d->lease_until_ms,
		.out = &v->d->mail,
		.defects = coord_defects(&v->d->defects),
	};
	struct csv_mail *tables = csvd_pack_tables(v->d);
	struct cl_error err = CL_ERROR_INIT;

	memcpy(cfg.volume, v->uuid, sizeof(cfg.volume));
	v->coord_epoch = v->epoch;
	v->coord_state = COORD_OPENING;
	(void)snprintf(v->coord_text, sizeof(v->coord_text), "opening");
	if (tables && coord_new(&cfg, tables->body, tables->len, &v->coord, &err) < 0)
		log_error("%s", err.msg);
	free(tables);
}

static void stop_coord(struct volume *v)
{
	struct csv_mail *mail = csv_mail_new(MAIL_STOP, NULL, 0);

	/* What it still has open may be of unknown fate: only a new claim ends that. */
	if (v->coord_state != COORD_CLOSED) {
		v->store_spoilt = true;
		if (v->coord_state == COORD_FAILED)
			pause_for(v, FAILURE_PAUSE_MS);
	}
	if (v->coord_state == COORD_FAILED)
		(void)snprintf(v->store_why, sizeof(v->store_why), "%.250s", v->coord_text);
	peers_close_volume(v->d->peers, v->uuid);
	if (v->local_conn) {
		v->local_conn = 0;
		v->to_node = 0;
		client_down(v->client);
	}
	store_break(v->store);
	if (mail)
		coord_post(v->coord, mail);
	coord_free(v->coord);
	v->coord = NULL;
	v->coord_state = COORD_CLOSED;
	log_notice("volume '%s': not its coordinator any more", v->name);
}

/* ---- debts ---------------------------------------------------------------------------------- */

static void order_done(struct volume *v, int code, const char *error)
{
	Vol__Order *order = v->orders.v[0];

	v->paying = false;
	csvd_done(v->d, order->id, code, error);
	vol__order__free_unpacked(order, NULL);
	order_vec_remove(&v->orders, 0);
	volume_poke(v);
}

static void on_fence_paid(void *user, bool paid, const char *why)
{
	struct volume *v = user;
	const Vol__PayDebts *pay;

	if (!v->paying || !v->orders.n)
		return;
	if (!paid) {
		log_warning("volume '%s': the fence did not succeed: %s", v->name, why);
		order_done(v, ENOLINK, why);
		return;
	}
	pay = v->orders.v[0]->pay;
	/* Not open here: sessions of the fenced are not loaded when it will be. */
	if (!v->coord || (v->coord_state != COORD_GRACE && v->coord_state != COORD_SERVING)) {
		order_done(v, 0, "");
		return;
	}
	v->fence_left = pay->n_debts;
	for (size_t i = 0; i < pay->n_debts; i++) {
		struct csv_mail *mail = csv_mail_new(MAIL_FENCED, NULL, 0);

		if (!mail)
			continue;
		mail->id = v->orders.v[0]->id;
		mail->node = pay->debts[i]->node;
		mail->incarnation = pay->debts[i]->incarnation;
		coord_post(v->coord, mail);
	}
	if (!pay->n_debts)
		order_done(v, 0, "");
}

static void pay_first(struct volume *v)
{
	const Vol__PayDebts *pay = v->orders.v[0]->pay;
	struct cl_error err = CL_ERROR_INIT;

	v->paying = true;
	if (store_fence(v->store, (const Vol__Debt *const *)pay->debts, pay->n_debts, on_fence_paid,
			v, &err) < 0)
		order_done(v, ENOLINK, err.msg);
}

static bool order_known(const struct volume *v, uint64_t id)
{
	for (size_t i = 0; i < v->orders.n; i++)
		if (v->orders.v[i]->id == id)
			return true;
	return false;
}

static Vol__Order *order_copy(const Vol__Order *order)
{
	size_t len = vol__order__get_packed_size(order);
	uint8_t *buf = malloc(len ? len : 1);
	Vol__Order *copy;

	if (!buf)
		return NULL;
	(void)vol__order__pack(order, buf);
	copy = vol__order__unpack(NULL, len, buf);
	free(buf);
	return copy;
}

/* It may come before the tables that make this node the coordinator: kept until they do, or say that
 * somebody else is. */
void volume_pay(struct volume *v, const Vol__Order *order)
{
	Vol__Order *copy;

	if (order_known(v, order->id))
		return;
	copy = order_copy(order);
	if (!copy || order_vec_push(&v->orders, copy) < 0) {
		csvd_done(v->d, order->id, ENOMEM, "out of memory");
		return;
	}
	volume_poke(v);
}

/* Orders that can no longer be met here. */
static void return_orders(struct volume *v)
{
	while (v->orders.n && v->coordinator != v->d->tables->self)
		order_done(v, EAGAIN, "this node does not coordinate the volume any more");
}

/* ---- hand-over ------------------------------------------------------------------------------ */

void volume_hand_over(struct volume *v, const Vol__Order *order)
{
	struct csv_mail *mail;

	if (v->hand_over == order->id)
		return;
	if (!v->coord || v->coord_epoch != order->hand_over->epoch) {
		csvd_done(v->d, order->id, 0, ""); /* nothing of that epoch is open here */
		return;
	}
	mail = csv_mail_new(MAIL_CLOSE, NULL, 0);
	if (!mail) {
		csvd_done(v->d, order->id, ENOMEM, "out of memory");
		return;
	}
	v->hand_over = order->id;
	v->handed_epoch = v->coord_epoch;
	coord_post(v->coord, mail);
}

static void look_at_hand_over(struct volume *v)
{
	if (!v->hand_over || (v->coord && v->coord_state != COORD_CLOSED))
		return;
	csvd_done(v->d, v->hand_over, 0, "");
	v->hand_over = 0;
	/* Without new tables within 10 s the role is taken up again. */
	pause_for(v, HAND_OVER_MS);
}

/* ---- one step at a time ---------------------------------------------------------------------- */

static struct role_view view_of(const struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	bool present = me && me->living && me->incarnation > v->d->closed_up_to && !v->offline &&
		       !v->d->stopping;
	struct role_view view = {
		.present = present,
		.wanted = present && v->coordinator == v->d->tables->self,
		.epoch = v->epoch,
		.debts = v->debts,
		.order_to_pay = v->orders.n > 0,
		.paying = v->paying,
		.store = v->store ? (enum role_store)(ROLE_STORE_IDLE + (int)v->store->state)
				  : ROLE_STORE_NONE,
		.store_epoch = v->store_epoch,
		.claiming = v->claiming,
		.store_spoilt = v->store_spoilt || (me && v->store_incarnation != me->incarnation),
		.running = v->coord,
		.running_epoch = v->coord_epoch,
		.ended = v->coord_state == COORD_FAILED || v->coord_state == COORD_CLOSED,
		.waiting = v->paused,
	};

	return view;
}

static void look_at_role(struct volume *v)
{
	for (;;) {
		struct role_view view = view_of(v);

		switch (role_next(&view, v->d->defects.no_fence_wait)) {
		case ROLE_NOTHING:
			return;
		case ROLE_MAKE_STORE:
			make_store(v);
			break;
		case ROLE_COORDINATE:
			claim(v);
			break;
		case ROLE_PAY:
			pay_first(v);
			break;
		case ROLE_START:
			start_coord(v);
			if (!v->coord)
				return;
			break;
		case ROLE_STOP:
			stop_coord(v);
			break;
		case ROLE_DROP_STORE:
			drop_store(v);
			break;
		}
	}
}

static void look(void *user)
{
	struct volume *v = user;

	if (!v->d->tables)
		return;
	look_at_role(v);
	look_at_hand_over(v);
	look_at_mount(v);
	look_at_transport(v);
	update_status(v);
}

/* ---- what happens ---------------------------------------------------------------------------- */

void volume_update(struct volume *v, const Vol__Volume *in)
{
	struct csv_mail *tables;

	if (in->epoch != v->epoch && v->handed_epoch) {
		v->handed_epoch = 0;
		v->paused = false;
	}
	v->coordinator = in->coordinator;
	v->epoch = in->epoch;
	v->debts = in->n_debts;
	v->offline = in->offline;
	return_orders(v);
	(void)snprintf(v->url, sizeof(v->url), "%s", in->url);
	if (v->client)
		client_set_tables(v->client, v->d->tables);
	tables = v->coord ? csvd_pack_tables(v->d) : NULL;
	if (tables)
		coord_post(v->coord, tables);
	volume_poke(v);
}

static void on_local_message(struct volume *v, const struct csv_mail *mail)
{
	Csv__Message *msg = csv__message__unpack(NULL, mail->len, mail->body);
	bool ok = msg && client_input(v->client, msg);

	if (msg)
		csv__message__free_unpacked(msg, NULL);
	if (ok)
		return;
	transport_drop(v);
	wait_and_retry(v);
}

static void on_state_mail(struct volume *v, const struct csv_mail *mail)
{
	v->coord_state = mail->state;
	(void)snprintf(v->coord_text, sizeof(v->coord_text), "%s", mail->text);
	if (mail->size_bytes) {
		v->size_bytes = mail->size_bytes;
		v->free_bytes = mail->free_bytes;
	}
	log_notice("volume '%s': coordinator at epoch %llu: %s", v->name,
		   (unsigned long long)v->coord_epoch, mail->text);
	volume_poke(v);
}

void volume_on_mail(struct volume *v, const struct csv_mail *mail)
{
	bool here = mail->conn && mail->conn == v->local_conn;

	switch (mail->kind) {
	case MAIL_REPLY:
		if (here)
			on_local_message(v, mail);
		else if (!peers_send(v->d->peers, mail->conn, mail->bulk, mail->body, mail->len))
			volume_on_peer_lost(v, mail->conn);
		break;
	case MAIL_CLOSE_CONN:
		if (here) {
			transport_drop(v);
			wait_and_retry(v);
		} else {
			peers_close(v->d->peers, mail->conn);
		}
		break;
	case MAIL_STATE:
		on_state_mail(v, mail);
		break;
	case MAIL_FENCE_DONE:
		if (v->paying && v->orders.n && v->orders.v[0]->id == mail->id && v->fence_left &&
		    !--v->fence_left)
			order_done(v, 0, "");
		break;
	case MAIL_LOGGED_IN:
		store_logged_in(v->store, v->coord);
		break;
	default:
		break;
	}
}

bool volume_on_peer(struct volume *v, uint64_t conn, const void *body, size_t len)
{
	struct csv_mail *mail;

	if (!v->coord || (v->coord_state != COORD_GRACE && v->coord_state != COORD_SERVING))
		return false;
	mail = csv_mail_new(MAIL_MESSAGE, body, len);
	if (!mail)
		return false;
	mail->conn = conn;
	coord_post(v->coord, mail);
	return true;
}

void volume_on_peer_lost(struct volume *v, uint64_t conn)
{
	struct csv_mail *mail = v->coord ? csv_mail_new(MAIL_CONN_LOST, NULL, 0) : NULL;

	if (!mail)
		return;
	mail->conn = conn;
	coord_post(v->coord, mail);
}

void volume_fail_requests(struct volume *v, const char *resource, uint64_t generation)
{
	if (v->client)
		client_fail(v->client, resource, generation);
}

/* closed_up_to has been raised: neither session nor role is taken up at those incarnations. */
void volume_close_sessions(struct volume *v)
{
	transport_drop(v);
	look_at_role(v);
	volume_poke(v);
}

void volume_on_lease(struct volume *v)
{
	if (v->client)
		client_hold(v->client, csvd_lease_over(v->d));
	volume_poke(v);
}

/* Orderly end: the session says goodbye, then the coordinator closes the volume. */
void volume_begin_stop(struct volume *v)
{
	struct csv_mail *mail;

	if (v->client)
		client_bye(v->client, "csvd stops");
	mail = v->coord ? csv_mail_new(MAIL_CLOSE, NULL, 0) : NULL;
	if (mail)
		coord_post(v->coord, mail);
}

bool volume_stopped(const struct volume *v)
{
	return !v->coord || v->coord_state == COORD_CLOSED || v->coord_state == COORD_FAILED;
}

/* ---- life ------------------------------------------------------------------------------------ */

int volume_new(struct csvd *d, const Vol__Volume *in, struct volume **ret)
{
	struct volume *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return -ENOMEM;
	v->d = d;
	v->coord_state = COORD_CLOSED;
	(void)snprintf(v->name, sizeof(v->name), "%s", in->name);
	memcpy(v->uuid, in->uuid.data, sizeof(v->uuid));
	r = cl_timer_new(d->loop, look, v, &v->eval);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_reconnect, v, &v->reconnect);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_pause, v, &v->pause);
	if (r < 0) {
		volume_free(v);
		return r;
	}
	*ret = v;
	return 0;
}

void volume_free(struct volume *v)
{
	if (!v)
		return;
	transport_drop(v);
	if (v->coord)
		stop_coord(v);
	drop_store(v);
	client_free(v->client);
	front_free(v->front);
	front_state_close(v->state);
	for (size_t i = 0; i < v->orders.n; i++)
		vol__order__free_unpacked(v->orders.v[i], NULL);
	order_vec_fini(&v->orders);
	cl_source_free(v->eval);
	cl_source_free(v->reconnect);
	cl_source_free(v->pause);
	free(v);
}
