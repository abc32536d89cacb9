/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/feeder_watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

#define RETRY_MS 5000

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
		feeder_watchdog_end(w);
		return false;
	}
	w->complained = false;
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

void feeder_watchdog_end(struct feeder_watchdog *w)
{
	if (w->fd >= 0 && write(w->fd, "V", 1) != 1)
		complain(w, "cannot be closed in order");
	cl_closep(&w->fd);
	w->fd = -1;
	w->timeout_ms = 0;
}
