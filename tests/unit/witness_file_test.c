/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session to a witness in a directory (iscsi/witness_file.h): its threads, and a share that hangs. What hangs here is
 * open(2) of a FIFO, in the name of the superblock or of a slot; a real file system that hangs is in drill 10.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iscsi/witness_dir.h"
#include "iscsi/witness_store.h"

/* Long enough that a busy machine's disk does not count as a share that hangs. */
enum { SILENCE_MS = 1000, UNIT = WDIR_UNIT };

static char directory[] = "/tmp/witness_file_test.XXXXXX";
static char url[64];
static struct cl_loop *loop;
static struct cl_source *late;

/* ---- one session, as its user sees it ------------------------------------------------------------------ */

/* Static in all tests: of one that has failed the session goes on. */
struct seen {
	struct witness_store *store;
	unsigned ups, downs, answers, gone;
	bool up, ok, mine;
	uint8_t first; /* byte of what was read */
	char text[200];
};

/* The loop runs until something is seen, or for so long. */
static void wait_ms(int64_t ms)
{
	(void)cl_timer_set_in(late, ms);
	cl_loop_run(loop);
	cl_timer_cancel(late);
}

static void on_late(void *user)
{
	(void)user;
	cl_loop_stop(loop);
}

static void on_path(void *user, bool up, uint64_t bytes, int code, const char *text)
{
	struct seen *s = user;

	(void)code;
	s->up = up;
	if (up)
		assert_int_equal(bytes, WDIR_BYTES);
	s->ups += up;
	s->downs += !up;
	(void)snprintf(s->text, sizeof(s->text), "%s", text);
	cl_loop_stop(loop);
}

static void on_done(void *user, const struct witness_answer *a)
{
	struct seen *s = user;

	s->answers++;
	s->ok = a->ok;
	s->mine = a->mine;
	s->first = a->len ? a->data[0] : 0;
	(void)snprintf(s->text, sizeof(s->text), "%s", a->text);
	cl_loop_stop(loop);
}

static void on_gone(void *user)
{
	struct seen *s = user;

	s->gone++;
	cl_loop_stop(loop);
}

static void begin(struct seen *s, unsigned node, bool make)
{
	const struct witness_config config = {
		.url = url,
		.node = node,
		.make = make,
		.unused = make,
		.silence_ms = SILENCE_MS,
		.hooks = { .user = s, .path = on_path, .done = on_done },
	};
	struct cl_error err = CL_ERROR_INIT;

	*s = (struct seen){ 0 };
	assert_int_equal(witness_store_new(loop, &config, &s->store, &err), 0);
}

static void end(struct seen *s)
{
	witness_store_free(s->store);
	s->store = NULL;
}

static void until_up(struct seen *s)
{
	for (unsigned i = 0; !s->up && i < 100; i++)
		wait_ms(100);
	assert_true(s->up);
}

static bool ask(struct seen *s, enum witness_op_kind kind, uint64_t unit, const uint8_t *data)
{
	unsigned answers = s->answers;

	witness_store_submit(s->store, answers + 1, kind, unit * UNIT, UNIT, data);
	for (unsigned i = 0; s->answers == answers && i < 100; i++)
		wait_ms(100);
	assert_int_equal(s->answers, answers + 1);
	return s->ok;
}

/* ---- the share ------------------------------------------------------------------------------------------- */

static const char *in_dir(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	return path;
}

static void hang(const char *name)
{
	char aside[160];

	(void)snprintf(aside, sizeof(aside), "%s.aside", in_dir(name));
	(void)rename(in_dir(name), aside);
	assert_int_equal(mkfifo(in_dir(name), 0600), 0);
}

/* Who waits goes on, with an error or with what is there now. */
static void answer_again(const char *name)
{
	char aside[160];
	int fd;

	fd = open(in_dir(name), O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	(void)snprintf(aside, sizeof(aside), "%s.aside", in_dir(name));
	if (rename(aside, in_dir(name)) < 0)
		assert_int_equal(unlink(in_dir(name)), 0);
	wait_ms(100); /* while the FIFO has a writer, opened by whoever comes from here on it is not */
	(void)close(fd);
}

static unsigned n_threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n - 2;
}

static void until_threads(unsigned want)
{
	for (unsigned i = 0; n_threads() != want && i < 100; i++)
		wait_ms(50);
	assert_int_equal(n_threads(), want);
}

static unsigned threads_before;

static void make_witness(void)
{
	uint8_t super[UNIT] = { 'W' };
	static struct seen s;

	begin(&s, 1, true);
	until_up(&s);
	assert_true(ask(&s, WITNESS_OP_FORMAT, 0, super));
	end(&s);
	until_threads(threads_before); /* or a test counts those that are just ending */
}

static int setup(void **state)
{
	(void)state;
	(void)strcpy(directory, "/tmp/witness_file_test.XXXXXX");
	assert_non_null(mkdtemp(directory));
	(void)snprintf(url, sizeof(url), "file:%s", directory);
	assert_int_equal(cl_loop_new(&loop), 0);
	assert_int_equal(cl_timer_new(loop, on_late, NULL, &late), 0);
	threads_before = n_threads();
	make_witness();
	return 0;
}

static int teardown(void **state)
{
	char text[128];

	(void)state;
	until_threads(threads_before); /* each session's have ended */
	cl_source_free(late);
	cl_loop_free(loop);
	(void)snprintf(text, sizeof(text), "rm -r %s", directory);
	return system(text);
}

/* ---- ------------------------------------------------------------------------------------------------------- */

static void test_serves(void **state)
{
	uint8_t block[UNIT] = { 'x' };
	static struct seen a, b;

	(void)state;
	begin(&a, 1, false);
	until_up(&a);
	assert_true(ask(&a, WITNESS_OP_CLAIM, 0, NULL));
	assert_true(ask(&a, WITNESS_OP_CHECK, 0, NULL) && a.mine);
	assert_true(ask(&a, WITNESS_OP_OWNER_WRITE, WDIR_LOG_UNIT, block));
	assert_true(ask(&a, WITNESS_OP_WRITE, WDIR_SLOT_UNIT + 1, block));
	begin(&b, 2, false);
	until_up(&b);
	assert_false(ask(&b, WITNESS_OP_OWNER_WRITE, WDIR_LOG_UNIT, block));
	assert_true(b.up); /* a refusal is no failure of the share */
	assert_true(ask(&b, WITNESS_OP_CLAIM, 0, NULL));
	assert_true(ask(&b, WITNESS_OP_READ, WDIR_LOG_UNIT, NULL));
	assert_int_equal(b.first, 'x');
	assert_true(ask(&a, WITNESS_OP_CHECK, 0, NULL) && !a.mine);
	/* Both lanes at once, more than the loop looks at in one turn. */
	for (unsigned i = 0; i < 200; i++)
		witness_store_submit(b.store, 1000 + i, i % 2 ? WITNESS_OP_CHECK : WITNESS_OP_WRITE,
				     (uint64_t)(WDIR_SLOT_UNIT + 2) * UNIT, UNIT, block);
	while (b.answers < 203)
		wait_ms(100);
	assert_true(b.ok && b.up);
	end(&a);
	end(&b);
}

/* Lost after the time, said once, in words; the loop lives; back by itself; nothing piles up meanwhile. */
static void test_hangs(void **state)
{
	struct cl_mono asked;
	static struct seen s;
	unsigned n;

	(void)state;
	begin(&s, 1, false);
	until_up(&s);
	n = n_threads();
	hang("slot-2");
	asked = cl_mono_now();
	witness_store_submit(s.store, 7, WITNESS_OP_READ, (uint64_t)(WDIR_SLOT_UNIT + 2) * UNIT,
			     UNIT, NULL);
	for (unsigned i = 0; s.up && i < 100; i++)
		wait_ms(100);
	assert_false(s.up);
	assert_true(cl_mono_ms(cl_mono_now()) - cl_mono_ms(asked) >= SILENCE_MS);
	assert_non_null(strstr(s.text, "the share hangs"));
	wait_ms(2 *
		SILENCE_MS); /* the owner's lane is well: it is open again, and waits for the other */
	wait_ms(2 * SILENCE_MS);
	assert_int_equal(s.downs, 1);
	assert_int_equal(s.answers, 0);
	assert_int_equal(n_threads(), n);
	answer_again("slot-2");
	until_up(&s);
	assert_int_equal(s.answers, 0); /* what the thread brings later means nothing */
	assert_true(ask(&s, WITNESS_OP_CLAIM, 0, NULL));
	end(&s);
}

/* Sessions that are dropped and begun again, as by one clusterd after the other, while all hang. */
static void test_threads_are_bounded(void **state)
{
	static struct seen s;
	unsigned most = 0;

	(void)state;
	hang("superblock");
	begin(&s, 1, false);
	/* Not each one's threads get as far as to hang before it is dropped. */
	for (unsigned i = 0; i < 200; i++) {
		wait_ms(30);
		if (n_threads() > most)
			most = n_threads();
		if (strstr(s.text, "the share hangs, and earlier sessions wait"))
			break;
		end(&s);
		begin(&s, 1, false);
	}
	assert_non_null(strstr(s.text, "the share hangs, and earlier sessions wait"));
	assert_true(most > threads_before + 2 && most <= threads_before + 8);
	assert_false(s.up);
	answer_again("superblock");
	until_up(&s);
	assert_true(ask(&s, WITNESS_OP_CLAIM, 0, NULL));
	end(&s);
}

/* Given up, with what it holds, while it hangs: in the time that was promised. */
static void test_given_up(void **state)
{
	struct cl_mono began;
	static struct seen s;

	(void)state;
	begin(&s, 1, false);
	until_up(&s);
	assert_true(ask(&s, WITNESS_OP_CLAIM, 0, NULL));
	hang("superblock");
	began = cl_mono_now();
	witness_store_give_up(s.store, true, on_gone, &s);
	while (!s.gone && cl_mono_ms(cl_mono_now()) - cl_mono_ms(began) < 5000)
		wait_ms(100);
	assert_int_equal(s.gone, 1);
	assert_true(cl_mono_ms(cl_mono_now()) - cl_mono_ms(began) < 3000);
	end(&s);
	answer_again("superblock");
}

static void test_errors_are_named(void **state)
{
	static struct seen s;

	(void)state;
	(void)snprintf(url, sizeof(url), "file:%s/nowhere", directory);
	begin(&s, 1, false);
	wait_ms(2000);
	assert_int_equal(s.downs, 1);
	assert_non_null(strstr(s.text, "nowhere: No such file or directory"));
	end(&s);
	(void)snprintf(url, sizeof(url), "file:%s/superblock", directory);
	begin(&s, 1, false);
	wait_ms(2000);
	assert_non_null(strstr(s.text, "superblock: Not a directory"));
	end(&s);
}

static void *nothing(void *user)
{
	return user;
}

int main(void)
{
	pthread_t thread;

	/* A sanitizer has a thread of its own from the first one on. */
	if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
		return 1;
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_serves),
		TEST(test_hangs),
		TEST(test_threads_are_bounded),
		TEST(test_given_up),
		TEST(test_errors_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
