/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Inside a volume: shared by volume*.c only. All of it belongs to the loop's thread. */
#ifndef CL_CSV_VOLUME_INT_H
#define CL_CSV_VOLUME_INT_H

#include "csv/client.h"
#include "csv/counters.h"
#include "csv/csvd_int.h"
#include "csv/front.h"
#include "csv/heart.h"
#include "csv/link.h"
#include "csv/offline.h"
#include "csv/store.h"

CL_DEFINE_VEC(order_vec, Vol__Order *);
CL_DEFINE_VEC(report_vec, uint64_t);

struct volume {
	struct csvd *d;
	char name[64], url[256];
	uint8_t uuid[16];
	/* what the log says */
	uint32_t coordinator;
	uint64_t epoch;
	size_t debts;
	bool offline, redirected, maintenance;
	bool unsafe; /* the operator insisted on a target that cannot fence */
	uint8_t pr_type;
	struct pr_quirks quirks;
	/* mount and session */
	bool mount_asked, mount_failed, unmounting;
	struct mount_state *state;
	uint64_t incarnation;
	struct client *client;
	struct front *front;
	struct link *link;
	bool link_down;
	uint64_t local_conn;		       /* != 0: the session runs to the coordinator here */
	uint32_t to_node;		       /* whom the transport leads to */
	char to_address[64], from_address[64]; /* by TCP; "" = it is here */
	uint64_t to_epoch;
	struct cl_source *eval, *reconnect, *pause, *claim;
	bool reconnect_wait;
	char refused[128];
	/* the coordinator's role */
	struct store *store;
	uint64_t barrier; /* the store's last that was answered; 0 = none */
	uint64_t store_epoch, store_incarnation;
	bool store_spoilt, claiming, paused;
	bool given_up; /* released for good: not claimed again in this maintenance */
	char store_why[256];
	/* What lies on the LUN, or its target, refuses (role.h); from then on until somebody serves the volume. */
	bool lun_refused;
	unsigned claims_refused; /* by the target, one after the other */
	uint64_t
		found_epoch; /* on the volume, later than the tables'; 0 = none (role_outdated()) */
	char outdated_why[256];
	int64_t claim_at_ms; /* a coordinator that still refuses then makes room for a new claim */
	uint64_t go_id;
	struct coord *coord;
	uint64_t coord_serial; /* +1 with each: answers to an earlier one's questions are dropped */
	struct question *questions; /* about data nexuses, under way */
	struct proxy_io *proxied;   /* other nodes' I/O that is done here, in their order */
	unsigned proxied_running;   /* of them: given to the nexus */
	uint64_t coord_epoch;
	int coord_state;
	bool coord_closing, coord_job;
	char coord_text[256];
	char failure
		[256]; /* why the last coordinator here ended, until one has opened the volume */
	uint64_t size_bytes, free_bytes;
	struct order_vec orders; /* to pay; the first is under way when `paying` */
	bool paying;
	size_t fence_left;
	uint64_t hand_over; /* order id; 0 = none */
	uint64_t handed_epoch;
	struct csv_counters counters;
	struct heart *heart;	   /* from the first tables on */
	struct report_vec reports; /* jobs that wait for the thread's part */
	struct {
		uint64_t id; /* the one that runs alone; 0 = none */
		uint32_t kind;
		bool change, running;
		struct cl_source *late; /* RELEASE: the LUN cannot be claimed */
	} job;
	struct offline_job offline_job; /* what the coordinator's thread works on */
	/* last told */
	Vol__Mode mode;
	char reason[256];
	uint64_t since_ms;
	bool told, told_serving, told_path, told_refused;
};

/* volume_status.c: tells clusterd when something about mode, reason, path or role has changed. */
void volume_update_status(struct volume *v);
/* For the client's config: the coordinator says so. */
void volume_client_space(void *user, uint64_t size_bytes, uint64_t free_bytes);

/* volume_heart.c */
void volume_look_at_heart(struct volume *v, const Vol__Volume *in);
void volume_heart_lease(struct volume *v);
/* For the client's config: where the units are. */
void volume_client_heartbeat(void *user, Csv__Extent *const *extents, size_t n);

/* volume_transport.c */
void volume_look_at_transport(struct volume *v);
void volume_transport_drop(struct volume *v);
/* A pause, then another attempt. */
void volume_retry_transport(struct volume *v);
void volume_on_reconnect(void *user);
/* For the client's config. */
bool volume_client_send(void *user, bool bulk, Csv__Message *msg);
void volume_client_changed(void *user, const char *reason);
void volume_client_reconnect(void *user);

/* volume_nexus.c: MAIL_KILL, MAIL_PERMIT, MAIL_SEE of the coordinator's thread. */
void volume_on_question(struct volume *v, const struct csv_mail *mail);
/* With the store: it calls nobody back any more. */
void volume_forget_questions(struct volume *v);

/* volume_proxy.c: MAIL_IO, which is taken over, and MAIL_IO_CANCEL. */
void volume_on_io(struct volume *v, struct csv_mail *mail);
void volume_cancel_io(struct volume *v, const struct csv_mail *mail);
void volume_look_at_proxied(struct volume *v);
/* The client must have been freed. */
void volume_forget_proxied(struct volume *v);

/* volume_role.c */
void volume_look_at_role(struct volume *v);
void volume_look_at_hand_over(struct volume *v);
void volume_stop_coord(struct volume *v);
void volume_drop_store(struct volume *v);
void volume_on_pause(void *user);
/* The coordinator's thread has found that it cannot open what lies there; later_epoch: which the volume has, 0 = not that. */
void volume_on_refused(struct volume *v, uint64_t later_epoch);
bool volume_outdated(const struct volume *v);
/* Somebody wants something of a volume that is refused: claimed anew, now. */
void volume_claim_now(struct volume *v);
/* The first order to pay is met (code 0) or given back. */
void volume_order_done(struct volume *v, int code, const char *error);
/* Orders that are no longer this node's. */
void volume_return_orders(struct volume *v);

/* volume_job.c */
void volume_on_job_mail(struct volume *v, const struct csv_mail *mail);
/* Whether a job waits for the file system to be closed. */
bool volume_job_waits(const struct volume *v);
void volume_job_begins(struct volume *v);
void volume_look_at_release(struct volume *v);
/* The coordinator's thread ends: what it was asked will not be answered by it. */
void volume_jobs_lost(struct volume *v, const char *why);

#endif
