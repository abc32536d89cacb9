/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Envelopes between the cores. What comes in is hostile until decoded; what is not for us, not of our
 * cluster or of an earlier life of its sender is dropped and counted.
 */
#include "config.h"

#include "clusterd/core/internal.h"

#include <string.h>

static void message_out(struct node *n, uint32_t to, Core__Message *m)
{
	struct node_action *a = core_emit(n, NODE_DO_SEND);

	a->send.to = to;
	a->send.len = core__message__get_packed_size(m);
	a->send.data = malloc(a->send.len + 1);
	if (a->send.data)
		(void)core__message__pack(m, a->send.data);
	else
		n->out->no_memory = true;
}

static void message_dispatch(struct node *n, const Core__Message *m)
{
	switch (m->what_case) {
	case CORE__MESSAGE__WHAT_BEAT:
		beats_on_beat(n, m);
		break;
	case CORE__MESSAGE__WHAT_BEAT_ACK:
		beats_on_ack(n, m);
		break;
	case CORE__MESSAGE__WHAT_BOUND_ASK:
		beats_on_bound_ask(n, m);
		break;
	case CORE__MESSAGE__WHAT_BOUND_ANSWER:
		manager_on_bound_answer(n, m);
		break;
	case CORE__MESSAGE__WHAT_GO_ASK:
		manager_on_go_ask(n, m);
		break;
	case CORE__MESSAGE__WHAT_GO_ANSWER:
		agent_on_go_answer(n, m);
		break;
	case CORE__MESSAGE__WHAT_PROPOSE:
		manager_on_propose(n, m);
		break;
	case CORE__MESSAGE__WHAT_REQUEST:
		manager_on_request(n, m);
		break;
	case CORE__MESSAGE__WHAT_REQUEST_ANSWER:
		request_on_answer(n, m);
		break;
	case CORE__MESSAGE__WHAT_VM_REPORT:
		agent_on_report(n, m);
		manager_on_report(n, m);
		request_on_report(n, m);
		break;
	case CORE__MESSAGE__WHAT_JOB_ASK:
		job_on_ask(n, m);
		break;
	case CORE__MESSAGE__WHAT_JOB_ANSWER:
		job_on_answer(n, m);
		break;
	case CORE__MESSAGE__WHAT_JOIN:
		manager_on_join(n, m);
		break;
	default:
		n->dropped++;
	}
}

void message_send(struct node *n, uint32_t to, Core__Message *m)
{
	m->cluster = (ProtobufCBinaryData){ sizeof(n->database), n->database };
	if (!n->raft)
		m->cluster.len = 0;
	m->from = n->cfg.id;
	m->instance = n->cfg.instance;
	m->incarnation = n->incarnation;
	m->term = n->raft ? raft_term(n->raft) : 0;
	m->seq = ++n->message_seq;
	m->to = to;
	if (to != n->cfg.id)
		message_out(n, to, m);
	if (to == n->cfg.id || to == 0)
		message_dispatch(n, m);
}

void message_raft(struct node *n, const struct raft_message *m)
{
	Core__Message msg = CORE__MESSAGE__INIT;
	size_t len = raft_message_size(m);
	uint8_t *data = malloc(len + 1);

	if (!data) {
		n->out->no_memory = true;
		return;
	}
	raft_message_encode(m, data);
	msg.what_case = CORE__MESSAGE__WHAT_RAFT;
	msg.raft = (ProtobufCBinaryData){ len, data };
	message_send(n, m->to.node, &msg);
	free(data);
}

static bool for_our_database(const struct node *n, const struct raft_message *m)
{
	return m->to.node == n->cfg.id && memcmp(m->to.uuid, n->cfg.uuid, sizeof(n->cfg.uuid)) == 0;
}

/* Who sends to (our id, our database) has us as a member: nobody else knows that uuid. */
static void receive_raft(struct node *n, const Core__Message *msg)
{
	struct raft_event ev = { .type = RAFT_MESSAGE };
	struct raft_message *m;

	if (raft_message_decode(msg->raft.data, msg->raft.len, &m, NULL) < 0) {
		n->dropped++;
		return;
	}
	if (!n->raft && !n->first_blob && for_our_database(n, m))
		log_join(n, m);
	ev.message = m;
	if (n->raft)
		log_feed(n, &ev);
	free(m);
}

struct peer *message_peer(struct node *n, uint32_t id)
{
	struct peer p = { .id = id, .heard_ms = INT64_MIN / 2 };

	for (size_t i = 0; i < n->peers.n; i++)
		if (n->peers.v[i].id == id)
			return &n->peers.v[i];
	if (id == 0 || id > 255 || peer_vec_push(&n->peers, p) < 0)
		return NULL;
	return &n->peers.v[n->peers.n - 1];
}

static bool is_ours(const struct node *n, const Core__Message *m)
{
	if (m->from == n->cfg.id || (m->to != 0 && m->to != n->cfg.id))
		return false;
	if (m->what_case == CORE__MESSAGE__WHAT_RAFT || m->what_case == CORE__MESSAGE__WHAT_JOIN)
		return true; /* raft looks by itself; a joiner has no cluster yet */
	if (m->what_case == CORE__MESSAGE__WHAT_REQUEST_ANSWER && !n->raft)
		return true; /* to our own request to join */
	return n->raft && m->cluster.len == sizeof(n->database) &&
	       memcmp(m->cluster.data, n->database, sizeof(n->database)) == 0;
}

/* The bus may deliver messages of a sender's earlier life after those of its present one. */
static bool of_an_earlier_life(struct node *n, const Core__Message *m)
{
	struct peer *p = message_peer(n, m->from);

	if (!p || m->instance < p->instance)
		return true;
	if (m->instance > p->instance) {
		p->instance = m->instance;
		p->cleaned = false;
		p->seq = 0;
	}
	return false;
}

void message_receive(struct node *n, const uint8_t *data, size_t len)
{
	Core__Message *m = len <= CORE_MESSAGE_MAX ? core__message__unpack(NULL, len, data) : NULL;

	if (!m || !is_ours(n, m) || of_an_earlier_life(n, m))
		n->dropped++;
	else if (m->what_case == CORE__MESSAGE__WHAT_RAFT)
		receive_raft(n, m);
	else
		message_dispatch(n, m);
	if (m)
		core__message__free_unpacked(m, NULL);
}
