/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/ring.h"

#include <corosync/cmap.h>
#include <corosync/cpg.h>
#include <corosync/quorum.h>
#include <corosync/votequorum.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/ring_device.h"
#include "clusterd/ring_gate.h"
#include "lib/assert.h"
#include "lib/log.h"

#define RECONNECT_MS 250
#define RETRY_MS 5
#define LATER_MS 5
#define QUEUE_MAX (8 * 1024 * 1024)

enum { BUNDLE_PARTS = 16, BUNDLE_BYTES = 16 * 1024 };

struct out {
	uint32_t to;
	uint8_t *data; /* its head in a bundle, then the message */
	size_t len;    /* of both */
};

CL_DEFINE_VEC(out_vec, struct out);

struct ring {
	struct cl_loop *loop;
	const struct ring_ops *ops;
	void *user;
	struct cpg_name group;
	struct ring_gate gate;
	struct ring_facts facts;
	bool connected, said_why;
	bool have_cpg, have_quorum, have_votes;
	cpg_handle_t cpg;
	quorum_handle_t quorum;
	votequorum_handle_t votes;
	struct cl_source *cpg_src, *quorum_src, *reconnect, *retry;
	struct out_vec queue;
	size_t queue_bytes;
	bool urgent;	 /* something in it does not wait for others */
	uint32_t expect; /* still to be said; 0 = nothing */
	struct ring_device *device;
	struct ring_word word; /* what the core has said for it */
};

/* ---- callbacks from corosync ------------------------------------------------------------------ */

static void on_deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t nodeid,
		       uint32_t pid, void *msg, size_t len)
{
	void *user;

	(void)group;
	(void)pid;
	if (cpg_context_get(handle, &user) == CS_OK)
		ring_gate_deliver(&((struct ring *)user)->gate, nodeid, msg, len);
}

static size_t add_moved(uint32_t *moved, size_t n, const struct cpg_address *list, size_t n_list)
{
	for (size_t i = 0; i < n_list && n < RING_MEMBERS_MAX; i++)
		if (list[i].reason == CPG_REASON_NODEDOWN || list[i].reason == CPG_REASON_NODEUP)
			moved[n++] = list[i].nodeid;
	return n;
}

static void on_confchg(cpg_handle_t handle, const struct cpg_name *group,
		       const struct cpg_address *members, size_t n_members,
		       const struct cpg_address *left, size_t n_left,
		       const struct cpg_address *joined, size_t n_joined)
{
	uint32_t nodes[RING_MEMBERS_MAX], moved[RING_MEMBERS_MAX];
	size_t n = 0, n_moved;
	void *user;

	(void)group;
	if (cpg_context_get(handle, &user) != CS_OK)
		return;
	for (size_t i = 0; i < n_members && n < RING_MEMBERS_MAX; i++)
		nodes[n++] = members[i].nodeid;
	n_moved = add_moved(moved, 0, left, n_left);
	n_moved = add_moved(moved, n_moved, joined, n_joined);
	ring_gate_group(&((struct ring *)user)->gate, nodes, n, moved, n_moved);
}

static void on_totem(cpg_handle_t handle, struct cpg_ring_id id, uint32_t n,
		     const uint32_t *members)
{
	void *user;

	if (cpg_context_get(handle, &user) == CS_OK)
		ring_gate_totem(&((struct ring *)user)->gate, (struct ring_id){ id.nodeid, id.seq },
				members, n);
}

static void on_quorum(quorum_handle_t handle, uint32_t quorate, struct quorum_ring_id id,
		      uint32_t n, const uint32_t *members)
{
	const void *user;

	(void)n;
	(void)members;
	if (quorum_context_get(handle, &user) == CS_OK)
		ring_gate_quorum(&((struct ring *)(uintptr_t)user)->gate,
				 (struct ring_id){ id.nodeid, id.seq }, quorate != 0);
}

static void on_nodelist(quorum_handle_t handle, struct quorum_ring_id id, uint32_t n,
			const uint32_t *members, uint32_t n_joined, const uint32_t *joined,
			uint32_t n_left, const uint32_t *left)
{
	/* The verdict that follows is what counts. */
	(void)handle, (void)id, (void)n, (void)members;
	(void)n_joined, (void)joined, (void)n_left, (void)left;
}

/* ---- sending ----------------------------------------------------------------------------------- */

static void queue_clear(struct ring *ring)
{
	for (size_t i = 0; i < ring->queue.n; i++)
		free(ring->queue.v[i].data);
	out_vec_clear(&ring->queue);
	ring->queue_bytes = 0;
	ring->urgent = false;
}

/* How many of the queue, from the one at `at` on, leave as one. */
static size_t together(const struct ring *ring, size_t at)
{
	const struct out *out = &ring->queue.v[at];
	size_t left = ring->queue.n - at, bytes = out->len, n = 1;

	if (!ring_gate_may_bundle(&ring->gate))
		return 1;
	while (n < left && n < BUNDLE_PARTS && bytes + out[n].len <= BUNDLE_BYTES)
		bytes += out[n++].len;
	return n;
}

/* False: corosync takes no more now. */
static bool send_some(struct ring *ring, const struct out *out, size_t n)
{
	uint8_t envelope[RING_ENVELOPE_SIZE];
	struct iovec iov[BUNDLE_PARTS + 1] = { { envelope, sizeof(envelope) } };
	size_t skip = n == 1 ? RING_PART_SIZE : 0;
	uint64_t before = ring->gate.sent_seq;

	if (n == 1)
		ring_gate_envelope(&ring->gate, out->to, envelope);
	else
		ring_gate_bundle(&ring->gate, envelope);
	for (size_t i = 0; i < n; i++)
		iov[1 + i] = (struct iovec){ out[i].data + skip, out[i].len - skip };
	if (cpg_mcast_joined(ring->cpg, CPG_TYPE_AGREED, iov, (unsigned)n + 1) != CS_ERR_TRY_AGAIN)
		return true; /* any other failure: corosync is going; the core repeats */
	ring->gate.sent_seq = before;
	ring->gate.count.sent--;
	return false;
}

static void queue_flush(struct ring *ring)
{
	size_t done = 0, n;

	while (ring->connected && done < ring->queue.n) {
		n = together(ring, done);
		if (!send_some(ring, &ring->queue.v[done], n))
			break;
		for (; n > 0; n--) {
			ring->queue_bytes -= ring->queue.v[done].len;
			free(ring->queue.v[done++].data);
		}
	}
	if (done) {
		memmove(ring->queue.v, ring->queue.v + done,
			(ring->queue.n - done) * sizeof(ring->queue.v[0]));
		ring->queue.n -= done;
	}
	ring->urgent = ring->queue.n > 0;
}

static void expect_say(struct ring *ring)
{
	if (!ring->expect || !ring->connected)
		return;
	if (votequorum_setexpected(ring->votes, ring->expect) != CS_ERR_TRY_AGAIN)
		ring->expect = 0;
}

static void retry_arm(struct ring *ring)
{
	if (ring->connected && (ring->queue.n || ring->expect))
		(void)cl_timer_set_in(ring->retry, RETRY_MS);
}

static void on_retry(void *user)
{
	struct ring *ring = user;

	queue_flush(ring);
	expect_say(ring);
	retry_arm(ring);
}

void ring_send(struct ring *ring, uint32_t to, const uint8_t *data, size_t len, bool later)
{
	struct out out = { to, NULL, len + RING_PART_SIZE };

	if (!ring->connected)
		return;
	if (ring->queue_bytes + out.len <= QUEUE_MAX)
		out.data = malloc(out.len);
	if (!out.data || out_vec_push(&ring->queue, out) < 0) {
		free(out.data);
		ring->gate.count.dropped_full++;
		return;
	}
	ring_gate_part(to, len, out.data);
	memcpy(out.data + RING_PART_SIZE, data, len);
	ring->queue_bytes += out.len;
	if (!later)
		ring->urgent = true;
	else if (ring->queue.n == 1)
		(void)cl_timer_set_in(ring->retry, LATER_MS);
}

void ring_flush(struct ring *ring)
{
	if (!ring->urgent)
		return;
	queue_flush(ring);
	retry_arm(ring);
}

void ring_expect(struct ring *ring, uint32_t votes)
{
	ring->expect = votes;
	expect_say(ring);
	retry_arm(ring);
}

/* ---- connecting -------------------------------------------------------------------------------- */

static uint32_t cmap_u32(cmap_handle_t cmap, const char *key, uint32_t otherwise)
{
	uint32_t x;

	return cmap_get_uint32(cmap, key, &x) == CS_OK ? x : otherwise;
}

static void cmap_text(cmap_handle_t cmap, const char *key, char *ret, size_t size)
{
	char *text = NULL;

	ret[0] = '\0';
	if (cmap_get_string(cmap, key, &text) == CS_OK && text)
		(void)snprintf(ret, size, "%s", text);
	free(text);
}

static void facts_name(cmap_handle_t cmap, struct ring_facts *facts)
{
	char key[64];

	for (unsigned i = 0; i < RING_MEMBERS_MAX; i++) {
		uint32_t id;

		(void)snprintf(key, sizeof(key), "nodelist.node.%u.nodeid", i);
		id = cmap_u32(cmap, key, 0);
		if (id != facts->nodeid)
			continue;
		(void)snprintf(key, sizeof(key), "nodelist.node.%u.name", i);
		cmap_text(cmap, key, facts->node_name, sizeof(facts->node_name));
	}
}

/* Another device of another program is its business. */
static bool has_device(cmap_handle_t cmap)
{
	char model[64];

	cmap_text(cmap, "quorum.device.model", model, sizeof(model));
	return strcmp(model, COROSYNC_DEVICE_MODEL) == 0;
}

static int facts_read(struct ring *ring)
{
	struct ring_facts facts = { 0 };
	cmap_handle_t cmap;
	unsigned int id;

	if (cpg_local_get(ring->cpg, &id) != CS_OK || cmap_initialize(&cmap) != CS_OK)
		return -EAGAIN;
	facts.nodeid = id;
	facts_name(cmap, &facts);
	cmap_text(cmap, "totem.cluster_name", facts.cluster_name, sizeof(facts.cluster_name));
	facts.token_ms = cmap_u32(cmap, "runtime.config.totem.token", 1000);
	facts.consensus_ms = cmap_u32(cmap, "runtime.config.totem.consensus", 1200);
	facts.has_device = has_device(cmap);
	(void)cmap_finalize(cmap);
	if (facts.nodeid < 1 || facts.nodeid > 255) {
		log_crit("corosync's nodeid is %u: it has to be from 1 to 255", facts.nodeid);
		return -EINVAL;
	}
	ring->facts = facts;
	return 0;
}

static void disconnect(struct ring *ring)
{
	ring_device_free(ring->device);
	ring->device = NULL;
	cl_source_free(ring->cpg_src);
	cl_source_free(ring->quorum_src);
	ring->cpg_src = ring->quorum_src = NULL;
	if (ring->have_cpg)
		(void)cpg_finalize(ring->cpg);
	if (ring->have_quorum)
		(void)quorum_finalize(ring->quorum);
	if (ring->have_votes)
		(void)votequorum_finalize(ring->votes);
	ring->have_cpg = ring->have_quorum = ring->have_votes = false;
	ring->connected = false;
	cl_timer_cancel(ring->retry);
	queue_clear(ring);
}

static void lost(struct ring *ring, const char *what)
{
	if (!ring->connected)
		return;
	log_error("connection to corosync lost (%s); trying again", what);
	disconnect(ring);
	(void)cl_timer_set_in(ring->reconnect, RECONNECT_MS);
	ring_gate_down(&ring->gate);
}

static void on_cpg_fd(void *user, int fd, uint32_t revents)
{
	struct ring *ring = user;

	(void)fd;
	if (cpg_dispatch(ring->cpg, CS_DISPATCH_ALL) != CS_OK || (revents & (POLLHUP | POLLERR)))
		lost(ring, "cpg");
	else
		ring_flush(ring);
}

static void on_quorum_fd(void *user, int fd, uint32_t revents)
{
	struct ring *ring = user;

	(void)fd;
	if (quorum_dispatch(ring->quorum, CS_DISPATCH_ALL) != CS_OK ||
	    (revents & (POLLHUP | POLLERR)))
		lost(ring, "quorum");
}

static void on_device_lost(void *user)
{
	lost(user, "votequorum");
}

/* Before the group is joined: from then on the ring may change, and waits for the device. */
static int open_device(struct ring *ring)
{
	if (!ring->facts.has_device)
		return 0;
	return ring_device_new(ring->loop, &ring->word, on_device_lost, ring, &ring->device);
}

/* Timers are not looked at again: what the node took for its proofs at its start stays. */
void ring_reloaded(struct ring *ring)
{
	cmap_handle_t cmap;

	if (!ring->connected || cmap_initialize(&cmap) != CS_OK)
		return; /* corosync is going: the facts are read when it is back */
	ring->facts.has_device = has_device(cmap);
	(void)cmap_finalize(cmap);
	if (!ring->facts.has_device) {
		ring_device_remove(ring->device);
		ring->device = NULL;
	} else if (!ring->device && open_device(ring) < 0) {
		lost(ring, "votequorum"); /* tried again with all the rest */
	}
}

void ring_cast(struct ring *ring, uint64_t view_id, bool yes)
{
	if (ring->gate.last.id != view_id)
		return;
	ring->word = (struct ring_word){ ring->gate.quorum.seq, yes };
	if (ring->device)
		ring_device_cast(ring->device, &ring->word);
}

static int open_cpg(struct ring *ring)
{
	cpg_model_v1_data_t model = {
		.cpg_deliver_fn = on_deliver,
		.cpg_confchg_fn = on_confchg,
		.cpg_totem_confchg_fn = on_totem,
		.flags = CPG_MODEL_V1_DELIVER_INITIAL_TOTEM_CONF,
	};

	if (cpg_model_initialize(&ring->cpg, CPG_MODEL_V1, (cpg_model_data_t *)&model, ring) !=
	    CS_OK)
		return -EAGAIN;
	ring->have_cpg = true;
	return 0;
}

static int open_quorum(struct ring *ring)
{
	quorum_model_v1_data_t model = {
		.model = QUORUM_MODEL_V1,
		.quorum_notify_fn = on_quorum,
		.nodelist_notify_fn = on_nodelist,
	};
	votequorum_callbacks_t none = { 0 };
	uint32_t type;

	if (quorum_model_initialize(&ring->quorum, QUORUM_MODEL_V1, (quorum_model_data_t *)&model,
				    &type, ring) != CS_OK)
		return -EAGAIN;
	ring->have_quorum = true;
	if (votequorum_initialize(&ring->votes, &none) != CS_OK)
		return -EAGAIN;
	ring->have_votes = true;
	return 0;
}

static int watch(struct ring *ring)
{
	int cpg_fd, quorum_fd, r;

	if (cpg_fd_get(ring->cpg, &cpg_fd) != CS_OK ||
	    quorum_fd_get(ring->quorum, &quorum_fd) != CS_OK)
		return -EAGAIN;
	r = cl_fd_new(ring->loop, cpg_fd, POLLIN, on_cpg_fd, ring, &ring->cpg_src);
	if (r == 0)
		r = cl_fd_new(ring->loop, quorum_fd, POLLIN, on_quorum_fd, ring, &ring->quorum_src);
	return r;
}

static int join(struct ring *ring)
{
	/* The group first: without our own join in it the gate stays closed. */
	if (cpg_join(ring->cpg, &ring->group) != CS_OK)
		return -EAGAIN;
	if (quorum_trackstart(ring->quorum, CS_TRACK_CURRENT | CS_TRACK_CHANGES) != CS_OK)
		return -EAGAIN;
	return 0;
}

static int connect_all(struct ring *ring)
{
	int r = open_cpg(ring);

	if (r == 0)
		r = open_quorum(ring);
	if (r == 0)
		r = facts_read(ring);
	if (r == 0)
		r = open_device(ring);
	if (r == 0)
		r = watch(ring);
	if (r == 0)
		r = join(ring);
	return r;
}

static void on_reconnect(void *user)
{
	struct ring *ring = user;

	if (connect_all(ring) < 0) {
		if (!ring->said_why)
			log_warning("corosync is not reachable; waiting for it");
		ring->said_why = true;
		disconnect(ring);
		(void)cl_timer_set_in(ring->reconnect, RECONNECT_MS);
		return;
	}
	ring->connected = true;
	ring->said_why = false;
	ring->gate.self = ring->facts.nodeid;
	log_notice("connected to corosync as node %u of '%s'", ring->facts.nodeid,
		   ring->facts.cluster_name);
	ring->ops->on_up(ring->user);
}

int ring_new(struct cl_loop *loop, const char *group, uint64_t instance, const struct ring_ops *ops,
	     void *user, struct ring **ret)
{
	_cleanup_(ring_freep) struct ring *ring = calloc(1, sizeof(*ring));
	int r;

	cl_assert(strlen(group) < sizeof(ring->group.value));
	if (!ring)
		return -ENOMEM;
	ring->loop = loop;
	ring->ops = ops;
	ring->user = user;
	(void)strcpy(ring->group.value, group);
	ring->group.length = strlen(group);
	ring_gate_init(&ring->gate, 0, instance, ops, user);
	r = cl_timer_new(loop, on_reconnect, ring, &ring->reconnect);
	if (r == 0)
		r = cl_timer_new(loop, on_retry, ring, &ring->retry);
	if (r == 0)
		r = cl_timer_set_in(ring->reconnect, 0);
	if (r < 0)
		return r;
	*ret = cl_steal(ring);
	return 0;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	disconnect(ring);
	cl_source_free(ring->reconnect);
	cl_source_free(ring->retry);
	out_vec_fini(&ring->queue);
	ring_gate_fini(&ring->gate);
	free(ring);
}

void ring_get_facts(const struct ring *ring, struct ring_facts *ret)
{
	*ret = ring->facts;
}

void ring_get_counters(const struct ring *ring, struct ring_counters *ret)
{
	*ret = ring->gate.count;
}
