/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests as the kernel wrote them. libfuse 3.14 is silent about three things that a file system with
 * POSIX's rules has to know:
 *
 *   TMPFILE     has the shape of CREATE, in request and answer; libfuse would answer ENOSYS
 *   SETXATTR    with FUSE_SETXATTR_EXT says when a list takes the file's set-group-id bit; it is brought
 *               back to the old shape, because libfuse that did not ask for the new one reads the old one
 *   WRITE       says in its flags when the set-id bits have to go: the kernel does it by itself only for
 *               writes through its cache
 *
 * Requests come from the kernel; what is too short is left for libfuse to refuse.
 */
#include "config.h"

#include <linux/fuse.h>
#include <string.h>

#include "csv/front_int.h"

#define SETXATTR_MORE (sizeof(struct fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE)

static void read_setxattr(struct fuse_in_header *in, uint8_t *body, size_t len,
			  struct front_raw *ret)
{
	struct fuse_setxattr_in arg;

	if (len < sizeof(arg))
		return;
	memcpy(&arg, body, sizeof(arg));
	ret->kill_setgid = arg.setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID;
	memmove(body + FUSE_COMPAT_SETXATTR_IN_SIZE, body + sizeof(arg), len - sizeof(arg));
	in->len -= (uint32_t)SETXATTR_MORE;
}

void front_raw_read(uint8_t *data, size_t len, struct front_raw *ret)
{
	struct fuse_in_header *in = (void *)data;
	uint8_t *body = data + sizeof(*in);
	size_t body_len = len - sizeof(*in);

	*ret = (struct front_raw){ .tmpfile = in->opcode == FUSE_TMPFILE };
	if (ret->tmpfile)
		in->opcode = FUSE_CREATE;
	else if (in->opcode == FUSE_SETXATTR)
		read_setxattr(in, body, body_len, ret);
	else if (in->opcode == FUSE_WRITE && body_len >= sizeof(struct fuse_write_in))
		ret->kill_priv = ((struct fuse_write_in *)(void *)body)->write_flags &
				 FUSE_WRITE_KILL_SUIDGID;
}

void front_raw_init(const uint8_t *request, size_t len, void *answer, size_t answer_len)
{
	const struct fuse_init_in *in = (const void *)(request + sizeof(struct fuse_in_header));
	struct fuse_init_out *out = answer;

	if (len < sizeof(struct fuse_in_header) + sizeof(*in) || answer_len < sizeof(*out))
		return;
	if (in->flags & FUSE_SETXATTR_EXT)
		out->flags |= FUSE_SETXATTR_EXT;
}
