/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One node at one LUN, for drills: a control, one data session and a writer, ordered about by lines
 * on stdin, telling what happens by lines on stdout. It decides nothing.
 *
 *   coordinate [N:I ...]    become coordinator; living = these     -> holding KEY | down WHY
 *   allow N I               permit a nexus                         -> allowed KEY
 *   seen KEY                is it there                            -> seen yes|no
 *   fence N I               kill all of node N up to incarnation I -> paid MS | unpaid WHY
 *   open KEY [PORTAL]       data session: login, REGISTER          -> registered | refused WHY
 *   go                                                             -> going | nogo WHY
 *   write N DELAY [EVERY]   N writers at once, until stop; each EVERYth (all: 1) write held DELAY ms
 *   stop                    writers end after what they have out   -> stopped OK CONFLICT LOST REFUSED
 *   barrier                 a barrier was answered
 *   keys                                                           -> keys KEY...
 *   quit
 */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iscsi/chap.h"
#include "iscsi/control.h"
#include "iscsi/lun_loop.h"
#include "lib/log.h"
#include "tests/lun/stamp.h"

#define WRITERS_MAX 64
#define BLOCK 4096

struct node;

struct writer {
	struct lun_io io;
	struct node *node;
	struct iovec iov;
	bool out;
	uint8_t *block;
};

struct node {
	struct cl_loop *loop;
	struct lun_url url;
	unsigned id;
	uint64_t incarnation;
	uint8_t type; /* of the reservation */
	char control_name[128], data_name[128];
	int witness; /* the shim's log: fence reports go there, in its order; -1 = none */
	struct lun_control *control;
	struct lun_loop *control_loop;
	struct lun_session *data;
	struct lun_loop *data_loop;
	struct lun_cmd cmd;
	struct pr_match living[16];
	size_t n_living;
	int64_t asked_ms;
	struct writer writers[WRITERS_MAX];
	unsigned n_writers, delay_ms, every, generation;
	uint64_t seq, ends[LUN_UNSUPPORTED + 1];
	bool writing;
	struct cl_source *retry;
	unsigned defects;
	char line[512];
	size_t len;
};

static int64_t now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

#define say(...) (printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

static void witness(struct node *n, const char *what)
{
	if (n->witness >= 0)
		(void)!write(n->witness, what, strlen(what));
}

/* ---- control ---- */

static void on_control_changed(void *user, struct lun_control *control)
{
	struct node *n = user;

	(void)control;
	if (n->control_loop)
		lun_loop_update(n->control_loop);
}

static void on_control_state(void *user, struct lun_control *control, enum lun_control_state state,
			     const struct cl_error *why)
{
	struct node *n = user;

	(void)n;
	if (state == LUN_CONTROL_HOLDING) {
		witness(n, "H holding\n");
		say("holding %016" PRIx64, lun_control_key(control));
	} else
		say("control %s %s", lun_control_state_name(state), why ? why->msg : "");
}

static void on_ask(void *user, struct lun_control *control)
{
	struct node *n = user;

	lun_control_log_says(control, true, n->living, n->n_living);
}

static void on_stray(void *user, struct lun_control *control, uint64_t key)
{
	(void)user;
	(void)control;
	say("stray %016" PRIx64, key);
}

static void on_paid(void *user, bool paid, const struct cl_error *why)
{
	struct node *n = user;

	if (paid) {
		witness(n, "F fence reported\n");
		say("paid %" PRId64, now_ms() - n->asked_ms);
	} else
		say("unpaid %s", why->msg);
}

static void on_seen(void *user, bool seen, const char *why)
{
	(void)user;
	say("seen %s %s", seen ? "yes" : "no", why ? why : "");
}

/* ---- data ---- */

static void on_data_changed(void *user, struct lun_session *session)
{
	struct node *n = user;

	(void)session;
	if (n->data_loop)
		lun_loop_update(n->data_loop);
}

static void on_registered(struct lun_cmd *cmd)
{
	if (cmd->answer.result == LUN_OK)
		say("registered");
	else
		say("refused %s", lun_result_name(cmd->answer.result));
}

static void register_key(struct node *n)
{
	n->cmd = (struct lun_cmd){
		.op = { .kind = PR_OP_REGISTER, .arg = lun_session_key(n->data) },
		.done = on_registered,
	};
	(void)lun_session_command(n->data, &n->cmd);
}

static void on_data_state(void *user, struct lun_session *session, enum lun_session_state state,
			  const struct cl_error *why)
{
	struct node *n = user;

	say("data %s %s", lun_session_state_name(state), why ? why->msg : "");
	if (state == LUN_READY)
		register_key(n);
	if (state == LUN_DEAD) {
		lun_loop_free(n->data_loop);
		n->data_loop = NULL;
		lun_session_free(session);
		n->data = NULL;
	}
}

static void data_open(struct node *n, uint64_t key, unsigned portal)
{
	struct lun_session_config c = {
		.url = &n->url,
		.portal = portal < n->url.n_portals ? portal : 0,
		.initiator = n->data_name,
		.isid = n->id,
		.isid_qualifier = 2,
		.role = LUN_ROLE_DATA,
		.key = key,
		.pr_type = n->type,
		.defects = n->defects,
		.hooks = { .user = n, .changed = on_data_changed, .state = on_data_state },
	};
	struct cl_error err = CL_ERROR_INIT;

	if (n->data) {
		lun_loop_free(n->data_loop);
		n->data_loop = NULL;
		lun_session_free(n->data);
		n->data = NULL;
	}
	if (lun_session_new(&c, &n->data, &err) < 0 ||
	    lun_loop_session(n->loop, n->data, &n->data_loop) < 0)
		say("refused %s", err.msg);
}

static void go(struct node *n)
{
	struct cl_error err = CL_ERROR_INIT;

	if (n->data && lun_session_go(n->data, &err) == 0)
		say("going");
	else
		say("nogo %s", n->data ? err.msg : "no session");
}

/* ---- the writer ---- */

static void write_next(struct writer *w);

static void report_stop(struct node *n)
{
	for (unsigned i = 0; i < n->n_writers; i++)
		if (n->writers[i].out)
			return;
	say("stopped %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, n->ends[LUN_OK],
	    n->ends[LUN_CONFLICT], n->ends[LUN_LOST], n->ends[LUN_REFUSED]);
}

static void on_written(struct lun_io *io, enum lun_result result)
{
	struct writer *w = io->user;

	w->out = false;
	w->node->ends[result]++;
	if (result == LUN_ERROR)
		say("error %s", strerror(-lun_io_errno(io, result)));
	if (!w->node->writing)
		report_stop(w->node);
	else if (result == LUN_OK)
		write_next(w);
	else
		(void)cl_timer_set_in(w->node->retry, 5);
}

static void write_next(struct writer *w)
{
	struct node *n = w->node;
	uint64_t seq = ++n->seq;
	struct stamp stamp = {
		.magic = STAMP_MAGIC,
		.node = n->id,
		.generation = n->generation,
		.seq = seq,
		.delay_ms = seq % n->every == 0 ? n->delay_ms : 0,
	};
	enum lun_result r = LUN_LOST;

	memcpy(w->block, &stamp, sizeof(stamp));
	w->iov = (struct iovec){ w->block, BLOCK };
	w->io = (struct lun_io){
		.dir = LUN_WRITE,
		.offset = seq % 1024 * BLOCK,
		.length = BLOCK,
		.iov = &w->iov,
		.iovcnt = 1,
		.done = on_written,
		.user = w,
	};
	if (n->data)
		r = lun_submit(lun_session_data(n->data), &w->io);
	w->out = r == LUN_OK;
	if (r != LUN_OK) {
		n->ends[r]++;
		(void)cl_timer_set_in(n->retry, 5);
	}
}

/* A writer that was refused tries again: it is the session that has to hold it back, not its manners. */
static void on_retry(void *user)
{
	struct node *n = user;

	for (unsigned i = 0; n->writing && i < n->n_writers; i++)
		if (!n->writers[i].out)
			write_next(&n->writers[i]);
}

static void start_writing(struct node *n, unsigned writers, unsigned delay_ms, unsigned every)
{
	n->n_writers = writers < WRITERS_MAX ? writers : WRITERS_MAX;
	n->delay_ms = delay_ms;
	n->every = every ? every : 1;
	n->generation++;
	n->writing = true;
	memset(n->ends, 0, sizeof(n->ends));
	for (unsigned i = 0; i < n->n_writers; i++)
		write_next(&n->writers[i]);
	say("writing");
}

/* ---- orders ---- */

static void on_keys(struct lun_cmd *cmd)
{
	printf("keys");
	for (size_t i = 0; i < cmd->answer.n_keys; i++)
		printf(" %016" PRIx64, cmd->answer.keys[i]);
	say("%s", "");
}

static void take_living(struct node *n, char *words)
{
	char *save = NULL;

	n->n_living = 0;
	for (char *w = strtok_r(words, " ", &save); w && n->n_living < 16;
	     w = strtok_r(NULL, " ", &save)) {
		struct pr_match m = { .kind = PR_MATCH_NODE };

		if (sscanf(w, "%u:%" SCNu64, &m.node, &m.incarnation) == 2)
			n->living[n->n_living++] = m;
	}
}

static void coordinate(struct node *n, char *words)
{
	struct cl_error err = CL_ERROR_INIT;

	take_living(n, words);
	if (lun_control_coordinate(n->control, &err) < 0)
		say("down %s", err.msg);
}

static void fence(struct node *n, unsigned node, uint64_t incarnation)
{
	const struct pr_match m = {
		.kind = PR_MATCH_NODE_UP_TO,
		.node = node,
		.incarnation = incarnation,
	};
	struct cl_error err = CL_ERROR_INIT;

	n->asked_ms = now_ms();
	if (lun_control_fence(n->control, &m, 1, on_paid, n, &err) < 0)
		say("unpaid %s", err.msg);
}

static void allow(struct node *n, unsigned node, uint64_t incarnation)
{
	struct cl_error err = CL_ERROR_INIT;
	uint64_t key;

	if (lun_control_allow(n->control, node, incarnation, &key, &err) == 0)
		say("allowed %016" PRIx64, key);
	else
		say("notallowed %s", err.msg);
}

static void read_keys(struct node *n)
{
	n->cmd = (struct lun_cmd){ .op = { .kind = PR_OP_READ_KEYS }, .done = on_keys };
	if (!n->data || lun_session_command(n->data, &n->cmd) != LUN_OK)
		say("keys ?");
}

static void order(struct node *n, char *line)
{
	unsigned a = 0, b = 0, every = 1;
	uint64_t x = 0;

	if (strncmp(line, "coordinate", 10) == 0)
		coordinate(n, line + 10);
	else if (sscanf(line, "allow %u %" SCNu64, &a, &x) == 2)
		allow(n, a, x);
	else if (sscanf(line, "seen %" SCNx64, &x) == 1) {
		if (lun_control_seen(n->control, x, on_seen, n) < 0)
			say("seen no not holding");
	} else if (sscanf(line, "fence %u %" SCNu64, &a, &x) == 2)
		fence(n, a, x);
	else if (sscanf(line, "open %" SCNx64 " %u", &x, &a) >= 1)
		data_open(n, x, a);
	else if (strcmp(line, "go") == 0)
		go(n);
	else if (sscanf(line, "write %u %u %u", &a, &b, &every) >= 2)
		start_writing(n, a, b, every);
	else if (strcmp(line, "stop") == 0) {
		n->writing = false;
		report_stop(n);
	} else if (strcmp(line, "barrier") == 0) {
		if (n->data)
			lun_session_barrier_answered(n->data);
	} else if (strcmp(line, "keys") == 0)
		read_keys(n);
	else if (strcmp(line, "quit") == 0)
		cl_loop_stop(n->loop);
	else
		say("what? %s", line);
}

static void on_stdin(void *user, int fd, uint32_t revents)
{
	struct node *n = user;
	ssize_t got = read(fd, n->line + n->len, sizeof(n->line) - 1 - n->len);
	char *nl;

	(void)revents;
	if (got <= 0) {
		cl_loop_stop(n->loop);
		return;
	}
	n->len += (size_t)got;
	n->line[n->len] = '\0';
	while ((nl = strchr(n->line, '\n'))) {
		char line[sizeof(n->line)];

		*nl = '\0';
		(void)snprintf(line, sizeof(line), "%s", n->line);
		n->len -= (size_t)(nl + 1 - n->line);
		memmove(n->line, nl + 1, n->len + 1);
		order(n, line);
	}
	if (n->len >= sizeof(n->line) - 1)
		n->len = 0;
}

static int start(struct node *n, bool coordinator)
{
	struct lun_control_config c = {
		.url = &n->url,
		.initiator = n->control_name,
		.node = n->id,
		.incarnation = n->incarnation,
		.pr_type = n->type,
		.defects = n->defects,
		.check_ms = 1000,
		.hooks = { .user = n,
			   .changed = on_control_changed,
			   .state = on_control_state,
			   .ask_log = on_ask,
			   .stray = on_stray },
	};
	struct cl_error err = CL_ERROR_INIT;
	struct cl_source *in;

	if (cl_loop_new(&n->loop) < 0 || cl_timer_new(n->loop, on_retry, n, &n->retry) < 0 ||
	    cl_fd_new(n->loop, 0, POLLIN, on_stdin, n, &in) < 0)
		return -1;
	for (int i = 0; i < WRITERS_MAX; i++) {
		n->writers[i].node = n;
		n->writers[i].block = calloc(1, BLOCK);
	}
	if (!coordinator)
		return 0;
	if (lun_control_new(&c, &n->control, &err) < 0 ||
	    lun_loop_control(n->loop, n->control, &n->control_loop) < 0) {
		fprintf(stderr, "lun-node: %s\n", err.msg);
		return -1;
	}
	return 0;
}

static unsigned defect(const char *name)
{
	if (strcmp(name, "no-barrier") == 0)
		return LUN_DEFECT_NO_BARRIER;
	if (strcmp(name, "no-repeat") == 0)
		return LUN_DEFECT_NO_REPEAT;
	if (strcmp(name, "no-go") == 0)
		return LUN_DEFECT_NO_GO;
	return strcmp(name, "no-check") == 0 ? LUN_DEFECT_NO_CHECK : 0;
}

int main(int argc, char **argv)
{
	static struct node n = { .witness = -1, .id = 1, .incarnation = 1, .type = 6 };
	static const struct option options[] = {
		{ "url", required_argument, NULL, 'u' },
		{ "node", required_argument, NULL, 'n' },
		{ "incarnation", required_argument, NULL, 'i' },
		{ "witness", required_argument, NULL, 'w' },
		{ "coordinator", no_argument, NULL, 'c' },
		{ "chap", required_argument, NULL, 's' },
		{ "type", required_argument, NULL, 't' },
		{ "defect", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 },
	};
	struct cl_error err = CL_ERROR_INIT;
	bool coordinator = false;
	int o;

	cl_log_init("lun-node", CL_LOG_INFO);
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'u' && lun_url_parse(optarg, &n.url, &err) < 0) {
			fprintf(stderr, "lun-node: %s (%s)\n", err.msg, err.hint);
			return 2;
		}
		if (o == 'n')
			n.id = (unsigned)atoi(optarg);
		if (o == 'i')
			n.incarnation = strtoull(optarg, NULL, 10);
		if (o == 'w')
			n.witness = open(optarg, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
		if (o == 'c')
			coordinator = true;
		if (o == 't')
			n.type = (uint8_t)atoi(optarg);
		if (o == 's')
			lun_chap_set_file(optarg);
		if (o == 'd')
			n.defects |= defect(optarg);
		if (o == '?')
			return 2;
	}
	(void)snprintf(n.control_name, sizeof(n.control_name),
		       "iqn.2026-01.org.clusterd:node%u.control", n.id);
	(void)snprintf(n.data_name, sizeof(n.data_name), "iqn.2026-01.org.clusterd:node%u.data",
		       n.id);
	if (!n.url.n_portals || start(&n, coordinator) < 0)
		return 2;
	cl_loop_run(n.loop);
	_exit(0); /* as a process dies: no logout, nothing unregistered */
}
