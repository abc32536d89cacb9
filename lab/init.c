/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PID 1 of a lab node: starts the node's daemons, restarts them when they die as systemd would
 * (Restart=always, KillMode=process: what a dead daemon had started lives on), reaps orphans.
 *
 *   lab-init SERVICES        a file of lines "NAME DELAY_MS COMMAND [ARGUMENT]...", # comments
 *
 * Each daemon's pid is in /run/lab/NAME.pid while it lives, its output in /var/log/NAME.log, our
 * own words in /var/log/init.log. DELAY_MS passes between a death and the restart; it doubles up to
 * DELAY_MAX_MS while the daemon dies within STEADY_MS of its start. Nothing ends this process but
 * the node's power: lab/lab kills the whole cgroup.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PID_DIR "/run/lab"
#define LOG_DIR "/var/log"

enum { SERVICES_MAX = 16, WORDS_MAX = 32, STEADY_MS = 5000, DELAY_MAX_MS = 2000 };

struct service {
	char *name;
	char *argv[WORDS_MAX];
	int64_t delay_ms; /* between a death and the restart, when it had been steady */
	int64_t next_delay_ms;
	int64_t started_ms;
	int64_t start_at_ms; /* when pid is 0 */
	pid_t pid;
};

static struct service services[SERVICES_MAX];
static size_t n_services;

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	struct timespec ts;
	struct tm tm;
	char stamp[32];
	va_list ap;

	clock_gettime(CLOCK_REALTIME, &ts);
	localtime_r(&ts.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%b %d %H:%M:%S", &tm);
	fprintf(stderr, "%s.%03ld init: ", stamp, ts.tv_nsec / 1000000);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void log_to(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), LOG_DIR "/%s.log", name);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		say("%s: %s", path, strerror(errno));
		return;
	}
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

/* Written aside and renamed: a reader sees a whole pid or none. pid 0: no such daemon now. */
static void record_pid(const struct service *s)
{
	char path[256], aside[256];
	FILE *f;

	snprintf(path, sizeof(path), PID_DIR "/%s.pid", s->name);
	if (s->pid == 0) {
		unlink(path);
		return;
	}
	snprintf(aside, sizeof(aside), PID_DIR "/.%s.pid", s->name);
	f = fopen(aside, "we");
	if (!f) {
		say("%s: %s", aside, strerror(errno));
		return;
	}
	fprintf(f, "%d\n", (int)s->pid);
	fclose(f);
	rename(aside, path);
}

__attribute__((noreturn)) static void become(struct service *s)
{
	sigset_t none;
	int fd;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL); /* our starter may have ignored SIGINT */
	setsid();
	fd = open("/dev/null", O_RDONLY);
	if (fd > STDIN_FILENO) {
		dup2(fd, STDIN_FILENO);
		close(fd);
	}
	log_to(s->name);
	execv(s->argv[0], s->argv);
	say("%s: %s", s->argv[0], strerror(errno));
	_exit(127);
}

static void service_start(struct service *s)
{
	pid_t pid = fork();

	if (pid < 0) {
		say("%s: fork: %s", s->name, strerror(errno));
		s->start_at_ms = now_ms() + DELAY_MAX_MS;
		return;
	}
	if (pid == 0)
		become(s);
	s->pid = pid;
	s->started_ms = now_ms();
	record_pid(s);
	say("%s started, pid %d", s->name, (int)pid);
}

static void service_died(struct service *s, int status)
{
	int64_t now = now_ms();

	if (now - s->started_ms >= STEADY_MS)
		s->next_delay_ms = s->delay_ms;
	s->pid = 0;
	record_pid(s);
	s->start_at_ms = now + s->next_delay_ms;
	if (WIFSIGNALED(status))
		say("%s killed by signal %d, again in %d ms", s->name, WTERMSIG(status),
		    (int)s->next_delay_ms);
	else
		say("%s exited with %d, again in %d ms", s->name, WEXITSTATUS(status),
		    (int)s->next_delay_ms);
	s->next_delay_ms *= 2;
	if (s->next_delay_ms > DELAY_MAX_MS)
		s->next_delay_ms = DELAY_MAX_MS;
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < n_services; i++) {
			if (services[i].pid == pid)
				service_died(&services[i], status);
		}
	}
}

/* Starts what is due; returns the time until the next is, -1 when nothing waits. */
static int64_t start_due(void)
{
	int64_t now = now_ms(), next = -1;

	for (size_t i = 0; i < n_services; i++) {
		struct service *s = &services[i];

		if (s->pid == 0 && s->start_at_ms <= now)
			service_start(s);
		if (s->pid == 0) {
			int64_t left = s->start_at_ms > now ? s->start_at_ms - now : 0;

			next = next < 0 || left < next ? left : next;
		}
	}
	return next;
}

/* One line of the file into s; false: not a service. The words point into line. */
static bool service_parse(char *line, struct service *s)
{
	char *save = NULL, *name = strtok_r(line, " \t\n", &save), *delay;
	int n = 0;

	if (!name || *name == '#')
		return false;
	delay = strtok_r(NULL, " \t\n", &save);
	if (!delay)
		return false;
	while (n < WORDS_MAX - 1 && (s->argv[n] = strtok_r(NULL, " \t\n", &save)))
		n++;
	s->argv[n] = NULL;
	s->name = name;
	s->delay_ms = s->next_delay_ms = strtol(delay, NULL, 10);
	return n > 0;
}

static int services_load(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[1024];

	if (!f) {
		say("%s: %s", path, strerror(errno));
		return -1;
	}
	while (n_services < SERVICES_MAX && fgets(line, sizeof(line), f)) {
		char *copy = strdup(line); /* lives as long as the service: for ever */

		if (copy && service_parse(copy, &services[n_services]))
			n_services++;
		else
			free(copy);
	}
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	sigset_t child;

	if (argc != 2) {
		fprintf(stderr, "usage: lab-init SERVICES\n");
		return 2;
	}
	mkdir(PID_DIR, 0755);
	log_to("init");
	if (services_load(argv[1]) < 0)
		return 1;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	for (;;) {
		int64_t left;

		reap();
		left = start_due();
		if (left < 0) {
			sigwaitinfo(&child, NULL);
		} else {
			struct timespec ts = { left / 1000, left % 1000 * 1000000 };

			sigtimedwait(&child, NULL, &ts);
		}
	}
}
