/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/feeder_slice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

void feeder_slice_init(struct feeder_slice *slice)
{
	*slice = (struct feeder_slice){ .freeze = -1, .events = -1, .stat = -1 };
}

void feeder_slice_fini(struct feeder_slice *slice)
{
	cl_closep(&slice->freeze);
	cl_closep(&slice->events);
	cl_closep(&slice->stat);
	feeder_slice_init(slice);
}

static int open_in(const char *dir, const char *name, int flags)
{
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC);
}

static bool path_read(const char *run_directory, char *buf, size_t size)
{
	_cleanup_close_ int fd = open_in(run_directory, FEEDER_SLICE_FILE, O_RDONLY | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return buf[0] == '/';
}

bool feeder_slice_find(struct feeder_slice *slice, const char *run_directory)
{
	char path[PATH_MAX];

	if (!path_read(run_directory, path, sizeof(path)) || strcmp(path, slice->path) == 0)
		return false;
	feeder_slice_fini(slice);
	slice->freeze = open_in(path, "cgroup.freeze", O_RDWR);
	slice->events = open_in(path, "cgroup.events", O_RDONLY);
	slice->stat = open_in(path, "cpu.stat", O_RDONLY);
	if (slice->freeze < 0 || slice->events < 0 || slice->stat < 0) {
		feeder_slice_fini(slice); /* not made yet, or gone: looked for again */
		return false;
	}
	(void)snprintf(slice->path, sizeof(slice->path), "%s", path);
	log_notice("guards what runs in %s", path);
	return true;
}

/* The number behind `key`, which stands at the beginning of a line. */
static bool number_of(int fd, const char *key, uint64_t *ret)
{
	char buf[1024] = "\n";
	ssize_t n = pread(fd, buf + 1, sizeof(buf) - 2, 0);
	const char *at;

	if (n <= 0)
		return false;
	buf[n + 1] = 0;
	at = strstr(buf, key);
	if (at)
		*ret = strtoull(at + strlen(key), NULL, 10);
	return at != NULL;
}

struct feeder_slice_use feeder_slice_look(struct feeder_slice *slice)
{
	struct feeder_slice_use use = { 0 };
	uint64_t populated = 0;

	if (!slice->path[0])
		return use;
	if (!number_of(slice->events, "\npopulated ", &populated) ||
	    !number_of(slice->stat, "\nusage_usec ", &use.cpu_usec)) {
		feeder_slice_fini(
			slice); /* removed (ENODEV): it was empty, and comes as another one */
		return (struct feeder_slice_use){ 0 };
	}
	use.populated = populated != 0;
	return use;
}

int feeder_slice_freeze(const struct feeder_slice *slice, bool on)
{
	if (slice->freeze < 0)
		return 0;
	return pwrite(slice->freeze, on ? "1" : "0", 1, 0) == 1 ? 0 : -errno;
}

bool feeder_slice_frozen(const struct feeder_slice *slice)
{
	char is = '0';

	return slice->freeze >= 0 && pread(slice->freeze, &is, 1, 0) == 1 && is == '1';
}
