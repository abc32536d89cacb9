/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's own TLS for a live migration: credentials of the moment are given to the process as an object,
 * read from files that its user may read (ca-cert.pem, server-*.pem, client-*.pem), then named as the
 * migration's. A process outlives certificates: each move brings new ones.
 */
#ifndef CL_MIGRATION_MIGRATE_TLS_H
#define CL_MIGRATION_MIGRATE_TLS_H

#include <stdbool.h>

#include "migration/vm_private.h"

/* Puts the object in place; then() gets the answer of the last command. */
void migrate_tls_begin(struct vm *vm, bool server, qmp_reply_fn then);
/* "tls-creds" and, at a source, "tls-hostname" into the migration's parameters; "" without TLS. */
void migrate_tls_parameters(const struct vm *vm, json_t *parameters);

#endif
