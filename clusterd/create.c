/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/create.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "resources/vm_spec.h"

static const char *option(const Ipc__Request *msg, const char *name)
{
	for (size_t i = msg->n_options; i > 0; i--)
		if (strcmp(msg->options[i - 1]->name, name) == 0)
			return msg->options[i - 1]->value;
	return NULL;
}

static int check_name(const char *name, struct cl_error *err)
{
	if (state_name_valid(name))
		return 0;
	(void)cl_error_set(err, -EINVAL, "'%.63s' cannot be a name", name);
	return cl_error_hint(err, "a letter, then letters, digits, '.', '_', '-'; no type word");
}

/* ---- create vm ----------------------------------------------------------------------------------- */

void create_vm_fini(struct create_vm *vm)
{
	free(vm->spec_text);
	free(vm->node);
}

static int read_number(const char *key, const char *text, unsigned long max, uint32_t *ret,
		       struct cl_error *err)
{
	char *end;
	unsigned long x = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || x > max)
		return cl_error_set(err, -EINVAL, "--%s: '%.30s' is not a number from 0 to %lu",
				    key, text, max);
	*ret = (uint32_t)x;
	return 0;
}

int create_start_after(const char *value, enum state_start_after *ret, struct cl_error *err)
{
	for (unsigned i = STATE_AFTER_AUTO; i <= STATE_AFTER_LEASE; i++)
		if (strcmp(value, state_start_after_name((enum state_start_after)i)) == 0) {
			*ret = (enum state_start_after)i;
			return 0;
		}
	return cl_error_set(err, -EINVAL, "start-after: '%.20s' is not auto, fence or lease",
			    value);
}

static int read_options(const Ipc__Request *msg, struct create_vm *vm, struct vm_spec *spec,
			struct cl_error *err)
{
	int r = 0;

	vm->req.priority = 1000;
	for (size_t i = 0; r == 0 && i < msg->n_options; i++) {
		const char *key = msg->options[i]->name, *value = msg->options[i]->value;

		if (strcmp(key, "file") == 0)
			continue; /* clusterctl has read it */
		if (strcmp(key, "priority") == 0)
			r = read_number(key, value, 4000, &vm->req.priority, err);
		else if (strcmp(key, "start-after") == 0)
			r = create_start_after(value, &vm->req.start_after, err);
		else
			r = vm_spec_set(spec, key, strcmp(key, "start") == 0 ? "yes" : value, err);
	}
	return r == 0 ? vm_spec_finish(spec, err) : r;
}

/* The volume that a path lies on: its first part below the volume directory. */
static bool path_volume(const char *path, const char *root, char ret[STATE_NAME_MAX])
{
	size_t n = strlen(root);
	const char *name = path + n + 1, *end;

	if (strncmp(path, root, n) != 0 || path[n] != '/' || strstr(path, "/../"))
		return false;
	end = strchr(name, '/');
	if (!end || end == name || !end[1] || end - name >= STATE_NAME_MAX)
		return false;
	(void)snprintf(ret, STATE_NAME_MAX, "%.*s", (int)(end - name), name);
	return true;
}

static int add_volume(struct create_vm *vm, const char *name, struct cl_error *err)
{
	size_t n = vm->req.n_volumes;

	for (size_t i = 0; i < n; i++)
		if (strcmp(vm->volume[i], name) == 0)
			return 0;
	if (n == STATE_VOLUMES_OF_RESOURCE_MAX)
		return cl_error_set(err, -EINVAL, "disks on more than %d volumes",
				    STATE_VOLUMES_OF_RESOURCE_MAX);
	(void)strcpy(vm->volume[n], name);
	vm->volumes[n] = vm->volume[n];
	vm->req.n_volumes++;
	return 0;
}

static int find_volumes(const struct vm_spec *spec, const struct conf *conf, struct create_vm *vm,
			struct cl_error *err)
{
	char name[STATE_NAME_MAX];
	int r = 0;

	vm->req.volumes = vm->volumes;
	for (unsigned i = 0; r == 0 && i < spec->n_disks; i++) {
		const char *path = spec->disks[i].path;

		if (path_volume(path, conf->volume_directory, name)) {
			r = add_volume(vm, name, err);
		} else if (!conf->plain_disks) {
			(void)cl_error_set(err, -EINVAL,
					   "disk '%.200s' is not on a cluster shared volume", path);
			r = cl_error_hint(err, "disks are %s/VOLUME/FILE", conf->volume_directory);
		}
	}
	return r;
}

static int fill(const struct vm_spec *spec, struct create_vm *vm, struct cl_error *err)
{
	int r = vm_spec_print(spec, &vm->spec_text);

	if (r < 0)
		return cl_error_errno(err, r, "specification");
	if (spec->node && !(vm->node = strdup(spec->node)))
		return cl_error_set(err, -ENOMEM, "out of memory");
	vm->req.verb = NODE_CREATE_VM;
	vm->req.target = vm->node ? vm->node : "";
	vm->req.spec = (const uint8_t *)vm->spec_text;
	vm->req.spec_len = strlen(vm->spec_text);
	vm->req.memory_bytes = spec->memory_bytes;
	vm->req.cpus = spec->cpus;
	vm->req.start = spec->start;
	return 0;
}

int create_vm_read(const Ipc__Request *msg, const struct conf *conf, struct create_vm *ret,
		   struct cl_error *err)
{
	_cleanup_(vm_spec_fini) struct vm_spec spec = { 0 };
	uuid_t uuid;
	int r;

	*ret = (struct create_vm){ .req.object = msg->args[0] };
	r = check_name(msg->args[0], err);
	if (r == 0)
		r = read_options(msg, ret, &spec, err);
	if (r < 0)
		return r;
	if (!spec.uuid[0]) {
		uuid_generate_random(uuid);
		uuid_unparse_lower(uuid, spec.uuid);
	}
	r = find_volumes(&spec, conf, ret, err);
	return r == 0 ? fill(&spec, ret, err) : r;
}

/* ---- create volume --------------------------------------------------------------------------------- */

/* Before anything is logged or stored: USER%PASSWORD@ is what tools of libiscsi take. */
static int check_no_password(const char *url, struct cl_error *err)
{
	const char *user = strstr(url, "://"), *at = user ? strchr(user, '@') : NULL;
	const char *percent = user ? strchr(user, '%') : NULL;

	if (!at || !percent || percent > at)
		return 0;
	(void)cl_error_set(err, -EINVAL,
			   "--target: a password in the address would stand in the cluster's "
			   "database and in logs");
	return cl_error_hint(err, "put it into /etc/clusterd/chap.conf on every node");
}

static int check_url(const char *url, struct cl_error *err)
{
	const char *host = url + strlen("iscsi://"), *iqn, *lun;

	if (strlen(url) >= STATE_URL_MAX)
		return cl_error_set(err, -EINVAL, "--target: longer than %d", STATE_URL_MAX - 1);
	if (strncmp(url, "file:///", 8) == 0 || strncmp(url, "block:///", 9) == 0)
		return 0; /* for one machine: csvd decides */
	if (check_no_password(url, err) < 0)
		return -EINVAL;
	iqn = strncmp(url, "iscsi://", 8) == 0 ? strchr(host, '/') : NULL;
	lun = iqn ? strrchr(iqn + 1, '/') : NULL;
	if (!lun || iqn == host || lun == iqn + 1 || !lun[1] ||
	    strspn(lun + 1, "0123456789") != strlen(lun + 1))
		return cl_error_set(
			err, -EINVAL,
			"--target: '%.200s' is not of the form iscsi://HOST[:PORT]/IQN/LUN", url);
	return 0;
}

static int check_room(const char *name, const struct node *node, struct cl_error *err)
{
	const struct state *state = node_state(node);
	struct node_self self;

	node_get_self(node, &self);
	if (self.life == NODE_EMPTY) {
		(void)cl_error_set(err, -CL_EREFUSED, "this node is in no cluster");
		return cl_error_hint(err, "first `clusterctl init` or `clusterctl join NODE`");
	}
	if (!self.quorate)
		return cl_error_set(err, -CL_EREFUSED, "no quorum: nothing can be created now");
	if (state_volume(state, name) || state_resource(state, name) ||
	    state_node_by_name(state, name))
		return cl_error_set(err, -EEXIST, "the name '%s' is taken", name);
	return 0;
}

/* --force is about what is on the LUN, not about a volume of this cluster that is in use. */
static int check_lun_free(const char *url, const struct node *node, struct cl_error *err)
{
	const struct state *state = node_state(node);

	for (size_t i = 0; i < state->volumes.n; i++)
		if (strcmp(state->volumes.v[i].url, url) == 0) {
			(void)cl_error_set(err, -CL_EREFUSED, "that LUN is volume '%s' already",
					   state->volumes.v[i].name);
			return cl_error_hint(err, "`clusterctl delete %s` first",
					     state->volumes.v[i].name);
		}
	return 0;
}

int create_volume_read(const Ipc__Request *msg, const struct node *node, struct create_volume *ret,
		       struct cl_error *err)
{
	const char *url = option(msg, "target");
	int r = check_name(msg->args[0], err);

	if (r == 0 && !url)
		r = cl_error_set(err, -EINVAL, "--target is missing: on which LUN?");
	if (r == 0)
		r = check_url(url, err);
	if (r == 0)
		r = check_room(msg->args[0], node, err);
	if (r == 0)
		r = check_lun_free(url, node, err);
	if (r < 0)
		return r;
	*ret = (struct create_volume){ .force = option(msg, "force") != NULL,
				       .unsafe = option(msg, "unsafe-unfenceable") != NULL };
	(void)strcpy(ret->name, msg->args[0]);
	(void)strcpy(ret->url, url);
	uuid_generate_random(ret->uuid);
	return 0;
}

/* ---- move --check ---------------------------------------------------------------------------------- */

int create_check_move(const struct node *node, const char *name, const char *target,
		      struct cl_error *err)
{
	const struct state *state = node_state(node);
	const struct state_resource *r = state_resource(state, name);
	const struct state_node *to = state_node_by_name(state, target);
	struct node_self self;

	node_get_self(node, &self);
	if (!r && !state_volume(state, name))
		return cl_error_set(err, -ENOENT, "there is no '%s'", name);
	if (!to)
		return cl_error_set(err, -ENOENT, "there is no node '%s'", target);
	if (!self.quorate)
		return cl_error_set(err, -CL_EREFUSED, "no quorum: nothing can be moved now");
	if (to->phase != STATE_NODE_LIVING || state_gets_nothing(to))
		return cl_error_set(err, -CL_EREFUSED, "%s cannot take anything now", target);
	if (r && r->phase != STATE_ONLINE)
		return cl_error_set(err, -CL_EREFUSED, "%s is not online", name);
	if (r ? r->owner == to->id : state_volume(state, name)->coordinator == to->id)
		return cl_error_set(err, -CL_EREFUSED, "%s is on %s already", name, target);
	return 0;
}
