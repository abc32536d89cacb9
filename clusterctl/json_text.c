/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterctl/json_text.h"

#include <stdio.h>
#include <time.h>

const char *json_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

long long json_number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

const char *json_ago(const char *rfc3339, char buf[24])
{
	struct tm tm = { 0 };
	long s;

	if (!strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm))
		return "";
	s = (long)(time(NULL) - timegm(&tm));
	s = s < 0 ? 0 : s;
	if (s < 120)
		(void)snprintf(buf, 24, "%lds", s);
	else if (s < 120 * 60)
		(void)snprintf(buf, 24, "%ldm", s / 60);
	else if (s < 48 * 3600)
		(void)snprintf(buf, 24, "%ldh", s / 3600);
	else
		(void)snprintf(buf, 24, "%ldd", s / 86400);
	return buf;
}
