/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/crash/canon.h"

#include <stdarg.h>
#include <string.h>

struct walk {
	struct fs *fs;
	struct fs_dev *dev;
	FILE *out;
	uint64_t hash, linked;
	bool apart; /* what comes is not in `linked` */
	int r, depth;
	char path[4096];
};

static void hash_bytes(uint64_t *h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		*h = (*h ^ b[i]) * 1099511628211ull;
}

static uint64_t hash_words(uint64_t h, const void *p, size_t n)
{
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t w;

		memcpy(&w, (const char *)p + i, 8);
		h = (h ^ w) * 0x9E3779B97F4A7C15ull;
		h ^= h >> 29;
	}
	return h;
}

__attribute__((format(printf, 2, 3))) static void say(struct walk *w, const char *fmt, ...)
{
	char line[8192];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line))
		n = sizeof(line) - 1;
	hash_bytes(&w->hash, line, (size_t)n);
	if (!w->apart)
		hash_bytes(&w->linked, line, (size_t)n);
	if (w->out)
		fputs(line, w->out);
}

static uint64_t data_hash(struct walk *w, const struct fs_extent *e, uint64_t size)
{
	uint8_t buf[FS_BLOCK_SIZE];
	uint64_t h = 1;

	for (uint64_t i = 0; i < e->len; i++) {
		uint64_t at = (e->lblk + i) * FS_BLOCK_SIZE;

		if (fs_dev_read(w->dev, (e->pblk + i) * FS_BLOCK_SIZE, buf, sizeof(buf)) < 0)
			w->r = -EIO;
		if (at >= size)
			return h; /* beyond the end: nobody's */
		if (size - at < sizeof(buf))
			memset(buf + (size - at), 0, sizeof(buf) - (size - at));
		h = hash_words(h, buf, sizeof(buf));
	}
	return h;
}

static void take_part(struct walk *w, const struct fs_attr *a, uint64_t at, uint64_t end)
{
	while (at < end) {
		struct fs_extent e[16];
		int n = fs_map(w->fs, a->ino, at, end - at, e, 16);

		if (n <= 0) {
			w->r = n < 0 ? n : -EUCLEAN;
			return;
		}
		for (int i = 0; i < n; i++) {
			at = e[i].lblk + e[i].len;
			if (e[i].state == FS_HOLE)
				continue;
			say(w, "  %llu+%llu @%llu %s %llx\n", (unsigned long long)e[i].lblk,
			    (unsigned long long)e[i].len, (unsigned long long)e[i].pblk,
			    e[i].state == FS_DATA ? "data" : "unwritten",
			    e[i].state == FS_DATA ? (unsigned long long)data_hash(w, &e[i], a->size)
						  : 0);
		}
	}
}

/* First the file, then what is mapped beyond its end: of a cut that was not finished e2fsck leaves any part of that. */
static void take_map(struct walk *w, const struct fs_attr *a)
{
	uint64_t size = (a->size + FS_BLOCK_SIZE - 1) / FS_BLOCK_SIZE;
	bool apart = w->apart;

	take_part(w, a, 0, size);
	w->apart = true;
	take_part(w, a, size, size + 2048);
	w->apart = apart;
}

static void take_xattrs(struct walk *w, uint32_t ino)
{
	char *list = NULL;
	size_t len = 0;
	int r = fs_xattr_list(w->fs, ino, &list, &len);

	if (r < 0)
		w->r = r;
	for (char *p = list; r == 0 && p && p < list + len; p += strlen(p) + 1) {
		uint64_t h = 1469598103934665603ull;
		void *value = NULL;
		size_t n = 0;

		if (fs_xattr_get(w->fs, ino, p, &value, &n) < 0)
			w->r = -EUCLEAN;
		hash_bytes(&h, value, n);
		say(w, "  %s=%zu:%llx\n", p, n, (unsigned long long)h);
		free(value);
	}
	free(list);
}

static void take_inode(struct walk *w, const char *name, uint32_t ino)
{
	char target[FS_BLOCK_SIZE];
	struct fs_attr a;
	int r = fs_getattr(w->fs, ino, &a);

	if (r < 0) {
		w->r = r;
		say(w, "%s ino %u: error %d\n", name, ino, r);
		return;
	}
	say(w,
	    "%s ino %u gen %u mode %o nlink %u %u:%u rdev %x size %llu m %lld.%09ld c %lld.%09ld\n",
	    name, ino, a.generation, a.mode, a.nlink, a.uid, a.gid, a.rdev,
	    (unsigned long long)a.size, (long long)a.mtime.tv_sec, a.mtime.tv_nsec,
	    (long long)a.ctime.tv_sec, a.ctime.tv_nsec);
	take_xattrs(w, ino);
	if (S_ISLNK(a.mode)) {
		r = fs_readlink(w->fs, ino, target, sizeof(target));
		say(w, "  -> %s\n", r < 0 ? "?" : target);
		w->r = r < 0 ? r : w->r;
	}
	if (S_ISREG(a.mode))
		take_map(w, &a);
}

static void take_dir(struct walk *w, uint32_t ino);

static bool take_entry(void *user, const char *name, uint32_t ino, unsigned type, uint64_t next)
{
	struct walk *w = user;
	size_t len = strlen(w->path);

	(void)next;
	if (strcmp(name, ".") == 0)
		return true;
	if (strcmp(name, "..") == 0) {
		say(w, "%s/.. is %u\n", w->path, ino);
		return true;
	}
	if (len + strlen(name) + 2 > sizeof(w->path) || w->depth > 50) {
		w->r = -ELOOP;
		return false;
	}
	sprintf(w->path + len, "/%s", name);
	say(w, "type %u ", type);
	take_inode(w, w->path, ino);
	if (type == 4) {
		w->depth++;
		take_dir(w, ino);
		w->depth--;
	}
	w->path[len] = 0;
	return true;
}

static void take_dir(struct walk *w, uint32_t ino)
{
	int r = fs_readdir(w->fs, ino, 0, take_entry, w);

	if (r < 0)
		w->r = r;
}

static bool take_record(void *user, const struct fs_record_key *key, const void *data, size_t len)
{
	struct walk *w = user;
	uint64_t h = 1469598103934665603ull;

	hash_bytes(&h, data, len);
	say(w, "record %llu/%llu/%llu %zu:%llx\n", (unsigned long long)key->owner,
	    (unsigned long long)key->instance, (unsigned long long)key->id, len,
	    (unsigned long long)h);
	return true;
}

int canon_take(struct fs *fs, struct fs_dev *dev, FILE *out, struct canon *ret)
{
	struct walk w = { .fs = fs,
			  .dev = dev,
			  .out = out,
			  .hash = 1469598103934665603ull,
			  .linked = 1469598103934665603ull };
	struct fs_vol vol;
	uint32_t ino = 0;
	int r;

	take_inode(&w, "/", FS_ROOT_INO);
	take_dir(&w, FS_ROOT_INO);
	fs_vol_get(fs, &vol);
	say(&w, "epoch %llu\n", (unsigned long long)vol.epoch);
	for (int s = 0; s < FS_STORES; s++)
		fs_record_foreach(fs, s, take_record, &w);
	w.apart = true;
	while ((r = fs_orphan_next(fs, ino, &ino)) == 0 && ino && w.depth++ < 10000)
		take_inode(&w, "orphan", ino);
	ret->hash = w.hash;
	ret->linked = w.linked;
	return r < 0 ? r : w.r;
}
