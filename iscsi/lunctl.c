/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * lunctl: looks at a LUN as the cluster sees it. For diagnosis and drills; it decides nothing, and what
 * it changes it changes only on an explicit verb.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iscsi/chap.h"
#include "iscsi/lun.h"
#include "iscsi/portals.h"
#include "iscsi/probe.h"
#include "lib/log.h"
#include "lib/monotime.h"

/* Of a process that reads or writes by hand; nobody's node. */
#define SCRATCH_KEY UINT64_C(0xc46c756e63746c01)

static const char help_text[] =
	"usage: lunctl [--json] [--initiator IQN] [--timeout SECONDS] [--chap FILE] VERB URL "
	"[ARGS]\n"
	"\n"
	"  probe URL                   does the target fence? (only on a LUN that nobody uses)\n"
	"  info URL                    what it is, its name, and how large\n"
	"  portals URL                 do all portals of the address lead to the same LUN?\n"
	"  keys URL                    registered keys, with the nodes they belong to\n"
	"  reservation URL             type and holder\n"
	"  register URL KEY            register KEY on a nexus of this process, then go: it stays "
	"as a\n"
	"                              zombie until somebody preempts it\n"
	"  fence URL KEY VICTIM        register KEY, preempt VICTIM, reset, read the keys\n"
	"  reset URL                   logical unit reset, timed: how slow is the slowest write?\n"
	"\n"
	"  read URL OFFSET BYTES       blocks to stdout; only on a LUN without a reservation\n"
	"  write URL OFFSET BYTES      blocks from stdin; only on a LUN without a reservation\n"
	"\n"
	"Secrets of a target (CHAP) are read from /etc/clusterd/chap.conf, or FILE.\n"
	"Numbers may be hexadecimal (0x...). Exit codes: 0 done, 1 failed, 2 usage, 3 the target "
	"answers\n"
	"RESERVATION CONFLICT, 4 unfenceable (probe), 5 not reachable.\n"
	"\n"
	"example: lunctl keys iscsi://10.0.0.9/iqn.2026-01.org.example:disk1/1\n";

struct tool {
	bool json;
	const char *initiator;
	uint32_t timeout_ms;
	struct lun_url url;
	struct lun_session *session;
	struct lun_cmd cmd;
	int64_t until_ms;
};

static int report(const struct tool *t, const struct cl_error *err)
{
	int code = err->code == -EBADE ? 3
		   : err->code == -ENOLINK || err->code == -ECONNREFUSED || err->code == -ETIMEDOUT
			   ? 5
			   : 1;

	if (t->json) {
		json_t *j = json_pack("{s:{s:i,s:s,s:s}}", "error", "code", code, "message",
				      err->msg, "hint", err->hint);

		(void)json_dumpf(j, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(j);
	}
	fprintf(stderr, "lunctl: %s%s%s%s\n", err->msg, err->hint[0] ? " (" : "", err->hint,
		err->hint[0] ? ")" : "");
	return code;
}

static void print_json(json_t *j)
{
	(void)json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

/* ---- one session, waited for ---- */

static int turn(struct tool *t, struct cl_error *err)
{
	int64_t d = lun_session_deadline_ms(t->session), now = cl_mono_ms(cl_mono_now());
	struct pollfd p = { .fd = lun_session_fd(t->session),
			    .events = lun_session_events(t->session) };
	int64_t ms = (d < t->until_ms ? d : t->until_ms) - now;
	int n = poll(&p, 1, ms < 0 ? 0 : (int)(ms < 60000 ? ms : 60000));

	lun_session_service(t->session, n > 0 ? p.revents : 0);
	if (lun_session_state(t->session) == LUN_DEAD)
		return cl_error_set(err, -ENOLINK, "%s", lun_session_reason(t->session));
	if (cl_mono_ms(cl_mono_now()) >= t->until_ms)
		return cl_error_set(err, -ETIMEDOUT, "not done within %" PRIu32 " s",
				    t->timeout_ms / 1000);
	return 0;
}

static int log_in(struct tool *t, enum lun_role role, struct cl_error *err)
{
	struct lun_session_config c = {
		.url = &t->url,
		.initiator = t->initiator,
		.isid = (uint32_t)getpid() & 0xffffff,
		.isid_qualifier = 9,
		.role = role,
		.key = role == LUN_ROLE_DATA ? SCRATCH_KEY : 0,
	};
	int r = -ENOLINK;

	for (; c.portal < t->url.n_portals && r < 0; c.portal++) {
		lun_session_free(t->session);
		t->session = NULL;
		r = lun_session_new(&c, &t->session, err);
		while (r == 0 && lun_session_state(t->session) == LUN_CONNECTING)
			r = turn(t, err);
	}
	return r;
}

static void on_done(struct lun_cmd *cmd)
{
	*(bool *)cmd->user = true;
}

static int run(struct tool *t, struct pr_op op, struct cl_error *err)
{
	bool done = false;
	int r = 0;

	t->cmd = (struct lun_cmd){ .op = op, .done = on_done, .user = &done };
	if (lun_session_command(t->session, &t->cmd) != LUN_OK)
		return cl_error_set(err, -ENOLINK, "%s", lun_session_reason(t->session));
	while (r == 0 && !done)
		r = turn(t, err);
	if (r < 0)
		return r;
	if (t->cmd.answer.result == LUN_OK)
		return 0;
	return cl_error_set(err, t->cmd.answer.result == LUN_CONFLICT ? -EBADE : -EIO,
			    "%s: %s (sense %x/%04x)", pr_op_name(op.kind),
			    lun_result_name(t->cmd.answer.result), t->cmd.answer.sense.key,
			    t->cmd.answer.sense.ascq);
}

/* ---- verbs ---- */

static json_t *key_json(uint64_t key)
{
	char hex[20];
	struct pr_key k;
	json_t *j;

	(void)snprintf(hex, sizeof(hex), "0x%016" PRIx64, key);
	j = json_pack("{s:s}", "key", hex);
	if (pr_key_parse(key, &k)) {
		json_object_set_new(j, "node", json_integer(k.node));
		json_object_set_new(j, "incarnation", json_integer(k.incarnation));
		json_object_set_new(j, "instance", json_integer(k.instance));
	}
	return j;
}

static int show_keys(struct tool *t, struct cl_error *err)
{
	const struct pr_answer *a = &t->cmd.answer;
	json_t *keys = json_array();
	char text[PR_KEY_TEXT];
	int r = run(t, (struct pr_op){ .kind = PR_OP_READ_KEYS }, err);

	for (size_t i = 0; r == 0 && i < a->n_keys; i++) {
		if (!t->json)
			printf("0x%016" PRIx64 "  %s\n", a->keys[i], pr_key_text(a->keys[i], text));
		json_array_append_new(keys, key_json(a->keys[i]));
	}
	if (r == 0 && t->json)
		print_json(json_pack("{s:i,s:O}", "generation", (int)a->generation, "keys", keys));
	else if (r == 0 && !a->n_keys)
		printf("no key is registered\n");
	json_decref(keys);
	return r;
}

static int verb_keys(struct tool *t, char **args, struct cl_error *err)
{
	(void)args;
	return show_keys(t, err);
}

static int verb_reservation(struct tool *t, char **args, struct cl_error *err)
{
	const struct pr_answer *a = &t->cmd.answer;
	int r = run(t, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, err);
	char text[PR_KEY_TEXT];

	(void)args;
	if (r < 0)
		return r;
	if (t->json)
		print_json(json_pack("{s:i,s:o}", "type", a->type, "holder",
				     a->type ? key_json(a->holder) : json_null()));
	else if (!a->type)
		printf("no reservation\n");
	else
		printf("type %u, held by 0x%016" PRIx64 " (%s)\n", a->type, a->holder,
		       pr_key_text(a->holder, text));
	return 0;
}

static int verb_info(struct tool *t, char **args, struct cl_error *err)
{
	const struct lun_data *d = lun_session_data(t->session);
	const struct pr_answer *a = &t->cmd.answer;
	int r = run(t, (struct pr_op){ .kind = PR_OP_INQUIRY }, err);

	(void)args;
	if (r < 0)
		return r;
	if (t->json)
		print_json(json_pack("{s:s,s:s,s:s,s:s,s:I,s:i}", "identity",
				     lun_session_identity(t->session), "vendor", a->vendor,
				     "product", a->product, "revision", a->revision, "bytes",
				     (json_int_t)d->bytes, "block_size", (int)d->block_size));
	else
		printf("%s %s %s '%s', %" PRIu64 " bytes in blocks of %u\n", a->vendor, a->product,
		       a->revision, lun_session_identity(t->session), d->bytes, d->block_size);
	return 0;
}

static int number(const char *text, uint64_t *ret, struct cl_error *err)
{
	char *endp;

	errno = 0;
	*ret = text && *text != '-' ? strtoull(text, &endp, 0) : 0;
	if (!text || *text == '-' || !*text || *endp || errno)
		return cl_error_set(err, -EINVAL, "'%s' is not a number", text ? text : "");
	return 0;
}

static int verb_register(struct tool *t, char **args, struct cl_error *err)
{
	uint64_t key;
	int r = number(args[0], &key, err);

	return r < 0 ? r : run(t, (struct pr_op){ .kind = PR_OP_REGISTER, .arg = key }, err);
}

static int verb_fence(struct tool *t, char **args, struct cl_error *err)
{
	uint64_t key, victim;
	uint8_t type;
	int r = number(args[0], &key, err);

	if (r == 0)
		r = number(args[1], &victim, err);
	if (r == 0)
		r = run(t, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, err);
	type = r == 0 && t->cmd.answer.type ? t->cmd.answer.type : PR_TYPE_EA_REGISTRANTS_ONLY;
	if (r == 0)
		r = run(t, (struct pr_op){ .kind = PR_OP_REGISTER, .arg = key }, err);
	if (r == 0)
		r = run(t,
			(struct pr_op){
				.kind = PR_OP_PREEMPT, .key = key, .arg = victim, .type = type },
			err);
	if (r == 0)
		r = run(t, (struct pr_op){ .kind = PR_OP_RESET }, err);
	return r < 0 ? r : show_keys(t, err);
}

static int verb_reset(struct tool *t, char **args, struct cl_error *err)
{
	int64_t from = cl_mono_ms(cl_mono_now()), ms;
	int r = run(t, (struct pr_op){ .kind = PR_OP_RESET }, err);

	(void)args;
	ms = cl_mono_ms(cl_mono_now()) - from;
	if (r == 0 && t->json)
		print_json(json_pack("{s:I}", "answered_ms", (json_int_t)ms));
	else if (r == 0)
		printf("answered after %" PRId64 " ms\n", ms);
	return r;
}

static const char *const abort_words[] = { "not tried", "not implemented", "works", "late",
					   "drains" };
static const char *const unmap_words[] = { "not tried", "not implemented", "fenced", "not fenced" };
static const char *const aptpl_words[] = { "not tried", "not implemented", "accepted" };

static int verb_probe(struct tool *t, char **args, struct cl_error *err)
{
	struct lun_probe_result p;
	int r = lun_probe(&t->url, t->initiator, t->timeout_ms, &p, err);

	(void)args;
	if (r < 0)
		return r;
	if (t->json)
		print_json(json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:I,s:i,s:s,s:s,s:s,s:s}", "type",
				     p.pr_type, "type8", p.type8, "type6", p.type6, "vendor",
				     p.vendor, "product", p.product, "revision", p.revision,
				     "blocks", (json_int_t)p.blocks, "block_size",
				     (int)p.block_size, "tail", p.tail, "abort",
				     abort_words[p.quirks.abort], "unmap", unmap_words[p.unmap],
				     "aptpl", aptpl_words[p.aptpl]));
	else
		printf("%s %s %s: %s\n  type 8: %s\n  type 6: %s\n%s%s%s"
		       "  PREEMPT AND ABORT: %s\n  UNMAP: %s\n  APTPL: %s\n",
		       p.vendor, p.product, p.revision,
		       p.pr_type == 8	? "fences with type 8"
		       : p.pr_type == 6 ? "fences with type 6"
					: "unfenceable: not for shared use",
		       p.type8, p.type6[0] ? p.type6 : "not tried",
		       p.tail[0] ? "  type 8, keys removed from the list's end only: " : "", p.tail,
		       p.tail[0] ? "\n" : "", abort_words[p.quirks.abort], unmap_words[p.unmap],
		       aptpl_words[p.aptpl]);
	return p.pr_type ? 0 : 4;
}

static int verb_portals(struct tool *t, char **args, struct cl_error *err)
{
	static const char *const words[] = { "ok", "down", "other" };
	struct lun_portals p;
	int r = lun_portals_prove(&t->url, t->initiator, t->timeout_ms, &p, err);
	json_t *list = json_array();

	(void)args;
	for (unsigned i = 0; i < p.n; i++) {
		if (!t->json)
			printf("%-5s  %s%s%s\n", words[p.portal[i].state], t->url.portals[i],
			       p.portal[i].text[0] ? "  " : "", p.portal[i].text);
		json_array_append_new(list, json_pack("{s:s,s:s,s:s}", "portal", t->url.portals[i],
						      "state", words[p.portal[i].state], "reason",
						      p.portal[i].text));
	}
	if (t->json)
		print_json(json_pack("{s:O}", "portals", list));
	json_decref(list);
	return r;
}

/* ---- data by hand ---- */

struct transfer {
	struct lun_io io; /* first */
	bool done;
	enum lun_result result;
};

static void on_io(struct lun_io *io, enum lun_result result)
{
	struct transfer *x = (struct transfer *)io;

	x->done = true;
	x->result = result;
}

static int transfer(struct tool *t, enum lun_dir dir, void *buf, uint32_t len, uint64_t offset,
		    struct cl_error *err)
{
	struct iovec iov = { buf, len };
	struct transfer x = { .io = { .dir = dir,
				      .fua = dir == LUN_WRITE,
				      .offset = offset,
				      .length = len,
				      .iov = &iov,
				      .iovcnt = 1,
				      .done = on_io } };
	int r = 0;

	x.result = lun_submit(lun_session_data(t->session), &x.io);
	x.done = x.result != LUN_OK;
	while (r == 0 && !x.done)
		r = turn(t, err);
	if (r < 0) {
		lun_session_free(t->session); /* it points to our stack */
		t->session = NULL;
		return r;
	}
	return x.result == LUN_OK ? 0
				  : cl_error_set(err, x.result == LUN_CONFLICT ? -EBADE : -EIO,
						 "%u bytes at %" PRIu64 ": %s", len, offset,
						 lun_result_name(x.result));
}

static int transfer_all(struct tool *t, enum lun_dir dir, uint64_t offset, uint64_t bytes,
			struct cl_error *err)
{
	static uint8_t buf[1 << 20];
	int r = 0;

	while (bytes && r == 0) {
		uint32_t n = bytes < sizeof(buf) ? (uint32_t)bytes : (uint32_t)sizeof(buf);

		if (dir == LUN_WRITE && fread(buf, 1, n, stdin) != n)
			return cl_error_set(err, -EINVAL, "stdin ended early");
		r = transfer(t, dir, buf, n, offset, err);
		if (r == 0 && dir == LUN_READ && fwrite(buf, 1, n, stdout) != n)
			return cl_error_errno(err, -EIO, "stdout");
		offset += n;
		bytes -= n;
	}
	return r;
}

/*
 * Without a reservation there is no coordinator whose GO could be asked for, and no data of a cluster
 * at stake. With one, the reader is told to use the cluster.
 */
static int by_hand(struct tool *t, enum lun_dir dir, char **args, struct cl_error *err)
{
	uint64_t offset, bytes;
	int r = number(args[0], &offset, err), end;

	if (r == 0)
		r = number(args[1], &bytes, err);
	if (r == 0)
		r = run(t, (struct pr_op){ .kind = PR_OP_READ_RESERVATION }, err);
	if (r == 0 && t->cmd.answer.type) {
		r = cl_error_set(err, -EBUSY, "the LUN is reserved: somebody uses it");
		(void)cl_error_hint(err, "see who: lunctl reservation URL");
	}
	if (r == 0)
		r = run(t, (struct pr_op){ .kind = PR_OP_REGISTER, .arg = SCRATCH_KEY }, err);
	if (r < 0)
		return r;
	r = lun_session_go(t->session, err);
	if (r == 0)
		r = transfer_all(t, dir, offset, bytes, err);
	if (!t->session)
		return r;
	end = run(t, (struct pr_op){ .kind = PR_OP_REGISTER, .key = SCRATCH_KEY },
		  r == 0 ? err : NULL);
	return r == 0 ? end : r;
}

static int verb_read(struct tool *t, char **args, struct cl_error *err)
{
	return by_hand(t, LUN_READ, args, err);
}

static int verb_write(struct tool *t, char **args, struct cl_error *err)
{
	return by_hand(t, LUN_WRITE, args, err);
}

struct verb {
	const char *name;
	int args;
	enum { NO_SESSION, CONTROL, DATA } session; /* log in first */
	int (*run)(struct tool *t, char **args, struct cl_error *err);
};

static const struct verb verbs[] = {
	{ "probe", 0, NO_SESSION, verb_probe },
	{ "portals", 0, NO_SESSION, verb_portals },
	{ "info", 0, CONTROL, verb_info },
	{ "keys", 0, CONTROL, verb_keys },
	{ "reservation", 0, CONTROL, verb_reservation },
	{ "register", 1, CONTROL, verb_register },
	{ "fence", 2, CONTROL, verb_fence },
	{ "reset", 0, CONTROL, verb_reset },
	{ "read", 2, DATA, verb_read },
	{ "write", 2, DATA, verb_write },
};

static int run_verb(struct tool *t, const struct verb *v, char **args)
{
	struct cl_error err = CL_ERROR_INIT;
	int r = lun_url_parse(args[0], &t->url, &err);

	if (r < 0) {
		(void)report(t, &err);
		return 2;
	}
	t->until_ms = cl_mono_ms(cl_mono_now()) + t->timeout_ms;
	if (v->session != NO_SESSION)
		r = log_in(t, v->session == DATA ? LUN_ROLE_DATA : LUN_ROLE_CONTROL, &err);
	if (r == 0)
		r = v->run(t, args + 1, &err);
	if (r < 0)
		r = report(t, &err);
	lun_session_free(t->session);
	return r;
}

static int usage(void)
{
	fputs(help_text, stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static struct tool t = { .initiator = "iqn.2026-01.org.clusterd:lunctl",
				 .timeout_ms = 30000 };
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "initiator", required_argument, NULL, 'i' },
		{ "timeout", required_argument, NULL, 't' },
		{ "chap", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	int o;

	cl_log_init("lunctl", CL_LOG_WARNING);
	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (o == 'h') {
			fputs(help_text, stdout);
			return 0;
		}
		if (o == 'j')
			t.json = true;
		else if (o == 'i')
			t.initiator = optarg;
		else if (o == 'c')
			lun_chap_set_file(optarg);
		else if (o == 't' && atoi(optarg) > 0 && atoi(optarg) <= 3600)
			t.timeout_ms = (uint32_t)atoi(optarg) * 1000;
		else
			return usage();
	}
	for (size_t i = 0; optind < argc && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(verbs[i].name, argv[optind]) == 0 && argc - optind - 2 == verbs[i].args)
			return run_verb(&t, &verbs[i], argv + optind + 1);
	return usage();
}
