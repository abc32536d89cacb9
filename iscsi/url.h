/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The address of a LUN, as an operator writes it:
 *
 *     iscsi://[USER[%PASSWORD]@]HOST[:PORT][,HOST[:PORT]...]/IQN/LUN
 *
 * Several portals are several ways to the same target. An IPv6 address stands in brackets. In USER,
 * PASSWORD and IQN a byte may be written %XX; a '%' in USER that is not %XX ends the name.
 */
#ifndef CL_ISCSI_URL_H
#define CL_ISCSI_URL_H

#include "lib/error.h"

#define LUN_PORTALS_MAX 8
#define LUN_NAME_MAX 223 /* RFC 3720, 3.2.6.1 */
#define LUN_PORT_DEFAULT 3260
#define LUN_NUMBER_MAX 255 /* single-level addressing: SAM-5, 4.7.7.5 */

struct lun_url {
	char user[LUN_NAME_MAX + 1]; /* "" = no CHAP */
	char password[LUN_NAME_MAX + 1];
	unsigned n_portals;
	char portals[LUN_PORTALS_MAX][128]; /* "host:port", as libiscsi wants it */
	char target[LUN_NAME_MAX + 1];
	int lun;
};

/*
 * Takes any text. Returns 0, or -EINVAL with one line that says what is wrong where and a hint with
 * the right form. The password never appears in a message.
 */
int lun_url_parse(const char *text, struct lun_url *ret, struct cl_error *err);

#endif
