/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/core/fence_run.h"

static void first_level(struct fence_run *run, int64_t now_ms)
{
	run->at = run->level_at = 0;
	run->tries = 0;
	run->level_ms = now_ms;
}

/* The leader begins each round: whoever asks for it needs no answer from anybody. */
void fence_run_begin(struct fence_run *run, int64_t now_ms)
{
	run->phase = FENCE_OFF;
	run->turn = run->turns = 0;
	first_level(run, now_ms);
}

bool fence_run_tried(const struct fence_run *run)
{
	return run->phase == FENCE_OFF && (run->at || run->tries || run->turns);
}

void fence_run_begin_on(struct fence_run *run, size_t level_at, int64_t now_ms)
{
	*run = (struct fence_run){
		.phase = FENCE_ON,
		.at = level_at,
		.level_at = level_at,
		.level_ms = now_ms,
	};
}

/* Each round takes longer to come: an agent that hangs on a dead controller is not to be asked for ever. */
static void rest(struct fence_run *run, int64_t now_ms)
{
	uint32_t shift = run->rounds < 5 ? run->rounds : 5;
	int64_t ms = (int64_t)FENCE_REST_MS << shift;

	run->rounds++;
	run->phase = FENCE_REST;
	run->rest_until_ms = now_ms + (ms < FENCE_REST_MAX_MS ? ms : FENCE_REST_MAX_MS);
}

/* False: every node has tried in vain. */
static bool next_hand(struct fence_run *run, uint32_t hands)
{
	run->turn++;
	run->turns++;
	run->tries = 0;
	return run->turns < hands;
}

static enum fence_verdict next_level(struct fence_run *run, const struct state_agent *agents,
				     size_t n, uint32_t hands, int64_t now_ms)
{
	uint32_t level = agents[run->at].level;

	while (run->at < n && agents[run->at].level == level)
		run->at++;
	run->level_at = run->at;
	run->level_ms = now_ms;
	if (run->at < n)
		return FENCE_LEVEL_FAILED;
	if (next_hand(run, hands))
		first_level(run, now_ms);
	else
		rest(run, now_ms);
	return FENCE_LEVEL_FAILED;
}

static bool has_next(const struct fence_run *run, const struct state_agent *agents, size_t n)
{
	return run->at + 1 < n && agents[run->at + 1].level == agents[run->at].level;
}

static enum fence_verdict off_ended(struct fence_run *run, const struct state_agent *agents,
				    size_t n, bool ok, const struct fence_rules *rules,
				    int64_t now_ms)
{
	if (!ok)
		return next_level(run, agents, n, rules->hands, now_ms);
	/* A node with two power supplies is off when both are. */
	if (has_next(run, agents, n) && !rules->one) {
		run->at++;
		return FENCE_GO_ON;
	}
	run->phase = rules->keep_off ? FENCE_DONE : FENCE_ON;
	run->at = run->level_at;
	run->turns = 0; /* by the node that could switch it off, to begin with */
	return FENCE_PROVEN;
}

/* What one node could not do another one may, before it is given up. */
static enum fence_verdict on_ended(struct fence_run *run, const struct state_agent *agents,
				   size_t n, bool ok, uint32_t hands)
{
	if (!ok && next_hand(run, hands))
		return FENCE_GO_ON;
	run->on_failed = run->on_failed || !ok;
	run->turns = 0;
	if (has_next(run, agents, n)) {
		run->at++;
		return FENCE_GO_ON;
	}
	run->phase = FENCE_DONE;
	return FENCE_OVER;
}

enum fence_verdict fence_run_ended(struct fence_run *run, const struct state_agent *agents,
				   size_t n, bool ok, const struct fence_rules *rules,
				   int64_t now_ms)
{
	if (!ok && run->tries < agents[run->at].retries) {
		run->tries++;
		return FENCE_GO_ON;
	}
	run->tries = 0;
	if (run->phase == FENCE_OFF)
		return off_ended(run, agents, n, ok, rules, now_ms);
	return on_ended(run, agents, n, ok, rules->hands);
}
