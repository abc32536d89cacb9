/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which certificates a live migration takes, and whom it trusts. */
#include "config.h"

#include "clusterd/certs.h"
#include "clusterd/daemon.h"
#include "clusterd/vms_int.h"

const char *vms_tls_directory(const struct vms *vms)
{
	return vms->d->conf.plain_migration ? "" : certs_vm_directory(vms->d->certs);
}

int vms_tls_target(const struct slot *s, struct vm_migrate_args *args, struct cl_error *err)
{
	const struct state *state = node_state(s->vms->d->node);
	const struct state_resource *r = state_resource(state, s->name);
	const struct state_node *n = r ? state_node(state, r->target) : NULL;

	args->tls_directory = certs_vm_directory(s->vms->d->certs);
	if (!n || !*args->tls_directory)
		return cl_error_set(err, -CL_EREFUSED, "the target wants TLS, and this node %s",
				    n ? "has no certificate" : "does not know who it is");
	args->tls_peer = n->name;
	return 0;
}
