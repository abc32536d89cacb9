/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * csvd: cluster shared volumes on one node. The main thread is the session loop: it never blocks on
 * a disk. It is told by clusterd what there is (tables), does what each volume needs (volume.c), and
 * is run by csv-keeper, which holds the mounts.
 */
#include "config.h"

#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "csv/buf.h"
#include "csv/client.h"
#include "csv/csvd_int.h"
#include "lib/log.h"
#include "lib/sm.h"

#define LISTEN_RETRY_MS 1000
#define STOP_TURN_MS 50
#define STOP_TURNS 100 /* 5 s for an orderly end */
#define MAIL_TURN 256

const Vol__Node *csvd_node(const struct csvd *d, uint32_t id)
{
	for (size_t i = 0; d->tables && i < d->tables->n_nodes; i++)
		if (d->tables->nodes[i]->id == id)
			return d->tables->nodes[i];
	return NULL;
}

bool csvd_lease_over(const struct csvd *d)
{
	return cl_mono_ms(cl_mono_now()) >= atomic_load(&d->lease_until_ms);
}

uint64_t csvd_new_conn(void *user)
{
	struct csvd *d = user;

	return ++d->last_conn;
}

static void send_done(struct csvd *d, Vol__Done *done)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;

	done->ok = done->code == 0;
	msg.msg_case = VOL__FROM_CSVD__MSG_DONE;
	msg.done = done;
	if (done->code)
		log_warning("order %" PRIu64 ": %s", done->id, done->error);
	else
		log_info("order %" PRIu64 " done", done->id);
	cluster_send(d->cluster, &msg);
}

void csvd_done(struct csvd *d, uint64_t order, int code, const char *error)
{
	Vol__Done done = VOL__DONE__INIT;

	done.id = order;
	done.code = (uint32_t)code;
	done.error = (char *)(uintptr_t)error;
	send_done(d, &done);
}

static void formatted(struct csvd *d, const struct csv_mail *mail)
{
	Vol__Done done = VOL__DONE__INIT;

	done.id = mail->id;
	done.code = (uint32_t)mail->state;
	done.error = (char *)(uintptr_t)mail->text;
	done.target = (ProtobufCBinaryData){ mail->len, (uint8_t *)(uintptr_t)mail->body };
	send_done(d, &done);
}

struct csv_mail *csvd_pack_tables(const struct csvd *d)
{
	struct csv_mail *mail =
		csv_mail_new(MAIL_TABLES, NULL, vol__tables__get_packed_size(d->tables));

	if (mail)
		(void)vol__tables__pack(d->tables, mail->body);
	return mail;
}

static struct volume *by_uuid(struct csvd *d, const uint8_t uuid[16])
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_is(d->volumes.v[i], uuid))
			return d->volumes.v[i];
	return NULL;
}

static struct volume *by_name(struct csvd *d, const char *name)
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (!strcmp(volume_name(d->volumes.v[i]), name))
			return d->volumes.v[i];
	return NULL;
}

static struct volume *by_field(struct csvd *d, const ProtobufCBinaryData *uuid)
{
	return uuid->len == 16 ? by_uuid(d, uuid->data) : NULL;
}

/* ---- peers ---------------------------------------------------------------------------------- */

static bool on_peer_message(void *user, const uint8_t volume[16], uint64_t conn, const void *body,
			    size_t len)
{
	struct volume *v = by_uuid(user, volume);

	return v && volume_on_peer(v, conn, body, len);
}

static void on_peer_lost(void *user, const uint8_t volume[16], uint64_t conn)
{
	struct volume *v = by_uuid(user, volume);

	if (v)
		volume_on_peer_lost(v, conn);
}

static const struct peers_ops peers_ops = { on_peer_message, on_peer_lost };

/* The address may come up after us: tried until it works. */
static void try_listen(void *user)
{
	struct csvd *d = user;
	const Vol__Node *me = csvd_node(d, d->tables ? d->tables->self : 0);
	struct cl_error err = CL_ERROR_INIT;

	if (!me || !*me->storage_address ||
	    (d->peers && !strcmp(me->storage_address, d->listening)))
		return;
	peers_free(d->peers);
	d->peers = NULL;
	(void)snprintf(d->listening, sizeof(d->listening), "%s", me->storage_address);
	if (peers_new(d->loop, d->listening, csvd_new_conn, &peers_ops, d, &d->peers, &err) >= 0)
		return;
	log_error("%s; trying on", err.msg);
	(void)cl_timer_set_in(d->listen_timer, LISTEN_RETRY_MS);
}

/* ---- clusterd ------------------------------------------------------------------------------- */

static void add_volume(struct csvd *d, const Vol__Volume *in)
{
	struct volume *v;

	if (volume_new(d, in, &v) < 0 || volume_vec_push(&d->volumes, v) < 0) {
		log_error("volume '%s': out of memory", in->name);
		return;
	}
	log_notice("volume '%s': %s", in->name, in->url);
}

static bool in_tables(const Vol__Tables *t, const struct volume *v)
{
	for (size_t i = 0; i < t->n_volumes; i++)
		if (volume_is(v, t->volumes[i]->uuid.data))
			return true;
	return false;
}

static void remove_missing(struct csvd *d)
{
	for (size_t i = 0; i < d->volumes.n;) {
		struct volume *v = d->volumes.v[i];

		if (in_tables(d->tables, v)) {
			i++;
			continue;
		}
		log_notice("volume '%s': removed", volume_name(v));
		keeper_link_unmount(d->keeper, volume_name(v));
		volume_vec_remove(&d->volumes, i);
		volume_free(v);
	}
}

static void on_tables(void *user, Vol__Tables *tables)
{
	struct csvd *d = user;
	Vol__Tables *old = d->tables;

	d->tables = tables;
	remove_missing(d);
	for (size_t i = 0; i < tables->n_volumes; i++) {
		const Vol__Volume *in = tables->volumes[i];
		struct volume *v = by_uuid(d, in->uuid.data);

		if (!v)
			add_volume(d, in);
		v = by_uuid(d, in->uuid.data);
		if (v)
			volume_update(v, in);
	}
	if (old)
		vol__tables__free_unpacked(old, NULL);
	try_listen(d);
}

/* Calls are held from the moment the lease is over, and let go when it is renewed. */
static void on_lease_timer(void *user)
{
	struct csvd *d = user;
	int64_t left = atomic_load(&d->lease_until_ms) - cl_mono_ms(cl_mono_now());

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_on_lease(d->volumes.v[i]);
	if (left > 0 && left < 3600 * 1000)
		(void)cl_timer_set_in(d->lease_timer, left + 1);
}

static void on_lease(void *user, uint64_t until_ms)
{
	struct csvd *d = user;

	atomic_store(&d->lease_until_ms, until_ms > INT64_MAX ? INT64_MAX : (int64_t)until_ms);
	on_lease_timer(d);
}

static void on_go_answer(void *user, const Vol__GoAnswer *answer)
{
	struct csvd *d = user;

	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_on_go(d->volumes.v[i], answer->id, answer->yes))
			return;
}

static bool all_failed(const struct csvd *d, const struct fail_order *o)
{
	for (size_t i = 0; i < d->volumes.n; i++)
		if (!volume_requests_failed(d->volumes.v[i], o->resource, o->generation))
			return false;
	return true;
}

void csvd_look_at_fails(struct csvd *d)
{
	for (size_t i = 0; i < d->fails.n;) {
		uint64_t id = d->fails.v[i].id;

		if (!all_failed(d, &d->fails.v[i])) {
			i++;
			continue;
		}
		fail_vec_remove(&d->fails, i);
		csvd_done(d, id, 0, "");
	}
}

/* Requests are answered at once; done is said when nothing of them can reach the LUN any more. */
static void on_fail(struct csvd *d, uint64_t id, const Vol__FailRequests *fail)
{
	struct fail_order o = { .id = id, .generation = fail->generation };

	(void)snprintf(o.resource, sizeof(o.resource), "%s", fail->resource);
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_fail_requests(d->volumes.v[i], fail->resource, fail->generation);
	for (size_t i = 0; i < d->fails.n; i++)
		if (d->fails.v[i].id == id)
			return; /* given again: it still is to be met */
	if (fail_vec_push(&d->fails, o) < 0)
		csvd_done(d, id, ENOMEM, "out of memory");
	csvd_look_at_fails(d);
}

static void on_close(struct csvd *d, uint64_t id, const Vol__CloseSessions *close_)
{
	if (close_->incarnation > d->closed_up_to)
		d->closed_up_to = close_->incarnation;
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_close_sessions(d->volumes.v[i]);
	csvd_done(d, id, 0, "");
}

static void on_volume_order(struct csvd *d, const Vol__Order *order,
			    const ProtobufCBinaryData *uuid,
			    void (*act)(struct volume *, const Vol__Order *))
{
	struct volume *v = d->tables ? by_field(d, uuid) : NULL;

	if (v)
		act(v, order);
	else
		csvd_done(d, order->id, ENOENT, "no such volume in the tables");
}

static void on_order(void *user, const Vol__Order *order)
{
	struct csvd *d = user;

	switch (order->what_case) {
	case VOL__ORDER__WHAT_PAY:
		on_volume_order(d, order, &order->pay->volume, volume_pay);
		break;
	case VOL__ORDER__WHAT_HAND_OVER:
		on_volume_order(d, order, &order->hand_over->volume, volume_hand_over);
		break;
	case VOL__ORDER__WHAT_FAIL:
		on_fail(d, order->id, order->fail);
		break;
	case VOL__ORDER__WHAT_CLOSE:
		on_close(d, order->id, order->close);
		break;
	case VOL__ORDER__WHAT_FORMAT:
		if (format_start(d, order->id, order->format) < 0)
			csvd_done(d, order->id, EINVAL, "cannot start");
		break;
	default:
		csvd_done(d, order->id, ENOSYS, "unknown order");
	}
}

static void on_job(void *user, const Vol__Job *job)
{
	struct csvd *d = user;
	struct volume *v = d->tables ? by_field(d, &job->volume) : NULL;

	if (v)
		volume_job(v, job);
	else
		csvd_job_refused(d, job->id, ENOENT, "no such volume in the tables");
}

static void on_connected(void *user)
{
	struct csvd *d = user;

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_tell_status(d->volumes.v[i]);
}

static const struct cluster_ops cluster_ops = { on_connected, on_tables, on_lease,
						on_go_answer, on_order,	 on_job };

/* ---- keeper --------------------------------------------------------------------------------- */

/* Left by an earlier csvd, of a volume that the tables have not named yet: kept for them. */
struct early_mount {
	char name[64];
	int fuse, state;
};
CL_DEFINE_VEC(early_vec, struct early_mount);
static struct early_vec early;

static void on_mounted(void *user, const char *name, int error, int fuse_fd, int state_fd)
{
	struct csvd *d = user;
	struct volume *v = by_name(d, name);
	struct early_mount e = { .fuse = fuse_fd, .state = state_fd };

	if (v) {
		volume_mounted(v, error, fuse_fd, state_fd);
		return;
	}
	(void)snprintf(e.name, sizeof(e.name), "%s", name);
	if (fuse_fd >= 0)
		(void)early_vec_push(&early, e);
}

bool csvd_take_early(const char *name, int *ret_fuse, int *ret_state)
{
	for (size_t i = 0; i < early.n; i++)
		if (!strcmp(early.v[i].name, name)) {
			*ret_fuse = early.v[i].fuse;
			*ret_state = early.v[i].state;
			early_vec_remove(&early, i);
			return true;
		}
	return false;
}

static void on_unmounted(void *user, const char *name)
{
	struct volume *v = by_name(user, name);

	if (v)
		volume_unmounted(v);
}

static void on_keeper_ready(void *user)
{
	struct csvd *d = user;

	d->keeper_ready = true;
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_poke(d->volumes.v[i]);
}

static const struct keeper_ops keeper_ops = { on_mounted, on_unmounted, on_keeper_ready };

/* ---- mail ----------------------------------------------------------------------------------- */

static void take_mail(struct csvd *d, const struct csv_mail *mail)
{
	if (!mail->from) {
		formatted(d, mail);
		return;
	}
	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_owns(d->volumes.v[i], mail)) {
			volume_on_mail(d->volumes.v[i], mail);
			return;
		}
}

static void on_mail(void *user, int fd, uint32_t revents)
{
	struct csvd *d = user;
	struct csv_mail *mail;

	(void)fd;
	(void)revents;
	for (int n = 0; n < MAIL_TURN && (mail = csv_mail_get(&d->mail)); n++) {
		take_mail(d, mail);
		free(mail);
	}
}

/* ---- end ------------------------------------------------------------------------------------ */

static void on_stop_turn(void *user)
{
	struct csvd *d = user;
	bool all = true;

	for (size_t i = 0; i < d->volumes.n; i++)
		all &= volume_stopped(d->volumes.v[i]);
	if ((all && d->stop_turns > 1) || ++d->stop_turns > STOP_TURNS)
		cl_loop_stop(d->loop);
	else
		(void)cl_timer_set_in(d->stop_timer, STOP_TURN_MS);
}

static void on_term(void *user, int signo)
{
	struct csvd *d = user;

	(void)signo;
	if (d->stopping)
		return;
	d->stopping = true;
	log_notice("stopping");
	for (size_t i = 0; i < d->volumes.n; i++)
		volume_begin_stop(d->volumes.v[i]);
	on_stop_turn(d);
}

/* ---- start ---------------------------------------------------------------------------------- */

static void trace(const struct sm *sm, int prev, const char *why)
{
	log_debug("%s '%s': %s -> %s (%s)", sm->machine, sm->id, sm->states[prev].name, sm_name(sm),
		  why);
}

struct options {
	int keeper_fd, beat_fd;
	uint64_t lost_before_ms;
	bool lock, debug;
};

#ifdef CL_DEFECTS
#define DEFECT_USAGE " [--defect NAME]..."
#else
#define DEFECT_USAGE ""
#endif

static int usage(const char *argv0)
{
	(void)fprintf(stderr,
		      "usage: %s --keeper-fd N --beat-fd N [--socket PATH] [--mount-root DIR] "
		      "[--no-mlock] [--debug]" DEFECT_USAGE "\n       (csv-keeper runs it)\n",
		      argv0);
	return 2;
}

static bool set_defect(struct csvd_defects *d, const char *name)
{
#ifdef CL_DEFECTS
	static const struct {
		const char *name;
		size_t offset;
	} all[] = { { "early-answer", offsetof(struct csvd_defects, early_answer) },
		    { "no-record", offsetof(struct csvd_defects, no_record) },
		    { "no-grace", offsetof(struct csvd_defects, no_grace) },
		    { "no-kill", offsetof(struct csvd_defects, no_kill) },
		    { "no-proxy-wait", offsetof(struct csvd_defects, no_proxy_wait) },
		    { "append-by-client", offsetof(struct csvd_defects, append) },
		    { "no-recall", offsetof(struct csvd_defects, no_recall) },
		    { "no-fence-wait", offsetof(struct csvd_defects, no_fence_wait) },
		    { "no-barrier", offsetof(struct csvd_defects, no_barrier) } };

	static const struct {
		const char *name;
		unsigned bit;
	} clients[] = { { "no-drain", CLIENT_DEFECT_NO_DRAIN },
			{ "no-hold", CLIENT_DEFECT_NO_HOLD },
			{ "no-fail", CLIENT_DEFECT_NO_FAIL } };

	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (!strcmp(name, clients[i].name)) {
			d->client |= clients[i].bit;
			log_warning("defect '%s': a guard is left out", name);
			return true;
		}
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcmp(name, all[i].name)) {
			*(bool *)((char *)d + all[i].offset) = true;
			log_warning("defect '%s': a guard is left out", name);
			return true;
		}
#else
	(void)d;
	(void)name;
#endif
	return false;
}

static int parse(struct csvd *d, struct options *opt, int argc, char **argv)
{
	static const struct option options[] = {
		{ "keeper-fd", required_argument, NULL, 'k' },
		{ "beat-fd", required_argument, NULL, 'b' },
		{ "socket", required_argument, NULL, 's' },
		{ "mount-root", required_argument, NULL, 'm' },
		{ "no-mlock", no_argument, NULL, 'n' },
		{ "debug", no_argument, NULL, 'd' },
		{ "defect", required_argument, NULL, 'D' },
		{ "lost-before", required_argument, NULL, 'l' },
		{ "no-resend", no_argument, NULL, 'r' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k')
			opt->keeper_fd = (int)strtol(optarg, NULL, 10);
		else if (c == 'b')
			opt->beat_fd = (int)strtol(optarg, NULL, 10);
		else if (c == 's')
			d->socket = optarg;
		else if (c == 'm')
			d->mount_root = optarg;
		else if (c == 'n')
			opt->lock = false;
		else if (c == 'd')
			opt->debug = true;
		else if (c == 'l')
			opt->lost_before_ms = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			d->can_resend = false;
		else if (c != 'D' || !set_defect(&d->defects, optarg))
			return usage(argv[0]);
	}
	return opt->keeper_fd < 0 || opt->beat_fd < 0 || optind != argc ? usage(argv[0]) : 0;
}

/* Everything resident before the first read of /dev/fuse: see front.h. */
static void lock_memory(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	(void)setrlimit(RLIMIT_MEMLOCK, &all);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
		log_warning("mlockall: %s; a kill of csvd at a bad moment can be seen as EIO",
			    strerror(errno));
}

static int setup(struct csvd *d, const struct options *opt, struct cl_error *err)
{
	struct cluster_config cfg = {
		.path = d->socket,
		.mount_root = d->mount_root,
		.can_resend = d->can_resend,
		.lost_before_ms = opt->lost_before_ms,
		.ops = &cluster_ops,
		.user = d,
	};
	int r = cl_loop_new(&d->loop);

	if (r >= 0)
		r = cl_mailbox_init(&d->mail);
	if (r >= 0)
		r = cl_fd_new(d->loop, d->mail.fd, POLLIN, on_mail, d, &d->mail_io);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_lease_timer, d, &d->lease_timer);
	if (r >= 0)
		r = cl_timer_new(d->loop, on_stop_turn, d, &d->stop_timer);
	if (r >= 0)
		r = cl_timer_new(d->loop, try_listen, d, &d->listen_timer);
	if (r >= 0)
		r = cl_signal_new(d->loop, SIGTERM, on_term, d, &d->term);
	if (r < 0)
		return cl_error_errno(err, r, "start");
	r = cluster_new(d->loop, &cfg, &d->cluster, err);
	if (r < 0)
		return r;
	return keeper_link_new(d->loop, opt->keeper_fd, opt->beat_fd, &keeper_ops, d, &d->keeper,
			       err);
}

static void teardown(struct csvd *d)
{
	struct csv_mail *mail;

	for (size_t i = 0; i < d->volumes.n; i++)
		volume_free(d->volumes.v[i]);
	volume_vec_fini(&d->volumes);
	fail_vec_fini(&d->fails);
	buf_trim();
	while ((mail = csv_mail_get(&d->mail)))
		free(mail);
	peers_free(d->peers);
	cluster_free(d->cluster);
	keeper_link_free(d->keeper);
	if (d->tables)
		vol__tables__free_unpacked(d->tables, NULL);
}

int main(int argc, char **argv)
{
	struct csvd d = { .socket = "/run/clusterd/csvd.sock",
			  .mount_root = "/ClusterStorage",
			  .can_resend = true };
	struct options opt = { .keeper_fd = -1, .beat_fd = -1, .lock = true };
	struct cl_error err = CL_ERROR_INIT;
	int r;

	cl_log_init("csvd", CL_LOG_INFO);
	r = parse(&d, &opt, argc, argv);
	if (r)
		return r;
	if (opt.debug)
		cl_log_init("csvd", CL_LOG_DEBUG);
	sm_trace = trace;
	if (opt.lock)
		lock_memory();
	if (setup(&d, &opt, &err) < 0) {
		log_crit("%s", err.msg);
		return 1;
	}
	cl_loop_run(d.loop);
	teardown(&d);
	return 0;
}
