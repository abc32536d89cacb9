/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables:
 *   blob(name, data, crc)           'format', 'uuid', 'instance', 'hard', 'anew', 'witness'
 *   snapshot(id=1, idx, term, data, crc)
 *   log(idx, term, kind, data, crc)
 *   event(id, data)                 lines of the event log, the newest EVENTS_KEPT
 *   commits(id=1, n, sum)           n: one more with every transaction; see the guard in store.h.
 *                                   sum: XOR of the CRCs of hard state, snapshot and all log rows
 * Every CRC covers the numbers of its row too, so that a row cannot stand in another one's place.
 * The sum says that they are all of one time. Without it: power goes while a checkpoint copies the WAL
 * into the database, and the WAL is lost; some pages are new then, others old. When the page of
 * `commits` is a new one the guard sees nothing missing, though the last entries are.
 */
#include "config.h"

#include "clusterd/store_aside.h"
#include "clusterd/store_db.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uuid/uuid.h>

#include "lib/assert.h"
#include "lib/crc32c.h"
#include "lib/le.h"
#include "lib/walltime.h"

#define FORMAT "1"
#define TRIM_EVERY 64
#define GUARD_SIZE 32 /* uuid 16, commits u64, crc u32, 4 zeros */

enum stmt {
	STMT_BLOB,
	STMT_SNAPSHOT,
	STMT_ENTRY,
	STMT_COMPACT,
	STMT_TRUNCATE,
	STMT_RESET,
	STMT_COUNT,
	STMT_EVENT,
	STMT_EVENT_TRIM,
	STMT_CRCS,
	N_STMTS
};

static const char *const stmt_sql[N_STMTS] = {
	[STMT_BLOB] = "INSERT OR REPLACE INTO blob VALUES(?,?,?)",
	[STMT_SNAPSHOT] = "INSERT OR REPLACE INTO snapshot VALUES(1,?,?,?,?)",
	[STMT_ENTRY] = "INSERT INTO log VALUES(?,?,?,?,?)",
	[STMT_COMPACT] = "DELETE FROM log WHERE idx <= ?",
	[STMT_TRUNCATE] = "DELETE FROM log WHERE idx >= ?",
	[STMT_RESET] = "DELETE FROM log",
	[STMT_COUNT] = "UPDATE commits SET n = ?, sum = ? WHERE id = 1",
	[STMT_EVENT] = "INSERT OR REPLACE INTO event VALUES(?,?)",
	[STMT_EVENT_TRIM] = "DELETE FROM event WHERE id IN "
			    "(SELECT id FROM event ORDER BY id DESC LIMIT -1 OFFSET 2000)",
	[STMT_CRCS] = "SELECT crc FROM log WHERE idx BETWEEN ? AND ?",
};

struct store_db {
	sqlite3 *sql;
	sqlite3_stmt *stmt[N_STMTS];
	int guard_fd;
	uint8_t uuid[16];
	uint64_t commits;
	uint32_t sum, hard_crc, snap_crc; /* the last two are parts of the sum */
	unsigned lines; /* of the event log since those that are too old were removed, which looks at all */
};

static void blob_fini(struct store_blob *b)
{
	free(b->data);
	*b = (struct store_blob){ 0 };
}

void store_image_fini(struct store_image *img)
{
	for (size_t i = 0; i < img->log.n; i++)
		blob_fini(&img->log.v[i].data);
	for (size_t i = 0; i < img->events.n; i++)
		blob_fini(&img->events.v[i].data);
	store_entries_fini(&img->log);
	store_entries_fini(&img->events);
	blob_fini(&img->hard);
	blob_fini(&img->witness);
	blob_fini(&img->snapshot);
	free(img->anew);
	img->anew = NULL;
}

/* ---- errors --------------------------------------------------------------------------------- */

static int sql_error(struct store_db *db, const char *what, struct cl_error *err)
{
	int rc = sqlite3_errcode(db->sql);

	switch (rc) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* our statements are right: it is not our schema any more */
	case SQLITE_SCHEMA:
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
		return cl_error_set(err, -CL_ECORRUPT, "%s: %s", what, sqlite3_errmsg(db->sql));
	case SQLITE_BUSY:
		return cl_error_set(err, -EBUSY, "%s: another process holds it", what);
	case SQLITE_FULL:
		return cl_error_set(err, -ENOSPC, "%s: no space left", what);
	case SQLITE_NOMEM:
		return cl_error_set(err, -ENOMEM, "%s: out of memory", what);
	default:
		return cl_error_set(err, -EIO, "%s: %s", what, sqlite3_errmsg(db->sql));
	}
}

static int sql_exec(struct store_db *db, const char *sql, struct cl_error *err)
{
	if (sqlite3_exec(db->sql, sql, NULL, NULL, NULL) == SQLITE_OK)
		return 0;
	return sql_error(db, sql, err);
}

/* ---- checksums ------------------------------------------------------------------------------ */

static uint32_t row_crc(uint64_t a, uint64_t b, uint64_t c, const void *data, size_t len)
{
	uint8_t head[24];

	cl_put_le64(head, a);
	cl_put_le64(head + 8, b);
	cl_put_le64(head + 16, c);
	return cl_crc32c(cl_crc32c(0, head, sizeof(head)), data, len);
}

/* One of which there is only one takes its predecessor's place in the sum. */
static void sum_replace(struct store_db *db, uint32_t *part, uint32_t crc)
{
	db->sum ^= *part ^ crc;
	*part = crc;
}

/* ---- guard ---------------------------------------------------------------------------------- */

static int guard_write(struct store_db *db, struct cl_error *err)
{
	uint8_t buf[GUARD_SIZE] = { 0 };

	memcpy(buf, db->uuid, 16);
	cl_put_le64(buf + 16, db->commits);
	cl_put_le32(buf + 24, cl_crc32c(0, buf, 24));
	if (pwrite(db->guard_fd, buf, sizeof(buf), 0) != (ssize_t)sizeof(buf))
		return cl_error_errno(err, errno ? -errno : -EIO, "write the database's guard");
	return 0;
}

static bool guard_read(struct store_db *db, uint8_t buf[GUARD_SIZE])
{
	return pread(db->guard_fd, buf, GUARD_SIZE, 0) == GUARD_SIZE &&
	       cl_get_le32(buf + 24) == cl_crc32c(0, buf, 24);
}

/* A guard says that there was a database; without it, or with an empty file, what it knew is lost. */
static int guard_alone(struct store_db *db, const char *path, struct cl_error *err)
{
	uint8_t buf[GUARD_SIZE];
	struct stat st;

	if ((stat(path, &st) == 0 && st.st_size > 0) || !guard_read(db, buf))
		return 0;
	return cl_error_set(err, -CL_ECORRUPT, "it is gone, with its %llu changes",
			    (unsigned long long)cl_get_le64(buf + 16));
}

/* A guard that is absent, torn or of another database says nothing. */
static int guard_check(struct store_db *db, struct cl_error *err)
{
	uint8_t buf[GUARD_SIZE];

	if (!guard_read(db, buf) || memcmp(buf, db->uuid, 16) != 0)
		return 0;
	if (cl_get_le64(buf + 16) <= db->commits)
		return 0;
	return cl_error_set(
		err, -CL_ECORRUPT, "its last durable change was number %llu, but it ends with %llu",
		(unsigned long long)cl_get_le64(buf + 16), (unsigned long long)db->commits);
}

static int guard_open(struct store_db *db, const char *dir, struct cl_error *err)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/cluster.guard", dir);
	db->guard_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (db->guard_fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

static int column_blob(sqlite3_stmt *s, int col, struct store_blob *ret)
{
	int n = sqlite3_column_bytes(s, col);
	uint8_t *data = malloc((size_t)n + 1);

	if (!data)
		return -ENOMEM;
	if (n)
		memcpy(data, sqlite3_column_blob(s, col), (size_t)n);
	data[n] = '\0'; /* for those who know that it is text */
	blob_fini(ret);
	*ret = (struct store_blob){ data, (size_t)n };
	return 0;
}

/* Runs `sql` and gives each row to `row`, which returns 0 or a negative code with *err filled. */
static int sql_each(struct store_db *db, const char *sql,
		    int (*row)(sqlite3_stmt *s, void *arg, struct cl_error *err), void *arg,
		    struct cl_error *err)
{
	sqlite3_stmt *s;
	int rc, r = 0;

	if (sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL) != SQLITE_OK)
		return sql_error(db, sql, err);
	while (r == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW)
		r = row(s, arg, err);
	if (r == 0 && rc != SQLITE_DONE)
		r = sql_error(db, sql, err);
	(void)sqlite3_finalize(s);
	return r;
}

static int row_check(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	const char *text = (const char *)sqlite3_column_text(s, 0);

	(void)arg;
	if (text && strcmp(text, "ok") == 0)
		return 0;
	(void)cl_error_set(err, -CL_ECORRUPT, "%.200s", text ? text : "check gave nothing");
	for (char *p = err ? err->msg : NULL; p && (p = strchr(p, '\n'));)
		*p = ' '; /* an error is one line */
	return -CL_ECORRUPT;
}

static int row_commits(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	struct store_db *db = arg;

	db->commits = (uint64_t)sqlite3_column_int64(s, 0);
	if ((uint32_t)sqlite3_column_int64(s, 1) == db->sum)
		return 0;
	return cl_error_set(err, -CL_ECORRUPT, "its parts are of different times");
}

struct load {
	struct store_db *db;
	struct store_image *img;
	bool has_uuid, has_format;
};

static int load_named(struct load *l, const char *name, struct store_blob *blob,
		      struct cl_error *err)
{
	if (strcmp(name, "format") == 0) {
		if (blob->len != strlen(FORMAT) || memcmp(blob->data, FORMAT, blob->len) != 0)
			return cl_error_set(err, -EPROTONOSUPPORT,
					    "database format %.*s, this program reads " FORMAT,
					    (int)blob->len, (const char *)blob->data);
		l->has_format = true;
	} else if (strcmp(name, "uuid") == 0 && blob->len == 16) {
		memcpy(l->img->uuid, blob->data, 16);
		memcpy(l->db->uuid, blob->data, 16);
		l->has_uuid = true;
	} else if (strcmp(name, "instance") == 0 && blob->len == 8) {
		l->img->instance = cl_get_le64(blob->data);
	} else if (strcmp(name, "anew") == 0) {
		l->img->anew = (char *)cl_steal(blob->data);
		blob->len = 0;
	} else if (strcmp(name, "witness") == 0) {
		l->img->witness = *blob;
		*blob = (struct store_blob){ 0 };
	} else if (strcmp(name, "hard") == 0) {
		sum_replace(l->db, &l->db->hard_crc, row_crc(0, 0, 0, blob->data, blob->len));
		l->img->hard = *blob;
		*blob = (struct store_blob){ 0 };
	}
	return 0;
}

static int row_blob(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	const char *name = (const char *)sqlite3_column_text(s, 0);
	struct store_blob blob = { 0 };
	int r = column_blob(s, 1, &blob);

	if (r < 0 || !name)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if ((uint32_t)sqlite3_column_int64(s, 2) != row_crc(0, 0, 0, blob.data, blob.len))
		r = cl_error_set(err, -CL_ECORRUPT, "checksum of '%s' is wrong", name);
	else
		r = load_named(arg, name, &blob, err);
	blob_fini(&blob);
	return r;
}

static int row_snapshot(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	struct store_image *img = ((struct load *)arg)->img;
	struct store_db *db = ((struct load *)arg)->db;

	img->snap_index = (uint64_t)sqlite3_column_int64(s, 0);
	img->snap_term = (uint64_t)sqlite3_column_int64(s, 1);
	if (column_blob(s, 2, &img->snapshot) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if ((uint32_t)sqlite3_column_int64(s, 3) !=
	    row_crc(img->snap_index, img->snap_term, 0, img->snapshot.data, img->snapshot.len))
		return cl_error_set(err, -CL_ECORRUPT, "checksum of the snapshot is wrong");
	sum_replace(db, &db->snap_crc, (uint32_t)sqlite3_column_int64(s, 3));
	return 0;
}

static int row_entry(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	struct store_image *img = ((struct load *)arg)->img;
	struct store_entry e = {
		.index = (uint64_t)sqlite3_column_int64(s, 0),
		.term = (uint64_t)sqlite3_column_int64(s, 1),
		.kind = (uint32_t)sqlite3_column_int64(s, 2),
	};
	uint64_t want = img->log.n ? img->log.v[img->log.n - 1].index + 1 : e.index;

	/* A first entry at or below the snapshot is fine (a tail is kept); a gap after it is not.
	 */
	if (e.index != want || (!img->log.n && e.index > img->snap_index + 1))
		return cl_error_set(err, -CL_ECORRUPT, "log entry %llu follows %llu",
				    (unsigned long long)e.index,
				    (unsigned long long)(img->log.n ? want - 1 : img->snap_index));
	if (column_blob(s, 3, &e.data) < 0)
		return cl_error_set(err, -ENOMEM, "out of memory");
	if ((uint32_t)sqlite3_column_int64(s, 4) !=
	    row_crc(e.index, e.term, e.kind, e.data.data, e.data.len)) {
		blob_fini(&e.data);
		return cl_error_set(err, -CL_ECORRUPT, "checksum of log entry %llu is wrong",
				    (unsigned long long)e.index);
	}
	((struct load *)arg)->db->sum ^= (uint32_t)sqlite3_column_int64(s, 4);
	if (store_entries_push(&img->log, e) < 0) {
		blob_fini(&e.data);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int row_event(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	struct store_image *img = ((struct load *)arg)->img;
	struct store_entry e = { .index = (uint64_t)sqlite3_column_int64(s, 0) };

	if (column_blob(s, 1, &e.data) < 0 || store_entries_push(&img->events, e) < 0) {
		blob_fini(&e.data);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	return 0;
}

static int db_load(struct store_db *db, struct store_image *img, struct cl_error *err)
{
	struct load load = { .db = db, .img = img };
	int r = sql_each(db, "PRAGMA integrity_check(1)", row_check, NULL, err);

	if (r == 0)
		r = sql_each(db, "SELECT name,data,crc FROM blob", row_blob, &load, err);
	if (r == 0 && !(load.has_uuid && load.has_format))
		r = cl_error_set(err, -CL_ECORRUPT, "its identity is missing");
	if (r == 0)
		r = sql_each(db, "SELECT idx,term,data,crc FROM snapshot", row_snapshot, &load,
			     err);
	if (r == 0)
		r = sql_each(db, "SELECT idx,term,kind,data,crc FROM log ORDER BY idx", row_entry,
			     &load, err);
	if (r == 0)
		r = sql_each(db, "SELECT id,data FROM event ORDER BY id", row_event, &load, err);
	if (r == 0)
		r = sql_each(db, "SELECT n,sum FROM commits", row_commits, db, err);
	return r;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int step(struct store_db *db, enum stmt which, struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[which];
	int rc = sqlite3_step(s);
	int r = rc == SQLITE_DONE ? 0 : sql_error(db, stmt_sql[which], err);

	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return r;
}

static void bind_u64(sqlite3_stmt *s, int i, uint64_t x)
{
	(void)sqlite3_bind_int64(s, i, (sqlite3_int64)x);
}

/* An empty blob is not NULL: sqlite would bind NULL for a null pointer. */
static void bind_blob(sqlite3_stmt *s, int i, const void *data, size_t len)
{
	(void)sqlite3_bind_blob(s, i, len ? data : "", (int)len, SQLITE_STATIC);
}

static int put_blob(struct store_db *db, const char *name, const void *data, size_t len,
		    struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[STMT_BLOB];

	(void)sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
	bind_blob(s, 2, data, len);
	bind_u64(s, 3, row_crc(0, 0, 0, data, len));
	return step(db, STMT_BLOB, err);
}

static int put_hard(struct store_db *db, const struct store_blob *hard, struct cl_error *err)
{
	sum_replace(db, &db->hard_crc, row_crc(0, 0, 0, hard->data, hard->len));
	return put_blob(db, "hard", hard->data, hard->len, err);
}

static int put_snapshot(struct store_db *db, const struct store_write *w, struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[STMT_SNAPSHOT];
	uint32_t crc = row_crc(w->snap_index, w->snap_term, 0, w->snapshot.data, w->snapshot.len);

	sum_replace(db, &db->snap_crc, crc);
	bind_u64(s, 1, w->snap_index);
	bind_u64(s, 2, w->snap_term);
	bind_blob(s, 3, w->snapshot.data, w->snapshot.len);
	bind_u64(s, 4, crc);
	return step(db, STMT_SNAPSHOT, err);
}

static int put_entry(struct store_db *db, const struct store_entry *e, struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[STMT_ENTRY];
	uint32_t crc = row_crc(e->index, e->term, e->kind, e->data.data, e->data.len);

	db->sum ^= crc;
	bind_u64(s, 1, e->index);
	bind_u64(s, 2, e->term);
	bind_u64(s, 3, e->kind);
	bind_blob(s, 4, e->data.data, e->data.len);
	bind_u64(s, 5, crc);
	return step(db, STMT_ENTRY, err);
}

/* Takes the entries first..last out of the sum. */
static int sum_cut(struct store_db *db, uint64_t first, uint64_t last, struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[STMT_CRCS];
	int rc, r;

	bind_u64(s, 1, first);
	bind_u64(s, 2, last);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		db->sum ^= (uint32_t)sqlite3_column_int64(s, 0);
	r = rc == SQLITE_DONE ? 0 : sql_error(db, stmt_sql[STMT_CRCS], err);
	(void)sqlite3_reset(s);
	return r;
}

static int put_reset(struct store_db *db, struct cl_error *err)
{
	int r = sum_cut(db, 0, INT64_MAX, err);

	return r == 0 ? step(db, STMT_RESET, err) : r;
}

static int put_cut(struct store_db *db, enum stmt which, uint64_t index, struct cl_error *err)
{
	int r = which == STMT_COMPACT ? sum_cut(db, 0, index, err)
				      : sum_cut(db, index, INT64_MAX, err);

	if (r < 0)
		return r;
	bind_u64(db->stmt[which], 1, index);
	return step(db, which, err);
}

/* By their number, not by their ids: those leave gaps, and to look at all lines for each new one was a fifth of a write. */
static int put_event(struct store_db *db, const struct store_write *w, struct cl_error *err)
{
	sqlite3_stmt *s = db->stmt[STMT_EVENT];
	int r;

	bind_u64(s, 1, w->event_id);
	bind_blob(s, 2, w->event.data, w->event.len);
	r = step(db, STMT_EVENT, err);
	if (r < 0 || ++db->lines < TRIM_EVERY)
		return r;
	db->lines = 0;
	return step(db, STMT_EVENT_TRIM, err);
}

int store_db_begin(struct store_db *db, struct cl_error *err)
{
	return sql_exec(db, "BEGIN IMMEDIATE", err);
}

int store_db_put(struct store_db *db, const struct store_write *w, struct cl_error *err)
{
	int r = 0;

	if (w->hard.data)
		r = put_hard(db, &w->hard, err);
	if (r == 0 && w->witness.data)
		r = put_blob(db, "witness", w->witness.data, w->witness.len, err);
	if (r == 0 && w->reset_log)
		r = put_reset(db, err);
	if (r == 0 && w->snapshot.data)
		r = put_snapshot(db, w, err);
	if (r == 0 && w->compact_to)
		r = put_cut(db, STMT_COMPACT, w->compact_to, err);
	if (r == 0 && w->truncate_from)
		r = put_cut(db, STMT_TRUNCATE, w->truncate_from, err);
	for (size_t i = 0; r == 0 && i < w->n_entries; i++)
		r = put_entry(db, &w->entries[i], err);
	if (r == 0 && w->event.data)
		r = put_event(db, w, err);
	return r;
}

int store_db_commit(struct store_db *db, struct cl_error *err)
{
	int r;

	bind_u64(db->stmt[STMT_COUNT], 1, db->commits + 1);
	bind_u64(db->stmt[STMT_COUNT], 2, db->sum);
	r = step(db, STMT_COUNT, err);
	if (r == 0)
		r = sql_exec(db, "COMMIT", err);
	if (r < 0)
		return r;
	db->commits++;
	return guard_write(db, err);
}

/* ---- open ----------------------------------------------------------------------------------- */

/* In exclusive mode the WAL index lives in memory and a second process is kept out for good. */
static const char pragmas[] = "PRAGMA locking_mode=EXCLUSIVE;"
			      "PRAGMA journal_mode=WAL;"
			      "PRAGMA synchronous=FULL;"
			      "PRAGMA wal_autocheckpoint=256;"
			      "PRAGMA trusted_schema=OFF;";

static const char schema[] =
	"CREATE TABLE blob(name TEXT PRIMARY KEY, data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE TABLE snapshot(id INTEGER PRIMARY KEY, idx INTEGER NOT NULL, term INTEGER NOT NULL,"
	" data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE TABLE log(idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, kind INTEGER NOT NULL,"
	" data BLOB NOT NULL, crc INTEGER NOT NULL);"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"CREATE TABLE commits(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, sum INTEGER NOT NULL);"
	"INSERT INTO commits VALUES(1,0,0);";

static int row_first_int(sqlite3_stmt *s, void *arg, struct cl_error *err)
{
	(void)err;
	*(int *)arg = sqlite3_column_int(s, 0);
	return 0;
}

static int db_prepare(struct store_db *db, struct cl_error *err)
{
	for (int i = 0; i < N_STMTS; i++)
		if (sqlite3_prepare_v2(db->sql, stmt_sql[i], -1, &db->stmt[i], NULL) != SQLITE_OK)
			return sql_error(db, stmt_sql[i], err);
	return 0;
}

/* Schema and identity in one transaction: a power cut leaves a whole database or an empty file. */
static int db_create(struct store_db *db, const char *anew, struct cl_error *err)
{
	uint8_t uuid[16];
	int r = sql_exec(db, "BEGIN IMMEDIATE", err);

	if (r == 0)
		r = sql_exec(db, schema, err);
	if (r == 0)
		r = db_prepare(db, err);
	uuid_generate_random(uuid);
	if (r == 0)
		r = put_blob(db, "uuid", uuid, sizeof(uuid), err);
	if (r == 0)
		r = put_blob(db, "format", FORMAT, strlen(FORMAT), err);
	if (r == 0 && anew)
		r = put_blob(db, "anew", anew, strlen(anew), err);
	if (r == 0)
		r = sql_exec(db, "COMMIT", err);
	/* Out of the WAL: its loss shall not look like a database that never was. */
	if (r == 0)
		r = sql_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", err);
	return r;
}

static int db_open_file(struct store_db *db, const char *path, const char *anew, bool *ret_fresh,
			struct cl_error *err)
{
	int tables = 0, r;

	if (sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
	    SQLITE_OK)
		return db->sql ? sql_error(db, "open", err)
			       : cl_error_set(err, -ENOMEM, "out of memory");
	r = sql_exec(db, pragmas, err);
	if (r == 0)
		r = sql_each(db, "SELECT count(*) FROM sqlite_master", row_first_int, &tables, err);
	if (r < 0)
		return r;
	*ret_fresh = tables == 0;
	return *ret_fresh ? db_create(db, anew, err) : db_prepare(db, err);
}

static int db_count_instance(struct store_db *db, struct store_image *img, struct cl_error *err)
{
	uint8_t buf[8];
	int r = store_db_begin(db, err);

	/* A new database's first life comes after those of one that this node had before: who heard
	 * that one takes lower numbers for old messages. */
	if (!img->instance)
		img->instance = (uint64_t)(cl_wall_ms() / 1000);
	cl_put_le64(buf, ++img->instance);
	if (r == 0)
		r = put_blob(db, "instance", buf, sizeof(buf), err);
	return r == 0 ? store_db_commit(db, err) : r;
}

static int condemned(const char *dir, struct cl_error *err)
{
	char why[STORE_WHY_MAX];
	int r = store_condemned(dir, why, err);

	return r > 0 ? cl_error_set(err, -CL_ECORRUPT, "%s", why) : r;
}

static int db_open_all(struct store_db *db, const char *dir, const char *anew, const char *path,
		       struct store_image *img, struct cl_error *err)
{
	int r = guard_open(db, dir, err);

	if (r == 0 && !anew)
		r = condemned(dir, err);
	if (r == 0 && !anew)
		r = guard_alone(db, path, err);
	if (r == 0)
		r = db_open_file(db, path, anew, &img->fresh, err);
	if (r == 0)
		r = db_load(db, img, err);
	if (r == 0)
		r = guard_check(db, err);
	return r == 0 ? db_count_instance(db, img, err) : r;
}

int store_db_open(const char *dir, const char *anew, struct store_db **ret,
		  struct store_image *ret_image, struct cl_error *err)
{
	struct store_db *db = calloc(1, sizeof(*db));
	struct store_image img = { 0 };
	char path[PATH_MAX];
	int r;

	if (!db)
		return cl_error_set(err, -ENOMEM, "out of memory");
	db->guard_fd = -1;
	db->lines = TRIM_EVERY;
	(void)snprintf(path, sizeof(path), "%s/cluster.db", dir);
	r = db_open_all(db, dir, anew, path, &img, err);
	if (r < 0) {
		store_image_fini(&img);
		store_db_close(db);
		(void)cl_error_wrap(err, r, "%s", path);
		if (r == -CL_ECORRUPT)
			(void)cl_error_hint(err,
					    "this node's memory must not vote: clusterd sets it "
					    "aside and asks the other nodes for a copy");
		return r;
	}
	*ret = db;
	*ret_image = img;
	return 0;
}

void store_db_close(struct store_db *db)
{
	if (!db)
		return;
	for (int i = 0; i < N_STMTS; i++)
		(void)sqlite3_finalize(db->stmt[i]);
	(void)sqlite3_close(db->sql);
	if (db->guard_fd >= 0)
		(void)close(db->guard_fd);
	free(db);
}
