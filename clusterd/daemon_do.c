/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/daemon_do.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "clusterd/boot.h"
#include "clusterd/lease_file.h"
#include "clusterd/view.h"
#include "lib/file.h"
#include "lib/log.h"

#define FORGET_MS 2000

static void do_persist(struct daemon *d, const struct node_action *a)
{
	if (raft_store_submit(d->store, a->persist.seq, &d->hard, a->persist.data, &a->persist.line,
			      a->persist.database) == 0)
		return;
	log_crit("out of memory");
	daemon_stop(d, 1);
}

/*
 * This node has another address by the log: so it shall have in its file, too. It is read when the node begins anew with
 * an empty database.
 */
static void follow_address(struct daemon *d)
{
	const struct state_node *n = state_node(node_state(d->node), d->id);
	_cleanup_free_ char *text = NULL, *made = NULL;
	struct cl_error err = CL_ERROR_INIT;
	struct stat st;
	size_t len;

	if (!n || (strcmp(n->storage_address, d->conf.storage_address) == 0 &&
		   strcmp(n->migration_address, d->conf.migration_address) == 0))
		return;
	(void)snprintf(d->conf.storage_address, sizeof(d->conf.storage_address), "%s",
		       n->storage_address);
	(void)snprintf(d->conf.migration_address, sizeof(d->conf.migration_address), "%s",
		       n->migration_address);
	if (cl_file_read(d->conf_path, CONF_MAX, &text, &len, &err) == 0)
		made = conf_readdress(text, n->storage_address, n->migration_address);
	if (made && stat(d->conf_path, &st) == 0 &&
	    cl_file_write_synced(d->conf_path, made, strlen(made), st.st_mode & 07777, &err) == 0)
		log_notice("%s: this node's new addresses are written into it", d->conf_path);
	else
		log_error("%s has old addresses of this node: %s", d->conf_path, err.msg);
}

static void do_event(struct daemon *d, const struct node_event_line *line)
{
	const struct state_node *n =
		line->node ? state_node(node_state(d->node), line->node) : NULL;
	struct store_write w = { .event_id = line->id };
	char *json = view_event(line, n ? n->name : NULL);

	log_notice("%s%s%s%s%s%s%s%s%s", line->event, *line->object ? " object=" : "", line->object,
		   n ? " node=" : "", n ? n->name : "", *line->user ? " user=" : "", line->user,
		   *line->cause ? ": " : "", line->cause);
	if (strcmp(line->event, "setup-changed") == 0)
		setup_on_cause(d->setup, line->cause);
	if (strcmp(line->event, "node-address") == 0 && line->node == d->id)
		follow_address(d);
	if (!json || !events_add(d->events, line->id, json))
		return;
	w.event = (struct store_blob){ (uint8_t *)json, strlen(json) };
	(void)store_submit(d->store, &w); /* without memory: a line less after a restart */
	requests_event(d->requests, json);
}

static void do_incarnation(struct daemon *d, uint64_t incarnation)
{
	struct cl_error err = CL_ERROR_INIT;
	struct ring_facts facts;
	struct boot boot = { .incarnation = incarnation, .id = d->id };

	ring_get_facts(d->ring, &facts);
	boot.token_ms = facts.token_ms;
	boot.consensus_ms = facts.consensus_ms;
	if (boot_write(d->conf.run_directory, &boot, &err) == 0)
		return;
	/* Without it a restarted clusterd would not know what runs in its name. */
	log_crit("%s", err.msg);
	daemon_stop(d, 1);
}

/* The file first: csvd shall issue by no lease that a next clusterd would not find. */
static void do_lease(struct daemon *d, const struct node_action *a)
{
	const struct csvd_lease lease = {
		.until_ms = a->lease.until_ms,
		.beat_ms = a->lease.beat_ms,
		.watched = a->lease.watched,
	};
	const struct lease_file kept = {
		.until_ms = lease.until_ms,
		.beat_ms = lease.watched ? lease.beat_ms : 0,
	};
	struct cl_error err = CL_ERROR_INIT;

	if (lease_file_write(d->lease_fd, &kept, &err) < 0) {
		log_crit("%s", err.msg);
		daemon_stop(d, 1);
		return;
	}
	csvd_lease(d->csvd, &lease);
}

void daemon_forget(void *user)
{
	struct daemon *d = user;

	if (ipc_clients(d->ipc) && cl_mono_diff_ms(cl_mono_now(), d->forget_until) > 0)
		(void)cl_timer_set_in(d->forget_timer, 20);
	else
		daemon_stop(d, 0);
}

/*
 * This node is in no cluster any more, and nothing of it runs. Its part of the database is moved aside,
 * not deleted: somebody may have meant another node. corosync ends with its configuration.
 */
static void forget_cluster(struct daemon *d)
{
	log_notice("removed from the cluster: its database here is moved aside");
	d->forget = true;
	d->forget_until = cl_mono_add_ms(cl_mono_now(), FORGET_MS);
	daemon_forget(d);
}

void daemon_do(struct daemon *d, const struct node_action *a)
{
	switch (a->type) {
	case NODE_DO_PERSIST:
		do_persist(d, a);
		break;
	case NODE_DO_SEND:
		ring_send(d->ring, a->send.to, a->send.data, a->send.len, a->send.later);
		break;
	case NODE_DO_REPLY:
		if (!setup_replied(d->setup, a))
			requests_reply(d->requests, a);
		break;
	case NODE_DO_VM:
		vms_order(d->vms, a);
		break;
	case NODE_DO_CSVD_GO:
		csvd_go(d->csvd, a);
		break;
	case NODE_DO_CSVD_PAY:
		csvd_pay(d->csvd, a);
		break;
	case NODE_DO_CSVD_RELEASE:
		csvd_release(d->csvd, a);
		break;
	case NODE_DO_CSVD_JOB:
		csvd_job(d->csvd, a);
		break;
	case NODE_DO_JOB_ANSWER:
		requests_job_answer(d->requests, a);
		break;
	case NODE_DO_CSVD_TABLES:
		csvd_tables(d->csvd);
		break;
	case NODE_DO_CSVD_LEASE:
		do_lease(d, a);
		break;
	case NODE_DO_INCARNATION:
		do_incarnation(d, a->incarnation);
		break;
	case NODE_DO_CLEANUP:
		vms_cleanup(d->vms, a->incarnation);
		break;
	case NODE_DO_EXPECT:
		ring_expect(d->ring, a->votes);
		break;
	case NODE_DO_WITNESS:
		witnessd_do(d->witnessd, a);
		break;
	case NODE_DO_FENCE:
		fencer_do(d->fencer, a);
		break;
	case NODE_DO_FENCE_STOP:
		fencer_stop(d->fencer, a->fence.id);
		break;
	case NODE_DO_CAST:
		ring_cast(d->ring, a->cast.ring, a->cast.yes);
		break;
	case NODE_DO_WITNESS_KNOWN:
		if (witness_known_keep(d->store, &a->witness_known) < 0)
			daemon_stop(d, 1);
		break;
	case NODE_DO_EVENT:
		do_event(d, &a->event);
		break;
	case NODE_DO_CONDEMN:
		daemon_condemn(d, a->reply.text);
		break;
	case NODE_DO_SETUP:
		setup_written(d->setup);
		break;
	case NODE_DO_SETUP_RELOAD:
		setup_reload(d->setup);
		break;
	case NODE_DO_SETUP_STRIP:
		setup_strip(d->setup);
		break;
	case NODE_DO_SETUP_MOVE:
		setup_move(d->setup, a->reply.text);
		break;
	case NODE_DO_SETUP_DEVICE:
		setup_device(d->setup);
		break;
	case NODE_DO_REMOVED:
		forget_cluster(d);
		break;
	case NODE_DO_END:
		log_notice("ends as it was told to: %s", a->reply.text);
		daemon_stop(d, 0);
		break;
	case NODE_DO_STOP:
		log_crit("%s", a->reply.text);
		daemon_stop(d, 1);
		break;
	}
}
