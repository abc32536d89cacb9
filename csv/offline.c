/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/offline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "csv/fs.h"
#include "csv/fs_grow.h"
#include "csv/lun_file.h"
#include "lib/log.h"
#include "lib/vec.h"

enum { FINDINGS_MAX = 1000 };

CL_DEFINE_VEC(line_vec, char *);

struct offline {
	const struct offline_job *job;
	struct coord *coord;
	struct fs_dev *dev;
	struct lun_file *file;
	struct line_vec lines; /* what the tool said, but for its progress */
	uint64_t n_lines;
};

/* ---- telling ---------------------------------------------------------------------------------- */

static void answer(struct offline *o, Vol__JobAnswer *a)
{
	size_t len;
	struct csv_mail *mail;

	a->id = o->job->id;
	len = vol__job_answer__get_packed_size(a);
	mail = csv_mail_new(MAIL_JOB, NULL, len);
	if (!mail)
		return;
	(void)vol__job_answer__pack(a, mail->body);
	coord_post_out(o->coord, mail);
}

static void progress(struct offline *o, uint32_t percent, const char *text)
{
	Vol__JobAnswer a = VOL__JOB_ANSWER__INIT;

	a.text = (char *)(uintptr_t)text;
	a.percent = percent;
	answer(o, &a);
}

static void ended(struct offline *o, int code, const char *text, bool with_lines)
{
	Vol__JobAnswer a = VOL__JOB_ANSWER__INIT;

	a.done = true;
	a.code = (uint32_t)code;
	a.text = (char *)(uintptr_t)text;
	if (with_lines) {
		a.findings = o->lines.v;
		a.n_findings = o->lines.n;
		a.damages = o->n_lines;
	}
	log_notice("volume '%s': %s", o->job->name, text);
	answer(o, &a);
}

/* ---- e2fsprogs -------------------------------------------------------------------------------- */

static void keep_line(struct offline *o, const char *text)
{
	char *copy;

	o->n_lines++;
	if (o->lines.n >= FINDINGS_MAX)
		return;
	copy = strdup(text);
	if (!copy || line_vec_push(&o->lines, copy) < 0)
		free(copy);
}

/* "Pass 2: Checking directory structure"; the banner and the summary are nobody's finding. */
static void on_line(void *user, const char *text)
{
	struct offline *o = user;
	char name[80];
	unsigned pass;

	(void)snprintf(name, sizeof(name), "%s: ", o->file ? lun_file_path(o->file) : "");
	if (sscanf(text, "Pass %u", &pass) == 1 && pass >= 1 && pass <= 5)
		progress(o, (pass - 1) * 20, text);
	else if (strncmp(text, "e2fsck 1.", 9) != 0 &&
		 !(strstr(text, " files (") && strstr(text, "non-contiguous")))
		keep_line(o, strncmp(text, name, strlen(name)) == 0 ? text + strlen(name) : text);
}

static int run(struct offline *o, const char *const *argv, struct cl_error *err)
{
	progress(o, 0, argv[0]);
	return lun_file_run(o->file, argv, on_line, o, err);
}

static void forget_lines(struct offline *o)
{
	for (size_t i = 0; i < o->lines.n; i++)
		free(o->lines.v[i]);
	line_vec_clear(&o->lines);
	o->n_lines = 0;
}

/* ---- before anything: what a coordinator that died has left ---------------------------------------- */

/* Unlinked while open: nobody has them open any more. */
static int free_orphans(struct fs *fs)
{
	struct timespec now;
	uint32_t ino;
	int r;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	while ((r = fs_orphan_next(fs, 0, &ino)) == 0 && ino) {
		r = fs_begin(fs, now);
		if (r == 0 && (r = fs_orphan_free(fs, ino)) < 0)
			fs_abort(fs);
		if (r == 0)
			r = fs_end(fs);
		if (r < 0)
			return r;
	}
	return r;
}

/*
 * The journal is replayed and emptied, so that a tool that may not write sees the volume as it is. One
 * that cannot be opened is left to e2fsck as it is.
 */
static int settle(struct offline *o)
{
	const struct fs_open_options opt = { .volume_uuid = o->job->volume,
					     .cluster_uuid = o->job->cluster };
	_cleanup_(fs_freep) struct fs *fs = NULL;
	struct cl_error err = CL_ERROR_INIT;
	char text[300];
	int r = fs_open(o->dev, &opt, &fs, &err);

	if (r == 0)
		r = free_orphans(fs);
	if (r == 0)
		r = fs_close(fs);
	if (r == 0)
		return 0;
	(void)snprintf(text, sizeof(text), "the volume cannot be opened: %.250s",
		       err.code ? err.msg : strerror(-r));
	keep_line(o, text);
	return r;
}

static bool is_stopped(void *coord)
{
	return coord_stop_asked(coord);
}

static int with_file(struct offline *o, bool writable, struct cl_error *err)
{
	const struct lun_file_config cfg = {
		.dev = o->dev,
		.writable = writable,
		.lease_until_ms = o->job->lease_until_ms,
		.stop = is_stopped,
		.stop_fd = coord_mail_fd(o->coord),
		.user = o->coord,
	};

	return lun_file_new(&cfg, &o->file, err);
}

/* ---- the jobs ----------------------------------------------------------------------------------- */

/* e2fsck's exit status: 0 clean, 1 and 2 corrected, 4 errors left, 8 and up it could not work. */
static void check_ended(struct offline *o, int status)
{
	char text[160];

	if (status == 0 && o->n_lines == 0) {
		ended(o, 0, "clean", false);
	} else if (status == 0) {
		ended(o, EUCLEAN, "e2fsck finds nothing, but the volume is not as it should be",
		      true);
	} else if (status < 4) {
		ended(o, 0, "was damaged; e2fsck has repaired it", true);
	} else if (status == 4) {
		ended(o, EUCLEAN, "the volume is damaged", true);
	} else {
		(void)snprintf(text, sizeof(text), "e2fsck could not work (exit status %d)",
			       status);
		ended(o, EIO, text, true);
	}
}

static int check(struct offline *o, struct cl_error *err)
{
	const char *const look[] = { "e2fsck", "-f", "-n", "@", NULL };
	const char *const repair[] = { "e2fsck", "-f", "-y", "@", NULL };
	int r;

	(void)settle(o);
	r = with_file(o, o->job->change, err);
	if (r == 0)
		r = run(o, o->job->change ? repair : look, err);
	if (r >= 0)
		check_ended(o, r);
	return r;
}

/* 0: nothing to be said of it. */
static int look(struct offline *o, struct cl_error *err)
{
	const char *const argv[] = { "e2fsck", "-f", "-n", "@", NULL };
	int r;

	forget_lines(o);
	r = run(o, argv, err);
	return r == 0 && o->n_lines ? 4 : r;
}

static void grown(struct offline *o, uint64_t before, uint64_t after, int found)
{
	char text[160];

	if (found) {
		ended(o, EUCLEAN, "the volume has grown, but is not in order: repair it", true);
		return;
	}
	(void)snprintf(text, sizeof(text), "%s: %llu MiB, was %llu MiB",
		       after > before ? "grown" : "as large as its LUN already",
		       (unsigned long long)(after >> 20), (unsigned long long)(before >> 20));
	ended(o, 0, text, false);
}

/*
 * Not by resize2fs: see fs_grow.h. What e2fsck objects to is not built upon; and what fs_grow() has made has
 * to be to its liking. fs_grow() goes to the device past the file, which is uncached.
 */
static int grow(struct offline *o, struct cl_error *err)
{
	uint64_t before, after;
	int r;

	if (settle(o) < 0)
		return cl_error_set(err, -EUCLEAN, "the volume cannot be opened: check it first");
	r = with_file(o, false, err);
	if (r == 0)
		r = look(o, err);
	if (r < 0)
		return r;
	if (r > 0) {
		ended(o, EUCLEAN, "the volume is damaged: repair it before it is grown", true);
		return 0;
	}
	progress(o, 0, "growing");
	r = fs_grow(o->dev, o->job->volume, &before, &after, err);
	if (r == 0)
		r = look(o, err);
	if (r >= 0)
		grown(o, before, after, r);
	return r < 0 ? r : 0;
}

/* What makes it a volume, at both ends; its data stay where they are, and no name leads to them. */
static int wipe(struct offline *o, struct cl_error *err)
{
	const uint64_t mib = 1 << 20;
	int r = fs_dev_zero(o->dev, 0, mib);

	if (r == 0 && o->dev->bytes > 2 * mib)
		r = fs_dev_zero(o->dev, (o->dev->bytes - mib) / FS_BLOCK_SIZE * FS_BLOCK_SIZE, mib);
	if (r == 0)
		r = fs_dev_flush(o->dev);
	if (r < 0)
		return cl_error_errno(err, r, "the LUN");
	ended(o, 0, "wiped", false);
	return 0;
}

static int do_job(struct offline *o, struct cl_error *err)
{
	switch (o->job->kind) {
	case VOL__JOB__KIND__CHECK_OFFLINE:
		return check(o, err);
	case VOL__JOB__KIND__GROW:
		return grow(o, err);
	case VOL__JOB__KIND__WIPE:
		return wipe(o, err);
	default:
		return cl_error_set(err, -ENOSYS, "unknown job %u", o->job->kind);
	}
}

/* The LUN behind the address may have become another one: below the file system nobody else would notice. */
int offline_run(void *user, struct coord *coord, struct fs_dev *dev, struct cl_error *err)
{
	struct offline o = { .job = user, .coord = coord, .dev = dev };
	int r = fs_whose(dev, o.job->volume, o.job->cluster, err);

	if (r == 0)
		r = do_job(&o, err);
	if (r < 0)
		ended(&o, -r, err->msg, o.n_lines > 0);
	lun_file_free(o.file);
	forget_lines(&o);
	line_vec_fini(&o.lines);
	return r < 0 ? r : 0;
}
