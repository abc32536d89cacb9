/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the file system share. Only csv/fs*.c include it.
 *
 *   fs_io.c      block cache; the io_manager that libext2fs reads and writes through
 *   fs_hook.c    every allocation and release passes here: undo, dirty groups, quarantine
 *   fs_meta.c    bitmaps, group descriptors, superblock -> cache blocks, at commit
 *   fs_tx.c      begin, end, abort, commit, checkpoint, going live
 *   fs_open.c    open; fs_replay.c  the journal at an open
 *   fs_extent.c  editing of extent trees; fs_alloc.c  clusters
 *   fs_map.c     maps, and what is kept of them; fs_range.c  filling; fs_cut.c  punch, truncate
 *   fs_inode.c, fs_dir.c, fs_name.c, fs_rename.c, fs_xattr.c, fs_orphan.c, fs_record.c
 */
#ifndef CSV_FS_INT_H
#define CSV_FS_INT_H

#include <ext2fs/ext2_fs.h>
#include <ext2fs/ext2fs.h>
#include <pthread.h>
/* ext2fs.h's own min()/max() style macros are not used here. */

#include "csv/fs.h"
#include "csv/jbd2_write.h"
#include "lib/vec.h"

#define FS_RATIO (FS_CLUSTER_SIZE / FS_BLOCK_SIZE) /* blocks in a cluster */
#define FS_HIDDEN_NAME ".csv"
#define FS_LABEL_PREFIX                                                                            \
	"csv:" /* of the superblock's volume name: how a volume is told from any ext4 */

/* ---- cache ------------------------------------------------------------------------------ */

struct fs_buf {
	uint64_t blk;
	struct fs_buf *next; /* in its hash chain */
	uint32_t tick;	     /* last use */
	bool op;	     /* written in the current operation */
	bool op_new;	     /* the operation brought it into the cache, by writing all of it */
	bool op_was_tx;	     /* tx before the operation wrote it */
	bool tx;	     /* written in the running transaction */
	bool log;	     /* a copy is in the live log and it is not home yet: never evicted */
	uint8_t *before;     /* what it was when the operation began */
	uint8_t data[FS_BLOCK_SIZE];
};
CL_DEFINE_VEC(fs_buf_vec, struct fs_buf *);

struct fs_range {
	uint64_t blk, len;
};
CL_DEFINE_VEC(fs_range_vec, struct fs_range);

#define FS_READAHEAD_MAX 64

struct fs_cache {
	struct fs_buf **hash;
	size_t n_hash, n, max;
	uint32_t tick;
	unsigned readahead; /* blocks that a miss reads, aligned; 0 = one */
};

/* ---- undo of what libext2fs keeps in memory -------------------------------------------------- */

struct fs_undo_bits {
	uint64_t start;
	uint32_t len;
	bool inode; /* else blocks */
	bool set;   /* the bits were set (allocation), else cleared */
};
CL_DEFINE_VEC(fs_undo_vec, struct fs_undo_bits);

struct fs_undo_group {
	uint32_t group;
	uint8_t desc[64];
};
CL_DEFINE_VEC(fs_undo_group_vec, struct fs_undo_group);

CL_DEFINE_VEC(fs_u32_vec, uint32_t);
CL_DEFINE_VEC(fs_u64_vec, uint64_t);

/* Whether there is more to free of an orphan: see fs_rest.c. */
struct fs_rest {
	uint32_t ino;
	bool more;
};
CL_DEFINE_VEC(fs_rest_vec, struct fs_rest);

struct fs_op {
	bool active, use_reserve;
	bool failed; /* memory for the undo ran out: only abort is left */
	bool grew;   /* allocated something */
	bool bared;  /* blocks that stay with their file are DATA no more */
	struct timespec now;
	struct fs_buf_vec bufs;
	struct fs_undo_vec bits;
	struct fs_undo_group_vec groups;
	struct fs_range_vec frees;
	struct fs_u32_vec dirs;	 /* whose cached names it changed */
	struct fs_rest_vec rest; /* changes of fs.rest */
	struct ext2_super_block sb;
};

struct fs_tx {
	bool ended; /* at least one operation */
	bool bared; /* one of them bared blocks: see must_commit_first() */
	struct timespec now;
	struct fs_buf_vec bufs;
	struct fs_range_vec frees; /* in quarantine: marked in use in memory until durable */
	uint64_t n_free_blocks;
	uint8_t *group_dirty; /* one byte each */
	struct fs_u32_vec groups;
};

/* ---- maps kept in memory ------------------------------------------------------------------ */

#define FS_FILE_BLOCKS_MAX (UINT64_C(1) << 32)

struct fs_map_piece {
	uint32_t lblk, len;
	uint64_t pblk : 63;
	uint64_t unwritten : 1;
};
CL_DEFINE_VEC(fs_map_piece_vec, struct fs_map_piece);

/* What is known of one file's map: every mapped piece of blocks [from, to). */
struct fs_window {
	uint32_t ino, tick; /* ino 0 = unused */
	uint64_t from, to;
	struct fs_map_piece_vec pieces;
};

#define FS_WINDOWS 64
struct fs_maps {
	uint32_t tick;
	struct fs_window w[FS_WINDOWS];
};

/* ---- the volume ------------------------------------------------------------------------- */

struct fs_names;

struct fs_record {
	bool used;
	uint32_t len;
	struct fs_record_key key;
	uint8_t data[FS_RECORD_MAX];
};

struct fs_record_store {
	uint64_t *pblk; /* of each of its blocks */
	uint32_t n_blocks, n_slots, n_used;
	uint32_t hint; /* no free slot below */
	struct fs_record *slots;
	uint32_t *head, *next; /* hash chains: slot + 1, 0 = end */
	uint32_t n_heads;
};

struct fs {
	struct fs_dev *dev;
	ext2_filsys e2;
	bool dead, read_only, live;
	bool settle; /* the device is to be brought to the replayed state */
	unsigned defects;
	struct fs_cache cache;
	struct fs_op op;
	struct fs_tx tx;
	struct jbd2_log log;
	struct jbd2_writer writer;
	struct fs_buf_vec log_bufs; /* to be brought home */
	uint32_t checkpoint_blocks;
	uint64_t reserve_blocks;
	struct fs_names *names;
	struct fs_maps maps;
	struct fs_rest_vec rest;
	size_t step_extents; /* that one operation frees of a file */
	uint32_t hidden_ino;
	uint64_t vol_pblk;
	struct fs_vol vol;
	struct fs_record_store store[FS_STORES];
	struct fs_check *check; /* that is under way */
};

/* Negative errno for an error of libext2fs. */
int fs_errno(errcode_t e);

/* fs_io.c */
int fs_cache_init(struct fs_cache *c);
void fs_cache_fini(struct fs_cache *c);
/* The block's buffer, read if need be. Valid until the next fs_begin() or commit. */
int fs_buf_get(struct fs *fs, uint64_t blk, struct fs_buf **ret);
/* As it is in the cache, or NULL. */
struct fs_buf *fs_buf_peek(struct fs *fs, uint64_t blk);
/* Journalled write of a whole block, inside an operation. */
int fs_buf_write(struct fs *fs, uint64_t blk, const void *data);
/* Put data in place of the block, outside of any transaction (replay into memory, flush at commit).
 */
int fs_buf_put(struct fs *fs, uint64_t blk, const void *data, struct fs_buf **ret);
void fs_buf_drop(struct fs *fs, struct fs_buf *b);
void fs_cache_shrink(struct fs *fs);
void fs_cache_drop_clean(struct fs *fs);
/* Open with libext2fs through the cache. */
int fs_e2_open(struct fs *fs, int flags, struct cl_error *err);
void fs_e2_free(struct fs *fs);
/*
 * libext2fs keeps one buffer of zeros for the whole process: ext2fs_free() of any volume frees it, allocating
 * an attribute block uses it. Volumes may live in different threads, so these take turns.
 */
extern pthread_mutex_t fs_e2_zero_buffer;

/* fs_open.c */
/* Open what mke2fs made, before /.csv is there. */
int fs_open_for_mkfs(struct fs_dev *dev, struct fs **ret, struct cl_error *err);

/* fs_replay.c */
/* Journal -> cache. Nothing is written. */
int fs_replay(struct fs *fs, struct cl_error *err);
/* Cache -> device, and the journal is empty: when the volume is known to be the right one. */
int fs_settle(struct fs *fs, struct cl_error *err);

/* fs_check.c */
struct fs_check;
/* Allocated or freed. */
void fs_check_moved(struct fs_check *c, uint64_t blk, uint64_t n_blocks);

/* fs_hook.c */
void fs_undo_apply(struct fs *fs);
void fs_op_reset(struct fs *fs);
void fs_tx_release_quarantine(struct fs *fs);

/* fs_meta.c */
int fs_meta_flush(struct fs *fs);
int fs_super_write(struct fs *fs, bool needs_recovery);
uint64_t fs_free_blocks(const struct fs *fs);

/* fs_tx.c */
/* fs_begin() without making room first. */
int fs_op_begin(struct fs *fs, struct timespec now);
/* What waits for a checkpoint goes home, and is stable. */
int fs_write_home(struct fs *fs);
/* Free, and not in quarantine. */
uint64_t fs_usable_blocks(const struct fs *fs);
int fs_tx_add_buf(struct fs *fs, struct fs_buf *b);
bool fs_may_change(const struct fs *fs);
/* Whether n more blocks may be taken by the running operation. */
bool fs_space_for(const struct fs *fs, uint64_t n_blocks);

/* fs_inode.c */
struct fs_inode {
	uint32_t ino;
	struct ext2_inode_large raw;
};
static inline struct ext2_inode *fs_raw(struct fs_inode *i)
{
	return (struct ext2_inode *)&i->raw;
}
int fs_inode_load(struct fs *fs, uint32_t ino, struct fs_inode *ret);
/* As fs_inode_load(), and only a directory (-ENOTDIR). */
int fs_inode_load_dir(struct fs *fs, uint32_t ino, struct fs_inode *ret);
int fs_inode_store(struct fs *fs, struct fs_inode *i);
void fs_inode_attr(const struct fs_inode *i, struct fs_attr *ret);
int fs_inode_new(struct fs *fs, uint32_t dir, const struct fs_new *n, struct fs_inode *ret);
/* Release everything it has and itself; nlink is 0. */
int fs_inode_free(struct fs *fs, struct fs_inode *i);
enum { FS_T_ATIME = 1, FS_T_MTIME = 2, FS_T_CTIME = 4, FS_T_CRTIME = 8 };
void fs_inode_touch(struct fs *fs, struct fs_inode *i, unsigned which);
void fs_inode_set_size(struct fs_inode *i, uint64_t size);
bool fs_inode_has_extents(const struct fs_inode *i);

/* fs_extent.c: the inode given is changed in memory (and on disk by libext2fs); store it at the
 * end. */
struct fs_piece {
	uint64_t lblk, len, pblk;
	bool unwritten;
};
CL_DEFINE_VEC(fs_piece_vec, struct fs_piece);
typedef struct ext2_extent_handle *fs_tree;
int fs_tree_open(struct fs *fs, struct fs_inode *i, fs_tree *ret);
/* To change it: what is kept of the file's map is forgotten. */
int fs_tree_edit(struct fs *fs, struct fs_inode *i, fs_tree *ret);
void fs_tree_close(fs_tree *t);
/* First mapping that ends after lblk; 0 with len 0 when there is none. */
int fs_tree_next(fs_tree t, uint64_t lblk, struct fs_piece *ret);
/* The one after the one that was given last, which ends at lblk; nothing may have changed since. */
int fs_tree_following(fs_tree t, uint64_t lblk, struct fs_piece *ret);
/* Insert where nothing is mapped, merging with neighbours. */
int fs_tree_insert(fs_tree t, const struct fs_piece *p);
/* Unmap [start, end); what was mapped is appended to ret in order. Frees nothing. */
int fs_tree_remove(fs_tree t, uint64_t start, uint64_t end, struct fs_piece_vec *ret);
/* At most max extents, from the start on; 1 = there is more. */
int fs_tree_remove_some(fs_tree t, uint64_t start, uint64_t end, size_t max,
			struct fs_piece_vec *ret);

/* fs_alloc.c */
/* A run of free clusters near goal: 1 .. want blocks (whole clusters). Marks it in use. -ENOSPC. */
int fs_clusters_take(struct fs *fs, struct fs_inode *i, uint64_t goal, uint64_t want,
		     uint64_t *ret_blk, uint64_t *ret_len);
/* Free what the pieces (just removed from tree) had, as far as whole clusters became unmapped. */
int fs_clusters_free(struct fs *fs, struct fs_inode *i, fs_tree t,
		     const struct fs_piece_vec *pieces);
/* The physical block that lblk must have because its cluster is mapped in part; 0 = none. */
int fs_cluster_implied(fs_tree t, uint64_t lblk, uint64_t *ret_pblk);
/* Goal for a new cluster of the inode before lblk. */
uint64_t fs_alloc_goal(struct fs *fs, struct fs_inode *i, fs_tree t, uint64_t lblk);
/* Map one block (written), allocating a cluster when its cluster has none. */
int fs_map_one(struct fs *fs, struct fs_inode *i, uint64_t lblk, uint64_t *ret_pblk);

/* fs_map.c */
/* A regular file in use; -EISDIR, -EINVAL for what is none. */
int fs_file_load(struct fs *fs, uint32_t ino, struct fs_inode *ret);
/* To change [off, off + len) of it: -EFBIG beyond FS_FILE_MAX, -EROFS outside of an operation. */
int fs_file_load_range(struct fs *fs, uint32_t ino, uint64_t off, uint64_t len,
		       struct fs_inode *ret);
void fs_maps_forget(struct fs *fs, uint32_t ino);
void fs_maps_forget_all(struct fs *fs);

/* fs_range.c */
static inline uint64_t fs_blocks_up(uint64_t bytes)
{
	return bytes / FS_BLOCK_SIZE + (bytes % FS_BLOCK_SIZE ? 1 : 0);
}
static inline uint64_t fs_cluster_down(uint64_t blk)
{
	return blk - blk % FS_RATIO;
}
static inline uint64_t fs_cluster_up(uint64_t blk)
{
	return fs_cluster_down(blk + FS_RATIO - 1);
}
/* Zero bytes [from, to) of block lblk on the device, if it is DATA. */
int fs_zero_part(struct fs *fs, struct fs_inode *i, uint64_t lblk, unsigned from, unsigned to);
int fs_zero_edges(struct fs *fs, struct fs_inode *i, uint64_t off, uint64_t end);
/* The new size, if it is larger; the tail of the old last block is zeroed. */
int fs_grow_to(struct fs *fs, struct fs_inode *i, uint64_t new_size);

/* fs_cut.c */
/* Free blocks [s, e). */
int fs_unmap(struct fs *fs, struct fs_inode *i, uint64_t s, uint64_t e);
/* As much from s on as one operation should; 1 = there is more. */
int fs_unmap_some(struct fs *fs, struct fs_inode *i, uint64_t s);
int fs_truncate(struct fs *fs, struct fs_inode *i, uint64_t size);

/* fs_rest.c */
int fs_rest_note(struct fs *fs, uint32_t ino, bool more);
void fs_rest_apply(struct fs *fs);
int fs_orphans_check(struct fs *fs, struct cl_error *err);

/* fs_dir.c */
struct fs_dirent {
	const char *name; /* with a terminating zero */
	uint32_t ino;
	unsigned type; /* EXT2_FT_ */
	uint64_t off, next;
};
/* fn returns 0 to go on, > 0 to stop (returned), < 0 error. */
typedef int (*fs_dirent_fn)(void *user, const struct fs_dirent *d);
int fs_dir_foreach(struct fs *fs, struct fs_inode *dir, uint64_t from, fs_dirent_fn fn, void *user);
/* The largest entry that each block could take; blocks of a kernel's index count as full. */
int fs_dir_rooms(struct fs *fs, struct fs_inode *dir, uint16_t **ret, uint32_t *ret_n);
int fs_dir_add(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t ino, uint32_t mode);
int fs_dir_remove(struct fs *fs, struct fs_inode *dir, const char *name);
/* The name stays, at its place; what it stands for changes. */
int fs_dir_replace(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t ino,
		   uint32_t mode);
/* Write the first block of a new directory. */
int fs_dir_init(struct fs *fs, struct fs_inode *dir, uint32_t parent);
int fs_dir_set_parent(struct fs *fs, struct fs_inode *dir, uint32_t parent);
int fs_dir_parent(struct fs *fs, struct fs_inode *dir, uint32_t *ret);
int fs_dir_is_empty(struct fs *fs, struct fs_inode *dir);

/* fs_dirent.c: one block, in memory. -EUCLEAN when it does not hold together. */
int fs_dirent_room(uint8_t *block);
int fs_dirent_add(uint8_t *block, const char *name, uint32_t ino, int type); /* -ENOSPC */
int fs_dirent_remove(uint8_t *block, const char *name);			     /* -ENOENT */
int fs_dirent_replace(uint8_t *block, const char *name, uint32_t ino, int type);

/* fs_names.c: the name cache */
int fs_names_new(struct fs_names **ret);
void fs_names_free(struct fs_names *n);
/*
 * ino of name in dir, and in which block it is (may be NULL), reading the directory at its first use.
 * -ENOENT.
 */
int fs_names_lookup(struct fs *fs, struct fs_inode *dir, const char *name, uint32_t *ret_ino,
		    uint32_t *ret_lblk);
/* The first block with room for an entry of that size; -ENOENT: in none. */
int fs_names_room(struct fs *fs, struct fs_inode *dir, unsigned size, uint32_t *ret_lblk);
/* What became of a block: its room. */
int fs_names_set_room(struct fs *fs, uint32_t dir, uint32_t lblk, unsigned room);
int fs_names_add(struct fs *fs, uint32_t dir, const char *name, uint32_t ino, uint32_t lblk);
void fs_names_replace(struct fs *fs, uint32_t dir, const char *name, uint32_t ino);
void fs_names_remove(struct fs *fs, uint32_t dir, const char *name);
void fs_names_forget(struct fs *fs, uint32_t dir);
void fs_names_shrink(struct fs *fs);

/* fs_orphan.c */
int fs_orphan_add(struct fs *fs, struct fs_inode *i);
int fs_orphan_remove(struct fs *fs, struct fs_inode *i);

/* fs_xattr.c */
/* Without any rule about names or lists, and no time moves; value NULL removes (if it is there). */
int fs_xattr_store(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len);

/* fs_acl.c */
/* What setxattr of a list means: the mode follows; a list that says no more than the mode is not kept. */
int fs_acl_set(struct fs *fs, uint32_t ino, const char *name, const void *value, size_t len,
	       bool kill_setgid);
/* The mode changed: so does the list, if there is one. */
int fs_acl_chmod(struct fs *fs, uint32_t ino, uint32_t mode);
/* What a new file gets from its directory's default list; without one the umask is applied to *mode. */
struct fs_inherited {
	uint8_t *access, *dir;
	size_t len;
	bool keep_access;
};
int fs_acl_inherit(struct fs *fs, uint32_t dir, uint32_t umask, uint32_t *mode,
		   struct fs_inherited *ret);
/* After the inode was stored; what is in memory of it is old afterwards. */
int fs_acl_apply(struct fs *fs, uint32_t ino, const struct fs_inherited *in);
void fs_inherited_fini(struct fs_inherited *in);

/* fs_name.c */
int fs_name_check(struct fs *fs, uint32_t dir, const char *name);
/* *ret: n as it will be in dir, of that type; acls: what it inherits, to be applied after its store. */
int fs_inherit(struct fs *fs, const struct fs_new *n, const struct fs_inode *dir, uint32_t type,
	       struct fs_new *ret, struct fs_inherited *acls);
void fs_dir_link_inc(struct fs_inode *d);
void fs_dir_link_dec(struct fs_inode *d);
/* nlink is one less; at 0 it goes: to the orphans or for good. */
int fs_inode_unlinked(struct fs *fs, struct fs_inode *i, bool still_open, uint32_t *ret_gone);

/* fs_record.c */
int fs_store_load(struct fs *fs, enum fs_store store, uint32_t ino, struct cl_error *err);
void fs_store_fini(struct fs_record_store *st);
/* Read the slots of one block again: after an abort. */
void fs_store_reload_block(struct fs *fs, uint64_t pblk);

/* fs_vol.c: /.csv */
int fs_vol_create(struct fs *fs, const struct fs_mkfs_options *opt, struct cl_error *err);
int fs_vol_load(struct fs *fs, struct cl_error *err);
void fs_vol_reload(struct fs *fs);

#endif
