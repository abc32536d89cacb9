/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside csvd: the process, shared by csvd*.c, volume*.c and format.c. All in the loop's thread. */
#ifndef CL_CSV_CSVD_INT_H
#define CL_CSV_CSVD_INT_H

#include <stdatomic.h>

#include "csv/cluster.h"
#include "csv/keeper_link.h"
#include "csv/mail.h"
#include "csv/peer.h"
#include "lib/loop.h"
#include "lib/vec.h"

struct volume;
CL_DEFINE_VEC(volume_vec, struct volume *);

/* Guards left out (--enable-defects). */
struct csvd_defects {
	unsigned client, coord, store; /* CLIENT_DEFECT_*, COORD_DEFECT_*, STORE_DEFECT_* */
	unsigned no_fence_wait;	       /* see role.h */
};

/* A stop order of a VM that is not met yet. */
struct fail_order {
	uint64_t id, generation;
	char resource[64];
};
CL_DEFINE_VEC(fail_vec, struct fail_order);

struct csvd {
	struct cl_loop *loop;
	const char *socket, *mount_root;
	struct cluster *cluster;
	struct keeper_link *keeper;
	struct peers *peers;
	struct cl_tls_creds *tls; /* NULL: connections between csvds are plain */
	char listening[64];
	struct cl_mailbox mail; /* from the coordinators' threads, from format */
	struct cl_source *mail_io, *lease_timer, *stop_timer, *listen_timer, *term;
	struct volume_vec volumes;
	struct fail_vec fails;
	Vol__Tables *tables; /* NULL before the first */
	_Atomic int64_t lease_until_ms;
	int64_t beat_ms;  /* of clusterd: sending of the youngest beat that a majority acked */
	uint64_t watched; /* incarnation whose heartbeats it heeds; 0 = none */
	int heartbeat_fd; /* proto/heartbeat.h */
	int64_t heartbeat_until_ms;
	uint64_t last_conn, last_go;
	uint64_t closed_up_to; /* incarnations of this node that were ended by order */
	bool keeper_ready, stopping;
	bool can_resend;	 /* mounts outlive this process */
	uint64_t lost_before_ms; /* what was opened on them before that is lost */
	int stop_turns;
	struct csvd_defects defects;
};

/* From the command line on: the loop with all that is in it; and its end. */
int csvd_begin(struct csvd *d, int keeper_fd, int beat_fd, struct cl_error *err);
void csvd_end(struct csvd *d);

struct volume *csvd_volume(struct csvd *d, const uint8_t uuid[16]);
const Vol__Node *csvd_node(const struct csvd *d, uint32_t id);
bool csvd_lease_over(const struct csvd *d);
uint64_t csvd_new_conn(void *d);
/* Ends a job that cannot be done. code: errno. */
void csvd_job_refused(struct csvd *d, uint64_t id, int code, const char *text);
/* Tables as the coordinator's thread takes them. */
struct csv_mail *csvd_pack_tables(const struct csvd *d);

/* Descriptors of a mount that an earlier csvd left; false: there is none of that name. */
bool csvd_take_early(const char *name, int *ret_fuse, int *ret_state);

/* ---- csvd_heart.c --------------------------------------------------------------------------- */

/* The file beside clusterd's socket; without it there are no heartbeats. */
void csvd_heartbeat_open(struct csvd *d);
void csvd_heartbeat_close(struct csvd *d);
void csvd_heartbeat_lease(struct csvd *d, const Vol__Lease *lease);
/* Some volume's heartbeat has gone on: the youngest counts. */
void csvd_heartbeat(struct csvd *d);
/* May heartbeats be written? Asked once for all volumes. conflict: one met a reservation. */
void csvd_tell_heartbeat(struct csvd *d, bool conflict);

/* ---- csvd_orders.c -------------------------------------------------------------------------- */

/* What clusterd wants; user is the csvd. */
void csvd_on_order(void *user, const Vol__Order *order);
void csvd_on_job(void *user, const Vol__Job *job);
void csvd_done(struct csvd *d, uint64_t order, int code, const char *error);
/* The order to pay is met; what was seen of each debt's node before. */
void csvd_paid(struct csvd *d, uint64_t order, const uint32_t *seen, size_t n);
/* Stop orders whose last I/O may have ended. */
void csvd_look_at_fails(struct csvd *d);
/* MAIL_FENCE_DONE of a format. */
void csvd_formatted(struct csvd *d, const struct csv_mail *mail);

/* ---- volume.c ------------------------------------------------------------------------------- */

int volume_new(struct csvd *d, const Vol__Volume *in, struct volume **ret);
/* Ends its coordinator, its session and its mount. */
void volume_free(struct volume *v);
const char *volume_name(const struct volume *v);
bool volume_is(const struct volume *v, const uint8_t uuid[16]);
/* New tables (in = its row), lease, keeper: look again at what there is to do. */
void volume_update(struct volume *v, const Vol__Volume *in);
void volume_poke(struct volume *v);
void volume_mounted(struct volume *v, int error, int fuse_fd, int state_fd);
void volume_unmounted(struct volume *v);
void volume_on_lease(struct volume *v);
int64_t volume_heartbeat_until(const struct volume *v);
bool volume_owns(const struct volume *v, const struct csv_mail *mail);
/* true: the mail has been taken over. */
bool volume_on_mail(struct volume *v, struct csv_mail *mail);
/* From another node's mount. false: not coordinated here. */
bool volume_on_peer(struct volume *v, uint64_t conn, const void *body, size_t len);
void volume_on_peer_lost(struct volume *v, uint64_t conn);
bool volume_on_go(struct volume *v, uint64_t id, bool yes);
void volume_pay(struct volume *v, const Vol__Order *order);
void volume_hand_over(struct volume *v, const Vol__Order *order);
void volume_job(struct volume *v, const Vol__Job *job);
void volume_fail_requests(struct volume *v, const char *resource, uint64_t generation);
/* Nothing of theirs can reach the LUN any more. */
bool volume_requests_failed(const struct volume *v, const char *resource, uint64_t generation);
void volume_close_sessions(struct volume *v);
void volume_tell_status(struct volume *v);
void volume_begin_stop(struct volume *v);
bool volume_stopped(const struct volume *v);

/* ---- format.c ------------------------------------------------------------------------------- */

/* Makes the file system in a thread of its own; MAIL_FENCE_DONE with from == NULL ends it (id = the
 * order, state = errno, text, a Vol.Target). */
int format_start(struct csvd *d, uint64_t order, const Vol__Format *format);

#endif
