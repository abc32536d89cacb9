/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/founding.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "clusterd/certs.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/daemon.h"
#include "clusterd/join.h"
#include "clusterd/requests.h"
#include "clusterd/token.h"
#include "lib/address.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "lib/tls.h"
#include "lib/walltime.h"
#include "proto/conn.h"

#define ANSWER_MS 60000		/* the members load their configuration meanwhile */
#define NAME_DEFAULT "cluster1" /* `cluster` is a word of the command line */

struct founding {
	struct daemon *d;
	uint64_t client; /* 0: nothing is under way */
	enum node_verb verb;
	char object[STATE_NAME_MAX]; /* the cluster's name, or a member's */
	struct setup_parts parts;    /* INIT: what the cluster begins with */

	struct token token;
	struct cl_source *timer, *connecting;
	struct frame_conn *conn;
	struct cl_tls_creds *none;
	int fd;
	char name[STATE_NAME_MAX];
	char *addresses[COROSYNC_LINKS_MAX];
	size_t n_addresses;
};

static void wire_close(struct founding *f)
{
	cl_source_free(cl_steal(f->connecting));
	frame_conn_free(cl_steal(f->conn));
	if (f->fd >= 0)
		(void)close(cl_steal_fd(&f->fd));
	cl_timer_cancel(f->timer);
}

static void forget(struct founding *f)
{
	wire_close(f);
	setup_parts_fini(&f->parts);
	for (size_t i = 0; i < f->n_addresses; i++)
		free(f->addresses[i]);
	f->n_addresses = 0;
	f->client = 0;
	f->verb = 0;
}

static void fail(struct founding *f, const struct cl_error *err)
{
	requests_founding_failed(f->d->requests, f->client, err);
	forget(f);
}

/* ---- corosync -------------------------------------------------------------------------------------- */

static void path_of(const struct daemon *d, const char *name, char ret[PATH_MAX])
{
	(void)snprintf(ret, PATH_MAX, "%s/%s", d->conf.corosync_directory, name);
}

/* Where systemd runs the machine it has given up on a corosync without configuration. Elsewhere
 * whoever supervises it does as it likes. */
static void start_corosync(void)
{
	static char *const argv[] = { (char *)"systemctl", (char *)"--no-block", (char *)"restart",
				      (char *)"corosync.service", NULL };
	static char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	struct stat st;
	pid_t pid;

	if (lstat("/run/systemd/system", &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	/* Its end tells nothing: systemd is asked to do it later, and init reaps. */
	if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, env) != 0)
		log_warning("cannot run systemctl: start corosync.service by hand");
}

static int write_conf(struct daemon *d, const struct setup_parts *parts, struct cl_error *err)
{
	char path[PATH_MAX];
	int r = 0;

	if (mkdir(d->conf.corosync_directory, 0755) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", d->conf.corosync_directory);
	path_of(d, "authkey", path);
	if (parts->part[STATE_PART_KEY])
		r = cl_file_write_synced(path, parts->part[STATE_PART_KEY],
					 parts->len[STATE_PART_KEY], 0400, err);
	path_of(d, "corosync.conf", path);
	if (r == 0)
		r = cl_file_write_synced(path, parts->part[STATE_PART_COROSYNC],
					 parts->len[STATE_PART_COROSYNC], 0644, err);
	return r;
}

/* What an administrator wrote stands; the key, too. false: there is none. */
static bool read_conf(struct daemon *d, struct setup_parts *parts)
{
	char path[PATH_MAX], *text;
	size_t len;

	path_of(d, "corosync.conf", path);
	if (cl_file_read(path, STATE_PART_MAX, &text, NULL, NULL) < 0)
		return false;
	setup_parts_put(parts, STATE_PART_COROSYNC, text);
	path_of(d, "authkey", path);
	if (cl_file_read(path, STATE_PART_MAX, &text, &len, NULL) == 0) {
		setup_parts_put(parts, STATE_PART_KEY, text);
		parts->len[STATE_PART_KEY] = len;
	}
	return true;
}

/* ---- asking the core ----------------------------------------------------------------------------------- */

static void ask_core(struct founding *f)
{
	struct node_request req = {
		.verb = f->verb, .client = f->client, .object = f->object, .target = "", .url = ""
	};
	struct node_event event = { .type = NODE_EV_REQUEST, .request = &req };
	struct cl_error err = CL_ERROR_INIT;
	uint8_t *data = NULL;

	if (setup_parts_pack(&f->parts, 0, &data, &req.spec_len) < 0) {
		(void)cl_error_set(&err, -ENOMEM, "out of memory");
		fail(f, &err);
		return;
	}
	req.spec = data;
	forget(f); /* from here on it is a request like others */
	daemon_step(f->d, &event);
	free(data);
}

void founding_core_up(struct founding *f)
{
	if (f->client && f->d->vms_found && !f->conn && !f->connecting)
		ask_core(f);
}

/* ---- init ------------------------------------------------------------------------------------------------ */

static const char *option(const Ipc__Request *msg, const char *name)
{
	for (size_t i = 0; i < msg->n_options; i++)
		if (strcmp(msg->options[i]->name, name) == 0)
			return msg->options[i]->value;
	return NULL;
}

static int own_addresses(struct founding *f, const Ipc__Request *msg, struct cl_error *err)
{
	for (size_t i = 0; i < msg->n_options; i++) {
		if (strcmp(msg->options[i]->name, "address") != 0)
			continue;
		if (f->n_addresses == COROSYNC_LINKS_MAX)
			return cl_error_set(err, -EINVAL, "--address: at most %d",
					    COROSYNC_LINKS_MAX);
		f->addresses[f->n_addresses] = strdup(msg->options[i]->value);
		if (!f->addresses[f->n_addresses])
			return cl_error_set(err, -ENOMEM, "out of memory");
		f->n_addresses++;
	}
	return 0;
}

static void own_name(struct founding *f)
{
	if (*f->d->conf.node_name)
		(void)snprintf(f->name, sizeof(f->name), "%s", f->d->conf.node_name);
	else if (gethostname(f->name, sizeof(f->name) - 1) < 0)
		f->name[0] = '\0';
	f->name[strcspn(f->name, ".")] = '\0';
}

static int new_conf(struct founding *f, const char *cluster, struct cl_error *err)
{
	struct corosync_node n = { .id = 1, .n_addresses = f->n_addresses };
	int r;

	if (!n.n_addresses)
		(void)snprintf(n.address[n.n_addresses++], sizeof(n.address[0]), "%s",
			       f->d->conf.migration_address);
	for (size_t i = 0; i < f->n_addresses; i++)
		(void)snprintf(n.address[i], sizeof(n.address[0]), "%s", f->addresses[i]);
	(void)snprintf(n.name, sizeof(n.name), "%s", f->name);
	setup_parts_put(&f->parts, STATE_PART_COROSYNC, corosync_conf_make(cluster, &n));
	r = f->parts.part[STATE_PART_COROSYNC] ? setup_new_key(&f->parts, err)
					       : cl_error_set(err, -ENOMEM, "out of memory");
	return r == 0 ? write_conf(f->d, &f->parts, err) : r;
}

/* The name: as told, else as corosync has it. */
static int init_parts(struct founding *f, const char *name, struct cl_error *err)
{
	bool fresh = !read_conf(f->d, &f->parts);
	struct corosync_conf conf;
	int r = 0;

	if (fresh)
		r = new_conf(f, name ? name : NAME_DEFAULT, err);
	if (r == 0)
		r = corosync_conf_read(f->parts.part[STATE_PART_COROSYNC], &conf, err);
	if (r < 0)
		return r;
	if (!name)
		name = *conf.cluster_name ? conf.cluster_name : NAME_DEFAULT;
	(void)snprintf(f->object, sizeof(f->object), "%s", name);
	corosync_conf_fini(&conf);
	if (!state_name_valid(f->object))
		return cl_error_set(err, -EINVAL, "'%.63s' cannot be a cluster's name", f->object);
	r = setup_new_ca(f->object, NULL, &f->parts, err);
	if (r == 0 && fresh)
		start_corosync();
	return r;
}

static int begin(struct founding *f, uint64_t client, const Ipc__Request *msg, enum node_verb verb,
		 struct cl_error *err)
{
	if (f->client)
		return cl_error_set(err, -CL_EREFUSED, "an init or join is under way on this node");
	f->client = client;
	f->verb = verb;
	own_name(f);
	if (!state_name_valid(f->name))
		return cl_error_set(err, -EINVAL,
				    "'%.63s' cannot be a node's name: set node_name in %s", f->name,
				    CONF_PATH);
	return own_addresses(f, msg, err);
}

/* The client has been told by whoever called. */
static int ended(struct founding *f, int r)
{
	if (r < 0)
		forget(f);
	return r;
}

static int refuse_member(const struct founding *f, struct cl_error *err)
{
	if (!f->d->node || !node_has_database(f->d->node))
		return 0;
	(void)cl_error_set(err, -CL_EREFUSED, "this node has a cluster's database already");
	(void)cl_error_hint(err, "clusterctl status shows the cluster");
	return -CL_EREFUSED;
}

int founding_init(struct founding *f, uint64_t client, const Ipc__Request *msg,
		  struct cl_error *err)
{
	const char *name = option(msg, "name");
	int r = refuse_member(f, err);

	if (r < 0)
		return r;
	if (name && !state_name_valid(name))
		return cl_error_set(err, -EINVAL, "'%.63s' cannot be a cluster's name", name);
	if (f->client)
		return begin(f, client, msg, NODE_INIT, err);
	r = begin(f, client, msg, NODE_INIT, err);
	if (r == 0)
		r = init_parts(f, name, err);
	if (r == 0)
		founding_core_up(f);
	return ended(f, r);
}

/* ---- join ------------------------------------------------------------------------------------------------ */

static void say(struct founding *f, int code, const char *why, const char *hint)
{
	struct cl_error err = CL_ERROR_INIT;

	(void)cl_error_set(&err, code < 0 ? code : -EIO, "%s", why);
	(void)cl_error_hint(&err, "%s", hint);
	fail(f, &err);
}

static void welcome(struct founding *f, const Join__Welcome *w)
{
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf conf;
	char *text = strndup((const char *)w->conf.data, w->conf.len);
	char *key = malloc(w->key.len + 1);
	int r = text && key ? corosync_conf_read(text, &conf, &err) : -ENOMEM;

	if (r == 0) {
		corosync_conf_fini(&conf);
		memcpy(key, w->key.data, w->key.len);
		key[w->key.len] = 0;
		setup_parts_put(&f->parts, STATE_PART_COROSYNC, cl_steal(text));
		f->parts.part[STATE_PART_KEY] = cl_steal(key);
		f->parts.len[STATE_PART_KEY] = w->key.len;
		r = write_conf(f->d, &f->parts, &err);
	}
	free(text);
	free(key);
	wire_close(f);
	setup_parts_fini(&f->parts);
	if (r < 0) {
		fail(f, &err);
		return;
	}
	log_notice("welcome in cluster '%.63s': waiting for corosync", w->cluster);
	start_corosync();
	founding_core_up(f);
}

static void on_frame(void *user, const struct frame *frame)
{
	struct founding *f = user;
	Join__FromMember *m = frame->type == JOIN_FROM_MEMBER
				      ? join__from_member__unpack(NULL, frame->len, frame->body)
				      : NULL;

	if (m && m->msg_case == JOIN__FROM_MEMBER__MSG_WELCOME)
		welcome(f, m->welcome);
	else if (m && m->msg_case == JOIN__FROM_MEMBER__MSG_REFUSAL)
		say(f, m->refusal->code, m->refusal->message, m->refusal->hint);
	else
		say(f, -CL_ECORRUPT, "the member's answer cannot be read", "");
	if (m)
		join__from_member__free_unpacked(m, NULL);
}

static void on_ready(void *user, uint16_t version)
{
	struct founding *f = user;
	Join__ToMember msg = JOIN__TO_MEMBER__INIT;
	Join__Ask ask = JOIN__ASK__INIT;

	(void)version;
	ask.secret = (ProtobufCBinaryData){ sizeof(f->token.secret), f->token.secret };
	ask.name = f->name;
	ask.addresses = f->addresses;
	ask.n_addresses = f->n_addresses;
	msg.msg_case = JOIN__TO_MEMBER__MSG_ASK;
	msg.ask = &ask;
	(void)join_send_to(f->conn, &msg);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct founding *f = user;

	if (why->code == -CL_EREFUSED)
		say(f, -CL_EREFUSED, why->msg, "is it a token of this cluster?");
	else
		say(f, -CL_EUNREACH, "the member ended the connection", why->msg);
}

static const struct frame_conn_ops conn_ops = { on_ready, on_frame, on_closed };

static void on_connected(void *user, int fd, uint32_t revents)
{
	struct founding *f = user;
	struct cl_tls_config config = { .creds = f->none,
					.unit = "node",
					.fingerprint = f->token.fingerprint };
	struct cl_error err = CL_ERROR_INIT;
	struct cl_tls *tls;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)revents;
	cl_source_free(cl_steal(f->connecting));
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		say(f, -CL_EUNREACH, strerror(error), f->token.address);
		return;
	}
	if (cl_tls_new(&config, fd, &tls, &err) < 0) {
		fail(f, &err);
		return;
	}
	if (frame_conn_new_on(f->d->loop, cl_steal_fd(&f->fd), cl_tls_stream(tls), &join_hello, 0,
			      &conn_ops, f, &f->conn) < 0)
		say(f, -ENOMEM, "out of memory", "");
}

static void on_late(void *user)
{
	struct founding *f = user;

	say(f, -CL_EUNREACH, "the member does not answer", f->token.address);
}

static int call(struct founding *f, struct cl_error *err)
{
	struct sockaddr_storage to;
	int len = cl_address_parse(f->token.address, f->token.port, &to);

	if (len < 0)
		return cl_error_set(err, -EINVAL, "'%s' is not an address", f->token.address);
	if (!f->none && cl_tls_creds_new(NULL, NULL, NULL, &f->none, err) < 0)
		return err->code;
	f->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (f->fd < 0 ||
	    (connect(f->fd, (void *)&to, (socklen_t)len) < 0 && errno != EINPROGRESS)) {
		int e = errno;

		return cl_error_set(err, -CL_EUNREACH, "%s: %s", f->token.address, strerror(e));
	}
	(void)cl_timer_set_in(f->timer, ANSWER_MS);
	if (cl_fd_new(f->d->loop, f->fd, POLLOUT, on_connected, f, &f->connecting) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	return 0;
}

int founding_join(struct founding *f, uint64_t client, const Ipc__Request *msg,
		  struct cl_error *err)
{
	const char *token = option(msg, "token");
	bool busy = f->client != 0;
	int r = refuse_member(f, err);

	if (r < 0)
		return r;
	if (!token && !f->d->node) {
		(void)cl_error_set(err, -CL_EREFUSED, "corosync does not run on this node");
		(void)cl_error_hint(err,
				    "join with --token, from `clusterctl create token` on %.63s",
				    msg->args[0]);
		return -CL_EREFUSED;
	}
	if (token && f->d->node)
		return cl_error_set(
			err, -CL_EREFUSED,
			"this node has a corosync.conf already: join without --token, or "
			"take it away");
	r = begin(f, client, msg, NODE_JOIN, err);
	if (busy)
		return r;
	if (r == 0 && token)
		r = token_parse(token, &f->token, err);
	(void)snprintf(f->object, sizeof(f->object), "%s", msg->args[0]);
	if (r == 0 && token)
		r = call(f, err);
	else if (r == 0)
		founding_core_up(f);
	return ended(f, r);
}

void founding_client_gone(struct founding *f, uint64_t client)
{
	/* Before the core has it, it is ended; the token is used up. */
	if (f->client == client && client)
		forget(f);
}

int founding_take_conf(struct daemon *d, const char *text, const void *key, size_t key_len,
		       struct cl_error *err)
{
	struct setup_parts parts = { 0 };
	char *copy = malloc(key_len + 1);
	int r;

	if (copy) {
		memcpy(copy, key, key_len);
		copy[key_len] = 0;
	}
	setup_parts_put(&parts, STATE_PART_COROSYNC, strdup(text));
	parts.part[STATE_PART_KEY] = copy;
	parts.len[STATE_PART_KEY] = key_len;
	r = copy && parts.part[STATE_PART_COROSYNC] ? write_conf(d, &parts, err) : -ENOMEM;
	setup_parts_fini(&parts);
	if (r < 0)
		return r;
	log_notice("corosync's configuration was old: taken from a member");
	start_corosync();
	setup_reload(d->setup); /* one that runs by the old text, alone */
	return 0;
}

/* ---- token ------------------------------------------------------------------------------------------------- */

int founding_token(struct daemon *d, int64_t seconds, char *ret, size_t size, struct cl_error *err)
{
	const int64_t now_s = cl_wall_ms() / 1000;
	struct token token = { .port = JOIN_PORT };
	char text[TOKEN_TEXT_MAX];
	int r;

	if (!certs_ca(d->certs))
		return cl_error_set(err, -CL_EREFUSED,
				    "the cluster has no CA: clusterctl rotate certificates");
	if (join_own_address(d, token.address, sizeof(token.address)) < 0)
		return cl_error_set(err, -CL_EREFUSED,
				    "this node is not in its cluster's corosync.conf");
	r = cl_pki_fingerprint(certs_ca(d->certs), token.fingerprint, err);
	if (r == 0 && gnutls_rnd(GNUTLS_RND_KEY, token.secret, sizeof(token.secret)) < 0)
		r = cl_error_set(err, -EIO, "no random bytes");
	if (r == 0)
		r = token_print(&token, text);
	if (r == 0)
		r = tokens_add(d->conf.data_directory, token.secret, now_s, now_s + seconds, err);
	if (r == 0)
		(void)snprintf(ret, size, "%s", text);
	return r;
}

int founding_new(struct daemon *d, struct founding **ret)
{
	struct founding *f = calloc(1, sizeof(*f));
	int r = f ? 0 : -ENOMEM;

	if (r == 0) {
		f->d = d;
		f->fd = -1;
		r = cl_timer_new(d->loop, on_late, f, &f->timer);
	}
	if (r < 0) {
		free(f);
		return r;
	}
	*ret = f;
	return 0;
}

void founding_free(struct founding *f)
{
	if (!f)
		return;
	forget(f);
	cl_source_free(f->timer);
	cl_tls_creds_unref(f->none);
	free(f);
}
