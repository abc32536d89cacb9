/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The life of one nexus: connect, log in, serve, die. It is never revived.
 *
 * libiscsi is told not to reconnect (it would log in again and resend everything by itself, behind
 * the back of the fence). When the connection breaks it then cancels its tasks and goes on as if
 * nothing had happened: any cancelled task, RDHUP, HUP or ERR is taken as the end here.
 */
#include "config.h"

#include <inttypes.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iscsi/chap.h"
#include "iscsi/session_int.h"
#include "lib/assert.h"
#include "lib/monotime.h"

static const struct sm_state session_states[] = {
	[LUN_CONNECTING] = { "connecting", SM_TO(LUN_READY) | SM_TO(LUN_DEAD), SM_INITIAL },
	[LUN_READY] = { "ready", SM_TO(LUN_OPEN) | SM_TO(LUN_STOPPED) | SM_TO(LUN_DEAD) },
	[LUN_OPEN] = { "open", SM_TO(LUN_HELD) | SM_TO(LUN_STOPPED) | SM_TO(LUN_DEAD) },
	[LUN_HELD] = { "held", SM_TO(LUN_OPEN) | SM_TO(LUN_STOPPED) | SM_TO(LUN_DEAD) },
	/* No way back: a nexus that lost its right must not find it again by itself. */
	[LUN_STOPPED] = { "stopped", SM_TO(LUN_DEAD) },
	[LUN_DEAD] = { "dead", 0, SM_FINAL },
};

static const struct lun_ops session_ops = { .submit = lun_session_submit,
					    .plug = lun_session_plug,
					    .unplug = lun_session_unplug };

int64_t lun_now_ms(void)
{
	return cl_mono_ms(cl_mono_now());
}

void lun_session_changed(struct lun_session *s)
{
	if (s->hooks.changed && !s->quiet)
		s->hooks.changed(s->hooks.user, s);
}

void lun_session_move(struct lun_session *s, enum lun_session_state to, const char *why)
{
	bool final = to == LUN_DEAD || to == LUN_STOPPED;

	sm_move(&s->sm, (int)to, why);
	if (s->hooks.state)
		s->hooks.state(s->hooks.user, s, to, final ? &s->why : NULL);
}

void lun_session_doom(struct lun_session *s, int code, const char *fmt, ...)
{
	va_list ap;
	char text[256];

	if (s->doomed)
		return;
	s->doomed = true;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)cl_error_set(&s->why, code, "%s %s LUN %d: %s", s->url.portals[s->portal],
			   s->url.target, s->url.lun, text);
	lun_session_changed(s);
}

/* Throw away what still sits in the socket. A courtesy: the guard is to kill the nexus. */
static void reset_connection(struct lun_session *s)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	int fd = iscsi_get_fd(s->iscsi);

	if (fd >= 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/* Ends everything that is pending with LUN_LOST. libiscsi is not on the stack. */
static void tear_down(struct lun_session *s)
{
	s->doomed = s->closing = true;
	s->quiet = false;
	/* Before the descriptor closes: its number may be the next session's at once. */
	lun_session_changed(s);
	if (s->iscsi) {
		reset_connection(s);
		(void)iscsi_destroy_context(s->iscsi); /* cancels: callbacks run */
		s->iscsi = NULL;
	}
	lun_io_lost(s);
	lun_cmds_lost(s);
}

/* The last thing that touches s: the hook may free it. */
static void die(struct lun_session *s)
{
	tear_down(s);
	lun_session_move(s, LUN_DEAD, "session lost");
}

static const char *refusal(const struct lun_session *s)
{
	if (!s->chap)
		return "the target demands a login by name and secret, and there is none for it";
	if (s->mutual)
		return "the target refuses our name or secret, or has none to prove itself with";
	return "the target refuses our name or secret";
}

/* libiscsi says it in words only. None of them has a secret in it. */
static void on_refused(struct lun_session *s, const char *text)
{
	if (strstr(text, "CHAP_") || strstr(text, "CHAP targetname"))
		lun_session_doom(s, -EACCES,
				 "the target did not prove who it is (mutual CHAP; target-user and "
				 "target-secret in %s)",
				 lun_chap_file());
	else if (strstr(text, "Authentication") || strstr(text, "Authorization"))
		lun_session_doom(s, -EACCES, "%s (CHAP; %s)", refusal(s), lun_chap_file());
	else
		lun_session_doom(s, -ECONNREFUSED, "login failed: %s", text);
}

static void on_login(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_session *s = user;

	(void)data;
	if (s->doomed)
		return;
	s->heard_ms = lun_now_ms();
	if (status == SCSI_STATUS_REDIRECT)
		lun_session_doom(s, -ENOTSUP,
				 "login: the target redirects, which is not supported");
	else if (status != SCSI_STATUS_GOOD)
		on_refused(s, iscsi_get_error(iscsi));
	else
		lun_settle(s);
}

static void on_connect(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_session *s = user;

	(void)data;
	if (s->doomed)
		return;
	if (status != SCSI_STATUS_GOOD)
		lun_session_doom(s, -ECONNREFUSED, "no connection: %s", iscsi_get_error(iscsi));
	else if (iscsi_login_async(iscsi, on_login, s) != 0)
		lun_session_doom(s, -ENOMEM, "login: %s", iscsi_get_error(iscsi));
}

/*
 * Name and secret: the address's own if it has both (tools), else the node's file. A name in the address
 * has to be the one the file has a secret for.
 */
static int take_secrets(struct lun_session *s, struct lun_chap *chap, struct cl_error *err)
{
	int r = lun_chap_lookup(s->url.target, chap, err);

	if (r < 0)
		return r;
	if (s->url.password[0]) {
		memcpy(chap->user, s->url.user, sizeof(chap->user));
		memcpy(chap->secret, s->url.password, sizeof(chap->secret));
	} else if (s->url.user[0] && strcmp(s->url.user, chap->user) != 0) {
		return cl_error_set(err, -EACCES, "no secret for user '%s' at %s in %s",
				    s->url.user, s->url.target, lun_chap_file());
	}
	if (chap->user[0] &&
	    iscsi_set_initiator_username_pwd(s->iscsi, chap->user, chap->secret) != 0)
		return cl_error_set(err, -EINVAL, "%s", iscsi_get_error(s->iscsi));
	if (chap->target_user[0] &&
	    iscsi_set_target_username_pwd(s->iscsi, chap->target_user, chap->target_secret) != 0)
		return cl_error_set(err, -EINVAL, "%s", iscsi_get_error(s->iscsi));
	s->chap = chap->user[0] != '\0';
	s->mutual = chap->target_user[0] != '\0';
	return 0;
}

/* false: doomed with the reason, which the state hook tells as it tells a refusal by the target. */
static bool set_secrets(struct lun_session *s)
{
	struct cl_error why = CL_ERROR_INIT;
	struct lun_chap chap;
	int r = take_secrets(s, &chap, &why);

	explicit_bzero(&chap, sizeof(chap));
	explicit_bzero(s->url.password, sizeof(s->url.password));
	if (r < 0)
		lun_session_doom(s, r, "%s", why.msg);
	return r == 0;
}

static int start(struct lun_session *s, const struct lun_session_config *c, struct cl_error *err)
{
	s->iscsi = iscsi_create_context(s->initiator);
	if (!s->iscsi)
		return cl_error_errno(err, -ENOMEM, "iSCSI session");
	iscsi_set_noautoreconnect(s->iscsi, 1);
	(void)iscsi_set_isid_random(s->iscsi, c->isid, c->isid_qualifier);
	(void)iscsi_set_session_type(s->iscsi, ISCSI_SESSION_NORMAL);
	(void)iscsi_set_header_digest(s->iscsi, ISCSI_HEADER_DIGEST_NONE);
	iscsi_set_tcp_user_timeout(s->iscsi, (int)s->silence_ms);
	if (iscsi_set_targetname(s->iscsi, s->url.target) != 0)
		return cl_error_set(err, -EINVAL, "iSCSI session: %s", iscsi_get_error(s->iscsi));
	s->connect_by_ms = lun_now_ms() + s->connect_ms;
	if (set_secrets(s) &&
	    iscsi_connect_async(s->iscsi, s->url.portals[s->portal], on_connect, s) != 0)
		lun_session_doom(s, -ECONNREFUSED, "no connection: %s", iscsi_get_error(s->iscsi));
	return 0;
}

static void take_config(struct lun_session *s, const struct lun_session_config *c)
{
	s->url = *c->url;
	s->portal = c->portal;
	(void)snprintf(s->initiator, sizeof(s->initiator), "%s", c->initiator);
	s->role = c->role;
	s->key = c->key;
	s->pr_type = c->pr_type;
	s->connect_ms = c->connect_ms ? c->connect_ms : 5000;
	s->path_ms = c->path_ms ? c->path_ms : 5000;
	s->silence_ms = c->silence_ms ? c->silence_ms : 15000;
	if (c->identity)
		(void)snprintf(s->identity, sizeof(s->identity), "%s", c->identity);
	s->io_ms = c->io_ms ? c->io_ms : 60000;
#ifdef CL_DEFECTS
	s->defects = c->defects;
#endif
	s->hooks = c->hooks;
}

/*
 * libiscsi 1.19 sends data with a plain writev(): when the target's FIN arrives between our read and our
 * write, SIGPIPE kills the whole process. A handler of the program's own is left alone.
 */
static void survive_sigpipe(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
}

int lun_session_new(const struct lun_session_config *config, struct lun_session **ret,
		    struct cl_error *err)
{
	_cleanup_(lun_session_freep) struct lun_session *s = NULL;
	int r;

	if (config->portal >= config->url->n_portals || !config->initiator ||
	    !config->initiator[0] || strlen(config->initiator) > LUN_NAME_MAX)
		return cl_error_set(err, -EINVAL,
				    "iSCSI session: bad portal number or initiator name");
	s = calloc(1, sizeof(*s));
	if (!s)
		return cl_error_errno(err, -ENOMEM, "iSCSI session");
	survive_sigpipe();
	s->data.ops = &session_ops;
	take_config(s, config);
	s->next_tur_ms = s->retry_ms = s->abort_at_ms = INT64_MAX;
	sm_init(&s->sm, "session", s->initiator, session_states,
		sizeof(session_states) / sizeof(*session_states), LUN_CONNECTING, NULL);
	r = start(s, config, err);
	if (r < 0)
		return r;
	*ret = cl_steal(s);
	return 0;
}

void lun_session_free(struct lun_session *s)
{
	if (!s)
		return;
	if (s->sm.state != LUN_DEAD)
		tear_down(s);
	free(s);
}

int lun_session_fd(const struct lun_session *s)
{
	return s->iscsi && !s->closing ? iscsi_get_fd(s->iscsi) : -1;
}

short lun_session_events(struct lun_session *s)
{
	if (!s->iscsi || s->doomed)
		return 0;
	/* RDHUP: without it an orderly close by the target is one cancelled task and no event. */
	return (short)(iscsi_which_events(s->iscsi) | POLLRDHUP);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t lun_session_deadline_ms(const struct lun_session *s)
{
	int64_t t = INT64_MAX;

	if (s->sm.state == LUN_DEAD)
		return t;
	if (s->doomed)
		return 0;
	if (s->sm.state == LUN_CONNECTING)
		return s->connect_by_ms;
	t = earlier(s->next_tur_ms, s->retry_ms);
	if (!s->abort_out && s->sm.state == LUN_OPEN)
		t = earlier(t, s->abort_at_ms);
	if (s->running.first)
		t = earlier(t, s->running.first->sent_ms + s->io_ms);
	if (s->keepalive_out)
		t = earlier(t, s->keepalive.sent_ms + s->silence_ms);
	return t;
}

static void on_keepalive(struct lun_cmd *cmd)
{
	struct lun_session *s = cmd->user;

	s->keepalive_out = false;
	if (s->role != LUN_ROLE_DATA)
		return;
	if (cmd->answer.result == LUN_UA)
		lun_hold(s);
	else if (cmd->answer.result == LUN_CONFLICT)
		lun_session_stop(s, "reservation conflict");
}

static void keep_alive(struct lun_session *s, int64_t now)
{
	if (now < s->next_tur_ms)
		return;
	s->next_tur_ms =
		now + KEEPALIVE_MS; /* also without an answer: a deadline in the past spins */
	if (s->keepalive_out)
		return;
	s->keepalive = (struct lun_cmd){
		.op = { .kind = PR_OP_TEST_UNIT_READY },
		.done = on_keepalive,
		.user = s,
		.internal = true,
	};
	s->keepalive_out = lun_cmd_send(s, &s->keepalive) == LUN_OK;
}

/* A reservation command that is not answered, though TEST UNIT READY is. A RESET may take its time.
 */
static void check_commands(struct lun_session *s, int64_t now)
{
	for (const struct lun_cmd *c = s->cmds.first; c; c = c->next)
		if (c->op.kind != PR_OP_RESET && now - c->sent_ms >= s->io_ms)
			lun_session_doom(s, -ETIMEDOUT, "%s was not answered for %" PRIu32 " ms",
					 pr_op_name(c->op.kind), s->io_ms);
}

/*
 * Something is under way that is not acknowledged; or does not even leave this machine though the target would take
 * it, since its address, or the route, was taken away.
 */
static bool is_unacked(const struct tcp_info *info)
{
	return info->tcpi_unacked || (info->tcpi_notsent_bytes && info->tcpi_snd_wnd);
}

/*
 * A dead path and a target that stands still look alike from above: nothing comes. Below, the kernel of
 * a target that stands still goes on to acknowledge what we send (the TEST UNIT READY of every second at
 * the latest); from behind a dead path nothing comes at all. Giving up the first after path_ms and the
 * second much later means a quick failover and no needless one.
 */
static void check_path(struct lun_session *s, int64_t now)
{
	struct tcp_info info = { 0 }; /* an older kernel fills less of it */
	socklen_t len = sizeof(info);

	if (now - s->heard_ms < KEEPALIVE_MS ||
	    getsockopt(iscsi_get_fd(s->iscsi), IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
	    !is_unacked(&info) || info.tcpi_last_ack_recv < KEEPALIVE_MS) {
		s->mute_since_ms = 0;
		return;
	}
	/* Counted from here: a blocking caller may not have looked, or sent, for minutes. */
	if (!s->mute_since_ms)
		s->mute_since_ms = now;
	if (now - s->mute_since_ms >= s->path_ms)
		lun_session_doom(s, -ETIMEDOUT,
				 "the path is dead: nothing acknowledged for %" PRIu32 " ms",
				 s->path_ms);
}

static void check_time(struct lun_session *s)
{
	int64_t now = lun_now_ms();

	if (s->sm.state == LUN_CONNECTING) {
		if (now >= s->connect_by_ms)
			lun_session_doom(s, -ETIMEDOUT, "no login within %" PRIu32 " ms",
					 s->connect_ms);
		return;
	}
	if (s->next_tur_ms == INT64_MAX)
		s->next_tur_ms = now + KEEPALIVE_MS;
	/* A slow disk is not a dead path: only silence on TEST UNIT READY and all else is. */
	if (s->keepalive_out && now - s->keepalive.sent_ms >= s->silence_ms)
		lun_session_doom(s, -ETIMEDOUT, "no answer for %" PRIu32 " ms", s->silence_ms);
	check_commands(s, now);
	if (!s->doomed)
		check_path(s, now);
	if (s->doomed)
		return;
	keep_alive(s, now);
	lun_io_abort_old(s, now);
	lun_io_deadline(s, now);
}

static void set_cork(struct lun_session *s, int on)
{
	int fd = iscsi_get_fd(s->iscsi);

	if (fd >= 0)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/*
 * Sends what is queued. libiscsi makes a system call, and with TCP_NODELAY a packet, of each header
 * and of each piece of data: corked they leave together. One lone READ or FLUSH is one call anyway.
 */
static void send_out(struct lun_session *s)
{
	bool cork = s->unsent != 1 || s->unsent_write;

	s->unsent = 0;
	s->unsent_write = false;
	if (!iscsi_is_logged_in(s->iscsi) || !(iscsi_which_events(s->iscsi) & POLLOUT))
		return;
	if (cork)
		set_cork(s, 1);
	if (iscsi_service(s->iscsi, POLLOUT) != 0)
		lun_session_doom(s, -ENOLINK, "%s", iscsi_get_error(s->iscsi));
	if (cork)
		set_cork(s, 0);
}

static void serve(struct lun_session *s, short revents)
{
	/* Once logged in, output goes through send_out(). */
	short now = iscsi_is_logged_in(s->iscsi) ? POLLIN | POLLERR | POLLHUP
						 : POLLIN | POLLOUT | POLLERR | POLLHUP;

	if (s->sm.state == LUN_CONNECTING && !revents)
		return;
	if ((revents & now) && iscsi_service(s->iscsi, revents & now) != 0)
		lun_session_doom(s, -ENOLINK, "%s", iscsi_get_error(s->iscsi));
	/* Also what came in just now: an R2T queued data, a done callback the next command. */
	if (!s->doomed)
		send_out(s);
	if (revents & (POLLRDHUP | POLLHUP | POLLERR))
		lun_session_doom(s, -ENOLINK, "the target closed the connection");
}

void lun_session_service(struct lun_session *s, short revents)
{
	if (s->sm.state == LUN_DEAD)
		return;
	s->quiet = s->serving = true;
	if (!s->doomed)
		serve(s, revents);
	if (!s->doomed)
		check_time(s);
	s->quiet = s->serving = false;
	if (s->doomed) {
		die(s);
		return;
	}
	lun_session_changed(s);
}

void lun_session_plug(struct lun_data *data)
{
	((struct lun_session *)data)->quiet = true; /* in service it is so already */
}

void lun_session_unplug(struct lun_data *data)
{
	struct lun_session *s = (struct lun_session *)data;

	/* From a done callback libiscsi is on the stack: what a failing send does to its queues it would
	 * not survive. The end of the service sends. */
	if (s->serving)
		return;
	if (s->iscsi && !s->doomed)
		send_out(s);
	s->quiet = false;
	lun_session_changed(s);
}

enum lun_session_state lun_session_state(const struct lun_session *s)
{
	return (enum lun_session_state)s->sm.state;
}

const char *lun_session_state_name(enum lun_session_state state)
{
	return session_states[state].name;
}

struct lun_data *lun_session_data(struct lun_session *s)
{
	return &s->data;
}

const char *lun_session_identity(const struct lun_session *s)
{
	return s->sm.state == LUN_CONNECTING ? "" : s->identity;
}

uint64_t lun_session_key(const struct lun_session *s)
{
	return s->key;
}

unsigned lun_session_in_flight(const struct lun_session *s)
{
	return s->n_io;
}

const char *lun_session_reason(const struct lun_session *s)
{
	return s->why.msg;
}

int lun_session_go(struct lun_session *s, struct cl_error *err)
{
	if (s->sm.state != LUN_READY || s->role != LUN_ROLE_DATA || !s->registered)
		return cl_error_set(err, -EPERM, "no GO for a session that is %s%s",
				    sm_name(&s->sm),
				    s->registered ? "" : " and has no key registered");
	lun_session_move(s, LUN_OPEN, "GO");
	return 0;
}

void lun_session_stop(struct lun_session *s, const char *why)
{
	if (s->sm.state != LUN_READY && s->sm.state != LUN_OPEN && s->sm.state != LUN_HELD)
		return;
	(void)cl_error_set(&s->why, -EBADE, "%s %s LUN %d: %s", s->url.portals[s->portal],
			   s->url.target, s->url.lun, why);
	/* First the state, then the ends: whoever submits from a done must be refused. */
	lun_session_move(s, LUN_STOPPED, "stopped");
	lun_io_end_waiting(s, LUN_CONFLICT);
}
