/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From results to replies: what each kind of call answers to the kernel. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "csv/front_int.h"
#include "csv/wtime.h"

static uint64_t ino_out(uint64_t ino)
{
	return ino == 2 ? FUSE_ROOT_ID : ino;
}

fuse_req_t front_finish(struct call *call)
{
	fuse_req_t req = call->user;

	call_free(call);
	return req;
}

static void to_stat(const Csv__Attr *a, struct stat *st)
{
	*st = (struct stat){
		.st_ino = a->ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size,
		.st_blocks = (blkcnt_t)a->blocks,
		.st_blksize = 4096,
		.st_atim = wtime_to(a->atime),
		.st_mtim = wtime_to(a->mtime),
		.st_ctim = wtime_to(a->ctime),
	};
}

/* The attributes that the kind owes; a peer that leaves them out is answered EIO. */
static bool bad(struct call *call, const Csv__Result *res, bool need_attr)
{
	int error = (int)res->error;

	if (!error && need_attr && !res->attr)
		error = EIO;
	if (error)
		(void)fuse_reply_err(front_finish(call), error);
	return error != 0;
}

void front_done_err(struct call *call, const Csv__Result *res)
{
	(void)fuse_reply_err(front_finish(call), (int)res->error);
}

void front_done_rename(struct call *call, const Csv__Result *res)
{
	struct front *front = fuse_req_userdata((fuse_req_t)call->user);

	if (!res->error)
		places_moved(front_places(front), call->node, call->op.name, call->new_node,
			     call->op.new_name, call->op.flags & RENAME_EXCHANGE);
	front_done_err(call, res);
}

void front_done_remove(struct call *call, const Csv__Result *res)
{
	struct front *front = fuse_req_userdata((fuse_req_t)call->user);

	if (!res->error)
		places_drop(front_places(front), call->node, call->op.name);
	front_done_err(call, res);
}

/* A directory at another place is another node to the kernel: places.h. */
static uint64_t node_of(const struct call *call, const Csv__Attr *a)
{
	struct places *places = front_places(fuse_req_userdata((fuse_req_t)call->user));

	if (S_ISDIR(a->mode))
		return ino_out(a->ino) | (uint64_t)places_tag(places, call->node, call->op.name)
						 << 32;
	if (call->op.kind == CSV__KIND__LOOKUP)
		places_drop(places, call->node, call->op.name);
	return ino_out(a->ino);
}

static struct fuse_entry_param entry_of(const struct call *call, const Csv__Attr *a)
{
	struct fuse_entry_param e = { .ino = node_of(call, a), .generation = a->generation };

	to_stat(a, &e.attr);
	return e;
}

void front_done_entry(struct call *call, const Csv__Result *res)
{
	struct fuse_entry_param e;

	if (bad(call, res, true))
		return;
	e = entry_of(call, res->attr);
	(void)fuse_reply_entry(front_finish(call), &e);
}

void front_done_attr(struct call *call, const Csv__Result *res)
{
	struct stat st;

	if (bad(call, res, true))
		return;
	to_stat(res->attr, &st);
	(void)fuse_reply_attr(front_finish(call), &st, 0);
}

static struct fuse_file_info info_of(const struct call *call)
{
	return (struct fuse_file_info){ .fh = call->op.unique, .direct_io = 1 };
}

void front_done_open(struct call *call, const Csv__Result *res)
{
	struct fuse_file_info fi = info_of(call);

	if (bad(call, res, true))
		return;
	front_next_is_open(fuse_req_userdata((fuse_req_t)call->user), false);
	(void)fuse_reply_open(front_finish(call), &fi);
}

void front_done_create(struct call *call, const Csv__Result *res)
{
	struct fuse_file_info fi = info_of(call);
	struct fuse_entry_param e;

	if (bad(call, res, true))
		return;
	e = entry_of(call, res->attr);
	front_next_is_open(fuse_req_userdata((fuse_req_t)call->user), true);
	(void)fuse_reply_create(front_finish(call), &e, &fi);
}

void front_done_data(struct call *call, const Csv__Result *res)
{
	size_t len = res->data.len < call->room ? res->data.len : call->room;

	if (!bad(call, res, false))
		(void)fuse_reply_buf(front_finish(call), (const char *)res->data.data, len);
}

void front_done_write(struct call *call, const Csv__Result *res)
{
	if (!bad(call, res, false))
		(void)fuse_reply_write(front_finish(call), res->count);
}

void front_done_readlink(struct call *call, const Csv__Result *res)
{
	char target[4097] = "";

	if (bad(call, res, false))
		return;
	memcpy(target, res->data.data, res->data.len < 4096 ? res->data.len : 4096);
	(void)fuse_reply_readlink(front_finish(call), target);
}

/* getxattr and listxattr: with size 0 only the length is asked for. */
void front_done_xattr(struct call *call, const Csv__Result *res)
{
	size_t room = call->room;

	if (bad(call, res, false))
		return;
	if (!room)
		(void)fuse_reply_xattr(front_finish(call), res->data.len);
	else if (res->data.len > room)
		(void)fuse_reply_err(front_finish(call), ERANGE);
	else
		(void)fuse_reply_buf(front_finish(call), (const char *)res->data.data,
				     res->data.len);
}

void front_done_statfs(struct call *call, const Csv__Result *res)
{
	const Csv__Statfs *in = res->statfs;
	struct statvfs st;

	if (bad(call, res, false))
		return;
	if (!in) {
		(void)fuse_reply_err(front_finish(call), EIO);
		return;
	}
	st = (struct statvfs){
		.f_bsize = in->bsize,
		.f_frsize = in->bsize,
		.f_blocks = in->blocks,
		.f_bfree = in->bfree,
		.f_bavail = in->bfree,
		.f_files = in->files,
		.f_ffree = in->ffree,
		.f_favail = in->ffree,
		.f_namemax = 255,
	};
	(void)fuse_reply_statfs(front_finish(call), &st);
}

void front_done_readdir(struct call *call, const Csv__Result *res)
{
	char *buf;
	size_t used = 0, room = call->room;
	fuse_req_t req = call->user;

	if (bad(call, res, false))
		return;
	buf = malloc(room);
	if (!buf) {
		(void)fuse_reply_err(front_finish(call), ENOMEM);
		return;
	}
	for (size_t i = 0; i < res->n_dirents; i++) {
		const Csv__Dirent *d = res->dirents[i];
		struct stat st = { .st_ino = d->ino, .st_mode = (mode_t)d->type << 12 };
		size_t n = fuse_add_direntry(req, buf + used, room - used, d->name, &st,
					     (off_t)d->next);

		if (n > room - used)
			break;
		used += n;
	}
	(void)fuse_reply_buf(front_finish(call), buf, used);
	free(buf);
}

void front_done_getlk(struct call *call, const Csv__Result *res)
{
	const Csv__Lock *l = res->lock;
	struct flock fl = { .l_type = F_UNLCK };

	if (bad(call, res, false))
		return;
	if (l && l->type != F_UNLCK) {
		fl.l_type = (short)l->type;
		fl.l_whence = SEEK_SET;
		fl.l_start = (off_t)l->start;
		fl.l_len = l->end >= INT64_MAX ? 0 : (off_t)(l->end - l->start + 1);
		fl.l_pid = (pid_t)l->pid;
	}
	(void)fuse_reply_lock(front_finish(call), &fl);
}

void front_done_lseek(struct call *call, const Csv__Result *res)
{
	if (!bad(call, res, false))
		(void)fuse_reply_lseek(front_finish(call), (off_t)res->count);
}

void front_done_ioctl(struct call *call, const Csv__Result *res)
{
	if (!bad(call, res, false))
		(void)fuse_reply_ioctl(front_finish(call), 0, NULL, 0);
}
