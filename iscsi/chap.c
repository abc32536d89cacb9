/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iscsi/chap.h"
#include "lib/cleanup.h"

#define FILE_MAX 65536
#define LINE_MAX_BYTES 1024

static const char *chap_file = LUN_CHAP_FILE;

void lun_chap_set_file(const char *path)
{
	chap_file = path;
}

const char *lun_chap_file(void)
{
	return chap_file;
}

/* ---- lines ---- */

struct reader {
	const char *name, *target;
	unsigned line, section_line;
	enum { NO_SECTION, FOREIGN, FOR_ALL, OURS } section;
	bool have_ours;
	struct lun_chap now; /* of the section being read */
	struct lun_chap all, ours;
};

static int bad(const struct reader *r, struct cl_error *err, const char *what)
{
	(void)cl_error_set(err, -EINVAL, "%s:%u: %s", r->name, r->line, what);
	(void)cl_error_hint(err,
			    "[IQN] or [*], then: user, secret, target-user, target-secret = value");
	return -EINVAL;
}

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

static char *field(struct lun_chap *c, const char *key)
{
	static const struct {
		const char *key;
		size_t offset;
	} fields[] = {
		{ "user", offsetof(struct lun_chap, user) },
		{ "secret", offsetof(struct lun_chap, secret) },
		{ "target-user", offsetof(struct lun_chap, target_user) },
		{ "target-secret", offsetof(struct lun_chap, target_secret) },
	};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (strcmp(key, fields[i].key) == 0)
			return (char *)c + fields[i].offset;
	return NULL;
}

/* What would silently be no authentication, or one that proves nothing, is a mistake. */
static int end_section(struct reader *r, struct cl_error *err)
{
	const struct lun_chap *c = &r->now;

	if (r->section == NO_SECTION)
		return 0;
	r->line = r->section_line;
	if (!c->user[0] || !c->secret[0])
		return bad(r, err, "this section needs a user and a secret");
	if (!c->target_user[0] != !c->target_secret[0])
		return bad(r, err, "target-user and target-secret belong together");
	/* RFC 7143, 12.1.3: else the target's answer could be our own, sent back. */
	if (c->target_secret[0] && strcmp(c->secret, c->target_secret) == 0)
		return bad(r, err, "secret and target-secret must differ");
	if (r->section == OURS)
		r->ours = *c;
	else if (r->section == FOR_ALL)
		r->all = *c;
	return 0;
}

static int begin_section(struct reader *r, char *line, struct cl_error *err)
{
	unsigned here = r->line;
	size_t len = strlen(line);
	int e = end_section(r, err);

	if (e < 0)
		return e;
	r->line = r->section_line = here;
	if (line[len - 1] != ']' || len < 3)
		return bad(r, err, "a section is [IQN] or [*]");
	line[len - 1] = '\0';
	line = trim(line + 1);
	memset(&r->now, 0, sizeof(r->now));
	r->section = strcmp(line, "*") == 0	    ? FOR_ALL
		     : strcmp(line, r->target) == 0 ? OURS
						    : FOREIGN;
	if (r->section == OURS && r->have_ours)
		return bad(r, err, "a second section for the same target");
	r->have_ours |= r->section == OURS;
	return 0;
}

static int take_line(struct reader *r, char *line, struct cl_error *err)
{
	char *eq, *to, *value;

	line = trim(line);
	if (!*line || *line == '#')
		return 0;
	if (*line == '[')
		return begin_section(r, line, err);
	eq = strchr(line, '=');
	if (!eq)
		return bad(r, err, "neither a section nor key = value");
	*eq = '\0';
	to = field(&r->now, trim(line));
	value = trim(eq + 1);
	if (!to)
		return bad(r, err, "unknown key");
	if (r->section == NO_SECTION)
		return bad(r, err, "a key before the first section");
	if (*to)
		return bad(r, err, "the key stands twice in this section");
	if (!*value || strlen(value) > LUN_NAME_MAX)
		return bad(r, err, "the value is empty or longer than 223 bytes");
	memcpy(to, value, strlen(value) + 1);
	return 0;
}

int lun_chap_parse(const char *text, const char *name, const char *target, struct lun_chap *ret,
		   struct cl_error *err)
{
	struct reader r = { .name = name, .target = target };
	char line[LINE_MAX_BYTES];
	int e = 0;

	for (const char *p = text; *p && e == 0;) {
		size_t n = strcspn(p, "\n");

		r.line++;
		if (n >= sizeof(line)) {
			e = bad(&r, err, "the line is too long");
			break;
		}
		memcpy(line, p, n);
		line[n] = '\0';
		e = take_line(&r, line, err);
		p += n + (p[n] == '\n');
	}
	if (e == 0)
		e = end_section(&r, err);
	if (e == 0)
		*ret = r.have_ours ? r.ours : r.all;
	explicit_bzero(&r, sizeof(r));
	explicit_bzero(line, sizeof(line));
	return e;
}

/* ---- the file ---- */

static int check_mode(int fd, struct cl_error *err)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return cl_error_errno(err, -errno, "%s", chap_file);
	if (!S_ISREG(st.st_mode))
		return cl_error_set(err, -EPERM, "%s is not a regular file", chap_file);
	if (st.st_mode & 077 || (st.st_uid != 0 && st.st_uid != geteuid())) {
		(void)cl_error_set(err, -EPERM,
				   "%s can be read or changed by others (mode %03o): not used",
				   chap_file, (unsigned)st.st_mode & 0777);
		(void)cl_error_hint(err, "chown root %s; chmod 600 %s; and change the secrets",
				    chap_file, chap_file);
		return -EPERM;
	}
	if (st.st_size >= FILE_MAX)
		return cl_error_set(err, -EINVAL, "%s is larger than 64 KiB", chap_file);
	return 0;
}

int lun_chap_lookup(const char *target, struct lun_chap *ret, struct cl_error *err)
{
	_cleanup_close_ int fd = open(chap_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char text[FILE_MAX];
	ssize_t n;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", chap_file);
	r = check_mode(fd, err);
	if (r < 0)
		return r;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return cl_error_errno(err, -errno, "%s", chap_file);
	text[n] = '\0';
	r = lun_chap_parse(text, chap_file, target, ret, err);
	explicit_bzero(text, sizeof(text));
	return r;
}
