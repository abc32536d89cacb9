/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The data nexus by the coordinator's word: no data before GO, portals in turn, loss, refusals. The iSCSI
 * session is played here. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "csv/data.h"
#include "iscsi/lun_loop.h"
#include "iscsi/lun_uring.h"

/* ---- the session, played ------------------------------------------------------------------- */

struct lun_session {
	struct lun_session_config cfg;
	enum lun_session_state state;
	struct lun_cmd *cmd;
	struct lun_data data;
};
struct lun_loop {
	int unused;
};
static struct lun_session *lun;
static int n_logins, n_frees;
static unsigned portal;
static uint64_t registered_old;

int lun_session_new(const struct lun_session_config *config, struct lun_session **ret,
		    struct cl_error *err)
{
	(void)err;
	assert_null(lun); /* never two at once */
	lun = calloc(1, sizeof(*lun));
	assert_non_null(lun);
	lun->cfg = *config;
	portal = config->portal;
	n_logins++;
	*ret = lun;
	return 0;
}

void lun_session_free(struct lun_session *s)
{
	assert_ptr_equal(s, lun);
	free(lun);
	lun = NULL;
	n_frees++;
}

enum lun_session_state lun_session_state(const struct lun_session *s)
{
	return s->state;
}

struct lun_data *lun_session_data(struct lun_session *s)
{
	return &s->data;
}

const char *lun_session_reason(const struct lun_session *s)
{
	return s->state == LUN_DEAD || s->state == LUN_STOPPED ? "unplugged" : "";
}

int lun_session_go(struct lun_session *s, struct cl_error *err)
{
	(void)err;
	s->state = LUN_OPEN;
	return 0;
}

enum lun_result lun_session_command(struct lun_session *s, struct lun_cmd *cmd)
{
	assert_int_equal(cmd->op.kind, PR_OP_REGISTER);
	registered_old = cmd->op.key;
	s->cmd = cmd;
	return LUN_OK;
}

static int n_barriers;

void lun_session_barrier_answered(struct lun_session *s)
{
	assert_ptr_equal(s, lun);
	n_barriers++;
}

int lun_loop_session(struct cl_loop *loop, struct lun_session *session, struct lun_loop **ret)
{
	(void)loop;
	(void)session;
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void lun_loop_update(struct lun_loop *binding)
{
	(void)binding;
}

void lun_loop_free(struct lun_loop *binding)
{
	free(binding);
}

static void session_state(enum lun_session_state state)
{
	struct cl_error why = CL_ERROR_INIT;

	lun->state = state;
	(void)cl_error_set(&why, -ENOLINK, "unplugged");
	lun->cfg.hooks.state(lun->cfg.hooks.user, lun, state,
			     state == LUN_DEAD || state == LUN_STOPPED ? &why : NULL);
}

static void answer_register(enum lun_result r)
{
	lun->cmd->answer.result = r;
	lun->cmd->done(lun->cmd);
}

/* ---- around it ----------------------------------------------------------------------------- */

static struct cl_loop *loop;
static struct data *data;
static struct cl_source *until;
static int n_asks, n_registered;
static uint64_t ask_id;

static bool on_ask(void *user, uint64_t id)
{
	(void)user;
	n_asks++;
	ask_id = id;
	return true;
}

static bool on_registered(void *user, uint64_t key)
{
	(void)user;
	assert_int_equal(key, 7);
	n_registered++;
	return true;
}

static void on_changed(void *user)
{
	(void)user;
}

static void on_until(void *user)
{
	(void)user;
	cl_loop_stop(loop);
}

/* Turns of the loop for so long. */
static void turn(int64_t ms)
{
	assert_int_equal(cl_timer_set_in(until, ms), 0);
	cl_loop_run(loop);
}

static int setup(void **state)
{
	struct data_config cfg = { .url = "iscsi://10.0.0.1,10.0.0.2/iqn.a:b/1",
				   .name = "vol1",
				   .node = 2,
				   .ask = on_ask,
				   .registered = on_registered,
				   .changed = on_changed };

	(void)state;
	n_logins = n_frees = n_asks = n_registered = 0;
	assert_int_equal(cl_loop_new(&loop), 0);
	assert_int_equal(cl_timer_new(loop, on_until, NULL, &until), 0);
	assert_int_equal(data_new(loop, &cfg, &data, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	data_free(data);
	cl_source_free(until);
	cl_loop_free(loop);
	return 0;
}

static void get_to(enum data_state state)
{
	data_session_up(data);
	if (state >= DATA_LOGIN)
		data_permit(data, 7, 6);
	if (state >= DATA_REGISTERED) {
		session_state(LUN_READY);
		answer_register(LUN_OK);
	}
	if (state >= DATA_OPEN)
		data_go(data, 7);
	assert_int_equal(data_state(data), state);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void step_by_step(void **state)
{
	(void)state;
	assert_int_equal(n_asks, 0);
	data_session_up(data);
	assert_int_equal(n_asks, 1);
	assert_false(data_is_asked(data, ask_id + 1));
	assert_true(data_is_asked(data, ask_id));
	assert_int_equal(n_logins, 0); /* no session without a key */
	data_permit(data, 7, 6);
	assert_int_equal(lun->cfg.key, 7);
	assert_int_equal(lun->cfg.role, LUN_ROLE_DATA);
	session_state(LUN_READY);
	assert_int_equal(registered_old, 0); /* never takes over what is there */
	answer_register(LUN_OK);
	assert_int_equal(n_registered, 1);
	assert_null(data_path(data)); /* no data before GO */
	data_go(data, 8);
	assert_null(data_path(data)); /* another's */
	assert_int_equal(data_key(data), 0);
	data_go(data, 7);
	assert_non_null(data_path(data));
	assert_int_equal(data_key(data), 7);
}

static void portals_in_turn(void **state)
{
	(void)state;
	get_to(DATA_LOGIN);
	assert_int_equal(portal, 0);
	session_state(LUN_DEAD);
	turn(20);
	assert_int_equal(portal, 1); /* by the same permission */
	assert_int_equal(n_asks, 1);
	session_state(LUN_DEAD);
	turn(20);
	assert_null(lun); /* none is left: a pause, then another key */
	assert_int_equal(n_asks, 1);
	turn(400);
	assert_int_equal(n_asks, 2);
}

/* REGISTER was sent: whether it counts is not known. Not another login with that key. */
static void a_barrier_reaches_an_open_nexus(void **state)
{
	(void)state;
	n_barriers = 0;
	data_barrier_answered(data);
	get_to(DATA_REGISTERED);
	data_barrier_answered(data); /* it has had no data under way */
	assert_int_equal(n_barriers, 0);
	data_go(data, 7);
	data_barrier_answered(data);
	assert_int_equal(n_barriers, 1);
}

static void a_key_is_used_once(void **state)
{
	(void)state;
	get_to(DATA_LOGIN);
	session_state(LUN_READY);
	session_state(LUN_DEAD);
	turn(20);
	assert_int_equal(n_logins, 1);
	assert_int_equal(data_state(data), DATA_NONE);
	turn(400);
	assert_int_equal(n_asks, 2);
}

static void a_loss_is_told_and_asked(void **state)
{
	(void)state;
	get_to(DATA_OPEN);
	lun->state = LUN_STOPPED;
	assert_null(data_path(data)); /* at once, before the session is closed */
	session_state(LUN_STOPPED);
	assert_int_equal(n_frees, 0); /* not from its own callback */
	turn(20);
	assert_int_equal(n_frees, 1);
	assert_int_equal(data_key(data), 0);
	assert_string_equal(data_reason(data), "unplugged");
	turn(400);
	assert_int_equal(n_asks, 2);
}

static void without_session_nothing_is_asked(void **state)
{
	(void)state;
	get_to(DATA_OPEN);
	data_session_down(data);
	assert_non_null(data_path(data)); /* an open nexus stays */
	session_state(LUN_DEAD);
	turn(400);
	assert_int_equal(n_asks, 1);
	data_session_up(data);
	assert_int_equal(n_asks, 2);
}

static void agreement_ends_with_the_session(void **state)
{
	(void)state;
	get_to(DATA_REGISTERED);
	data_session_down(data);
	assert_null(lun);
	assert_int_equal(data_state(data), DATA_NONE);
	data_go(data, 7); /* too late */
	assert_int_equal(data_state(data), DATA_NONE);
}

static void refusals(void **state)
{
	(void)state;
	get_to(DATA_ASKED);
	data_refuse(data, ask_id + 1, "of another question");
	assert_int_equal(data_state(data), DATA_ASKED);
	data_refuse(data, ask_id, "not now");
	assert_int_equal(data_state(data), DATA_NONE);
	assert_int_equal(n_asks, 1); /* not in a circle */
	turn(400);
	assert_int_equal(n_asks, 2);
	data_permit(data, 7, 6);
	session_state(LUN_READY);
	answer_register(LUN_OK);
	data_go(data, 7);
	data_refuse(data, 0, "that data nexus is not known here");
	assert_null(lun);
	assert_null(data_path(data));
}

/*
 * store_file.c takes a HELLO for the proof that I/O of the node's earlier process has ended: none may be
 * said before the lock is this process's own.
 */
static void a_file_waits_for_the_earlier_process(void **state)
{
	char path[] = "/tmp/csv-data-XXXXXX", url[64];
	struct data_config cfg = {
		.url = url, .name = "vol2", .node = 2, .ask = on_ask, .changed = on_changed
	};
	int fd = mkstemp(path), earlier = open(path, O_RDWR | O_CLOEXEC);
	struct cl_error err = CL_ERROR_INIT;
	struct data *file;

	(void)state;
	(void)snprintf(url, sizeof(url), "file://%s", path);
	assert_true(fd >= 0 && earlier >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(lun_local_lock(earlier, url, 2, LUN_LOCAL_DATA, &err), 0);
	assert_int_equal(data_new(loop, &cfg, &file, &err), 0);
	turn(200);
	assert_false(data_may_begin(file));
	assert_int_equal(lun_local_held(url, 2, &err), 1);
	(void)close(earlier);
	for (int i = 0; i < 100 && !data_may_begin(file); i++)
		turn(50);
	assert_true(data_may_begin(file));
	assert_int_equal(lun_local_held(url, 2, &err),
			 1); /* now its own: it cannot be waited for */
	data_free(file);
	(void)close(fd);
	(void)unlink(path);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		T(step_by_step),
		T(portals_in_turn),
		T(a_barrier_reaches_an_open_nexus),
		T(a_key_is_used_once),
		T(a_loss_is_told_and_asked),
		T(without_session_nothing_is_asked),
		T(agreement_ends_with_the_session),
		T(refusals),
		T(a_file_waits_for_the_earlier_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
