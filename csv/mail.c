/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/mail.h"

#include <stdlib.h>
#include <string.h>

struct csv_mail *csv_mail_new(enum csv_mail_kind kind, const void *body, size_t len)
{
	struct csv_mail *mail = malloc(sizeof(*mail) + len);

	if (!mail)
		return NULL;
	memset(mail, 0, sizeof(*mail));
	mail->kind = kind;
	mail->len = len;
	if (body && len)
		memcpy(mail->body, body, len);
	return mail;
}

struct csv_mail *csv_mail_pack(enum csv_mail_kind kind, const Csv__Message *msg)
{
	struct csv_mail *mail = csv_mail_new(kind, NULL, csv__message__get_packed_size(msg));

	if (mail)
		(void)csv__message__pack(msg, mail->body);
	return mail;
}
