/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file system of one volume: ext4 through libext2fs, every change a JBD2 transaction. One
 * object per volume, used by one thread at a time; every call may block on the device.
 *
 *     fs_begin(fs, now)        an operation begins: everything until fs_end() is one unit
 *       fs_create(...), fs_record_put(...) ...
 *     fs_end(fs)               it joins the running transaction (not durable yet), or
 *     fs_abort(fs)             it never happened: undone completely, whatever failed in the middle
 *     ...                      more operations: group commit
 *     fs_commit(fs)            all ended operations are durable when this returns 0
 *
 * Nothing may be told to anybody before fs_commit() returned 0. A crash leaves the volume with all
 * operations up to some fs_commit(), whole; those since that one are there all together or not at
 * all.
 *
 * Errors are negative errno. Any failing call that changes, fs_end() included (-ENOSPC: below the reserve;
 * -E2BIG: more than half a journal; -ENOMEM), obliges the caller to fs_abort(). The calls that only read need no begin, and see the running
 * transaction. After a failed fs_commit() or a failed write the fate of the transaction is open:
 * the object is dead (-EROFS from every change, fs_dead() says so); fs_free() it, kill the old
 * nexus, and fs_open() again, which replays.
 *
 * Clients see DATA and HOLE only. FS_UNWRITTEN ranges (preallocation, the rest of a cluster beyond
 * the end of file) read as zeros and are to be treated as HOLE: fs_alloc() them before writing.
 * No function here reads or writes file data, but for zeroing inside fs_alloc() and fs_zero().
 */
#ifndef CSV_FS_H
#define CSV_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "csv/fs_dev.h"
#include "lib/cleanup.h"
#include "lib/error.h"

#define FS_CLUSTER_SIZE 65536u
#define FS_ROOT_INO 2u
#define FS_TIME_MIN INT64_C(-2147483648) /* 1901: seconds that an inode can have */
#define FS_TIME_MAX INT64_C(15032385535) /* 2446 */
#define FS_NAME_MAX 255u
/* No file is larger: the last block number that a tree can have stays free, as in the kernel. */
#define FS_FILE_MAX (UINT64_C(0xffffffff) * FS_BLOCK_SIZE)
#define FS_UUID_SIZE 16

struct fs;

/* ---- life of a volume ------------------------------------------------------------------- */

struct fs_mkfs_options {
	const char *name; /* volume name; shown in the label */
	uint8_t volume_uuid[FS_UUID_SIZE];
	uint8_t cluster_uuid[FS_UUID_SIZE];
	struct timespec now;
	bool force;	     /* overwrite somebody else's data */
	unsigned journal_mb; /* 0 = chosen by size (4 .. 256) */
};

/*
 * Make a volume. Refuses (-EEXIST, with what was found in err) when the device carries a known
 * signature, another cluster's volume or anything but zeros in its first MiB, unless force. Needs
 * mke2fs (e2fsprogs). The superblock is written last: interrupted, there is no volume. At least 32
 * MiB.
 */
int fs_mkfs(struct fs_dev *dev, const struct fs_mkfs_options *opt, struct cl_error *err);

/* The refusals alone: nothing is written. */
int fs_mkfs_check(struct fs_dev *dev, const struct fs_mkfs_options *opt, struct cl_error *err);

/* What is on dev before anything is opened or replayed; found = false when it is no volume of ours.
 */
struct fs_probe {
	bool found;
	uint8_t volume_uuid[FS_UUID_SIZE];
	char label[17];
};
int fs_probe(struct fs_dev *dev, struct fs_probe *ret, struct cl_error *err);

/* Defect switches: guards left out, for tests that must notice. Never set outside of them. */
enum {
	FS_DEFECT_NO_REVOKE = 1,	      /* freed metadata is not revoked */
	FS_DEFECT_NO_UNDO = 2,		      /* abort leaves bitmaps and counts as they are */
	FS_DEFECT_NO_QUARANTINE = 4,	      /* freed clusters may be used at once */
	FS_DEFECT_NO_FLUSH_BEFORE_COMMIT = 8, /* commit block not ordered after the log blocks */
	FS_DEFECT_NO_BARED_COMMIT = 16, /* blocks cut off and filled again within one transaction */
};

struct fs_open_options {
	const uint8_t *volume_uuid; /* expected (16 bytes), checked before the replay; NULL = any of
				       ours */
	const uint8_t *cluster_uuid; /* expected, likewise; NULL = any */
	bool read_only;		     /* replays into memory only: the device is not written */
	unsigned checkpoint_blocks;  /* log blocks that start a checkpoint; 0 = a quarter of the
				       journal */
	unsigned step_extents;	     /* of a file that one operation frees; 0 = 512 */
	unsigned defects;
};

/*
 * Replay the journal and open. The caller owns the volume (fence paid) and dev (borrowed, must
 * outlive the object). Orphans are left alone: fs_orphan_next(). Nothing but the replay is written
 * until the first fs_commit(), and nothing at all before everything was found to be in order: a volume that is
 * refused is untouched. opt may be NULL.
 */
int fs_open(struct fs_dev *dev, const struct fs_open_options *opt, struct fs **ret,
	    struct cl_error *err);

/*
 * For what works below the file system (e2fsck, growing, wiping): may this device be that volume of that
 * cluster? 0: it is, or is so damaged that it cannot be told, or nothing is there. -EXDEV, in words: another
 * volume, another cluster's (a copy: the volume's uuid is the same), or somebody else's data. Writes nothing.
 */
int fs_whose(struct fs_dev *dev, const uint8_t *volume_uuid, const uint8_t *cluster_uuid,
	     struct cl_error *err);

/* Commit, checkpoint, mark the journal empty and the volume clean. The object stays to be freed. */
int fs_close(struct fs *fs);

/* Forget it all without a write; what was not committed is gone. Accepts NULL. */
void fs_free(struct fs *fs);
CL_DEFINE_CLEANUP(struct fs, fs_free);

bool fs_dead(const struct fs *fs);

/* Who it is, from /.csv/vol (as of the running transaction). */
struct fs_vol {
	uint32_t version;
	uint8_t volume_uuid[FS_UUID_SIZE];
	uint8_t cluster_uuid[FS_UUID_SIZE];
	uint64_t epoch;
	char name[64];
};
void fs_vol_get(const struct fs *fs, struct fs_vol *ret);

/* The first change of a coordinator's term (inside begin/end). -ESTALE when epoch <= the one there.
 */
int fs_set_epoch(struct fs *fs, uint64_t epoch);

/* ---- transactions ----------------------------------------------------------------------- */

/*
 * now is what every time stamp of the operation becomes. May commit what ended before (when the
 * running transaction is big or freed space has to become usable); -EROFS when dead or read-only.
 */
int fs_begin(struct fs *fs, struct timespec now);
/*
 * May go down to the space that is kept back (commits, deletes, records never fail for want of it);
 * otherwise allocations get -ENOSPC above the reserve. Between begin and end; undone by end/abort.
 */
void fs_use_reserve(struct fs *fs);
int fs_end(struct fs *fs);
void fs_abort(struct fs *fs);

/* Durable on 0. Without ended operations: nothing to do. Not inside an operation. */
int fs_commit(struct fs *fs);
/* Whether operations have ended that no commit has covered. */
bool fs_uncommitted(const struct fs *fs);

/* Commit and bring every logged block home, so that a take-over has nothing to replay. */
int fs_checkpoint(struct fs *fs);

/* ---- inodes ----------------------------------------------------------------------------- */

struct fs_attr {
	uint32_t ino, generation;
	uint32_t mode, nlink, uid, gid;
	uint32_t rdev; /* as makedev(3) of the kernel's 32 bits: new_encode_dev() */
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	struct timespec atime, mtime, ctime, crtime;
};

/* -ENOENT: no such inode in use. An unlinked one that is still on the orphan list is found (nlink
 * 0). */
int fs_getattr(struct fs *fs, uint32_t ino, struct fs_attr *ret);

enum {
	FS_SET_MODE = 1,
	FS_SET_UID = 2,
	FS_SET_GID = 4,
	FS_SET_ATIME = 8,
	FS_SET_MTIME = 16,
	FS_SET_CTIME = 32, /* without it ctime becomes now */
	FS_SET_SIZE = 64,  /* up: a hole (a partial last block is zeroed); down: frees */
};
int fs_setattr(struct fs *fs, uint32_t ino, unsigned set, const struct fs_attr *attr,
	       struct fs_attr *ret);

/* ---- names ------------------------------------------------------------------------------ */

/*
 * The hidden directory /.csv is not seen through lookup and readdir of the root, and its name
 * cannot be made, removed or renamed to (-EPERM).
 */
int fs_lookup(struct fs *fs, uint32_t dir, const char *name, uint32_t *ret_ino);

struct fs_new {
	uint32_t mode; /* with type; for mknod: S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO or S_IFSOCK */
	uint32_t uid, gid, rdev;
	uint32_t umask; /* applied here, because a default list takes its place */
	uint32_t dir;	/* fs_tmpfile(): made in this one (group, default list); 0 = none */
};
/* -EEXIST when the name is there. S_ISGID of dir and its default list are inherited as usual. */
int fs_mknod(struct fs *fs, uint32_t dir, const char *name, const struct fs_new *n,
	     struct fs_attr *ret); /* create = mknod with S_IFREG */
int fs_mkdir(struct fs *fs, uint32_t dir, const char *name, const struct fs_new *n,
	     struct fs_attr *ret);
int fs_symlink(struct fs *fs, uint32_t dir, const char *name, const char *target,
	       const struct fs_new *n, struct fs_attr *ret);
/* At most size - 1 bytes and a zero; returns the length of the target. */
int fs_readlink(struct fs *fs, uint32_t ino, char *buf, size_t size);
int fs_link(struct fs *fs, uint32_t ino, uint32_t dir, const char *name, struct fs_attr *ret);
/*
 * still_open: when the last name goes the inode stays on the orphan list until fs_orphan_free();
 * otherwise it is freed in the same operation. ret_gone (may be NULL): the inode whose last name
 * went, or 0.
 */
int fs_unlink(struct fs *fs, uint32_t dir, const char *name, bool still_open, uint32_t *ret_gone);
int fs_rmdir(struct fs *fs, uint32_t dir, const char *name);

enum {
	FS_RENAME_NOREPLACE = 1,
	FS_RENAME_EXCHANGE = 2, /* both are there and change places */
	FS_RENAME_REPLACED_OPEN =
		4, /* what the new name had is still open somewhere (as still_open) */
};
int fs_rename(struct fs *fs, uint32_t dir, const char *name, uint32_t new_dir, const char *new_name,
	      unsigned flags, uint32_t *ret_gone);

/*
 * Names from cookie on (0 = from the start). emit gets the cookie to go on after this entry and
 * returns false to stop before it (not consumed). A cookie stays valid while names come and go: an
 * entry that is there the whole time is given exactly once. "." and ".." are given.
 */
typedef bool (*fs_emit_fn)(void *user, const char *name, uint32_t ino, unsigned dt_type,
			   uint64_t next_cookie);
int fs_readdir(struct fs *fs, uint32_t dir, uint64_t cookie, fs_emit_fn emit, void *user);

/* ---- extended attributes: full names ("user.x", "security.selinux", ..) -------------------- */

int fs_xattr_get(struct fs *fs, uint32_t ino, const char *name, void **ret, size_t *ret_len);
enum {
	FS_XATTR_CREATE = 1,
	FS_XATTR_REPLACE = 2,
	FS_XATTR_KILL_SETGID = 4, /* of a list: the mode loses S_ISGID */
};
/*
 * As ext4: -ENOSPC when it does not fit into inode and one block. system.posix_acl_access changes the mode,
 * too, and is not kept when the mode says it all.
 */
int fs_xattr_set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
		 unsigned flags);
int fs_xattr_remove(struct fs *fs, uint32_t ino, const char *name);
/* Names, each with its zero, as listxattr(2) gives them; malloc'ed. */
int fs_xattr_list(struct fs *fs, uint32_t ino, char **ret, size_t *ret_len);

/* ---- space ------------------------------------------------------------------------------ */

struct fs_statfs {
	uint64_t blocks, bfree, bavail; /* of FS_BLOCK_SIZE; bavail is without the reserve */
	uint64_t files, ffree;
};
void fs_statfs(const struct fs *fs, struct fs_statfs *ret);

enum fs_extent_state { FS_DATA = 1, FS_HOLE = 2, FS_UNWRITTEN = 3 };
struct fs_extent {
	uint64_t lblk, len; /* in blocks of FS_BLOCK_SIZE */
	uint64_t pblk;	    /* 0 for holes: on the device at pblk * FS_BLOCK_SIZE */
	enum fs_extent_state state;
};

/*
 * The map of blocks [lblk, lblk + len), without gaps, in order; len is not cut at the end of file
 * (a hole there). At most max pieces; returns their number; the caller goes on after the last one.
 * Cheap: the maps of the 64 files that were asked for last are kept in memory, up to 32768 pieces of each.
 */
int fs_map(struct fs *fs, uint32_t ino, uint64_t lblk, uint64_t len, struct fs_extent *ret,
	   size_t max);

/* Whether all blocks that [off, off + len) touches are DATA: 1 or 0. */
int fs_is_data(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len);

/*
 * Make [off, off + len) DATA (widened to blocks) and, when new_size is larger than the size, set
 * the size (0 = leave it). Holes get clusters, unwritten ranges are converted; both are filled with
 * zeros on the device, and the zeros are stable before the map is (the commit flushes in between).
 * Whole clusters are allocated; the part of them beyond the end of file stays unwritten. What is
 * DATA already is not touched, but for the bytes of the old last block beyond the old size, which
 * are zeroed when the size grows. off + len may exceed the size only up to the new one (-EINVAL
 * otherwise). -ENOSPC: abort. Grant or write only after fs_commit().
 */
int fs_alloc(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size);

/* Preallocate as UNWRITTEN (keeps DATA as it is); the size is set when new_size is larger. */
int fs_prealloc(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size);

/*
 * Data first: a write that needs new blocks, without writing zeros below it.
 *
 *     begin; fs_prepare(ino, off, len, chunk); end        blocks are the file's, UNWRITTEN
 *     fs_map(); write whole blocks to them; wait until every write is done
 *     begin; fs_convert(ino, off, len, new size); end; commit
 *
 * Both operations may be in one transaction: no commit is needed in between. Why this is safe:
 *   - The clusters come from those that are free in the last *durable* state: what was freed since is in quarantine. So
 *     before the commit the data lies on clusters that, after a crash, are free, and that nobody but this object (dead
 *     by then, its nexus killed before the next replay) could have given to anybody. Older copies of metadata in the log
 *     that could be replayed over them have been revoked by a durable transaction.
 *   - The map says DATA only by the commit after fs_convert(), and the commit flushes the device (of all nexuses: SYNCHRONIZE
 *     CACHE is the LUN's) between log and commit block: the data is stable before the map that shows it is.
 *     A crash before: old size, UNWRITTEN or a hole there, zeros. Never what somebody else's file had.
 *   - Blocks that are DATA in the last durable state are never UNWRITTEN here: punch, truncation and fs_zero_range() are
 *     committed by themselves before the next operation begins.
 * What the caller must keep: partial blocks at the ends are filled up by it, with what the file has there (zeros where it is
 * UNWRITTEN, a hole, or beyond the end of file); the writes are answered (not given up, unknown fate) before fs_convert(),
 * fs_abort(), or anything else that could free these blocks; no two writers of one block between the two operations.
 *
 * fs_prepare() gives every hole of [off, off + len) clusters, and when there is any, those of the range widened
 * to multiples of chunk (bytes; 0 = not) on both sides too, behind what is mapped before, so that growth is
 * contiguous and seldom has to come here. It falls back to the range alone when space gets short. What is mapped
 * beyond the end of file stays until fs_trim() or the end of the file.
 */
int fs_prepare(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t chunk);

/*
 * UNWRITTEN -> DATA without zeroing, of the blocks that [off, off + len) touches, whose holder has written
 * all of them whole. -EINVAL on a hole, or when new_size > off + len. Bytes between the old end of file
 * and off are zeroed when the file grows.
 */
int fs_convert(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size);

/* Free what is mapped in whole clusters beyond the end of file. Every holder must have returned its map. */
int fs_trim(struct fs *fs, uint32_t ino);

/*
 * [off, off + len) reads as zeros and is mapped, UNWRITTEN but for the partial blocks at both ends, which are
 * zeroed on the device if they are DATA, at once and outside of any undo. The size is set when new_size is larger. Every
 * holder must have returned its map.
 */
int fs_zero_range(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len, uint64_t new_size);

/*
 * Free [off, off + len): whole blocks become holes (clusters are freed when nothing of them is
 * mapped). The partial blocks at both ends are zeroed on the device if they are DATA, at once and
 * outside of any undo. Every holder must have returned its map. Freed clusters stay out of use
 * until the commit is durable.
 */
int fs_punch(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len);

/* ---- unlinked but open -------------------------------------------------------------------- */

/*
 * Free an orphan (on the list) after its last close. Own operation: begin/end around it. A large one is freed
 * in part and the rest is left to fs_work(). -ENOENT when it is not on the list.
 */
int fs_orphan_free(struct fs *fs, uint32_t ino);

/*
 * A deletion of more than 512 extents (64 GiB in one piece) goes in steps: the operation itself is done, and durable
 * with its commit, when its first step is. What is left is on the orphan list, where the next coordinator (or
 * e2fsck) finds it after a crash. Whoever serves a volume calls fs_work() between its batches while fs_has_work(): one
 * step (milliseconds) as an operation of its own, not durable before a commit. 1 = done something, 0 = nothing to
 * do, negative: this file is given up until the next open (or the object is dead). fs_begin() does it by itself when
 * space is short.
 */
bool fs_has_work(const struct fs *fs);
int fs_work(struct fs *fs, struct timespec now);

/*
 * Before a file is made smaller (fs_setattr, FS_SET_SIZE): cut it from its end, in operations of its own of 512 extents each,
 * until the truncation itself is small enough for one operation. Without it that may be -E2BIG (some hundred thousand
 * extents). After a crash in the middle the file has a size in between: whoever asked has no answer yet, and asks again.
 */
int fs_cut_ahead(struct fs *fs, struct timespec now, uint32_t ino, uint64_t size);

/*
 * After -ENOSPC (and fs_abort()): all that was deleted becomes usable, whatever it takes. 1 = there is more
 * space than before: try again, once; 0 = there is not.
 */
int fs_make_space(struct fs *fs, struct timespec now);

/*
 * An inode with nlink 0 that has no name and is on the orphan list: temporary and private files; a
 * crash frees it. fs_link() gives it a name and takes it off the list.
 */
int fs_tmpfile(struct fs *fs, const struct fs_new *n, struct fs_attr *ret);
/* Walk the list: prev = 0 for the first; 0 in *ret_ino at the end. */
int fs_orphan_next(struct fs *fs, uint32_t prev, uint32_t *ret_ino);

/* ---- small records, changed within the operation's own transaction --------------------------- */

enum fs_store {
	FS_REPLIES = 0,	 /* exactly once: the answer to (node, mount instance, unique) */
	FS_SESSIONS = 1, /* what a take-over must know */
	FS_STORES
};
struct fs_record_key {
	uint64_t owner;	   /* node id (and incarnation, as the caller likes) */
	uint64_t instance; /* mount instance */
	uint64_t id;	   /* FUSE unique without the RESEND bit; session: what the caller likes */
};
#define FS_RECORD_MAX 192u /* bytes of data in a record */

/* Set (replacing); len <= FS_RECORD_MAX. -ENOSPC: the store is full (16384 replies, 8192 sessions).
 */
int fs_record_put(struct fs *fs, enum fs_store store, const struct fs_record_key *key,
		  const void *data, size_t len);
/* Points into the store, valid until the next change; -ENOENT. */
int fs_record_get(const struct fs *fs, enum fs_store store, const struct fs_record_key *key,
		  const void **ret, size_t *ret_len);
/* Inside begin/end. -ENOENT when it is not there. */
int fs_record_drop(struct fs *fs, enum fs_store store, const struct fs_record_key *key);
/* All of (owner, instance), whatever the id. Returns how many. */
int fs_record_drop_instance(struct fs *fs, enum fs_store store, uint64_t owner, uint64_t instance);
/* Calls fn for each, in no order; fn returns false to stop. fn must not change the store. */
typedef bool (*fs_record_fn)(void *user, const struct fs_record_key *key, const void *data,
			     size_t len);
void fs_record_foreach(const struct fs *fs, enum fs_store store, fs_record_fn fn, void *user);

/*
 * Inode of a hidden file: "hb" (heartbeat units, one block for each node id, DATA) or "scratch" (16
 * blocks for probes, DATA). For fs_map() and direct I/O. -ENOENT.
 */
int fs_hidden_ino(struct fs *fs, const char *name, uint32_t *ret_ino);

#endif
