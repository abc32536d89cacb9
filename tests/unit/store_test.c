/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store against a model. Write n of a run is made from n alone, and its hard state says n: so a
 * reopened database names the write that it ends with, and everything in it can be compared.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "clusterd/store.h"
#include "clusterd/store_aside.h"
#include "clusterd/store_db.h"
#include "lib/le.h"

/* ---- a directory of its own ------------------------------------------------------------------ */

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/store-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static void path_of(const char *name, char path[400])
{
	(void)snprintf(path, 400, "%s/%s", dir, name);
}

static void wipe_dir(const char *at)
{
	DIR *d = opendir(at);
	struct dirent *e;
	char path[800];

	while (d && (e = readdir(d))) {
		(void)snprintf(path, sizeof(path), "%s/%s", at, e->d_name);
		if (e->d_name[0] == '.' || unlink(path) == 0)
			continue;
		wipe_dir(path); /* what was set aside */
		(void)rmdir(path);
	}
	if (d)
		(void)closedir(d);
}

static void wipe(void)
{
	wipe_dir(dir);
}

static int teardown(void **state)
{
	(void)state;
	wipe();
	return rmdir(dir);
}

/* ---- model ----------------------------------------------------------------------------------- */

#define ENTRIES_MAX 4096

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

struct model {
	uint64_t n, first, last, snap; /* log = first..last */
	uint64_t term[ENTRIES_MAX];    /* by index; also what its data is made from */
};

static size_t entry_bytes(uint64_t index, uint64_t term, uint8_t out[600])
{
	size_t len = mix(index * 131 + term) % 600;

	memset(out, (int)(index + term), len);
	return len;
}

struct made {
	struct store_write w;
	uint8_t hard[8], data[4][600];
	struct store_entry entries[4];
};

/* Write n after model m: truncates sometimes, appends, takes a snapshot now and then. */
static void make_write(struct model *m, struct made *out)
{
	uint64_t n = ++m->n, r = mix(n);

	memset(out, 0, sizeof(*out));
	out->w.seq = n;
	cl_put_le64(out->hard, n);
	out->w.hard = out->w.witness = (struct store_blob){ out->hard, 8 };
	if (r % 7 == 0 && m->last > m->first + 2) {
		out->w.truncate_from = m->last - 1;
		m->last -= 2;
	}
	if (r % 11 == 0 && m->last > m->snap) {
		m->snap = m->last - r % 2;
		out->w.snap_index = m->snap;
		out->w.snap_term = 1;
		out->w.snapshot = (struct store_blob){ out->hard, 8 };
		out->w.compact_to = m->snap > 3 ? m->snap - 3 : 0;
		m->first = out->w.compact_to + 1 > m->first ? out->w.compact_to + 1 : m->first;
	}
	for (size_t i = 0; i < r % 5; i++) {
		uint64_t index = ++m->last;

		m->term[index] = n;
		out->entries[i] = (struct store_entry){
			index,
			n,
			3,
			{ out->data[i], entry_bytes(index, n, out->data[i]) },
		};
		out->w.n_entries = i + 1;
	}
	out->w.entries = out->entries;
}

static void model_at(uint64_t n, struct model *m)
{
	static struct made made;

	memset(m, 0, sizeof(*m));
	m->first = 1;
	while (m->n < n)
		make_write(m, &made);
}

static uint64_t image_n(const struct store_image *img)
{
	return img->hard.len == 8 ? cl_get_le64(img->hard.data) : 0;
}

static void assert_image_is_model(const struct store_image *img)
{
	static struct model m;
	uint8_t data[600];

	model_at(image_n(img), &m);
	assert_int_equal(img->witness.len, img->hard.len);
	if (img->hard.len)
		assert_memory_equal(img->witness.data, img->hard.data, img->hard.len);
	assert_int_equal(img->snap_index, m.snap);
	assert_int_equal(img->log.n, m.last + 1 - m.first);
	for (size_t i = 0; i < img->log.n; i++) {
		const struct store_entry *e = &img->log.v[i];

		assert_int_equal(e->index, m.first + i);
		assert_int_equal(e->term, m.term[e->index]);
		assert_int_equal(e->data.len, entry_bytes(e->index, e->term, data));
		if (e->data.len)
			assert_memory_equal(e->data.data, data, e->data.len);
	}
}

/* ---- a run of writes through the worker thread ------------------------------------------------
 */

struct run {
	struct cl_loop *loop;
	struct store *st;
	struct model m;
	uint64_t persisted, until;
	int report_fd;
};

static void run_submit(struct run *run)
{
	static struct made made;

	make_write(&run->m, &made);
	assert_int_equal(store_submit(run->st, &made.w), 0);
}

static void on_persisted(void *user, uint64_t seq, int64_t took_ms)
{
	struct run *run = user;

	assert_true(seq > run->persisted && seq <= run->m.n && took_ms >= 0);
	run->persisted = seq;
	if (run->report_fd >= 0 && write(run->report_fd, &seq, sizeof(seq)) < 0)
		_exit(1);
	if (seq >= run->until) {
		cl_loop_stop(run->loop);
		return;
	}
	while (run->m.n < seq + 3 && run->m.n < run->until)
		run_submit(run);
}

static void on_failed(void *user, const struct cl_error *why)
{
	(void)user;
	(void)fprintf(stderr, "store failed: %s\n", why->msg);
	_exit(3);
}

static const struct store_ops ops = { on_persisted, on_failed };

static struct run run;

static void run_begin(uint64_t from, uint64_t until, int report_fd)
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;

	memset(&run, 0, sizeof(run));
	model_at(from, &run.m);
	run.persisted = from;
	run.until = until;
	run.report_fd = report_fd;
	if (cl_loop_new(&run.loop) < 0 ||
	    store_open(dir, NULL, run.loop, &ops, &run, &run.st, &img, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		_exit(2);
	}
	store_image_fini(&img);
	run_submit(&run);
	cl_loop_run(run.loop);
}

static void run_until(uint64_t from, uint64_t until, int report_fd)
{
	run_begin(from, until, report_fd);
	store_close(run.st);
	cl_loop_free(run.loop);
}

static int open_image(struct store_image *img, struct cl_error *err)
{
	struct store_db *db;
	int r = store_db_open(dir, NULL, &db, img, err);

	if (r == 0)
		store_db_close(db);
	return r;
}

static void test_roundtrip(void **state)
{
	struct store_image img;
	uint8_t uuid[16];

	(void)state;
	wipe();
	assert_int_equal(open_image(&img, NULL), 0);
	assert_true(img.fresh);
	assert_int_equal(img.hard.len, 0);
	memcpy(uuid, img.uuid, 16);
	store_image_fini(&img);
	run_until(0, 200, -1);
	assert_int_equal(open_image(&img, NULL), 0);
	assert_false(img.fresh);
	assert_int_equal(image_n(&img), 200);
	assert_memory_equal(uuid, img.uuid, 16);
	assert_image_is_model(&img);
	store_image_fini(&img);
}

static void test_second_opener_is_refused(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;
	struct store_db *db;
	pid_t pid;
	int status;

	(void)state;
	wipe();
	assert_int_equal(store_db_open(dir, NULL, &db, &img, &err), 0);
	store_image_fini(&img);
	pid = fork();
	if (pid == 0)
		_exit(open_image(&img, &err) == -EBUSY ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store_db_close(db);
}

/* ---- kill -9 ----------------------------------------------------------------------------------
 */

/* Run from write `from` on in a child, kill it at a random moment; the last seq it reported. */
static uint64_t run_and_kill(uint64_t from, unsigned us)
{
	uint64_t seq, last = from;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		run_until(from, 3000, p[1]);
		_exit(0);
	}
	(void)close(p[1]);
	if (read(p[0], &seq, sizeof(seq)) == sizeof(seq))
		last = seq;
	(void)usleep(us);
	(void)kill(pid, SIGKILL);
	while (read(p[0], &seq, sizeof(seq)) == sizeof(seq))
		last = seq;
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || status == 0);
	return last;
}

static void test_killed_at_random(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;
	uint64_t n = 0;

	(void)state;
	wipe();
	for (unsigned i = 0; i < 40 && n < 900; i++) {
		uint64_t reported = run_and_kill(n, (unsigned)(mix(i) % 9000));

		if (open_image(&img, &err) < 0)
			fail_msg("round %u: %s", i, err.msg);
		n = image_n(&img);
		assert_true(n >= reported);
		assert_image_is_model(&img);
		store_image_fini(&img);
	}
	assert_true(n > 40);
}

/* ---- damage ------------------------------------------------------------------------------------
 */

static off_t size_of(const char *name)
{
	char path[400];
	struct stat st;

	path_of(name, path);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

#define WAL_WRITES 40 /* fewer pages than a checkpoint waits for */

/* The child writes so many and then waits to be killed: how far it got does not depend on how soon
 * that is. (One that ends by itself leaves no WAL; one that is killed while it copies the WAL into the
 * database leaves a mixture when the WAL is cut: test_torn_checkpoint makes those.) */
static void make_wal(uint64_t from, uint64_t until)
{
	uint64_t seq = from;
	int p[2], status;
	pid_t pid;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(p[0]);
		run_begin(from, until, p[1]);
		for (;;)
			(void)pause();
	}
	(void)close(p[1]);
	while (seq < until && read(p[0], &seq, sizeof(seq)) == sizeof(seq))
		;
	(void)kill(pid, SIGKILL);
	(void)close(p[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(seq, until);
	assert_true(size_of("cluster.db-wal") > 10000);
}

/* The tail of the WAL is gone, as after a bad block: reported writes are lost. With the guard that
 * is noticed; without it (its control) an older state comes up as if nothing had been. */
static void lose_tail(bool guard, unsigned round, unsigned *ret_corrupt, unsigned *ret_older)
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;
	char path[400];
	int r;

	wipe();
	make_wal(0, WAL_WRITES);
	path_of("cluster.db-wal", path);
	assert_int_equal(truncate(path, size_of("cluster.db-wal") / 20 * (off_t)(round % 19)), 0);
	path_of("cluster.guard", path);
	if (!guard)
		assert_int_equal(unlink(path), 0);
	r = open_image(&img, &err);
	if (r < 0) {
		assert_int_equal(r, -CL_ECORRUPT);
		assert_true(err.hint[0]);
		++*ret_corrupt;
		return;
	}
	assert_image_is_model(&img);
	*ret_older += image_n(&img) < WAL_WRITES;
	store_image_fini(&img);
}

static void test_lost_tail(void **state)
{
	unsigned corrupt = 0, older = 0;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		lose_tail(true, i * 7, &corrupt, &older);
	assert_int_equal(older, 0);
	corrupt = older = 0;
	for (unsigned i = 0; i < 10; i++)
		lose_tail(false, i * 7, &corrupt, &older);
	assert_true(older > 0);
}

/* By sqlite itself, which copies the WAL when the last connection closes, and adds nothing. */
static int checkpoint(void)
{
	char path[400];
	sqlite3 *sql;
	int r;

	path_of("cluster.db", path);
	r = sqlite3_open(path, &sql);
	if (r == SQLITE_OK)
		r = sqlite3_exec(sql, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	(void)sqlite3_close(sql);
	return r;
}

static void copy(const char *from, const char *to)
{
	char cmd[900];

	(void)snprintf(cmd, sizeof(cmd), "cp %s/%s %s/%s", dir, from, dir, to);
	assert_int_equal(system(cmd), 0);
}

/* cluster.db: the first `pages` of "new", as a checkpoint writes them, and the rest of "old". */
static void tear(off_t pages)
{
	char cmd[900];

	copy("old", "cluster.db");
	(void)snprintf(cmd, sizeof(cmd),
		       "dd if=%s/new of=%s/cluster.db bs=4096 count=%ld conv=notrunc status=none",
		       dir, dir, (long)pages);
	assert_int_equal(system(cmd), 0);
}

/* Every mixture of the database before and after writes from + 1 .. until; those that were refused. */
static unsigned tear_everywhere(uint64_t from, uint64_t until)
{
	unsigned refused = 0;
	off_t pages;

	wipe();
	run_until(0, from, -1); /* its end puts all of it into the database */
	make_wal(from, until);
	copy("cluster.db", "old");
	copy("cluster.guard", "guard");
	assert_int_equal(checkpoint(), 0);
	copy("cluster.db", "new");
	pages = size_of("new") / 4096;
	for (off_t n = 0; n < pages; n++) {
		struct store_image img;

		tear(n);
		copy("guard", "cluster.guard");
		if (open_image(&img, NULL) < 0) {
			refused++;
			continue;
		}
		assert_int_equal(image_n(&img), until);
		assert_image_is_model(&img);
		store_image_fini(&img);
	}
	return refused;
}

/* The power goes while a checkpoint copies the WAL, and the WAL is lost: pages of two times. */
static void test_torn_checkpoint_is_noticed(void **state)
{
	(void)state;
	for (uint64_t from = 30; from < 33; from++)
		assert_true(tear_everywhere(from, from + 2) > 0);
}

static void flip(const char *name, off_t at, uint8_t x)
{
	char path[400];
	uint8_t byte;
	int fd;

	path_of(name, path);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= x;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

/* One byte of the file is wrong: what comes up is exactly what was written, or an error. */
static void test_flipped_byte_never_changes_what_is_read(void **state)
{
	unsigned refused = 0;
	char path[400];

	(void)state;
	wipe();
	run_until(0, 60, -1);
	copy("cluster.db", "good");
	path_of("cluster.db-wal", path);
	for (unsigned i = 0; i < 250; i++) {
		struct store_image img;

		(void)unlink(path);
		copy("good", "cluster.db");
		flip("cluster.db", (off_t)(mix(i) % (uint64_t)size_of("cluster.db")),
		     (uint8_t)(1 + mix(i + 1000) % 255));
		if (open_image(&img, NULL) < 0) {
			refused++;
			continue;
		}
		/* A header that says "empty" makes a new database, with another identity. */
		if (!img.fresh) {
			assert_int_equal(image_n(&img), 60);
			assert_image_is_model(&img);
		}
		store_image_fini(&img);
	}
	assert_true(refused >= 5); /* most bytes are free space */
	assert_true(refused < 250);
}

static void test_garbage_file_is_refused(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;
	char path[400];
	int fd;

	(void)state;
	wipe();
	path_of("cluster.db", path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	for (int i = 0; i < 5000; i++)
		assert_int_equal(write(fd, "garbage ", 8), 8);
	(void)close(fd);
	assert_int_equal(open_image(&img, &err), -CL_ECORRUPT);
	assert_non_null(strstr(err.msg, "cluster.db"));
}

/* ---- set aside ---------------------------------------------------------------------------------
 */

static bool is_there(const char *name)
{
	return size_of(name) >= 0;
}

/* As clusterd does it at its start. */
static void heal(const char *why, uint8_t ret_uuid[16])
{
	struct cl_error err = CL_ERROR_INIT;
	struct store_image img;
	struct store_db *db;
	char where[400];

	if (store_set_aside(dir, why, where, sizeof(where), &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(store_db_open(dir, why, &db, &img, &err), 0);
	store_db_close(db);
	assert_true(img.fresh);
	assert_string_equal(img.anew, why);
	memcpy(ret_uuid, img.uuid, 16);
	store_image_fini(&img);
}

static void assert_healed(const uint8_t old[16], const uint8_t uuid[16], const char *why)
{
	struct store_image img;

	assert_memory_not_equal(old, uuid, 16);
	assert_int_equal(open_image(&img, NULL),
			 0); /* the next process: it is sound, and still new */
	assert_memory_equal(img.uuid, uuid, 16);
	assert_string_equal(img.anew, why);
	assert_int_equal(img.log.n, 0);
	store_image_fini(&img);
	assert_true(is_there("aside-1/why"));
	assert_true(is_there("aside-1/cluster.guard"));
}

static void uuid_now(uint8_t uuid[16])
{
	struct store_image img;

	assert_int_equal(open_image(&img, NULL), 0);
	memcpy(uuid, img.uuid, 16);
	store_image_fini(&img);
}

/* Every byte of some pages, one after the other, until one is noticed: there the node heals. */
static void test_damaged_is_set_aside(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	uint8_t old[16], uuid[16];
	struct store_image img;
	off_t at = 4096;

	(void)state;
	wipe();
	run_until(0, 300, -1);
	uuid_now(old);
	while (open_image(&img, &err) == 0) {
		store_image_fini(&img);
		flip("cluster.db", at, 0x10);
		at += 97;
		assert_true(at < size_of("cluster.db"));
	}
	assert_int_equal(err.code, -CL_ECORRUPT);
	heal(err.msg, uuid);
	assert_healed(old, uuid, err.msg);
	assert_true(is_there("aside-1/cluster.db"));
}

static void test_missing_file_is_noticed(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	uint8_t old[16], uuid[16];
	struct store_image img;
	char path[400];

	(void)state;
	wipe();
	run_until(0, 50, -1);
	uuid_now(old);
	path_of("cluster.db", path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(open_image(&img, &err), -CL_ECORRUPT);
	assert_non_null(strstr(err.msg, "it is gone"));
	assert_false(is_there("cluster.db")); /* looking at it made none */
	heal(err.msg, uuid);
	assert_healed(old, uuid, err.msg);
}

/* Taken apart half way: the next start sees a guard without a database. */
static void test_interrupted_while_setting_aside(void **state)
{
	uint8_t uuid[16], old[16] = { 0 };
	struct store_image img;
	char from[400], to[400];

	(void)state;
	wipe();
	run_until(0, 50, -1);
	path_of("aside-1", to);
	assert_int_equal(mkdir(to, 0700), 0);
	path_of("cluster.db", from);
	path_of("aside-1/cluster.db", to);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(open_image(&img, NULL), -CL_ECORRUPT);
	heal("again", uuid);
	assert_memory_not_equal(old, uuid, 16);
	assert_true(is_there("aside-1/cluster.db") && is_there("aside-2/why"));
}

static void test_condemned_is_not_opened(void **state)
{
	struct cl_error err = CL_ERROR_INIT;
	uint8_t old[16], uuid[16];
	struct store_image img;

	(void)state;
	wipe();
	run_until(0, 50, -1);
	uuid_now(old);
	assert_int_equal(store_condemn(dir, "a newer line", &err), 0);
	assert_int_equal(open_image(&img, &err), -CL_ECORRUPT);
	assert_non_null(strstr(err.msg, "a newer line"));
	heal("a newer line", uuid);
	assert_healed(old, uuid, "a newer line");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roundtrip),
		cmocka_unit_test(test_second_opener_is_refused),
		cmocka_unit_test(test_killed_at_random),
		cmocka_unit_test(test_lost_tail),
		cmocka_unit_test(test_torn_checkpoint_is_noticed),
		cmocka_unit_test(test_flipped_byte_never_changes_what_is_read),
		cmocka_unit_test(test_garbage_file_is_refused),
		cmocka_unit_test(test_damaged_is_set_aside),
		cmocka_unit_test(test_missing_file_is_noticed),
		cmocka_unit_test(test_interrupted_while_setting_aside),
		cmocka_unit_test(test_condemned_is_not_opened),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
