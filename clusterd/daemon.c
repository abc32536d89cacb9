/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/daemon.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "clusterd/audit.h"
#include "clusterd/boot.h"
#include "clusterd/certs.h"
#include "clusterd/daemon_do.h"
#include "clusterd/fetch.h"
#include "clusterd/founding.h"
#include "clusterd/join.h"
#include "clusterd/left.h"
#include "clusterd/leave.h"
#include "clusterd/lease_file.h"
#include "clusterd/store_aside.h"
#include "clusterd/timing.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/walltime.h"
#include "proto/ipc.h"
#include "quorum/lease.h"

void daemon_stop(struct daemon *d, int code)
{
	d->exit_code = code;
	cl_loop_stop(d->loop);
}

void daemon_condemn(struct daemon *d, const char *why)
{
	struct cl_error err = CL_ERROR_INIT;

	log_crit("the database is not to be used any more: %s", why);
	left_keep(d);
	if (store_condemn(d->conf.data_directory, why, &err) < 0)
		log_crit("%s", err.msg);
	daemon_stop(d, 1);
}

/* ---- steps -------------------------------------------------------------------------------------- */

static void arm_tick(struct daemon *d)
{
	int64_t ms = node_deadline(d->node);

	if (ms > INT64_MAX / 1000000)
		ms = INT64_MAX / 1000000;
	(void)cl_timer_set(d->tick, (struct cl_mono){ ms * 1000000 });
}

/*
 * What others wait for comes first. What must wait for the disk the core has held back, so the disk may be told after
 * the others: its writer would have the processor before they know. Lines of the event log nobody waits for.
 */
static unsigned turn_of(enum node_action_type type)
{
	switch (type) {
	case NODE_DO_PERSIST:
		return 1;
	case NODE_DO_EVENT:
		return 2;
	default:
		return 0;
	}
}

enum { TURNS = 3 };

static void do_turn(struct daemon *d, unsigned turn)
{
	for (size_t i = 0; i < d->actions.v.n; i++) {
		const struct node_action *a = &d->actions.v.v[i];

		if (turn_of(a->type) != turn)
			continue;
		/* What is sent in a row leaves as one, and before anything that was decided after it. */
		if (a->type != NODE_DO_SEND)
			ring_flush(d->ring);
		daemon_do(d, a);
	}
	ring_flush(d->ring);
}

void daemon_step(struct daemon *d, struct node_event *event)
{
	cl_assert(!d->stepping);
	if (!d->node)
		return;
	d->stepping = true;
	event->now_ms = cl_mono_ms(cl_mono_now());
	event->wall_ms = cl_wall_ms();
	event->heartbeat_until_ms =
		heartbeat_file_read(d->heartbeat_fd, event->now_ms + HEARTBEAT_FRESH_MS);
	node_step(d->node, event, &d->actions);
	for (unsigned turn = 0; turn < TURNS; turn++)
		do_turn(d, turn);
	if (d->actions.no_memory) {
		log_crit("out of memory");
		daemon_stop(d, 1);
	}
	node_actions_clear(&d->actions);
	d->stepping = false;
	arm_tick(d);
	while (d->gone.n) {
		uint64_t client = d->gone.v[--d->gone.n];

		requests_gone(d->requests, client);
	}
}

static void on_tick(void *user)
{
	struct node_event event = { .type = NODE_EV_TICK };

	daemon_step(user, &event);
	left_step(user);
}

/* ---- store --------------------------------------------------------------------------------------- */

static void on_persisted(void *user, uint64_t seq, int64_t took_ms)
{
	struct node_event event = { .type = NODE_EV_PERSISTED, .persisted = seq };

	if (took_ms > 500)
		log_warning("a write to the database took %" PRId64 " ms", took_ms);
	daemon_step(user, &event);
}

static void on_store_failed(void *user, const struct cl_error *why)
{
	struct daemon *d = user;
	struct node_event event = { .type = NODE_EV_STORE_FAILED, .why = why->msg };

	/* What the disk holds now is not known: this process must neither vote nor retry. */
	if (d->node)
		daemon_step(d, &event); /* it says so to the others, and ends */
	else
		log_crit("the database cannot be written: %s", why->msg);
	daemon_stop(d, 1);
}

static const struct store_ops store_ops = { on_persisted, on_store_failed };

/* ---- ring ---------------------------------------------------------------------------------------- */

static void give_view(struct daemon *d)
{
	struct node_view view = { .quorate = d->view.quorate, .ring = d->view.id };
	struct node_event event = { .type = NODE_EV_VIEW, .view = &view };

	for (size_t i = 0; i < d->view.n_members; i++)
		view.members[view.n_members++] = d->view.members[i];
	for (size_t i = 0; i < d->view.n_group; i++)
		view.group[view.n_group++] = d->view.group[i];
	if (!view.n_members) /* no corosync: we are alone */
		view.members[view.n_members++] = d->id;
	daemon_step(d, &event);
}

static void on_view(void *user, const struct ring_view *view)
{
	struct daemon *d = user;

	log_info("view: ring %" PRIu64 ", %s, %zu nodes, %zu with clusterd", view->id >> 8,
		 view->quorate ? "quorate" : "not quorate", view->n_members, view->n_group);
	d->view = *view;
	d->have_view = true;
	if (d->vms_found)
		give_view(d);
}

static void on_message(void *user, uint32_t from, const uint8_t *data, size_t len)
{
	struct daemon *d = user;
	struct node_event event = {
		.type = NODE_EV_MESSAGE,
		.message = { .data = data, .len = len, .from = from },
	};

	if (d->vms_found) /* until then the core may be given nothing else (its rule 5) */
		daemon_step(d, &event);
}

/* ---- making the core ------------------------------------------------------------------------------ */

static uint64_t memory_bytes(const struct conf *conf)
{
	const uint64_t spare = UINT64_C(512) << 20;
	struct sysinfo info;
	uint64_t all;

	if (conf->memory_mib)
		return conf->memory_mib << 20;
	if (sysinfo(&info) < 0)
		return 0;
	all = (uint64_t)info.totalram * info.mem_unit;
	return all > 2 * spare ? all - spare : all / 2;
}

static void find_name(struct daemon *d, const struct ring_facts *facts)
{
	if (*d->conf.node_name)
		(void)snprintf(d->name, sizeof(d->name), "%s", d->conf.node_name);
	else if (*facts->node_name)
		(void)snprintf(d->name, sizeof(d->name), "%s", facts->node_name);
	else if (gethostname(d->name, sizeof(d->name) - 1) < 0 || !*d->name)
		(void)snprintf(d->name, sizeof(d->name), "node%u", d->id);
}

static int core_new(struct daemon *d, const struct boot *boot, struct cl_error *err)
{
	long cpus = d->conf.cpus ? (long)d->conf.cpus : sysconf(_SC_NPROCESSORS_ONLN);
	struct node_config config = {
		.id = d->id,
		.instance = d->image.instance,
		.memory_bytes = memory_bytes(&d->conf),
		.cpus = cpus > 0 ? (uint32_t)cpus : 1,
		.token_ms = boot->token_ms,
		.consensus_ms = boot->consensus_ms,
		.incarnation = boot->incarnation,
		.no_quarantine = d->conf.no_quarantine != 0,
		.seed = d->image.instance * 1000003 + d->id,
	};
	const int64_t now_ms = cl_mono_ms(cl_mono_now());
	struct lease_file kept;
	struct raft_found found;
	int r;

	d->lease_fd = lease_file_open(
		d->conf.run_directory,
		now_ms + STATE_DETACH_MAX_MS, /* of a planned stop, at the longest */
		&kept, err);
	d->heartbeat_fd = d->lease_fd < 0 ? -1 : heartbeat_file_open(d->conf.run_directory, err);
	if (d->lease_fd < 0 || d->heartbeat_fd < 0)
		return err->code;
	config.lease_until_ms = kept.until_ms;
	config.lease_beat_ms = kept.beat_ms;
	r = raft_store_found(&d->image, &found, err);
	if (r < 0) {
		daemon_condemn(d, err->msg);
		return r;
	}
	d->hard = found.hard;
	memcpy(config.uuid, d->image.uuid, sizeof(config.uuid));
	(void)snprintf(config.name, sizeof(config.name), "%s", d->name);
	(void)snprintf(config.storage_address, sizeof(config.storage_address), "%s",
		       d->conf.storage_address);
	(void)snprintf(config.migration_address, sizeof(config.migration_address), "%s",
		       d->conf.migration_address);
	witness_known_found(&d->image.witness, &config.witness_known);
	if (d->image.anew)
		(void)snprintf(config.anew, sizeof(config.anew), "%s", d->image.anew);
	r = node_new(&config, d->image.hard.data ? &found.stored : NULL, now_ms, &d->node, err);
	raft_found_fini(&found);
	if (r == -CL_ECORRUPT)
		daemon_condemn(d, err->msg);
	return r;
}

static void core_begin(struct daemon *d, const struct boot *boot, const struct ring_facts *facts)
{
	struct cl_error err = CL_ERROR_INIT;

	d->id = boot->id;
	find_name(d, facts);
	if (core_new(d, boot, &err) < 0) {
		log_crit("%s", err.msg);
		daemon_stop(d, 1);
		return;
	}
	store_image_fini(&d->image);
	d->image = (struct store_image){ 0 };
	log_notice("node %s (%u), incarnation %" PRIu64, d->name, d->id, boot->incarnation);
	timing_lease(d->timing, lease_length_ms(boot->token_ms, boot->consensus_ms));
	vms_find(d->vms);
}

void daemon_vms_found(struct daemon *d)
{
	struct node_event event = { .type = NODE_EV_STARTED };

	daemon_step(d, &event);
	d->vms_found = true;
	csvd_begin(d->csvd);
	witnessd_begin(d->witnessd);
	if (d->have_view)
		give_view(d);
	founding_core_up(d->founding);
}

static void on_up(void *user)
{
	struct daemon *d = user;
	struct boot boot = { 0 };
	struct ring_facts facts;

	ring_get_facts(d->ring, &facts);
	if (d->node && facts.nodeid != d->id) {
		log_crit("corosync calls this node %u now, it was %u", facts.nodeid, d->id);
		daemon_stop(d, 1);
		return;
	}
	setup_on_ring(d->setup);
	timing_on_ring(d->timing);
	if (d->node)
		return;
	boot.id = facts.nodeid;
	boot.token_ms = facts.token_ms;
	boot.consensus_ms = facts.consensus_ms;
	core_begin(d, &boot, &facts);
}

static const struct ring_ops ring_ops = { on_up, on_view, on_message };

/* ---- IPC, signals ---------------------------------------------------------------------------------- */

static void on_request(void *user, uint64_t client, const struct ipc_who *who,
		       const Ipc__Request *msg)
{
	requests_take(((struct daemon *)user)->requests, client, who, msg);
}

static void on_end(void *user, uint64_t client, const struct cl_error *why)
{
	audit_end(((struct daemon *)user)->audit, client, why);
}

static void on_stranger(void *user, const struct ipc_who *who)
{
	audit_stranger(((struct daemon *)user)->audit, who);
}

/* libqb closes a connection from within a send, too, and a send may be part of an action. */
static void on_gone(void *user, uint64_t client)
{
	struct daemon *d = user;

	if (!d->stepping) {
		requests_gone(d->requests, client);
	} else if (client_vec_push(&d->gone, client) < 0) {
		log_crit("out of memory");
		daemon_stop(d, 1);
	}
}

static const struct ipc_ops ipc_ops = { on_request, on_end, on_stranger, on_gone };

static void on_signal(void *user, int signo)
{
	struct daemon *d = user;
	struct node_event event = { .type = NODE_EV_END };

	log_notice("told to end by signal %d; VMs run on", signo);
	if (!d->vms_found ||
	    d->ending) { /* nothing to say yet; or it takes too long for somebody */
		daemon_stop(d, 0);
		return;
	}
	d->ending = true;
	daemon_step(d, &event);
}

/* ---- life ------------------------------------------------------------------------------------------- */

static int make_directory(const char *path, mode_t mode, struct cl_error *err)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", path);
	return 0;
}

/*
 * A memory that cannot be trusted must not vote. It is kept, and an empty one begun: the node comes back
 * under a new identity, and gets what it had from the others.
 */
static int heal_store(struct daemon *d, struct cl_error *err)
{
	char why[STORE_WHY_MAX], where[PATH_MAX];
	int r;

	(void)snprintf(why, sizeof(why), "%s", err->msg);
	r = store_set_aside(d->conf.data_directory, why, where, sizeof(where), err);
	if (r < 0)
		return r;
	log_crit("the database was set aside in %s: %s; the others are asked for a copy", where,
		 why);
	return store_open(d->conf.data_directory, why, d->loop, &store_ops, d, &d->store, &d->image,
			  err);
}

static int open_store(struct daemon *d, struct cl_error *err)
{
	int r = store_open(d->conf.data_directory, NULL, d->loop, &store_ops, d, &d->store,
			   &d->image, err);

	if (r == -CL_ECORRUPT)
		r = heal_store(d, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < d->image.events.n; i++) {
		struct store_entry *e = &d->image.events.v[i];

		(void)events_add(d->events, e->index, strdup((const char *)e->data.data));
	}
	return 0;
}

static int open_signals(struct daemon *d)
{
	int r = cl_signal_new(d->loop, SIGTERM, on_signal, d, &d->sigterm);

	(void)signal(SIGPIPE, SIG_IGN);
	return r == 0 ? cl_signal_new(d->loop, SIGINT, on_signal, d, &d->sigint) : r;
}

static int open_all(struct daemon *d, struct cl_error *err)
{
	int r;

	d->events = calloc(1, sizeof(*d->events));
	if (!d->events || cl_loop_new(&d->loop) < 0 || requests_new(d, &d->requests) < 0 ||
	    cl_timer_new(d->loop, on_tick, d, &d->tick) < 0 ||
	    cl_timer_new(d->loop, daemon_forget, d, &d->forget_timer) < 0 || open_signals(d) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	r = make_directory(d->conf.data_directory, 0700, err);
	if (r == 0)
		r = make_directory(d->conf.run_directory, 0711, err);
	if (r == 0)
		r = open_store(d, err);
	if (r == 0 && (setup_new(d, &d->setup) < 0 || certs_new(d, &d->certs) < 0 ||
		       join_new(d, &d->join) < 0 || founding_new(d, &d->founding) < 0 ||
		       audit_new(d, &d->audit) < 0 || fetch_new(d, &d->fetch) < 0 ||
		       timing_new(d, &d->timing) < 0))
		r = cl_error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = csvd_new(d, &d->csvd, err);
	if (r == 0)
		r = fencer_new(d, &d->fencer, err);
	if (r == 0)
		r = witnessd_new(d, &d->witnessd, err);
	if (r == 0)
		r = vms_new(d, &d->vms, err);
	if (r == 0)
		r = vms_tell_slice(d->vms, err);
	if (r == 0)
		r = ipc_new(d->loop, IPC_SERVICE, &ipc_ops, d, &d->ipc, err);
	if (r == 0 && ring_new(d->loop, "clusterd", d->image.instance, &ring_ops, d, &d->ring) < 0)
		r = cl_error_set(err, -ENOMEM, "out of memory");
	return r;
}

/* In this boot we were somebody already: VMs may run in that name, so begin without waiting for a
 * corosync that may not come back. */
static int resume(struct daemon *d, struct cl_error *err)
{
	const struct ring_facts none = { 0 };
	struct boot boot;
	int r = boot_read(d->conf.run_directory, &boot, err);

	if (r > 0)
		core_begin(d, &boot, &none);
	return r;
}

static void close_all(struct daemon *d)
{
	ipc_free(d->ipc);
	ring_free(d->ring);
	vms_free(d->vms);
	csvd_free(d->csvd);
	fencer_free(d->fencer);
	witnessd_free(d->witnessd);
	store_close(d->store); /* waits for what was submitted */
	store_image_fini(&d->image);
	fetch_free(d->fetch);
	timing_free(d->timing);
	audit_free(d->audit);
	founding_free(d->founding);
	join_free(d->join);
	setup_free(d->setup);
	certs_free(d->certs);
	requests_free(d->requests);
	node_actions_fini(&d->actions);
	client_vec_fini(&d->gone);
	node_free(d->node);
	cl_closep(&d->lease_fd);
	cl_closep(&d->heartbeat_fd);
	cl_source_free(d->tick);
	cl_source_free(d->forget_timer);
	cl_source_free(d->sigterm);
	cl_source_free(d->sigint);
	if (d->events)
		events_fini(d->events);
	free(d->events);
	cl_loop_free(d->loop);
}

int daemon_run(const struct conf *conf, const char *conf_path)
{
	struct daemon *d = calloc(1, sizeof(*d));
	struct cl_error err = CL_ERROR_INIT;
	bool forget;
	int code;

	cl_assert(d);
	d->conf = *conf;
	d->conf_path = conf_path;
	d->lease_fd = d->heartbeat_fd = -1;
	if (open_all(d, &err) < 0 || resume(d, &err) < 0) {
		log_crit("%s%s%s", err.msg, *err.hint ? "; " : "", err.hint);
		d->exit_code = err.code == -CL_ECORRUPT ? EXIT_DAMAGED : 1;
	} else if (!d->exit_code) {
		cl_loop_run(d->loop);
	}
	code = d->exit_code;
	forget = d->forget;
	close_all(d);
	if (forget)
		leave_forget(&d->conf);
	free(d);
	return code;
}
