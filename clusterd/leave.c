/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "clusterd/leave.h"

#include <corosync/cfg.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

static void aside(const char *dir, const char *name)
{
	char from[PATH_MAX], to[PATH_MAX];

	(void)snprintf(from, sizeof(from), "%s/%s", dir, name);
	(void)snprintf(to, sizeof(to), "%s/%s.left", dir, name);
	if (rename(from, to) < 0 && errno != ENOENT)
		log_error("%s cannot be moved aside: %s", from, strerror(errno));
}

/* All that is in the directory, into one beneath it: what is there is the store's business. */
static void database_aside(const char *dir)
{
	char from[PATH_MAX], to[PATH_MAX];
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)snprintf(to, sizeof(to), "%s/left", dir);
	if (!d || (mkdir(to, 0700) < 0 && errno != EEXIST)) {
		log_error("%s: %s", dir, strerror(errno));
		if (d)
			(void)closedir(d);
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || strcmp(e->d_name, "left") == 0)
			continue;
		(void)snprintf(from, sizeof(from), "%s/%s", dir, e->d_name);
		(void)snprintf(to, sizeof(to), "%s/left/%s", dir, e->d_name);
		if (rename(from, to) < 0)
			log_error("%s: %s", from, strerror(errno));
	}
	(void)closedir(d);
}

static void end_corosync(void)
{
	corosync_cfg_handle_t cfg;
	static corosync_cfg_callbacks_t none;

	if (corosync_cfg_initialize(&cfg, &none) != CS_OK)
		return;
	(void)corosync_cfg_try_shutdown(cfg, COROSYNC_CFG_SHUTDOWN_FLAG_IMMEDIATE);
	(void)corosync_cfg_finalize(cfg);
}

void leave_forget(const struct conf *conf)
{
	char path[PATH_MAX];

	aside(conf->corosync_directory, "corosync.conf");
	aside(conf->corosync_directory, "authkey");
	database_aside(conf->data_directory);
	(void)snprintf(path, sizeof(path), "%s/incarnation", conf->run_directory);
	(void)unlink(path);
	end_corosync();
}
