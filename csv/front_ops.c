/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libfuse's operations. Each becomes a call; its done function makes the reply. Node ids are ext4's
 * inode numbers, for directories with a tag of their place (places.h); the root is 1 to the kernel and 2 on disk. Nothing is cached: attr
 * and entry timeouts are 0, every open is FOPEN_DIRECT_IO, because another node may change anything.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "csv/front_int.h"
#include "csv/fs.h"
#include "csv/op.h"
#include "csv/wtime.h"
#include "lib/assert.h"
#include "proto/csv_ioctl.h"

#define DIRECT_ALIGN 512
#define KEEP_FROM (256 * 1024) /* a write of so much is worth a buffer of FRONT_MAX_WRITE */

static uint64_t ino_of(fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? 2 : (uint32_t)ino;
}

/* NULL: out of memory, the request is answered. */
static struct call *begin(fuse_req_t req, Csv__Kind kind, fuse_ino_t ino,
			  void (*done)(struct call *, const Csv__Result *))
{
	struct front *front = fuse_req_userdata(req);
	bool resent;
	uint64_t unique = front_unique(front, &resent);
	struct call *call = call_new(kind, unique, ino_of(ino));

	if (!call) {
		(void)fuse_reply_err(req, ENOMEM);
		return NULL;
	}
	call->op.resent = call->sent = resent;
	call->done = done;
	call->user = req;
	call->node = ino;
	call->pid = (uint32_t)fuse_req_ctx(req)->pid;
	return call;
}

static void submit(struct call *call)
{
	client_submit(front_client(fuse_req_userdata((fuse_req_t)call->user)), call);
}

static void submit_or(struct call *call, int r)
{
	if (r < 0)
		(void)fuse_reply_err(front_finish(call), -r);
	else
		submit(call);
}

static void set_owner(struct call *call)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(call->user);

	call->op.uid = ctx->uid;
	call->op.gid = ctx->gid;
	call->op.umask = ctx->umask;
}

static void front_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call *call = begin(req, CSV__KIND__LOOKUP, parent, front_done_entry);

	if (call)
		submit_or(call, call_set_name(call, name));
}

static void front_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__GETATTR, ino, front_done_attr);

	(void)fi;
	if (call)
		submit(call);
}

static void front_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			  struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__SETATTR, ino, front_done_attr);

	if (!call)
		return;
	call->attr.mode = attr->st_mode;
	call->attr.uid = attr->st_uid;
	call->attr.gid = attr->st_gid;
	call->attr.size = (uint64_t)attr->st_size;
	call->attr.atime = wtime_from(attr->st_atim);
	call->attr.mtime = wtime_from(attr->st_mtim);
	call->op.attr = &call->attr;
	call->op.valid = (uint32_t)to_set;
	call->op.fh = fi ? fi->fh : 0;
	submit(call);
}

static void front_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct call *call = begin(req, CSV__KIND__READLINK, ino, front_done_readlink);

	if (call)
		submit(call);
}

static void make(fuse_req_t req, Csv__Kind kind, fuse_ino_t parent, const char *name, mode_t mode,
		 dev_t rdev)
{
	struct call *call = begin(req, kind, parent, front_done_entry);

	if (!call)
		return;
	set_owner(call);
	call->op.mode = mode;
	call->op.rdev = (uint32_t)rdev;
	submit_or(call, call_set_name(call, name));
}

static void front_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			dev_t rdev)
{
	make(req, CSV__KIND__MKNOD, parent, name, mode, rdev);
}

static void front_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, CSV__KIND__MKDIR, parent, name, mode, 0);
}

static void front_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct call *call = begin(req, CSV__KIND__SYMLINK, parent, front_done_entry);
	int r;

	if (!call)
		return;
	set_owner(call);
	r = call_set_name(call, name);
	submit_or(call, r < 0 ? r : call_set_new_name(call, target));
}

static void front_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call *call = begin(req, CSV__KIND__UNLINK, parent, front_done_err);

	if (call)
		submit_or(call, call_set_name(call, name));
}

static void front_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct call *call = begin(req, CSV__KIND__RMDIR, parent, front_done_remove);

	if (call)
		submit_or(call, call_set_name(call, name));
}

static void front_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
			 const char *new_name, unsigned flags)
{
	struct call *call = begin(req, CSV__KIND__RENAME, parent, front_done_rename);
	int r;

	if (!call)
		return;
	call->op.new_ino = ino_of(new_parent);
	call->new_node = new_parent;
	call->op.flags = flags;
	r = call_set_name(call, name);
	submit_or(call, r < 0 ? r : call_set_new_name(call, new_name));
}

static void front_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
	struct call *call = begin(req, CSV__KIND__LINK, ino, front_done_entry);

	if (!call)
		return;
	call->op.new_ino = ino_of(new_parent);
	submit_or(call, call_set_new_name(call, new_name));
}

static void front_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__OPEN, ino, front_done_open);

	if (!call)
		return;
	call->op.flags = (uint32_t)fi->flags;
	submit(call);
}

static void front_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			 struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__CREATE, parent, front_done_create);

	if (!call)
		return;
	set_owner(call);
	call->op.mode = mode;
	call->op.flags = (uint32_t)fi->flags;
	if (front_raw(fuse_req_userdata(req))->tmpfile)
		call->op.flags |= O_TMPFILE;
	submit_or(call, call_set_name(call, name));
}

/* Programs probe what O_DIRECT needs with odd sizes; without a refusal they would settle for bytes. */
static bool misaligned(const struct fuse_file_info *fi, uint64_t off, uint64_t size)
{
	return fi->flags & O_DIRECT && (off | size) % DIRECT_ALIGN;
}

static void front_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	struct call *call;

	if (misaligned(fi, (uint64_t)off, size)) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	call = begin(req, CSV__KIND__READ, ino, front_done_data);
	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.offset = (uint64_t)off;
	call->op.length = call->room = size;
	submit(call);
}

/* A large one keeps the buffer that it was read into; a small one would waste it. */
static int set_bytes(struct front *front, struct call *call, const char *data, size_t size)
{
	struct buf *buf;

	if (size >= KEEP_FROM) {
		call_set_buf(call, front_rx(front), data, size);
		return 0;
	}
	buf = buf_new(size);
	if (!buf)
		return -ENOMEM;
	memcpy(buf->data, data, size);
	call_set_buf(call, buf, buf->data, size);
	buf_unref(buf);
	return 0;
}

/* What reaches beyond the largest file is written as far as it goes; all beyond is refused later. */
static size_t up_to_largest(uint64_t off, size_t size)
{
	return off < FS_FILE_MAX && size > FS_FILE_MAX - off ? FS_FILE_MAX - off : size;
}

static void front_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
			struct fuse_file_info *fi)
{
	struct call *call;

	if (misaligned(fi, (uint64_t)off, size)) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	size = up_to_largest((uint64_t)off, size);
	call = begin(req, CSV__KIND__WRITE, ino, front_done_write);
	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.offset = (uint64_t)off;
	call->op.flags = (uint32_t)fi->flags & O_APPEND;
	call->op.sync = fi->flags & (O_SYNC | O_DSYNC);
	call->op.kill_priv = front_raw(fuse_req_userdata(req))->kill_priv;
	submit_or(call, set_bytes(fuse_req_userdata(req), call, buf, size));
}

static void front_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct front *front = fuse_req_userdata(req);
	struct call *call;

	if (!client_has_locks(front_client(front), ino_of(ino))) {
		(void)fuse_reply_err(req, 0);
		return;
	}
	call = begin(req, CSV__KIND__FLUSH, ino, front_done_err);
	if (!call)
		return;
	call->op.fh = fi->fh;
	call->lock.owner = fi->lock_owner;
	call->op.lock = &call->lock;
	submit(call);
}

static void front_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__RELEASE, ino, front_done_err);

	if (!call)
		return;
	call->op.fh = fi->fh;
	submit(call);
}

static void front_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__FSYNC, ino, front_done_err);

	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.flags = datasync ? OP_SYNC_DATA : 0;
	submit(call);
}

static void front_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fuse_reply_open(req, fi); /* cookies are stateless: nothing to remember */
}

static void front_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__READDIR, ino, front_done_readdir);

	(void)fi;
	if (!call)
		return;
	call->op.offset = (uint64_t)off;
	call->op.length = call->room = size;
	submit(call);
}

static void front_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	(void)fuse_reply_err(req, 0);
}

static void front_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct call *call = begin(req, CSV__KIND__STATFS, ino, front_done_statfs);

	if (call)
		submit(call);
}

static void front_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
			   size_t size, int flags)
{
	struct call *call = begin(req, CSV__KIND__SETXATTR, ino, front_done_err);
	struct front *front = fuse_req_userdata(req);
	int r;

	if (!call)
		return;
	call->op.flags = (uint32_t)flags;
	if (front_raw(front)->kill_setgid)
		call->op.flags |= FRONT_XATTR_KILL_SETGID;
	r = call_set_name(call, name);
	submit_or(call, r < 0 ? r : call_set_data(call, value, size));
}

static void front_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct call *call = begin(req, CSV__KIND__GETXATTR, ino, front_done_xattr);

	if (!call)
		return;
	call->room = size;
	submit_or(call, call_set_name(call, name));
}

static void front_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct call *call = begin(req, CSV__KIND__LISTXATTR, ino, front_done_xattr);

	if (!call)
		return;
	set_owner(call); /* who asks: not everybody sees all names */
	call->room = size;
	submit(call);
}

static void front_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct call *call = begin(req, CSV__KIND__REMOVEXATTR, ino, front_done_err);

	if (call)
		submit_or(call, call_set_name(call, name));
}

static void set_lock(struct call *call, const struct fuse_file_info *fi, const struct flock *fl)
{
	call->lock.fh = call->op.fh = fi->fh;
	call->lock.ino = call->op.ino;
	call->lock.owner = fi->lock_owner;
	call->lock.pid = (uint32_t)fl->l_pid;
	call->lock.type = (uint32_t)fl->l_type;
	call->lock.start = (uint64_t)fl->l_start;
	call->lock.end = fl->l_len ? (uint64_t)(fl->l_start + fl->l_len - 1) : INT64_MAX;
	call->op.lock = &call->lock;
}

static void front_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			struct flock *lock)
{
	struct call *call = begin(req, CSV__KIND__GETLK, ino, front_done_getlk);

	if (!call)
		return;
	set_lock(call, fi, lock);
	submit(call);
}

static void on_interrupt(fuse_req_t req, void *data)
{
	front_interrupted(fuse_req_userdata(req), (uint64_t)(uintptr_t)data);
}

static void submit_lock(struct call *call, bool wait)
{
	call->op.wait = wait;
	if (wait)
		fuse_req_interrupt_func(call->user, on_interrupt,
					(void *)(uintptr_t)call->op.unique);
	submit(call);
}

static void front_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
			struct flock *lock, int sleep)
{
	struct call *call = begin(req, CSV__KIND__SETLK, ino, front_done_err);

	if (!call)
		return;
	set_lock(call, fi, lock);
	submit_lock(call, sleep);
}

static void front_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct call *call = begin(req, CSV__KIND__SETLK, ino, front_done_err);
	struct flock fl = { 0 };

	if (!call)
		return;
	fl.l_type = op & LOCK_SH ? F_RDLCK : op & LOCK_EX ? F_WRLCK : F_UNLCK;
	set_lock(call, fi, &fl);
	call->lock.flock = true;
	submit_lock(call, !(op & LOCK_NB));
}

static void ioctl_tag(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, const void *in)
{
	struct call *call;
	struct csv_tag tag;

	memcpy(&tag, in, sizeof(tag));
	if (!tag.resource[0] || memchr(tag.resource, 0, sizeof(tag.resource)) == NULL ||
	    !tag.generation) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	call = begin(req, CSV__KIND__TAG, ino, front_done_ioctl);
	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.generation = tag.generation;
	submit_or(call, call_set_resource(call, tag.resource));
}

static void ioctl_name(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, const void *in)
{
	struct call *call;
	struct csv_name name;

	memcpy(&name, in, sizeof(name));
	if (!name.name[0] || memchr(name.name, 0, sizeof(name.name)) == NULL) {
		(void)fuse_reply_err(req, EINVAL);
		return;
	}
	call = begin(req, CSV__KIND__NAME_PRIVATE, ino, front_done_ioctl);
	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.new_ino = ino_of(name.directory);
	submit_or(call, call_set_new_name(call, name.name));
}

static void front_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
			struct fuse_file_info *fi, unsigned flags, const void *in, size_t in_size,
			size_t out_size)
{
	(void)arg;
	(void)out_size;
	if (flags & FUSE_IOCTL_DIR)
		(void)fuse_reply_err(req, ENOTTY);
	else if (cmd == (unsigned)CSV_IOC_TAG && in_size >= sizeof(struct csv_tag))
		ioctl_tag(req, ino, fi, in);
	else if (cmd == (unsigned)CSV_IOC_NAME && in_size >= sizeof(struct csv_name))
		ioctl_name(req, ino, fi, in);
	else
		(void)fuse_reply_err(req, ENOTTY);
}

static void front_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
			    struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__FALLOCATE, ino, front_done_err);

	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.flags = (uint32_t)mode;
	call->op.offset = (uint64_t)offset;
	call->op.length = (uint64_t)length;
	submit(call);
}

static void front_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
			struct fuse_file_info *fi)
{
	struct call *call = begin(req, CSV__KIND__LSEEK, ino, front_done_lseek);

	if (!call)
		return;
	call->op.fh = fi->fh;
	call->op.offset = (uint64_t)off;
	call->op.flags = (uint32_t)whence;
	submit(call);
}

static void front_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	(void)ino;
	(void)nlookup;
	fuse_reply_none(req); /* nothing is kept per lookup */
}

static void front_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

/* The same values at every start of csvd: the kernel keeps what the first one said. */
static void front_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = FRONT_MAX_WRITE;
	conn->max_background = 256;
	conn->congestion_threshold = 192;
	conn->want &=
		~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
			    FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
			    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ATOMIC_O_TRUNC);
	/* Lists are judged by the kernel and kept by the coordinator, which also applies the umask. */
	conn->want |= FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK;
}

const struct fuse_lowlevel_ops front_ops = {
	.init = front_init,
	.lookup = front_lookup,
	.forget = front_forget,
	.getattr = front_getattr,
	.setattr = front_setattr,
	.readlink = front_readlink,
	.mknod = front_mknod,
	.mkdir = front_mkdir,
	.unlink = front_unlink,
	.rmdir = front_rmdir,
	.symlink = front_symlink,
	.rename = front_rename,
	.link = front_link,
	.open = front_open,
	.read = front_read,
	.write = front_write,
	.flush = front_flush,
	.release = front_release,
	.fsync = front_fsync,
	.opendir = front_opendir,
	.readdir = front_readdir,
	.releasedir = front_releasedir,
	.statfs = front_statfs,
	.setxattr = front_setxattr,
	.getxattr = front_getxattr,
	.listxattr = front_listxattr,
	.removexattr = front_removexattr,
	.create = front_create,
	.getlk = front_getlk,
	.setlk = front_setlk,
	.flock = front_flock,
	.ioctl = front_ioctl,
	.fallocate = front_fallocate,
	.forget_multi = front_forget_multi,
	.lseek = front_lseek,
};
