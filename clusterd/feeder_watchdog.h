/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The watchdog that the feeder pets: the kernel's (Documentation/watchdog/watchdog-api.rst), or a FIFO whose
 * reader is one. The reader is told the timeout by "T<ms>\n"; any other byte pets, 'V' ends it (the kernel's
 * magic close), and it resets the machine when nothing came for the timeout.
 *
 * Opening the kernel's starts it; closing it without the 'V' does not stop it: so it is opened only once there
 * is something to guard, and a feeder that is killed has the timeout for its next process.
 */
#ifndef CL_CLUSTERD_FEEDER_WATCHDOG_H
#define CL_CLUSTERD_FEEDER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct feeder_watchdog {
	const char *device; /* "" = none is wanted */
	int timeout_s;	    /* asked for */
	int fd;
	int timeout_ms; /* as it is; 0 = none is open */
	int64_t retry_ms;
	bool complained;
	bool for_ever; /* nobody can turn it off: nowayout, or no magic close */
};

void feeder_watchdog_init(struct feeder_watchdog *w, const char *device, int timeout_s);

/* Opens it when it is not open; tried again every few seconds. True: it has just been opened. */
bool feeder_watchdog_arm(struct feeder_watchdog *w, int64_t now_ms);
void feeder_watchdog_pet(struct feeder_watchdog *w);
/* In order: nobody is to be reset for it. False: the machine will be, unless somebody else feeds it. */
bool feeder_watchdog_end(struct feeder_watchdog *w);

#endif
