/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/migrate_tls.h"

#include "lib/log.h"

#define OBJECT "migration-tls"

static void add_object(void *user, const json_t *result, const struct cl_error *err)
{
	struct vm *vm = user;
	json_t *args = json_pack("{s:s, s:s, s:s, s:s, s:b}", "qom-type", "tls-creds-x509", "id",
				 OBJECT, "dir", vm->mig.tls_directory, "endpoint",
				 vm->mig.tls_server ? "server" : "client", "verify-peer", 1);

	(void)result;
	(void)err; /* most often there was none to delete */
	if (vm_qmp(vm, "object-add", args, vm->mig.tls_then) < 0)
		log_debug("vm '%s': object-add: not sent", vm_name(vm));
}

void migrate_tls_begin(struct vm *vm, bool server, qmp_reply_fn then)
{
	vm->mig.tls_server = server;
	vm->mig.tls_then = then;
	if (vm_qmp(vm, "object-del", json_pack("{s:s}", "id", OBJECT), add_object) < 0)
		log_debug("vm '%s': object-del: not sent", vm_name(vm));
}

void migrate_tls_parameters(const struct vm *vm, json_t *parameters)
{
	bool on = vm->mig.tls_directory[0] != '\0';

	(void)json_object_set_new(parameters, "tls-creds", json_string(on ? OBJECT : ""));
	(void)json_object_set_new(parameters, "tls-hostname",
				  json_string(on ? vm->mig.tls_peer : ""));
}
