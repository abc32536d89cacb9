/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/corosync_move.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- the note ---------------------------------------------------------------------------------------- */

bool corosync_move_is_note(const struct reader *rd, const struct line *l, struct corosync_move *ret)
{
	struct corosync_move m = { 0 };
	char text[160];

	if (l->kind != LINE_OTHER || !line_in(rd, "nodelist", NULL))
		return false;
	line_copy(text, sizeof(text), l->start, l->len);
	if (sscanf(text,
		   "# clusterd: node %3u changes its address on link %1u from %63s by link %1u",
		   &m.node, &m.link, m.from, &m.by) != 4 ||
	    !m.node || m.node > 255 || m.link >= COROSYNC_LINKS_MAX || m.by >= COROSYNC_LINKS_MAX ||
	    m.link == m.by)
		return false;
	*ret = m;
	return true;
}

void corosync_move_put_note(FILE *out, const struct corosync_move *move)
{
	(void)fprintf(out,
		      "    # clusterd: node %u changes its address on link %u from %s by link %u\n",
		      move->node, move->link, move->from, move->by);
}

/* ---- how far it is ------------------------------------------------------------------------------------ */

static const struct corosync_node *moved(const struct corosync_conf *conf)
{
	return conf->move.node ? corosync_conf_node(conf, conf->move.node) : NULL;
}

const char *corosync_move_to(const struct corosync_conf *conf)
{
	const struct corosync_node *n = moved(conf);

	return n ? n->address[conf->move.by] : "";
}

enum corosync_move_step corosync_move_step(const struct corosync_conf *conf)
{
	const struct corosync_node *n = moved(conf);

	if (!conf->move.node)
		return COROSYNC_MOVE_NONE;
	/* It has gone, or somebody has taken the link out by hand: there is nothing to be moved. */
	if (!n || !*n->address[conf->move.by])
		return COROSYNC_MOVE_LAST;
	if (strcmp(n->address[conf->move.link], conf->move.from) == 0)
		return COROSYNC_MOVE_ADDED;
	return *n->address[conf->move.link] ? COROSYNC_MOVE_LAST : COROSYNC_MOVE_DROPPED;
}

/* ---- may it begin ------------------------------------------------------------------------------------- */

static int family_of(const char *address)
{
	unsigned char buf[16];

	if (inet_pton(AF_INET, address, buf) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, address, buf) == 1 ? AF_INET6 : 0;
}

static int find_link(const struct corosync_node *n, const char *from, struct corosync_move *ret,
		     struct cl_error *err)
{
	unsigned links = 0;

	for (unsigned i = 0; i < n->n_addresses; i++) {
		if (!*n->address[i] || (from && strcmp(n->address[i], from) != 0))
			continue;
		ret->link = i;
		links++;
	}
	if (links == 1) {
		(void)strcpy(ret->from, n->address[ret->link]);
		return 0;
	}
	if (from)
		return cl_error_set(err, -EINVAL, "'%s' is not an address of '%s' in corosync.conf",
				    from, n->name);
	(void)cl_error_set(err, -EINVAL, "'%s' has %u links", n->name, links);
	(void)cl_error_hint(err, "--instead-of ADDRESS says which one is meant");
	return -EINVAL;
}

static int check_address(const struct corosync_conf *conf, const struct corosync_move *m,
			 const char *to, struct cl_error *err)
{
	int family = family_of(to), was = family_of(m->from);

	if (!family || strlen(to) >= sizeof(m->from))
		return cl_error_set(err, -EINVAL, "'%.63s' is not a numeric address", to);
	if (was && was != family)
		return cl_error_set(err, -EINVAL, "link %u is one of %s addresses", m->link,
				    was == AF_INET ? "IPv4" : "IPv6");
	for (size_t i = 0; i < conf->nodes.n; i++)
		for (size_t a = 0; a < conf->nodes.v[i].n_addresses; a++)
			if (strcmp(conf->nodes.v[i].address[a], to) == 0)
				return cl_error_set(err, -EEXIST, "'%s' has the address %s already",
						    conf->nodes.v[i].name, to);
	return 0;
}

/* A number that no node has, whose port nothing else has, and of which nobody has said anything. */
static int free_link(const struct corosync_conf *conf, struct corosync_move *ret,
		     struct cl_error *err)
{
	unsigned taken = conf->links_set_up | conf->ports_taken;

	for (size_t i = 0; i < conf->nodes.n; i++)
		for (size_t a = 0; a < conf->nodes.v[i].n_addresses; a++)
			taken |= *conf->nodes.v[i].address[a] ? 1u << a : 0;
	for (unsigned i = 0; i < COROSYNC_LINKS_MAX; i++)
		if (!(taken & (1u << i))) {
			ret->by = i;
			return 0;
		}
	return cl_error_set(err, -CL_EREFUSED,
			    "corosync has %d links, none of them is free for the change",
			    COROSYNC_LINKS_MAX);
}

static int plan(const struct corosync_conf *conf, const char *name, const char *from,
		const char *to, struct corosync_move *ret, struct cl_error *err)
{
	const struct corosync_node *n = corosync_conf_node_by_name(conf, name);
	int r;

	if (conf->move.node)
		return cl_error_set(
			err, -CL_EREFUSED,
			"an address is being changed this moment: try again when that is done");
	if (!n)
		return cl_error_set(err, -ENOENT, "corosync.conf has no node '%.63s'", name);
	ret->node = n->id;
	r = find_link(n, from, ret, err);
	if (r == 0)
		r = check_address(conf, ret, to, err);
	return r == 0 ? free_link(conf, ret, err) : r;
}

/* ---- steps -------------------------------------------------------------------------------------------- */

int corosync_move_begin(const char *text, const char *name, const char *from, const char *to,
			char **ret, struct cl_error *err)
{
	struct corosync_move move = { 0 };
	struct corosync_links links = { .drop = -1, .address = to, .mark = &move };
	struct corosync_conf conf;
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	r = plan(&conf, name, from, to, &move, err);
	corosync_conf_fini(&conf);
	links.add = (int)move.by;
	links.like = (int)move.link;
	links.node = move.node;
	return r < 0 ? r : corosync_conf_links(text, &links, ret, err);
}

static int step(const char *text, bool back, char **ret, struct cl_error *err)
{
	static const struct corosync_move none;
	struct corosync_links links = { .drop = -1, .add = -1, .like = -1 };
	struct corosync_conf conf;
	enum corosync_move_step at;
	int r = corosync_conf_read(text, &conf, err);

	if (r < 0)
		return r;
	at = corosync_move_step(&conf);
	if (at == COROSYNC_MOVE_NONE || (back && at != COROSYNC_MOVE_ADDED)) {
		r = cl_error_set(err, -CL_EREFUSED,
				 at ? "too late: the change can only go on"
				    : "no address is being changed");
	} else if (at == COROSYNC_MOVE_ADDED && !back) {
		links.drop = (int)conf.move.link;
	} else if (at == COROSYNC_MOVE_DROPPED) {
		links.add = (int)conf.move.link;
		links.like = (int)conf.move.by;
	} else {
		links.drop = (int)conf.move.by;
		links.mark = &none;
	}
	corosync_conf_fini(&conf);
	return r < 0 ? r : corosync_conf_links(text, &links, ret, err);
}

int corosync_move_next(const char *text, char **ret, struct cl_error *err)
{
	return step(text, false, ret, err);
}

int corosync_move_back(const char *text, char **ret, struct cl_error *err)
{
	return step(text, true, ret, err);
}
