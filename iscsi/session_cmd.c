/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands other than data: reservations, task management, inquiries. What libiscsi gives back is
 * turned into a pr_answer; parameter data is parsed by pr.c, whose bounds are our own.
 */
#include "config.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "iscsi/session_int.h"

static void list_add(struct cmd_list *l, struct lun_cmd *cmd)
{
	cmd->next = NULL;
	cmd->prev = l->last;
	if (l->last)
		l->last->next = cmd;
	else
		l->first = cmd;
	l->last = cmd;
}

static void list_del(struct cmd_list *l, struct lun_cmd *cmd)
{
	if (cmd->prev)
		cmd->prev->next = cmd->next;
	else
		l->first = cmd->next;
	if (cmd->next)
		cmd->next->prev = cmd->prev;
	else
		l->last = cmd->prev;
	cmd->next = cmd->prev = NULL;
}

/*
 * Answers of a target that fails over or rebuilds: the command was not executed and can be later. An I/O
 * error instead would reach a guest, for nothing.
 */
static bool passes(const struct scsi_sense *sense)
{
	if (sense->key == SCSI_SENSE_COMMAND_ABORTED)
		return true;
	/* Becoming ready; asymmetric access state transition (SPC-4, 5.15.2.5). */
	return sense->key == SCSI_SENSE_NOT_READY &&
	       (sense->ascq == 0x0401 || sense->ascq == 0x040a);
}

enum lun_result lun_result_of(int status, const struct scsi_task *task, struct lun_sense *sense)
{
	*sense = (struct lun_sense){ .status = (uint8_t)status };
	switch (status) {
	case SCSI_STATUS_GOOD:
		return LUN_OK;
	case SCSI_STATUS_RESERVATION_CONFLICT:
		return LUN_CONFLICT;
	case SCSI_STATUS_BUSY:
	case SCSI_STATUS_TASK_SET_FULL:
		return LUN_BUSY;
	case SCSI_STATUS_TASK_ABORTED:
		/* Another nexus's reset ended it unexecuted: treat like the unit attention it comes
		 * with. */
		return LUN_UA;
	case SCSI_STATUS_CHECK_CONDITION:
		break;
	case SCSI_STATUS_CANCELLED:
	case SCSI_STATUS_ERROR:
	case SCSI_STATUS_TIMEOUT:
		return LUN_LOST;
	default:
		return LUN_ERROR;
	}
	if (!task)
		return LUN_ERROR;
	sense->key = (uint8_t)task->sense.key;
	sense->ascq = (uint16_t)task->sense.ascq;
	if (task->sense.key == SCSI_SENSE_UNIT_ATTENTION)
		return LUN_UA;
	if (passes(&task->sense))
		return LUN_BUSY;
	return task->sense.key == SCSI_SENSE_ILLEGAL_REQUEST ? LUN_UNSUPPORTED : LUN_ERROR;
}

/* ---- answers ---- */

static void copy_text(char *out, size_t n, const uint8_t *in)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		out[i] = isprint(in[i]) ? (char)in[i] : '?';
		if (in[i] != ' ' && in[i])
			len = i + 1;
	}
	out[len] = '\0';
}

static int parse_inquiry(const uint8_t *d, size_t len, struct pr_answer *a)
{
	if (len < 36)
		return -EBADMSG;
	copy_text(a->vendor, 8, d + 8);
	copy_text(a->product, 16, d + 16);
	copy_text(a->revision, 4, d + 32);
	return 0;
}

static int parse_capacity(const uint8_t *d, size_t len, struct pr_answer *a)
{
	uint64_t last = 0;

	if (len < 12)
		return -EBADMSG;
	for (int i = 0; i < 8; i++)
		last = last << 8 | d[i];
	a->blocks = last == UINT64_MAX ? 0 : last + 1;
	a->block_size = (uint32_t)d[8] << 24 | (uint32_t)d[9] << 16 | (uint32_t)d[10] << 8 | d[11];
	return 0;
}

static int parse_answer(const struct scsi_task *task, struct lun_cmd *cmd)
{
	const uint8_t *d = task->datain.data;
	size_t len = d && task->datain.size > 0 ? (size_t)task->datain.size : 0;

	switch (cmd->op.kind) {
	case PR_OP_READ_KEYS:
		return pr_parse_keys(d, len, &cmd->answer);
	case PR_OP_READ_RESERVATION:
		return pr_parse_reservation(d, len, &cmd->answer);
	case PR_OP_IDENTITY:
		return pr_parse_identity(d, len, &cmd->answer);
	case PR_OP_INQUIRY:
		return parse_inquiry(d, len, &cmd->answer);
	case PR_OP_READ_CAPACITY:
		return parse_capacity(d, len, &cmd->answer);
	default:
		return 0;
	}
}

/* ---- the end of a command ---- */

static void finish(struct lun_cmd *cmd, enum lun_result result)
{
	struct lun_session *s = cmd->session;

	cmd->answer.result = result;
	cmd->answer.tag = cmd->op.tag;
	if (cmd->op.kind == PR_OP_REGISTER && result == LUN_OK)
		s->registered = cmd->op.arg && cmd->op.arg == s->key;
	if (result == LUN_LOST)
		lun_session_doom(s, -ENOLINK, "connection lost during %s",
				 pr_op_name(cmd->op.kind));
	list_del(&s->cmds, cmd);
	cmd->done(cmd);
}

static bool repeatable(enum pr_op_kind kind)
{
	return kind != PR_OP_TEST_UNIT_READY && kind != PR_OP_RESET;
}

static enum lun_result transmit(struct lun_session *s, struct lun_cmd *cmd);

/*
 * A command that got a unit attention was not executed: repeat it. What the attention may mean for
 * the right to write is found out by lun_hold(), not here.
 */
static bool repeat(struct lun_session *s, struct lun_cmd *cmd)
{
	if (!repeatable(cmd->op.kind) || ++cmd->answer.unit_attentions > UA_MAX)
		return false;
	if (s->role == LUN_ROLE_DATA)
		lun_hold(s);
	return transmit(s, cmd) == LUN_OK;
}

static void on_task(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_cmd *cmd = user;
	struct lun_session *s = cmd->session;
	struct scsi_task *task = data;
	enum lun_result result = lun_result_of(status, task, &cmd->answer.sense);

	(void)iscsi;
	if (s->doomed)
		result = LUN_LOST;
	else if (result != LUN_LOST)
		s->heard_ms = lun_now_ms();
	if (result == LUN_OK && task && parse_answer(task, cmd) < 0)
		result = LUN_ERROR; /* does not hold together: an answer nobody may decide on */
	if (task)
		scsi_free_scsi_task(task);
	if (result == LUN_UA && !s->doomed && repeat(s, cmd))
		return;
	finish(cmd, result);
}

static void on_reset(struct iscsi_context *iscsi, int status, void *data, void *user)
{
	struct lun_cmd *cmd = user;
	const uint32_t *response = data;
	enum lun_result result = LUN_LOST;

	(void)iscsi;
	if (!cmd->session->doomed && status == SCSI_STATUS_GOOD && response) {
		if (*response == ISCSI_TMR_FUNC_COMPLETE)
			result = LUN_OK;
		else if (*response == ISCSI_TMR_TMF_NOT_SUPPORTED)
			result = LUN_UNSUPPORTED;
		else
			result = LUN_ERROR;
		cmd->answer.sense.ascq = (uint16_t)*response;
		cmd->session->heard_ms = lun_now_ms();
	}
	finish(cmd, result);
}

void lun_cmds_lost(struct lun_session *s)
{
	while (s->cmds.first)
		finish(s->cmds.first, LUN_LOST);
}

/* ---- sending ---- */

static struct scsi_task *send_pr_out(struct lun_session *s, struct lun_cmd *cmd, int action)
{
	struct scsi_persistent_reserve_out_basic basic = {
		.reservation_key = cmd->op.key,
		.service_action_reservation_key = cmd->op.arg,
		.aptpl = cmd->op.kind == PR_OP_REGISTER_APTPL,
	};

	return iscsi_persistent_reserve_out_task(s->iscsi, s->url.lun, action,
						 SCSI_PERSISTENT_RESERVE_SCOPE_LU, cmd->op.type,
						 &basic, on_task, cmd);
}

static int pr_out_action(enum pr_op_kind kind)
{
	switch (kind) {
	case PR_OP_REGISTER:
	case PR_OP_REGISTER_APTPL:
		return SCSI_PERSISTENT_RESERVE_REGISTER;
	case PR_OP_RESERVE:
		return SCSI_PERSISTENT_RESERVE_RESERVE;
	case PR_OP_RELEASE:
		return SCSI_PERSISTENT_RESERVE_RELEASE;
	case PR_OP_CLEAR:
		return SCSI_PERSISTENT_RESERVE_CLEAR;
	case PR_OP_PREEMPT:
		return SCSI_PERSISTENT_RESERVE_PREEMPT;
	case PR_OP_PREEMPT_AND_ABORT:
		return SCSI_PERSISTENT_RESERVE_PREEMPT_AND_ABORT;
	default:
		return -1;
	}
}

static struct scsi_task *send_pr_in(struct lun_session *s, struct lun_cmd *cmd, int action)
{
	return iscsi_persistent_reserve_in_task(s->iscsi, s->url.lun, action, PR_PARAMETER_BYTES,
						on_task, cmd);
}

static struct scsi_task *send_task(struct lun_session *s, struct lun_cmd *cmd)
{
	switch (cmd->op.kind) {
	case PR_OP_TEST_UNIT_READY:
		return iscsi_testunitready_task(s->iscsi, s->url.lun, on_task, cmd);
	case PR_OP_INQUIRY:
		return iscsi_inquiry_task(s->iscsi, s->url.lun, 0, 0, 96, on_task, cmd);
	case PR_OP_IDENTITY:
		return iscsi_inquiry_task(s->iscsi, s->url.lun, 1, 0x83, 255, on_task, cmd);
	case PR_OP_READ_CAPACITY:
		return iscsi_readcapacity16_task(s->iscsi, s->url.lun, on_task, cmd);
	case PR_OP_READ_KEYS:
		return send_pr_in(s, cmd, SCSI_PERSISTENT_RESERVE_READ_KEYS);
	case PR_OP_READ_RESERVATION:
		return send_pr_in(s, cmd, SCSI_PERSISTENT_RESERVE_READ_RESERVATION);
	case PR_OP_TOUCH:
		return iscsi_read16_task(s->iscsi, s->url.lun, 0, s->data.block_size,
					 (int)s->data.block_size, 0, 0, 0, 0, 0, on_task, cmd);
	case PR_OP_UNMAP_NOTHING:
		return iscsi_unmap_task(s->iscsi, s->url.lun, 0, 0, NULL, 0, on_task, cmd);
	default:
		return send_pr_out(s, cmd, pr_out_action(cmd->op.kind));
	}
}

/*
 * iscsi_task_mgmt_lun_reset_async would first cancel all of this session's own tasks locally, while
 * they go on at the target: hence the plain call.
 */
static bool send_reset(struct lun_session *s, struct lun_cmd *cmd)
{
	return iscsi_task_mgmt_async(s->iscsi, s->url.lun, ISCSI_TM_LUN_RESET, 0xffffffff, 0,
				     on_reset, cmd) == 0;
}

static enum lun_result transmit(struct lun_session *s, struct lun_cmd *cmd)
{
	bool sent;

	cmd->sent_ms = lun_now_ms();
	sent = cmd->op.kind == PR_OP_RESET ? send_reset(s, cmd) : send_task(s, cmd) != NULL;
	if (!sent) {
		lun_session_doom(s, -ENOMEM, "%s: %s", pr_op_name(cmd->op.kind),
				 iscsi_get_error(s->iscsi));
		return LUN_LOST;
	}
	lun_session_changed(s);
	return LUN_OK;
}

enum lun_result lun_cmd_send(struct lun_session *s, struct lun_cmd *cmd)
{
	if (s->doomed || !s->iscsi)
		return LUN_LOST;
	cmd->session = s;
	memset(&cmd->answer, 0, offsetof(struct pr_answer, keys));
	cmd->answer.type = PR_TYPE_NONE;
	cmd->answer.holder = 0;
	if (transmit(s, cmd) != LUN_OK)
		return LUN_LOST;
	list_add(&s->cmds, cmd);
	return LUN_OK;
}

enum lun_result lun_session_command(struct lun_session *s, struct lun_cmd *cmd)
{
	if (s->sm.state == LUN_CONNECTING)
		return LUN_REFUSED;
	if (s->sm.state == LUN_DEAD)
		return LUN_LOST;
	if ((unsigned)cmd->op.kind > PR_OP_REGISTER_APTPL || !cmd->done)
		return LUN_INVALID;
	cmd->internal = false;
	return lun_cmd_send(s, cmd);
}
