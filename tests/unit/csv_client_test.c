/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A mount's session: what is sent again, what is reclaimed, what survives the process, stop orders. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/client.h"

#define EPOCH 3

static struct cl_loop *loop;
static struct client *client;
static struct holding_shared *shared;

/* What was sent since the last look, and what was answered. */
static int n_sent, n_answers, last_error;
static Csv__Message__MsgCase sent_case;
static Csv__Kind sent_kind;
static uint64_t sent_unique, sent_fh, sent_handles, sent_locks;
static bool sent_resent;

static bool on_send(void *user, bool bulk, Csv__Message *msg)
{
	(void)user;
	(void)bulk;
	n_sent++;
	sent_case = msg->msg_case;
	if (msg->msg_case == CSV__MESSAGE__MSG_OP) {
		sent_unique = msg->op->unique;
		sent_kind = msg->op->kind;
		sent_fh = msg->op->fh;
		sent_resent = msg->op->resent;
	} else if (msg->msg_case == CSV__MESSAGE__MSG_RECLAIM) {
		sent_handles = msg->reclaim->n_handles;
		sent_locks = msg->reclaim->n_locks;
	}
	return true;
}

static void on_changed(void *user, const char *reason)
{
	(void)user;
	(void)reason;
}

static void on_done(struct call *call, const Csv__Result *res)
{
	n_answers++;
	last_error = (int)res->error;
	call_free(call);
}

static uint64_t told_size, told_free;

static void on_space(void *user, uint64_t size_bytes, uint64_t free_bytes)
{
	(void)user;
	told_size = size_bytes;
	told_free = free_bytes;
}

static bool is_dying(uint32_t pid)
{
	return pid == 13;
}

static void make_client(void)
{
	struct client_config cfg = { .name = "vol1",
				     .node = 1,
				     .mount = 77,
				     .shared = shared,
				     .send = on_send,
				     .changed = on_changed,
				     .space = on_space,
				     .is_dying = is_dying };

	assert_int_equal(client_new(loop, &cfg, &client), 0);
}

static int setup(void **state)
{
	(void)state;
	n_sent = n_answers = last_error = 0;
	shared = calloc(1, sizeof(*shared));
	assert_int_equal(cl_loop_new(&loop), 0);
	make_client();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	client_free(client);
	cl_loop_free(loop);
	free(shared);
	return 0;
}

static bool tell(Csv__Message__MsgCase what, uint64_t epoch, bool reclaim)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Welcome welcome = CSV__WELCOME__INIT;
	Csv__Reclaimed reclaimed = CSV__RECLAIMED__INIT;

	welcome.reclaim = reclaim;
	msg.epoch = epoch;
	msg.msg_case = what;
	if (what == CSV__MESSAGE__MSG_WELCOME)
		msg.welcome = &welcome;
	else
		msg.reclaimed = &reclaimed;
	return client_input(client, &msg);
}

static void come_up(uint64_t epoch)
{
	client_up(client, epoch, 1);
	assert_true(tell(CSV__MESSAGE__MSG_WELCOME, epoch, true));
	assert_int_equal(client_state(client), CLIENT_RECLAIMING);
	assert_true(tell(CSV__MESSAGE__MSG_RECLAIMED, epoch, false));
	assert_int_equal(client_state(client), CLIENT_ACTIVE);
}

static void result(uint64_t unique, uint64_t epoch)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Result res = CSV__RESULT__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	attr.ino = 12;
	res.unique = unique;
	res.attr = &attr;
	msg.epoch = epoch;
	msg.msg_case = CSV__MESSAGE__MSG_RESULT;
	msg.result = &res;
	assert_true(client_input(client, &msg));
}

static struct call *submit(Csv__Kind kind, uint64_t unique, uint64_t fh)
{
	struct call *call = call_new(kind, unique, 12);

	assert_non_null(call);
	call->done = on_done;
	call->op.fh = fh;
	client_submit(client, call);
	return call;
}

static void unanswered_is_sent_again(void **state)
{
	(void)state;
	submit(CSV__KIND__GETATTR, 5, 0);
	assert_int_equal(n_sent, 0); /* no coordinator: it waits */
	come_up(EPOCH);
	assert_int_equal(sent_unique, 5);
	assert_false(sent_resent);
	client_down(client);
	assert_int_equal(n_answers, 0); /* nobody is told */
	come_up(EPOCH + 1);
	assert_int_equal(sent_unique, 5);
	assert_true(sent_resent);
	result(5, EPOCH + 1);
	assert_int_equal(n_answers, 1);
	result(5, EPOCH + 1); /* a second answer is nobody's */
	assert_int_equal(n_answers, 1);
}

static void other_epochs_are_refused(void **state)
{
	(void)state;
	client_up(client, EPOCH, 1);
	assert_false(tell(CSV__MESSAGE__MSG_WELCOME, EPOCH - 1, false));
	assert_int_equal(client_state(client), CLIENT_GREETED);
	assert_false(tell(CSV__MESSAGE__MSG_RECLAIMED, EPOCH, false)); /* out of turn */
	assert_true(tell(CSV__MESSAGE__MSG_WELCOME, EPOCH, false));
	assert_int_equal(client_state(client), CLIENT_ACTIVE);
}

static bool say_free(uint64_t epoch, uint64_t free_bytes)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Space space = CSV__SPACE__INIT;

	space.size_bytes = 1 << 30;
	space.free_bytes = free_bytes;
	msg.epoch = epoch;
	msg.msg_case = CSV__MESSAGE__MSG_SPACE;
	msg.space = &space;
	return client_input(client, &msg);
}

static void free_space_is_passed_on(void **state)
{
	(void)state;
	client_up(client, EPOCH, 1);
	assert_false(say_free(EPOCH, 1)); /* before the welcome: out of turn */
	come_up(EPOCH);
	assert_true(say_free(EPOCH, 4096));
	assert_int_equal(told_free, 4096);
	assert_int_equal(told_size, 1 << 30);
	assert_false(say_free(EPOCH - 1, 5));
	assert_int_equal(told_free, 4096);
}

static void open_and_tag(uint64_t fh, uint64_t generation)
{
	struct call *call;

	submit(CSV__KIND__OPEN, fh, 0);
	result(fh, EPOCH);
	call = call_new(CSV__KIND__TAG, fh + 1, 12);
	assert_non_null(call);
	call->done = on_done;
	call->op.fh = fh;
	call->op.generation = generation;
	assert_int_equal(call_set_resource(call, "vm1"), 0);
	client_submit(client, call);
	result(fh + 1, EPOCH);
}

/* What is open is told to the next coordinator, by the next process, too. */
static void holdings_survive_the_process(void **state)
{
	(void)state;
	come_up(EPOCH);
	open_and_tag(100, 4);
	client_free(client);
	make_client();
	client_up(client, EPOCH + 1, 1);
	assert_true(tell(CSV__MESSAGE__MSG_WELCOME, EPOCH + 1, true));
	assert_int_equal(sent_case, CSV__MESSAGE__MSG_RECLAIM);
	assert_int_equal(sent_handles, 1);
	assert_int_equal(sent_locks, 0);
	assert_true(tell(CSV__MESSAGE__MSG_RECLAIMED, EPOCH + 1, false));
	submit(CSV__KIND__RELEASE, 200, 100);
	client_down(client);
	client_up(client, EPOCH + 2, 1);
	assert_true(tell(CSV__MESSAGE__MSG_WELCOME, EPOCH + 2, true));
	assert_int_equal(sent_handles, 0);
}

/* Step 2 of a VM's stop order: a QEMU that waits in FUSE does not die before. */
static void stop_order_answers_all(void **state)
{
	(void)state;
	come_up(EPOCH);
	open_and_tag(100, 4);
	client_down(client);
	n_answers = 0;
	submit(CSV__KIND__WRITE, 110, 100);
	client_fail(client, "vm2", 9);
	client_fail(client, "vm1", 3);
	assert_int_equal(n_answers, 0); /* another's; an earlier generation's */
	client_fail(client, "vm1", 4);
	assert_int_equal(n_answers, 1);
	assert_int_equal(last_error, EIO);
	submit(CSV__KIND__FLUSH, 111, 100);
	assert_int_equal(n_answers, 2); /* what comes later does not wait either */
	submit(CSV__KIND__RELEASE, 112, 100);
	assert_int_equal(n_answers, 2); /* it has to travel */
	assert_int_equal(client_waiting(client), 1);
}

static void submit_of(uint32_t pid, Csv__Kind kind, uint64_t unique, uint64_t fh)
{
	struct call *call = call_new(kind, unique, 12);

	assert_non_null(call);
	call->done = on_done;
	call->op.fh = fh;
	call->pid = pid;
	client_submit(client, call);
}

/* A launcher that is killed while it opens its disk has nothing yet that carries its tag. */
static void stop_order_frees_the_dying(void **state)
{
	(void)state;
	submit_of(12, CSV__KIND__OPEN, 20, 0);
	submit_of(13, CSV__KIND__LOOKUP, 22, 0);
	submit_of(13, CSV__KIND__OPEN, 24, 0);
	submit_of(13, CSV__KIND__RELEASE, 26, 100);
	client_fail(client, "vm1", 4);
	assert_int_equal(n_answers, 2);
	assert_int_equal(last_error, EINTR);
	assert_int_equal(client_waiting(client), 2); /* somebody else's, and what has to travel */
}

/* It was sent, and is done after its caller has gone: the handle is given back. */
static void an_open_for_nobody_is_released(void **state)
{
	(void)state;
	come_up(EPOCH);
	submit_of(13, CSV__KIND__OPEN, 24, 0);
	submit_of(13, CSV__KIND__CREATE, 28, 0);
	client_fail(client, "vm1", 4);
	assert_int_equal(n_answers, 1);
	assert_int_equal(client_waiting(client), 2); /* a record is waited for */
	client_down(client);
	come_up(EPOCH + 1);
	assert_true(sent_resent);
	result(24, EPOCH + 1);
	assert_int_equal(sent_kind, CSV__KIND__RELEASE);
	assert_int_equal(sent_fh, 24);
	assert_int_equal(sent_unique, 25);
	result(25, EPOCH + 1);
	assert_int_equal(n_answers, 1); /* the kernel had its answer */
	assert_int_equal(client_waiting(client), 1);
}

static void nothing_is_sent_without_lease(void **state)
{
	(void)state;
	come_up(EPOCH);
	client_hold(client, true);
	n_sent = 0;
	submit(CSV__KIND__GETATTR, 5, 0);
	assert_int_equal(n_sent, 0);
	client_hold(client, false);
	assert_int_equal(n_sent, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(unanswered_is_sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(free_space_is_passed_on, setup, teardown),
		cmocka_unit_test_setup_teardown(other_epochs_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(holdings_survive_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_order_answers_all, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_order_frees_the_dying, setup, teardown),
		cmocka_unit_test_setup_teardown(an_open_for_nobody_is_released, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_is_sent_without_lease, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
