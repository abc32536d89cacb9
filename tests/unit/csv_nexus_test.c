/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may do direct I/O: admission of data nexuses, and what is killed before a session is welcomed. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/nexus.h"
#include "tests/unit/coord_rig.h"

/* ---- the table ---- */

static void a_second_kill_waits_for_the_first(void **state)
{
	struct store_node two = { 2, 1 }, three = { 3, 1 };
	struct nexus_vec v = { 0 };
	struct pr_match m[8];

	(void)state;
	assert_int_equal(nexus_add(&v, two, 21), 0);
	assert_int_equal(nexus_add(&v, two, 22), 0);
	assert_int_equal(nexus_add(&v, three, 31), 0);
	assert_true(nexus_known(&v, two, 21));
	assert_false(nexus_known(&v, three, 21));
	assert_int_equal(nexus_kill(&v, two, 22, m, 8), 1);
	assert_true(m[0].kind == PR_MATCH_KEY && m[0].key == 21);
	assert_false(nexus_known(&v, two, 21));
	/* Not paid yet: whoever comes now waits for the same. */
	assert_int_equal(nexus_kill(&v, two, 22, m, 8), 1);
	nexus_dead(&v, m, 1);
	assert_int_equal(nexus_kill(&v, two, 22, m, 8), 0);
	assert_int_equal(nexus_kill(&v, two, 0, m, 8), 1);
	assert_int_equal(nexus_kill(&v, (struct store_node){ 3, 2 }, 0, m, 8), 0);
	nexus_vec_fini(&v);
}

static void a_claim_leaves_members(void **state)
{
	uint64_t keys[3] = { 0, 0, 0x1234 };
	struct nexus_vec v = { 0 };

	(void)state;
	assert_int_equal(pr_key_make(2, 5, PR_INSTANCE_MEMBER | 1, &keys[0]), 0);
	assert_int_equal(pr_key_make(3, 6, PR_INSTANCE_MEMBER | 1, &keys[1]), 0);
	assert_int_equal(nexus_load(&v, keys, 3), 0);
	assert_int_equal(v.n, 2); /* a foreign key is nobody's nexus */
	assert_true(nexus_known(&v, (struct store_node){ 2, 5 }, keys[0]));
	assert_false(nexus_known(&v, (struct store_node){ 2, 4 }, keys[0]));
	nexus_vec_fini(&v);
}

/* On a list of keys that is only true at its end the innocent go with a victim (iscsi/pr_tail.h). */
static void swept_with_a_victim(void **state)
{
	struct store_node two = { 2, 1 }, three = { 3, 1 }, four = { 4, 1 };
	const uint64_t left[] = { 21 };
	struct nexus_vec v = { 0 };
	struct pr_match m[8];

	(void)state;
	assert_int_equal(nexus_add(&v, two, 21), 0);
	assert_int_equal(nexus_add(&v, three, 31), 0);
	assert_int_equal(nexus_add(&v, four, 41), 0);
	assert_int_equal(nexus_kill(&v, four, 0, m, 8), 1); /* waits behind the fence that swept */
	nexus_keep(&v, left, 1);
	assert_true(nexus_known(&v, two, 21));
	assert_int_equal(nexus_kill(&v, three, 0, m, 8),
			 0); /* dead already: nobody kills it, and others, again */
	assert_int_equal(nexus_kill(&v, four, 0, m, 8), 1); /* its own kill has to tell */
	nexus_vec_fini(&v);
}

/* ---- the coordinator ---- */

static struct rig *rig;
static struct peer two, three;

static int setup(void **state)
{
	(void)state;
	rig = rig_new();
	rig_start(rig);
	peer_init(&two, rig, 2);
	peer_init(&three, rig, 3);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(rig);
	return 0;
}

static void ask(struct peer *p, uint64_t id)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusAsk body = CSV__NEXUS_ASK__INIT;

	body.id = id;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_ASK;
	msg.nexus_ask = &body;
	peer_send(p, &msg);
}

static void registered(struct peer *p, uint64_t key)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__NexusRegistered body = CSV__NEXUS_REGISTERED__INIT;

	body.key = key;
	msg.msg_case = CSV__MESSAGE__MSG_NEXUS_REGISTERED;
	msg.nexus_registered = &body;
	peer_send(p, &msg);
}

static void done(Csv__Message *msg)
{
	csv__message__free_unpacked(msg, NULL);
}

static void admission(void **state)
{
	Csv__Message *msg;

	(void)state;
	peer_up(&two);
	ask(&two, 7);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_NEXUS_PERMIT);
	assert_int_equal(msg->nexus_permit->id, 7);
	assert_int_equal(msg->nexus_permit->pr_type, 6);
	two.nexus = msg->nexus_permit->key;
	done(msg);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_NEXUS_GO)); /* not before it is registered */
	registered(&two, two.nexus);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_NEXUS_GO);
	assert_int_equal(msg->nexus_go->key, two.nexus);
	done(msg);
}

static void refusals_say_why(void **state)
{
	Csv__Message *msg;

	(void)state;
	peer_up(&two);
	rig->manual = true;
	ask(&two, 8);
	rig_answer(rig, rig_question(rig, MAIL_PERMIT), false, 0);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_NEXUS_REFUSE);
	assert_int_equal(msg->nexus_refuse->id, 8);
	assert_string_equal(msg->nexus_refuse->reason, "the test says no");
	done(msg);
	registered(&two, 99);
	rig_answer(rig, rig_question(rig, MAIL_SEE), false, 0);
	done(peer_expect(&two, CSV__MESSAGE__MSG_NEXUS_REFUSE));
}

/* The heart of it: nobody is welcomed while an earlier nexus of his may still write. */
static void welcome_waits_for_the_kill(void **state)
{
	struct csv_mail *kill;

	(void)state;
	rig->manual = true;
	two.nexus = 55;
	peer_hello(&two);
	kill = rig_question(rig, MAIL_KILL);
	assert_int_equal(kill->node, 2);
	assert_int_equal(kill->incarnation, 1);
	assert_true(kill->key == 55);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_WELCOME));
	rig_answer(rig, kill, true, 55);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_NEXUS_REFUSE));
	peer_reclaim(&two, NULL, 0);
	/* Its connection breaks: it resumes, and the same holds. */
	peer_lost(&two);
	peer_hello(&two);
	kill = rig_question(rig, MAIL_KILL);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_WELCOME));
	rig_answer(rig, kill, true, 0);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	/* The nexus it named is not known: to be told, or it would wait for ever. */
	done(peer_expect(&two, CSV__MESSAGE__MSG_NEXUS_REFUSE));
}

static void welcome_without_kill_is_noticed(void **state)
{
	(void)state;
	rig_kill(rig);
	rig->defects = COORD_DEFECT_NO_KILL;
	rig_start(rig);
	rig->manual = true;
	peer_hello(&two);
	assert_true(peer_has(&two, CSV__MESSAGE__MSG_WELCOME));
}

/* What comes on the connection of before the hello would run beside its own repetition. */
static void the_earlier_connection_is_dead(void **state)
{
	struct peer old;
	uint64_t fh;

	(void)state;
	peer_up(&two);
	old = two;
	rig->manual = true;
	peer_hello(&two);
	{
		Csv__Op op = CSV__OP__INIT;
		char name[] = "too-late";

		op.kind = CSV__KIND__MKDIR;
		op.ino = 2;
		op.name = name;
		peer_post(&old, &op);
	}
	assert_false(peer_has(&old, CSV__MESSAGE__MSG_RESULT));
	rig_answer(rig, rig_question(rig, MAIL_KILL), true, 0);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	peer_create(&two, "too-late", &fh); /* the name is free */
}

static void a_hello_whose_connection_broke_is_forgotten(void **state)
{
	struct csv_mail *kill;

	(void)state;
	rig->manual = true;
	peer_hello(&two);
	kill = rig_question(rig, MAIL_KILL);
	peer_lost(&two);
	rig_settle(rig);
	rig_answer(rig, kill, true, 0);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_WELCOME));
}

static void a_kill_that_fails_refuses(void **state)
{
	Csv__Message *msg;

	(void)state;
	rig->manual = true;
	peer_hello(&two);
	rig_answer(rig, rig_question(rig, MAIL_KILL), false, 0);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_REFUSE);
	assert_int_equal(msg->refuse->code, EAGAIN);
	done(msg);
}

static int trylock(struct peer *p, uint64_t ino, uint64_t fh)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Lock lock = CSV__LOCK__INIT;

	lock.fh = fh;
	lock.ino = ino;
	lock.type = F_WRLCK;
	lock.end = UINT64_MAX;
	lock.owner = p->node;
	op.kind = CSV__KIND__SETLK;
	op.ino = ino;
	op.fh = fh;
	op.lock = &lock;
	return peer_try(p, &op);
}

static void say_bye(struct peer *p)
{
	Csv__Message msg = CSV__MESSAGE__INIT;
	Csv__Bye bye = CSV__BYE__INIT;

	msg.msg_case = CSV__MESSAGE__MSG_BYE;
	msg.bye = &bye;
	peer_send(p, &msg);
}

/* What a mount held is given to others when its nexuses are dead, not when it says goodbye. */
static void goodbye_waits_for_the_kill(void **state)
{
	uint64_t fh, ino, fh3;
	struct csv_mail *kill;

	(void)state;
	peer_up(&two);
	peer_up(&three);
	ino = peer_create(&two, "file", &fh);
	fh3 = peer_open(&three, ino);
	assert_int_equal(trylock(&two, ino, fh), 0);
	rig->manual = true;
	say_bye(&two);
	kill = rig_question(rig, MAIL_KILL);
	assert_int_equal(trylock(&three, ino, fh3), EAGAIN);
	rig_answer(rig, kill, true, 0);
	rig_settle(rig);
	assert_int_equal(trylock(&three, ino, fh3), 0);
}

/* A coordinator that closes waits for goodbyes, or its successor's grace would. */
static void close_waits_for_goodbye(void **state)
{
	struct csv_mail *kill, *close_;

	(void)state;
	peer_up(&two);
	rig->manual = true;
	say_bye(&two);
	kill = rig_question(rig, MAIL_KILL);
	close_ = csv_mail_new(MAIL_CLOSE, NULL, 0);
	assert_non_null(close_);
	coord_post(rig->coord, close_);
	rig_settle(rig);
	assert_int_equal(rig->state, COORD_SERVING);
	rig_answer(rig, kill, true, 0);
	rig_await_state(rig, COORD_CLOSED);
	rig_kill(rig);
	rig_start(rig);
	assert_int_equal(rig->state, COORD_SERVING); /* no grace: nobody is on record */
}

/* The fence can be ahead of the tables; what it ended must not come in by a hello. */
static void fenced_is_fenced(void **state)
{
	Csv__Message *msg;

	(void)state;
	peer_up(&two);
	rig_fence(rig, 2);
	rig->incarnation[2] = 1; /* tables of before */
	rig_tables(rig);
	peer_hello(&two);
	msg = peer_expect(&two, CSV__MESSAGE__MSG_REFUSE);
	assert_int_equal(msg->refuse->code, EPERM);
	done(msg);
}

/* The sessions are loaded by tables in which it lives; nobody else would end its own. */
static void fenced_while_opening(void **state)
{
	(void)state;
	peer_up(&two);
	rig_kill(rig);
	rig->fence_first = 2;
	rig_start(rig);
	assert_true(rig->fence_done > 0);
	assert_int_equal(rig->state, COORD_SERVING);
}

/* GO belongs to the connection on which it was asked for. */
static void no_go_after_another_hello(void **state)
{
	struct csv_mail *see;
	struct peer old;

	(void)state;
	peer_up(&two);
	rig->manual = true;
	registered(&two, 41);
	see = rig_question(rig, MAIL_SEE);
	old = two;
	peer_hello(&two);
	rig_answer(rig, rig_question(rig, MAIL_KILL), true, 0);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	rig_answer(rig, see, true, 41);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_NEXUS_GO));
	assert_false(peer_has(&old, CSV__MESSAGE__MSG_NEXUS_GO));
}

/* ---- barriers ---- */

static void barrier(uint64_t n)
{
	struct csv_mail *mail = csv_mail_new(MAIL_BARRIER, NULL, 0);

	assert_non_null(mail);
	mail->id = n;
	coord_post(rig->coord, mail);
}

static uint64_t told_barrier(struct peer *p)
{
	Csv__Message *msg = peer_expect(p, CSV__MESSAGE__MSG_BARRIER);
	uint64_t n = msg->barrier->n;

	done(msg);
	return n;
}

static void a_barrier_is_told_to_all(void **state)
{
	(void)state;
	peer_up(&two);
	assert_false(peer_has(&two, CSV__MESSAGE__MSG_BARRIER));
	barrier(1);
	assert_int_equal(told_barrier(&two), 1);
	peer_up(&three); /* what it had under way was dropped, too: the claim's barrier, say */
	assert_int_equal(told_barrier(&three), 1);
	peer_lost(&two);
	barrier(2);
	assert_int_equal(told_barrier(&three), 2);
	peer_up(&two);
	assert_int_equal(told_barrier(&two), 2);
}

/* It drains before it reclaims: with what the target has dropped, that would take a minute of the grace. */
static void a_barrier_is_told_in_grace(void **state)
{
	(void)state;
	peer_up(&two);
	rig_kill(rig);
	rig_start(rig);
	assert_int_equal(rig->state, COORD_GRACE);
	barrier(1);
	peer_hello(&two);
	done(peer_expect(&two, CSV__MESSAGE__MSG_WELCOME));
	assert_int_equal(told_barrier(&two), 1);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_kill_waits_for_the_first),
		cmocka_unit_test(a_claim_leaves_members),
		cmocka_unit_test(swept_with_a_victim),
		RIG_TEST(admission),
		RIG_TEST(refusals_say_why),
		RIG_TEST(welcome_waits_for_the_kill),
		RIG_TEST(welcome_without_kill_is_noticed),
		RIG_TEST(the_earlier_connection_is_dead),
		RIG_TEST(a_hello_whose_connection_broke_is_forgotten),
		RIG_TEST(a_kill_that_fails_refuses),
		RIG_TEST(goodbye_waits_for_the_kill),
		RIG_TEST(close_waits_for_goodbye),
		RIG_TEST(fenced_is_fenced),
		RIG_TEST(fenced_while_opening),
		RIG_TEST(no_go_after_another_hello),
		RIG_TEST(a_barrier_is_told_to_all),
		RIG_TEST(a_barrier_is_told_in_grace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
