/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of the setup that nobody asks for: they follow from the database, and are made by whoever leads.
 * Each is made from the state as it is at that moment, so that the next leader goes on where this one
 * stopped, and doing it twice does no harm.
 */
#include "config.h"

#include <string.h>

#include "clusterd/corosync_move.h"
#include "clusterd/daemon.h"
#include "clusterd/setup_links.h"
#include "lib/log.h"

static struct node *node_of(const struct setup *s)
{
	return setup_daemon(s)->node;
}

static void on_mended(void *user, const struct cl_error *err)
{
	(void)user;
	if (err->code)
		log_warning("corosync's configuration: %s", err->msg);
}

/* ---- nodes that have gone ------------------------------------------------------------------------- */

static int make_stripped(void *user, const struct state_setup *setup, struct setup_parts *ret,
			 struct cl_error *err)
{
	const char *text = state_setup_text(setup, STATE_PART_COROSYNC);
	bool device = node_wants_device(node_of(user));
	char *made;

	for (uint32_t id = 1; id <= 255; id++) {
		int r = state_setup_gone(setup, id)
				? corosync_conf_remove(text, id, device, &made, err)
				: -ENOENT;

		if (r == -ENOENT)
			continue; /* somebody took it out by hand */
		if (r < 0)
			return r;
		setup_parts_put(ret, STATE_PART_COROSYNC, made);
		text = made;
	}
	if (!ret->part[STATE_PART_COROSYNC])
		setup_parts_put(ret, STATE_PART_COROSYNC, strdup(text));
	ret->cause = "a node has gone";
	return 0;
}

void setup_strip(struct setup *s)
{
	if (!setup_changing(s, make_stripped))
		(void)setup_change(s, make_stripped, on_mended, s);
}

/* ---- a node's other address -------------------------------------------------------------------------- */

static int make_moved(void *user, const struct state_setup *setup, struct setup_parts *ret,
		      struct cl_error *err)
{
	static const char *const causes[] = {
		[COROSYNC_MOVE_ADDED] = "a node's address: its old link is deleted",
		[COROSYNC_MOVE_DROPPED] = "a node's address: the link is made anew",
		[COROSYNC_MOVE_LAST] = "a node's address is changed",
	};
	const char *text = state_setup_text(setup, STATE_PART_COROSYNC);
	struct corosync_conf conf;
	char *made;
	int r = corosync_conf_read(text, &conf, err);

	(void)user;
	if (r < 0)
		return r;
	ret->cause = causes[corosync_move_step(&conf)];
	corosync_conf_fini(&conf);
	r = corosync_move_next(text, &made, err);
	if (r == 0)
		setup_parts_put(ret, STATE_PART_COROSYNC, made);
	return r;
}

static int make_moved_back(void *user, const struct state_setup *setup, struct setup_parts *ret,
			   struct cl_error *err)
{
	char *made;
	int r = corosync_move_back(state_setup_text(setup, STATE_PART_COROSYNC), &made, err);

	ret->cause = setup_cause_next(user, NULL);
	if (r == 0)
		setup_parts_put(ret, STATE_PART_COROSYNC, made);
	return r;
}

static bool can_go_back(const struct state_setup *setup)
{
	struct corosync_conf conf;
	bool can;

	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, NULL) < 0)
		return false;
	can = corosync_move_step(&conf) == COROSYNC_MOVE_ADDED;
	corosync_conf_fini(&conf);
	return can;
}

/* Its node asks for that first (setup.c). */
static bool has_rest(const struct state *state)
{
	char from[STATE_ADDRESS_MAX], to[STATE_ADDRESS_MAX];

	for (size_t i = 0; i < state->nodes.n; i++)
		if (setup_links_rest(state, state->nodes.v[i].id, from, to))
			return true;
	return false;
}

void setup_move(struct setup *s, const char *why)
{
	char cause[STATE_REASON_MAX];

	if (setup_changing(s, make_moved) || setup_changing(s, make_moved_back))
		return;
	if (!*why) {
		if (!has_rest(node_state(node_of(s))))
			(void)setup_change(s, make_moved, on_mended, s);
	} else if (can_go_back(&node_state(node_of(s))->setup)) {
		(void)snprintf(cause, sizeof(cause), "a node's address stays: %.130s", why);
		(void)setup_cause_next(s, cause);
		(void)setup_change(s, make_moved_back, on_mended, s);
	}
}

/* ---- the witness's quorum device -------------------------------------------------------------------- */

static int make_device(void *user, const struct state_setup *setup, struct setup_parts *ret,
		       struct cl_error *err)
{
	bool device = node_wants_device(node_of(user));
	char *made;
	int r;

	/* The change that takes a node out of the text comes on its own, and sets the device right, too. */
	if (state_setup_has_gone(setup))
		return cl_error_set(err, -CL_EREFUSED, "a node is leaving: in a moment");
	r = corosync_conf_device(state_setup_text(setup, STATE_PART_COROSYNC), device, &made, err);
	if (r < 0)
		return r;
	setup_parts_put(ret, STATE_PART_COROSYNC, made);
	ret->cause = device ? "the witness votes" : "no witness votes";
	return 0;
}

void setup_device(struct setup *s)
{
	const struct state_setup *setup = &node_state(node_of(s))->setup;
	struct setup_fits fits = { setup->version, node_wants_device(node_of(s)) };
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf conf;

	if (setup_changing(s, make_device))
		return;
	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, &err) < 0) {
		log_warning("%s", err.msg); /* an administrator's own: it stays his */
		setup_fits(s, &fits);
		return;
	}
	if (corosync_conf_device_right(&conf, fits.device)) {
		if (fits.device && corosync_conf_takes_device(&conf, &err) < 0)
			log_warning("the witness has no vote in corosync's quorum: %s", err.msg);
		setup_fits(s, &fits);
	} else {
		(void)setup_change(s, make_device, on_mended, s);
	}
	corosync_conf_fini(&conf);
}
