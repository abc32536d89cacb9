/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/fence.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "migration/proc.h"
#include "quorum/state_fence.h"

enum { OUTPUT_MAX = 4096, GRACE_MS = 2000 };

struct fence_child {
	pid_t pid;
	int out_fd, life_fd;
	char *input; /* for masking */
	char out[OUTPUT_MAX + 1];
	size_t len;
	bool late;
	struct cl_mono begun;
	int64_t timeout_ms;
	struct cl_source *end, *output, *timer, *beat;
	fence_end_fn fn;
	void *user;
};

/* ---- what it says ------------------------------------------------------------------------------------- */

static void mask(char *text, const char *value, size_t len)
{
	for (char *at = text; len >= 3 && (at = strstr(at, value)); at += 3) {
		memset(at, '*', 3);
		memmove(at + 3, at + len, strlen(at + len) + 1);
	}
}

static void mask_all(char *text, const char *input)
{
	for (const char *line = input; *line;) {
		size_t len = strcspn(line, "\n");
		const char *value = memchr(line, '=', len);
		_cleanup_free_ char *secret = NULL;

		if (value && !state_agent_may_show(line, (size_t)(value - line)) &&
		    strncmp(line, "action=", 7) != 0) {
			secret = strndup(value + 1, len - (size_t)(value + 1 - line));
			if (secret)
				mask(text, secret, strlen(secret));
			else
				*text = '\0';
		}
		line += len + (line[len] == '\n');
	}
}

/* "2026-11-22 10:30:00,123 ERROR: Failed: ..": the agents' library logs so; when it was is known. */
static const char *without_time(const char *line)
{
	static const char form[] = "9999-99-99 99:99:99,999 ";
	size_t i = 0;

	while (form[i] && (form[i] == '9' ? isdigit((unsigned char)line[i]) : line[i] == form[i]))
		i++;
	return form[i] ? line : line + i;
}

void fence_last_words(const char *said, const char *input, char ret[FENCE_SAID_MAX])
{
	_cleanup_free_ char *text = strdup(said);
	char *line, *last = NULL, *save = NULL;

	ret[0] = '\0';
	if (!text)
		return;
	mask_all(text, input);
	for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (line[strspn(line, " \t")])
			last = line;
	for (line = last; line && *line; line++)
		if (!isprint((unsigned char)*line))
			*line = '?';
	if (last)
		(void)snprintf(ret, FENCE_SAID_MAX, "%s", without_time(last));
}

/* The newest part is what counts: it says why at its end. */
static void read_output(struct fence_child *c)
{
	for (;;) {
		ssize_t n;

		if (c->len == OUTPUT_MAX) {
			memmove(c->out, c->out + OUTPUT_MAX / 2, OUTPUT_MAX / 2);
			c->len = OUTPUT_MAX / 2;
		}
		n = read(c->out_fd, c->out + c->len, OUTPUT_MAX - c->len);
		if (n <= 0)
			return;
		c->len += (size_t)n;
		c->out[c->len] = '\0';
	}
}

static void on_output(void *user, int fd, uint32_t revents)
{
	struct fence_child *c = user;

	(void)fd;
	if (revents & POLLIN)
		read_output(c);
	else
		cl_source_free(cl_steal(c->output));
}

/* ---- its end ------------------------------------------------------------------------------------------- */

/* First politely: an agent may have a session open at a controller that takes one at a time. */
static void on_late(void *user)
{
	struct fence_child *c = user;

	(void)kill(-c->pid, c->late ? SIGKILL : SIGTERM);
	c->late = true;
	(void)cl_timer_set_in(c->timer, GRACE_MS);
}

/* What the guard has not read yet is as good: full is no error, and gone is told by its end. */
static void on_beat(void *user)
{
	struct fence_child *c = user;

	(void)!write(c->life_fd, "", 1);
	(void)cl_timer_set_in(c->beat, FENCE_BEAT_MS);
}

static void on_end(void *user, int status)
{
	struct fence_child *c = user;
	struct fence_end end = {
		.code = status >= 0 && WIFEXITED(status) && !c->late ? WEXITSTATUS(status) : -1,
		.took_ms = cl_mono_diff_ms(c->begun, cl_mono_now()),
	};
	fence_end_fn fn = c->fn;

	read_output(c);
	fence_last_words(c->out, c->input, end.said);
	if (c->late)
		(void)snprintf(end.said, sizeof(end.said), "not finished after %lld s",
			       (long long)(c->timeout_ms / 1000));
	else if (!end.said[0] && end.code != 0)
		(void)snprintf(end.said, sizeof(end.said), "ended with status %d", end.code);
	user = c->user;
	c->pid = 0; /* reaped: the number may be another's */
	fence_child_free(c);
	fn(user, &end);
}

void fence_child_free(struct fence_child *c)
{
	if (!c)
		return;
	if (c->pid > 0)
		(void)kill(-c->pid, SIGKILL);
	cl_source_free(c->end);
	cl_source_free(c->output);
	cl_source_free(c->timer);
	cl_source_free(c->beat);
	if (c->out_fd >= 0)
		(void)close(c->out_fd);
	if (c->life_fd >= 0)
		(void)close(c->life_fd);
	if (c->input)
		explicit_bzero(c->input, strlen(c->input));
	free(c->input);
	free(c);
}

/* ---- its beginning --------------------------------------------------------------------------------------- */

/* All of it is there before the child reads: nothing has to be written to it later. */
static int input_fd(const char *input, struct cl_error *err)
{
	_cleanup_close_ int fd = memfd_create("fence", MFD_CLOEXEC);
	size_t len = strlen(input);

	if (fd < 0 || write(fd, input, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		return cl_error_errno(err, fd < 0 ? -errno : -EIO, "its input");
	return cl_steal_fd(&fd);
}

struct ends {
	int in, out, life; /* the child's */
};

static int spawn(struct fence_child *c, const char *guard, const char *path,
		 const struct ends *ends, struct cl_error *err)
{
	char *const argv[] = { (char *)(uintptr_t)guard, (char *)(uintptr_t)path, NULL };
	char *const env[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", (char *)"LC_ALL=C",
			      NULL };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawn_file_actions_adddup2(&files, ends->in, STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, ends->out, STDOUT_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, ends->out, STDERR_FILENO);
	(void)posix_spawn_file_actions_adddup2(&files, ends->life, FENCE_LIFE_FD);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	(void)posix_spawnattr_setsigdefault(&attr, &all);
	(void)posix_spawnattr_setpgroup(&attr, 0);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	r = posix_spawn(&c->pid, guard, &files, &attr, argv, env);
	(void)posix_spawn_file_actions_destroy(&files);
	(void)posix_spawnattr_destroy(&attr);
	if (r == 0)
		return 0;
	c->pid = 0;
	return cl_error_errno(err, -r, "%s", guard);
}

static int watch(struct fence_child *c, struct cl_loop *loop, struct cl_error *err)
{
	int pidfd = proc_pidfd(c->pid);
	int r = pidfd < 0 ? pidfd : cl_child_new(loop, pidfd, on_end, c, &c->end);

	if (r == 0)
		r = cl_fd_new(loop, c->out_fd, POLLIN, on_output, c, &c->output);
	if (r == 0)
		r = cl_timer_new(loop, on_late, c, &c->timer);
	if (r == 0)
		r = cl_timer_set_in(c->timer, c->timeout_ms);
	if (r == 0)
		r = cl_timer_new(loop, on_beat, c, &c->beat);
	if (r == 0)
		r = cl_timer_set_in(c->beat, FENCE_BEAT_MS);
	return r < 0 ? cl_error_errno(err, r, "a fence agent") : 0;
}

static int pipe_new(int *ret_read, int *ret_write, struct cl_error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return cl_error_errno(err, -errno, "pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

int fence_child_new(struct cl_loop *loop, const char *guard, const char *directory,
		    const char *agent, const char *input, int64_t timeout_ms, fence_end_fn fn,
		    void *user, struct fence_child **ret, struct cl_error *err)
{
	_cleanup_(fence_child_freep) struct fence_child *c = calloc(1, sizeof(*c));
	_cleanup_close_ int in = -1, out = -1, life = -1;
	char path[PATH_MAX];
	int r;

	if (!c)
		return cl_error_set(err, -ENOMEM, "out of memory");
	c->out_fd = c->life_fd = -1;
	c->begun = cl_mono_now();
	c->timeout_ms = timeout_ms;
	c->fn = fn;
	c->user = user;
	c->input = strdup(input);
	(void)snprintf(path, sizeof(path), "%s/%s", directory, agent);
	if (access(path, X_OK) < 0)
		return cl_error_errno(err, -errno, "%s", path);
	in = input_fd(input, err);
	if (!c->input || in < 0)
		return in < 0 ? in : cl_error_set(err, -ENOMEM, "out of memory");
	r = pipe_new(&c->out_fd, &out, err);
	if (r == 0)
		r = pipe_new(&life, &c->life_fd, err);
	if (r == 0)
		r = spawn(c, guard ? guard : PKGLIBEXECDIR "/clusterd-fence-guard", path,
			  &(struct ends){ in, out, life }, err);
	if (r == 0)
		r = watch(c, loop, err);
	if (r == 0)
		*ret = cl_steal(c);
	return r;
}
