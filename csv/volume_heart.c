/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A volume's storage heartbeat (heart.h), bound to its client's data nexus and to clusterd's word. */
#include "config.h"

#include <stdlib.h>

#include "csv/volume_int.h"
#include "lib/log.h"

static struct lun_data *path(void *user)
{
	struct volume *v = user;

	return v->client ? client_path(v->client) : NULL;
}

static bool may_write(void *user)
{
	return !csvd_lease_over(((struct volume *)user)->d);
}

static void ask(void *user)
{
	csvd_tell_heartbeat(((struct volume *)user)->d, false);
}

/*
 * A claim of this node's own takes its data nexus, too (an earlier process's has the same incarnation): that
 * says nothing about this node.
 */
static void conflict(void *user)
{
	struct volume *v = user;

	if (v->store && (v->claiming || v->store->state == STORE_HOLDING))
		return;
	log_warning("volume '%s': this node's key was taken", v->name);
	csvd_tell_heartbeat(v->d, true);
}

static void changed(void *user)
{
	struct volume *v = user;

	csvd_heartbeat(v->d);
	volume_poke(v); /* a verdict was waited for */
}

static const struct heart_hooks hooks = { path, may_write, ask, conflict, changed, NULL };

/* In the name of the life that clusterd heeds, which is the one of the tables. */
static uint64_t life(const struct volume *v)
{
	const Vol__Node *me = csvd_node(v->d, v->d->tables->self);

	return me && me->living && me->incarnation == v->d->watched &&
			       me->incarnation > v->d->closed_up_to
		       ? me->incarnation
		       : 0;
}

void volume_look_at_heart(struct volume *v, const Vol__Volume *in)
{
	struct heart_hooks mine = hooks;

	mine.user = v;
	if (!v->heart && heart_new(v->d->loop, v->uuid, v->d->tables->self, &mine, &v->heart) < 0) {
		log_error("volume '%s': no heartbeat: out of memory", v->name);
		return;
	}
	heart_live(v->heart, life(v));
	heart_tables(v->heart, v->d->tables, in);
}

void volume_heart_lease(struct volume *v)
{
	if (!v->heart)
		return;
	heart_live(v->heart, life(v));
	heart_beat(v->heart, v->d->beat_ms);
}

int64_t volume_heartbeat_until(const struct volume *v)
{
	return v->heart ? heart_until(v->heart) : 0;
}

void volume_client_heartbeat(void *user, Csv__Extent *const *extents, size_t n)
{
	struct volume *v = user;

	if (v->heart)
		heart_place(v->heart, extents, n);
}
