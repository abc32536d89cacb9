/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/vm_helper.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migration/proc.h"

#define DATA_FD 3
#define ARGS_MAX 12

struct vm_helper {
	const struct vm_helper_ops *ops; /* NULL: detached */
	void *user;
	struct cl_source *child, *out;
	int control, out_fd;
	char line[512];
	size_t len;
};

struct words {
	const char *argv[ARGS_MAX];
	char numbers[4][24];
};

static void build(struct words *w, const char *program, const char *what, const char *path,
		  const struct state_id *id)
{
	size_t n = 0;

	*w = (struct words){ 0 };
	w->argv[n++] = program;
	w->argv[n++] = what;
	w->argv[n++] = path;
	if (!id)
		return;
	(void)snprintf(w->numbers[0], sizeof(w->numbers[0]), "%" PRIu32, id->cpus);
	(void)snprintf(w->numbers[1], sizeof(w->numbers[1]), "%" PRIu64, id->ram_bytes);
	(void)snprintf(w->numbers[2], sizeof(w->numbers[2]), "%" PRIu64, id->generation);
	(void)snprintf(w->numbers[3], sizeof(w->numbers[3]), "%" PRIu64, id->reserved);
	w->argv[n++] = id->name;
	w->argv[n++] = id->uuid;
	w->argv[n++] = id->machine;
	for (size_t i = 0; i < 4; i++)
		w->argv[n++] = w->numbers[i];
}

/* Between fork and exec: system calls only. */
_Noreturn static void child(const struct words *w, int in, int out, int data)
{
	sigset_t none;

	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	/* Out of the way of 0, 1 and 3. */
	in = fcntl(in, F_DUPFD, 10);
	out = fcntl(out, F_DUPFD, 10);
	data = data < 0 ? -1 : fcntl(data, F_DUPFD, 10);
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || (data >= 0 && dup2(data, DATA_FD) < 0))
		_exit(127);
	if (syscall(SYS_close_range, data >= 0 ? 4 : 3, ~0U, 0) < 0)
		_exit(127);
	(void)execv(w->argv[0], (char *const *)w->argv);
	_exit(127);
}

static void helper_free(struct vm_helper *h)
{
	cl_source_free(h->child);
	cl_source_free(h->out);
	cl_closep(&h->control);
	cl_closep(&h->out_fd);
	free(h);
}

/* "p BYTES" is progress; another line is the reason. True when the owner may be gone. */
static void on_line(struct vm_helper *h, const char *line)
{
	if (strncmp(line, "p ", 2) == 0 && h->ops && h->ops->progress)
		h->ops->progress(h->user, strtoull(line + 2, NULL, 10));
}

static void read_lines(struct vm_helper *h)
{
	char *end;
	ssize_t n = read(h->out_fd, h->line + h->len, sizeof(h->line) - 1 - h->len);

	if (n <= 0)
		return;
	h->len += (size_t)n;
	h->line[h->len] = '\0';
	while ((end = strchr(h->line, '\n')) && strncmp(h->line, "p ", 2) == 0) {
		*end = '\0';
		on_line(h, h->line);
		h->len -= (size_t)(end + 1 - h->line);
		memmove(h->line, end + 1, h->len + 1);
	}
}

static void on_out(void *user, int fd, uint32_t revents)
{
	struct vm_helper *h = user;

	(void)fd;
	if (revents & POLLIN)
		read_lines(h);
	else
		cl_source_free(cl_steal(h->out));
}

static void on_end(void *user, int status)
{
	struct vm_helper *h = user;
	bool ok = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;

	read_lines(h); /* its last words may still be in the pipe */
	h->line[strcspn(h->line, "\n")] = '\0';
	if (h->ops)
		h->ops->ended(h->user, ok, ok ? "" : h->line[0] ? h->line : "its helper died");
	helper_free(h);
}

struct pipes {
	int in[2], out[2], data[2];
};

static void pipes_close(struct pipes *p)
{
	for (int i = 0; i < 2; i++) {
		cl_closep(&p->in[i]);
		cl_closep(&p->out[i]);
		cl_closep(&p->data[i]);
	}
}

static int spawn(struct vm_helper *h, struct cl_loop *loop, struct pipes *p, const struct words *w,
		 bool saves, struct cl_error *err)
{
	pid_t pid = fork();
	int pidfd, r;

	if (pid < 0)
		return cl_error_errno(err, -errno, "fork");
	if (pid == 0)
		child(w, p->in[0], p->out[1], saves ? p->data[0] : p->data[1]);
	pidfd = proc_pidfd(pid);
	r = pidfd < 0 ? pidfd : cl_child_new(loop, pidfd, on_end, h, &h->child);
	if (r == 0)
		r = cl_fd_new(loop, h->out_fd, POLLIN, on_out, h, &h->out);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	return r < 0 ? cl_error_errno(err, r, "%s", w->argv[0]) : 0;
}

int vm_helper_run(struct cl_loop *loop, const char *program, const char *what, const char *path,
		  const struct state_id *id, const struct vm_helper_ops *ops, void *user,
		  struct vm_helper **ret, int *ret_data_fd, struct cl_error *err)
{
	_cleanup_(pipes_close) struct pipes p = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	struct vm_helper *h = calloc(1, sizeof(*h));
	bool saves = strcmp(what, "save") == 0;
	struct words words;
	int r;

	if (!h)
		return cl_error_errno(err, -ENOMEM, "%s", program);
	*h = (struct vm_helper){ .ops = ops, .user = user, .control = -1, .out_fd = -1 };
	if (pipe2(p.in, O_CLOEXEC) < 0 || pipe2(p.out, O_CLOEXEC | O_NONBLOCK) < 0 ||
	    (id && pipe2(p.data, O_CLOEXEC) < 0)) {
		r = cl_error_errno(err, -errno, "pipe");
		helper_free(h);
		return r;
	}
	h->control = cl_steal_fd(&p.in[1]);
	h->out_fd = cl_steal_fd(&p.out[0]);
	build(&words, program, what, path, id);
	r = spawn(h, loop, &p, &words, saves, err);
	if (r < 0) {
		helper_free(h);
		return r;
	}
	if (ret)
		*ret = h;
	if (ret_data_fd)
		*ret_data_fd = cl_steal_fd(saves ? &p.data[1] : &p.data[0]);
	return 0;
}

void vm_helper_finish(struct vm_helper *h)
{
	if (h->control >= 0 && write(h->control, "c", 1) != 1)
		return; /* it has ended; its end says so */
	cl_closep(&h->control);
	h->control = -1;
}

void vm_helper_detach(struct vm_helper *h)
{
	if (!h)
		return;
	h->ops = NULL;
	cl_closep(&h->control);
	h->control = -1;
}
