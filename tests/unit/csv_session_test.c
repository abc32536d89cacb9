/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions and grace; what a tagged handle may do; what a node does about its role. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "csv/owner.h"
#include "csv/role.h"
#include "csv/session.h"

static struct session *found, *over;

static enum session_verdict hello(struct session_table *t, uint32_t node, uint64_t mount,
				  uint64_t incarnation, uint64_t admitted)
{
	return session_hello(t, node, mount, incarnation, admitted != 0, admitted, &found, &over);
}

static void grace_lasts_until_all_reclaimed(void **state)
{
	struct session_table t = { 0 };
	struct session *a = session_load(&t, 1, 100, 1), *b = session_load(&t, 2, 200, 1);

	(void)state;
	assert_ptr_equal(session_owing(&t), a);
	assert_int_equal(hello(&t, 1, 100, 1, 1), SESSION_RECLAIM);
	assert_ptr_equal(found, a);
	session_begin_reclaim(a, 7);
	assert_ptr_equal(session_owing(&t), a); /* it has begun, not ended */
	session_activate(a);
	assert_ptr_equal(session_owing(&t), b);
	/* A newcomer owes nothing, and does not end anybody's grace. */
	assert_int_equal(hello(&t, 3, 300, 1, 1), SESSION_ADMIT);
	session_begin_reclaim(session_admit(&t, 3, 300, 1), 8);
	assert_ptr_equal(session_owing(&t), b);
	assert_ptr_equal(session_fenced(&t, 2, 1), b);
	session_close(&t, b, "fenced");
	assert_null(session_owing(&t));
	session_table_fini(&t);
}

static void connection_is_not_session(void **state)
{
	struct session_table t = { 0 };
	struct session *s = session_admit(&t, 1, 100, 1);

	(void)state;
	session_begin_reclaim(s, 7);
	/* Broken off while reclaiming: from the beginning. */
	assert_int_equal(hello(&t, 1, 100, 1, 1), SESSION_RECLAIM);
	session_begin_reclaim(s, 8);
	session_activate(s);
	s->conn = 0;
	assert_int_equal(hello(&t, 1, 100, 1, 1), SESSION_RESUME);
	assert_null(session_by_conn(&t, 0));
	session_table_fini(&t);
}

static void dead_incarnations_are_refused(void **state)
{
	struct session_table t = { 0 };
	struct session *s = session_load(&t, 1, 100, 3);

	(void)state;
	assert_int_equal(session_hello(&t, 1, 100, 3, false, 3, &found, &over), SESSION_REFUSE);
	assert_int_equal(hello(&t, 1, 100, 3, 4), SESSION_REFUSE); /* older than admitted */
	assert_int_equal(hello(&t, 1, 100, 5, 4), SESSION_LATER);  /* we do not know it yet */
	/* The new incarnation does not inherit what the fenced one held. */
	assert_int_equal(hello(&t, 1, 100, 4, 4), SESSION_ADMIT);
	assert_ptr_equal(session_fenced(&t, 1, 3), s);
	assert_null(session_fenced(&t, 1, 2));
	session_table_fini(&t);
}

/* A hello that was stuck in a socket must not end the mount that came after it. */
static void newer_mount_supersedes(void **state)
{
	struct session_table t = { 0 };
	struct session *s = session_admit(&t, 1, 200, 1);

	(void)state;
	session_begin_reclaim(s, 7);
	session_activate(s);
	assert_int_equal(hello(&t, 1, 100, 1, 1), SESSION_REFUSE);
	assert_null(over);
	assert_int_equal(hello(&t, 1, 300, 1, 1), SESSION_ADMIT);
	assert_ptr_equal(over, s);
	session_table_fini(&t);
}

/* ---- owners ---- */

static enum owner_verdict judge(uint64_t owner, uint64_t reserved, uint64_t handle, bool writes)
{
	Vol__Owner o = VOL__OWNER__INIT, *op = &o;
	Vol__Tables t = VOL__TABLES__INIT;
	char name[] = "vm1";

	o.resource = name;
	o.generation = owner;
	o.reserved_generation = reserved;
	t.n_owners = 1;
	t.owners = &op;
	return owner_judge(&t, "vm1", handle, writes);
}

static void owner_rule(void **state)
{
	Vol__Tables none = VOL__TABLES__INIT;

	(void)state;
	assert_int_equal(judge(5, 0, 5, true), OWNER_ALLOW);
	assert_int_equal(judge(5, 0, 4, false), OWNER_STALE);
	assert_int_equal(judge(5, 0, 6, false), OWNER_WAIT);
	assert_int_equal(judge(5, 6, 6, false), OWNER_ALLOW);
	assert_int_equal(judge(5, 6, 6, true), OWNER_WAIT);   /* the commit may be on its way */
	assert_int_equal(judge(5, 6, 5, true), OWNER_ALLOW);  /* until the commit */
	assert_int_equal(judge(6, 0, 5, true), OWNER_STALE);  /* after it */
	assert_int_equal(judge(5, 7, 6, false), OWNER_STALE); /* aborted: the number is burnt */
	assert_int_equal(owner_judge(&none, "vm1", 5, false), OWNER_WAIT);
	assert_int_equal(owner_judge(NULL, "vm1", 5, false), OWNER_WAIT);
	assert_int_equal(owner_judge(NULL, "", 0, true), OWNER_ALLOW);
}

/* ---- role ---- */

static void role_takes_its_steps(void **state)
{
	struct role_view v = { .present = true, .epoch = 2, .debts = 1 };

	(void)state;
	assert_int_equal(role_next(&v, false), ROLE_MAKE_STORE);
	v.store = ROLE_STORE_IDLE;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.store = ROLE_STORE_UP;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING); /* a path, kept; nothing claimed */
	v.wanted = true;
	assert_int_equal(role_next(&v, false), ROLE_COORDINATE);
	v.store_epoch = 2;
	v.claiming = true;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.claiming = false;
	v.store = ROLE_STORE_HOLDING;
	/* The debt keeps the volume closed, until the order came, was met and the log says so. */
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.order_to_pay = true;
	assert_int_equal(role_next(&v, false), ROLE_PAY);
	v.paying = true;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.order_to_pay = v.paying = false;
	assert_int_equal(role_next(&v, true), ROLE_START); /* the guard left out */
	v.debts = 0;
	assert_int_equal(role_next(&v, false), ROLE_START);
}

static void role_stops(void **state)
{
	struct role_view up = { .present = true,
				.wanted = true,
				.epoch = 2,
				.store = ROLE_STORE_HOLDING,
				.store_epoch = 2,
				.running = true,
				.running_epoch = 2 },
			 v = up;

	(void)state;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.wanted = false;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	v = up;
	v.epoch = 3;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	v = up;
	v.store = ROLE_STORE_UP; /* the control session was lost: every GO is void */
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	v = up;
	v.ended = true;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	/* A failed one's writes may still land: the store is claimed anew before it is opened. */
	v.running = false;
	v.store_spoilt = true;
	assert_int_equal(role_next(&v, false), ROLE_DROP_STORE);
	v.store = ROLE_STORE_NONE;
	v.waiting = true;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.waiting = false;
	assert_int_equal(role_next(&v, false), ROLE_MAKE_STORE);
}

static void role_in_maintenance(void **state)
{
	struct role_view v = { .present = true,
			       .wanted = true,
			       .epoch = 2,
			       .store = ROLE_STORE_HOLDING,
			       .store_epoch = 2,
			       .running = true,
			       .running_epoch = 2,
			       .closed = true };

	(void)state;
	assert_int_equal(role_next(&v, false), ROLE_CLOSE);
	v.closing = true;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.ended = true;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
	v.running = v.ended = v.closing = false;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING); /* holds the LUN, opens nothing */
	v.order_to_pay = true;
	assert_int_equal(role_next(&v, false), ROLE_PAY);
	v.order_to_pay = false;
	v.job = true;
	v.debts = 1; /* e2fsck writes, too */
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.debts = 0;
	assert_int_equal(role_next(&v, false), ROLE_START_JOB);
	v.job = false;
	v.running = v.running_job = true;
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.closed = false; /* ended by the operator while it runs */
	assert_int_equal(role_next(&v, false), ROLE_NOTHING);
	v.epoch = 3;
	assert_int_equal(role_next(&v, false), ROLE_STOP);
}

/* One that opens may load the session of the node that is just fenced. */
static void role_tells_who_opens(void **state)
{
	struct role_view v = { .running = true };

	(void)state;
	assert_true(role_tells_fence(&v));
	v.ended = true;
	assert_false(role_tells_fence(&v));
	v.ended = false;
	v.running_job = true;
	assert_false(role_tells_fence(&v));
	v = (struct role_view){ 0 };
	assert_false(role_tells_fence(&v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grace_lasts_until_all_reclaimed),
		cmocka_unit_test(connection_is_not_session),
		cmocka_unit_test(dead_incarnations_are_refused),
		cmocka_unit_test(newer_mount_supersedes),
		cmocka_unit_test(owner_rule),
		cmocka_unit_test(role_takes_its_steps),
		cmocka_unit_test(role_stops),
		cmocka_unit_test(role_in_maintenance),
		cmocka_unit_test(role_tells_who_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
