/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the cluster's life changes in a corosync.conf; all other lines are copied. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/corosync_conf.h"
#include "clusterd/corosync_lines.h"
#include "clusterd/corosync_move.h"
#include "lib/cleanup.h"

static void put_node(FILE *out, const struct corosync_node *n)
{
	(void)fprintf(out, "    node {\n        nodeid: %u\n        name: %s\n", n->id, n->name);
	for (size_t i = 0; i < n->n_addresses; i++)
		(void)fprintf(out, "        ring%zu_addr: %s\n", i, n->address[i]);
	(void)fputs("    }\n", out);
}

char *corosync_conf_make(const char *cluster_name, const struct corosync_node *node)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	/* Values and why: the lab measured them. passive links stall messages for seconds when one of
	 * two dies; an expected_votes that is not said starts low, and two parts can be quorate. */
	(void)fprintf(out,
		      "# Written by clusterd: `clusterctl join`, `leave`, `evict`, `set quorum`\n"
		      "# and `rotate key` change it on all nodes. Everything else may be edited,\n"
		      "# on all nodes alike.\n"
		      "totem {\n    version: 2\n    config_version: 1\n    cluster_name: %s\n"
		      "    transport: knet\n    link_mode: active\n    token: 1000\n"
		      "    token_coefficient: 0\n    seqno_unchanged_const: 3\n    join: 50\n"
		      "    crypto_cipher: aes256\n    crypto_hash: sha256\n}\n"
		      "quorum {\n    provider: corosync_votequorum\n    expected_votes: 1\n}\n"
		      "system {\n    sched_rr: yes\n    move_to_root_cgroup: no\n}\n"
		      "logging {\n    to_stderr: no\n    to_syslog: yes\n}\nnodelist {\n",
		      cluster_name);
	put_node(out, node);
	(void)fputs("}\n", out);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* What is to become different. */
struct edit {
	const struct corosync_conf *old;
	const struct corosync_node *add;
	uint32_t remove;
	const struct corosync_links *links;
	uint64_t version;
	uint32_t votes;			/* 0: as it is */
	bool add_device, remove_device; /* ours */
};

static void put_device(FILE *out)
{
	/* timeout: a clusterd that hangs has no vote after it. sync_timeout: corosync holds the ring up so
	 * long for a clusterd that does not answer at all. */
	(void)fputs("    device {\n        model: " COROSYNC_DEVICE_MODEL "\n        votes: 1\n"
		    "        timeout: 2000\n        sync_timeout: 3000\n    }\n",
		    out);
}

/* Of nodes that will be there, with or without the device. */
static void edit_votes(struct edit *e, bool device)
{
	size_t nodes = e->old->nodes.n + (e->add != NULL) - (e->remove != 0);
	bool has = corosync_conf_has_device(e->old), wanted = device && nodes >= 2;
	int more = (e->add != NULL) - (e->remove != 0) + wanted - has;

	if (corosync_conf_takes_device(e->old, NULL) < 0) {
		wanted = has;
		more = (e->add != NULL) - (e->remove != 0);
	}
	e->add_device = wanted && !has;
	e->remove_device = has && !wanted;
	if (e->old->expected_votes)
		e->votes = (uint32_t)((int)e->old->expected_votes + more);
	/* Never left to corosync with a device: it would begin with the nodes alone, and two parts could be
	 * quorate. And never less than it starts with. */
	if (wanted && e->votes < nodes + 1)
		e->votes = (uint32_t)nodes + 1;
	else if (e->old->expected_votes && e->votes < 1)
		e->votes = 1;
}

/* What the node has on the link that comes. */
static void put_link(FILE *out, const struct corosync_links *links, const struct corosync_node *n)
{
	const char *address = n->id == links->node ? links->address : n->address[links->like];

	if (*address)
		(void)fprintf(out, "        ring%d_addr: %s\n", links->add, address);
}

static bool is_dropped(const struct corosync_links *links, const struct line *l)
{
	char key[sizeof("ring0_addr")];

	(void)snprintf(key, sizeof(key), "ring%u_addr", (unsigned)links->drop % 10);
	return links->drop >= 0 && line_is(l, key);
}

/* A node, with other links. */
static int put_node_links(FILE *out, struct reader *rd, const struct corosync_links *links,
			  const struct corosync_node *n, struct line *l, struct cl_error *err)
{
	int r = 1;

	while (r > 0) {
		bool end = l->kind == LINE_CLOSE && rd->depth == 2;

		if (end && links->add >= 0)
			put_link(out, links, n);
		if (!is_dropped(links, l))
			(void)fwrite(l->start, 1, l->len, out);
		line_done(rd, l);
		if (end)
			return 1;
		r = line_next(rd, l, err);
	}
	return r;
}

/* Copies a section within a section, or leaves it out. */
static int put_section(FILE *out, struct reader *rd, bool drop, struct line *l,
		       struct cl_error *err)
{
	int r = 1;

	while (r > 0) {
		if (!drop)
			(void)fwrite(l->start, 1, l->len, out);
		line_done(rd, l);
		if (l->kind == LINE_CLOSE && rd->depth == 1)
			return 1;
		r = line_next(rd, l, err);
	}
	return r;
}

static void put_votes(FILE *out, const struct edit *e)
{
	(void)fprintf(out, "    expected_votes: %u\n", e->votes);
}

/* What belongs at the end of a section, or right behind its beginning. */
static void put_before(FILE *out, const struct reader *rd, const struct edit *e,
		       const struct line *l)
{
	if (l->kind == LINE_CLOSE && line_in(rd, "nodelist", NULL) && e->add)
		put_node(out, e->add);
	if (l->kind == LINE_CLOSE && line_in(rd, "quorum", NULL) && e->add_device)
		put_device(out);
}

static void put_after(FILE *out, const struct reader *rd, const struct edit *e,
		      const struct line *l)
{
	if (l->kind == LINE_OPEN && line_in(rd, "totem", NULL))
		(void)fprintf(out, "    config_version: %" PRIu64 "\n", e->version);
	if (l->kind == LINE_OPEN && line_in(rd, "nodelist", NULL) && e->links && e->links->mark &&
	    e->links->mark->node)
		corosync_move_put_note(out, e->links->mark);
	if (l->kind == LINE_OPEN && line_in(rd, "quorum", NULL) && e->votes &&
	    !e->old->expected_votes)
		put_votes(out, e);
}

static void put_line(FILE *out, const struct reader *rd, const struct edit *e, const struct line *l)
{
	bool quorum = line_in(rd, "quorum", NULL);
	struct corosync_move old;

	if (line_in(rd, "totem", NULL) && line_is(l, "config_version"))
		return; /* written behind the section's begin */
	if (e->links && e->links->mark && corosync_move_is_note(rd, l, &old))
		return;
	if (quorum && e->add_device && line_is(l, "two_node"))
		return; /* the witness does what it was for; corosync does not start with both */
	put_before(out, rd, e, l);
	if (quorum && e->votes && line_is(l, "expected_votes"))
		put_votes(out, e);
	else
		(void)fwrite(l->start, 1, l->len, out);
	if (l->len && l->start[l->len - 1] != '\n')
		(void)fputc('\n', out);
	put_after(out, rd, e, l);
}

static bool is_section(const struct reader *rd, const struct line *l, const char *a, const char *b)
{
	return l->kind == LINE_OPEN && line_in(rd, a, b);
}

static int edit_lines(FILE *out, const char *text, const struct edit *e, struct cl_error *err)
{
	struct reader rd = { .at = text };
	const struct corosync_node_vec *nodes = &e->old->nodes;
	size_t nth = 0;
	struct line l;
	int r;

	while ((r = line_next(&rd, &l, err)) > 0) {
		if (is_section(&rd, &l, "nodelist", "node")) {
			const struct corosync_node *n = nth < nodes->n ? &nodes->v[nth] : NULL;

			nth++;
			r = n && e->links ? put_node_links(out, &rd, e->links, n, &l, err)
					  : put_section(out, &rd, n && n->id == e->remove, &l, err);
		} else if (is_section(&rd, &l, "quorum", "device")) {
			r = put_section(out, &rd, e->remove_device, &l, err);
		} else {
			put_line(out, &rd, e, &l);
			line_done(&rd, &l);
		}
		if (r < 0)
			break;
	}
	return r;
}

static int edit(const char *text, struct edit *e, char **ret, struct cl_error *err)
{
	struct corosync_conf check;
	char *made = NULL;
	size_t len;
	FILE *out = open_memstream(&made, &len);
	int r;

	if (!out)
		return cl_error_set(err, -ENOMEM, "out of memory");
	e->version = e->old->version + 1;
	r = edit_lines(out, text, e, err);
	if (fclose(out) != 0 && r == 0)
		r = cl_error_set(err, -ENOMEM, "out of memory");
	/* Whatever the old text was like: nobody is given one that we could not read. */
	if (r == 0)
		r = corosync_conf_read(made, &check, err);
	if (r == 0) {
		if (check.version != e->version)
			r = cl_error_set(err, -EINVAL, "corosync.conf has no totem section");
		else if (check.nodes.n != e->old->nodes.n + (e->add != NULL) - (e->remove != 0))
			r = cl_error_set(err, -EINVAL, "corosync.conf has no nodelist");
		else if (corosync_conf_has_device(&check) !=
			 ((corosync_conf_has_device(e->old) && !e->remove_device) || e->add_device))
			r = cl_error_set(err, -EINVAL,
					 "corosync.conf: its quorum section cannot be changed");
		corosync_conf_fini(&check);
	}
	if (r < 0)
		free(made);
	else
		*ret = made;
	return r;
}

static bool address_taken(const struct corosync_conf *conf, const struct corosync_node *node)
{
	for (size_t i = 0; i < conf->nodes.n; i++)
		for (size_t a = 0; a < conf->nodes.v[i].n_addresses; a++)
			for (size_t b = 0; b < node->n_addresses; b++)
				if (conf->nodes.v[i].id != node->id &&
				    strcmp(conf->nodes.v[i].address[a], node->address[b]) == 0)
					return true;
	return false;
}

static int check_addresses(const struct corosync_conf *conf, const struct corosync_node *node,
			   struct cl_error *err)
{
	size_t links = conf->nodes.n ? conf->nodes.v[0].n_addresses : 1;
	unsigned char buf[16];

	if (node->n_addresses != links)
		return cl_error_set(err, -EINVAL, "the cluster has %zu link%s, %zu address%s given",
				    links, links == 1 ? "" : "s", node->n_addresses,
				    node->n_addresses == 1 ? " is" : "es are");
	for (size_t i = 0; i < links; i++)
		if (inet_pton(AF_INET, node->address[i], buf) != 1 &&
		    inet_pton(AF_INET6, node->address[i], buf) != 1)
			return cl_error_set(err, -EINVAL, "'%s' is not a numeric address",
					    node->address[i]);
	if (address_taken(conf, node))
		return cl_error_set(err, -EEXIST, "another node has an address of '%s'",
				    node->name);
	return 0;
}

static int may_add(const struct corosync_conf *conf, const struct corosync_node *node,
		   struct cl_error *err)
{
	int r;

	if (conf->move.node)
		return cl_error_set(err, -CL_EREFUSED,
				    "a member's address is being changed: try again in a moment");
	r = check_addresses(conf, node, err);
	if (r < 0)
		return r;
	if (corosync_conf_node(conf, node->id) || corosync_conf_node_by_name(conf, node->name))
		return cl_error_set(err, -EEXIST, "corosync.conf has a node '%s' already",
				    node->name);
	return 0;
}

int corosync_conf_add(const char *text, const struct corosync_node *node, bool device, char **ret,
		      struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf, .add = node };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	edit_votes(&e, device);
	r = may_add(&conf, node, err);
	if (r == 0)
		r = edit(text, &e, ret, err);
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_remove(const char *text, uint32_t id, bool device, char **ret,
			 struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf, .remove = id };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	if (!corosync_conf_node(&conf, id)) {
		r = cl_error_set(err, -ENOENT, "corosync.conf has no node %u", id);
	} else {
		edit_votes(&e, device);
		r = edit(text, &e, ret, err);
	}
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_device(const char *text, bool device, char **ret, struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	if (device)
		r = corosync_conf_takes_device(&conf, err);
	edit_votes(&e, device);
	if (r == 0)
		r = edit(text, &e, ret, err);
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_links(const char *text, const struct corosync_links *links, char **ret,
			struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf, .links = links };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	r = edit(text, &e, ret, err);
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_touch(const char *text, char **ret, struct cl_error *err)
{
	return corosync_conf_links(text, NULL, ret, err);
}
