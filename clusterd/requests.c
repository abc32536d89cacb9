/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/requests.h"

#include <stdio.h>
#include <inttypes.h>
#include <string.h>

#include "clusterd/audit.h"
#include "clusterd/certs.h"
#include "clusterd/founding.h"
#include "clusterd/requests_int.h"
#include "clusterd/view.h"

/* ---- answering ---------------------------------------------------------------------------------- */

void ask_answer(struct ask *ask, json_t *json)
{
	_cleanup_free_ char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	struct cl_error err = CL_ERROR_INIT;

	json_decref(json);
	if (text) {
		ipc_done(ask->rq->d->ipc, ask->client, text);
		return;
	}
	(void)cl_error_set(&err, -ENOMEM, "out of memory");
	ipc_fail(ask->rq->d->ipc, ask->client, &err, NULL);
}

const char *ask_operand(const struct ask *ask, size_t i)
{
	return i < ask->msg->n_args ? ask->msg->args[i] : "";
}

const char *ask_option(const struct ask *ask, const char *name)
{
	for (size_t i = ask->msg->n_options; i > 0; i--)
		if (strcmp(ask->msg->options[i - 1]->name, name) == 0)
			return ask->msg->options[i - 1]->value;
	return NULL;
}

struct pending *pending_new(struct ask *ask, const char *object)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->client = ask->client;
	p->verb = ask->verb;
	p->begun = cl_mono_now();
	(void)snprintf(p->object, sizeof(p->object), "%s", object);
	LIST_INSERT_HEAD(&ask->rq->pending, p, link);
	return p;
}

void pending_free(struct pending *p)
{
	LIST_REMOVE(p, link);
	json_decref(p->reports);
	fence_test_free(p->test);
	readdress_free(p->readdress);
	free(p);
}

struct pending *pending_find(struct requests *rq, uint64_t client)
{
	struct pending *p;

	LIST_FOREACH(p, &rq->pending, link)
	if (p->client == client)
		return p;
	return NULL;
}

void pending_fail(struct requests *rq, struct pending *p, const struct cl_error *err)
{
	ipc_fail(rq->d->ipc, p->client, err, p->object);
	pending_free(p);
}

void pending_done(struct requests *rq, struct pending *p, json_t *json)
{
	struct ask ask = { rq, p->client, p->verb, NULL, NULL };

	pending_free(p);
	ask_answer(&ask, json);
}

void pending_progress(struct requests *rq, const struct pending *p, const char *text, int percent)
{
	json_t *line = json_pack("{s:{s:s,s:s,s:i}}", "progress", "object", p->object, "message",
				 text, "percent", percent);
	_cleanup_free_ char *json = line ? json_dumps(line, JSON_COMPACT) : NULL;

	if (json)
		ipc_progress(rq->d->ipc, p->client, json);
	json_decref(line);
}

json_t *pending_message(const struct pending *p, const char *message)
{
	return json_pack("{s:{s:s,s:s,s:s}}", "done", "verb", p->verb, "object", p->object,
			 "message", message);
}

/* ---- reading ------------------------------------------------------------------------------------ */

int ask_not_found(const char *name, struct cl_error *err)
{
	(void)cl_error_set(err, -ENOENT, "there is no '%.63s'", name);
	return cl_error_hint(err, "see `clusterctl list`");
}

static int do_status(struct ask *ask, struct cl_error *err)
{
	json_t *status = view_status(ask->rq->d->node), *alarms = json_array();
	char alarm[160];

	(void)err;
	certs_alarm(ask->rq->d->certs, alarm, sizeof(alarm));
	if (*alarm && node_has_database(ask->rq->d->node))
		(void)json_array_append_new(alarms, json_string(alarm));
	(void)json_object_set_new(json_object_get(status, "cluster"), "alarms", alarms);
	ask_answer(ask, status);
	return 0;
}

static int do_list(struct ask *ask, struct cl_error *err)
{
	static const char *const types[] = { "node", "volume", "vm", NULL };
	const char *type = ask_operand(ask, 0);

	for (size_t i = 0; *type && types[i]; i++)
		if (strcmp(types[i], type) == 0) {
			ask_answer(ask, view_list(ask->rq->d->node, type));
			return 0;
		}
	if (*type)
		return cl_error_set(err, -EINVAL, "unknown type '%.63s': node, volume or vm", type);
	ask_answer(ask, view_list(ask->rq->d->node, NULL));
	return 0;
}

static int do_show(struct ask *ask, struct cl_error *err)
{
	if (strcmp(ask_operand(ask, 0), "quorum") == 0 && !view_exists(ask->rq->d->node, "quorum"))
		return do_show_quorum(ask, err);
	if (!view_exists(ask->rq->d->node, ask_operand(ask, 0)))
		return ask_not_found(ask_operand(ask, 0), err);
	if (state_volume(node_state(ask->rq->d->node), ask_operand(ask, 0)))
		return do_show_volume(ask, err);
	ask_answer(ask, view_show(ask->rq->d->node, ask_operand(ask, 0)));
	return 0;
}

static int do_explain(struct ask *ask, struct cl_error *err)
{
	if (!view_exists(ask->rq->d->node, ask_operand(ask, 0)))
		return ask_not_found(ask_operand(ask, 0), err);
	ask_answer(ask, view_explain(ask->rq->d->node, ask_operand(ask, 0)));
	return 0;
}

static int do_events(struct ask *ask, struct cl_error *err)
{
	const struct events *events = ask->rq->d->events;
	const char *number = ask_option(ask, "number");
	unsigned long want = 100;
	char *end;

	if (number) {
		want = strtoul(number, &end, 10);
		if (!*number || *end || *number == '-' || want > EVENTS_KEPT)
			return cl_error_set(err, -EINVAL, "--number: '%.20s' is not one of 0 to %d",
					    number, EVENTS_KEPT);
	}
	for (size_t i = events->n > want ? events->n - want : 0; i < events->n; i++)
		ipc_progress(ask->rq->d->ipc, ask->client, events_at(events, i));
	if (ask_option(ask, "follow")) {
		struct pending *p = pending_new(ask, "");

		if (!p)
			return cl_error_set(err, -ENOMEM, "out of memory");
		p->follows = true;
		return 0;
	}
	ask_answer(ask, json_object());
	return 0;
}

/* ---- asking the core ---------------------------------------------------------------------------- */

int request_core(struct ask *ask, struct node_request *req, struct cl_error *err)
{
	struct node_event event = { .type = NODE_EV_REQUEST, .request = req };

	if (!pending_new(ask, req->object))
		return cl_error_set(err, -ENOMEM, "out of memory");
	req->client = ask->client;
	req->target = req->target ? req->target : "";
	req->url = req->url ? req->url : "";
	daemon_step(ask->rq->d, &event);
	return 0;
}

static int core_simple(struct ask *ask, enum node_verb verb, struct cl_error *err)
{
	struct node_request req = {
		.verb = verb,
		.object = ask_operand(ask, 0),
		.target = ask_operand(ask, 1),
		.force = ask_option(ask, "force") != NULL,
		.quick = ask_option(ask, "quick") != NULL,
	};

	return request_core(ask, &req, err);
}

int ask_core_about(struct ask *ask, enum node_verb verb, const char *object, bool on,
		   struct cl_error *err)
{
	struct node_request req = { .verb = verb, .object = object, .on = on };

	return request_core(ask, &req, err);
}

static int do_start(struct ask *ask, struct cl_error *err)
{
	return core_simple(ask, NODE_START, err);
}

static int do_stop(struct ask *ask, struct cl_error *err)
{
	return core_simple(ask, NODE_STOP, err);
}

static int do_drain(struct ask *ask, struct cl_error *err)
{
	return core_simple(ask, NODE_DRAIN, err);
}

static int do_resume(struct ask *ask, struct cl_error *err)
{
	return core_simple(ask, NODE_RESUME, err);
}

/* What a move would cost. Pages of zeros are not saved: the whole memory is the most. */
static void say_move(const struct ask *ask, char *buf, size_t size)
{
	const struct state_resource *r =
		state_resource(node_state(ask->rq->d->node), ask_operand(ask, 0));

	if (r && ask_option(ask, "quick"))
		(void)snprintf(buf, size,
			       "it can be moved; it stands while up to %" PRIu64
			       " MiB are written to its volume and read back",
			       r->memory_bytes >> 20);
	else
		(void)snprintf(buf, size, "it can be moved");
}

static int do_move(struct ask *ask, struct cl_error *err)
{
	char text[160];

	if (ask_option(ask, "check")) {
		if (create_check_move(ask->rq->d->node, ask_operand(ask, 0), ask_operand(ask, 1),
				      err) < 0)
			return err->code;
		say_move(ask, text, sizeof(text));
		ask_answer(ask, json_pack("{s:{s:s,s:s,s:s}}", "done", "verb", "move", "object",
					  ask_operand(ask, 0), "message", text));
		return 0;
	}
	return core_simple(ask, NODE_MOVE, err);
}

static int do_delete(struct ask *ask, struct cl_error *err)
{
	const struct state *state = node_state(ask->rq->d->node);
	const char *name = ask_operand(ask, 0);

	if (state_resource(state, name))
		return core_simple(ask, NODE_DELETE_VM, err);
	if (state_volume(state, name))
		return do_delete_volume(ask, err);
	if (state_node_by_name(state, name))
		return cl_error_set(err, -CL_EREFUSED, "%s is a node: it cannot be deleted", name);
	return ask_not_found(name, err);
}

static int do_set_vm(struct ask *ask, struct cl_error *err)
{
	struct node_request req = { .verb = NODE_SET_VM, .object = ask_operand(ask, 0) };

	if (strcmp(ask_operand(ask, 1), "start-after") != 0) {
		(void)cl_error_set(err, -EINVAL, "a VM has no setting '%.40s'",
				   ask_operand(ask, 1));
		return cl_error_hint(err, "set vm NAME start-after auto|fence|lease");
	}
	if (create_start_after(ask_operand(ask, 2), &req.start_after, err) < 0)
		return -EINVAL;
	return request_core(ask, &req, err);
}

static int do_create_vm(struct ask *ask, struct cl_error *err)
{
	struct create_vm vm;
	int r = create_vm_read(ask->msg, &ask->rq->d->conf, &vm, err);

	if (r == 0)
		r = request_core(ask, &vm.req, err);
	create_vm_fini(&vm);
	return r;
}

static int do_create_volume(struct ask *ask, struct cl_error *err)
{
	struct create_volume volume;
	struct pending *p;
	int r = create_volume_read(ask->msg, ask->rq->d->node, &volume, err);

	if (r < 0)
		return r;
	p = pending_new(ask, volume.name);
	if (!p)
		return cl_error_set(err, -ENOMEM, "out of memory");
	p->volume = volume;
	r = csvd_format(ask->rq->d->csvd, ask->client, volume.name, volume.uuid, volume.url,
			volume.force, volume.unsafe, err);
	if (r < 0)
		pending_free(p);
	return r;
}

void requests_formatted(struct requests *rq, uint64_t client, const uint8_t *target, size_t len,
			const struct cl_error *err)
{
	struct pending *p = pending_find(rq, client);
	struct node_event event = { .type = NODE_EV_REQUEST };
	struct node_request req = { .verb = NODE_CREATE_VOLUME, .client = client, .target = "" };
	struct cl_error too_long = CL_ERROR_INIT;
	struct create_volume volume;

	if (!p)
		return; /* the client left: the LUN holds a file system that no volume names */
	if (!err->code && len > STATE_PROBED_MAX)
		(void)cl_error_set(&too_long, -EIO, "volume '%s': csvd says too much of its target",
				   p->object);
	if (err->code || too_long.code) {
		ipc_fail(rq->d->ipc, client, err->code ? err : &too_long, p->object);
		pending_free(p);
		return;
	}
	volume = p->volume;
	req.object = volume.name;
	req.url = volume.url;
	req.uuid = volume.uuid;
	req.spec = target; /* how it is fenced depends on it */
	req.spec_len = len;
	event.request = &req;
	daemon_step(rq->d, &event);
}

/* ---- the table ----------------------------------------------------------------------------------- */

static const struct {
	const char *verb;
	enum ipc_role role;
	unsigned min, max; /* operands */
	int (*run)(struct ask *ask, struct cl_error *err);
} verbs[] = {
	{ "status", IPC_VIEW, 0, 0, do_status },
	{ "list", IPC_VIEW, 0, 1, do_list },
	{ "show", IPC_VIEW, 1, 1, do_show },
	{ "events", IPC_VIEW, 0, 0, do_events },
	{ "explain", IPC_VIEW, 1, 1, do_explain },
	{ "init", IPC_ADMIN, 0, 0, do_init },
	{ "join", IPC_ADMIN, 1, 1, do_join },
	{ "create token", IPC_ADMIN, 0, 0, do_create_token },
	{ "leave", IPC_ADMIN, 0, 1, do_leave },
	{ "evict", IPC_ADMIN, 1, 1, do_evict },
	{ "rotate", IPC_ADMIN, 1, 1, do_rotate },
	{ "set quorum", IPC_ADMIN, 2, 2, do_set_quorum },
	{ "set node", IPC_ADMIN, 3, 3, do_set_node },
	{ "set vm", IPC_ADMIN, 3, 3, do_set_vm },
	{ "fence test", IPC_ADMIN, 1, 1, do_fence_test },
	{ "fence confirm", IPC_ADMIN, 1, 1, do_fence_confirm },
	{ "fence history", IPC_VIEW, 0, 1, do_fence_history },
	{ "backup", IPC_ADMIN, 0, 0, do_backup },
	{ "restore", IPC_ADMIN, 0, 0, do_restore },
	{ "create vm", IPC_ADMIN, 1, 1, do_create_vm },
	{ "create volume", IPC_ADMIN, 1, 1, do_create_volume },
	{ "delete", IPC_ADMIN, 1, 1, do_delete },
	{ "stop node", IPC_ADMIN, 0, 1, do_stop_node },
	{ "stop cluster", IPC_ADMIN, 0, 0, do_stop_cluster },
	{ "start cluster", IPC_ADMIN, 0, 0, do_start_cluster },
	{ "start", IPC_OP, 1, 2, do_start },
	{ "stop", IPC_OP, 1, 1, do_stop },
	{ "move", IPC_OP, 2, 2, do_move },
	{ "drain", IPC_OP, 1, 1, do_drain },
	{ "resume", IPC_OP, 1, 1, do_resume },
	{ "redirect", IPC_OP, 2, 2, do_redirect },
	{ "maintenance", IPC_OP, 2, 2, do_maintenance },
	{ "check", IPC_ADMIN, 1, 1, do_check },
	{ "grow", IPC_ADMIN, 1, 1, do_grow },
};

/* Names, but for the address of a witness. */
static size_t longest(const Ipc__Request *msg)
{
	return strcmp(msg->verb, "set quorum") == 0 ? STATE_URL_MAX : STATE_NAME_MAX;
}

static int check_operands(const Ipc__Request *msg, unsigned min, unsigned max, struct cl_error *err)
{
	if (msg->n_args < min || msg->n_args > max)
		return cl_error_set(err, -EINVAL, "%.30s: wrong number of operands", msg->verb);
	for (size_t i = 0; i < msg->n_args; i++)
		if (!msg->args[i][0] || strlen(msg->args[i]) >= longest(msg))
			return cl_error_set(err, -EINVAL, "'%.63s' cannot be a name", msg->args[i]);
	return 0;
}

static int no_core(struct cl_error *err)
{
	(void)cl_error_set(err, -CL_EUNREACH, "clusterd waits for corosync on this node");
	return cl_error_hint(err,
			     "is it to be a member? `clusterctl join`, `clusterctl init`; else "
			     "`systemctl status corosync`");
}

const char *requests_verb(size_t i, enum ipc_role *ret_role)
{
	if (i >= sizeof(verbs) / sizeof(verbs[0]))
		return NULL;
	*ret_role = verbs[i].role;
	return verbs[i].verb;
}

int requests_may(const char *verb, enum ipc_role role, struct cl_error *err)
{
	enum ipc_role needed = IPC_VIEW;
	const char *name;

	for (size_t i = 0; (name = requests_verb(i, &needed)); i++)
		if (strcmp(name, verb) == 0)
			break;
	if (!name || role >= needed)
		return 0;
	return cl_error_set(err, -CL_EREFUSED, "you may not: %s needs %s", name,
			    needed == IPC_ADMIN ? "root, or group clusteradm"
						: "root, or group clusterop or clusteradm");
}

/* A node without a cluster has no core; what makes one goes without. `init --force` goes on with one that is there. */
static bool makes_core(const struct ask *ask, int (*run)(struct ask *, struct cl_error *))
{
	return (run == do_init && !ask_option(ask, "force")) || run == do_join;
}

static int dispatch(struct ask *ask, enum ipc_role role, struct cl_error *err)
{
	const Ipc__Request *msg = ask->msg;
	int r;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].verb, msg->verb) != 0)
			continue;
		ask->verb = verbs[i].verb;
		r = requests_may(msg->verb, role, err);
		if (r == 0)
			r = check_operands(msg, verbs[i].min, verbs[i].max, err);
		if (r == 0 && !ask->rq->d->node && !makes_core(ask, verbs[i].run))
			return no_core(err);
		return r == 0 ? verbs[i].run(ask, err) : r;
	}
	return cl_error_set(err, -EINVAL, "clusterd knows no verb '%.30s'", msg->verb);
}

bool requests_reads(const char *verb)
{
	enum ipc_role role;
	const char *name;

	for (size_t i = 0; (name = requests_verb(i, &role)); i++)
		if (strcmp(name, verb) == 0)
			return role == IPC_VIEW;
	return true; /* it changes nothing: it is not known */
}

void requests_take(struct requests *rq, uint64_t client, const struct ipc_who *who,
		   const Ipc__Request *msg)
{
	struct ask ask = { rq, client, "", msg, who };
	struct cl_error err = CL_ERROR_INIT;

	if (!requests_reads(msg->verb))
		audit_begin(rq->d->audit, client, who, msg);
	if (dispatch(&ask, who->role, &err) < 0)
		ipc_fail(rq->d->ipc, client, &err, msg->n_args ? msg->args[0] : "");
}

void requests_gone(struct requests *rq, uint64_t client)
{
	struct node_event event = { .type = NODE_EV_CLIENT_GONE, .client = client };
	struct pending *p = pending_find(rq, client);

	audit_left(rq->d->audit, client);
	if (!p)
		return;
	if (p->founding)
		founding_client_gone(rq->d->founding, client);
	if (p->changes)
		setup_forget(rq->d->setup, p);
	if (!p->follows && rq->d->node)
		daemon_step(rq->d, &event);
	pending_free(p);
}

/* ---- replies of the core ------------------------------------------------------------------------- */

/* The figures of a move: any node answers the same, as the blackout stands in the database. */
static void add_move(struct requests *rq, const struct pending *p, json_t *done)
{
	const struct state_resource *r = state_resource(node_state(rq->d->node), p->object);

	if (r && r->blackout_ms) {
		(void)json_object_set_new(done, "blackout_ms", json_integer(r->blackout_ms));
		(void)json_object_set_new(done, "blackout_source",
					  json_string(r->quick ? "stop to loaded" : "qmp"));
	}
	(void)json_object_set_new(done, "total_ms",
				  json_integer(cl_mono_diff_ms(p->begun, cl_mono_now())));
}

/* Of who has said goodbye and votes as long as its machine is on: nobody is surprised by what follows. */
static bool is_missed(const struct requests *rq, const struct pending *p)
{
	struct node_self self;

	node_get_self(rq->d->node, &self);
	return strcmp(p->verb, "stop node") == 0 && self.quorate && self.can_lose == 0 &&
	       node_state(rq->d->node)->nodes.n > 1;
}

static json_t *done_json(struct requests *rq, const struct pending *p, const struct node_action *a)
{
	char text[512];
	json_t *done;

	(void)snprintf(text, sizeof(text), "%s", a->reply.text);
	if (is_missed(rq, p))
		(void)snprintf(
			text, sizeof(text),
			"%s; the others are no majority without '%s': their VMs pause when its "
			"machine is off, until it is back (to keep it: clusterctl resume %s)",
			a->reply.text, p->object, p->object);
	done = json_pack("{s:s,s:s,s:s}", "verb", p->verb, "object", p->object, "message", text);

	if (done && strcmp(p->verb, "move") == 0)
		add_move(rq, p, done);
	return json_pack("{s:o}", "done", done);
}

void requests_reply(struct requests *rq, const struct node_action *a)
{
	struct pending *p = pending_find(rq, a->reply.client);
	struct ask ask = { rq, a->reply.client, "", NULL, NULL };
	struct cl_error err = CL_ERROR_INIT;

	if (!p || volume_step_replied(rq, p, a) || quorum_after_init(rq, p, a))
		return;
	if (a->reply.more) {
		json_t *line = json_pack("{s:{s:s,s:s}}", "progress", "object", p->object,
					 "message", a->reply.text);
		_cleanup_free_ char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;

		if (text)
			ipc_progress(rq->d->ipc, p->client, text);
		json_decref(line);
		return;
	}
	if (a->reply.code == 0) {
		ask_answer(&ask, done_json(rq, p, a));
	} else {
		(void)cl_error_set(&err, a->reply.code, "%s", a->reply.text);
		(void)cl_error_hint(&err, "%s", a->reply.hint);
		ipc_fail(rq->d->ipc, p->client, &err, p->object);
	}
	pending_free(p);
}

void requests_event(struct requests *rq, const char *json)
{
	struct pending *p;

	LIST_FOREACH(p, &rq->pending, link)
	if (p->follows)
		ipc_progress(rq->d->ipc, p->client, json);
}

int requests_new(struct daemon *d, struct requests **ret)
{
	struct requests *rq = calloc(1, sizeof(*rq));
	int r;

	if (!rq)
		return -ENOMEM;
	rq->d = d;
	LIST_INIT(&rq->pending);
	r = cl_timer_new(d->loop, volume_steps_turn, rq, &rq->turn);
	if (r < 0)
		free(rq);
	else
		*ret = rq;
	return r;
}

void requests_free(struct requests *rq)
{
	if (!rq)
		return;
	while (!LIST_EMPTY(&rq->pending))
		pending_free(LIST_FIRST(&rq->pending));
	cl_source_free(rq->turn);
	free(rq);
}
