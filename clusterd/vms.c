/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/vms.h"

#include <grp.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/feeder_slice.h"
#include "clusterd/vm_fill.h"
#include "clusterd/vms_int.h"
#include "lib/assert.h"
#include "lib/file.h"
#include "lib/log.h"

#define SHUTDOWN_MS 60000
/* From the order to confirmed or killed: the lease leaves one second (docs/timing). */
#define PAUSE_MS 800
/* How often csvd is told to end the requests of a VM that is being killed: each of its threads that
 * leaves a request may make another one on its way out (the flush of a file that it closes). */
#define FAIL_AGAIN_MS 250
/* A target that waits for a saved state; the number that it is for. */
#define QUICK_URI "quick:"
#define PORT_FIRST 7420
#define PORT_LAST 7499

/* ---- the end of a VM -------------------------------------------------------------------------------- */

static void cleanup_go_on(struct vms *vms);

void slot_free(struct slot *s)
{
	LIST_REMOVE(s, link);
	vm_free(s->vm);
	cl_source_free(s->again);
	cl_source_free(s->adopt_again);
	free(s);
}

/*
 * STOPPED means: no process, and no request of it in csvd any more. Without the second half a write
 * that waits in csvd could reach the disk after the next owner has begun.
 */
static void slot_check_end(struct slot *s)
{
	struct vms *vms = s->vms;

	if (!s->gone || (s->on_volumes && !s->requests_done))
		return;
	report_stopped(vms, s->name, s->generation, s->failed, s->why);
	slot_free(s);
	cleanup_go_on(vms);
}

static void fail_requests(struct slot *s)
{
	if (!s->on_volumes)
		return;
	csvd_fail_requests(s->vms->d->csvd, s->name, s->generation);
	(void)cl_timer_set_in(s->again, FAIL_AGAIN_MS);
}

static void on_fail_again(void *user)
{
	fail_requests(user);
}

static void slot_gone(struct slot *s, const struct vm_event *e)
{
	s->gone = true;
	s->failed = !s->ordered;
	slot_found_ending(s);
	if (e->gone == VM_GONE_GUEST && !*e->text)
		(void)strcpy(s->why, "the guest powered itself off");
	else
		(void)snprintf(s->why, sizeof(s->why), "%s", e->text);
	vm_free(s->vm);
	s->vm = NULL;
	fail_requests(s);
	slot_check_end(s);
}

void vms_requests_failed(struct vms *vms, const char *name, uint64_t generation)
{
	struct slot *s, *next;

	for (s = LIST_FIRST(&vms->slots); s; s = next) {
		next = LIST_NEXT(s, link);
		/* While the process lives it may ask again: only an answer after its end counts. */
		if (strcmp(s->name, name) != 0 || s->generation > generation || !s->gone)
			continue;
		s->requests_done = true;
		slot_check_end(s);
	}
}

/*
 * Its own end, not an order: it is started anew, on another node if there is one. Without that it would
 * stand, tried again and again over descriptors of which none will ever work.
 */
void vms_handles_lost(struct vms *vms, uint64_t before_ms, const char *why)
{
	char text[STATE_REASON_MAX];
	struct slot *s;

	if (!before_ms)
		return; /* an older csvd */
	(void)snprintf(text, sizeof(text), "its open disks are lost: %s", why);
	LIST_FOREACH(s, &vms->slots, link)
	{
		if (!s->vm || !s->on_volumes || (uint64_t)vm_began_ms(s->vm) > before_ms)
			continue;
		log_warning("vm %s: %s", s->name, text);
		vm_kill(s->vm, text);
	}
}

/* ---- events of the driver ----------------------------------------------------------------------------- */

/* Only what was seen to run is told to run: a guest that stands for want of a lease, taken for a
 * running one, would never be continued. */
static void report_move_failed(struct slot *s, enum vm_state state, const char *why)
{
	struct report *r = report_new(s->vms, NODE_VM_MIGRATE_FAILED, s->name, s->generation, why);

	if (r)
		r->stands = state != VM_RUNNING;
}

static void on_started(struct slot *s, const struct vm_event *e)
{
	char uri[STATE_URL_MAX];

	if (!s->incoming) {
		report_slot(s, NODE_VM_STARTED, "");
		return;
	}
	if (s->quick)
		(void)snprintf(uri, sizeof(uri), QUICK_URI "%" PRIu64, s->generation);
	else
		(void)snprintf(uri, sizeof(uri), "%s:%s:%u",
			       *vms_tls_directory(s->vms) ? "tls" : "tcp",
			       s->vms->d->conf.migration_address, e->port);
	report_slot(s, NODE_VM_INCOMING, uri);
}

void vms_on_vm(void *user, struct vm *vm, const struct vm_event *e)
{
	struct slot *s = user;

	s->vm = vm;
	switch (e->kind) {
	case VM_EV_STARTED:
		on_started(s, e);
		break;
	case VM_EV_ADOPTED:
		slot_adopted(s, e);
		slot_adopting_ended(s);
		break;
	case VM_EV_PAUSED:
		report_paused(s, e);
		break;
	case VM_EV_RUNNING:
		report_slot(s, NODE_VM_CONTINUED, "");
		break;
	case VM_EV_KILLED:
		/* A QEMU that waits in FUSE does not end before its requests are answered. */
		slot_found_ending(s);
		fail_requests(s);
		break;
	case VM_EV_GONE:
		slot_gone(s, e);
		break;
	case VM_EV_FAILED:
		/* It was to be continued, and stands. */
		log_warning("vm %s: cannot be continued: %s", s->name, e->text);
		report_slot(s, NODE_VM_PAUSED, e->text);
		break;
	case VM_EV_SILENT:
		report_slot(s, NODE_VM_SILENT, e->text);
		break;
	case VM_EV_ANSWERS:
		report_slot(s, NODE_VM_ANSWERS, "");
		break;
	case VM_EV_NOTE:
		log_notice("vm %s: %s", s->name, e->text);
		break;
	case VM_EV_MIGRATE_PROGRESS:
		report_progress(s, NODE_VM_PROGRESS, e);
		break;
	case VM_EV_MIGRATE_SWITCH:
		report_progress(s, NODE_VM_PRE_SWITCHOVER, e);
		break;
	case VM_EV_MIGRATE_SENT:
		report_progress(s, NODE_VM_SOURCE_DONE, e);
		break;
	case VM_EV_MIGRATE_FAILED:
		report_move_failed(s, e->state, e->text);
		break;
	case VM_EV_MIGRATE_NEED_DEAD:
		/* The core aborts by killing the target first; its CANCEL then brings the proof. */
		report_slot(s, NODE_VM_MIGRATE_STUCK, e->text);
		break;
	case VM_EV_LOADED:
		report_slot(s, NODE_VM_TARGET_DONE, "");
		break;
	}
}

/* ---- orders --------------------------------------------------------------------------------------------- */

static struct slot *slot_of_name(struct vms *vms, const char *name)
{
	struct slot *s;

	LIST_FOREACH(s, &vms->slots, link)
	if (strcmp(s->name, name) == 0)
		return s;
	return NULL;
}

/* There may be two of a name: one that lives, and one of another generation, whose requests end. */
static struct slot *slot_find(struct vms *vms, const char *name, uint64_t generation)
{
	struct slot *s;

	LIST_FOREACH(s, &vms->slots, link)
	if (s->generation == generation && strcmp(s->name, name) == 0)
		return s;
	return NULL;
}

struct slot *slot_new(struct vms *vms, const char *name, uint64_t generation)
{
	struct slot *s = calloc(1, sizeof(*s));

	if (!s || cl_timer_new(vms->d->loop, on_fail_again, s, &s->again) < 0) {
		free(s);
		return NULL;
	}
	s->vms = vms;
	s->generation = generation;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	LIST_INSERT_HEAD(&vms->slots, s, link);
	return s;
}

static int start_checked(struct slot *s, const struct node_action *a, struct cl_error *err)
{
	struct vms *vms = s->vms;
	const struct vm_start_args args = {
		.mode = s->quick      ? VM_START_RESTORE
			: s->incoming ? VM_START_INCOMING
				      : VM_START_RUN,
		.listen_address = vms->d->conf.migration_address,
		.port_first = PORT_FIRST,
		.port_last = PORT_LAST,
		.tls_directory = vms_tls_directory(vms),
	};
	_cleanup_(vm_config_fini) struct vm_config config = { 0 };
	int r = vm_fill_config(a, &vms->d->conf, &config, err);

	if (r < 0)
		return r;
	return vm_start(vms->host, &config, &args, vms_on_vm, s, &s->vm, err);
}

static void do_start(struct vms *vms, const struct node_action *a, bool incoming)
{
	struct cl_error err = CL_ERROR_INIT;
	struct slot *s = slot_of_name(vms, a->vm.name);

	if (s) {
		(void)cl_error_set(&err, -EEXIST, "generation %" PRIu64 " is still here",
				   s->generation);
	} else {
		s = slot_new(vms, a->vm.name, a->vm.generation);
		cl_assert(s);
		s->incoming = incoming;
		s->quick = incoming && strcmp(a->vm.text, "quick") == 0;
		s->on_volumes = vm_fill_on_volumes(a, &vms->d->conf);
		if (start_checked(s, a, &err) == 0)
			return;
		slot_free(s);
	}
	log_error("vm %s cannot be started: %s", a->vm.name, err.msg);
	report_stopped(vms, a->vm.name, a->vm.generation, true, err.msg);
}

static int migrate(struct slot *s, const char *uri, struct cl_error *err)
{
	struct vm_migrate_args args = { 0 };
	const char *colon = strrchr(uri, ':');
	char address[STATE_URL_MAX];
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	if (strncmp(uri, QUICK_URI, strlen(QUICK_URI)) == 0)
		return vm_save(s->vm, strtoull(uri + strlen(QUICK_URI), NULL, 10), err);
	if ((strncmp(uri, "tcp:", 4) != 0 && strncmp(uri, "tls:", 4) != 0) || !colon ||
	    colon < uri + 4 || port < 1 || port > 65535)
		return cl_error_set(err, -EINVAL, "'%.100s' is no address to migrate to", uri);
	(void)snprintf(address, sizeof(address), "%.*s", (int)(colon - uri - 4), uri + 4);
	args.address = address;
	args.port = (uint16_t)port;
	if (strncmp(uri, "tls:", 4) == 0 && vms_tls_target(s, &args, err) < 0)
		return err->code;
	return vm_migrate(s->vm, &args, err);
}

static void do_kill(struct slot *s)
{
	s->ordered = true;
	vm_kill(s->vm, "ordered by the cluster");
}

static void order_failed(struct slot *s, const struct node_action *a, const struct cl_error *err)
{
	log_warning("vm %s: %s", s->name, err->msg);
	switch (a->vm.what) {
	case NODE_VM_MIGRATE:
	case NODE_VM_SWITCH:
	case NODE_VM_MIGRATE_CANCEL:
		report_move_failed(s, vm_state(s->vm), err->msg);
		break;
	case NODE_VM_LOAD: /* of no use to anybody */
	case NODE_VM_PAUSE:
	case NODE_VM_SHUTDOWN:
		do_kill(s); /* it has to stand still: by the order, or so */
		break;
	default:
		break;
	}
}

/*
 * The core orders it after the target is proven dead. A source that has handed everything over stands
 * in postmigrate and holds the whole state: it is continued. One that failed by itself runs already.
 */
static int run_here_again(struct slot *s, struct cl_error *err)
{
	if (vm_state(s->vm) == VM_SENT)
		return vm_cont(s->vm, err);
	if (!vm_is_migrating(s->vm))
		return 0;
	return vm_migrate_abort(s->vm, true, "the migration is given up", err);
}

static int order_slot(struct slot *s, const struct node_action *a, struct cl_error *err)
{
	switch (a->vm.what) {
	case NODE_VM_SHUTDOWN:
		s->ordered = true;
		return vm_stop(s->vm, SHUTDOWN_MS, err);
	case NODE_VM_KILL:
		do_kill(s);
		return 0;
	case NODE_VM_PAUSE:
		return vm_pause(s->vm, cl_mono_add_ms(cl_mono_now(), PAUSE_MS),
				*a->vm.text ? a->vm.text : "ordered by the cluster", err);
	case NODE_VM_STAND:
		return vm_stand(s->vm, a->vm.text, err);
	case NODE_VM_CONT:
		return vm_cont(s->vm, err);
	case NODE_VM_MIGRATE:
		return migrate(s, a->vm.text, err);
	case NODE_VM_LOAD:
		return vm_load(s->vm, strtoull(a->vm.text, NULL, 10), err);
	case NODE_VM_SWITCH:
		return vm_migrate_switch(s->vm, err);
	case NODE_VM_MIGRATE_CANCEL:
		return run_here_again(s, err);
	default:
		return 0;
	}
}

/*
 * There is no process of this generation (any more; it may have gone with an earlier clusterd, or one
 * of another generation is here). STOPPED at once would let a write of it that csvd still holds reach
 * the disk after the next owner's: what csvd holds of it ends first.
 */
static void end_requests(struct vms *vms, const struct node_action *a)
{
	struct slot *s = slot_new(vms, a->vm.name, a->vm.generation);

	if (!s) {
		daemon_stop(vms->d, 1);
		return;
	}
	s->gone = true;
	s->on_volumes = node_state(vms->d->node)->volumes.n > 0;
	if (s->on_volumes)
		csvd_fail_requests(vms->d->csvd, s->name, s->generation);
	else
		slot_check_end(s);
}

void vms_order(struct vms *vms, const struct node_action *a)
{
	struct slot *s = slot_find(vms, a->vm.name, a->vm.generation);
	struct cl_error err = CL_ERROR_INIT;

	if (a->vm.what == NODE_VM_START || a->vm.what == NODE_VM_START_INCOMING) {
		do_start(vms, a, a->vm.what == NODE_VM_START_INCOMING);
		return;
	}
	if (!s && (a->vm.what == NODE_VM_KILL || a->vm.what == NODE_VM_SHUTDOWN))
		end_requests(vms, a);
	if (!s || !s->vm || s->adopting)
		return; /* not here, going already, or not known yet: its report follows */
	if (order_slot(s, a, &err) < 0)
		order_failed(s, a, &err);
}

/* ---- cleanup --------------------------------------------------------------------------------------------- */

static bool has_volumes(const struct vms *vms)
{
	return csvd_connected(vms->d->csvd) || node_state(vms->d->node)->volumes.n > 0;
}

static void cleaned(struct vms *vms)
{
	struct node_event event = { .type = NODE_EV_CLEANED, .incarnation = vms->cleanup };

	vms->cleaning = vms->cleanup_closing = false;
	daemon_step(vms->d, &event);
}

static void on_cleanup(struct vms *vms)
{
	vms->cleanup_closing = true;
	csvd_close_sessions(vms->d->csvd, vms->cleanup);
}

static void cleanup_go_on(struct vms *vms)
{
	if (vms->cleaning && LIST_EMPTY(&vms->slots) && !vms->cleanup_closing)
		(void)cl_timer_set_in(vms->drain, 0);
}

void vms_sessions_closed(struct vms *vms, uint64_t incarnation)
{
	if (vms->cleaning && vms->cleanup_closing && incarnation >= vms->cleanup)
		cleaned(vms);
}

void vms_cleanup(struct vms *vms, uint64_t incarnation)
{
	struct slot *s;

	vms->cleanup = incarnation;
	vms->cleaning = true;
	vms->cleanup_closing = false;
	LIST_FOREACH(s, &vms->slots, link)
	if (s->vm)
		do_kill(s);
	cleanup_go_on(vms);
}

/* ---- life --------------------------------------------------------------------------------------------------- */

static void on_drain_all(void *user)
{
	struct vms *vms = user;

	reports_give(vms);
	if (!vms->cleaning || !LIST_EMPTY(&vms->slots) || vms->cleanup_closing || vms->reports.n)
		return;
	if (has_volumes(vms))
		on_cleanup(vms);
	else
		cleaned(vms);
}

static int find_user(const struct conf *conf, struct vm_host_config *ret, struct cl_error *err)
{
	struct passwd *pw;

	if (!*conf->vm_user)
		return 0;
	pw = getpwnam(conf->vm_user);
	if (!pw)
		return cl_error_set(err, -EINVAL, "vm_user: there is no user '%s'", conf->vm_user);
	ret->uid = pw->pw_uid;
	ret->gid = pw->pw_gid;
	return 0;
}

int vms_new(struct daemon *d, struct vms **ret, struct cl_error *err)
{
	struct vms *vms = calloc(1, sizeof(*vms));
	struct vm_host_config config = { .bridge = d->conf.vm_bridge };
	char run[100];
	int r;

	if (!vms || cl_timer_new(d->loop, on_drain_all, vms, &vms->drain) < 0) {
		free(vms);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	vms->d = d;
	LIST_INIT(&vms->slots);
	(void)snprintf(run, sizeof(run), "%s/vm", d->conf.run_directory);
	config.run_dir = run;
	r = find_user(&d->conf, &config, err);
	if (r == 0)
		r = vm_host_new(d->loop, &config, &vms->host, err);
	if (r < 0) {
		vms_free(vms);
		return r;
	}
	*ret = vms;
	return 0;
}

int vms_tell_slice(const struct vms *vms, struct cl_error *err)
{
	const char *cgroup = vm_host_cgroup(vms->host);
	char path[128], text[PATH_MAX + 2];

	if (!cgroup)
		log_warning(
			"no cgroup version 2: the watchdog feeder cannot freeze virtual machines");
	(void)snprintf(path, sizeof(path), "%s/" FEEDER_SLICE_FILE, vms->d->conf.run_directory);
	(void)snprintf(text, sizeof(text), "%s\n", cgroup ? cgroup : "");
	return cl_file_write(path, text, 0644, err);
}

void vms_free(struct vms *vms)
{
	if (!vms)
		return;
	while (!LIST_EMPTY(&vms->slots))
		slot_free(LIST_FIRST(&vms->slots));
	vm_host_free(vms->host);
	cl_source_free(vms->drain);
	report_vec_fini(&vms->reports);
	free(vms);
}
