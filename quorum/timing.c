/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "quorum/timing.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/assert.h"
#include "quorum/lease.h"

struct faults {
	struct timing_fault *v;
	size_t n;
};

__attribute__((format(printf, 4, 5))) static void fault(struct faults *f, const char *rule,
							const char *fix, const char *fmt, ...)
{
	struct timing_fault *x = &f->v[f->n++];
	va_list ap;

	cl_assert(f->n <= TIMING_RULES_MAX);
	x->rule = rule;
	x->fix = fix;
	va_start(ap, fmt);
	(void)vsnprintf(x->text, sizeof(x->text), fmt, ap);
	va_end(ap);
}

/* For which no beat is acked while a healthy ring changes. */
static uint64_t change_ms(const struct timing *t)
{
	return (uint64_t)t->token_ms + t->consensus_ms;
}

/* Somebody may run a VM twice, or be reset too late, when one of these does not hold. */
static void check_safety(const struct timing *t, struct faults *f)
{
	if (t->watchdog_ms && (uint64_t)t->watchdog_ms + LEASE_PAUSE_MS > t->lease_ms)
		fault(f, "watchdog", "give clusterd-feeder a shorter --timeout",
		      "the watchdog resets after %u ms, later than a second before the run lease "
		      "of %u ms "
		      "ends",
		      t->watchdog_ms, t->lease_ms);
	if (t->lease_ms / TIMING_CLOCKS > LEASE_PAUSE_MS)
		fault(f, "clocks", "set a shorter token and consensus in corosync.conf",
		      "in a run lease of %u ms two clocks may come apart by more than the %d ms "
		      "that a "
		      "pause has",
		      t->lease_ms, LEASE_PAUSE_MS);
	if ((uint64_t)t->fresh_ms + TIMING_STOP_MS > t->silent_ms)
		fault(f, "silent", "this program was built with wrong numbers",
		      "a node is silent after %u ms, before its VMs have paused (%u ms)",
		      t->silent_ms, t->fresh_ms + TIMING_STOP_MS);
	if (!t->feeder)
		fault(f, "feeder", "systemctl enable --now clusterd-feeder",
		      "clusterd-feeder does not run: if clusterd hangs, nothing stops this node's "
		      "VMs");
}

/* VMs pause or stop although nobody failed when one of these does not hold. */
static void check_calm(const struct timing *t, struct faults *f)
{
	if (t->token_ms < TIMING_TOKEN_MS)
		fault(f, "token", "set token: 1000 in corosync.conf",
		      "corosync's token of %u ms is below %d ms: a busy machine is taken for a "
		      "dead one",
		      t->token_ms, TIMING_TOKEN_MS);
	if ((uint64_t)t->consensus_ms * 5 < (uint64_t)t->token_ms * 6)
		fault(f, "consensus",
		      "leave consensus out of corosync.conf, or set 1.2 times the token",
		      "corosync's consensus of %u ms is less than 1.2 times its token of %u ms",
		      t->consensus_ms, t->token_ms);
	if ((uint64_t)t->lease_ms < change_ms(t) + 3000)
		fault(f, "lease", "restart clusterd on every node, one after another",
		      "the run lease of %u ms was made for shorter times: corosync's token of %u "
		      "and "
		      "consensus of %u ms need %llu",
		      t->lease_ms, t->token_ms, t->consensus_ms,
		      (unsigned long long)change_ms(t) + 3000);
	if (t->sync_timeout_ms && change_ms(t) + t->sync_timeout_ms > t->lease_ms)
		fault(f, "sync", "set device { sync_timeout: 3000 } in corosync.conf",
		      "while a ring changes it may wait %u ms for the quorum device: run leases of "
		      "%u ms "
		      "end meanwhile",
		      t->sync_timeout_ms, t->lease_ms);
	if (t->coefficient_ms && t->nodes > 1)
		fault(f, "coefficient", "set token_coefficient: 0 in corosync.conf",
		      "token_coefficient %u: the token grows with each node, and the run lease "
		      "does not",
		      t->coefficient_ms);
	if (t->links > 1 && t->passive)
		fault(f, "links", "set link_mode: active in corosync.conf",
		      "with link_mode passive, messages stall for seconds when one of %u links "
		      "dies",
		      t->links);
	if ((uint64_t)t->heartbeat_ms * 2 > t->fresh_ms)
		fault(f, "heartbeat", "this program was built with wrong numbers",
		      "one heartbeat of %u ms that is late pauses VMs", t->heartbeat_ms);
}

size_t timing_check(const struct timing *t, struct timing_fault ret[TIMING_RULES_MAX])
{
	struct faults f = { .v = ret };

	check_safety(t, &f);
	check_calm(t, &f);
	return f.n;
}
