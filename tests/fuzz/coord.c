/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator of a volume against a node that says anything: it serves the others all the same, does no I/O outside
 * of the LUN for it, and when the node is fenced the volume can be taken over. An input is a list of messages, each
 * behind its length in two bytes.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/fs.h"
#include "lib/le.h"
#include "tests/fuzz/any_message.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/coord_rig.h"

enum { LIAR = 2, HONEST = 3, MESSAGES_MAX = 12, LUN_BYTES = 32 << 20 };

/* Its handle, the honest node's, the inodes of both files. */
static const uint64_t numbers[] = {
	LIAR * 100000 + 1, HONEST * 100000 + 1, FS_ROOT_INO, 12, 13, 14, 1002, 1003, 8, 3
};
static const char *const names[] = { "liar", "honest", "new", ".csv", "..", "", "user.a", "vm" };
static const struct any_words words = { numbers, sizeof(numbers) / sizeof(numbers[0]), names,
					sizeof(names) / sizeof(names[0]) };

static size_t seed_coord(uint32_t number, uint8_t *buf, size_t max)
{
	size_t at = 0, n = 1 + number % MESSAGES_MAX;

	for (size_t i = 0; i < n && at + 2 < max; i++) {
		size_t len = any_message(&csv__message__descriptor, &words, buf + at + 2,
					 max - at - 2 < 8000 ? max - at - 2 : 8000);

		cl_put_le16(buf + at, (uint16_t)len);
		at += 2 + len;
	}
	return at;
}

/* In its own name mostly: what is not of a session's node goes no further. */
static struct csv_mail *mail_of(const struct peer *liar, const uint8_t *data, size_t len)
{
	Csv__Message *m = csv__message__unpack(NULL, len, data);
	struct csv_mail *mail;

	if (m && fuzz_random() % 16) {
		m->node = LIAR;
		m->mount = liar->mount;
		m->incarnation = 1;
		m->epoch = liar->rig->epoch;
	}
	mail = m ? csv_mail_pack(MAIL_MESSAGE, m) : csv_mail_new(MAIL_MESSAGE, data, len);
	if (m)
		csv__message__free_unpacked(m, NULL);
	fuzz_claim(mail, "no memory");
	mail->conn = liar->conn;
	return mail;
}

/* The block I/O that it asked for: within the LUN, or it must not have come so far. */
static void answer_io(struct rig *rig)
{
	while (rig->questions.n) {
		struct csv_mail *io = rig->questions.v[0];

		rig_mail_vec_remove(&rig->questions, 0);
		if (io->kind != MAIL_IO) {
			free(io);
			continue;
		}
		fuzz_claim(io->address <= LUN_BYTES && io->count <= LUN_BYTES - io->address,
			   "I/O outside of the LUN");
		rig_io_done(rig, io, 0);
	}
}

static void lie(struct rig *rig, const struct peer *liar, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at + 2 <= len;) {
		size_t n = cl_get_le16(data + at);

		at += 2;
		if (n > len - at)
			n = len - at;
		coord_post(rig->coord, mail_of(liar, data + at, n));
		at += n;
		rig_settle(rig);
		answer_io(rig);
	}
}

static int getattr(struct peer *p)
{
	Csv__Op op = CSV__OP__INIT;

	op.kind = CSV__KIND__GETATTR;
	op.ino = FS_ROOT_INO;
	return peer_try(p, &op);
}

static void one_coord(const uint8_t *data, size_t len)
{
	struct rig *rig = rig_new();
	struct peer liar, honest;
	uint64_t fh;

	rig_start(rig);
	peer_init(&liar, rig, LIAR);
	peer_init(&honest, rig, HONEST);
	(void)peer_up(&liar);
	(void)peer_up(&honest);
	(void)peer_create(&liar, "liar", &fh);
	(void)peer_create(&honest, "honest", &fh);
	lie(rig, &liar, data, len);
	fuzz_claim(rig->state == COORD_SERVING, rig->text);
	fuzz_claim(getattr(&honest) == 0, "another node is not served any more");
	rig_fence(rig, LIAR);
	fuzz_claim(getattr(&honest) == 0, "another node is not served after the fence");
	rig_kill(rig);
	rig_start(rig);
	fuzz_claim(rig->state == COORD_SERVING || rig->state == COORD_GRACE, rig->text);
	rig_free(rig);
}

const struct fuzz_target fuzz_targets[] = {
	{ "coord", seed_coord, one_coord, 1 },
	{ 0 },
};
