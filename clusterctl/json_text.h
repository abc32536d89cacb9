/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading JSON in which anything may be absent, as text. */
#ifndef CL_CLUSTERCTL_JSON_TEXT_H
#define CL_CLUSTERCTL_JSON_TEXT_H

#include <jansson.h>

/* "" when it is absent or no string. */
const char *json_text(const json_t *o, const char *key);
/* 0 when it is absent or no integer. */
long long json_number(const json_t *o, const char *key);
/* How long ago an RFC 3339 time was, in a word: "5m". */
const char *json_ago(const char *rfc3339, char buf[24]);

#endif
