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
	a->send.later = m->what_case == CORE__MESSAGE__WHAT_AUDIT; /* a line for the record */
	a->send.len = core__message__get_packed_size(m);
	a->send.data = malloc(a->send.len + 1);
	if (a->send.data)
		(void)core__message__pack(m, a->send.data);
	else
		n->out->no_memory = true;
}

static void on_old_copy(struct node *n, const Core__OldCopy *m);
static void receive_raft(struct node *n, const Core__Message *msg);

static void message_dispatch(struct node *n, const Core__Message *m)
{
	switch (m->what_case) {
	case CORE__MESSAGE__WHAT_RAFT: /* between the witness's copy here and our own, too */
		receive_raft(n, m);
		break;
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
	case CORE__MESSAGE__WHAT_OLD_COPY:
		on_old_copy(n, m->old_copy);
		break;
	case CORE__MESSAGE__WHAT_REMOVED:
		n->removed = n->removed || m->removed->instance == n->cfg.instance;
		break;
	case CORE__MESSAGE__WHAT_AUDIT:
		audit_on_message(n, m);
		break;
	case CORE__MESSAGE__WHAT_RESIGN:
		resign_on_message(n, m);
		break;
	case CORE__MESSAGE__WHAT_FENCE_ASK:
		fence_hand_on_ask(n, m);
		break;
	case CORE__MESSAGE__WHAT_FENCE_ANSWER:
		fence_on_answer(n, m);
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
	m->database = (ProtobufCBinaryData){ sizeof(n->cfg.uuid), n->cfg.uuid };
	m->line = n->raft ? n->line.number : 0;
	m->line_id = n->raft ? n->line.random_id : 0;
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
	/* Whoever serves the witness takes what is for it: that may change before it arrives. */
	message_send(n, m->to.node == WITNESS_NODE ? 0 : m->to.node, &msg);
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
	if (n->raft && m->to.node == WITNESS_NODE)
		witness_receive(n, m);
	else if (n->raft)
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

/* ---- whose words count ------------------------------------------------------------------------------------ */

static void new_life(struct peer *p, const Core__Message *m)
{
	p->instance = m->instance;
	p->cleaned = false;
	p->seq = 0;
}

/*
 * Lives are counted in a database. Which of two databases of a node is the later one is the log's word
 * (the node asked to be added with it); before that it is heard as somebody who asks to join.
 */
static bool of_another_database(struct node *n, struct peer *p, const Core__Message *m)
{
	static const uint8_t none[16];
	const struct state_node *s = state_node(&n->state, m->from);

	if (memcmp(p->uuid, m->database.data, sizeof(p->uuid)) == 0)
		return false;
	if (memcmp(p->uuid, none, sizeof(none)) != 0 && s &&
	    memcmp(s->uuid, m->database.data, sizeof(s->uuid)) != 0)
		/* Raft looks by itself: by the log alone we may learn who the other is now. */
		return m->what_case != CORE__MESSAGE__WHAT_JOIN &&
		       m->what_case != CORE__MESSAGE__WHAT_RAFT;
	memcpy(p->uuid, m->database.data, sizeof(p->uuid));
	new_life(p, m);
	return false;
}

/* Long ago it was there at a later life. A word that is late by itself does no harm: see on_old_copy(). */
static void say_old_copy(struct node *n, const struct peer *p, const Core__Message *from)
{
	MESSAGE(OLD_COPY, OldCopy, old_copy);

	if (from->what_case != CORE__MESSAGE__WHAT_BEAT)
		return;
	m.database = (ProtobufCBinaryData){ sizeof(p->uuid), (uint8_t *)(uintptr_t)p->uuid };
	m.instance = p->instance;
	message_send(n, p->id, &msg);
}

/* The bus may deliver messages of a sender's earlier life after those of its present one. */
static bool of_an_earlier_life(struct node *n, const Core__Message *m)
{
	struct peer *p = message_peer(n, m->from);

	if (!p || m->database.len != sizeof(p->uuid) || of_another_database(n, p, m))
		return true;
	if (memcmp(p->uuid, m->database.data, sizeof(p->uuid)) != 0)
		return false; /* asks to join, or is raft's */
	if (m->instance < p->instance && !(n->cfg.defects & NODE_DEFECT_OLD_COPY)) {
		say_old_copy(n, p, m);
		return true;
	}
	if (m->instance > p->instance)
		new_life(p, m);
	return false;
}

/*
 * Somebody knows a later life of this database than ours: it was put back from a copy, together with its
 * guard. What it voted and acknowledged since is forgotten: with it this node could vote twice in a term,
 * or elect a leader without an entry that it had vouched for.
 */
static void on_old_copy(struct node *n, const Core__OldCopy *m)
{
	if (m->database.len != sizeof(n->cfg.uuid) ||
	    memcmp(m->database.data, n->cfg.uuid, sizeof(n->cfg.uuid)) != 0 ||
	    m->instance <= n->cfg.instance)
		return;
	core_condemn(n, "it is an old copy: the other nodes know a later life of it");
}

/* A line that --force began precedes all terms: what we have of the old one is history. */
static bool of_another_line(struct node *n, const Core__Message *m)
{
	struct raft_line line = { .number = m->line, .random_id = m->line_id };
	int order;

	if (!n->raft || m->line == 0)
		return false;
	order = raft_line_compare(&line, &n->line);
	if (n->cfg.defects & NODE_DEFECT_OLD_LINE)
		return false;
	if (order > 0)
		core_condemn(n, "the cluster was begun anew with --force, without this node");
	return order != 0;
}

void message_receive(struct node *n, const uint8_t *data, size_t len)
{
	Core__Message *m = len <= CORE_MESSAGE_MAX ? core__message__unpack(NULL, len, data) : NULL;

	if (!m || !is_ours(n, m) || of_another_line(n, m) || of_an_earlier_life(n, m))
		n->dropped++;
	else
		message_dispatch(n, m);
	if (m)
		core__message__free_unpacked(m, NULL);
}
