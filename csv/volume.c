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

#include "csv/role.h"
#include "csv/volume_int.h"
#include "lib/log.h"

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

bool volume_owns(const struct volume *v, const struct csv_mail *mail)
{
	return v->coord && v->coord == mail->from && v->coord_serial == mail->serial;
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
		.url = v->url,
		.defects = v->d->defects.client,
		.send = volume_client_send,
		.changed = volume_client_changed,
		.reconnect = volume_client_reconnect,
		.space = volume_client_space,
		.heartbeat = volume_client_heartbeat,
		.counters = &v->counters,
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

/* Whether it is to be mounted nowhere. */
static bool is_away(const struct volume *v)
{
	return v->offline || v->maintenance;
}

static void close_both(int fuse_fd, int state_fd)
{
	if (fuse_fd >= 0)
		(void)close(fuse_fd);
	if (state_fd >= 0)
		(void)close(state_fd);
}

void volume_mounted(struct volume *v, int error, int fuse_fd, int state_fd)
{
	struct front_hooks hooks = { .gone = on_front_gone, .user = v };
	struct cl_error err = CL_ERROR_INIT;

	if (error || fuse_fd < 0 || v->front || v->unmounting) {
		v->mount_failed = !v->front && !v->unmounting;
		close_both(fuse_fd, state_fd);
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

/*
 * Lazily: who has files open there gets ENOTCONN from now on. The session says goodbye, so that the
 * coordinator has nothing on record that nobody would reclaim. A mount that is under way is waited for.
 */
static void unmount(struct volume *v)
{
	int fuse_fd = -1, state_fd = -1;
	bool early = !v->mount_asked && csvd_take_early(v->name, &fuse_fd, &state_fd);

	if (v->unmounting || (!early && !v->front && !v->mount_failed))
		return;
	close_both(fuse_fd, state_fd);
	if (v->client)
		client_bye(v->client, "the volume is unmounted");
	volume_transport_drop(v);
	client_free(v->client);
	v->client = NULL;
	volume_forget_proxied(v);
	front_free(v->front);
	front_state_close(v->state);
	v->client = NULL;
	v->front = NULL;
	v->state = NULL;
	v->mount_asked = v->mount_failed = false;
	v->unmounting = true;
	keeper_link_unmount(v->d->keeper, v->name);
}

void volume_unmounted(struct volume *v)
{
	v->unmounting = false;
	volume_poke(v);
}

static void look_at_mount(struct volume *v)
{
	int fuse_fd, state_fd;

	if (is_away(v)) {
		unmount(v);
		return;
	}
	if (v->front || v->mount_asked || v->unmounting || !v->d->keeper_ready)
		return;
	v->mount_asked = true;
	if (csvd_take_early(v->name, &fuse_fd, &state_fd)) {
		volume_mounted(v, 0, fuse_fd, state_fd);
		return;
	}
	keeper_link_mount(v->d->keeper, v->name);
}

/* ---- one step at a time ---- */

static void look(void *user)
{
	struct volume *v = user;

	if (!v->d->tables)
		return;
	look_at_mount(v); /* first: a goodbye goes before the coordinator closes */
	volume_look_at_role(v);
	volume_look_at_hand_over(v);
	volume_look_at_proxied(v);
	volume_look_at_release(v);
	volume_look_at_transport(v);
	volume_update_status(v);
	csvd_look_at_fails(v->d);
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* It decides how a fence is done, and never changes while the volume lives. */
static void take_target(struct volume *v, const Vol__Target *in)
{
	v->unsafe = in && in->unsafe;
	v->pr_type = in ? (uint8_t)in->pr_type : 0;
	v->quirks = (struct pr_quirks){ .abort = in ? (enum pr_abort)in->abort : PR_ABORT_UNTRIED,
					.tail = v->unsafe };
}

/* Somebody wants it otherwise than before. */
static bool is_news(const struct volume *v, const Vol__Volume *in)
{
	return in->epoch != v->epoch || in->maintenance != v->maintenance ||
	       in->offline != v->offline || in->redirected != v->redirected;
}

void volume_update(struct volume *v, const Vol__Volume *in)
{
	struct csv_mail *tables;

	if (in->epoch != v->epoch && v->handed_epoch) {
		v->handed_epoch = 0;
		v->paused = false;
	}
	if (in->epoch != v->epoch) {
		v->failure[0] = 0;
		/* Given to this node: it tries anew, whatever it found before. */
		if (in->coordinator == v->d->tables->self)
			v->lun_refused = role_outdated(in->epoch, v->found_epoch);
	}
	if (is_news(v, in))
		volume_claim_now(v);
	/* By a person, who has put the right LUN back: what was found on it is looked at anew. */
	if (in->maintenance != v->maintenance || in->offline != v->offline)
		v->found_epoch = 0;
	v->coordinator = in->coordinator;
	v->epoch = in->epoch;
	v->debts = in->n_debts;
	v->offline = in->offline;
	v->redirected = in->redirected;
	v->maintenance = in->maintenance;
	take_target(v, in->target);
	/* Before anything is claimed or paid because of these tables. */
	volume_look_at_heart(v, in);
	volume_return_orders(v);
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
	volume_transport_drop(v);
	volume_retry_transport(v);
}

static void look_soon(void *user)
{
	volume_poke(user);
}

static void on_state_mail(struct volume *v, const struct csv_mail *mail)
{
	bool wrong = mail->state == COORD_FAILED || mail->state == COORD_REFUSED;

	v->coord_state = mail->state;
	(void)snprintf(v->coord_text, sizeof(v->coord_text), "%s", mail->text);
	if (v->coord_state != COORD_OPENING)
		(void)snprintf(v->failure, sizeof(v->failure), "%s", wrong ? mail->text : "");
	if (mail->state == COORD_REFUSED)
		volume_on_refused(v, mail->id);
	if (mail->state == COORD_GRACE || mail->state == COORD_SERVING)
		v->lun_refused = false;
	if (mail->size_bytes) {
		v->size_bytes = mail->size_bytes;
		v->free_bytes = mail->free_bytes;
	}
	log_notice("volume '%s': coordinator at epoch %llu: %s", v->name,
		   (unsigned long long)v->coord_epoch, mail->text);
	volume_poke(v);
}

bool volume_on_mail(struct volume *v, struct csv_mail *mail)
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
			volume_transport_drop(v);
			volume_retry_transport(v);
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
			volume_order_done(v, 0, "");
		break;
	case MAIL_JOB:
		volume_on_job_mail(v, mail);
		break;
	case MAIL_LOGGED_IN:
		store_logged_in(v->store, v->coord);
		break;
	case MAIL_IO:
		volume_on_io(v, mail);
		return true;
	case MAIL_IO_CANCEL:
		volume_cancel_io(v, mail);
		break;
	case MAIL_KILL:
	case MAIL_PERMIT:
	case MAIL_SEE:
		volume_on_question(v, mail);
		break;
	default:
		break;
	}
	return false;
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

bool volume_requests_failed(const struct volume *v, const char *resource, uint64_t generation)
{
	return !v->client || client_failed(v->client, resource, generation);
}

/* closed_up_to has been raised: neither session nor role is taken up at those incarnations. */
void volume_close_sessions(struct volume *v)
{
	volume_transport_drop(v);
	if (v->client)
		client_end_direct(v->client, "this node's membership is over");
	volume_look_at_role(v);
	volume_poke(v);
}

void volume_on_lease(struct volume *v)
{
	if (v->client)
		client_hold(v->client, csvd_lease_over(v->d));
	volume_heart_lease(v);
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
		r = cl_timer_new(d->loop, volume_on_reconnect, v, &v->reconnect);
	if (r >= 0)
		r = cl_timer_new(d->loop, volume_on_pause, v, &v->pause);
	if (r >= 0)
		r = cl_timer_new(d->loop, look_soon, v, &v->claim);
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
	volume_transport_drop(v);
	if (v->coord)
		volume_stop_coord(v);
	volume_drop_store(v);
	client_free(v->client);
	heart_free(v->heart); /* what it had under way ended with the client's nexus */
	front_free(v->front);
	front_state_close(v->state);
	for (size_t i = 0; i < v->orders.n; i++)
		vol__order__free_unpacked(v->orders.v[i], NULL);
	order_vec_fini(&v->orders);
	report_vec_fini(&v->reports);
	cl_source_free(v->job.late);
	cl_source_free(v->eval);
	cl_source_free(v->reconnect);
	cl_source_free(v->pause);
	cl_source_free(v->claim);
	free(v);
}
