/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#define FUSE_USE_VERSION 314

#include "csv/lun_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/monotime.h"

#define IO_MAX (1u << 20)
#define LINE_MAX_BYTES 512

struct lun_file {
	struct lun_file_config cfg;
	uint64_t bytes; /* whole blocks */
	struct fuse_session *se;
	struct fuse_buf buf; /* memory is libfuse's */
	char dir[40], path[48];
	int failed;   /* the device's error; 0 = none */
	void *bounce; /* aligned, IO_MAX */
};

/* ---- the one file ----------------------------------------------------------------------------- */

static void fill_attr(const struct lun_file *f, struct stat *st)
{
	*st = (struct stat){
		.st_ino = 1,
		.st_mode = S_IFREG | (f->cfg.writable ? 0600 : 0400),
		.st_nlink = 1,
		.st_size = (off_t)f->bytes,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)(f->bytes / 512),
	};
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)ino;
	(void)fi;
	fill_attr(fuse_req_userdata(req), &st);
	(void)fuse_reply_attr(req, &st, 0);
}

/* Uncached: what the tool reads is what is on the LUN, what it has written is there. */
static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct lun_file *f = fuse_req_userdata(req);

	(void)ino;
	if ((fi->flags & O_ACCMODE) != O_RDONLY && !f->cfg.writable) {
		(void)fuse_reply_err(req, EROFS);
		return;
	}
	fi->direct_io = 1;
	(void)fuse_reply_open(req, fi);
}

/* After the lease nothing is issued any more: this node may be fenced already, or about to be. */
static int may_io(struct lun_file *f)
{
	if (!f->failed && cl_mono_ms(cl_mono_now()) >= atomic_load(f->cfg.lease_until_ms))
		f->failed = ETIME;
	return f->failed;
}

/* Tools read and write in sizes of their own; the device wants whole blocks. */
static void widen(const struct lun_file *f, uint64_t *off, uint64_t *len)
{
	uint64_t end = (*off + *len + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE * FS_BLOCK_SIZE;

	*off = *off / FS_BLOCK_SIZE * FS_BLOCK_SIZE;
	*len = (end < f->bytes ? end : f->bytes) - *off;
}

static int note(struct lun_file *f, int r)
{
	if (r < 0 && !f->failed)
		f->failed = -r;
	return r;
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at,
		    struct fuse_file_info *fi)
{
	struct lun_file *f = fuse_req_userdata(req);
	uint64_t off = (uint64_t)at, len, begin;

	(void)ino;
	(void)fi;
	if (off >= f->bytes || size == 0) {
		(void)fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > f->bytes - off)
		size = (size_t)(f->bytes - off);
	begin = off;
	len = size;
	widen(f, &begin, &len);
	if (len > IO_MAX || may_io(f) ||
	    note(f, fs_dev_read(f->cfg.dev, begin, f->bounce, len)) < 0)
		(void)fuse_reply_err(req, EIO);
	else
		(void)fuse_reply_buf(req, (char *)f->bounce + (off - begin), size);
}

static int write_at(struct lun_file *f, const char *data, size_t size, uint64_t off)
{
	uint64_t begin = off, len = size;
	int r = 0;

	widen(f, &begin, &len);
	if (len > IO_MAX)
		return -EINVAL;
	if (begin != off || len != size)
		r = note(f, fs_dev_read(f->cfg.dev, begin, f->bounce, len));
	if (r < 0)
		return r;
	memcpy((char *)f->bounce + (off - begin), data, size);
	return note(f, fs_dev_write(f->cfg.dev, begin, f->bounce, len, 0));
}

static void on_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t at,
		     struct fuse_file_info *fi)
{
	struct lun_file *f = fuse_req_userdata(req);
	uint64_t off = (uint64_t)at;

	(void)ino;
	(void)fi;
	if (off > f->bytes || size > f->bytes - off)
		(void)fuse_reply_err(req, ENOSPC);
	else if (!f->cfg.writable || may_io(f) || write_at(f, data, size, off) < 0)
		(void)fuse_reply_err(req, EIO);
	else
		(void)fuse_reply_write(req, size);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct lun_file *f = fuse_req_userdata(req);

	(void)ino;
	(void)datasync;
	(void)fi;
	(void)fuse_reply_err(req, may_io(f) || note(f, fs_dev_flush(f->cfg.dev)) < 0 ? EIO : 0);
}

static void on_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	(void)fuse_reply_err(req, 0);
}

static void on_init(void *user, struct fuse_conn_info *conn)
{
	(void)user;
	conn->max_write = IO_MAX / 2; /* reads, too; widened they still fit */
}

static const struct fuse_lowlevel_ops ops = {
	.init = on_init,
	.getattr = on_getattr,
	.open = on_open,
	.read = on_read,
	.write = on_write,
	.fsync = on_fsync,
	.flush = on_flush,
};

/* ---- life ------------------------------------------------------------------------------------- */

/* What a process left that was killed in the middle; a dead mount answers nobody. */
static void sweep(void)
{
	DIR *run = opendir("/run");
	struct dirent *e;
	char path[300];
	int pid;

	while (run && (e = readdir(run))) {
		if (sscanf(e->d_name, "csvd-lun.%d.", &pid) != 1 || kill(pid, 0) == 0 ||
		    errno != ESRCH)
			continue;
		(void)snprintf(path, sizeof(path), "/run/%s/lun", e->d_name);
		(void)umount2(path, MNT_DETACH);
		(void)unlink(path);
		path[strlen(path) - strlen("/lun")] = 0;
		(void)rmdir(path);
	}
	if (run)
		(void)closedir(run);
}

static int mount_file(struct lun_file *f, struct cl_error *err)
{
	char *argv[] = { (char *)(uintptr_t) "csvd", NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int fd;

	sweep();
	(void)snprintf(f->dir, sizeof(f->dir), "/run/csvd-lun.%d.XXXXXX", (int)getpid());
	if (!mkdtemp(f->dir)) {
		f->dir[0] = 0;
		return cl_error_errno(err, -errno, "a directory for the LUN's file");
	}
	(void)snprintf(f->path, sizeof(f->path), "%s/lun", f->dir);
	fd = open(f->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", f->path);
	(void)close(fd);
	f->se = fuse_session_new(&args, &ops, sizeof(ops), f);
	if (!f->se)
		return cl_error_set(err, -EIO, "libfuse: no session");
	if (fuse_session_mount(f->se, f->path) < 0) {
		fuse_session_destroy(f->se);
		f->se = NULL;
		return cl_error_set(err, -EIO, "%s: cannot be mounted", f->path);
	}
	return 0;
}

int lun_file_new(const struct lun_file_config *config, struct lun_file **ret, struct cl_error *err)
{
	struct lun_file *f = calloc(1, sizeof(*f));
	int r;

	if (f)
		f->bounce = aligned_alloc(4096, IO_MAX);
	if (!f || !f->bounce) {
		free(f);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	f->cfg = *config;
	f->bytes = config->dev->bytes / FS_BLOCK_SIZE * FS_BLOCK_SIZE;
	r = mount_file(f, err);
	if (r < 0)
		lun_file_free(f);
	else
		*ret = f;
	return r;
}

void lun_file_free(struct lun_file *f)
{
	if (!f)
		return;
	if (f->se) {
		fuse_session_unmount(f->se);
		fuse_session_destroy(f->se);
	}
	if (f->path[0])
		(void)unlink(f->path);
	if (f->dir[0])
		(void)rmdir(f->dir);
	free(f->buf.mem);
	free(f->bounce);
	free(f);
}

const char *lun_file_path(const struct lun_file *f)
{
	return f->path;
}

/* ---- a program -------------------------------------------------------------------------------- */

struct run {
	struct lun_file *file;
	pid_t pid;
	int pidfd, out;
	bool ended;
	char text[LINE_MAX_BYTES];
	size_t len;
	void (*line)(void *user, const char *text);
	void *user;
};

static _Noreturn void exec_program(const struct lun_file *f, const char *const *argv, int out,
				   pid_t parent)
{
	char *args[16];
	sigset_t none;
	int n = 0;

	for (; argv[n] && n < 15; n++)
		args[n] = (char *)(uintptr_t)(strcmp(argv[n], "@") == 0 ? f->path : argv[n]);
	args[n] = NULL;
	/* It must not outlive the right under which it writes. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setenv("LC_ALL", "C", 1);
	if (dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0)
		_exit(126);
	(void)close(STDIN_FILENO);
	(void)open("/dev/null", O_RDONLY);
	(void)execvp(args[0], args);
	_exit(127);
}

static int spawn(struct run *r, const char *const *argv, struct cl_error *err)
{
	int pipe_fd[2];
	pid_t self = getpid();

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return cl_error_errno(err, -errno, "pipe");
	r->pid = fork();
	if (r->pid == 0)
		exec_program(r->file, argv, pipe_fd[1], self);
	(void)close(pipe_fd[1]);
	r->out = pipe_fd[0];
	if (r->pid < 0) {
		(void)close(r->out);
		return cl_error_errno(err, -errno, "fork");
	}
	(void)fcntl(r->out, F_SETFL, O_NONBLOCK);
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	if (r->pidfd >= 0)
		return 0;
	(void)kill(r->pid, SIGKILL);
	(void)waitpid(r->pid, NULL, 0);
	(void)close(r->out);
	return cl_error_set(err, -EIO, "pidfd_open");
}

static void give_line(struct run *r)
{
	r->text[r->len] = 0;
	if (r->len)
		r->line(r->user, r->text);
	r->len = 0;
}

/* Lines end with \n; tools that show progress use \r and \b. Too long ones are cut. */
static void read_output(struct run *r)
{
	char buf[1024];
	ssize_t n;

	while ((n = read(r->out, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\n' || buf[i] == '\r')
				give_line(r);
			else if ((unsigned char)buf[i] >= ' ' && r->len < sizeof(r->text) - 1)
				r->text[r->len++] = buf[i];
		}
}

static void serve_one(struct lun_file *f)
{
	int n = fuse_session_receive_buf(f->se, &f->buf);

	if (n > 0)
		fuse_session_process_buf(f->se, &f->buf);
}

static void turn(struct run *r)
{
	const struct lun_file_config *cfg = &r->file->cfg;
	struct pollfd fds[4] = {
		{ .fd = fuse_session_fd(r->file->se), .events = POLLIN },
		{ .fd = r->out, .events = POLLIN },
		{ .fd = r->pidfd, .events = POLLIN },
		{ .fd = cfg->stop_fd, .events = POLLIN },
	};

	if (poll(fds, 4, 1000) < 0)
		return;
	/* The device is broken by then: a tool that computes would not notice for a while. */
	if ((fds[3].revents & POLLIN) && cfg->stop(cfg->user) && !r->file->failed)
		r->file->failed = ECANCELED;
	if (fds[0].revents & POLLIN)
		serve_one(r->file);
	if (fds[1].revents)
		read_output(r);
	if (may_io(r->file))
		(void)kill(r->pid, SIGKILL);
	r->ended = fds[2].revents & POLLIN;
}

static int verdict(struct run *r, const char *name, struct cl_error *err)
{
	int status = 0;

	(void)waitpid(r->pid, &status, 0);
	if (r->file->failed == ETIME)
		return cl_error_set(err, -EIO, "this node's run lease is over: %s was stopped",
				    name);
	if (r->file->failed == ECANCELED)
		return cl_error_set(err, -EIO,
				    "this node does not coordinate it any more: %s was stopped",
				    name);
	if (r->file->failed)
		return cl_error_set(err, -EIO, "the LUN failed (%s): %s was stopped",
				    strerror(r->file->failed), name);
	if (!WIFEXITED(status))
		return cl_error_set(err, -ECHILD, "%s died of signal %d", name, WTERMSIG(status));
	if (WEXITSTATUS(status) >= 126)
		return cl_error_set(err, -ENOENT, "%s cannot be run: is e2fsprogs installed?",
				    name);
	return WEXITSTATUS(status);
}

int lun_file_run(struct lun_file *f, const char *const *argv,
		 void (*line)(void *user, const char *text), void *user, struct cl_error *err)
{
	struct run r = { .file = f, .line = line, .user = user };
	int code = spawn(&r, argv, err);

	if (code < 0)
		return code;
	while (!r.ended)
		turn(&r);
	read_output(&r);
	give_line(&r);
	code = verdict(&r, argv[0], err);
	(void)close(r.pidfd);
	(void)close(r.out);
	return code;
}
