/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/feeder_watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define RETRY_MS 5000
#define MISC_MAJOR 10 /* /dev/watchdog, an old name of /dev/watchdog0 that sysfs knows nothing of */

void feeder_watchdog_init(struct feeder_watchdog *w, const char *device, int timeout_s)
{
	*w = (struct feeder_watchdog){ .device = device, .timeout_s = timeout_s, .fd = -1 };
}

static void complain(struct feeder_watchdog *w, const char *what)
{
	if (!w->complained)
		log_warning("%s: %s: %s; what runs is frozen when its time is over, but nothing "
			    "resets a "
			    "machine on which that fails",
			    w->device, what, strerror(errno));
	w->complained = true;
}

/* What it is set to, in ms: a device may round, or know one value only. 0 = no watchdog at all. */
static int set_timeout(struct feeder_watchdog *w)
{
	int seconds = w->timeout_s;

	if (ioctl(w->fd, WDIOC_SETTIMEOUT, &seconds) == 0)
		return seconds * 1000;
	if (errno == ENOTTY)
		return dprintf(w->fd, "T%d\n", w->timeout_s * 1000) > 0 ? w->timeout_s * 1000 : 0;
	if (ioctl(w->fd, WDIOC_GETTIMEOUT, &seconds) == 0)
		return seconds * 1000;
	return 0;
}

/* By its driver's option nowayout, of which only sysfs tells. */
static bool has_no_way_out(int fd)
{
	char path[64] = "/sys/class/watchdog/watchdog0/nowayout", is = '0';
	_cleanup_close_ int file = -1;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return false;
	if (major(st.st_rdev) != MISC_MAJOR)
		(void)snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/nowayout",
			       major(st.st_rdev), minor(st.st_rdev));
	file = open(path, O_RDONLY | O_CLOEXEC);
	return file >= 0 && read(file, &is, 1) == 1 && is == '1';
}

/* Whether it runs on whatever is written before it is closed. */
static bool is_for_ever(int fd)
{
	struct watchdog_info info;

	return has_no_way_out(fd) || (ioctl(fd, WDIOC_GETSUPPORT, &info) == 0 &&
				      !(info.options & WDIOF_MAGICCLOSE));
}

bool feeder_watchdog_arm(struct feeder_watchdog *w, int64_t now_ms)
{
	if (w->fd >= 0 || !*w->device || now_ms < w->retry_ms)
		return false;
	w->retry_ms = now_ms + RETRY_MS;
	/* Of a FIFO without a reader: ENXIO, at once. */
	w->fd = open(w->device, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
	if (w->fd < 0) {
		complain(w, "cannot be opened");
		return false;
	}
	w->timeout_ms = set_timeout(w);
	if (!w->timeout_ms) {
		complain(w, "its timeout cannot be set or read");
		(void)feeder_watchdog_end(w);
		return false;
	}
	w->complained = false;
	w->for_ever = is_for_ever(w->fd);
	log_notice("feeds %s, which resets the machine after %d ms without", w->device,
		   w->timeout_ms);
	return true;
}

void feeder_watchdog_pet(struct feeder_watchdog *w)
{
	if (w->fd < 0 || write(w->fd, "p", 1) == 1 || errno == EAGAIN)
		return;
	complain(w, "cannot be petted");
	cl_closep(&w->fd);
	w->fd = -1;
	w->timeout_ms = 0;
}

bool feeder_watchdog_end(struct feeder_watchdog *w)
{
	bool off = w->fd < 0 || !w->for_ever;

	if (w->fd >= 0 && write(w->fd, "V", 1) != 1) {
		complain(w, "cannot be closed in order");
		off = false;
	}
	cl_closep(&w->fd);
	w->fd = -1;
	w->timeout_ms = 0;
	return off;
}
