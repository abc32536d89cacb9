/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/corosync_conf.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/corosync_lines.h"
#include "clusterd/corosync_move.h"

static int number(const char *text, uint64_t max, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return errno || *end || !isdigit((unsigned char)*text) || *ret > max ? -EINVAL : 0;
}

static bool is_link(const char *key, unsigned *ret)
{
	char rest;

	return sscanf(key, "ring%1u_add%c", ret, &rest) == 2 && strlen(key) == 10 &&
	       *ret < COROSYNC_LINKS_MAX;
}

static int node_key(struct corosync_node *n, const struct line *l)
{
	uint64_t x;
	unsigned link;

	if (strcmp(l->key, "nodeid") == 0) {
		if (number(l->value, 255, &x) < 0)
			return -EINVAL;
		n->id = (uint32_t)x;
	} else if (strcmp(l->key, "name") == 0) {
		line_copy(n->name, sizeof(n->name), l->value, strlen(l->value));
	} else if (is_link(l->key, &link)) {
		line_copy(n->address[link], sizeof(n->address[0]), l->value, strlen(l->value));
		if (link >= n->n_addresses)
			n->n_addresses = link + 1;
	}
	return 0;
}

/* corosync.conf(5), votequorum(5): with these it ends at its start, or switches the device off.
 * two_node is another matter: it is taken out (corosync_edit.c). */
static void take_excluding(struct corosync_conf *conf, const struct line *l)
{
	static const char *const names[] = { "last_man_standing", "auto_tie_breaker",
					     "allow_downscale" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (line_is(l, names[i]) && strcmp(l->value, "0") != 0)
			(void)strcpy(conf->not_with_device, names[i]);
}

/* corosync's ports are 5405 + the link's number, where nothing else is said. */
static int take_interface(struct corosync_conf *conf, const struct line *l)
{
	uint64_t x;

	if (!line_is(l, "linknumber") && !line_is(l, "mcastport"))
		return 0;
	if (number(l->value, 65535, &x) < 0)
		return -EINVAL;
	if (line_is(l, "linknumber") && x < COROSYNC_LINKS_MAX)
		conf->links_set_up |= (uint8_t)(1u << x);
	if (line_is(l, "mcastport") && x >= COROSYNC_PORT && x < COROSYNC_PORT + COROSYNC_LINKS_MAX)
		conf->ports_taken |= (uint8_t)(1u << (x - COROSYNC_PORT));
	return 0;
}

static void take_open(struct corosync_conf *conf, const struct reader *rd)
{
	conf->n_quorum += line_in(rd, "quorum", NULL);
	conf->n_devices += line_in(rd, "quorum", "device");
}

static int take_key(struct corosync_conf *conf, const struct reader *rd, const struct line *l)
{
	uint64_t x;

	if (line_in(rd, "quorum", "device") && line_is(l, "model"))
		line_copy(conf->device_model, sizeof(conf->device_model), l->value,
			  strlen(l->value));
	if (line_in(rd, "quorum", NULL))
		take_excluding(conf, l);
	if (line_in(rd, "totem", "interface"))
		return take_interface(conf, l);
	if (line_in(rd, "nodelist", "node") && conf->nodes.n)
		return node_key(&conf->nodes.v[conf->nodes.n - 1], l);
	if (line_in(rd, "totem", NULL) && strcmp(l->key, "config_version") == 0)
		return number(l->value, UINT64_MAX - 1, &conf->version);
	if (line_in(rd, "totem", NULL) && strcmp(l->key, "cluster_name") == 0)
		line_copy(conf->cluster_name, sizeof(conf->cluster_name), l->value,
			  strlen(l->value));
	if (line_in(rd, "quorum", NULL) && strcmp(l->key, "expected_votes") == 0) {
		if (number(l->value, 65535, &x) < 0)
			return -EINVAL;
		conf->expected_votes = (uint32_t)x;
	}
	return 0;
}

static int nodes_check(const struct corosync_conf *conf, struct cl_error *err)
{
	for (size_t i = 0; i < conf->nodes.n; i++) {
		const struct corosync_node *n = &conf->nodes.v[i];

		if (!n->id || !n->n_addresses)
			return cl_error_set(err, -EINVAL,
					    "corosync.conf: node %zu of the list has no nodeid or "
					    "no ring0_addr",
					    i + 1);
		for (size_t k = 0; k < i; k++)
			if (conf->nodes.v[k].id == n->id)
				return cl_error_set(err, -EINVAL,
						    "corosync.conf: nodeid %u is there twice",
						    n->id);
	}
	return 0;
}

static int read_all(const char *text, struct corosync_conf *conf, struct cl_error *err)
{
	struct reader rd = { .at = text };
	struct line l;
	int r;

	while ((r = line_next(&rd, &l, err)) > 0) {
		if (l.kind == LINE_OPEN && line_in(&rd, "nodelist", "node") &&
		    (conf->nodes.n >= 255 ||
		     corosync_node_vec_push(&conf->nodes, (struct corosync_node){ 0 }) < 0))
			return cl_error_set(err, -EINVAL, "corosync.conf: too many nodes");
		if (l.kind == LINE_OPEN)
			take_open(conf, &rd);
		(void)corosync_move_is_note(&rd, &l, &conf->move);
		if (l.kind == LINE_KEY && take_key(conf, &rd, &l) < 0)
			return cl_error_set(
				err, -EINVAL,
				"corosync.conf:%u: '%.40s' is not a number that %s can be",
				rd.number, l.value, l.key);
		line_done(&rd, &l);
	}
	if (r == 0 && rd.depth)
		return cl_error_set(err, -EINVAL, "corosync.conf: section '%s' does not end",
				    rd.section[rd.depth - 1]);
	return r < 0 ? r : nodes_check(conf, err);
}

int corosync_conf_read(const char *text, struct corosync_conf *ret, struct cl_error *err)
{
	int r;

	*ret = (struct corosync_conf){ 0 };
	if (strlen(text) > COROSYNC_CONF_MAX)
		return cl_error_set(err, -EINVAL, "corosync.conf: longer than %d bytes",
				    COROSYNC_CONF_MAX);
	r = read_all(text, ret, err);
	if (r < 0)
		corosync_conf_fini(ret);
	return r;
}

void corosync_conf_fini(struct corosync_conf *conf)
{
	corosync_node_vec_fini(&conf->nodes);
}

const struct corosync_node *corosync_conf_node(const struct corosync_conf *conf, uint32_t id)
{
	for (size_t i = 0; i < conf->nodes.n; i++)
		if (conf->nodes.v[i].id == id)
			return &conf->nodes.v[i];
	return NULL;
}

const struct corosync_node *corosync_conf_node_by_name(const struct corosync_conf *conf,
						       const char *name)
{
	for (size_t i = 0; i < conf->nodes.n; i++)
		if (strcmp(conf->nodes.v[i].name, name) == 0)
			return &conf->nodes.v[i];
	return NULL;
}

const char *corosync_node_address(const struct corosync_node *node)
{
	for (size_t i = 0; i + 1 < node->n_addresses; i++)
		if (*node->address[i])
			return node->address[i];
	return node->address[node->n_addresses - 1];
}

uint32_t corosync_conf_free_id(const struct corosync_conf *conf)
{
	for (uint32_t id = 1; id <= 255; id++)
		if (!corosync_conf_node(conf, id))
			return id;
	return 0;
}

/* ---- the witness's device ------------------------------------------------------------------------ */

bool corosync_conf_has_device(const struct corosync_conf *conf)
{
	return conf->n_devices == 1 && strcmp(conf->device_model, COROSYNC_DEVICE_MODEL) == 0;
}

int corosync_conf_takes_device(const struct corosync_conf *conf, struct cl_error *err)
{
	if (conf->n_quorum != 1)
		return cl_error_set(err, -EINVAL, "corosync.conf has %u quorum sections, not one",
				    conf->n_quorum);
	if (conf->n_devices && !corosync_conf_has_device(conf))
		return cl_error_set(
			err, -CL_EREFUSED,
			"corosync.conf has a quorum device of another program ('%.40s')",
			conf->device_model);
	if (*conf->not_with_device)
		return cl_error_set(
			err, -CL_EREFUSED,
			"corosync.conf has %s: corosync takes no quorum device beside it",
			conf->not_with_device);
	return 0;
}

bool corosync_conf_device_right(const struct corosync_conf *conf, bool device)
{
	bool wanted = device && conf->nodes.n >= 2;

	return wanted == corosync_conf_has_device(conf) ||
	       corosync_conf_takes_device(conf, NULL) < 0;
}
