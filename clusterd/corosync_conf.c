/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/corosync_conf.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

/* ---- lines: corosync's own grammar is `key: value`, `name {` and `}`, one a line --------------------- */

enum { DEPTH_MAX = 4 };

enum line_kind { LINE_OTHER, LINE_OPEN, LINE_CLOSE, LINE_KEY };

struct line {
	const char *start;
	size_t len; /* with its newline */
	enum line_kind kind;
	char key[64], value[128];
};

struct reader {
	const char *at;
	unsigned number, depth;
	char section[DEPTH_MAX][32]; /* after the line: where we are */
};

static void copy(char *to, size_t size, const char *from, size_t len)
{
	while (len && isspace((unsigned char)*from))
		from++, len--;
	while (len && isspace((unsigned char)from[len - 1]))
		len--;
	(void)snprintf(to, size, "%.*s", (int)(len < size ? len : size - 1), from);
}

static void line_parse(struct line *l)
{
	size_t len = l->len;
	const char *colon, *last;
	char first[2];

	copy(first, sizeof(first), l->start, len);
	if (!*first || *first == '#')
		return;
	for (last = l->start + len - 1; last > l->start && isspace((unsigned char)*last); last--)
		;
	colon = memchr(l->start, ':', len);
	if (*first == '}') {
		l->kind = LINE_CLOSE;
	} else if (*last == '{') {
		l->kind = LINE_OPEN;
		copy(l->key, sizeof(l->key), l->start, (size_t)(last - l->start));
	} else if (colon) {
		l->kind = LINE_KEY;
		copy(l->key, sizeof(l->key), l->start, (size_t)(colon - l->start));
		copy(l->value, sizeof(l->value), colon + 1, (size_t)(l->start + len - colon - 1));
	}
}

/* 1 = a line, 0 = the end. An OPEN is inside of its section already, a CLOSE still. */
static int line_next(struct reader *rd, struct line *ret, struct cl_error *err)
{
	const char *end;

	if (!*rd->at)
		return 0;
	end = strchr(rd->at, '\n');
	*ret = (struct line){ .start = rd->at };
	ret->len = end ? (size_t)(end + 1 - rd->at) : strlen(rd->at);
	rd->at += ret->len;
	rd->number++;
	line_parse(ret);
	if (ret->kind == LINE_OPEN && rd->depth == DEPTH_MAX)
		return cl_error_set(err, -EINVAL, "corosync.conf:%u: sections too deep",
				    rd->number);
	if (ret->kind == LINE_OPEN)
		copy(rd->section[rd->depth++], sizeof(rd->section[0]), ret->key, strlen(ret->key));
	if (ret->kind == LINE_CLOSE && rd->depth == 0)
		return cl_error_set(err, -EINVAL, "corosync.conf:%u: '}' without a section",
				    rd->number);
	return 1;
}

/* To be called when a line was dealt with. */
static void line_done(struct reader *rd, const struct line *l)
{
	if (l->kind == LINE_CLOSE)
		rd->depth--;
}

static bool in_section(const struct reader *rd, const char *a, const char *b)
{
	return rd->depth == (b ? 2 : 1) && strcmp(rd->section[0], a) == 0 &&
	       (!b || strcmp(rd->section[1], b) == 0);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

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
		copy(n->name, sizeof(n->name), l->value, strlen(l->value));
	} else if (is_link(l->key, &link)) {
		copy(n->address[link], sizeof(n->address[0]), l->value, strlen(l->value));
		if (link >= n->n_addresses)
			n->n_addresses = link + 1;
	}
	return 0;
}

static int take_key(struct corosync_conf *conf, const struct reader *rd, const struct line *l)
{
	uint64_t x;

	if (in_section(rd, "nodelist", "node") && conf->nodes.n)
		return node_key(&conf->nodes.v[conf->nodes.n - 1], l);
	if (in_section(rd, "totem", NULL) && strcmp(l->key, "config_version") == 0)
		return number(l->value, UINT64_MAX - 1, &conf->version);
	if (in_section(rd, "totem", NULL) && strcmp(l->key, "cluster_name") == 0)
		copy(conf->cluster_name, sizeof(conf->cluster_name), l->value, strlen(l->value));
	if (in_section(rd, "quorum", NULL) && strcmp(l->key, "expected_votes") == 0) {
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
		if (l.kind == LINE_OPEN && in_section(&rd, "nodelist", "node") &&
		    (conf->nodes.n >= 255 ||
		     corosync_node_vec_push(&conf->nodes, (struct corosync_node){ 0 }) < 0))
			return cl_error_set(err, -EINVAL, "corosync.conf: too many nodes");
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

uint32_t corosync_conf_free_id(const struct corosync_conf *conf)
{
	for (uint32_t id = 1; id <= 255; id++)
		if (!corosync_conf_node(conf, id))
			return id;
	return 0;
}

/* ---- writing ------------------------------------------------------------------------------------------ */

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
		      "# Written by clusterd: `clusterctl join`, `leave`, `evict`\n"
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
	uint64_t version;
	uint32_t votes; /* 0: as it is */
};

/* Copies a node's section, or leaves it out. */
static int put_section(FILE *out, struct reader *rd, const struct edit *e, size_t nth,
		       struct line *l, struct cl_error *err)
{
	const struct corosync_node *n = nth < e->old->nodes.n ? &e->old->nodes.v[nth] : NULL;
	bool drop = n && n->id == e->remove;
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

static void put_line(FILE *out, const struct reader *rd, const struct edit *e, const struct line *l)
{
	bool totem = in_section(rd, "totem", NULL), quorum = in_section(rd, "quorum", NULL);

	if (l->kind == LINE_CLOSE && in_section(rd, "nodelist", NULL) && e->add)
		put_node(out, e->add);
	if (l->kind == LINE_KEY && totem && strcmp(l->key, "config_version") == 0)
		return; /* written behind the section's begin */
	if (l->kind == LINE_KEY && quorum && e->votes && strcmp(l->key, "expected_votes") == 0)
		(void)fprintf(out, "    expected_votes: %u\n", e->votes);
	else
		(void)fwrite(l->start, 1, l->len, out);
	if (l->len && l->start[l->len - 1] != '\n')
		(void)fputc('\n', out);
	if (l->kind == LINE_OPEN && totem)
		(void)fprintf(out, "    config_version: %" PRIu64 "\n", e->version);
}

static int edit_lines(FILE *out, const char *text, const struct edit *e, struct cl_error *err)
{
	struct reader rd = { .at = text };
	size_t nth = 0;
	struct line l;
	int r;

	while ((r = line_next(&rd, &l, err)) > 0) {
		if (l.kind == LINE_OPEN && in_section(&rd, "nodelist", "node")) {
			r = put_section(out, &rd, e, nth++, &l, err);
			if (r < 0)
				break;
			continue;
		}
		put_line(out, &rd, e, &l);
		line_done(&rd, &l);
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

static int add(const char *text, const struct corosync_conf *conf, const struct corosync_node *node,
	       char **ret, struct cl_error *err)
{
	struct edit e = { .old = conf, .add = node };
	int r = check_addresses(conf, node, err);

	if (r < 0)
		return r;
	if (corosync_conf_node(conf, node->id) || corosync_conf_node_by_name(conf, node->name))
		return cl_error_set(err, -EEXIST, "corosync.conf has a node '%s' already",
				    node->name);
	e.votes = conf->expected_votes ? conf->expected_votes + 1 : 0;
	return edit(text, &e, ret, err);
}

int corosync_conf_add(const char *text, const struct corosync_node *node, char **ret,
		      struct cl_error *err)
{
	struct corosync_conf conf;
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	r = add(text, &conf, node, ret, err);
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_remove(const char *text, uint32_t id, char **ret, struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf, .remove = id };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	e.votes = conf.expected_votes > 1 ? conf.expected_votes - 1 : 0;
	if (!corosync_conf_node(&conf, id))
		r = cl_error_set(err, -ENOENT, "corosync.conf has no node %u", id);
	else
		r = edit(text, &e, ret, err);
	corosync_conf_fini(&conf);
	return r;
}

int corosync_conf_touch(const char *text, char **ret, struct cl_error *err)
{
	struct corosync_conf conf;
	struct edit e = { .old = &conf };
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	r = edit(text, &e, ret, err);
	corosync_conf_fini(&conf);
	return r;
}
