/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/vm_config.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096 /* any one string of a config */

void vm_config_fini(struct vm_config *config)
{
	free(config->name);
	free(config->machine);
	free(config->cpu);
	free(config->kernel);
	free(config->initrd);
	free(config->append);
	for (unsigned i = 0; i < config->n_disks; i++)
		free(config->disks[i].path);
	for (unsigned i = 0; i < config->n_nics; i++)
		free(config->nics[i].bridge);
	*config = (struct vm_config){ 0 };
}

static int copy_text(const char *from, char **to)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int vm_config_copy(const struct vm_config *config, struct vm_config *ret)
{
	struct vm_config c = *config;
	int r = 0;

	r |= copy_text(config->name, &c.name);
	r |= copy_text(config->machine, &c.machine);
	r |= copy_text(config->cpu, &c.cpu);
	r |= copy_text(config->kernel, &c.kernel);
	r |= copy_text(config->initrd, &c.initrd);
	r |= copy_text(config->append, &c.append);
	for (unsigned i = 0; i < config->n_disks; i++)
		r |= copy_text(config->disks[i].path, &c.disks[i].path);
	for (unsigned i = 0; i < config->n_nics; i++)
		r |= copy_text(config->nics[i].bridge, &c.nics[i].bridge);
	if (r) {
		vm_config_fini(&c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

/* ---- bounds --------------------------------------------------------------------------------- */

static bool name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	if (n == 0 || n > VM_NAME_MAX || !isalnum((unsigned char)name[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

/* For values that stand inside a QEMU option: a comma would begin another option there. */
static bool word_ok(const char *word)
{
	size_t n = strlen(word);

	if (n == 0 || n > 255)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)word[i]) && !strchr("._-+=,", word[i]))
			return false;
	return true;
}

static bool uuid_ok(const char *uuid)
{
	if (strlen(uuid) != 36)
		return false;
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' : !isxdigit((unsigned char)uuid[i]) || isupper(uuid[i]))
			return false;
	}
	return true;
}

static bool mac_ok(const char *mac)
{
	if (!*mac)
		return true;
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
			return false;
	return mac[17] == '\0';
}

static int check_text(const char *what, const char *text, struct cl_error *err)
{
	if (text && (!*text || strlen(text) > TEXT_MAX))
		return cl_error_set(err, -EINVAL, "%s is empty or longer than %d", what, TEXT_MAX);
	return 0;
}

static int check_devices(const struct vm_config *c, struct cl_error *err)
{
	int r = 0;

	if (c->n_disks > VM_DISKS_MAX || c->n_nics > VM_NICS_MAX)
		return cl_error_set(err, -EINVAL, "more than %d disks or %d network cards",
				    VM_DISKS_MAX, VM_NICS_MAX);
	for (unsigned i = 0; i < c->n_disks && r == 0; i++) {
		const char *path = c->disks[i].path;

		if (!path || path[0] != '/')
			return cl_error_set(err, -EINVAL, "disk %u: not an absolute path", i);
		r = check_text("a disk's path", path, err);
	}
	for (unsigned i = 0; i < c->n_nics && r == 0; i++) {
		const struct vm_nic *nic = &c->nics[i];

		if (nic->bridge && (!name_ok(nic->bridge) || strlen(nic->bridge) > 15))
			return cl_error_set(err, -EINVAL, "network card %u: bad bridge name", i);
		if (!mac_ok(nic->mac))
			return cl_error_set(err, -EINVAL, "network card %u: bad MAC '%.17s'", i,
					    nic->mac);
	}
	return r;
}

static int check_machine(const struct vm_config *c, struct cl_error *err)
{
	if (!c->machine || !word_ok(c->machine) || strchr(c->machine, ','))
		return cl_error_set(err, -EINVAL, "bad machine type");
	if (c->cpu && !word_ok(c->cpu))
		return cl_error_set(err, -EINVAL, "bad CPU model '%.60s'", c->cpu);
	if (c->cpus < 1 || c->cpus > VM_CPUS_MAX)
		return cl_error_set(err, -EINVAL, "%u CPUs (1 to %d)", c->cpus, VM_CPUS_MAX);
	if (c->memory_bytes < VM_MEMORY_MIN || c->memory_bytes > VM_MEMORY_MAX ||
	    c->memory_bytes % 4096)
		return cl_error_set(err, -EINVAL, "%llu bytes of memory (1M to 4T, multiple of 4K)",
				    (unsigned long long)c->memory_bytes);
	return 0;
}

static int check_boot(const struct vm_config *c, struct cl_error *err)
{
	int r = check_text("kernel", c->kernel, err);

	if (r == 0)
		r = check_text("initrd", c->initrd, err);
	if (r == 0)
		r = check_text("append", c->append, err);
	if (r == 0 && !c->kernel && (c->initrd || c->append))
		r = cl_error_set(err, -EINVAL, "initrd and append need a kernel");
	return r;
}

int vm_config_check(const struct vm_config *config, struct cl_error *err)
{
	int r;

	if (!name_ok(config->name))
		return cl_error_set(err, -EINVAL, "bad VM name '%.64s'",
				    config->name ? config->name : "");
	if (!uuid_ok(config->uuid))
		return cl_error_set(err, -EINVAL, "bad uuid '%.36s'", config->uuid);
	if (config->generation == 0 || config->generation > INT64_MAX)
		return cl_error_set(err, -EINVAL, "bad generation");
	r = check_machine(config, err);
	if (r == 0)
		r = check_devices(config, err);
	return r < 0 ? r : check_boot(config, err);
}

uint64_t vm_config_ram_bytes(const struct vm_config *config)
{
	bool trap = !config->kvm && config->memory_bytes % (256 << 10) == 0;

	return config->memory_bytes + (trap ? 8 << 10 : 0);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *disks_json(const struct vm_config *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->n_disks; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:s}", "path", c->disks[i].path, "format",
					c->disks[i].format == VM_DISK_RAW ? "raw" : "qcow2"));
	return list;
}

static json_t *nics_json(const struct vm_config *c)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < c->n_nics; i++)
		json_array_append_new(list, json_pack("{s:s*, s:s}", "bridge", c->nics[i].bridge,
						      "mac", c->nics[i].mac));
	return list;
}

int vm_config_print(const struct vm_config *c, char **ret_text)
{
	json_t *root;
	size_t len;
	char *text;

	root = json_pack(
		"{s:s, s:s, s:I, s:s, s:s*, s:b, s:i, s:I, s:o, s:o, s:s*, s:s*, s:s*, s:b}",
		"name", c->name, "uuid", c->uuid, "generation", (json_int_t)c->generation,
		"machine", c->machine, "cpu", c->cpu, "kvm", c->kvm, "cpus", (int)c->cpus, "memory",
		(json_int_t)c->memory_bytes, "disks", disks_json(c), "nics", nics_json(c), "kernel",
		c->kernel, "initrd", c->initrd, "append", c->append, "plain_files", c->plain_files);
	text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
	json_decref(root);
	if (!text)
		return -ENOMEM;
	len = strlen(text);
	*ret_text = realloc(text, len + 2);
	if (!*ret_text) {
		free(text);
		return -ENOMEM;
	}
	memcpy(*ret_text + len, "\n", 2);
	return 0;
}

static char *dup_or_null(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int parse_disks(const json_t *list, struct vm_config *c)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *d = json_array_get(list, i);
		const char *path = json_string_value(json_object_get(d, "path"));
		const char *format = json_string_value(json_object_get(d, "format"));

		if (i >= VM_DISKS_MAX || !path || !format)
			return -EINVAL;
		c->disks[i].format = strcmp(format, "qcow2") == 0 ? VM_DISK_QCOW2 : VM_DISK_RAW;
		c->disks[i].path = strdup(path);
		c->n_disks++;
	}
	return 0;
}

static int parse_nics(const json_t *list, struct vm_config *c)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *n = json_array_get(list, i);
		const char *mac = json_string_value(json_object_get(n, "mac"));

		if (i >= VM_NICS_MAX || !mac || strlen(mac) > 17)
			return -EINVAL;
		strcpy(c->nics[i].mac, mac);
		c->nics[i].bridge = dup_or_null(json_string_value(json_object_get(n, "bridge")));
		c->n_nics++;
	}
	return 0;
}

static int parse_root(json_t *root, struct vm_config *c)
{
	const char *name, *uuid, *machine, *cpu = NULL;
	const char *kernel = NULL, *initrd = NULL, *append = NULL;
	json_int_t generation, memory;
	json_t *disks, *nics;
	int kvm, plain, cpus;

	if (json_unpack(root,
			"{s:s, s:s, s:I, s:s, s?s, s:b, s:i, s:I, s:o, s:o, s?s, s?s, s?s, s:b}",
			"name", &name, "uuid", &uuid, "generation", &generation, "machine",
			&machine, "cpu", &cpu, "kvm", &kvm, "cpus", &cpus, "memory", &memory,
			"disks", &disks, "nics", &nics, "kernel", &kernel, "initrd", &initrd,
			"append", &append, "plain_files", &plain) < 0)
		return -EINVAL;
	if (strlen(uuid) != 36 || generation < 0 || memory < 0 || cpus < 0)
		return -EINVAL;
	strcpy(c->uuid, uuid);
	c->generation = (uint64_t)generation;
	c->memory_bytes = (uint64_t)memory;
	c->cpus = (unsigned)cpus;
	c->kvm = kvm;
	c->plain_files = plain;
	c->name = strdup(name);
	c->machine = strdup(machine);
	c->cpu = dup_or_null(cpu);
	c->kernel = dup_or_null(kernel);
	c->initrd = dup_or_null(initrd);
	c->append = dup_or_null(append);
	return parse_disks(disks, c) < 0 || parse_nics(nics, c) < 0 ? -EINVAL : 0;
}

int vm_config_parse(const char *text, struct vm_config *ret, struct cl_error *err)
{
	struct vm_config c = { 0 };
	json_error_t why = { .text = "" };
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	int r;

	if (!root)
		return cl_error_set(err, -CL_ECORRUPT, "not JSON: %.80s", why.text);
	r = parse_root(root, &c);
	json_decref(root);
	if (r < 0)
		r = cl_error_set(err, -CL_ECORRUPT, "not the description of a VM");
	else
		r = vm_config_check(&c, err);
	if (r < 0) {
		vm_config_fini(&c);
		return r;
	}
	*ret = c;
	return 0;
}
