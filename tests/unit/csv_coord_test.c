/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator over its file system: whose volume it opens, space, large files. */
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

#include "csv/fs.h"
#include "csv/op.h"
#include "lib/monotime.h"
#include "tests/unit/coord_rig.h"

#define VOLUME_BYTES (32u << 20)

/* With our volume's uuid: a copy of the LUN in another cluster's hands, or theirs in ours. */
static void another_clusters_volume(void **state)
{
	struct rig *rig = rig_new();
	uint8_t *before = malloc(VOLUME_BYTES);

	(void)state;
	assert_non_null(before);
	memcpy(before, rig->mem, VOLUME_BYTES);
	rig->cluster[0] ^= 1;
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_REFUSED);
	assert_non_null(strstr(rig->text, "another cluster"));
	assert_memory_equal(rig->mem, before, VOLUME_BYTES);
	rig_kill(rig);
	rig->cluster[0] ^= 1;
	rig_start(rig);
	assert_int_equal(rig->state, COORD_SERVING);
	rig_free(rig);
	free(before);
}

static void refused_at(struct rig *rig, uint64_t epoch)
{
	rig->epoch = epoch - 1;
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_REFUSED);
	assert_int_equal(rig->later_epoch, 100);
	assert_non_null(strstr(rig->text, "a later epoch, 100, than"));
	rig_kill(rig);
}

/* Another line of the cluster's history has it: told with the epoch that stands there, and that one stays. */
static void a_later_epochs_volume(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig->epoch = 99;
	rig_start(rig);
	rig_kill(rig);
	refused_at(rig, 99);
	refused_at(rig, 8);
	rig->epoch = 99;
	rig_start(rig);
	assert_int_equal(rig->later_epoch, 0);
	rig_free(rig);
}

/* ---- refused: it looks again, by the same claim -------------------------------------------------- */

static struct rig *refused_rig(void)
{
	struct rig *rig = rig_new();

	rig->mem[1024 + 0x38] ^= 0xff; /* the magic number */
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_REFUSED);
	return rig;
}

static void mend(struct rig *rig)
{
	rig->mem[1024 + 0x38] ^= 0xff;
}

static void mended_is_opened_at_once(void **state)
{
	struct rig *rig = refused_rig();
	struct peer one;

	(void)state;
	assert_non_null(strstr(rig->text, "no cluster volume"));
	mend(rig);
	rig_await_state(rig, COORD_SERVING);
	assert_int_equal(rig->opens, 1); /* no other device, so no claim */
	peer_init(&one, rig, 1);
	peer_up(&one);
	rig_free(rig);
}

static void post_kind(struct rig *rig, enum csv_mail_kind kind)
{
	struct csv_mail *mail = csv_mail_new(kind, NULL, 0);

	assert_non_null(mail);
	coord_post(rig->coord, mail);
}

static void refused_and_closed(void **state)
{
	struct rig *rig = refused_rig();

	(void)state;
	post_kind(rig, MAIL_CLOSE);
	rig_await_state(rig, COORD_CLOSED);
	rig_free(rig);
}

/* What is lost may be another target when it is back: only a new claim tells. */
static void refused_and_lost(void **state)
{
	struct rig *rig = refused_rig();

	(void)state;
	rig->fail = -ENOLINK;
	rig_await_state(rig, COORD_FAILED);
	rig_free(rig);
}

/* Its fence is answered, and its session waited for by nobody, though the tables do not know of it yet. */
static void refused_and_fenced(void **state)
{
	struct rig *rig = rig_new();
	struct csv_mail *mail;
	struct peer two;

	(void)state;
	peer_init(&two, rig, 2);
	rig_start(rig);
	peer_up(&two);
	rig_kill(rig);
	rig->cluster[0] ^= 1;
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_REFUSED);
	mail = csv_mail_new(MAIL_FENCED, NULL, 0);
	assert_non_null(mail);
	mail->id = 7;
	mail->node = 2;
	mail->incarnation = 1;
	coord_post(rig->coord, mail);
	while (rig->fence_done != 7)
		rig_await_mail(rig);
	rig->cluster[0] ^= 1;
	rig_tables(rig);
	rig_await_state(rig, COORD_SERVING);
	rig_free(rig);
}

/* Whose session would be taken for fenced, because its node does not live, may still write. */
static void refused_and_owed(void **state)
{
	struct rig *rig = refused_rig();
	int64_t end_ms = cl_mono_ms(cl_mono_now()) + 100;

	(void)state;
	rig->owed = true;
	rig_fence(rig, 4); /* answered after the tables were looked at */
	mend(rig);
	while (cl_mono_ms(cl_mono_now()) < end_ms) {
		rig->incarnation[4] = 1;
		rig_fence(rig, 4);
		assert_int_equal(rig->state, COORD_REFUSED);
	}
	rig->owed = false;
	rig_tables(rig);
	rig_await_state(rig, COORD_SERVING);
	rig_free(rig);
}

/* ---- space ------------------------------------------------------------------------------------ */

static uint64_t blocks_free(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t n;

	op.kind = CSV__KIND__STATFS;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	n = msg->result->statfs->bfree;
	csv__message__free_unpacked(msg, NULL);
	return n;
}

static uint64_t post_allocate(struct peer *p, uint64_t ino, uint64_t fh, uint64_t blocks)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__FALLOCATE;
	op.ino = ino;
	op.fh = fh;
	op.length = blocks * FS_BLOCK_SIZE;
	peer_post(p, &op);
	return op.unique;
}

static uint64_t post_unlink(struct peer *p, const char *name)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__UNLINK;
	op.ino = FS_ROOT_INO;
	op.name = (char *)(uintptr_t)name;
	peer_post(p, &op);
	return op.unique;
}

static int error_of(struct peer *p, uint64_t unique)
{
	Csv__Message *msg = peer_result(p, unique);
	int error = (int)msg->result->error;

	csv__message__free_unpacked(msg, NULL);
	return error;
}

/* What waits for the lease is executed in one batch when it is back. */
static void lease(struct rig *rig, bool there)
{
	rig_settle(rig);
	atomic_store(&rig->lease_until_ms, there ? INT64_MAX : 0);
	rig_tables(rig);
}

/*
 * What a file had is free only when its deletion is durable. Whoever comes in the same batch and does not fit
 * into the rest must not be told that there is no space.
 */
static void space_of_the_deleted(void **state)
{
	struct rig *rig = rig_new();
	uint64_t ino[2], fh[2], unlinked, allocated, too_much, n;
	struct peer one;

	(void)state;
	peer_init(&one, rig, 1);
	rig_start(rig);
	peer_up(&one);
	ino[0] = peer_create(&one, "deleted", &fh[0]);
	ino[1] = peer_create(&one, "written", &fh[1]);
	n = blocks_free(&one);
	assert_int_equal(error_of(&one, post_allocate(&one, ino[0], fh[0], n / 2)), 0);
	peer_release(&one, ino[0], fh[0]);
	lease(rig, false);
	unlinked = post_unlink(&one, "deleted");
	allocated = post_allocate(&one, ino[1], fh[1], n / 4 * 3);
	too_much = post_allocate(&one, ino[1], fh[1], 2 * n);
	lease(rig, true);
	assert_int_equal(error_of(&one, unlinked), 0);
	assert_int_equal(error_of(&one, allocated), 0);
	assert_int_equal(error_of(&one, too_much), ENOSPC);
	rig_free(rig);
}

/* ---- large truncations -------------------------------------------------------------------------- */

/*
 * Of data, with as many between them that are not: more than one step takes. The cuts fall into the middle of
 * clusters: after such a one there is a commit before the next.
 */
#define PIECES 605

/* Runs of one block: DATA, unwritten, DATA, ... */
static uint64_t in_pieces(struct peer *p, uint64_t *ret_fh)
{
	uint64_t ino = peer_create(p, "pieces", ret_fh), last = 0;
	uint8_t block[FS_BLOCK_SIZE] = { 1 };

	assert_int_equal(error_of(p, post_allocate(p, ino, *ret_fh, 2 * PIECES)), 0);
	for (uint64_t i = 0; i < PIECES; i++)
		last = peer_post_write(p, ino, *ret_fh, 2 * i * FS_BLOCK_SIZE, block,
				       sizeof(block));
	assert_int_equal(error_of(p, last), 0);
	return ino;
}

static uint64_t post_truncate(struct peer *p, uint64_t ino)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Attr attr = CSV__ATTR__INIT;

	op.kind = CSV__KIND__SETATTR;
	op.ino = ino;
	op.valid = OP_SET_SIZE;
	op.attr = &attr;
	peer_post(p, &op);
	return op.unique;
}

static uint64_t size_of(struct peer *p, uint64_t ino)
{
	Csv__Op op = CSV__OP__INIT;
	Csv__Message *msg;
	uint64_t size;

	op.kind = CSV__KIND__GETATTR;
	op.ino = ino;
	msg = peer_call(p, &op);
	assert_int_equal(msg->result->error, 0);
	size = msg->result->attr->size;
	csv__message__free_unpacked(msg, NULL);
	return size;
}

/* Whether the truncation was answered before the coordinator failed. */
static bool is_answered(struct peer *p)
{
	Csv__Message *msg = NULL;

	while (p->rig->state != COORD_FAILED && !(msg = peer_take(p, CSV__MESSAGE__MSG_RESULT)))
		rig_await_mail(p->rig);
	if (msg)
		csv__message__free_unpacked(msg, NULL);
	return msg;
}

/*
 * The device is lost with the given flush: the size that the next coordinator finds. Sent again, the operation
 * is done. false: the device was not lost, so many flushes are not needed.
 */
static bool size_after_crash(unsigned flushes, uint64_t *ret_size)
{
	struct rig *rig = rig_new();
	uint64_t ino, fh;
	struct peer one;
	bool answered;

	peer_init(&one, rig, 1);
	rig_start(rig);
	peer_up(&one);
	ino = in_pieces(&one, &fh);
	rig_close(rig);
	rig_start(rig);
	peer_up(&one);
	rig->flushes_left = flushes;
	(void)post_truncate(&one, ino);
	answered = is_answered(&one);
	rig_kill(rig);
	rig->fail = 0;
	rig->flushes_left = 0;
	rig_start(rig);
	peer_up(&one);
	*ret_size = size_of(&one, ino);
	assert_int_equal(error_of(&one, post_truncate(&one, ino)), 0);
	assert_int_equal(size_of(&one, ino), 0);
	rig_free(rig);
	return !answered;
}

/* Not a transaction as large as the file, which the journal would refuse: steps, each a smaller file. */
static void a_large_truncation_goes_in_steps(void **state)
{
	const uint64_t whole = 2 * PIECES * FS_BLOCK_SIZE;
	bool between = false;
	uint64_t size;

	(void)state;
	for (unsigned n = 1; size_after_crash(n, &size); n++) {
		assert_true(size <= whole);
		between |= size > 0 && size < whole;
	}
	assert_true(between);
}

/* ---- O_CREAT of what another node has made ------------------------------------------------------- */

struct create {
	const char *name;
	uint32_t file_mode; /* uid 1000 has it */
	uint32_t uid, flags;
	int error;
	bool list; /* it has an access list, too */
};

static const struct create creates[] = {
	{ "owner", 0600, 1000, O_RDWR, 0, false },
	{ "owner, list", 0600, 1000, O_RDWR, 0, true },
	{ "owner, read-only", 0466, 1000, O_RDONLY, 0, false },
	{ "owner without the right", 0466, 1000, O_RDWR, ESTALE, false },
	{ "stranger", 0600, 1001, O_RDONLY, ESTALE, false },
	{ "stranger reads", 0644, 1001, O_RDONLY, 0, false },
	{ "stranger writes", 0644, 1001, O_WRONLY, ESTALE, false },
	{ "stranger, both", 0646, 1001, O_RDWR, ESTALE, false },
	{ "stranger, all may", 0666, 1001, O_RDWR, 0, false },
	{ "stranger, access mode 3", 0664, 1001, O_ACCMODE, ESTALE, false },
	{ "perhaps of the group", 0604, 1001, O_RDONLY, ESTALE, false },
	{ "of the group alone", 0640, 1001, O_RDONLY, ESTALE, false },
	{ "a list that may say no", 0664, 1001, O_RDONLY, ESTALE, true },
	{ "root, perhaps without capabilities", 0600, 0, O_RDWR, ESTALE, false },
	{ "O_TRUNC", 0600, 1000, O_RDWR | O_TRUNC, ESTALE, false },
	{ "O_EXCL", 0600, 1000, O_RDWR | O_EXCL, EEXIST, false },
};

static Csv__Op create_op(uint64_t dir, const char *name, uint32_t mode, uint32_t uid,
			 uint32_t flags)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__CREATE;
	op.ino = dir;
	op.name = (char *)(uintptr_t)name;
	op.mode = mode;
	op.uid = uid;
	op.gid = uid;
	op.flags = flags;
	return op;
}

static uint64_t call_ino(struct peer *p, Csv__Op *op, int error)
{
	Csv__Message *msg = peer_call(p, op);
	uint64_t ino = msg->result->attr ? msg->result->attr->ino : 0;

	if (msg->result->error != (uint32_t)error)
		fail_msg("'%s': error %u instead of %d", op->name, msg->result->error, error);
	csv__message__free_unpacked(msg, NULL);
	return ino;
}

/* For user 4711 nothing. */
static void set_list(struct peer *p, uint64_t ino)
{
	static const uint8_t list[] = {
		2,  0, 0, 0,			     /* version */
		1,  0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* owner */
		2,  0, 0, 0, 0x67, 0x12, 0,    0,    /* that user */
		4,  0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* group */
		16, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, /* mask */
		32, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, /* others */
	};
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__SETXATTR;
	op.ino = ino;
	op.name = (char *)(uintptr_t) "system.posix_acl_access";
	op.data = (ProtobufCBinaryData){ sizeof(list), (uint8_t *)(uintptr_t)list };
	assert_int_equal(peer_try(p, &op), 0);
}

/* The kernel asks for no right to the file itself: it takes it for one that it has made. */
static void create_of_what_is_there(void **state)
{
	struct rig *rig = rig_new();
	struct peer one, two;

	(void)state;
	peer_init(&one, rig, 1);
	peer_init(&two, rig, 2);
	rig_start(rig);
	peer_up(&one);
	peer_up(&two);
	for (size_t i = 0; i < sizeof(creates) / sizeof(creates[0]); i++) {
		const struct create *t = &creates[i];
		Csv__Op make = create_op(FS_ROOT_INO, t->name, t->file_mode, 1000, O_RDWR | O_EXCL);
		Csv__Op again = create_op(FS_ROOT_INO, t->name, 0644, t->uid, t->flags);
		uint64_t ino = call_ino(&one, &make, 0);
		uint8_t byte[1];

		if (t->list)
			set_list(&one, ino);
		assert_int_equal(call_ino(&two, &again, t->error), t->error ? 0 : ino);
		if (t->error)
			continue;
		assert_int_equal(peer_read(&two, ino, again.unique, 0, byte, 1), 0);
		peer_release(&two, ino, again.unique);
	}
	rig_free(rig);
}

static void create_in_a_sticky_directory(void **state)
{
	struct rig *rig = rig_new();
	Csv__Op dir = CSV__OP__INIT, make, again;
	struct peer one;

	(void)state;
	peer_init(&one, rig, 1);
	rig_start(rig);
	peer_up(&one);
	dir.kind = CSV__KIND__MKDIR;
	dir.ino = FS_ROOT_INO;
	dir.name = (char *)(uintptr_t) "tmp";
	dir.mode = 01777;
	make = create_op(call_ino(&one, &dir, 0), "f", 0666, 1000, O_RDWR);
	again = create_op(make.ino, "f", 0666, 1001, O_RDWR);
	(void)call_ino(&one, &make, 0);
	(void)call_ino(&one, &again, ESTALE);
	again = create_op(FS_ROOT_INO, "tmp", 0666, 0, O_RDWR);
	(void)call_ino(&one, &again, ESTALE);
	rig_free(rig);
}

/* Sent again it is the file that it was, whatever has the name by now. */
static void create_sent_again(void **state)
{
	struct rig *rig = rig_new();
	Csv__Op make = create_op(FS_ROOT_INO, "f", 0600, 1000, O_RDWR), open = make;
	struct peer one, two;
	uint64_t ino, other;

	(void)state;
	peer_init(&one, rig, 1);
	peer_init(&two, rig, 2);
	rig_start(rig);
	peer_up(&one);
	peer_up(&two);
	ino = call_ino(&one, &make, 0);
	assert_int_equal(call_ino(&two, &open, 0), ino);
	assert_int_equal(error_of(&one, post_unlink(&one, "f")), 0);
	make.unique = 0;
	other = call_ino(&one, &make, 0);
	assert_int_not_equal(other, ino);
	assert_int_equal(call_ino(&two, &open, 0), ino);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_clusters_volume),
		cmocka_unit_test(a_later_epochs_volume),
		cmocka_unit_test(mended_is_opened_at_once),
		cmocka_unit_test(refused_and_closed),
		cmocka_unit_test(refused_and_lost),
		cmocka_unit_test(refused_and_fenced),
		cmocka_unit_test(refused_and_owed),
		cmocka_unit_test(space_of_the_deleted),
		cmocka_unit_test(a_large_truncation_goes_in_steps),
		cmocka_unit_test(create_of_what_is_there),
		cmocka_unit_test(create_in_a_sticky_directory),
		cmocka_unit_test(create_sent_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
