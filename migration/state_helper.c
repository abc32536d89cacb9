/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clusterd-vm-state: carries a VM's state between QEMU and a file of a cluster volume, since clusterd
 * itself never waits for a volume.
 *
 *     save PATH ID...   descriptor 3: from QEMU, to its end. Then a byte 'c' on standard input says
 *                       that QEMU has written all of it: the file is made stable and named. The end
 *                       of standard input without it: nothing is left.
 *     load PATH ID...   descriptor 3: to QEMU, after the checks of migration/state_file.h
 *     drop PATH         the state is used up, or void
 *
 * ID is NAME UUID MACHINE CPUS RAM GENERATION RESERVED. Standard output gets "p BYTES" now and then, and
 * one line with the reason before an exit status of 1.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "migration/state_file.h"
#include "proto/csv_ioctl.h"

#define DATA_FD 3
#define TELL_EVERY (UINT64_C(8) << 20)

static void tell(uint64_t bytes, uint64_t *told)
{
	if (bytes - *told < TELL_EVERY)
		return;
	*told = bytes;
	(void)printf("p %" PRIu64 "\n", bytes);
	(void)fflush(stdout);
}

static int split(const char *path, char dir[1024], const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path || strlen(path) >= 1000 || !slash[1])
		return -EINVAL;
	(void)snprintf(dir, 1024, "%.*s", (int)(slash - path), path);
	*ret_name = slash + 1;
	return 0;
}

/* ---- save ------------------------------------------------------------------------------------- */

static int copy_in(int fd, const struct state_id *id, struct cl_error *err)
{
	static uint8_t buf[256 * 1024];
	struct state_writer w;
	uint64_t got = 0, told = 0;
	ssize_t n = 0;
	int r = state_writer_init(&w, fd, id, err);

	while (r == 0 && (n = read(DATA_FD, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		r = n < 0 ? cl_error_errno(err, -errno, "from qemu")
			  : state_writer_put(&w, buf, (size_t)n, err);
		got += n > 0 ? (uint64_t)n : 0;
		tell(got, &told);
	}
	/* The end of the pipe is no proof: QEMU may have died. */
	if (r == 0 && read(STDIN_FILENO, buf, 1) != 1)
		r = cl_error_set(err, -ECANCELED, "given up");
	if (r == 0)
		r = state_writer_end(&w, err);
	state_writer_fini(&w);
	return r;
}

/* On a file system that is no cluster volume (tests) the private file has its name from the start. */
static int name_it(int fd, const char *tmp, const char *dir, const char *path, const char *name,
		   struct cl_error *err)
{
	struct csv_name n = { 0 };
	struct stat st;

	if (stat(dir, &st) < 0)
		return cl_error_errno(err, -errno, "%s", dir);
	n.directory = st.st_ino;
	(void)snprintf(n.name, sizeof(n.name), "%s", name);
	if (ioctl(fd, CSV_IOC_NAME, &n) == 0)
		return 0;
	if (errno == ENOTTY && link(tmp, path) == 0)
		return unlink(tmp);
	return cl_error_errno(err, -errno, "%s", path);
}

static int save(const char *path, const struct state_id *id, struct cl_error *err)
{
	char dir[1024], tmp[1100];
	const char *name;
	_cleanup_close_ int fd = -1;
	int r = split(path, dir, &name);

	if (r < 0)
		return cl_error_errno(err, r, "%s", path);
	(void)snprintf(tmp, sizeof(tmp), "%s/%s%s", dir, CSV_PRIVATE_PREFIX, name);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	r = copy_in(fd, id, err);
	if (r == 0)
		r = name_it(fd, tmp, dir, path, name, err);
	if (r < 0)
		(void)unlink(tmp); /* a cluster volume has no such name */
	return r;
}

/* ---- load ------------------------------------------------------------------------------------- */

static int write_out(const uint8_t *data, size_t len, struct cl_error *err)
{
	while (len) {
		ssize_t n = write(DATA_FD, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cl_error_errno(err, -errno, "to qemu");
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int load(const char *path, const struct state_id *id, struct cl_error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct state_reader r = { .fd = -1 };
	uint64_t told = 0;
	const void *data;
	size_t len;
	int e;

	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", path);
	e = state_reader_init(&r, fd, id, err);
	while (e == 0 && (e = state_reader_next(&r, &data, &len, err)) == 1) {
		e = write_out(data, len, err);
		tell(r.total, &told);
		if (e < 0)
			break;
	}
	state_reader_fini(&r);
	return e;
}

/* ---- words ------------------------------------------------------------------------------------ */

static int parse_id(char **v, struct state_id *id)
{
	char *end;

	if (strlen(v[0]) >= sizeof(id->name) || strlen(v[1]) >= sizeof(id->uuid) ||
	    strlen(v[2]) >= sizeof(id->machine))
		return -EINVAL;
	(void)strcpy(id->name, v[0]);
	(void)strcpy(id->uuid, v[1]);
	(void)strcpy(id->machine, v[2]);
	id->cpus = (uint32_t)strtoul(v[3], &end, 10);
	id->ram_bytes = strtoull(v[4], &end, 10);
	id->generation = strtoull(v[5], &end, 10);
	id->reserved = strtoull(v[6], &end, 10);
	return *end ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	struct cl_error err = CL_ERROR_INIT;
	struct state_id id = { 0 };
	int r = -EINVAL;

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(what, "drop") == 0) {
		return unlink(argv[2]) == 0 || errno == ENOENT ? 0 : 1;
	}
	if (argc == 10 && parse_id(argv + 3, &id) == 0)
		r = strcmp(what, "save") == 0	? save(argv[2], &id, &err)
		    : strcmp(what, "load") == 0 ? load(argv[2], &id, &err)
						: -EINVAL;
	if (r == 0)
		return 0;
	(void)printf("%s\n", err.msg[0] ? err.msg : "clusterd-vm-state is started by clusterd");
	return 1;
}
