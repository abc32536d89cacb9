/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/timing.h"

#include <corosync/cmap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/daemon.h"
#include "clusterd/feeder_files.h"
#include "lib/log.h"
#include "proto/heartbeat.h"
#include "quorum/timing.h"

#define LOOK_MS 5000
#define SETTLED_MS 200 /* a change of the configuration is many keys */

struct timing_watch {
	struct daemon *d;
	cmap_handle_t cmap;
	struct cl_source *cmap_fd, *timer;
	bool connected, stale, lease_known;
	bool missed; /* the feeder did not run when it was looked for; once is a restart */
	struct timing t;
	struct timing_fault faults[TIMING_RULES_MAX];
	size_t n;
};

/* ---- corosync's part ---------------------------------------------------------------------------- */

static uint32_t number(cmap_handle_t cmap, const char *key, uint32_t otherwise)
{
	uint32_t x;

	return cmap_get_uint32(cmap, key, &x) == CS_OK ? x : otherwise;
}

static bool text_is(cmap_handle_t cmap, const char *key, const char *wanted)
{
	char *text = NULL;
	bool is = cmap_get_string(cmap, key, &text) == CS_OK && text && strcmp(text, wanted) == 0;

	free(text);
	return is;
}

static uint32_t count(cmap_handle_t cmap, const char *prefix, const char *suffix)
{
	cmap_iter_handle_t iter;
	char key[CMAP_KEYNAME_MAXLEN + 1];
	uint32_t n = 0;

	if (cmap_iter_init(cmap, prefix, &iter) != CS_OK)
		return 0;
	while (cmap_iter_next(cmap, iter, key, NULL, NULL) == CS_OK) {
		size_t len = strlen(key), end = strlen(suffix);

		n += len >= end && strcmp(key + len - end, suffix) == 0;
	}
	(void)cmap_iter_finalize(cmap, iter);
	return n;
}

/* Of the first node in its list: all have as many. */
static uint32_t count_links(cmap_handle_t cmap)
{
	uint32_t n = 0;
	char key[64], *address = NULL;

	for (unsigned link = 0; link < COROSYNC_LINKS_MAX; link++) {
		(void)snprintf(key, sizeof(key), "nodelist.node.0.ring%u_addr", link);
		if (cmap_get_string(cmap, key, &address) != CS_OK)
			continue;
		free(address);
		n++;
	}
	return n;
}

static void read_corosync(struct timing_watch *w)
{
	struct timing *t = &w->t;

	t->token_ms = number(w->cmap, "runtime.config.totem.token", 1000);
	t->consensus_ms = number(w->cmap, "runtime.config.totem.consensus", 1200);
	t->coefficient_ms = number(w->cmap, "totem.token_coefficient", 650);
	t->nodes = count(w->cmap, "nodelist.node.", ".nodeid");
	t->links = count_links(w->cmap);
	t->passive = !text_is(w->cmap, "totem.link_mode", "active");
	t->sync_timeout_ms = number(w->cmap, "quorum.device.votes", 0)
				     ? number(w->cmap, "quorum.device.sync_timeout", 30000)
				     : 0;
	w->stale = false;
}

static void disconnect(struct timing_watch *w)
{
	cl_source_free(w->cmap_fd);
	w->cmap_fd = NULL;
	if (w->connected)
		(void)cmap_finalize(w->cmap);
	w->connected = false;
}

static void on_cmap_fd(void *user, int fd, uint32_t revents)
{
	struct timing_watch *w = user;

	(void)fd, (void)revents;
	if (cmap_dispatch(w->cmap, CS_DISPATCH_ALL) != CS_OK)
		disconnect(w); /* corosync ended; timing_on_ring() when it is back */
}

static void on_change(cmap_handle_t cmap, cmap_track_handle_t track, int32_t event, const char *key,
		      struct cmap_notify_value new_value, struct cmap_notify_value old_value,
		      void *user)
{
	struct timing_watch *w = user;

	(void)cmap, (void)track, (void)event, (void)key, (void)new_value, (void)old_value;
	w->stale = true;
	(void)cl_timer_set_in(w->timer, SETTLED_MS);
}

static int track(struct timing_watch *w)
{
	static const char *const prefixes[] = { "totem.", "runtime.config.totem.", "nodelist.",
						"quorum.device." };
	const int32_t what =
		CMAP_TRACK_ADD | CMAP_TRACK_DELETE | CMAP_TRACK_MODIFY | CMAP_TRACK_PREFIX;
	cmap_track_handle_t handle;
	int fd;

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (cmap_track_add(w->cmap, prefixes[i], what, on_change, w, &handle) != CS_OK)
			return -EIO;
	if (cmap_fd_get(w->cmap, &fd) != CS_OK)
		return -EIO;
	return cl_fd_new(w->d->loop, fd, POLLIN, on_cmap_fd, w, &w->cmap_fd);
}

/* ---- the whole ------------------------------------------------------------------------------------ */

static void tell_core(struct timing_watch *w)
{
	char text[STATE_REASON_MAX] = "";
	struct node_event event = { .type = NODE_EV_TIMES, .times = text };

	if (w->n > 0)
		(void)snprintf(text, sizeof(text), "%s", w->faults[0].text);
	if (w->d->node && w->d->vms_found) /* until then it may be given nothing else */
		daemon_step(w->d, &event);
}

static bool same(const struct timing_watch *w, const struct timing_fault *faults, size_t n)
{
	bool yes = n == w->n;

	for (size_t i = 0; yes && i < n; i++)
		yes = strcmp(faults[i].text, w->faults[i].text) == 0;
	return yes;
}

static void check(struct timing_watch *w)
{
	struct feeder_said feeder = feeder_files_said(w->d->conf.run_directory);
	struct timing_fault faults[TIMING_RULES_MAX] = { 0 };
	size_t n;

	w->t.feeder = feeder.lives || !w->missed;
	w->missed = !feeder.lives;
	w->t.watchdog_ms = (uint32_t)feeder.timeout_ms;
	n = timing_check(&w->t, faults);
	if (!same(w, faults, n)) {
		memcpy(w->faults, faults, sizeof(faults));
		w->n = n;
		for (size_t i = 0; i < n; i++)
			log_warning("times: %s; %s", faults[i].text, faults[i].fix);
		if (n == 0)
			log_notice("times: all hold");
	}
	tell_core(w); /* each time: it hears nothing before it has begun */
}

static void on_timer(void *user)
{
	struct timing_watch *w = user;

	if (w->connected && w->stale)
		read_corosync(w);
	if (w->t.token_ms && w->lease_known)
		check(w);
	(void)cl_timer_set_in(w->timer, LOOK_MS);
}

void timing_on_ring(struct timing_watch *w)
{
	disconnect(w);
	if (cmap_initialize(&w->cmap) != CS_OK)
		return;
	w->connected = true;
	w->stale = true;
	if (track(w) < 0)
		log_warning("corosync's configuration cannot be watched; it is looked at once");
	(void)cl_timer_set_in(w->timer, SETTLED_MS);
}

void timing_lease(struct timing_watch *w, int64_t lease_ms)
{
	w->t.lease_ms = lease_ms > 0 && lease_ms < UINT32_MAX ? (uint32_t)lease_ms : UINT32_MAX;
	w->lease_known = true;
	(void)cl_timer_set_in(w->timer, SETTLED_MS);
}

int timing_new(struct daemon *d, struct timing_watch **ret)
{
	struct timing_watch *w = calloc(1, sizeof(*w));

	if (!w || cl_timer_new(d->loop, on_timer, w, &w->timer) < 0) {
		free(w);
		return -ENOMEM;
	}
	w->d = d;
	w->t.heartbeat_ms = HEARTBEAT_MS;
	w->t.fresh_ms = HEARTBEAT_FRESH_MS;
	w->t.silent_ms = HEARTBEAT_SILENT_MS;
	*ret = w;
	return 0;
}

void timing_free(struct timing_watch *w)
{
	if (!w)
		return;
	disconnect(w);
	cl_source_free(w->timer);
	free(w);
}

json_t *timing_view(const struct timing_watch *w)
{
	const struct timing *t = &w->t;
	json_t *faults = json_array();

	for (size_t i = 0; i < w->n; i++)
		(void)json_array_append_new(
			faults, json_pack("{s:s,s:s,s:s}", "rule", w->faults[i].rule, "text",
					  w->faults[i].text, "fix", w->faults[i].fix));
	return json_pack("{s:I,s:I,s:I,s:I,s:b,s:o}", "token_ms", (json_int_t)t->token_ms,
			 "consensus_ms", (json_int_t)t->consensus_ms, "lease_ms",
			 (json_int_t)t->lease_ms, "watchdog_ms", (json_int_t)t->watchdog_ms, "hold",
			 (int)(w->n == 0 && t->token_ms), "faults", faults);
}
