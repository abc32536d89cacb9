/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node's heartbeats as one: clusterd is asked whether it heeds them, and told how fresh they are. */
#include "config.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "csv/csvd_int.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "proto/heartbeat.h"

void csvd_heartbeat_open(struct csvd *d)
{
	char dir[PATH_MAX], *slash;
	struct cl_error err = CL_ERROR_INIT;

	(void)snprintf(dir, sizeof(dir), "%s", d->socket);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	d->heartbeat_fd = heartbeat_file_open(slash ? dir : ".", &err);
	if (d->heartbeat_fd < 0)
		log_error("no heartbeats: %s", err.msg);
	else
		(void)heartbeat_file_write(d->heartbeat_fd, 0);
}

void csvd_heartbeat_close(struct csvd *d)
{
	cl_closep(&d->heartbeat_fd);
}

void csvd_heartbeat(struct csvd *d)
{
	int64_t until_ms = 0;

	for (size_t i = 0; i < d->volumes.n; i++)
		if (volume_heartbeat_until(d->volumes.v[i]) > until_ms)
			until_ms = volume_heartbeat_until(d->volumes.v[i]);
	if (until_ms == d->heartbeat_until_ms || d->heartbeat_fd < 0)
		return;
	d->heartbeat_until_ms = until_ms;
	if (heartbeat_file_write(d->heartbeat_fd, until_ms) < 0)
		log_error("the file for heartbeats cannot be written");
}

void csvd_tell_heartbeat(struct csvd *d, bool conflict)
{
	const Vol__Node *me = d->tables ? csvd_node(d, d->tables->self) : NULL;
	Vol__FromCsvd msg = VOL__FROM_CSVD__INIT;
	Vol__Heartbeat heartbeat = VOL__HEARTBEAT__INIT;

	if (!me || !me->living || me->incarnation <= d->closed_up_to || d->heartbeat_fd < 0)
		return;
	heartbeat.incarnation = me->incarnation;
	heartbeat.conflict = conflict;
	msg.msg_case = VOL__FROM_CSVD__MSG_HEARTBEAT;
	msg.heartbeat = &heartbeat;
	cluster_send(d->cluster, &msg);
}

/*
 * A clusterd that was restarted may not know that it is to heed them: asked at once. They go on meanwhile,
 * or an upgrade would pause the VMs.
 */
void csvd_heartbeat_lease(struct csvd *d, const Vol__Lease *lease)
{
	if (!lease->watched && d->watched)
		csvd_tell_heartbeat(d, false);
	else
		d->watched = lease->watched;
	d->beat_ms = lease->beat_ms <= INT64_MAX ? (int64_t)lease->beat_ms : 0;
}
