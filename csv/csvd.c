/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvd: cluster shared volumes on one node. The main thread is the session loop: it never blocks on
 * a disk. It is told by clusterd what there is (tables), does what each volume needs (volume.c), and
 * is run by csv-keeper, which holds the mounts.
 */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/buf.h"
#include "csv/client.h"
#include "csv/csvd_int.h"
#include "lib/log.h"

#define LISTEN_RETRY_MS 1000
#define STOP_TURN_MS 50
#define STOP_TURNS 100 /* 5 s for an orderly end */
#define MAIL_TURN 256

const Vol__Node *csvd_node(const struct csvd *d, uint32_t id)
{
	for (size_t i = 0; d->tables && i < d->tables->n_nodes; i++)
		if (d->tables->nodes[i]->id == id)
			return d->tables->nodes[i];
	return NULL;
}

bool csvd_lease_over(const struct csvd *d)
{
	return cl_mono_ms(cl_mono_now()) >= atomic_load(&d->lease_until_ms);
}

uint64_t csvd_new_conn(void *user)
{
	struct csvd *d = user;

	return ++d->last_conn;
}

struct csv_mail *csvd_pack_tables(const struct csvd *d)
{
	struct csv_mail *mail =
		csv_mail_new(MAIL_TABLES, NULL, vol__tables__get_packed_size(d->tables));

	if (mail)
		(void)vol__tables__pack(d->tables, mail->body);
	return mail;
}

struct volume *csvd_volume(struct csvd *d, const uint8_t uuid[16])
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_is(d->volumes.v[i], uuid))
			return d->volumes.v[i];
	return NULL;
}

static struct volume *by_name(struct csvd *d, const char *name)
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (!strcmp(volume_name(d->volumes.v[i]), name))
			return d->volumes.v[i];
	return NULL;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static bool on_peer_message(void *user, const uint8_t volume[16], uint64_t conn, const void *body,
			    size_t len)
{
	struct volume *v = csvd_volume(user, volume);

	return v && volume_on_peer(v, conn, body, len);
}

static void on_peer_lost(void *user, const uint8_t volume[16], uint64_t conn)
{
	struct volume *v = csvd_volume(user, volume);

	if (v)
		volume_on_peer_lost(v, conn);
}

static const struct peers_ops peers_ops = { on_peer_message, on_peer_lost };

/* The address may come up after us: tried until it works. */
static void try_listen(void *user)
{
	struct csvd *d = user;
	const Vol__Node *me = csvd_node(d, d->tables ? d->tables->self : 0);
	struct cl_error err = CL_ERROR_INIT;
	int r;

	if (!me || !*me->storage_address ||
	    (d->peers && !strcmp(me->storage_address, d->listening)))
		return;
	if (d->peers)
		r = peers_listen(d->peers, me->storage_address, &err);
	else
		r = peers_new(d->loop, me->storage_address, csvd_new_conn, &peers_ops, d, &d->peers,
			      &err);
	if (r < 0) {
		log_error("%s; trying on", err.msg);
		(void)cl_timer_set_in(d->listen_timer, LISTEN_RETRY_MS);
		return;
	}
	(void)snprintf(d->listening, sizeof(d->listening), "%s", me->storage_address);
	peers_set_tls(d->peers, d->tls);
}

/* ---- clusterd ------------------------------------------------------------------------------- */

static void add_volume(struct csvd *d, const Vol__Volume *in)
{
	struct volume *v;

	if (volume_new(d, in, &v) < 0 || volume_vec_push(&d->volumes, v) < 0) {
		log_error("volume '%s': out of memory", in->name);
		return;
	}
	log_notice("volume '%s': %s", in->name, in->url);
}

static bool in_tables(const Vol__Tables *t, const struct volume *v)
{
	for (size_t i = 0; i < t->n_volumes; i++)
		if (volume_is(v, t->volumes[i]->uuid.data))
			return true;
	return false;
}

static void remove_missing(struct csvd *d)
{
	for (size_t i = 0; i < d->volumes.n;) {
		struct volume *v = d->volumes.v[i];

		if (in_tables(d->tables, v)) {
			i++;
			continue;
		}
		log_notice("volume '%s': removed", volume_name(v));
		keeper_link_unmount(d->keeper, volume_name(v));
		volume_vec_remove(&d->volumes, i);
		volume_free(v);
	}
}

static void on_tables(void *user, Vol__Tables *tables)
{
	struct csvd *d = user;
	Vol__Tables *old = d->tables;

	d->tables = tables;
	remove_missing(d);
	for (size_t i = 0; i < tables->n_volumes; i++) {
		const Vol__Volume *in = tables->volumes[i];
		struct volume *v = csvd_volume(d, in->uuid.data);

		if (!v)
			add_volume(d, in);
		v = csvd_volume(d, in->uuid.data);
		if (v)
			volume_update(v, in);
	}
	if (old)
		vol__tables__free_unpacked(old, NULL);
	try_listen(d);
}

/* Calls are held from the moment the lease is over, and let go when it is renewed. */
static void on_lease_timer(void *user)
{
	struct csvd *d = user;
	int64_t left = atomic_load(&d->lease_until_ms) - cl_mono_ms(cl_mono_now());

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_on_lease(d->volumes.v[i]);
	if (left > 0 && left < 3600 * 1000)
		(void)cl_timer_set_in(d->lease_timer, left + 1);
}

static void on_lease(void *user, const Vol__Lease *lease)
{
	struct csvd *d = user;
	uint64_t until_ms = lease->until_ms;

	csvd_heartbeat_lease(d, lease);
	atomic_store(&d->lease_until_ms, until_ms > INT64_MAX ? INT64_MAX : (int64_t)until_ms);
	on_lease_timer(d);
}

static void on_go_answer(void *user, const Vol__GoAnswer *answer)
{
	struct csvd *d = user;

	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_on_go(d->volumes.v[i], answer->id, answer->yes))
			return;
}

static void on_connected(void *user)
{
	struct csvd *d = user;

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_tell_status(d->volumes.v[i]);
}

/* For connections from now on: those that stand were good when they were made. */
static void on_credentials(void *user, const Vol__Credentials *c)
{
	struct csvd *d = user;
	struct cl_error err = CL_ERROR_INIT;
	struct cl_tls_creds *tls;

	if (cl_tls_creds_new(c->ca, c->chain, c->key, &tls, &err) < 0) {
		log_error("clusterd's certificates: %s", err.msg);
		return;
	}
	cl_tls_creds_unref(d->tls);
	d->tls = tls;
	if (d->peers)
		peers_set_tls(d->peers, tls);
}

static const struct cluster_ops cluster_ops = { on_connected,  on_tables,     on_lease,
						on_go_answer,  csvd_on_order, csvd_on_job,
						on_credentials };

/* ---- keeper --------------------------------------------------------------------------------- */

/* Left by an earlier csvd, of a volume that the tables have not named yet: kept for them. */
struct early_mount {
	char name[64];
	int fuse, state;
};
CL_DEFINE_VEC(early_vec, struct early_mount);
static struct early_vec early;

static void on_mounted(void *user, const char *name, int error, int fuse_fd, int state_fd)
{
	struct csvd *d = user;
	struct volume *v = by_name(d, name);
	struct early_mount e = { .fuse = fuse_fd, .state = state_fd };

	if (v) {
		volume_mounted(v, error, fuse_fd, state_fd);
		return;
	}
	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	if (fuse_fd >= 0)
		(void)early_vec_push(&early, e);
}

bool csvd_take_early(const char *name, int *ret_fuse, int *ret_state)
{
	for (size_t i = 0; i < early.n; i++)
		if (!strcmp(early.v[i].name, name)) {
			*ret_fuse = early.v[i].fuse;
			*ret_state = early.v[i].state;
			early_vec_remove(&early, i);
			return true;
		}
	return false;
}

static void on_unmounted(void *user, const char *name)
{
	struct volume *v = by_name(user, name);

	if (v)
		volume_unmounted(v);
}

static void on_keeper_ready(void *user)
{
	struct csvd *d = user;

	d->keeper_ready = true;
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_poke(d->volumes.v[i]);
}

static const struct keeper_ops keeper_ops = { on_mounted, on_unmounted, on_keeper_ready };

/* ---- mail ----------------------------------------------------------------------------------- */

/* true: it has been taken over. */
static bool take_mail(struct csvd *d, struct csv_mail *mail)
{
	if (!mail->from) {
		csvd_formatted(d, mail);
		return false;
	}
	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_owns(d->volumes.v[i], mail))
			return volume_on_mail(d->volumes.v[i], mail);
	return false;
}

static void on_mail(void *user, int fd, uint32_t revents)
{
	struct csvd *d = user;
	struct csv_mail *mail;

	(void)fd;
	(void)revents;
	for (int n = 0; n < MAIL_TURN && (mail = csv_mail_get(&d->mail)); n++)
		if (!take_mail(d, mail))
			free(mail);
}

/* ---- end ------------------------------------------------------------------------------------ */

static void on_stop_turn(void *user)
{
	struct csvd *d = user;
	bool all = true;

	for (size_t i = 0; i < d->volumes.n; i++)
		all &= volume_stopped(d->volumes.v[i]);
	if ((all && d->stop_turns > 1) || ++d->stop_turns > STOP_TURNS)
		cl_loop_stop(d->loop);
	else
		(void)cl_timer_set_in(d->stop_timer, STOP_TURN_MS);
}

static void on_term(void *user, int signo)
{
	struct csvd *d = user;

	(void)signo;
	if (d->stopping)
		return;
	d->stopping = true;
	log_notice("stopping");
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_begin_stop(d->volumes.v[i]);
	on_stop_turn(d);
}

/* ---- life ---------------------------------------------------------------------------------- */

int csvd_begin(struct csvd *d, int keeper_fd, int beat_fd, struct cl_error *err)
{
	struct cluster_config cfg = {
		.path = d->socket,
		.mount_root = d->mount_root,
		.can_resend = d->can_resend,
		.lost_before_ms = d->lost_before_ms,
		.ops = &cluster_ops,
		.user = d,
	};
	int r = cl_loop_new(&d->loop);

	if (r >= 0)
		r = cl_mailbox_init(&d->mail);
	if (r >= 0)
		r = cl_fd_new(d->loop, d->mail.fd, POLLIN, on_mail, d, &d->mail_io);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_lease_timer, d, &d->lease_timer);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_stop_turn, d, &d->stop_timer);
	if (r >= 0)
		r = cl_timer_new(d->loop, try_listen, d, &d->listen_timer);
	if (r >= 0)
		r = cl_signal_new(d->loop, SIGTERM, on_term, d, &d->term);
	if (r < 0)
		return cl_error_errno(err, r, "start");
	csvd_heartbeat_open(d);
	r = cluster_new(d->loop, &cfg, &d->cluster, err);
	if (r < 0)
		return r;
	return keeper_link_new(d->loop, keeper_fd, beat_fd, &keeper_ops, d, &d->keeper, err);
}

void csvd_end(struct csvd *d)
{
	struct csv_mail *mail;

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_free(d->volumes.v[i]);
	volume_vec_fini(&d->volumes);
	fail_vec_fini(&d->fails);
	buf_trim();
	while ((mail = csv_mail_get(&d->mail)))
		free(mail);
	peers_free(d->peers);
	cluster_free(d->cluster);
	keeper_link_free(d->keeper);
	csvd_heartbeat_close(d);
	if (d->tables)
		vol__tables__free_unpacked(d->tables, NULL);
}
