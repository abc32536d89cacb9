/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `show quorum`, `set quorum`: the votes and the witness. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/requests_int.h"
#include "clusterd/timing.h"
#include "clusterd/view.h"
#include "lib/walltime.h"

static const char *name_of(const struct node *node, uint32_t id)
{
	const struct state_node *n = id ? state_node(node_state(node), id) : NULL;

	return n ? n->name : NULL;
}

json_t *view_witness(const struct node *node)
{
	char since[CL_RFC3339_SIZE] = "";
	struct node_quorum q;

	node_get_quorum(node, &q);
	if (q.since_ms > 0)
		(void)cl_rfc3339(q.since_ms, since);
	return json_pack("{s:s,s:s?,s:s?,s:s?,s:s?,s:s?,s:s?,s:b}", "state", q.witness, "kind",
			 !*q.url			   ? NULL
			 : strncmp(q.url, "file:", 5) == 0 ? "file"
							   : "lun",
			 "url", *q.url ? q.url : NULL, "host", name_of(node, q.host), "path",
			 *q.path ? q.path : NULL, "reason", *q.reason ? q.reason : NULL, "since",
			 *since ? since : NULL, "cast", (int)q.cast);
}

json_t *view_quorum(const struct node *node)
{
	const struct state *state = node_state(node);
	json_t *nodes = json_array();
	struct node_quorum q;
	struct node_self self;

	node_get_quorum(node, &q);
	node_get_self(node, &self);
	for (size_t i = 0; i < state->nodes.n; i++)
		(void)json_array_append_new(
			nodes, json_pack("{s:s,s:b}", "name", state->nodes.v[i].name, "votes",
					 (int)node_is_voter(node, state->nodes.v[i].id)));
	return json_pack("{s:s,s:s,s:i,s:i,s:i,s:i,s:o,s:o}", "type", "quorum", "name", "quorum",
			 "votes", (int)q.voters, "answer", (int)q.heard, "needed", (int)q.need,
			 "can_lose", (int)self.can_lose, "nodes", nodes, "witness",
			 view_witness(node));
}

int do_show_quorum(struct ask *ask, struct cl_error *err)
{
	json_t *view = view_quorum(ask->rq->d->node);

	(void)err;
	(void)json_object_set_new(view, "times", timing_view(ask->rq->d->timing));
	ask_answer(ask, view);
	return 0;
}

static int quorum_url_check(const char *url, struct cl_error *err)
{
	if ((strncmp(url, "iscsi://", 8) == 0 || strncmp(url, "file:/", 6) == 0) &&
	    strlen(url) < STATE_URL_MAX)
		return 0;
	(void)cl_error_set(err, -EINVAL, "'%.100s' is no witness", url);
	return cl_error_hint(err, "iscsi://HOST[:PORT]/IQN/LUN: a LUN of 8 MiB or more; "
				  "file:/PATH: a directory on a share that all nodes have mounted");
}

static void ask_core(struct requests *rq, uint64_t client, const char *url, const uint8_t *uuid)
{
	struct node_event event = { .type = NODE_EV_REQUEST };
	struct node_request req = { .verb = NODE_SET_QUORUM,
				    .client = client,
				    .object = "witness",
				    .target = "",
				    .url = url,
				    .uuid = uuid };

	event.request = &req;
	daemon_step(rq->d, &event);
}

/* Before anything is written: a witness without a vote in corosync's quorum would be of little use. */
static int takes_vote(const struct state_setup *setup, struct cl_error *err)
{
	struct corosync_conf conf;
	int r;

	if (!setup->version)
		return 0;
	r = corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, err);
	if (r < 0)
		return r;
	r = corosync_conf_takes_device(&conf, err);
	corosync_conf_fini(&conf);
	return r;
}

int do_set_quorum(struct ask *ask, struct cl_error *err)
{
	const char *what = ask_operand(ask, 0), *url = ask_operand(ask, 1);
	bool none = strcmp(url, "none") == 0;
	struct node_self self;
	struct pending *p;
	int r;

	if (strcmp(what, "witness") != 0) {
		(void)cl_error_set(err, -EINVAL, "quorum has no setting '%.60s'", what);
		return cl_error_hint(err, "set quorum witness iscsi://...|file:/PATH|none");
	}
	if (!none && quorum_url_check(url, err) < 0)
		return err->code;
	node_get_self(ask->rq->d->node, &self);
	if (!self.quorate) /* before anything is written to a LUN */
		return cl_error_set(err, -CL_EREFUSED,
				    "no majority of the nodes is there to decide");
	if (!none && takes_vote(&node_state(ask->rq->d->node)->setup, err) < 0)
		return err->code;
	p = pending_new(ask, "witness");
	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if (none) {
		ask_core(ask->rq, ask->client, "", NULL);
		return 0;
	}
	r = witnessd_make(ask->rq->d->witnessd, ask->client, url, ask_option(ask, "force") != NULL,
			  err);
	if (r < 0)
		pending_free(p);
	return r;
}

void requests_witness_made(struct requests *rq, uint64_t client, const char *url,
			   const uint8_t uuid[16], const struct cl_error *err)
{
	struct pending *p = pending_find(rq, client);

	if (!p)
		return; /* the client left: the LUN is one that no cluster names */
	if (err->code)
		pending_fail(rq, p, err);
	else
		ask_core(rq, client, url, uuid);
}

int quorum_init_option(struct ask *ask, struct cl_error *err)
{
	const char *url = ask_option(ask, "witness");

	return url ? quorum_url_check(url, err) : 0;
}

void quorum_init_begun(struct ask *ask)
{
	const char *url = ask_option(ask, "witness");
	struct pending *p = pending_find(ask->rq, ask->client);

	if (url && p)
		(void)snprintf(p->witness, sizeof(p->witness), "%s", url);
}

bool quorum_after_init(struct requests *rq, struct pending *p, const struct node_action *a)
{
	struct cl_error err = CL_ERROR_INIT;
	char url[STATE_URL_MAX];

	if (!p->witness[0] || a->reply.more || a->reply.code != 0)
		return false;
	memcpy(url, p->witness, sizeof(url));
	p->witness[0] = 0;
	if (witnessd_make(rq->d->witnessd, p->client, url, false, &err) < 0) {
		(void)cl_error_wrap(&err, err.code, "the cluster was made, but not its witness");
		pending_fail(rq, p, &err);
	}
	return true;
}
