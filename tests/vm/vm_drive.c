/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives migration/vm.h by hand, for drills without a cluster: orders come as lines on stdin, events
 * go as lines to stdout. It stands in for clusterd and, with `auto`, for the manager that commits.
 *
 *   vm_drive LAUNCHER CGROUP|- DIR...        DIR a is the first runtime folder, b the second
 *
 *   start    a NAME GEN SPECFILE
 *   incoming a NAME GEN SPECFILE ADDRESS FIRST LAST
 *   adopt    a NAME
 *   scan     a
 *   stop     a NAME GRACE_MS | kill a NAME | pause a NAME MS | cont a NAME | free a NAME
 *   migrate  a NAME ADDRESS PORT [BYTES_PER_S]
 *   switch   a NAME | abort a NAME dead|alive
 *   auto     on | hold | off   (hold: all but the switch) switch, cont of the target and end of the source as a manager does it
 *   quit
 *
 *   <dir> <name> <event> state=.. [port=..] [how=..] [..] text
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clusterd/vm_glue.h"
#include "lib/file.h"
#include "lib/log.h"
#include "migration/vm.h"

#define HOSTS_MAX 4
#define VMS_MAX 32
#define WORDS_MAX 10

struct slot {
	struct vm *vm;
	unsigned host;
	char name[VM_NAME_MAX + 1];
	bool sent, loaded;
	int64_t stop_us;
	struct cl_mono ordered;
};

static struct cl_loop *loop;
static struct vm_host *hosts[HOSTS_MAX];
static unsigned n_hosts;
static struct slot slots[VMS_MAX];
static bool automatic, hold;

static const char *const event_names[] = {
	[VM_EV_STARTED] = "STARTED",
	[VM_EV_ADOPTED] = "ADOPTED",
	[VM_EV_PAUSED] = "PAUSED",
	[VM_EV_RUNNING] = "RUNNING",
	[VM_EV_KILLED] = "KILLED",
	[VM_EV_GONE] = "GONE",
	[VM_EV_FAILED] = "FAILED",
	[VM_EV_NOTE] = "NOTE",
	[VM_EV_MIGRATE_PROGRESS] = "PROGRESS",
	[VM_EV_MIGRATE_SWITCH] = "SWITCH",
	[VM_EV_MIGRATE_SENT] = "SENT",
	[VM_EV_MIGRATE_FAILED] = "MIGRATE_FAILED",
	[VM_EV_MIGRATE_NEED_DEAD] = "NEED_DEAD",
	[VM_EV_LOADED] = "LOADED",
};
static const char *const gone_names[] = { "start-failed", "guest",    "order",
					  "crashed",	  "incoming", "absent" };

static struct slot *find(unsigned host, const char *name)
{
	for (int i = 0; i < VMS_MAX; i++)
		if (slots[i].vm && slots[i].host == host && strcmp(slots[i].name, name) == 0)
			return &slots[i];
	return NULL;
}

static struct slot *other_side(const struct slot *s)
{
	for (int i = 0; i < VMS_MAX; i++)
		if (slots[i].vm && &slots[i] != s && strcmp(slots[i].name, s->name) == 0)
			return &slots[i];
	return NULL;
}

/* ---- the manager ---------------------------------------------------------------------------- */

static void commit_if_both(struct slot *s)
{
	struct slot *o = other_side(s);

	/* Target complete and paused AND source completed and postmigrate: the owner changes. */
	if (o && ((s->sent && o->loaded) || (s->loaded && o->sent)))
		(void)vm_cont(s->loaded ? s->vm : o->vm, NULL);
}

static void on_target_runs(struct slot *s, const struct vm_event *ev)
{
	struct slot *source = other_side(s);

	if (!s->loaded || !source || !source->sent)
		return;
	printf("%c %s MOVED total_ms=%" PRId64 " blackout_us=%" PRId64 "\n", 'a' + (int)s->host,
	       s->name, cl_mono_diff_ms(source->ordered, cl_mono_now()),
	       ev->time_us - source->stop_us);
	s->loaded = false;
	vm_kill(source->vm, "handed over");
}

static void manage(struct slot *s, const struct vm_event *ev)
{
	switch (ev->kind) {
	case VM_EV_MIGRATE_SWITCH:
		if (!hold)
			(void)vm_migrate_switch(s->vm, NULL);
		break;
	case VM_EV_MIGRATE_SENT:
		commit_if_both(s);
		break;
	case VM_EV_LOADED:
		commit_if_both(s);
		break;
	case VM_EV_RUNNING:
	case VM_EV_STARTED:
		on_target_runs(s, ev);
		break;
	default:
		break;
	}
}

/* ---- events --------------------------------------------------------------------------------- */

static void print_event(const struct slot *s, const struct vm_event *ev)
{
	printf("%c %s %s state=%s", 'a' + (int)s->host, s->name, event_names[ev->kind],
	       vm_state_name(ev->state));
	if (ev->port)
		printf(" port=%u", ev->port);
	if (ev->kind == VM_EV_GONE)
		printf(" how=%s", gone_names[ev->gone]);
	if (ev->kind == VM_EV_PAUSED)
		printf(" how=%s", ev->pause == VM_PAUSE_SIGSTOP ? "sigstop" : "stop");
	if (ev->kind == VM_EV_ADOPTED || ev->kind == VM_EV_STARTED)
		printf(" pid=%d gen=%" PRIu64, (int)vm_pid(s->vm), vm_generation(s->vm));
	if (ev->kind == VM_EV_MIGRATE_PROGRESS || ev->kind == VM_EV_MIGRATE_SENT)
		printf(" transferred=%" PRIu64 " passes=%u downtime_ms=%" PRId64,
		       ev->progress.transferred, ev->progress.passes, ev->progress.downtime_ms);
	printf(" %s\n", ev->text);
}

static void on_vm(void *user, struct vm *vm, const struct vm_event *ev)
{
	struct slot *s = user;

	print_event(s, ev);
	if (ev->kind == VM_EV_MIGRATE_SENT) {
		s->sent = true;
		s->stop_us = ev->time_us;
	} else if (ev->kind == VM_EV_LOADED) {
		s->loaded = true;
	}
	if (ev->kind == VM_EV_GONE) {
		vm_free(vm);
		*s = (struct slot){ 0 };
	} else if (automatic) {
		manage(s, ev);
	}
}

/* ---- orders --------------------------------------------------------------------------------- */

static int read_config(const char *name, const char *gen, const char *file, struct vm_config *ret,
		       struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	struct vm_spec spec = { 0 };
	int r = cl_file_read(file, VM_SPEC_TEXT_MAX, &text, NULL, err);

	if (r == 0)
		r = vm_spec_read(&spec, text, file, err);
	if (r == 0)
		r = vm_spec_finish(&spec, err);
	if (r == 0)
		r = vm_glue_config(&spec, name, strtoull(gen, NULL, 10), true, ret, err);
	vm_spec_fini(&spec);
	return r;
}

static struct slot *free_slot(unsigned host, const char *name)
{
	for (int i = 0; i < VMS_MAX; i++)
		if (!slots[i].vm) {
			slots[i] = (struct slot){ .host = host };
			snprintf(slots[i].name, sizeof(slots[i].name), "%s", name);
			return &slots[i];
		}
	return NULL;
}

static int order_start(unsigned host, char **w, int n, struct cl_error *err)
{
	struct vm_start_args args = { .mode = n > 5 ? VM_START_INCOMING : VM_START_RUN };
	struct slot *s = free_slot(host, w[2]);
	struct vm_config config = { 0 };
	int r;

	if (n > 5) {
		args.listen_address = w[5];
		args.port_first = (uint16_t)atoi(w[6]);
		args.port_last = (uint16_t)atoi(w[7]);
	}
	r = s ? read_config(w[2], w[3], w[4], &config, err) : -ENOSPC;
	if (r == 0)
		r = vm_start(hosts[host], &config, &args, on_vm, s, &s->vm, err);
	vm_config_fini(&config);
	return r;
}

static int order_migrate(struct slot *s, char **w, int n, struct cl_error *err)
{
	struct vm_migrate_args args = { .address = w[3],
					.port = (uint16_t)atoi(w[4]),
					.bandwidth = n > 5 ? strtoull(w[5], NULL, 10) : 0 };

	s->ordered = cl_mono_now();
	s->sent = s->loaded = false;
	return vm_migrate(s->vm, &args, err);
}

static int order_vm(struct slot *s, char **w, int n, struct cl_error *err)
{
	if (strcmp(w[0], "stop") == 0 && n == 4)
		return vm_stop(s->vm, atoi(w[3]), err);
	if (strcmp(w[0], "kill") == 0)
		return vm_kill(s->vm, "killed by order"), 0;
	if (strcmp(w[0], "pause") == 0 && n == 4)
		return vm_pause(s->vm, cl_mono_add_ms(cl_mono_now(), atoi(w[3])), "paused by order",
				err);
	if (strcmp(w[0], "cont") == 0)
		return vm_cont(s->vm, err);
	if (strcmp(w[0], "migrate") == 0 && n >= 5)
		return order_migrate(s, w, n, err);
	if (strcmp(w[0], "switch") == 0)
		return vm_migrate_switch(s->vm, err);
	if (strcmp(w[0], "abort") == 0 && n == 4)
		return vm_migrate_abort(s->vm, strcmp(w[3], "dead") == 0, "given up by order", err);
	if (strcmp(w[0], "free") == 0) {
		vm_free(s->vm);
		*s = (struct slot){ 0 };
		return 0;
	}
	return cl_error_set(err, -EINVAL, "unknown order");
}

static void on_scan(void *user, const char *name)
{
	printf("%c %s SCAN\n", *(char *)user, name);
}

static int order(char **w, int n, struct cl_error *err)
{
	unsigned host = n > 1 ? (unsigned)(w[1][0] - 'a') : 0;
	struct slot *s;

	if (strcmp(w[0], "quit") == 0)
		return cl_loop_stop(loop), 0;
	if (strcmp(w[0], "auto") == 0 && n == 2)
		return hold = strcmp(w[1], "hold") == 0, automatic = strcmp(w[1], "off") != 0, 0;
	if (n < 2 || host >= n_hosts)
		return cl_error_set(err, -EINVAL, "no such folder");
	if (strcmp(w[0], "scan") == 0)
		return vm_host_scan(hosts[host], on_scan, w[1], err);
	if (n < 3)
		return cl_error_set(err, -EINVAL, "too few words");
	if ((strcmp(w[0], "start") == 0 && n == 5) || (strcmp(w[0], "incoming") == 0 && n == 8))
		return order_start(host, w, n, err);
	if (strcmp(w[0], "adopt") == 0) {
		s = free_slot(host, w[2]);
		return s ? vm_adopt(hosts[host], w[2], on_vm, s, &s->vm, err) : -ENOSPC;
	}
	s = find(host, w[2]);
	if (!s && strcmp(w[0], "kill") == 0)
		return 0; /* it was quicker */
	return s ? order_vm(s, w, n, err) : cl_error_set(err, -ENOENT, "no vm '%s'", w[2]);
}

static void on_line(char *line)
{
	struct cl_error err = CL_ERROR_INIT;
	char *w[WORDS_MAX] = { 0 }, *save = NULL;
	int n = 0;

	for (char *p = strtok_r(line, " ", &save); p && n < WORDS_MAX;
	     p = strtok_r(NULL, " ", &save))
		w[n++] = p;
	if (n && order(w, n, &err) < 0)
		printf("%s REFUSED %s\n", n > 1 ? w[1] : "-", err.msg);
}

static void on_stdin(void *user, int fd, uint32_t revents)
{
	static char buf[4096];
	static size_t len;
	ssize_t r = read(fd, buf + len, sizeof(buf) - 1 - len);
	char *nl;

	(void)user;
	(void)revents;
	if (r <= 0) {
		cl_loop_stop(loop);
		return;
	}
	len += (size_t)r;
	buf[len] = '\0';
	while ((nl = memchr(buf, '\n', len))) {
		*nl = '\0';
		on_line(buf);
		len -= (size_t)(nl + 1 - buf);
		memmove(buf, nl + 1, len + 1);
	}
}

int main(int argc, char **argv)
{
	struct cl_error err = CL_ERROR_INIT;
	struct cl_source *in;

	cl_log_init("vm_drive", getenv("VM_DRIVE_DEBUG") ? CL_LOG_DEBUG : CL_LOG_INFO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc < 4 || argc > 3 + HOSTS_MAX || cl_loop_new(&loop) < 0) {
		fprintf(stderr, "usage: vm_drive LAUNCHER CGROUP|- DIR...\n");
		return 2;
	}
	for (int i = 3; i < argc; i++) {
		char cgroup[512];
		struct vm_host_config config = {
			.run_dir = argv[i], .launcher = argv[1], .uid = 65534, .gid = 65534
		};

		snprintf(cgroup, sizeof(cgroup), "%s-%c", argv[2], 'a' + i - 3);
		config.cgroup = strcmp(argv[2], "-") == 0 ? NULL : cgroup;
		if (vm_host_new(loop, &config, &hosts[n_hosts++], &err) < 0) {
			fprintf(stderr, "vm_drive: %s\n", err.msg);
			return 1;
		}
	}
	if (cl_fd_new(loop, 0, POLLIN, on_stdin, NULL, &in) < 0)
		return 1;
	printf("READY\n");
	cl_loop_run(loop);
	for (int i = 0; i < VMS_MAX; i++)
		vm_free(slots[i].vm); /* the QEMUs live on */
	for (unsigned i = 0; i < n_hosts; i++)
		vm_host_free(hosts[i]);
	cl_source_free(in);
	cl_loop_free(loop);
	return 0;
}
