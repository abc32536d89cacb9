/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A member that was away while corosync's configuration changed: corosync ends on it, for it is older
 * than the others'. While this node is without a quorate ring it asks the members that it knows, one
 * after the other, by its certificate, and takes up what is newer.
 */
#ifndef CL_CLUSTERD_FETCH_H
#define CL_CLUSTERD_FETCH_H

struct daemon;
struct fetch;

int fetch_new(struct daemon *d, struct fetch **ret);
void fetch_free(struct fetch *fetch);

#endif
