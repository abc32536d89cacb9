/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/feeder.h"

#include "proto/heartbeat.h"
#include "quorum/lease.h"

/* docs/timing.md, "The numbers": the inequalities have the same names there. */
enum { STOP_MS = FEEDER_LOOK_MS + FEEDER_FREEZE_MS };
/* N1: a dead or hung clusterd's VMs stand before they are found silent. */
_Static_assert(HEARTBEAT_FRESH_MS + FEEDER_LIVING_MS + STOP_MS +
			       FEEDER_CLOCKS_MS(HEARTBEAT_SILENT_MS) <=
		       HEARTBEAT_SILENT_MS,
	       "they would execute beside those that others have started");
/* N2: .. and before the lease has ended; for those lengths that feeder_is_in_time(). */
_Static_assert(STOP_MS + FEEDER_CLOCKS_MS(30000) <= FEEDER_EARLY_MS,
	       "they would execute beyond the bound");
/* N3: clusterd comes first, if it can. */
_Static_assert(FEEDER_EARLY_MS + FEEDER_LIVING_MS <= LEASE_PAUSE_MS,
	       "a QEMU would be frozen that is about to pause");
/* N4: one beat, one heartbeat may be lost or late without a pause. */
_Static_assert(HEARTBEAT_FRESH_MS >= 2 * HEARTBEAT_MS && HEARTBEAT_FRESH_MS >= 3 * LEASE_BEAT_MS,
	       "a healthy node would pause");
/* N5: three reads fit. */
_Static_assert(HEARTBEAT_SILENT_MS >= 2 * HEARTBEAT_MS, "nobody would ever be silent");

static int64_t fresh_until(const struct feeder_view *v)
{
	int64_t beat_ms = v->beat_ms + HEARTBEAT_FRESH_MS;
	int64_t until_ms = beat_ms > v->heartbeat_until_ms ? beat_ms : v->heartbeat_until_ms;

	if (!v->beat_ms)
		return INT64_MAX;
	/* It is about to do the same, in a way that a VM survives better. */
	return v->clusterd_lives ? until_ms + FEEDER_LIVING_MS : until_ms;
}

int64_t feeder_expiry_ms(const struct feeder_view *v)
{
	int64_t fresh_ms = fresh_until(v), lease_ms = v->lease_until_ms - FEEDER_EARLY_MS;

	if (!v->lease_until_ms)
		return INT64_MAX;
	return fresh_ms < lease_ms ? fresh_ms : lease_ms;
}

/* Frozen is what uses no processor time, whatever the file says that it was asked to be. */
static bool stands(struct feeder *f, const struct feeder_view *v)
{
	if (v->cpu_usec != f->cpu_usec) {
		f->cpu_usec = v->cpu_usec;
		f->moved_ms = v->now_ms;
	}
	return !v->populated || v->now_ms - f->frozen_ms < FEEDER_STAND_MS ||
	       f->moved_ms - f->frozen_ms < FEEDER_STAND_MS ||
	       v->now_ms - f->moved_ms >= FEEDER_QUIET_MS;
}

struct feeder_orders feeder_look(struct feeder *f, const struct feeder_view *v)
{
	struct feeder_orders o = { .pet = true };

	f->armed = f->armed || v->lease_until_ms > 1;
	if (v->now_ms < feeder_expiry_ms(v)) {
		o.thaw = f->frozen;
		f->frozen = false;
		return o;
	}
	if (!f->frozen) {
		f->frozen = o.freeze = true;
		f->frozen_ms = v->now_ms;
	}
	o.pet = stands(f, v);
	return o;
}
