/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Block-redirected I/O: a node that has lost its path sends reads and writes by place on the LUN. They are
 * checked here, against the layouts of its session and the map of now, and done by this node's own data
 * nexus, in the loop, many at a time (volume_proxy.c).
 *
 * What is under way there belongs to its sender, and outlives his connection and his death. So as long as
 * there is any: his session is not welcomed again (the client sends again what was not answered, and the
 * earlier copy could land behind it), not ended (what he held goes to others), and his fence is not paid -
 * else this node is a proxy that holds a dead node's write. What has not begun is called off first.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "csv/coord_int.h"

#define SECTOR 512
#define BYTES_MAX (1u << 20)

/* ---- may it? ------------------------------------------------------------------------------- */

/* All of it DATA, and where the client believes it to be. -EAGAIN: its map is not ours. */
static int check_place(struct coord *c, uint32_t ino, const Csv__Op *op, uint64_t len)
{
	uint64_t at = op->offset / FS_BLOCK_SIZE;
	uint64_t end = (op->offset + len + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
	uint64_t first = at, block = op->address / FS_BLOCK_SIZE;
	struct fs_extent ext;

	if (op->address % FS_BLOCK_SIZE != op->offset % FS_BLOCK_SIZE)
		return -EAGAIN;
	for (; at < end; at = ext.lblk + ext.len) {
		int r = fs_map(c->fs, ino, at, end - at, &ext, 1);

		if (r <= 0)
			return r < 0 ? r : -EIO;
		if (ext.state != FS_DATA || ext.pblk != block + (at - first))
			return -EAGAIN;
	}
	return 0;
}

static int check(struct coord *c, const struct req *q, uint64_t len, bool write)
{
	const struct handle *h;
	struct layout_piece p = { .session = q->session, .write = write };
	int r;

	/* It has no path, or would not ask; and its next nexus, which a lost one waits for, would wait for
	 * its welcome, and that for the lost one. */
	if (q->msg->node == c->cfg.self)
		return -EAGAIN;
	h = handle_find(c, q->session, q->op->fh);
	r = h ? handle_may(c, h, write) : -ESTALE;
	if (r)
		return r;
	if (!len || len > BYTES_MAX || len % SECTOR || q->op->offset % SECTOR ||
	    q->op->offset > FS_FILE_MAX)
		return -EINVAL;
	p.ino = h->ino;
	p.start = q->op->offset / FS_BLOCK_SIZE;
	p.end = (q->op->offset + len + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
	if (!layout_allows(&c->layouts, &p))
		return -EAGAIN;
	return check_place(c, h->ino, q->op, len);
}

/* ---- to the loop and back ------------------------------------------------------------------- */

/* OP_TAKEN: q is answered when the loop has. */
int op_block(struct coord *c, struct req *q, struct res *res)
{
	bool write = q->op->kind == CSV__KIND__BLOCK_WRITE;
	uint64_t len = write ? q->op->data.len : q->op->length;
	struct csv_mail *mail;
	int r = check(c, q, len, write);

	(void)res;
	if (r)
		return r;
	/* Room for what is read, too: it comes back as its own answer, which so cannot fail for memory. */
	mail = csv_mail_new(MAIL_IO, write ? q->op->data.data : NULL, len);
	if (!mail ||
	    proxied_vec_push(&c->proxied, (struct proxied){ c->last_proxied + 1, q }) < 0) {
		free(mail);
		return -ENOMEM;
	}
	mail->id = ++c->last_proxied;
	mail->node = q->msg->node;
	mail->incarnation = q->msg->incarnation;
	mail->address = q->op->address;
	mail->count = len;
	mail->ok = write;
	mail->fua = write && q->op->sync;
	coord_post_out(c, mail);
	return OP_TAKEN;
}

static void answer(struct coord *c, struct req *q, const struct csv_mail *mail)
{
	const struct session *s = session_by_id(&c->sessions, q->session);
	struct res res = { .r = CSV__RESULT__INIT };

	if (!s || s->conn != q->conn)
		return; /* sent again by now, on another connection */
	res.r.unique = q->op->unique;
	res.r.error = (uint32_t)mail->state;
	res.r.count = mail->state ? 0 : mail->count;
	if (!mail->state && !mail->ok)
		res.r.data = (ProtobufCBinaryData){ mail->len, (uint8_t *)(uintptr_t)mail->body };
	req_reply(c, q, &res);
}

void block_on_done(struct coord *c, const struct csv_mail *mail)
{
	for (size_t i = 0; i < c->proxied.n; i++) {
		struct req *q = c->proxied.v[i].q;

		if (c->proxied.v[i].id != mail->id)
			continue;
		proxied_vec_remove(&c->proxied, i);
		answer(c, q, mail);
		req_free(q);
		break;
	}
	nexus_retry(c);
	coord_retry_fences(c);
}

bool block_busy(const struct coord *c, uint32_t node, uint64_t up_to)
{
	if (c->cfg.defects & COORD_DEFECT_NO_PROXY_WAIT)
		return false;
	for (size_t i = 0; i < c->proxied.n; i++) {
		const Csv__Message *msg = c->proxied.v[i].q->msg;

		if (msg->node == node && msg->incarnation <= up_to)
			return true;
	}
	return false;
}

void block_call_off(struct coord *c, uint32_t node, uint64_t up_to)
{
	struct csv_mail *mail;

	if (!block_busy(c, node, up_to))
		return;
	mail = csv_mail_new(MAIL_IO_CANCEL, NULL, 0);
	if (!mail)
		return;
	mail->node = node;
	mail->incarnation = up_to;
	coord_post_out(c, mail);
}

void block_fini(struct coord *c)
{
	for (size_t i = 0; i < c->proxied.n; i++)
		req_free(c->proxied.v[i].q);
	proxied_vec_fini(&c->proxied);
}
