/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/audit.h"

#include <stdio.h>
#include <string.h>
#include <sys/queue.h>

#include "clusterd/daemon.h"
#include "lib/log.h"
#include "lib/monotime.h"

#define STRANGERS_MS 1000 /* one line in so long: who may nothing shall not fill the events */

struct entry {
	STAILQ_ENTRY(entry) link;
	uint64_t client;
	struct ipc_who who;
	struct cl_mono begun;
	int64_t took_ms;
	const char *event; /* NULL: it goes on */
	char object[STATE_NAME_MAX];
	char text[STATE_REASON_MAX], why[STATE_REASON_MAX];
};

struct audit {
	struct daemon *d;
	struct cl_source
		*turn; /* ends come from within steps of the core: lines are given after them */
	struct cl_mono stranger;
	STAILQ_HEAD(, entry) entries;
};

static void add(char *text, size_t size, const char *word)
{
	size_t len = strlen(text);

	(void)snprintf(text + len, size - len, "%s%s", len ? " " : "",
		       word); /* cut if it must be */
}

static struct entry *entry_find(struct audit *a, uint64_t client)
{
	struct entry *e;

	STAILQ_FOREACH(e, &a->entries, link)
	if (e->client == client && !e->event)
		return e;
	return NULL;
}

static bool is_secret(const char *option)
{
	/* Fence agents' options, and some of them are passwords. */
	return strcmp(option, "token") == 0 || strcmp(option, "option") == 0;
}

/* An address with a password is refused, and its refusal is told: without the password. */
static void add_value(char *text, size_t size, const char *value)
{
	const char *user = strstr(value, "://");
	const char *at = user ? strchr(user, '@') : NULL,
		   *percent = user ? strchr(user, '%') : NULL;
	char masked[STATE_REASON_MAX];

	if (at && percent && percent < at) {
		(void)snprintf(masked, sizeof(masked), "%.*s%%...%s", (int)(percent - value), value,
			       at);
		value = masked;
	}
	add(text, size, value);
}

void audit_begin(struct audit *a, uint64_t client, const struct ipc_who *who,
		 const Ipc__Request *msg)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return;
	e->client = client;
	e->who = *who;
	e->begun = cl_mono_now();
	(void)snprintf(e->object, sizeof(e->object), "%s", msg->n_args ? msg->args[0] : "");
	add(e->text, sizeof(e->text), msg->verb);
	for (size_t i = 0; i < msg->n_args; i++)
		add(e->text, sizeof(e->text), msg->args[i]);
	for (size_t i = 0; i < msg->n_options; i++) {
		char option[80];

		(void)snprintf(option, sizeof(option), "--%.30s", msg->options[i]->name);
		add(e->text, sizeof(e->text), option);
		if (*msg->options[i]->value)
			add_value(e->text, sizeof(e->text),
				  is_secret(msg->options[i]->name) ? "..."
								   : msg->options[i]->value);
	}
	STAILQ_INSERT_TAIL(&a->entries, e, link);
}

static void ended(struct audit *a, struct entry *e, const char *event, const char *why)
{
	e->event = event;
	e->took_ms = cl_mono_diff_ms(e->begun, cl_mono_now());
	(void)snprintf(e->why, sizeof(e->why), "%.150s", why);
	(void)cl_timer_set_in(a->turn, 0);
}

void audit_end(struct audit *a, uint64_t client, const struct cl_error *why)
{
	struct entry *e = entry_find(a, client);

	if (!e)
		return;
	if (!why)
		ended(a, e, "request-done", "");
	else
		ended(a, e, why->code == -CL_EREFUSED ? "request-refused" : "request-failed",
		      why->msg);
}

void audit_left(struct audit *a, uint64_t client)
{
	struct entry *e = entry_find(a, client);

	if (e)
		ended(a, e, "request-left", "nobody waits for it any more; it goes on");
}

void audit_stranger(struct audit *a, const struct ipc_who *who)
{
	struct entry *e;

	if (a->stranger.ns && cl_mono_diff_ms(a->stranger, cl_mono_now()) < STRANGERS_MS)
		return;
	e = calloc(1, sizeof(*e));
	if (!e)
		return;
	a->stranger = e->begun = cl_mono_now();
	e->who = *who;
	(void)snprintf(e->text, sizeof(e->text), "connect");
	STAILQ_INSERT_TAIL(&a->entries, e, link);
	ended(a, e, "request-refused", "not in clusterview, clusterop or clusteradm");
}

static void give(struct audit *a, const struct entry *e)
{
	char cause[STATE_REASON_MAX];
	struct node_event event = { .type = NODE_EV_AUDIT };

	(void)snprintf(cause, sizeof(cause), "%.80s%s%.70s", e->text, *e->why ? ": " : "", e->why);
	if (!a->d->node) {
		log_notice("%s user=%s: %s", e->event, e->who.user, cause);
		return;
	}
	event.audit.object = e->object;
	event.audit.event = e->event;
	event.audit.cause = cause;
	event.audit.user = e->who.user;
	event.audit.uid = e->who.uid;
	event.audit.duration_ms = e->took_ms;
	event.audit.everywhere = strcmp(e->event, "request-refused") != 0;
	daemon_step(a->d, &event);
}

static void on_turn(void *user)
{
	struct audit *a = user;
	STAILQ_HEAD(, entry) go_on = STAILQ_HEAD_INITIALIZER(go_on);
	struct entry *e;

	while ((e = STAILQ_FIRST(&a->entries))) {
		STAILQ_REMOVE_HEAD(&a->entries, link);
		if (!e->event) {
			STAILQ_INSERT_TAIL(&go_on, e, link);
			continue;
		}
		give(a, e);
		free(e);
	}
	STAILQ_CONCAT(&a->entries, &go_on);
}

int audit_new(struct daemon *d, struct audit **ret)
{
	struct audit *a = calloc(1, sizeof(*a));
	int r = a ? 0 : -ENOMEM;

	if (r == 0) {
		a->d = d;
		STAILQ_INIT(&a->entries);
		r = cl_timer_new(d->loop, on_turn, a, &a->turn);
	}
	if (r < 0) {
		free(a);
		return r;
	}
	*ret = a;
	return 0;
}

void audit_free(struct audit *a)
{
	struct entry *e;

	if (!a)
		return;
	while ((e = STAILQ_FIRST(&a->entries))) {
		STAILQ_REMOVE_HEAD(&a->entries, link);
		free(e);
	}
	cl_source_free(a->turn);
	free(a);
}
