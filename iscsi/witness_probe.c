/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "iscsi/witness_probe.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "iscsi/probe.h"
#include "lib/cleanup.h"

#define PROBE_MS 10000

struct witness_probe {
	struct lun_url url;
	char initiator[96];
	void (*done)(void *user, int code, const char *text); /* NULL: forgotten */
	void *user;
	int fd;
	struct cl_source *src;
	pthread_t thread;

	/* The thread's, until it has written to fd. */
	struct cl_error err;
};

static void judge(const struct lun_probe_result *found, struct cl_error *err)
{
	if (!found->pr_type)
		(void)cl_error_set(err, -CL_EREFUSED, "the target (%s %s) cannot fence: %.150s",
				   found->vendor, found->product, found->type6);
}

static void *probe_main(void *user)
{
	struct witness_probe *p = user;
	struct lun_probe_result found;
	uint64_t one = 1;

	if (lun_probe(&p->url, p->initiator, PROBE_MS, &found, &p->err) == 0)
		judge(&found, &p->err);
	(void)!write(p->fd, &one, sizeof(one));
	return NULL;
}

static void probe_free(struct witness_probe *p)
{
	cl_source_free(p->src);
	if (p->fd >= 0)
		(void)close(p->fd);
	free(p);
}

static void on_end(void *user, int fd, uint32_t revents)
{
	struct witness_probe *p = user;
	struct witness_probe end = *p;

	(void)fd;
	(void)revents;
	(void)pthread_join(p->thread, NULL); /* its last act was the write */
	probe_free(p);
	if (end.done)
		end.done(end.user, end.err.code, end.err.msg);
}

int witness_probe_new(struct cl_loop *loop, const struct witness_probe_config *config,
		      struct witness_probe **ret, struct cl_error *err)
{
	struct witness_probe *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->done = config->done;
	p->user = config->user;
	p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)snprintf(p->initiator, sizeof(p->initiator),
		       "iqn.2026-11.org.clusterd:node%u.witness-probe", config->node);
	r = lun_url_parse(config->url, &p->url, err);
	if (r == 0 && (p->fd < 0 || cl_fd_new(loop, p->fd, POLLIN, on_end, p, &p->src) < 0 ||
		       pthread_create(&p->thread, NULL, probe_main, p) != 0))
		r = cl_error_set(err, -ENOMEM, "no thread for the probe of the LUN");
	if (r < 0)
		probe_free(p);
	else
		*ret = p;
	return r;
}

void witness_probe_forget(struct witness_probe *p)
{
	if (p)
		p->done = NULL;
}
