/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "resources/vm_spec.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VALUE_MAX 4096
#define CPUS_MAX 64
#define MEMORY_MIN (UINT64_C(1) << 20)
#define MEMORY_MAX (UINT64_C(1) << 42)

void vm_spec_fini(struct vm_spec *spec)
{
	for (unsigned i = 0; i < spec->n_disks; i++)
		free(spec->disks[i].path);
	free(spec->kernel);
	free(spec->initrd);
	free(spec->append);
	free(spec->machine);
	free(spec->cpu);
	free(spec->node);
	*spec = (struct vm_spec){ 0 };
}

/* ---- values --------------------------------------------------------------------------------- */

static int bad(struct cl_error *err, const char *key, const char *value, const char *want)
{
	return cl_error_set(err, -EINVAL, "%s = '%.60s': %s", key, value, want);
}

static bool word_ok(const char *word, const char *also, size_t max)
{
	size_t n = strlen(word);

	if (n == 0 || n > max || !isalnum((unsigned char)word[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)word[i]) && !strchr(also, word[i]))
			return false;
	return true;
}

static int set_text(char **field, const char *key, const char *value, struct cl_error *err)
{
	if (*field)
		return cl_error_set(err, -EINVAL, "%s is given twice", key);
	*field = strdup(value);
	return *field ? 0 : cl_error_errno(err, -ENOMEM, "%s", key);
}

static int set_path(char **field, const char *key, const char *value, struct cl_error *err)
{
	if (value[0] != '/')
		return bad(err, key, value, "an absolute path is wanted");
	return set_text(field, key, value, err);
}

static int set_word(char **field, const char *key, const char *value, struct cl_error *err)
{
	if (!word_ok(value, "._-+=,", 255))
		return bad(err, key, value, "a name is wanted");
	return set_text(field, key, value, err);
}

/* "PATH,format=qcow2": a comma in the path itself would be taken apart by others, too. */
static int set_disk(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	struct vm_spec_disk *disk = &spec->disks[spec->n_disks];
	const char *comma = strchr(value, ',');
	size_t len = comma ? (size_t)(comma - value) : strlen(value);

	if (spec->n_disks == VM_SPEC_DISKS_MAX)
		return cl_error_set(err, -EINVAL, "more than %d disks", VM_SPEC_DISKS_MAX);
	if (value[0] != '/')
		return bad(err, "disk", value, "an absolute path is wanted");
	if (comma && strcmp(comma, ",format=raw") != 0 && strcmp(comma, ",format=qcow2") != 0)
		return bad(err, "disk", value, "after the path only ,format=raw or ,format=qcow2");
	disk->path = strndup(value, len);
	if (!disk->path)
		return cl_error_errno(err, -ENOMEM, "disk");
	disk->qcow2 = comma ? strcmp(comma, ",format=qcow2") == 0
			    : len > 6 && strcmp(value + len - 6, ".qcow2") == 0;
	spec->n_disks++;
	return 0;
}

static bool mac_ok(const char *mac)
{
	if (strlen(mac) != 17)
		return false;
	for (int i = 0; i < 17; i++)
		if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
			return false;
	return (strtoul((char[]){ mac[0], mac[1], 0 }, NULL, 16) & 1) == 0; /* not a group */
}

static int set_nic(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	struct vm_spec_nic *nic = &spec->nics[spec->n_nics];
	const char *comma = strchr(value, ',');
	int len = (int)(comma ? (size_t)(comma - value) : strlen(value));

	if (spec->no_nic || (spec->n_nics && strcmp(value, "none") == 0))
		return cl_error_set(err, -EINVAL, "nic = none and another nic");
	if (strcmp(value, "none") == 0) {
		spec->no_nic = true;
		return 0;
	}
	if (spec->n_nics == VM_SPEC_NICS_MAX)
		return cl_error_set(err, -EINVAL, "more than %d network cards", VM_SPEC_NICS_MAX);
	if (len > 15)
		return bad(err, "nic", value, "a bridge's name has 15 letters at most");
	snprintf(nic->bridge, sizeof(nic->bridge), "%.*s", len, value);
	if (!word_ok(nic->bridge, "._-", 15))
		return bad(err, "nic", value, "the name of a bridge is wanted");
	if (comma && (strncmp(comma, ",mac=", 5) != 0 || !mac_ok(comma + 5)))
		return bad(err, "nic", value, "after the bridge only ,mac=52:54:00:xx:xx:xx");
	snprintf(nic->mac, sizeof(nic->mac), "%s", comma ? comma + 5 : "");
	spec->n_nics++;
	return 0;
}

static int set_memory(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	static const char units[] = "KMGT";
	uint64_t n, bytes;
	const char *u;
	char *end;

	if (spec->memory_bytes)
		return cl_error_set(err, -EINVAL, "memory is given twice");
	errno = 0;
	n = strtoull(value, &end, 10);
	u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	if (!isdigit((unsigned char)value[0]) || errno || !u || end[1])
		return bad(err, "memory", value, "a size is wanted, with its unit: 512M, 4G");
	bytes = n << (10 * (u - units + 1));
	if (n > MEMORY_MAX || bytes < MEMORY_MIN || bytes > MEMORY_MAX || bytes % 4096)
		return bad(err, "memory", value, "must be 1M to 4T, in steps of 4K");
	spec->memory_bytes = bytes;
	return 0;
}

static int set_cpus(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (spec->cpus)
		return cl_error_set(err, -EINVAL, "cpus is given twice");
	if (!isdigit((unsigned char)value[0]) || *end || n < 1 || n > CPUS_MAX)
		return bad(err, "cpus", value, "a number from 1 to 64 is wanted");
	spec->cpus = (unsigned)n;
	return 0;
}

static int set_machine(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	const char *dash = strrchr(value, '-');

	/* An alias ("pc") means something else after an upgrade: a migration would not fit. */
	if (!word_ok(value, "._-", 63) || !dash || !isdigit((unsigned char)dash[1]))
		return bad(err, "machine", value, "a versioned type is wanted, like pc-i440fx-7.2");
	return set_text(&spec->machine, "machine", value, err);
}

static int set_accel(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	if (strcmp(value, "tcg") != 0 && strcmp(value, "kvm") != 0)
		return bad(err, "accel", value, "tcg or kvm is wanted");
	spec->kvm = value[0] == 'k';
	return 0;
}

static int set_uuid(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	if (strlen(value) != 36)
		return bad(err, "uuid", value, "a UUID is wanted");
	for (int i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? value[i] != '-' : !isxdigit((unsigned char)value[i]))
			return bad(err, "uuid", value, "a UUID is wanted");
		spec->uuid[i] = (char)tolower((unsigned char)value[i]);
	}
	spec->uuid[36] = '\0';
	return 0;
}

static int set_start(struct vm_spec *spec, const char *value, struct cl_error *err)
{
	if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
		return bad(err, "start", value, "yes or no is wanted");
	spec->start = value[0] == 'y';
	return 0;
}

static bool text_ok(const char *value)
{
	size_t n = strlen(value);

	if (n == 0 || n > VALUE_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (iscntrl((unsigned char)value[i]))
			return false;
	return true;
}

int vm_spec_set(struct vm_spec *spec, const char *key, const char *value, struct cl_error *err)
{
	if (!text_ok(value))
		return cl_error_set(err, -EINVAL,
				    "%.40s: empty, too long, or with control characters", key);
	if (strcmp(key, "disk") == 0)
		return set_disk(spec, value, err);
	if (strcmp(key, "memory") == 0)
		return set_memory(spec, value, err);
	if (strcmp(key, "cpus") == 0)
		return set_cpus(spec, value, err);
	if (strcmp(key, "kernel") == 0)
		return set_path(&spec->kernel, key, value, err);
	if (strcmp(key, "initrd") == 0)
		return set_path(&spec->initrd, key, value, err);
	if (strcmp(key, "append") == 0)
		return set_text(&spec->append, key, value, err);
	if (strcmp(key, "nic") == 0)
		return set_nic(spec, value, err);
	if (strcmp(key, "machine") == 0)
		return set_machine(spec, value, err);
	if (strcmp(key, "cpu") == 0)
		return set_word(&spec->cpu, key, value, err);
	if (strcmp(key, "accel") == 0)
		return set_accel(spec, value, err);
	if (strcmp(key, "uuid") == 0)
		return set_uuid(spec, value, err);
	if (strcmp(key, "node") == 0)
		return set_word(&spec->node, key, value, err);
	if (strcmp(key, "start") == 0)
		return set_start(spec, value, err);
	cl_error_set(err, -EINVAL, "unknown key '%.40s'", key);
	return cl_error_hint(err, "known: disk memory cpus kernel initrd append nic machine cpu "
				  "accel uuid node start");
}

/* ---- texts ---------------------------------------------------------------------------------- */

static char *trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* A '#' begins a comment at the start of a line only: `append` may hold one. */
static int read_line(struct vm_spec *spec, char *line, struct cl_error *err)
{
	char *eq;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	eq = strchr(line, '=');
	if (!eq)
		return cl_error_set(err, -EINVAL, "'%.40s' is not `key = value`", line);
	*eq = '\0';
	return vm_spec_set(spec, trim(line), trim(eq + 1), err);
}

int vm_spec_read(struct vm_spec *spec, const char *text, const char *file, struct cl_error *err)
{
	_cleanup_free_ char *copy = NULL;
	unsigned number = 0;
	char *line, *next;

	if (strlen(text) > VM_SPEC_TEXT_MAX)
		return cl_error_set(err, -EFBIG, "%s: longer than %d bytes", file,
				    VM_SPEC_TEXT_MAX);
	copy = strdup(text);
	if (!copy)
		return cl_error_errno(err, -ENOMEM, "%s", file);
	for (line = copy; line; line = next) {
		int r;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		number++;
		r = read_line(spec, line, err);
		if (r < 0)
			return cl_error_wrap(err, r, "%s:%u", file, number);
	}
	return 0;
}

static int default_text(char **field, const char *value)
{
	if (!*field)
		*field = strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int fill_defaults(struct vm_spec *spec)
{
	if (!spec->cpus)
		spec->cpus = 1;
	if (spec->n_nics == 0 && !spec->no_nic) {
		strcpy(spec->nics[0].bridge, "vm");
		spec->n_nics = 1;
	}
	return default_text(&spec->machine, "pc-i440fx-7.2") < 0 ||
			       default_text(&spec->cpu, "qemu64") < 0
		       ? -ENOMEM
		       : 0;
}

int vm_spec_finish(struct vm_spec *spec, struct cl_error *err)
{
	if (!spec->memory_bytes) {
		cl_error_set(err, -EINVAL, "memory is missing");
		return cl_error_hint(err, "for example: memory = 256M");
	}
	if (spec->n_disks == 0 && !spec->kernel)
		return cl_error_set(err, -EINVAL, "neither a disk nor a kernel: nothing to boot");
	if (!spec->kernel && (spec->initrd || spec->append))
		return cl_error_set(err, -EINVAL, "%s needs a kernel",
				    spec->initrd ? "initrd" : "append");
	for (unsigned i = 0; i < spec->n_disks; i++)
		for (unsigned j = 0; j < i; j++)
			if (strcmp(spec->disks[i].path, spec->disks[j].path) == 0)
				return cl_error_set(err, -EINVAL, "disk %s is given twice",
						    spec->disks[i].path);
	return fill_defaults(spec) < 0 ? cl_error_errno(err, -ENOMEM, "vm spec") : 0;
}

static void print_memory(FILE *f, uint64_t bytes)
{
	static const char units[] = "KMGT";
	int u = 0;

	bytes >>= 10;
	while (u < 3 && bytes % 1024 == 0) {
		bytes >>= 10;
		u++;
	}
	fprintf(f, "memory = %" PRIu64 "%c\n", bytes, units[u]);
}

static void print_devices(FILE *f, const struct vm_spec *spec)
{
	for (unsigned i = 0; i < spec->n_disks; i++)
		fprintf(f, "disk = %s,format=%s\n", spec->disks[i].path,
			spec->disks[i].qcow2 ? "qcow2" : "raw");
	for (unsigned i = 0; i < spec->n_nics; i++)
		fprintf(f, "nic = %s%s%s\n", spec->nics[i].bridge,
			spec->nics[i].mac[0] ? ",mac=" : "", spec->nics[i].mac);
	if (spec->no_nic)
		fprintf(f, "nic = none\n");
}

static void print_text(FILE *f, const char *key, const char *value)
{
	if (value && *value)
		fprintf(f, "%s = %s\n", key, value);
}

int vm_spec_print(const struct vm_spec *spec, char **ret_text)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return -ENOMEM;
	print_text(f, "uuid", spec->uuid);
	print_text(f, "machine", spec->machine);
	print_text(f, "cpu", spec->cpu);
	print_text(f, "accel", spec->kvm ? "kvm" : "tcg");
	fprintf(f, "cpus = %u\n", spec->cpus);
	print_memory(f, spec->memory_bytes);
	print_devices(f, spec);
	print_text(f, "kernel", spec->kernel);
	print_text(f, "initrd", spec->initrd);
	print_text(f, "append", spec->append);
	if (fclose(f) != 0)
		return -ENOMEM;
	*ret_text = cl_steal(text);
	return 0;
}

int vm_spec_parse(struct vm_spec *ret, const char *text, struct cl_error *err)
{
	struct vm_spec spec = { 0 };
	int r = vm_spec_read(&spec, text, "spec", err);

	if (r == 0)
		r = vm_spec_finish(&spec, err);
	if (r < 0) {
		vm_spec_fini(&spec);
		return r;
	}
	*ret = spec;
	return 0;
}
