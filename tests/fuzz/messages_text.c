/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text: files, and what people type. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clusterd/conf.h"
#include "clusterd/corosync_conf.h"
#include "clusterd/token.h"
#include "lib/cleanup.h"
#include "migration/vm_config.h"
#include "tests/fuzz/messages.h"

/* As text that ends: what is behind a 0 nobody reads. */
static char *text_of(const uint8_t *data, size_t len)
{
	char *text = malloc(len + 1);

	memcpy(text, data, len);
	text[len] = 0;
	return text;
}

static size_t put(uint8_t *buf, size_t max, const char *text)
{
	size_t len = strlen(text);

	fuzz_claim(len <= max, "the seed is too long");
	memcpy(buf, text, len);
	return len;
}

size_t fuzz_seed_conf(uint32_t number, uint8_t *buf, size_t max)
{
	(void)number;
	return put(buf, max,
		   "# c\nnode_name = n1\nstorage_address = 10.0.0.1\nmemory_mib = 4096\n"
		   "run_directory = /run/x\nlog_level = 6\n");
}

void fuzz_one_conf(const uint8_t *data, size_t len)
{
	struct cl_error err = CL_ERROR_INIT;
	struct conf conf;
	FILE *f = len ? fmemopen((void *)(uintptr_t)data, len, "r") : NULL;

	if (!f)
		return;
	if (conf_parse(f, "clusterd.conf", &conf, &err) < 0)
		fuzz_claim(strncmp(err.msg, "clusterd.conf", 13) == 0, "an error without its file");
	(void)fclose(f);
}

size_t fuzz_seed_corosync(uint32_t number, uint8_t *buf, size_t max)
{
	struct corosync_node n = { .id = 1, .name = "n1", .n_addresses = 1 + number % 2 };
	char *text;
	size_t len;

	(void)strcpy(n.address[0], "10.0.0.1");
	(void)strcpy(n.address[1], "10.1.0.1");
	text = corosync_conf_make("c", &n);
	for (n.id = 2; n.id < 2 + number % 3; n.id++) {
		char *more;

		(void)snprintf(n.name, sizeof(n.name), "n%u", n.id);
		(void)snprintf(n.address[0], sizeof(n.address[0]), "10.0.0.%u", n.id);
		(void)snprintf(n.address[1], sizeof(n.address[1]), "10.1.0.%u", n.id);
		fuzz_claim(corosync_conf_add(text, &n, number % 5 < 2, &more, NULL) == 0,
			   "a node cannot be added");
		free(text);
		text = more;
	}
	len = put(buf, max, text);
	free(text);
	return len;
}

/* witness: -1 = nothing was said about it */
static void changed(const char *before, char *text, int more, int witness)
{
	struct corosync_conf a, b;

	fuzz_claim(corosync_conf_read(text, &b, NULL) == 0, "a changed text cannot be read");
	fuzz_claim(corosync_conf_read(before, &a, NULL) == 0, "a text was changed that is none");
	fuzz_claim(b.version == a.version + 1, "the version did not go up by one");
	fuzz_claim(b.nodes.n == a.nodes.n + (size_t)more, "another number of nodes");
	fuzz_claim(witness < 0 || corosync_conf_device_right(&b, witness),
		   "the device is not as it should be");
	corosync_conf_fini(&a);
	corosync_conf_fini(&b);
	free(text);
}

void fuzz_one_corosync(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct corosync_node n = {
		.id = 9, .name = "n9", .address = { "10.9.9.9", "10.9.9.8" }, .n_addresses = 1
	};
	struct cl_error err = CL_ERROR_INIT;
	struct corosync_conf conf;
	char *made;

	if (corosync_conf_read(text, &conf, &err) < 0) {
		fuzz_claim(strncmp(err.msg, "corosync.conf", 13) == 0, "an error without its file");
		return;
	}
	if (conf.nodes.n)
		n.n_addresses = conf.nodes.v[0].n_addresses < 2 ? 1 : 2;
	for (int witness = 0; witness < 2; witness++) {
		if (corosync_conf_add(text, &n, witness, &made, NULL) == 0)
			changed(text, made, 1, witness);
		if (conf.nodes.n &&
		    corosync_conf_remove(text, conf.nodes.v[0].id, witness, &made, NULL) == 0)
			changed(text, made, -1, witness);
		if (corosync_conf_device(text, witness, &made, NULL) == 0)
			changed(text, made, 0, witness);
	}
	if (corosync_conf_touch(text, &made, NULL) == 0)
		changed(text, made, 0, -1);
	corosync_conf_fini(&conf);
}

size_t fuzz_seed_token(uint32_t number, uint8_t *buf, size_t max)
{
	struct token t = { .port = (uint16_t)number };
	char text[TOKEN_TEXT_MAX];

	(void)strcpy(t.address, number % 2 ? "fd00::1" : "10.0.0.1");
	(void)token_print(&t, text);
	return put(buf, max, text);
}

void fuzz_one_token(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	struct token t;

	(void)token_parse(text, &t, NULL);
}

size_t fuzz_seed_vm(uint32_t number, uint8_t *buf, size_t max)
{
	(void)number;
	return put(buf, max,
		   "name = web\nuuid = 01234567-89ab-cdef-0123-456789abcdef\nmemory = 134217728\n"
		   "cpus = 1\ndisk = /ClusterStorage/vol1/web.raw,format=raw\nnic = vm\n");
}

void fuzz_one_vm(const uint8_t *data, size_t len)
{
	_cleanup_free_ char *text = text_of(data, len);
	_cleanup_(vm_config_fini) struct vm_config config = { 0 };

	if (vm_config_parse(text, &config, NULL) == 0)
		(void)vm_config_check(&config, NULL);
}
