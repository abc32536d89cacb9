/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file or block device in place of a LUN, on one machine, where several csvds open the same one. There
 * is nothing to fence with. What stands in for it: whoever does I/O holds a lock on the open file that
 * ends with the last I/O through it (iscsi/lun_uring.h). A debt is paid when the victim's are gone, that
 * is, after somebody has killed its csvd.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "csv/store.h"
#include "iscsi/lun_uring.h"

struct store_file {
	struct store store;
	char url[256];
	uint32_t node;
	struct cl_source *start;
};

static void move(struct store_file *f, enum store_state state)
{
	f->store.state = state;
	f->store.hooks.state(f->store.hooks.user, state, "");
}

static void on_start(void *user)
{
	struct store_file *f = user;

	if (f->store.state == STORE_IDLE)
		move(f, STORE_UP);
}

static void file_free(struct store *store)
{
	struct store_file *f = (struct store_file *)(void *)store;

	cl_source_free(f->start);
	free(f);
}

static int file_coordinate(struct store *store, struct cl_error *err)
{
	(void)err;
	store->hooks.ask_log(store->hooks.user);
	return 0;
}

static void file_log_says(struct store *store, bool still, const struct store_node *living,
			  size_t n_living)
{
	(void)living;
	(void)n_living;
	if (still && store->state == STORE_UP)
		move((struct store_file *)(void *)store, STORE_HOLDING);
}

/* An earlier process of our own node is no question: ours gets its locks only when that one's are gone. */
static bool is_quiet(const struct store_file *f, uint32_t node, struct cl_error *why)
{
	int held = node == f->node ? 0 : lun_local_held(f->url, node, why);

	if (held > 0)
		(void)cl_error_set(why, -EBUSY, "csvd of node %u still has %.200s open", node,
				   f->url);
	return !held;
}

static int file_fence(struct store *store, const Vol__Debt *const *debts, size_t n,
		      store_fence_done done, void *user, struct cl_error *err)
{
	struct store_file *f = (struct store_file *)(void *)store;
	struct cl_error why = CL_ERROR_INIT;
	bool paid = true;

	(void)err;
	for (size_t i = 0; i < n && paid; i++)
		paid = is_quiet(f, debts[i]->node, &why);
	done(user, paid, why.msg);
	return 0;
}

static int file_open(void *store, struct coord *coord, struct fs_dev **ret, struct cl_error *err)
{
	struct store_file *f = store;
	_cleanup_close_ int fd = open(lun_local_path(f->url), O_RDWR | O_CLOEXEC);
	int r;

	(void)coord;
	if (fd < 0)
		return cl_error_errno(err, -errno, "%s", f->url);
	r = lun_local_lock(fd, f->url, f->node, LUN_LOCAL_COORDINATOR, err);
	return r < 0 ? r : fs_dev_file_from_fd(cl_steal_fd(&fd), ret, err);
}

static void file_nothing(struct store *store)
{
	(void)store;
}

static void file_logged_in(struct store *store, struct coord *coord)
{
	(void)store;
	(void)coord;
}

/*
 * Nothing of `who` but what its process of now has under way itself. Before an earlier process's I/O has
 * ended the kernel does not give its node's lock to the next one, and without that lock a client does not
 * say HELLO (data_may_begin()); what the process of now has under way it knows, since no path of its own can
 * be lost here: it ends before it reclaims or says goodbye. The lock cannot be asked again from here as
 * for a debt: it is held, by the very process that greets, and waiting for its end would be for ever.
 */
static int file_kill(struct store *store, struct store_node who, uint64_t keep,
		     store_fence_done done, void *user, struct cl_error *err)
{
	(void)store;
	(void)who;
	(void)keep;
	(void)err;
	done(user, true, "");
	return 0;
}

static int file_permit(struct store *store, struct store_node who, uint64_t *ret_key,
		       uint8_t *ret_pr_type, struct cl_error *err)
{
	(void)store;
	(void)who;
	(void)err;
	*ret_key = 0;
	*ret_pr_type = 0;
	return 0;
}

static bool file_knows(const struct store *store, struct store_node who, uint64_t key)
{
	(void)store;
	(void)who;
	return !key;
}

static int file_see(struct store *store, uint64_t key, store_fence_done done, void *user)
{
	(void)store;
	(void)key;
	done(user, true, "");
	return 0;
}

static int file_give_up(struct store *store, store_fence_done done, void *user)
{
	(void)store;
	done(user, true, "");
	return 0;
}

static const struct store_ops file_ops = {
	.free = file_free,
	.coordinate = file_coordinate,
	.log_says = file_log_says,
	.fence = file_fence,
	.open = file_open,
	.logged_in = file_logged_in,
	.break_off = file_nothing,
	.kill = file_kill,
	.permit = file_permit,
	.knows = file_knows,
	.see = file_see,
	.give_up = file_give_up,
};

int store_file_new(struct cl_loop *loop, const struct store_config *config, struct store **ret,
		   struct cl_error *err)
{
	struct store_file *f = calloc(1, sizeof(*f));

	if (!f)
		return cl_error_set(err, -ENOMEM, "out of memory");
	f->store = (struct store){ .ops = &file_ops, .hooks = config->hooks };
	(void)snprintf(f->url, sizeof(f->url), "%s", config->url);
	f->node = config->node;
	if (cl_timer_new(loop, on_start, f, &f->start) < 0) {
		free(f);
		return cl_error_set(err, -ENOMEM, "out of memory");
	}
	(void)cl_timer_set_in(f->start, 0);
	*ret = &f->store;
	return 0;
}
