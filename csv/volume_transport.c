/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way from a mount to the coordinator of now: a mailbox when it is here, TCP when it is not. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/volume_int.h"

#define RECONNECT_MS 50

void volume_transport_drop(struct volume *v)
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

void volume_retry_transport(struct volume *v)
{
	v->reconnect_wait = true;
	(void)cl_timer_set_in(v->reconnect, RECONNECT_MS);
}

void volume_on_reconnect(void *user)
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

bool volume_client_send(void *user, bool bulk, Csv__Message *msg)
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

void volume_client_changed(void *user, const char *reason)
{
	struct volume *v = user;

	if (reason)
		(void)snprintf(v->refused, sizeof(v->refused), "the coordinator: %.100s", reason);
	else if (v->client && client_state(v->client) == CLIENT_ACTIVE)
		v->refused[0] = 0;
	volume_poke(v);
}

void volume_client_reconnect(void *user)
{
	struct volume *v = user;

	v->link_down = true;
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
	v->to_address[0] = v->from_address[0] = '\0';
	client_up(v->client, v->epoch, v->incarnation);
}

static void connect_there(struct volume *v, const Vol__Node *me, const Vol__Node *them)
{
	struct cl_error err = CL_ERROR_INIT;

	v->to_node = v->coordinator;
	v->to_epoch = v->epoch;
	(void)snprintf(v->to_address, sizeof(v->to_address), "%s", them->storage_address);
	(void)snprintf(v->from_address, sizeof(v->from_address), "%s", me->storage_address);
	if (link_new(v->d->loop, me->storage_address, them->storage_address, v->d->tls, them->name,
		     &link_ops, v, &v->link, &err) >= 0)
		return;
	(void)snprintf(v->refused, sizeof(v->refused), "%.120s", err.msg);
	v->to_node = 0;
	volume_retry_transport(v);
}

/* The old address may be taken away at any time, without a word to this connection. */
static bool is_elsewhere(const struct volume *v, const Vol__Node *me, const Vol__Node *them)
{
	return *v->to_address && me && them &&
	       (strcmp(v->to_address, them->storage_address) != 0 ||
		strcmp(v->from_address, me->storage_address) != 0);
}

void volume_look_at_transport(struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);
	const Vol__Node *them = csvd_node(v->d, v->coordinator);
	bool stale = v->to_node &&
		     (v->to_node != v->coordinator || v->to_epoch != v->epoch ||
		      (me && me->incarnation != v->incarnation) || is_elsewhere(v, me, them));

	if (v->to_node && (stale || v->link_down)) {
		volume_transport_drop(v);
		if (!stale)
			volume_retry_transport(v);
	}
	if (!v->client || !me || !them || v->to_node || v->reconnect_wait || v->d->stopping)
		return;
	if (me->incarnation <= v->d->closed_up_to || !client_may_begin(v->client))
		return;
	v->incarnation = me->incarnation;
	if (v->coordinator == v->d->tables->self)
		connect_here(v);
	else
		connect_there(v, me, them);
}
