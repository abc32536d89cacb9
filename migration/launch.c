/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/launch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/file.h"
#include "migration/proc.h"

static const char *const state_files[] = { "pid", "qmp.sock", "incoming", "argv", "spec.json" };

#define PATH_IN(buf, dir, file)                                                                    \
	char buf[512];                                                                             \
	snprintf(buf, sizeof(buf), "%s/%s", dir, file)

static int open_lock(const char *dir)
{
	int fd;

	PATH_IN(path, dir, "lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : fd;
}

int launch_alive(const char *dir)
{
	_cleanup_close_ int fd = open_lock(dir);

	if (fd < 0)
		return fd;
	return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

int launch_read_pid(const char *dir, pid_t *ret_pid, uint64_t *ret_start)
{
	_cleanup_free_ char *text = NULL;
	int r, pid;

	PATH_IN(path, dir, "pid");
	r = cl_file_read(path, 128, &text, NULL, NULL);
	if (r < 0)
		return r;
	if (sscanf(text, "%d %" SCNu64, &pid, ret_start) != 2 || pid <= 1)
		return -CL_ECORRUPT;
	*ret_pid = pid;
	return 0;
}

void launch_clean(const char *dir)
{
	for (size_t i = 0; i < sizeof(state_files) / sizeof(*state_files); i++) {
		PATH_IN(path, dir, state_files[i]);
		(void)unlink(path);
	}
}

static int take_lock(const char *dir, struct cl_error *err)
{
	_cleanup_close_ int fd = -1;

	if (mkdir(dir, 0711) < 0 && errno != EEXIST)
		return cl_error_errno(err, -errno, "%s", dir);
	fd = open_lock(dir);
	if (fd < 0)
		return cl_error_errno(err, fd, "%s/lock", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return cl_error_set(err, errno == EWOULDBLOCK ? -EEXIST : -errno,
				    "a process of this VM is alive on this node");
	return cl_steal_fd(&fd);
}

static int listen_qmp(const char *dir, struct cl_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/qmp.sock", dir) >=
	    sizeof(addr.sun_path))
		return cl_error_set(err, -ENAMETOOLONG, "%s: too long for a socket", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return cl_error_errno(err, -errno, "socket");
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    chmod(addr.sun_path, 0600) < 0 || listen(fd, 4) < 0)
		return cl_error_errno(err, -errno, "%s", addr.sun_path);
	return cl_steal_fd(&fd);
}

static int write_state(const struct launch_args *args, struct cl_error *err)
{
	_cleanup_free_ char *text = NULL;
	int r = vm_config_print(args->config, &text);

	PATH_IN(spec, args->dir, "spec.json");
	PATH_IN(incoming, args->dir, "incoming");
	if (r < 0)
		return cl_error_errno(err, r, "spec.json");
	if (args->incoming)
		r = cl_file_write(incoming, "", 0600, err);
	/* Last: a directory without spec.json holds no VM. */
	return r < 0 ? r : cl_file_write(spec, text, 0600, err);
}

struct prepared {
	int lock, qmp, log, null, status[2];
	char words[8][32];
	const char *argv[24];
};

static void prepared_close(struct prepared *p)
{
	cl_closep(&p->lock);
	cl_closep(&p->qmp);
	cl_closep(&p->log);
	cl_closep(&p->null);
	cl_closep(&p->status[0]);
	cl_closep(&p->status[1]);
}

static int open_files(struct prepared *p, const char *dir, struct cl_error *err)
{
	PATH_IN(log, dir, "qemu.log");
	p->qmp = listen_qmp(dir, err);
	if (p->qmp < 0)
		return p->qmp;
	p->log = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (p->log < 0)
		return cl_error_errno(err, -errno, "%s", log);
	p->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (p->null < 0)
		return cl_error_errno(err, -errno, "/dev/null");
	if (pipe2(p->status, O_CLOEXEC | O_NONBLOCK) < 0)
		return cl_error_errno(err, -errno, "pipe");
	return 0;
}

/* All memory work is done before the fork: the child only makes system calls. */
static void build_argv(struct prepared *p, const struct launch_args *a)
{
	int n = 0, w = 0;

#define NUMBER(x) (snprintf(p->words[w], sizeof(p->words[w]), "%ld", (long)(x)), p->words[w++])
	p->argv[n++] = a->launcher;
	p->argv[n++] = "--dir";
	p->argv[n++] = a->dir;
	p->argv[n++] = "--uuid"; /* so that adoption knows a launcher, too */
	p->argv[n++] = a->config->uuid;
	p->argv[n++] = "--qemu";
	p->argv[n++] = a->qemu;
	p->argv[n++] = "--bridge";
	p->argv[n++] = a->bridge;
	p->argv[n++] = "--status-fd";
	p->argv[n++] = NUMBER(p->status[1]);
	p->argv[n++] = "--qmp-fd";
	p->argv[n++] = NUMBER(p->qmp);
	p->argv[n++] = "--uid";
	p->argv[n++] = NUMBER(a->uid);
	p->argv[n++] = "--gid";
	p->argv[n++] = NUMBER(a->gid);
	if (a->cgroup) {
		p->argv[n++] = "--cgroup";
		p->argv[n++] = a->cgroup;
	}
	if (a->incoming)
		p->argv[n++] = "--incoming";
#undef NUMBER
	p->argv[n] = NULL;
}

_Noreturn static void child(const struct prepared *p)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)setsid();
	if (dup2(p->null, 0) < 0 || dup2(p->null, 1) < 0 || dup2(p->log, 2) < 0)
		_exit(127);
	/* Nothing of the daemon's leaks in, whatever its libraries forgot. */
	if (syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		_exit(127);
	(void)fcntl(p->lock, F_SETFD, 0);
	(void)fcntl(p->qmp, F_SETFD, 0);
	(void)fcntl(p->status[1], F_SETFD, 0);
	(void)execv(p->argv[0], (char *const *)p->argv);
	_exit(127);
}

static int spawn(struct prepared *p, struct launch_child *ret, struct cl_error *err)
{
	pid_t pid = fork();
	int pidfd;

	if (pid < 0)
		return cl_error_errno(err, -errno, "fork");
	if (pid == 0)
		child(p);
	pidfd = proc_pidfd(pid); /* ours and not waited for: the number cannot be another's */
	if (pidfd < 0) {
		(void)kill(pid, SIGKILL);
		return cl_error_errno(err, pidfd, "pidfd_open");
	}
	*ret = (struct launch_child){ pid, pidfd, cl_steal_fd(&p->status[0]) };
	return 0;
}

int launch(const struct launch_args *args, struct launch_child *ret, struct cl_error *err)
{
	_cleanup_(prepared_close) struct prepared p = { -1, -1, -1, -1, { -1, -1 } };
	int r;

	if (access(args->launcher, X_OK) < 0)
		return cl_error_errno(err, -errno, "%s", args->launcher);
	p.lock = take_lock(args->dir, err);
	if (p.lock < 0)
		return p.lock;
	launch_clean(args->dir); /* of an earlier one: its lock is free, so nobody is there */
	r = open_files(&p, args->dir, err);
	if (r == 0)
		r = write_state(args, err);
	if (r == 0) {
		build_argv(&p, args);
		r = spawn(&p, ret, err);
	}
	if (r < 0)
		launch_clean(args->dir);
	return r;
}
