/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/certs.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "clusterd/certs_watch.h"
#include "clusterd/daemon.h"
#include "lib/file.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "lib/walltime.h"

#define LOOK_MS (6 * 3600 * 1000)

struct certs {
	struct daemon *d;
	struct cl_source *timer;
	char *ca, *chain, *key;
	struct cl_tls_creds *tls;
	struct certs_ends ends;
	char directory[120];
};

static int64_t now_s(void)
{
	return cl_wall_ms() / 1000;
}

/* ---- QEMU's ---------------------------------------------------------------------------------------- */

static int give(const struct certs *c, const char *path)
{
	struct passwd *pw = getpwnam(c->d->conf.vm_user);

	return pw && chown(path, pw->pw_uid, pw->pw_gid) == 0 ? 0 : -errno;
}

static int vm_file(const struct certs *c, const char *name, const char *text, struct cl_error *err)
{
	char path[PATH_MAX];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", c->directory, name);
	r = cl_file_write(path, text, 0400, err);
	if (r == 0 && give(c, path) < 0)
		r = cl_error_set(err, -EPERM, "%s: cannot be given to user '%s'", path,
				 c->d->conf.vm_user);
	return r;
}

/* A certificate of its own: what a guest may steal from its QEMU must not pass for a daemon. */
static int vm_certs(struct certs *c, const char *ca_key, struct cl_error *err)
{
	_cleanup_free_ char *chain = NULL, *key = NULL;
	int r = cl_pki_issue(c->ca, ca_key, c->d->name, "vm", now_s(), CERTS_NODE_DAYS, &chain,
			     &key, err);

	if (r < 0)
		return r;
	(void)snprintf(c->directory, sizeof(c->directory), "%s/tls", c->d->conf.run_directory);
	if (mkdir(c->directory, 0700) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", c->directory);
	(void)give(c, c->directory);
	r = vm_file(c, "ca-cert.pem", c->ca, err);
	if (r == 0)
		r = vm_file(c, "server-cert.pem", chain, err);
	if (r == 0)
		r = vm_file(c, "server-key.pem", key, err);
	if (r == 0)
		r = vm_file(c, "client-cert.pem", chain, err);
	if (r == 0)
		r = vm_file(c, "client-key.pem", key, err);
	return r;
}

/* ---- ours ------------------------------------------------------------------------------------------ */

static int make(struct certs *c, const char *ca, const char *ca_key, struct cl_error *err)
{
	_cleanup_free_ char *chain = NULL, *key = NULL, *copy = strdup(ca);
	struct cl_tls_creds *tls = NULL;
	int64_t ca_ends_s = 0;
	int r = copy ? cl_pki_issue(ca, ca_key, c->d->name, "node", now_s(), CERTS_NODE_DAYS,
				    &chain, &key, err)
		     : -ENOMEM;

	if (r == 0)
		r = cl_tls_creds_new(ca, chain, key, &tls, err);
	if (r == 0)
		r = cl_pki_expires(ca, &ca_ends_s, err);
	if (r < 0) {
		cl_tls_creds_unref(tls);
		return r;
	}
	free(c->ca);
	free(c->chain);
	free(c->key);
	cl_tls_creds_unref(c->tls);
	c->ca = cl_steal(copy);
	c->chain = cl_steal(chain);
	c->key = cl_steal(key);
	c->tls = tls;
	c->ends = (struct certs_ends){
		.have = true,
		.ca_s = ca_ends_s,
		.node_s = now_s() + CERTS_NODE_DAYS * (int64_t)CERTS_DAY,
	};
	log_notice("new certificates of this node, from the cluster's CA");
	return vm_certs(c, ca_key, err);
}

int certs_update(struct certs *c, const struct state_setup *setup, struct cl_error *err)
{
	const char *ca = state_setup_text(setup, STATE_PART_CA);
	const char *ca_key = state_setup_text(setup, STATE_PART_CA_KEY);
	int r;

	(void)cl_timer_set_in(c->timer, LOOK_MS);
	if (!*ca || !*ca_key)
		return 0;
	if (c->ca && strcmp(c->ca, ca) == 0 && !certs_due(&c->ends, now_s()))
		return 0;
	r = make(c, ca, ca_key, err);
	if (r == 0)
		csvd_credentials(c->d->csvd);
	return r;
}

static void on_timer(void *user)
{
	struct certs *c = user;
	struct cl_error err = CL_ERROR_INIT;

	if (c->d->node && certs_update(c, &node_state(c->d->node)->setup, &err) < 0)
		log_error("%s", err.msg);
	(void)cl_timer_set_in(c->timer, LOOK_MS);
}

struct cl_tls_creds *certs_tls(const struct certs *c)
{
	return c->tls;
}

const char *certs_ca(const struct certs *c)
{
	return c->ca;
}

const char *certs_chain(const struct certs *c)
{
	return c->chain;
}

const char *certs_key(const struct certs *c)
{
	return c->key;
}

const char *certs_vm_directory(const struct certs *c)
{
	return c->directory;
}

void certs_alarm(const struct certs *c, char *ret, size_t size)
{
	certs_watch(&c->ends, now_s(), ret, size);
}

int certs_new(struct daemon *d, struct certs **ret)
{
	struct certs *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r == 0) {
		c->d = d;
		r = cl_timer_new(d->loop, on_timer, c, &c->timer);
	}
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void certs_free(struct certs *c)
{
	if (!c)
		return;
	cl_source_free(c->timer);
	cl_tls_creds_unref(c->tls);
	free(c->ca);
	free(c->chain);
	free(c->key);
	free(c);
}
