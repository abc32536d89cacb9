/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One SCSI command to a LUN, for drills that look at the target from outside the product:
 *
 *   lab-probe URL read|write|sync [BLOCK [TEXT]]
 *
 * `write` fills the block with TEXT and zeros, `read` prints the text at its start. Then one line
 * "STATUS MS": GOOD, CONFLICT, CHECK KEY/ASCQ or what libiscsi says, and how long the command took.
 * Exit 0 only for GOOD, 1 else, 2 usage. Never used by the product (it blocks).
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

enum { BLOCK_BYTES = 512, TIMEOUT_S = 30 };

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Of several portals, the first: libiscsi knows one. */
static const char *first_portal(const char *text)
{
	static char one[1024];
	const char *comma = strchr(text, ','), *slash = comma ? strchr(comma, '/') : NULL;

	if (!slash)
		return text;
	(void)snprintf(one, sizeof(one), "%.*s%s", (int)(comma - text), text, slash);
	return one;
}

static struct iscsi_context *login(const char *text, int *ret_lun)
{
	struct iscsi_context *iscsi = iscsi_create_context("iqn.2026-11.lab:probe");
	struct iscsi_url *url = iscsi ? iscsi_parse_full_url(iscsi, first_portal(text)) : NULL;

	if (!url) {
		fprintf(stderr, "lab-probe: not an iSCSI URL: %s\n", text);
		exit(2);
	}
	iscsi_set_targetname(iscsi, url->target);
	iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
	iscsi_set_noautoreconnect(iscsi, 1);
	iscsi_set_timeout(iscsi, TIMEOUT_S);
	if (iscsi_full_connect_sync(iscsi, url->portal, url->lun) < 0) {
		printf("LOGIN %s\n", iscsi_get_error(iscsi));
		exit(1);
	}
	*ret_lun = url->lun;
	iscsi_destroy_url(url);
	return iscsi;
}

static struct scsi_task *command(struct iscsi_context *iscsi, int lun, const char *verb,
				 unsigned block, const char *text)
{
	static unsigned char data[BLOCK_BYTES];

	if (strcmp(verb, "read") == 0)
		return iscsi_read10_sync(iscsi, lun, block, BLOCK_BYTES, BLOCK_BYTES, 0, 0, 0, 0,
					 0);
	if (strcmp(verb, "sync") == 0)
		return iscsi_synchronizecache10_sync(iscsi, lun, 0, 0, 0, 0);
	if (strcmp(verb, "write") != 0)
		exit(2);
	strncpy((char *)data, text, sizeof(data) - 1);
	return iscsi_write10_sync(iscsi, lun, block, data, BLOCK_BYTES, BLOCK_BYTES, 0, 0, 0, 0, 0);
}

static int report(const struct scsi_task *task, const char *error, long ms)
{
	if (!task) {
		printf("NONE %s\n", error);
	} else if (task->status == SCSI_STATUS_GOOD) {
		if (task->datain.size > 0)
			printf("%.*s\n",
			       (int)strnlen((char *)task->datain.data, (size_t)task->datain.size),
			       task->datain.data);
		printf("GOOD %ld\n", ms);
	} else if (task->status == SCSI_STATUS_RESERVATION_CONFLICT) {
		printf("CONFLICT %ld\n", ms);
	} else if (task->status == SCSI_STATUS_CHECK_CONDITION) {
		printf("CHECK %x/%04x %ld\n", (unsigned)task->sense.key, (unsigned)task->sense.ascq,
		       ms);
	} else {
		printf("STATUS %d %s\n", task->status, error);
	}
	return task && task->status == SCSI_STATUS_GOOD ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct iscsi_context *iscsi;
	struct scsi_task *task;
	unsigned block;
	long start;
	int lun;

	if (argc < 3) {
		fprintf(stderr, "usage: lab-probe URL read|write|sync [BLOCK [TEXT]]\n");
		return 2;
	}
	block = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
	iscsi = login(argv[1], &lun);
	start = now_ms();
	task = command(iscsi, lun, argv[2], block, argc > 4 ? argv[4] : "");
	return report(task, iscsi_get_error(iscsi), now_ms() - start);
}
