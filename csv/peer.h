/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The coordinator's side of TCP: accepts other nodes' mounts on this node's storage address, pairs
 * control and bulk connections of one attempt, and hands their messages on by volume. A pair has a
 * number (`conn`) that is never used twice, so that what comes late from a closed one is known.
 */
#ifndef CL_CSV_PEER_H
#define CL_CSV_PEER_H

#include "csv/wire.h"
#include "lib/loop.h"
#include "lib/tls.h"

struct peers;

struct peers_ops {
	/*
	 * A message of pair `conn`, first its HELLO. volume: uuid (16 bytes) that the HELLO named.
	 * Packed, borrowed. false = nobody coordinates that volume here: the pair is closed.
	 */
	bool (*message)(void *user, const uint8_t volume[16], uint64_t conn, const void *body,
			size_t len);
	void (*lost)(void *user, const uint8_t volume[16], uint64_t conn);
};

/* Listen on address:7411. new_conn gives numbers (shared with the node's own mounts). */
int peers_new(struct cl_loop *loop, const char *address, uint64_t (*new_conn)(void *user),
	      const struct peers_ops *ops, void *user, struct peers **ret, struct cl_error *err);
void peers_free(struct peers *peers);
/* At another address from now on. Connections that stand stay. On failure it listens as before. */
int peers_listen(struct peers *peers, const char *address, struct cl_error *err);
/* Connections accepted from now on: TLS with these. NULL: plain. Counted by itself. */
void peers_set_tls(struct peers *peers, struct cl_tls_creds *tls);

/* A packed message to pair conn; false when it is gone. */
bool peers_send(struct peers *peers, uint64_t conn, bool bulk, const void *body, size_t len);
/* Close it; lost() is not called. */
void peers_close(struct peers *peers, uint64_t conn);
/* All pairs of a volume (its coordinator here has ended). lost() is not called. */
void peers_close_volume(struct peers *peers, const uint8_t volume[16]);

#endif
