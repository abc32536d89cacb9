/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fuzz [--seconds S] [--runs N] [--seed N] [TARGET [FILE...]]
 *
 * Without FILE: each target gets its share of the time, each input from a seed of its own, so that a
 * finding is repeated by `--seed N --runs 1`, which is printed, or by the file it was written to.
 * With FILE: those inputs. Built with FUZZ_ENTRY=NAME and clang's -fsanitize=fuzzer, or AFL's
 * driver, the same targets are run by those.
 */
#include "config.h"

#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

static struct {
	const struct fuzz_target *target;
	uint32_t seed;
	uint8_t data[2 * FUZZ_MAX];
	size_t len;
} now;

static uint64_t random_state;

uint32_t fuzz_random(void)
{
	/* splitmix64 */
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(z ^ z >> 31);
}

/* ---- findings -------------------------------------------------------------------------------------- */

/* From a signal handler, too: nothing but system calls. */
static void keep_input(void)
{
	static const char path[] = "fuzz-finding";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd >= 0 && write(fd, now.data, now.len) == (ssize_t)now.len)
		(void)!write(2, "input kept in fuzz-finding\n", 27);
}

static void say_where(void)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "fuzz: finding in %s; replay: --seed %u --runs 1 %s\n",
			 now.target ? now.target->name : "?", now.seed,
			 now.target ? now.target->name : "");

	(void)!write(2, text, (size_t)n);
	keep_input();
}

static void on_signal(int signo)
{
	say_where();
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
}

void fuzz_claim(bool holds, const char *what)
{
	if (holds)
		return;
	(void)fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* ---- damage ---------------------------------------------------------------------------------------- */

static void flip(uint8_t *d, size_t *len)
{
	if (*len)
		d[fuzz_random() % *len] ^= (uint8_t)(1u << fuzz_random() % 8);
}

static void set_number(uint8_t *d, size_t *len)
{
	static const uint64_t odd[] = { 0,	    1,		0x7f,		0x80,
					0xff,	    0xffff,	0x7fffffff,	0x80000000,
					0xffffffff, UINT64_MAX, UINT64_MAX >> 1 };
	uint64_t x = odd[fuzz_random() % (sizeof(odd) / sizeof(odd[0]))];
	size_t size = (size_t)1 << fuzz_random() % 4;

	if (*len >= size)
		memcpy(d + fuzz_random() % (*len - size + 1), &x, size);
}

static void cut(uint8_t *d, size_t *len)
{
	size_t at = *len ? fuzz_random() % *len : 0,
	       n = *len - at ? fuzz_random() % (*len - at) : 0;

	memmove(d + at, d + at + n, *len - at - n);
	*len -= n;
}

static void repeat(uint8_t *d, size_t *len)
{
	size_t at = *len ? fuzz_random() % *len : 0,
	       n = *len - at ? fuzz_random() % (*len - at) : 0;

	if (n > 64)
		n = 64;
	if (*len + n > FUZZ_MAX)
		return;
	memmove(d + at + n, d + at, *len - at);
	*len += n;
}

static void scribble(uint8_t *d, size_t *len)
{
	size_t at = *len ? fuzz_random() % *len : 0;

	for (size_t i = at; i < *len && i < at + 8; i++)
		d[i] = (uint8_t)fuzz_random();
}

static void shorten(uint8_t *d, size_t *len)
{
	(void)d;
	*len = *len ? fuzz_random() % *len : 0;
}

static void damage(uint8_t *d, size_t *len)
{
	static void (*const ways[])(uint8_t *, size_t *) = { flip, flip,   set_number, set_number,
							     cut,  repeat, scribble,   shorten };
	uint32_t times = fuzz_random() % 6; /* 0: as it is */

	for (uint32_t i = 0; i < times; i++)
		ways[fuzz_random() % (sizeof(ways) / sizeof(ways[0]) - (i > 0))](d, len);
}

/* ---- running --------------------------------------------------------------------------------------- */

static void run_one(const struct fuzz_target *t, uint32_t seed)
{
	now.target = t;
	now.seed = seed;
	random_state = seed * UINT64_C(0x100000001b3) + 1;
	now.len = t->seed(fuzz_random(), now.data, FUZZ_MAX);
	damage(now.data, &now.len);
	t->one(now.data, now.len);
}

static double seconds(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void run_target(const struct fuzz_target *t, double time, unsigned long runs, uint32_t seed)
{
	double end = seconds() + time;
	unsigned long n = 0;

	for (; runs ? n < runs : n % 16 || seconds() < end; n++)
		run_one(t, seed + (uint32_t)n);
	(void)printf("%-16s %lu inputs from seed %u\n", t->name, n, seed);
	(void)fflush(stdout);
}

static int run_file(const struct fuzz_target *t, const char *path)
{
	FILE *f = fopen(path, "re");

	if (!f) {
		perror(path);
		return 2;
	}
	now.target = t;
	now.len = fread(now.data, 1, sizeof(now.data), f);
	(void)fclose(f);
	t->one(now.data, now.len);
	return 0;
}

static const struct fuzz_target *find(const char *name)
{
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		if (strcmp(t->name, name) == 0)
			return t;
	(void)fprintf(stderr, "fuzz: no target '%s'; there are:", name);
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		(void)fprintf(stderr, " %s", t->name);
	(void)fputc('\n', stderr);
	exit(2);
}

static void run_all(double time, unsigned long runs, uint32_t seed)
{
	unsigned shares = 0;

	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		shares += t->share ? t->share : 1;
	for (const struct fuzz_target *t = fuzz_targets; t->name; t++)
		run_target(t, time * (t->share ? t->share : 1) / shares, runs, seed);
}

#ifdef FUZZ_ENTRY
#define TEXT(x) TEXT_(x)
#define TEXT_(x) #x
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cl_log_init("fuzz", CL_LOG_CRIT);
	find(TEXT(FUZZ_ENTRY))->one(data, len);
	return 0;
}
#else
int main(int argc, char *argv[])
{
	const struct fuzz_target *t = NULL;
	unsigned long runs = 0;
	uint32_t seed = 1;
	double time = 2;
	int r = 0, i = 1;

	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "--seconds") == 0)
			time = atof(argv[i + 1]);
		else if (strcmp(argv[i], "--runs") == 0)
			runs = strtoul(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--seed") == 0)
			seed = (uint32_t)strtoul(argv[i + 1], NULL, 10);
	}
	cl_log_init("fuzz", CL_LOG_CRIT);
	for (const int *s = (const int[]){ SIGSEGV, SIGABRT, SIGBUS, SIGFPE, 0 }; *s; s++)
		(void)signal(*s, on_signal);
	if (i < argc)
		t = find(argv[i++]);
	for (; t && i < argc && r == 0; i++)
		r = run_file(t, argv[i]);
	if (now.len || r)
		return r;
	if (t)
		run_target(t, time, runs, seed);
	else
		run_all(time, runs, seed);
	return 0;
}
#endif
