/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/vm_fill.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/vm_glue.h"
#include "lib/file.h"

static int spec_read(const struct node_action *order, struct vm_spec *ret, struct cl_error *err)
{
	_cleanup_free_ char *text = strndup((const char *)order->vm.spec, order->vm.spec_len);

	if (!text)
		return cl_error_set(err, -ENOMEM, "out of memory");
	return vm_spec_parse(ret, text, err);
}

int vm_fill_config(const struct node_action *order, const struct conf *conf, struct vm_config *ret,
		   struct cl_error *err)
{
	_cleanup_(vm_spec_fini) struct vm_spec spec = { 0 };
	int r = spec_read(order, &spec, err);

	if (r < 0)
		return cl_error_wrap(err, r, "specification");
	return vm_glue_config(&spec, order->vm.name, order->vm.generation, conf->plain_disks != 0,
			      ret, err);
}

bool vm_fill_on_volumes(const struct node_action *order, const struct conf *conf)
{
	_cleanup_(vm_spec_fini) struct vm_spec spec = { 0 };
	size_t n = strlen(conf->volume_directory);

	if (spec_read(order, &spec, NULL) < 0)
		return true;
	for (unsigned i = 0; i < spec.n_disks; i++)
		if (strncmp(spec.disks[i].path, conf->volume_directory, n) == 0)
			return true;
	return false;
}

bool vm_fill_found_on_volumes(const char *name, const struct conf *conf)
{
	_cleanup_(vm_config_fini) struct vm_config config = { 0 };
	_cleanup_free_ char *text = NULL;
	size_t n = strlen(conf->volume_directory);
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/vm/%.63s/spec.json", conf->run_directory, name);
	if (cl_file_read(path, 1 << 20, &text, NULL, NULL) < 0 ||
	    vm_config_parse(text, &config, NULL) < 0)
		return true;
	for (unsigned i = 0; i < config.n_disks; i++)
		if (strncmp(config.disks[i].path, conf->volume_directory, n) == 0)
			return true;
	return false;
}

void vm_fill_volume_of(const char *path, const struct conf *conf, char ret[STATE_NAME_MAX])
{
	size_t n = strlen(conf->volume_directory);
	const char *name = path + n;

	ret[0] = '\0';
	if (strncmp(path, conf->volume_directory, n) != 0 || *name != '/')
		return;
	name++;
	(void)snprintf(ret, STATE_NAME_MAX, "%.*s", (int)strcspn(name, "/"), name);
}
