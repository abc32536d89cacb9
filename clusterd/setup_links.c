/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/setup_links.h"

#include <arpa/inet.h>
#include <corosync/cmap.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>

#include "clusterd/corosync_move.h"

static bool is_at(const struct sockaddr *at, int family, const void *address)
{
	if (!at || at->sa_family != family)
		return false;
	if (family == AF_INET)
		return memcmp(&((const struct sockaddr_in *)(const void *)at)->sin_addr, address,
			      4) == 0;
	return memcmp(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr, address, 16) ==
	       0;
}

bool setup_links_have(const char *address)
{
	struct ifaddrs *list;
	unsigned char buf[16];
	int family = inet_pton(AF_INET, address, buf) == 1    ? AF_INET
		     : inet_pton(AF_INET6, address, buf) == 1 ? AF_INET6
							      : 0;
	bool have = false;

	if (!family || getifaddrs(&list) < 0)
		return false;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next)
		have = have || is_at(i->ifa_addr, family, buf);
	freeifaddrs(list);
	return have;
}

static bool is_away(const struct corosync_conf *conf, uint32_t self)
{
	const char *to = corosync_move_to(conf);

	return conf->move.node == self && *to && corosync_move_step(conf) == COROSYNC_MOVE_ADDED &&
	       !setup_links_have(to);
}

bool setup_links_away(const struct state_setup *setup, uint32_t self)
{
	struct corosync_conf conf;
	bool away;

	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, NULL) < 0)
		return false;
	away = is_away(&conf, self);
	corosync_conf_fini(&conf);
	return away;
}

bool setup_links_rest(const struct state *state, uint32_t node, char ret_from[STATE_ADDRESS_MAX],
		      char ret_to[STATE_ADDRESS_MAX])
{
	const struct state_node *n = state_node(state, node);
	struct corosync_conf conf;
	bool rest;

	if (!n || corosync_conf_read(state_setup_text(&state->setup, STATE_PART_COROSYNC), &conf,
				     NULL) < 0)
		return false;
	(void)snprintf(ret_from, STATE_ADDRESS_MAX, "%s", conf.move.from);
	(void)snprintf(ret_to, STATE_ADDRESS_MAX, "%s", corosync_move_to(&conf));
	rest = conf.move.node == node && corosync_move_step(&conf) == COROSYNC_MOVE_LAST &&
	       *ret_to &&
	       (strcmp(n->storage_address, conf.move.from) == 0 ||
		strcmp(n->migration_address, conf.move.from) == 0);
	corosync_conf_fini(&conf);
	return rest;
}

static bool stands(cmap_handle_t cmap, uint32_t node, unsigned link)
{
	char key[64];
	uint8_t connected = 0;

	(void)snprintf(key, sizeof(key), "stats.knet.node%u.link%u.connected", node, link);
	return cmap_get_uint8(cmap, key, &connected) == CS_OK && connected;
}

/* All that the text has, to all nodes that it has. */
static bool all_stand(const struct corosync_conf *conf, uint32_t self, struct node_links *ret)
{
	cmap_handle_t cmap;
	bool all = true;

	if (cmap_initialize_map(&cmap, CMAP_MAP_STATS) != CS_OK)
		return false;
	for (size_t i = 0; i < conf->nodes.n; i++) {
		const struct corosync_node *n = &conf->nodes.v[i];

		for (unsigned link = 0; link < n->n_addresses && all; link++) {
			if (n->id == self || !*n->address[link] || stands(cmap, n->id, link))
				continue;
			all = false;
			ret->node = n->id;
			ret->link = link;
		}
	}
	(void)cmap_finalize(cmap);
	return all;
}

void setup_links_look(const struct state_setup *setup, uint32_t self, uint64_t loaded,
		      struct node_links *ret)
{
	struct corosync_conf conf;

	*ret = (struct node_links){ 0 };
	if (corosync_conf_read(state_setup_text(setup, STATE_PART_COROSYNC), &conf, NULL) < 0)
		return;
	if (conf.move.node) {
		ret->moving = setup->version;
		if (is_away(&conf, self))
			ret->node = self;
		else if (loaded == setup->version && all_stand(&conf, self, ret))
			ret->stand = setup->version;
	}
	corosync_conf_fini(&conf);
}
