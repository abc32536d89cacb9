/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node does for others' block-redirected I/O (csv/volume_proxy.c): the nexus, the coordinator and the
 * tables around it are played here. Judged by what the nexus was given, and by what the coordinator heard.
 */
#include "config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/volume_int.h"
#include "iscsi/lun.h"

#define MAX 300

/* ---- what is around it -------------------------------------------------------------------------- */

static struct csvd csvd;
static Vol__Tables tables;
static struct volume v;
static int client_of_now, coord_of_now;
static uint64_t nexus;		   /* 0 = none */
static struct lun_io *at_lun[MAX]; /* given to the nexus, not ended */
static unsigned n_at_lun, given, pokes, heard;
static bool full, no_memory, lease_over;
static struct csv_mail *answers[MAX];

static enum lun_result submit(struct lun_data *data, struct lun_io *io)
{
	(void)data;
	if (full)
		return LUN_BUSY;
	at_lun[n_at_lun++] = io;
	given++;
	return LUN_OK;
}

static const struct lun_ops lun_ops = { .submit = submit };
static struct lun_data path = { .ops = &lun_ops };

struct lun_data *client_path(const struct client *c)
{
	(void)c;
	return nexus ? &path : NULL;
}

uint64_t client_nexus(const struct client *c)
{
	(void)c;
	return nexus;
}

bool csvd_lease_over(const struct csvd *d)
{
	(void)d;
	return lease_over;
}

void volume_poke(struct volume *volume)
{
	(void)volume;
	pokes++;
}

void coord_post(struct coord *coord, struct csv_mail *mail)
{
	(void)coord;
	assert_int_equal(mail->kind, MAIL_IO_DONE);
	answers[heard++] = mail;
}

void *__real_calloc(size_t n, size_t size);
void *__real_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* ---- the rig ---------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	(void)state;
	tables = (Vol__Tables)VOL__TABLES__INIT;
	tables.self = 1;
	csvd = (struct csvd){ .tables = &tables };
	v = (struct volume){ .d = &csvd,
			     .name = "vol",
			     .coordinator = 1,
			     .epoch = 5,
			     .coord = (struct coord *)(void *)&coord_of_now,
			     .coord_serial = 3,
			     .coord_epoch = 5,
			     .client = (struct client *)(void *)&client_of_now };
	nexus = 77;
	n_at_lun = given = pokes = heard = 0;
	full = no_memory = lease_over = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	v.client = NULL;
	volume_forget_proxied(&v);
	for (unsigned i = 0; i < heard; i++)
		free(answers[i]);
	return 0;
}

static void ask_as(unsigned id, bool write, uint32_t node, uint64_t incarnation)
{
	struct csv_mail *mail = csv_mail_new(MAIL_IO, NULL, 4096);

	assert_non_null(mail);
	mail->id = id;
	mail->ok = write;
	mail->fua = write && id % 2;
	mail->node = node;
	mail->incarnation = incarnation;
	mail->address = id * 4096;
	mail->count = 4096;
	memset(mail->body, (int)id, 4096);
	volume_on_io(&v, mail);
}

static void ask(unsigned id, bool write)
{
	ask_as(id, write, 2, 1);
}

/* The i-th of those at the LUN ends. */
static void end(unsigned i, enum lun_result result)
{
	struct lun_io *io = at_lun[i];

	at_lun[i] = at_lun[--n_at_lun];
	io->done(io, result);
}

static void cancel(uint32_t node, uint64_t incarnation)
{
	const struct csv_mail mail = { .kind = MAIL_IO_CANCEL,
				       .node = node,
				       .incarnation = incarnation };

	volume_cancel_io(&v, &mail);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void reads_and_writes(void **state)
{
	(void)state;
	ask(9, true);
	ask(8, true);
	ask(7, false);
	assert_int_equal(n_at_lun, 3);
	assert_int_equal(at_lun[0]->dir, LUN_WRITE);
	assert_true(at_lun[0]->fua); /* O_DSYNC of its sender: durable when it is answered */
	assert_false(at_lun[1]->fua);
	assert_int_equal(at_lun[0]->offset, 9 * 4096);
	assert_int_equal(*(uint8_t *)at_lun[0]->iov->iov_base, 9);
	assert_int_equal(at_lun[2]->dir, LUN_READ);
	memset(at_lun[2]->iov->iov_base, 0x3c, 4096);
	end(2, LUN_OK);
	assert_int_equal(heard, 1);
	assert_int_equal(answers[0]->id, 7);
	assert_int_equal(answers[0]->state, 0);
	assert_int_equal(answers[0]->len, 4096);
	assert_int_equal(answers[0]->body[4095], 0x3c);
	end(0, LUN_ERROR);
	assert_int_equal(answers[1]->state, EIO);
	end(0, LUN_OK);
	assert_int_equal(answers[2]->id, 8);
	assert_true(answers[2]->ok);
	assert_null(v.proxied);
}

/* Half of the nexus's depth is others'; the rest goes when one has ended. */
static void at_most_half(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 140; i++)
		ask(i, true);
	assert_int_equal(n_at_lun, LUN_IO_DEPTH_MAX / 2);
	assert_int_equal(heard, 0);
	for (unsigned i = 0; i < 5; i++)
		end(0, LUN_OK);
	assert_true(pokes >= 5);
	volume_look_at_proxied(&v);
	assert_int_equal(n_at_lun, LUN_IO_DEPTH_MAX / 2);
	assert_int_equal(given, LUN_IO_DEPTH_MAX / 2 + 5);
	assert_int_equal(heard, 5);
}

/* Nothing of it is under way: the sender goes by the file system. */
static void no_path(void **state)
{
	(void)state;
	nexus = 0;
	ask(1, true);
	full = true;
	nexus = 77;
	ask(2, true);
	assert_int_equal(heard, 2);
	assert_int_equal(answers[0]->state, EAGAIN);
	assert_int_equal(answers[1]->state, EAGAIN);
	assert_null(v.proxied);
}

/* Of unknown fate: neither done again nor given up before its nexus is dead. */
static void lost_with_the_nexus(void **state)
{
	(void)state;
	ask(1, true);
	end(0, LUN_LOST);
	volume_look_at_proxied(&v); /* the client has not noticed yet */
	assert_int_equal(n_at_lun + heard, 0);
	nexus = 0;
	volume_look_at_proxied(&v); /* dead here; at the target it may still stand */
	assert_int_equal(n_at_lun + heard, 0);
	nexus = 78; /* the next one is only had when the earlier ones were killed */
	volume_look_at_proxied(&v);
	assert_int_equal(n_at_lun, 1);
	assert_int_equal(*(uint8_t *)at_lun[0]->iov->iov_base, 1);
	end(0, LUN_OK);
	assert_int_equal(answers[0]->state, 0);
}

/* Its sender is fenced: what runs is waited for, what does not is called off. */
static void called_off(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LUN_IO_DEPTH_MAX / 2; i++)
		ask_as(i, true, 2, 1);
	ask_as(200, true, 2, 1); /* waits */
	ask_as(201, true, 3, 1); /* waits, somebody else's */
	ask_as(202, true, 2, 2); /* waits, of the node's next life */
	cancel(2, 1);
	assert_int_equal(heard, 1);
	assert_int_equal(answers[0]->id, 200);
	assert_int_equal(answers[0]->state, ECANCELED);
	end(0, LUN_LOST);
	volume_look_at_proxied(&v);
	assert_int_equal(heard, 1); /* of unknown fate is not over */
	nexus = 78;
	volume_look_at_proxied(&v);
	assert_int_equal(answers[1]->state, ECANCELED); /* and is not begun again */
	end(0, LUN_OK);
	assert_int_equal(heard, 3); /* what ran to its end says so */
	assert_int_equal(answers[2]->state, 0);
}

/* The role went to another node with a write of unknown fate here: it is not done once more. */
static void another_coordinator(void **state)
{
	(void)state;
	ask(1, true);
	end(0, LUN_LOST);
	v.coordinator = 2;
	v.epoch = 6;
	nexus = 78;
	volume_look_at_proxied(&v);
	assert_int_equal(n_at_lun, 0);
	assert_int_equal(answers[0]->state, EAGAIN);
}

static void another_thread(void **state)
{
	(void)state;
	ask(1, true);
	v.coord_serial++; /* the one that asked has ended; this one has heard of nothing */
	end(0, LUN_OK);
	assert_int_equal(heard, 0);
	assert_null(v.proxied);
}

static void lease_is_over(void **state)
{
	(void)state;
	lease_over = true;
	ask(1, true);
	assert_int_equal(n_at_lun, 0);
	assert_int_equal(answers[0]->state, EAGAIN);
}

/* An answer that cannot be queued would be waited for without end, and the sender's session with it. */
static void out_of_memory(void **state)
{
	struct csv_mail *mail = csv_mail_new(MAIL_IO, NULL, 4096);

	(void)state;
	ask(1, true);
	mail->id = 2;
	mail->ok = true;
	mail->count = 4096;
	no_memory = true;
	volume_on_io(&v, mail);
	end(0, LUN_OK);
	no_memory = false;
	assert_int_equal(heard, 2);
	assert_int_equal(answers[0]->id, 2);
	assert_int_equal(answers[0]->state, EAGAIN);
	assert_int_equal(answers[1]->id, 1);
	assert_int_equal(answers[1]->state, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_and_writes),	   TEST(at_most_half),	TEST(no_path),
		TEST(lost_with_the_nexus), TEST(called_off),	TEST(another_coordinator),
		TEST(another_thread),	   TEST(lease_is_over), TEST(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
