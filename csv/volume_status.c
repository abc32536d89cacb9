/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How this node reaches a volume, in one mode and one reason; told to clusterd when it changes. */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "csv/volume_int.h"
#include "lib/log.h"

static bool is_serving(const struct volume *v)
{
	return v->coord && v->coord_state == COORD_SERVING;
}

/* Nothing is wrong now; but who has VMs here will want to know. */
static const char *nothing_or_warning(const struct volume *v)
{
	if (v->unsafe)
		return "UNSAFE: its target cannot fence (made with --unsafe-unfenceable)";
	return v->d->can_resend ? ""
				: "VMs here do not outlive csvd: this kernel is older than 6.9";
}

/*
 * Not its coordinator yet. What the last attempt failed of is what has to be known: the next one begins soon,
 * and who asks in the middle of it would read that all is on its way.
 */
static const char *why_not_serving(const struct volume *v)
{
	if (v->coord && v->coord_state != COORD_OPENING)
		return v->coord_text;
	if (!v->coord && *v->store_why)
		return v->store_why;
	if (*v->failure)
		return v->failure;
	return v->coord ? v->coord_text : "taking over the coordinator's role";
}

static Vol__Mode mode_now(const struct volume *v, const char **reason)
{
	bool here = v->local_conn != 0;

	*reason = "";
	if (!v->front) {
		*reason = v->offline	    ? "offline"
			  : v->job.running  ? "maintenance: an offline job is running"
			  : v->maintenance  ? "maintenance"
			  : v->mount_failed ? "cannot be mounted here; see csvd's log"
					    : "not mounted yet";
		return VOL__MODE__UNAVAILABLE;
	}
	if (csvd_lease_over(v->d))
		*reason = "this node's run lease is over";
	else if (!v->coordinator)
		*reason = "no coordinator; ends when the cluster names one";
	else if (v->coordinator == v->d->tables->self && volume_outdated(v))
		*reason = v->outdated_why;
	else if (v->debts)
		*reason = "a failed node is being fenced";
	else if (v->coord ? v->coord_state != COORD_SERVING : v->coordinator == v->d->tables->self)
		*reason = why_not_serving(v);
	else if (client_state(v->client) != CLIENT_ACTIVE)
		*reason = *v->refused ? v->refused : "waiting for the coordinator";
	if (**reason)
		return VOL__MODE__PAUSED;
	if (v->redirected) {
		*reason = "redirected by the operator";
		return VOL__MODE__FILE_SYSTEM_REDIRECTED;
	}
	if (client_is_direct(v->client)) {
		*reason = nothing_or_warning(v);
		return VOL__MODE__DIRECT;
	}
	*reason = client_why_not_direct(v->client);
	if (*reason)
		return VOL__MODE__BLOCK_REDIRECTED;
	/* No LUN that more than one could be at: all goes by the coordinator. */
	*reason = here ? nothing_or_warning(v) : "direct I/O off";
	return here ? VOL__MODE__DIRECT : VOL__MODE__FILE_SYSTEM_REDIRECTED;
}

static uint64_t wall_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void volume_tell_status(struct volume *v)
{
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Status st = VOL__STATUS__INIT;

	st.volume = (ProtobufCBinaryData){ .len = 16, .data = v->uuid };
	st.mode = v->mode;
	st.reason = v->reason;
	st.since_ms = v->since_ms;
	st.has_path = v->store && v->store->state >= STORE_UP;
	st.serving = is_serving(v);
	st.refused = v->lun_refused;
	st.epoch = v->epoch;
	st.size_bytes = v->size_bytes;
	st.free_bytes = v->free_bytes;
	msg.msg_case = VOL__FROM_CSVD__MSG_STATUS;
	msg.status = &st;
	cluster_send(v->d->cluster, &msg);
	v->told_serving = st.serving;
	v->told_path = st.has_path;
	v->told_refused = st.refused;
	v->told = true;
}

/* Whoever serves it has found that it is what it should be. */
static void look_at_refusal(struct volume *v)
{
	if (v->maintenance || (v->client && client_state(v->client) == CLIENT_ACTIVE))
		v->lun_refused = false;
}

void volume_update_status(struct volume *v)
{
	const char *reason;
	Vol__Mode mode = mode_now(v, &reason);
	bool path = v->store && v->store->state >= STORE_UP;

	look_at_refusal(v);
	if (v->told && mode == v->mode && !strcmp(reason, v->reason) &&
	    v->told_serving == is_serving(v) && v->told_path == path &&
	    v->told_refused == v->lun_refused)
		return;
	if (!v->told || mode != v->mode)
		v->since_ms = wall_ms();
	if (mode != v->mode || strcmp(reason, v->reason))
		log_notice("volume '%s': %s%s%s", v->name,
			   protobuf_c_enum_descriptor_get_value(&vol__mode__descriptor, (int)mode)
				   ->name,
			   *reason ? ": " : "", reason);
	v->mode = mode;
	(void)snprintf(v->reason, sizeof(v->reason), "%s", reason);
	volume_tell_status(v);
}

void volume_client_space(void *user, uint64_t size_bytes, uint64_t free_bytes)
{
	struct volume *v = user;

	v->size_bytes = size_bytes;
	v->free_bytes = free_bytes;
	if (v->told)
		volume_tell_status(v);
}
