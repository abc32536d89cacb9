/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csv-keeper: what must outlive csvd. It makes the mounts and holds their descriptors, runs csvd and
 * runs it again when it dies, so that applications notice nothing but a pause (Linux >= 6.9, which
 * can send unanswered requests again).
 *
 * Below that, and when the keeper itself has died, all that was open on the mounts is lost: they are
 * made anew, and csvd is given the time before which whatever was opened is gone. It tells clusterd,
 * which starts the VMs that are older than that anew.
 *
 * It decides nothing and does no I/O on volumes: never stat() below the mount root, it would wait
 * for the very daemon that it has to restart. A stopped or looping csvd is not seen by waitpid();
 * so csvd counts in shared memory, and is killed when the count stands still.
 */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "csv/keeper_msg.h"
#include "csv/mount.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/vec.h"

#define RESTART_MS 100 /* after a death; doubled while it dies young */
#define RESTART_MAX_MS 5000
#define OLD_MS 500 /* lived that long: begin with RESTART_MS again */
#define CHECK_MS 1000
#define STOP_MS 10000
#define FIRST_BEAT_S 30 /* from exec to the first beat */

struct kept {
	char name[KEEPER_NAME_MAX];
	int fuse, state;
};
CL_DEFINE_VEC(kept_vec, struct kept);

struct keeper {
	struct cl_loop *loop;
	const char *root, *run_dir, *csvd;
	char **args; /* further ones for csvd */
	int n_args;
	unsigned hang_s;
	bool resend;	     /* the next csvd can take the mounts over */
	int64_t lost_before; /* what was opened before that is lost; ms, CLOCK_BOOTTIME */
	struct kept_vec mounts;
	struct keeper_beat *beat;
	int beat_fd, sock;
	pid_t pid;
	struct cl_source *child, *io, *restart, *check, *term, *intr;
	struct cl_mono started, beat_at;
	uint64_t beat_seen;
	int64_t restart_ms;
	bool stopping;
};

static struct kept *find(struct keeper *k, const char *name)
{
	for (size_t i = 0; i < k->mounts.n; i++)
		if (!strcmp(k->mounts.v[i].name, name))
			return &k->mounts.v[i];
	return NULL;
}

static void forget(struct keeper *k, struct kept *kept)
{
	(void)csv_unmount(k->root, kept->name);
	(void)close(kept->fuse);
	(void)close(kept->state);
	kept_vec_remove(&k->mounts, (size_t)(kept - k->mounts.v));
}

/* ---- requests of csvd ---------------------------------------------------------------------- */

/* A mount that nobody has used: what is dead of an earlier one there is removed. */
static int make_fresh(const struct keeper *k, const char *name, struct kept *ret,
		      struct cl_error *err)
{
	int r = csv_mount(k->root, name, &ret->fuse, err);

	if (r < 0)
		return r;
	ret->state = memfd_create(name, MFD_CLOEXEC);
	if (ret->state < 0) {
		r = -errno;
		(void)csv_unmount(k->root, name);
		(void)close(ret->fuse);
		return cl_error_errno(err, r, "state of the mount %s/%s", k->root, name);
	}
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	log_notice("mounted %s/%s", k->root, name);
	return 0;
}

static int make(struct keeper *k, const char *name, struct cl_error *err)
{
	struct kept kept;
	int r;

	if (!csv_name_valid(name))
		return cl_error_set(err, -EINVAL, "not a volume's name: '%s'", name);
	if (find(k, name))
		return 0;
	r = make_fresh(k, name, &kept, err);
	if (r < 0)
		return r;
	if (kept_vec_push(&k->mounts, kept) < 0) {
		(void)csv_unmount(k->root, name);
		(void)close(kept.fuse);
		(void)close(kept.state);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static void send_mounted(struct keeper *k, const struct kept *kept)
{
	int fds[2] = { kept->fuse, kept->state };

	(void)keeper_send(k->sock, KEEPER_MOUNTED, kept->name, 0, fds);
}

static void on_mount(struct keeper *k, const char *name)
{
	struct cl_error err = CL_ERROR_INIT;

	if (make(k, name, &err) < 0) {
		log_error("%s", err.msg);
		(void)keeper_send(k->sock, KEEPER_MOUNTED, name, -err.code, NULL);
		return;
	}
	send_mounted(k, find(k, name));
}

static void on_unmount(struct keeper *k, const char *name)
{
	struct kept *kept = find(k, name);

	if (kept) {
		forget(k, kept);
		log_notice("unmounted %s/%s", k->root, name);
	}
	(void)keeper_send(k->sock, KEEPER_UNMOUNTED, name, 0, NULL);
}

static void on_hello(struct keeper *k)
{
	for (size_t i = 0; i < k->mounts.n; i++)
		send_mounted(k, &k->mounts.v[i]);
	(void)keeper_send(k->sock, KEEPER_READY, NULL, 0, NULL);
}

static void on_message(void *user, int fd, uint32_t revents)
{
	struct keeper *k = user;
	struct keeper_msg msg;
	int fds[2], r;

	(void)revents;
	while ((r = keeper_recv(fd, &msg, fds)) > 0) {
		if (fds[0] >= 0)
			(void)close(fds[0]);
		if (fds[1] >= 0)
			(void)close(fds[1]);
		if (msg.kind == KEEPER_HELLO)
			on_hello(k);
		else if (msg.kind == KEEPER_MOUNT)
			on_mount(k, msg.name);
		else if (msg.kind == KEEPER_UNMOUNT)
			on_unmount(k, msg.name);
	}
	if (r < 0) { /* csvd is going; its end is reported by on_child */
		cl_source_free(k->io);
		k->io = NULL;
	}
}

/* ---- csvd's life --------------------------------------------------------------------------- */

static void write_pid(struct keeper *k)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/csvd.pid", k->run_dir);
	f = fopen(path, "we");
	if (!f) {
		log_warning("%s: %s", path, strerror(errno));
		return;
	}
	(void)fprintf(f, "%d\n", (int)k->pid);
	(void)fclose(f);
}

static _Noreturn void exec_csvd(struct keeper *k, int sock)
{
	char **argv = calloc((size_t)k->n_args + 9, sizeof(*argv));
	char sock_arg[16], beat_arg[16], lost_arg[24];
	sigset_t none;
	int n = 0;

	if (!argv || fcntl(sock, F_SETFD, 0) < 0 || fcntl(k->beat_fd, F_SETFD, 0) < 0)
		_exit(126);
	/* If the keeper dies its node has failed: no csvd may go on with mounts that are lost. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)snprintf(sock_arg, sizeof(sock_arg), "%d", sock);
	(void)snprintf(beat_arg, sizeof(beat_arg), "%d", k->beat_fd);
	(void)snprintf(lost_arg, sizeof(lost_arg), "%" PRId64, k->lost_before);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	argv[n++] = (char *)(uintptr_t)k->csvd;
	argv[n++] = (char *)(uintptr_t) "--keeper-fd";
	argv[n++] = sock_arg;
	argv[n++] = (char *)(uintptr_t) "--beat-fd";
	argv[n++] = beat_arg;
	argv[n++] = (char *)(uintptr_t) "--lost-before";
	argv[n++] = lost_arg;
	if (!k->resend)
		argv[n++] = (char *)(uintptr_t) "--no-resend";
	for (int i = 0; i < k->n_args; i++)
		argv[n++] = k->args[i];
	(void)execv(k->csvd, argv);
	_exit(127);
}

static void start_csvd(void *user);

/*
 * csvd's copy of the descriptor went with it: closing ours aborts the connection, and whoever waits
 * there gets an error. The fresh mount stands at once, so that who comes now waits for the next csvd
 * and does not find the directory below.
 */
static bool renew(struct keeper *k, struct kept *kept)
{
	struct cl_error err = CL_ERROR_INIT;
	struct kept fresh;

	log_warning(
		"volume '%s': what was open there is lost: this kernel cannot send requests again",
		kept->name);
	(void)close(kept->fuse);
	(void)close(kept->state);
	if (make_fresh(k, kept->name, &fresh, &err) < 0) {
		log_error("%s", err.msg);
		return false;
	}
	*kept = fresh;
	return true;
}

static void renew_mounts(struct keeper *k)
{
	for (size_t i = 0; i < k->mounts.n;) {
		if (renew(k, &k->mounts.v[i]))
			i++;
		else
			kept_vec_remove(&k->mounts, i); /* csvd will ask for it */
	}
	/* Behind the last one: who was started from here on has seen the fresh ones only. */
	k->lost_before = cl_mono_ms(cl_mono_now());
}

static void on_child(void *user, int status)
{
	struct keeper *k = user;

	cl_source_free(k->child);
	k->child = NULL;
	cl_source_free(k->io);
	k->io = NULL;
	(void)close(k->sock);
	k->sock = -1;
	k->pid = 0;
	if (k->stopping) {
		cl_loop_stop(k->loop);
		return;
	}
	if (WIFSIGNALED(status))
		log_error("csvd died of signal %d", WTERMSIG(status));
	else
		log_error("csvd ended with status %d", WEXITSTATUS(status));
	if (!k->resend)
		renew_mounts(k);
	k->restart_ms = cl_mono_diff_ms(k->started, cl_mono_now()) > OLD_MS ? RESTART_MS
									    : 2 * k->restart_ms;
	if (k->restart_ms > RESTART_MAX_MS)
		k->restart_ms = RESTART_MAX_MS;
	(void)cl_timer_set_in(k->restart, k->restart_ms);
}

static int spawn(struct keeper *k, int pair[2])
{
	k->pid = fork();
	if (k->pid < 0)
		return -errno;
	if (k->pid == 0)
		exec_csvd(k, pair[1]);
	return (int)syscall(SYS_pidfd_open, k->pid, 0);
}

static void start_csvd(void *user)
{
	struct keeper *k = user;
	int pair[2], pidfd;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0) {
		log_error("socketpair: %s", strerror(errno));
		(void)cl_timer_set_in(k->restart, RESTART_MAX_MS);
		return;
	}
	k->beat_seen = atomic_load(&k->beat->count);
	k->started = k->beat_at = cl_mono_now();
	pidfd = spawn(k, pair);
	(void)close(pair[1]);
	k->sock = pair[0];
	if (pidfd < 0 || cl_child_new(k->loop, pidfd, on_child, k, &k->child) < 0 ||
	    cl_fd_new(k->loop, k->sock, POLLIN, on_message, k, &k->io) < 0) {
		log_crit("cannot run csvd: %s", strerror(errno));
		exit(1);
	}
	write_pid(k);
	log_info("csvd runs as %d", (int)k->pid);
}

/* A csvd that hangs or was stopped keeps every user of its mounts waiting; a dead one does not. */
static void check_beat(void *user)
{
	struct keeper *k = user;
	uint64_t count = atomic_load(&k->beat->count);
	struct cl_mono now = cl_mono_now();
	int64_t limit_ms;

	(void)cl_timer_set_in(k->check, CHECK_MS);
	if (count != k->beat_seen) {
		k->beat_seen = count;
		k->beat_at = now;
		return;
	}
	limit_ms = k->beat_at.ns == k->started.ns ? FIRST_BEAT_S * 1000 : k->hang_s * 1000;
	if (!k->pid || cl_mono_diff_ms(k->beat_at, now) < limit_ms)
		return;
	log_error("csvd gives no sign of life for %lld ms: killing it",
		  (long long)cl_mono_diff_ms(k->beat_at, now));
	k->beat_at = now;
	(void)kill(k->pid, SIGKILL);
}

static void kill_hard(void *user)
{
	struct keeper *k = user;

	if (k->pid)
		(void)kill(k->pid, SIGKILL);
}

static void on_stop(void *user, int signo)
{
	struct keeper *k = user;

	(void)signo;
	if (k->stopping)
		return;
	k->stopping = true;
	if (!k->pid) {
		cl_loop_stop(k->loop);
		return;
	}
	(void)kill(k->pid, SIGTERM);
	cl_source_free(k->restart);
	k->restart = NULL;
	if (cl_timer_new(k->loop, kill_hard, k, &k->restart) == 0)
		(void)cl_timer_set_in(k->restart, STOP_MS);
}

/* ---- start --------------------------------------------------------------------------------- */

static int usage(const char *argv0)
{
	(void)fprintf(stderr,
		      "usage: %s [--mount-root DIR] [--run-dir DIR] [--csvd PATH] [--hang SECONDS] "
		      "[--no-resend] [-- CSVD-OPTION...]\n",
		      argv0);
	return 2;
}

static int parse(struct keeper *k, int argc, char **argv)
{
	static const struct option options[] = {
		{ "mount-root", required_argument, NULL, 'm' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "csvd", required_argument, NULL, 'c' },
		{ "hang", required_argument, NULL, 'h' },
		{ "no-resend", no_argument, NULL, 'n' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'm':
			k->root = optarg;
			break;
		case 'r':
			k->run_dir = optarg;
			break;
		case 'c':
			k->csvd = optarg;
			break;
		case 'h':
			k->hang_s = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			k->resend = false;
			break;
		default:
			return usage(argv[0]);
		}
	}
	k->args = argv + optind;
	k->n_args = argc - optind;
	return k->hang_s ? 0 : usage(argv[0]);
}

static int make_beat(struct keeper *k)
{
	k->beat_fd = memfd_create("csvd-beat", MFD_CLOEXEC);
	if (k->beat_fd < 0 || ftruncate(k->beat_fd, 4096) < 0)
		return -errno;
	k->beat = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, k->beat_fd, 0);
	return k->beat == MAP_FAILED ? -errno : 0;
}

static int setup(struct keeper *k)
{
	int r = make_beat(k);

	(void)mkdir(k->run_dir, 0755);
	if (r >= 0)
		r = cl_loop_new(&k->loop);
	if (r >= 0)
		r = cl_timer_new(k->loop, start_csvd, k, &k->restart);
	if (r >= 0)
		r = cl_timer_new(k->loop, check_beat, k, &k->check);
	if (r >= 0)
		r = cl_signal_new(k->loop, SIGTERM, on_stop, k, &k->term);
	if (r >= 0)
		r = cl_signal_new(k->loop, SIGINT, on_stop, k, &k->intr);
	return r;
}

int main(int argc, char **argv)
{
	struct keeper k = {
		.root = "/ClusterStorage",
		.run_dir = "/run/csvd",
		.csvd = CSVD_PATH,
		.hang_s = 10,
		.resend = csv_kernel_can_resend(),
		.lost_before = cl_mono_ms(cl_mono_now()),
		.sock = -1,
		.restart_ms = RESTART_MS / 2,
	};
	char path[4096];
	int r;

	cl_log_init("csv-keeper", CL_LOG_INFO);
	r = parse(&k, argc, argv);
	if (r)
		return r;
	r = setup(&k);
	if (r < 0) {
		log_crit("start: %s", strerror(-r));
		return 1;
	}
	if (!k.resend)
		log_warning("this kernel cannot send requests again (Linux 6.9 can): if csvd dies, "
			    "what is "
			    "open on its mounts is lost, and VMs there are started anew");
	start_csvd(&k);
	check_beat(&k);
	cl_loop_run(k.loop);
	while (k.mounts.n)
		forget(&k, &k.mounts.v[0]);
	(void)snprintf(path, sizeof(path), "%s/csvd.pid", k.run_dir);
	(void)unlink(path);
	return 0;
}
