/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of a VM: launch, control socket, end. The states' picture stands in vm.h.
 */
#include "config.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/assert.h"
#include "lib/file.h"
#include "lib/log.h"
#include "migration/cgroup.h"
#include "migration/proc.h"
#include "migration/vm_private.h"

#define HANGUP_MS 5000 /* between the end of the control socket and the end of the process */

#define TO(x) SM_TO(VM_##x)
#define ENDS (TO(KILLING) | TO(GONE))

static const struct sm_state vm_states[] = {
	[VM_STARTING] = { "starting", TO(RUNNING) | TO(PAUSED) | TO(INCOMING) | ENDS, SM_INITIAL },
	[VM_ADOPTING] = { "adopting",
			  TO(RUNNING) | TO(PAUSED) | TO(INCOMING) | TO(LOADED) | TO(SENT) | ENDS,
			  SM_INITIAL },
	[VM_RUNNING] = { "running", TO(PAUSED) | TO(SENT) | TO(STOPPING) | ENDS, 0 },
	[VM_PAUSED] = { "paused", TO(RUNNING) | TO(SENT) | TO(STOPPING) | ENDS, 0 },
	[VM_INCOMING] = { "incoming", TO(LOADED) | ENDS, 0 },
	[VM_LOADED] = { "loaded", TO(RUNNING) | TO(PAUSED) | ENDS, 0 },
	[VM_SENT] = { "sent", TO(RUNNING) | TO(PAUSED) | ENDS, 0 },
	[VM_STOPPING] = { "stopping", ENDS, 0 },
	[VM_KILLING] = { "killing", TO(GONE), 0 },
	[VM_GONE] = { "gone", 0, SM_FINAL },
};

const char *vm_state_name(enum vm_state state)
{
	return vm_states[state].name;
}

enum vm_state vm_state(const struct vm *vm)
{
	return (enum vm_state)vm->sm.state;
}

const char *vm_name(const struct vm *vm)
{
	return vm->sm.id;
}

uint64_t vm_generation(const struct vm *vm)
{
	return vm->config.generation;
}

pid_t vm_pid(const struct vm *vm)
{
	return vm->pid;
}

const char *vm_reason(const struct vm *vm)
{
	return vm->reason;
}

void vm_set_state(struct vm *vm, enum vm_state state, const char *why)
{
	if (vm_state(vm) != state)
		sm_move(&vm->sm, (int)state, why);
}

void vm_set_reason(struct vm *vm, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(vm->reason, sizeof(vm->reason), fmt, ap);
	va_end(ap);
}

int vm_refuse(const struct vm *vm, struct cl_error *err, const char *what)
{
	return cl_error_set(err, -CL_EREFUSED, "vm '%s' is %s: cannot %s", vm_name(vm),
			    sm_name(&vm->sm), what);
}

/* ---- events --------------------------------------------------------------------------------- */

bool vm_tell_event(struct vm *vm, struct vm_event event)
{
	bool freed = false, *outer = vm->freed;

	if (!event.text)
		event.text = "";
	vm->freed = &freed;
	vm->fn(vm->user, vm, &event);
	if (!freed)
		vm->freed = outer;
	else if (outer)
		*outer = true;
	return freed;
}

bool vm_tell(struct vm *vm, enum vm_event_kind kind, const char *text)
{
	return vm_tell_event(vm, (struct vm_event){ .kind = kind,
						    .state = vm_state(vm),
						    .progress = vm->mig.progress,
						    .text = text });
}

static void on_later(void *user)
{
	struct vm *vm = user;

	while (vm->later.n) {
		struct vm_event event = vm->later.v[0];

		vm_event_vec_remove(&vm->later, 0);
		event.text = event.kind == VM_EV_MIGRATE_NEED_DEAD ? vm->mig.error : vm->reason;
		if (vm_tell_event(vm, event))
			return;
	}
}

void vm_tell_later(struct vm *vm, enum vm_event_kind kind)
{
	struct vm_event event = { .kind = kind, .state = vm_state(vm) };

	if (kind == VM_EV_GONE)
		event.gone = VM_GONE_ABSENT;
	/* One turn later at most one event per order waits here: memory for it is all there is. */
	if (vm_event_vec_push(&vm->later, event) < 0)
		log_error("vm '%s': out of memory: an event is lost", vm_name(vm));
	cl_timer_set_in(vm->later_timer, 0);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* The last line that QEMU wrote on stderr: it says there why it ended, and nowhere else. */
static void last_words(const struct vm *vm, char *buf, size_t size)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	char *line;
	size_t len;

	buf[0] = '\0';
	if (asprintf(&path, "%s/qemu.log", vm->dir) < 0 ||
	    cl_file_read(path, 16 << 20, &text, &len, NULL) < 0)
		return;
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	line = strrchr(text, '\n');
	snprintf(buf, size, "%s", line ? line + 1 : text);
}

static enum vm_gone_how gone_how(const struct vm *vm, enum vm_state before)
{
	if (vm->ordered_gone)
		return VM_GONE_ORDER;
	if (before == VM_STARTING)
		return VM_GONE_START_FAILED;
	if (before == VM_INCOMING || before == VM_LOADED)
		return VM_GONE_INCOMING;
	return vm->guest_off ? VM_GONE_GUEST : VM_GONE_CRASHED;
}

static void say_end(const struct vm *vm, int status, char *text, size_t size)
{
	if (vm->status_len)
		snprintf(text, size, "%s", vm->status_line);
	else if (vm->reason[0] && vm->ordered_gone)
		snprintf(text, size, "%s", vm->reason);
	else
		last_words(vm, text, size);
	if (!text[0] && status >= 0 && WIFSIGNALED(status))
		snprintf(text, size, "qemu was killed by signal %d", WTERMSIG(status));
	else if (!text[0] && status >= 0 && WEXITSTATUS(status))
		snprintf(text, size, "qemu exited with status %d", WEXITSTATUS(status));
}

static void on_process_end(void *user, int status)
{
	struct vm *vm = user;
	struct vm_event event = { .kind = VM_EV_GONE, .state = VM_GONE };
	char text[512];

	event.gone = gone_how(vm, vm_state(vm));
	say_end(vm, status, text, sizeof(text));
	event.text = text;
	vm_set_state(vm, VM_GONE, "the process has ended");
	vm_pause_fini(vm);
	vm_heartbeat_fini(vm);
	vm_migration_fini(vm);
	vm_quick_fini(vm);
	qmp_free(cl_steal(vm->qmp));
	cl_source_free(cl_steal(vm->grace));
	cl_timer_cancel(vm->later_timer);
	vm->later.n = 0;
	launch_clean(vm->dir);
	if (vm->cgroup)
		(void)cgroup_remove(vm->cgroup);
	(void)vm_tell_event(vm, event);
}

int64_t vm_began_ms(const struct vm *vm)
{
	uint64_t ticks;

	if (vm->pid <= 0 || proc_start_time(vm->pid, &ticks) < 0)
		return 0;
	return (int64_t)(ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK));
}

void vm_kill(struct vm *vm, const char *why)
{
	if (vm_state(vm) == VM_GONE)
		return;
	if (!vm->ordered_gone && why)
		vm_set_reason(vm, "%s", why);
	vm->ordered_gone = true;
	vm_set_state(vm, VM_KILLING, "ordered to be killed");
	vm_pause_fini(vm);
	vm_heartbeat_fini(vm);
	vm_migration_fini(vm);
	vm_quick_fini(vm);
	/* The cgroup first: nothing that QEMU started may go on after it. */
	if (vm->cgroup)
		(void)cgroup_kill(vm->cgroup);
	if (vm->pidfd >= 0)
		(void)proc_signal(vm->pidfd, SIGKILL);
	if (!vm->killed_told)
		vm_tell_later(vm, VM_EV_KILLED);
	vm->killed_told = true;
}

static void on_grace_over(void *user)
{
	struct vm *vm = user;

	vm_kill(vm, NULL);
}

static int arm_grace(struct vm *vm, int64_t ms)
{
	int r = 0;

	if (!vm->grace)
		r = cl_timer_new(vm->host->loop, on_grace_over, vm, &vm->grace);
	return r < 0 ? r : cl_timer_set_in(vm->grace, ms);
}

int vm_stop(struct vm *vm, int64_t grace_ms, struct cl_error *err)
{
	enum vm_state state = vm_state(vm);

	if (state == VM_KILLING || state == VM_GONE)
		return vm_refuse(vm, err, "stop it");
	vm_set_reason(vm, "stopped by order");
	/* A guest that does not execute cannot power itself off. */
	if ((state != VM_RUNNING && state != VM_STOPPING) || grace_ms <= 0 || vm->mig.active ||
	    vm->quick.active) {
		vm_kill(vm, NULL);
		return 0;
	}
	if (arm_grace(vm, grace_ms) < 0) {
		vm_kill(vm, NULL);
		return 0;
	}
	vm->ordered_gone = true;
	if (state == VM_RUNNING) {
		vm_set_state(vm, VM_STOPPING, "ordered to stop");
		(void)vm_qmp(vm, "system_powerdown", NULL, NULL);
	}
	return 0;
}

/* ---- control socket ------------------------------------------------------------------------- */

int vm_qmp(struct vm *vm, const char *command, json_t *args, qmp_reply_fn fn)
{
	if (!vm->qmp) {
		json_decref(args);
		return -ENOTCONN;
	}
	return qmp_exec(vm->qmp, command, args, VM_QMP_TIMEOUT_MS, fn, vm);
}

static void on_ready(void *user)
{
	struct vm *vm = user;

	if (vm_state(vm) == VM_ADOPTING)
		vm_adopt_ready(vm);
	else if (vm_state(vm) == VM_STARTING && vm->quick.restoring)
		vm_restore_prepare(vm);
	else if (vm_state(vm) == VM_STARTING && vm->incoming)
		vm_incoming_prepare(vm);
	else if (vm_state(vm) == VM_STARTING)
		vm_first_cont(vm);
}

/* Stopped, and not by our order: QEMU's run state says why. */
bool vm_on_status(struct vm *vm, const char *status)
{
	enum mig_run run = mig_run_of(status);

	if (vm_state(vm) != VM_RUNNING || vm->pausing || vm->quick.active ||
	    run == MIG_RUN_RUNNING || run == MIG_RUN_FINISH_MIGRATE || run == MIG_RUN_POSTMIGRATE ||
	    strcmp(status, "shutdown") == 0)
		return false;
	if (!vm->reason[0])
		vm_set_reason(vm, "%s", status);
	vm_set_state(vm, VM_PAUSED, "qemu stopped the guest");
	return vm_tell_event(vm, (struct vm_event){ .kind = VM_EV_PAUSED,
						    .state = VM_PAUSED,
						    .stop = vm->stop_why,
						    .disk = vm->stop_disk,
						    .text = vm->reason });
}

static void on_stopped_status(void *user, const json_t *result, const struct cl_error *err)
{
	const char *status = json_string_value(json_object_get(result, "status"));

	if (!err && status)
		(void)vm_on_status(user, status);
}

void vm_ask_status(struct vm *vm)
{
	(void)vm_qmp(vm, "query-status", NULL, on_stopped_status);
}

/* Which disk: argv.c names the nodes disk0, grow0, file0, disk1, ... in the specification's order. */
static const char *disk_of(const struct vm *vm, const json_t *data)
{
	const char *node = json_string_value(json_object_get(data, "node-name"));
	size_t digits = node ? strcspn(node, "0123456789") : 0;
	char *end = NULL;
	unsigned long i = node ? strtoul(node + digits, &end, 10) : 0;

	if (!node || !digits || end == node + digits || *end || i >= vm->config.n_disks)
		return NULL;
	return vm->config.disks[i].path;
}

static void on_block_error(struct vm *vm, const json_t *data)
{
	bool nospace = json_is_true(json_object_get(data, "nospace"));
	const char *reason = json_string_value(json_object_get(data, "reason"));

	vm->stop_why = nospace ? VM_STOP_NO_SPACE : VM_STOP_IO_ERROR;
	vm->stop_disk = disk_of(vm, data);
	vm_set_reason(vm, "I/O error%s%s: %s", vm->stop_disk ? " on " : "",
		      vm->stop_disk ? vm->stop_disk : "",
		      nospace  ? "no space left"
		      : reason ? reason
			       : "no reason given");
}

static void on_shutdown(struct vm *vm, const json_t *data)
{
	if (json_is_true(json_object_get(data, "guest")))
		vm->guest_off = true;
}

/* Worth a line, nothing is done about it here. True when the vm is gone. */
static bool on_note(struct vm *vm, const char *name)
{
	static const struct {
		const char *event, *text;
	} notes[] = { { "RESET", "the guest was reset" },
		      { "GUEST_PANICKED", "the guest panicked" },
		      { "WATCHDOG", "the guest's watchdog expired" } };

	for (size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++)
		if (strcmp(name, notes[i].event) == 0)
			return vm_tell(vm, VM_EV_NOTE, notes[i].text);
	return false;
}

static void on_stop_event(struct vm *vm)
{
	if (vm_pause_on_stop(vm) || vm_state(vm) != VM_RUNNING)
		return;
	vm_ask_status(vm);
}

static void on_event(void *user, const char *name, const json_t *data, int64_t time_us)
{
	struct vm *vm = user;

	if (vm_state(vm) == VM_KILLING)
		return;
	if (vm_migration_on_event(vm, name, data, time_us))
		return;
	if (strcmp(name, "RESUME") == 0)
		vm->resume_us = time_us;
	else if (strcmp(name, "STOP") == 0)
		on_stop_event(vm);
	else if (strcmp(name, "BLOCK_IO_ERROR") == 0)
		on_block_error(vm, data);
	else if (strcmp(name, "SHUTDOWN") == 0)
		on_shutdown(vm, data);
	else
		(void)on_note(vm, name);
}

static void on_closed(void *user, const struct cl_error *why)
{
	struct vm *vm = user;

	if (vm_state(vm) == VM_KILLING || vm_state(vm) == VM_GONE)
		return;
	log_debug("vm '%s': %s", vm_name(vm), why->msg);
	/* QEMU closes it when it ends. One that lives on without control is of no use to anybody. */
	if (arm_grace(vm, HANGUP_MS) < 0)
		vm_kill(vm, "the control socket is closed");
}

static const struct qmp_ops qmp_ops = { on_ready, on_event, on_closed };

int vm_connect(struct vm *vm, struct cl_error *err)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/qmp.sock", vm->dir) < 0)
		return cl_error_errno(err, -ENOMEM, "qmp");
	return qmp_open(vm->host->loop, path, &qmp_ops, vm, &vm->qmp, err);
}

/* ---- beginning ------------------------------------------------------------------------------ */

static void vm_close(struct vm *vm)
{
	vm_pause_fini(vm);
	vm_heartbeat_fini(vm);
	vm_migration_fini(vm);
	vm_quick_fini(vm);
	qmp_free(cl_steal(vm->qmp));
	cl_source_free(vm->child);
	cl_source_free(vm->status_io);
	cl_source_free(vm->grace);
	cl_source_free(vm->later_timer);
	cl_closep(&vm->status_fd);
	cl_closep(&vm->pidfd);
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->freed)
		*vm->freed = true;
	vm_close(vm);
	vm_event_vec_fini(&vm->later);
	vm_config_fini(&vm->config);
	free(vm->dir);
	free(vm->cgroup);
	free(vm);
}

int vm_new(struct vm_host *host, const struct vm_config *config, const char *name, int state,
	   vm_event_fn fn, void *user, struct vm **ret, struct cl_error *err)
{
	_cleanup_(vm_freep) struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return cl_error_errno(err, -ENOMEM, "vm '%s'", name);
	*vm = (struct vm){ .host = host, .fn = fn, .user = user, .pidfd = -1, .status_fd = -1 };
	vm->mig.progress.downtime_ms = -1;
	if (vm_config_copy(config, &vm->config) < 0 ||
	    asprintf(&vm->dir, "%s/%s", host->run_dir, name) < 0 ||
	    (host->cgroup && asprintf(&vm->cgroup, "%s/%s", host->cgroup, name) < 0) ||
	    cl_timer_new(host->loop, on_later, vm, &vm->later_timer) < 0)
		return cl_error_errno(err, -ENOMEM, "vm '%s'", name);
	sm_init(&vm->sm, "vm", vm->config.name, vm_states, sizeof(vm_states) / sizeof(*vm_states),
		state, NULL);
	*ret = cl_steal(vm);
	return 0;
}

int vm_watch_process(struct vm *vm, struct cl_error *err)
{
	int fd = fcntl(vm->pidfd, F_DUPFD_CLOEXEC, 3);
	int r = fd < 0 ? -errno : cl_child_new(vm->host->loop, fd, on_process_end, vm, &vm->child);

	return r < 0 ? cl_error_errno(err, r, "cannot watch qemu") : 0;
}

static void on_status(void *user, int fd, uint32_t revents)
{
	struct vm *vm = user;
	ssize_t n = read(fd, vm->status_line + vm->status_len,
			 sizeof(vm->status_line) - 1 - vm->status_len);

	(void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		vm->status_len += (size_t)n;
		vm->status_line[vm->status_len] = '\0';
		vm->status_line[strcspn(vm->status_line, "\n")] = '\0';
		if (vm->status_len < sizeof(vm->status_line) - 1)
			return;
	}
	cl_source_free(cl_steal(vm->status_io));
	cl_closep(&vm->status_fd);
	vm->status_fd = -1;
}

static int run_launcher(struct vm *vm, bool incoming, struct cl_error *err)
{
	struct vm_host *host = vm->host;
	struct launch_args args = { .config = &vm->config,
				    .dir = vm->dir,
				    .launcher = host->launcher,
				    .qemu = host->qemu,
				    .bridge = host->bridge,
				    .cgroup = vm->cgroup,
				    .incoming = incoming,
				    .uid = host->uid,
				    .gid = host->gid };
	struct launch_child child;
	int r = launch(&args, &child, err);

	if (r < 0)
		return r;
	vm->pid = child.pid;
	vm->pidfd = child.pidfd;
	vm->status_fd = child.status_fd;
	r = vm_watch_process(vm, err);
	if (r == 0)
		r = cl_fd_new(host->loop, vm->status_fd, POLLIN, on_status, vm, &vm->status_io);
	return r;
}

static int launch_vm(struct vm *vm, const struct vm_start_args *args, struct cl_error *err)
{
	int r;

	if (vm->cgroup && (r = cgroup_make(vm->cgroup)) < 0) {
		log_debug("vm '%s': no cgroup of its own: %s", vm_name(vm), strerror(-r));
		free(cl_steal(vm->cgroup));
	}
	vm->incoming = args->mode != VM_START_RUN;
	r = run_launcher(vm, vm->incoming, err);
	if (r < 0)
		return r;
	r = vm_connect(vm, err);
	if (r < 0)
		(void)proc_signal(vm->pidfd, SIGKILL); /* it has not run a guest instruction */
	return r;
}

int vm_start(struct vm_host *host, const struct vm_config *config, const struct vm_start_args *args,
	     vm_event_fn fn, void *user, struct vm **ret, struct cl_error *err)
{
	_cleanup_(vm_freep) struct vm *vm = NULL;
	int r = vm_config_check(config, err);

	if (r < 0)
		return r;
	r = vm_new(host, config, config->name, VM_STARTING, fn, user, &vm, err);
	if (r < 0)
		return r;
	vm->quick.restoring = args->mode == VM_START_RESTORE;
	if (args->mode == VM_START_RESTORE)
		mig_target_init(&vm->mig.target, vm_name(vm));
	if (args->mode == VM_START_INCOMING) {
		vm->mig.listen = strdup(args->listen_address ? args->listen_address : "");
		(void)snprintf(vm->mig.tls_directory, sizeof(vm->mig.tls_directory), "%s",
			       args->tls_directory ? args->tls_directory : "");
		vm->mig.port = args->port_first;
		vm->mig.port_last = args->port_last;
		mig_target_init(&vm->mig.target, vm_name(vm));
	}
	r = launch_vm(vm, args, err);
	if (r < 0)
		return cl_error_wrap(err, r, "vm '%s'", config->name);
	*ret = cl_steal(vm);
	return 0;
}
