/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/setup.h"

#include <corosync/cfg.h>
#include <corosync/cmap.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>

#include "clusterd/certs.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/daemon.h"
#include "clusterd/join.h"
#include "clusterd/ring.h"
#include "clusterd/setup_links.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/monotime.h"
#include "lib/pki.h"
#include "lib/walltime.h"
#include "proto/log.pb-c.h"

#define KEY_BYTES 256
#define CA_DAYS 3650
#define TRIES 20
#define LOOK_MS 500
#define LINKS_MS 200
#define REST_MS 2000		 /* asked for again */
#define OURS (UINT64_C(1) << 63) /* client numbers of changes; IPC counts from 1 */

struct change {
	LIST_ENTRY(change) link;
	struct setup *s;
	uint64_t client;
	unsigned tries;
	bool due;
	setup_make_fn make;
	setup_done_fn done;
	void *user;
};

struct setup {
	struct daemon *d;
	struct cl_source *turn; /* nothing is given to the core from within its own actions */
	struct cl_source *look; /* whether corosync has loaded it; only until it has */
	uint64_t written, loaded, told_written, told_loaded;
	uint64_t config_version; /* of the text that is written */
	uint64_t running;	 /* corosync's own, as it was seen last */
	bool reloaded;
	struct setup_fits fits, told_fits;
	struct node_links links, told_links;
	char cause[STATE_REASON_MAX], cause_next[STATE_REASON_MAX];
	struct cl_mono rest_asked;
	LIST_HEAD(, change) changes;
	uint64_t next_client;
	struct cl_source *reload_src;
	int reload_fd;
	bool reloading;
	pthread_t reloader;
};

/* ---- parts --------------------------------------------------------------------------------------- */

void setup_parts_fini(struct setup_parts *parts)
{
	for (int i = 0; i < STATE_PARTS; i++)
		free(parts->part[i]);
	*parts = (struct setup_parts){ 0 };
}

void setup_parts_put(struct setup_parts *parts, enum state_part part, char *text)
{
	free(parts->part[part]);
	parts->part[part] = text;
	parts->len[part] = text ? strlen(text) : 0;
}

int setup_parts_pack(const struct setup_parts *parts, uint64_t version, uint8_t **ret,
		     size_t *ret_len)
{
	Log__SetupSet set = LOG__SETUP_SET__INIT;
	Log__SetupPart part[STATE_PARTS], *list[STATE_PARTS];
	uint8_t *data;

	set.version = version;
	set.parts = list;
	set.cause = (char *)(parts->cause ? parts->cause : "");
	for (int i = 0; i < STATE_PARTS; i++) {
		Log__SetupPart *p = &part[set.n_parts];

		if (!parts->part[i])
			continue;
		log__setup_part__init(p);
		p->kind = (uint32_t)i;
		p->data = (ProtobufCBinaryData){ parts->len[i], (uint8_t *)parts->part[i] };
		list[set.n_parts++] = p;
	}
	data = malloc(log__setup_set__get_packed_size(&set) + 1);
	if (!data)
		return -ENOMEM;
	*ret_len = log__setup_set__pack(&set, data);
	*ret = data;
	return 0;
}

int setup_new_key(struct setup_parts *parts, struct cl_error *err)
{
	char *key = malloc(KEY_BYTES + 1);

	if (!key || gnutls_rnd(GNUTLS_RND_KEY, key, KEY_BYTES) < 0) {
		free(key);
		return cl_error_set(err, -EIO, "no random bytes for corosync's key");
	}
	free(parts->part[STATE_PART_KEY]);
	parts->part[STATE_PART_KEY] = key;
	parts->len[STATE_PART_KEY] = KEY_BYTES;
	return 0;
}

/* The first certificate of a text, with its end. */
static size_t first_pem(const char *text)
{
	static const char mark[] = "-----END CERTIFICATE-----\n";
	const char *end = strstr(text, mark);

	return end ? (size_t)(end - text) + strlen(mark) : 0;
}

int setup_new_ca(const char *cluster, const struct state_setup *now, struct setup_parts *parts,
		 struct cl_error *err)
{
	const char *old = now ? state_setup_text(now, STATE_PART_CA) : "";
	char *cert, *key, *both;
	int r = cl_pki_ca_new(cluster, cl_wall_ms() / 1000, CA_DAYS, &cert, &key, err);

	if (r < 0)
		return r;
	/* Nodes take the new one up one after the other: until then they have to know each other. */
	r = asprintf(&both, "%s%.*s", cert, (int)first_pem(old), old);
	free(cert);
	if (r < 0) {
		free(key);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	setup_parts_put(parts, STATE_PART_CA, both);
	setup_parts_put(parts, STATE_PART_CA_KEY, key);
	return 0;
}

/* ---- files ------------------------------------------------------------------------------------------ */

struct daemon *setup_daemon(const struct setup *s)
{
	return s->d;
}

static const struct state_setup *now(const struct setup *s)
{
	return &node_state(s->d->node)->setup;
}

/* Writes what is not so already: a file that an administrator made the same stays his. */
static int write_part(struct setup *s, enum state_part part, const char *name, mode_t mode,
		      struct cl_error *err)
{
	const struct state_blob *b = &now(s)->part[part];
	_cleanup_free_ char *old = NULL;
	char path[PATH_MAX];
	size_t len;

	if (!b->data)
		return 0;
	(void)snprintf(path, sizeof(path), "%s/%s", s->d->conf.corosync_directory, name);
	if (cl_file_read(path, STATE_PART_MAX, &old, &len, NULL) == 0 && len == b->len &&
	    memcmp(old, b->data, len) == 0)
		return 0;
	log_notice("%s: written anew", path);
	return cl_file_write_synced(path, b->data, b->len, mode, err);
}

static uint64_t version_of(const struct state_setup *setup)
{
	struct corosync_conf conf;
	uint64_t version;

	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, NULL) < 0)
		return 0;
	version = conf.version;
	corosync_conf_fini(&conf);
	return version;
}

/*
 * Our own log has a later setup, of which we do not know yet that it is committed: after a start, as long as nobody leads. What
 * stands in the files is that one, or was before the one that is applied. Without: a node that is started alone puts
 * back a corosync.conf of long ago, in which it may not even stand, and does not boot with it after the next power cut.
 */
static bool is_behind(const struct setup *s)
{
	struct state known;
	bool behind;

	if (node_known(s->d->node, &known) < 0)
		return false;
	behind = known.setup.version > now(s)->version;
	state_fini(&known);
	return behind;
}

static void write_all(struct setup *s)
{
	struct cl_error err = CL_ERROR_INIT;
	bool behind;
	int r;

	/* Not written is not loaded, anywhere: the leader takes the change back. */
	if (setup_links_away(now(s), s->d->id))
		return;
	behind = is_behind(s);
	r = behind ? 0 : write_part(s, STATE_PART_KEY, "authkey", 0400, &err);
	if (r == 0 && !behind)
		r = write_part(s, STATE_PART_COROSYNC, "corosync.conf", 0644, &err);
	if (r == 0)
		r = certs_update(s->d->certs, now(s), &err);
	if (r < 0) {
		log_error("%s; trying on", err.msg);
		return;
	}
	if (behind)
		return;
	s->config_version = version_of(now(s));
	s->written = now(s)->version;
}

/* ---- corosync ------------------------------------------------------------------------------------------ */

static void look(struct setup *s)
{
	cmap_handle_t cmap;
	uint64_t version = 0;

	if (!now(s)->part[STATE_PART_COROSYNC].data) {
		s->loaded = s->written;
		return;
	}
	if (cmap_initialize(&cmap) != CS_OK)
		return;
	(void)cmap_get_uint64(cmap, "totem.config_version", &version);
	(void)cmap_finalize(cmap);
	if (version != s->running) {
		s->reloaded = true;
		ring_reloaded(s->d->ring);
	}
	s->running = version;
	if (version >= s->config_version)
		s->loaded = s->written;
}

static bool same_links(const struct node_links *a, const struct node_links *b)
{
	return a->moving == b->moving && a->stand == b->stand && a->node == b->node &&
	       a->link == b->link;
}

static void tell(struct setup *s)
{
	struct node_event event = { .type = NODE_EV_SETUP };

	if (s->told_written == s->written && s->told_loaded == s->loaded && !s->reloaded &&
	    s->told_fits.version == s->fits.version && s->told_fits.device == s->fits.device &&
	    same_links(&s->told_links, &s->links))
		return;
	event.setup.written = s->told_written = s->written;
	event.setup.loaded = s->told_loaded = s->loaded;
	s->told_fits = s->fits;
	event.setup.fits = s->fits.version;
	event.setup.fits_device = s->fits.device;
	event.setup.links = s->told_links = s->links;
	event.setup.reloaded = s->reloaded;
	s->reloaded = false;
	daemon_step(s->d, &event);
}

/* Of a change of our own address: the node itself asks, once more when its clusterd ended in between. */
static void ask_for_rest(struct setup *s)
{
	char from[STATE_ADDRESS_MAX], to[STATE_ADDRESS_MAX];
	struct node_request req = { .verb = NODE_SET_ADDRESS,
				    .object = s->d->name,
				    .target = from,
				    .url = to,
				    .client = OURS | ++s->next_client };
	struct node_event event = { .type = NODE_EV_REQUEST, .request = &req };

	if (s->links.stand != now(s)->version ||
	    !setup_links_rest(node_state(s->d->node), s->d->id, from, to) ||
	    cl_mono_diff_ms(s->rest_asked, cl_mono_now()) < REST_MS)
		return;
	s->rest_asked = cl_mono_now();
	daemon_step(s->d, &event);
}

static void on_look(void *user)
{
	struct setup *s = user;

	if (!s->d->node)
		return;
	if (s->written != now(s)->version)
		write_all(s);
	join_listen(s->d->join);
	look(s);
	setup_links_look(now(s), s->d->id, s->loaded, &s->links);
	tell(s);
	ask_for_rest(s);
	if (s->links.moving)
		(void)cl_timer_set_in(s->look, LINKS_MS);
	else if (s->loaded != now(s)->version || s->written != now(s)->version)
		(void)cl_timer_set_in(s->look, LOOK_MS);
}

void setup_fits(struct setup *s, const struct setup_fits *fits)
{
	s->fits = *fits;
	(void)cl_timer_set_in(s->look, 0);
}

void setup_on_cause(struct setup *s, const char *cause)
{
	(void)snprintf(s->cause, sizeof(s->cause), "%s", cause);
}

const char *setup_cause(const struct setup *s)
{
	return s->cause;
}

char *setup_cause_next(struct setup *s, const char *cause)
{
	if (cause)
		(void)snprintf(s->cause_next, sizeof(s->cause_next), "%s", cause);
	return s->cause_next;
}

void setup_on_ring(struct setup *s)
{
	(void)cl_timer_set_in(s->look, 0);
}

void setup_written(struct setup *s)
{
	(void)cl_timer_set_in(s->look, 0);
}

/* In a thread: it waits for the ring. */
static void *reload_thread(void *user)
{
	struct setup *s = user;
	corosync_cfg_handle_t cfg;
	static corosync_cfg_callbacks_t none;
	uint64_t one = 1;

	if (corosync_cfg_initialize(&cfg, &none) == CS_OK) {
		(void)corosync_cfg_reload_config(cfg);
		(void)corosync_cfg_finalize(cfg);
	}
	(void)!write(s->reload_fd, &one, sizeof(one));
	return NULL;
}

static void on_reload_done(void *user, int fd, uint32_t revents)
{
	struct setup *s = user;
	uint64_t n;

	(void)revents;
	(void)!read(fd, &n, sizeof(n));
	(void)pthread_join(s->reloader, NULL);
	s->reloading = false;
	(void)cl_timer_set_in(s->look, 0);
}

void setup_reload(struct setup *s)
{
	if (s->reloading)
		return;
	log_notice("corosync loads its configuration, on all nodes");
	s->reloading = pthread_create(&s->reloader, NULL, reload_thread, s) == 0;
}

/* ---- changes ------------------------------------------------------------------------------------------- */

static void change_end(struct change *c, const struct cl_error *err)
{
	LIST_REMOVE(c, link);
	if (c->done)
		c->done(c->user, err);
	free(c);
}

static int change_try(struct change *c, struct cl_error *err)
{
	struct setup_parts parts = { 0 };
	struct node_request req = {
		.verb = NODE_SETUP, .client = c->client, .object = "setup", .target = "", .url = ""
	};
	struct node_event event = { .type = NODE_EV_REQUEST, .request = &req };
	uint8_t *data = NULL;
	int r;

	if (!c->make)
		return cl_error_set(err, -ECANCELED, "nobody wants it any more");
	if (!c->s->d->node || !now(c->s)->version)
		return cl_error_set(err, -CL_EREFUSED,
				    "the cluster's setup is not in its database");
	r = c->make(c->user, now(c->s), &parts, err);
	if (r == 0 && setup_parts_pack(&parts, now(c->s)->version, &data, &req.spec_len) < 0)
		r = cl_error_set(err, -ENOMEM, "out of memory");
	req.spec = data;
	if (r == 0)
		daemon_step(c->s->d, &event);
	setup_parts_fini(&parts);
	free(data);
	return r;
}

static void on_turn(void *user)
{
	struct setup *s = user;
	struct change *c, *next;

	for (c = LIST_FIRST(&s->changes); c; c = next) {
		struct cl_error err = CL_ERROR_INIT;

		next = LIST_NEXT(c, link);
		if (!c->due)
			continue;
		c->due = false;
		if (change_try(c, &err) < 0)
			change_end(c, &err);
	}
}

int setup_change(struct setup *s, setup_make_fn make, setup_done_fn done, void *user)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	*c = (struct change){ .s = s, .make = make, .done = done, .user = user, .due = true };
	c->client = OURS | ++s->next_client;
	LIST_INSERT_HEAD(&s->changes, c, link);
	(void)cl_timer_set_in(s->turn, 0);
	return 0;
}

void setup_forget(struct setup *s, const void *user)
{
	struct change *c;

	LIST_FOREACH(c, &s->changes, link)
	if (c->user == user) {
		c->done = NULL;
		c->make = NULL;
	}
}

bool setup_changing(const struct setup *s, setup_make_fn make)
{
	const struct change *c;

	LIST_FOREACH(c, &s->changes, link)
	if (c->make == make)
		return true;
	return false;
}

bool setup_replied(struct setup *s, const struct node_action *a)
{
	struct cl_error err = CL_ERROR_INIT;
	struct change *c;

	if (!(a->reply.client & OURS))
		return false;
	LIST_FOREACH(c, &s->changes, link)
	if (c->client == a->reply.client)
		break;
	if (!c || a->reply.more)
		return true;
	if (a->reply.code == -CL_EMOVED && c->tries++ < TRIES && c->make) {
		c->client = OURS | ++s->next_client;
		c->due = true;
		(void)cl_timer_set_in(s->turn, 0);
		return true;
	}
	if (a->reply.code < 0) {
		(void)cl_error_set(&err, a->reply.code, "%s", a->reply.text);
		(void)cl_error_hint(&err, "%s", a->reply.hint);
	}
	change_end(c, &err);
	return true;
}

/* ---- life -------------------------------------------------------------------------------------------------- */

int setup_new(struct daemon *d, struct setup **ret)
{
	struct setup *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->d = d;
	LIST_INIT(&s->changes);
	s->reload_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = s->reload_fd < 0 ? -errno : cl_timer_new(d->loop, on_turn, s, &s->turn);
	if (r == 0)
		r = cl_timer_new(d->loop, on_look, s, &s->look);
	if (r == 0)
		r = cl_fd_new(d->loop, s->reload_fd, POLLIN, on_reload_done, s, &s->reload_src);
	if (r < 0) {
		setup_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void setup_free(struct setup *s)
{
	if (!s)
		return;
	if (s->reloading)
		(void)pthread_join(s->reloader, NULL);
	while (!LIST_EMPTY(&s->changes)) {
		struct change *c = LIST_FIRST(&s->changes);

		LIST_REMOVE(c, link);
		free(c);
	}
	cl_source_free(s->turn);
	cl_source_free(s->look);
	cl_source_free(s->reload_src);
	if (s->reload_fd >= 0)
		(void)close(s->reload_fd);
	free(s);
}
