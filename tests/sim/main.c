/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim --seeds A-B|A,B,.. [--nodes N] [--defect NAME] [--trace] [--jobs N] [--until-fail]
 *     [--suite NAME] [--list-defects] [--quiet]
 *
 * Per failing seed one line, at last `N passed, N failed`; status 1 when a seed failed.
 * --until-fail stops at the first failing seed. --list-defects prints the switches.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/assert.h"
#include "lib/vec.h"
#include "tests/sim/suite.h"

static const struct suite *const suites[] = { &cluster_suite, &witness_suite, &raft_suite, NULL };

CL_DEFINE_VEC(seed_vec, uint64_t);

struct options {
	struct seed_vec seeds;
	unsigned nodes, jobs;
	const char *defect, *suite;
	bool until_fail, quiet;
};

static struct sim *running;

void suite_running(struct sim *s)
{
	running = s;
}

_Noreturn void suite_fail(const char *invariant, const char *text)
{
	fprintf(sim_report, "FAIL invariant=%s t=0 step=0; %s\n", invariant, text);
	fflush(sim_report);
	_exit(1);
}

static void on_assert(const char *expr, const char *file, int line)
{
	const char *base = strrchr(file, '/');

	if (running)
		sim_fail(running, "assert", "%s:%d: %s", base ? base + 1 : file, line, expr);
}

/* ---- a seed in its own process ----------------------------------------------------------- */

struct job {
	pid_t pid;
	int fd;
	uint64_t seed;
	const struct suite *suite;
};

struct totals {
	uint64_t passed, failed, events;
};

static void child(const struct options *o, const struct job *job, int fd)
{
	struct suite_args args = { .seed = job->seed, .nodes = o->nodes, .defect = o->defect };
	uint64_t steps;

	sim_report = fdopen(fd, "w");
	cl_assert(sim_report);
	cl_assert_hook = on_assert;
	/* The failing assert is in the report; its own log line would only drown the rest. */
	if (!sim_tracing && !freopen("/dev/null", "w", stderr))
		_exit(1);
	steps = job->suite->run(&args);
	fprintf(sim_report, "%" PRIu64 "\n", steps);
	fflush(sim_report);
	fflush(stdout);
	_exit(0);
}

static void job_start(const struct options *o, struct job *job)
{
	int p[2];

	fflush(stdout);
	cl_assert(pipe(p) == 0);
	job->pid = fork();
	cl_assert(job->pid >= 0);
	if (job->pid == 0)
		child(o, job, p[1]);
	close(p[1]);
	job->fd = p[0];
}

static void say_failure(const struct options *o, const struct job *job, const char *line,
			int status)
{
	const char *rest = strchr(line, ';');
	char nodes[32] = "", defect[64] = "", model[32] = "";

	if (o->nodes)
		snprintf(nodes, sizeof(nodes), " NODES=%u", o->nodes);
	if (o->defect)
		snprintf(defect, sizeof(defect), " DEFECT=%s", o->defect);
	if (o->suite)
		snprintf(model, sizeof(model), " MODEL=%s", o->suite);
	if (strncmp(line, "FAIL ", 5) == 0 && rest)
		printf("seed=%" PRIu64 " %.*s; replay: make check-sim SEEDS=%" PRIu64
		       "%s%s%s TRACE=1 # %s:%s",
		       job->seed, (int)(rest - line), line, job->seed, nodes, defect, model,
		       job->suite->name, rest + 1);
	else
		printf("seed=%" PRIu64 " FAIL invariant=crash t=0 step=0; replay: make check-sim "
		       "SEEDS=%" PRIu64 "%s%s%s TRACE=1 # %s: signal %d\n",
		       job->seed, job->seed, nodes, defect, model, job->suite->name,
		       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static bool job_finish(const struct options *o, struct job *job, struct totals *t)
{
	char line[1024];
	size_t n = 0;
	ssize_t got;
	int status = 0;

	while (n < sizeof(line) - 1 && (got = read(job->fd, line + n, sizeof(line) - 1 - n)) > 0)
		n += (size_t)got;
	line[n] = 0;
	close(job->fd);
	(void)waitpid(job->pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		t->passed++;
		t->events += strtoull(line, NULL, 10);
		return true;
	}
	t->failed++;
	if (!o->quiet)
		say_failure(o, job, line, status);
	return false;
}

/* ---- all of them, in order of seeds ------------------------------------------------------- */

static bool takes_part(const struct options *o, const struct suite *s)
{
	if (o->suite)
		return strcmp(o->suite, s->name) == 0 && (!o->defect || s->takes_defect(o->defect));
	return !o->defect || s->knows_defect(o->defect);
}

static struct totals run_suite(const struct options *o, const struct suite *s)
{
	struct job *job = calloc(o->jobs, sizeof(*job));
	struct totals t = { 0 };
	size_t begun = 0, done = 0;
	bool stop = false;

	cl_assert(job);
	while (done < begun || (begun < o->seeds.n && !stop)) {
		if (begun < o->seeds.n && begun - done < o->jobs && !stop) {
			struct job *j = &job[begun % o->jobs];

			j->seed = o->seeds.v[begun++];
			j->suite = s;
			job_start(o, j);
			continue;
		}
		if (!job_finish(o, &job[done++ % o->jobs], &t) && o->until_fail)
			stop = true;
	}
	free(job);
	return t;
}

static int list_defects(void)
{
	for (int i = 0; suites[i]; i++)
		for (unsigned k = 0; suites[i]->defect_at(k); k++)
			puts(suites[i]->defect_at(k));
	return 0;
}

/* ---- options ----------------------------------------------------------------------------- */

static bool add_range(struct seed_vec *v, const char *text)
{
	char *end;
	uint64_t a = strtoull(text, &end, 10), b = a;

	if (end == text)
		return false;
	if (*end == '-') {
		text = end + 1;
		b = strtoull(text, &end, 10);
	}
	if (end == text || *end || b < a || b - a > 10000000)
		return false;
	for (; a <= b; a++)
		cl_assert(seed_vec_push(v, a) == 0);
	return true;
}

static bool parse_seeds(struct seed_vec *v, char *text)
{
	for (char *save = NULL, *p = strtok_r(text, ",", &save); p; p = strtok_r(NULL, ",", &save))
		if (!add_range(v, p))
			return false;
	return v->n > 0;
}

static int usage(const char *what)
{
	fprintf(stderr, "sim: %s: need --seeds A-B or A,B,..; --nodes 3..16; a known --defect\n",
		what);
	return 2;
}

static bool defect_known(const char *name)
{
	for (int i = 0; suites[i]; i++)
		if (suites[i]->knows_defect(name))
			return true;
	return false;
}

static const struct option long_options[] = {
	{ "seeds", required_argument, NULL, 's' },  { "nodes", required_argument, NULL, 'n' },
	{ "defect", required_argument, NULL, 'd' }, { "jobs", required_argument, NULL, 'j' },
	{ "suite", required_argument, NULL, 'u' },  { "trace", no_argument, NULL, 't' },
	{ "until-fail", no_argument, NULL, 'f' },   { "quiet", no_argument, NULL, 'q' },
	{ "list-defects", no_argument, NULL, 'l' }, { NULL },
};

static int parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (c == 's' && !parse_seeds(&o->seeds, optarg))
			return usage("bad seeds");
		else if (c == 'n')
			o->nodes = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'd' && *optarg)
			o->defect = optarg;
		else if (c == 'j')
			o->jobs = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'u')
			o->suite = optarg;
		else if (c == 't')
			sim_tracing = true;
		else if (c == 'f')
			o->until_fail = true;
		else if (c == 'q')
			o->quiet = true;
		else if (c == 'l')
			exit(list_defects());
		else if (c == '?')
			return usage("bad option");
	}
	if (!o->seeds.n)
		return usage("no seeds");
	if (o->nodes && (o->nodes < 3 || o->nodes > 16))
		return usage("bad number of nodes");
	if (o->defect && !defect_known(o->defect))
		return usage(o->defect);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .jobs = (unsigned)sysconf(_SC_NPROCESSORS_ONLN) };
	struct totals sum = { 0 };
	int r = parse(argc, argv, &o);

	if (r)
		return r;
	if (sim_tracing || o.jobs < 1)
		o.jobs = 1;
	for (int i = 0; suites[i]; i++) {
		struct totals t;

		if (!takes_part(&o, suites[i]))
			continue;
		t = run_suite(&o, suites[i]);
		sum.passed += t.passed;
		sum.failed += t.failed;
		sum.events += t.events;
	}
	printf("# %" PRIu64 " events\n", sum.events);
	printf("%" PRIu64 " passed, %" PRIu64 " failed\n", sum.passed, sum.failed);
	seed_vec_fini(&o.seeds);
	return sum.failed ? 1 : 0;
}
