/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/posix/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Where a path ends: its directory, its last name, and what is there. */
struct place {
	struct tree_node *dir;
	char name[24];
	struct tree_entry *entry; /* NULL: nothing */
};

static struct tree_node *node_new(enum tree_type type)
{
	struct tree_node *n = calloc(1, sizeof(*n));

	if (!n)
		abort();
	n->type = type;
	n->links = 1;
	return n;
}

struct tree_node *tree_new(void)
{
	return node_new(TREE_DIR);
}

static void node_drop(struct tree_node *n)
{
	if (!--n->links)
		free(n);
}

void tree_free(struct tree_node *root)
{
	for (size_t i = 0; i < TREE_NAMES; i++) {
		struct tree_node *n = root->entry[i].node;

		if (n && n->type == TREE_DIR)
			tree_free(n);
		else if (n)
			node_drop(n);
	}
	free(root);
}

static struct tree_entry *entry_of(struct tree_node *dir, const char *name)
{
	for (size_t i = 0; i < TREE_NAMES; i++)
		if (dir->entry[i].node && !strcmp(dir->entry[i].name, name))
			return &dir->entry[i];
	return NULL;
}

/* 0, or why the way there fails. A symbolic link on it leads nowhere. */
static int walk(struct tree_node *root, const char *path, struct place *ret)
{
	struct tree_node *dir = root;

	for (;;) {
		const char *slash = strchr(path, '/');
		size_t len = slash ? (size_t)(slash - path) : strlen(path);
		struct tree_entry *e;

		if (dir->type != TREE_DIR)
			return dir->type == TREE_LINK ? ENOENT : ENOTDIR;
		memset(ret, 0, sizeof(*ret));
		memcpy(ret->name, path, len);
		ret->dir = dir;
		e = ret->entry = entry_of(dir, ret->name);
		if (!slash)
			return 0;
		if (!e)
			return ENOENT;
		dir = e->node;
		path = slash + 1;
	}
}

static void put(struct place *p, struct tree_node *n)
{
	for (size_t i = 0; i < TREE_NAMES; i++) {
		if (p->dir->entry[i].node)
			continue;
		p->dir->entry[i].node = n;
		memcpy(p->dir->entry[i].name, p->name, sizeof(p->name));
		return;
	}
	abort();
}

static int make(struct tree_node *root, const char *path, enum tree_type type)
{
	struct place p;
	int e = walk(root, path, &p);

	if (e || p.entry)
		return e ? e : EEXIST;
	put(&p, node_new(type));
	return 0;
}

int tree_create(struct tree_node *root, const char *path)
{
	return make(root, path, TREE_FILE);
}

int tree_mkdir(struct tree_node *root, const char *path)
{
	return make(root, path, TREE_DIR);
}

int tree_symlink(struct tree_node *root, const char *path)
{
	return make(root, path, TREE_LINK);
}

int tree_link(struct tree_node *root, const char *from, const char *to)
{
	struct place a, b;
	int e = walk(root, from, &a);

	if (!e && !a.entry)
		e = ENOENT;
	if (!e)
		e = walk(root, to, &b);
	if (e)
		return e;
	if (b.entry)
		return EEXIST;
	if (a.entry->node->type == TREE_DIR)
		return EPERM;
	a.entry->node->links++;
	put(&b, a.entry->node);
	return 0;
}

static bool is_empty(const struct tree_node *dir)
{
	for (size_t i = 0; i < TREE_NAMES; i++)
		if (dir->entry[i].node)
			return false;
	return true;
}

static void take(struct tree_entry *e)
{
	node_drop(e->node);
	e->node = NULL;
}

int tree_unlink(struct tree_node *root, const char *path)
{
	struct place p;
	int e = walk(root, path, &p);

	if (e || !p.entry)
		return e ? e : ENOENT;
	if (p.entry->node->type == TREE_DIR)
		return EISDIR;
	take(p.entry);
	return 0;
}

int tree_rmdir(struct tree_node *root, const char *path)
{
	struct place p;
	int e = walk(root, path, &p);

	if (e || !p.entry)
		return e ? e : ENOENT;
	if (p.entry->node->type != TREE_DIR)
		return ENOTDIR;
	if (!is_empty(p.entry->node))
		return ENOTEMPTY;
	take(p.entry);
	return 0;
}

static bool is_below(const struct tree_node *top, const struct tree_node *n)
{
	if (top == n)
		return true;
	for (size_t i = 0; top->type == TREE_DIR && i < TREE_NAMES; i++)
		if (top->entry[i].node && is_below(top->entry[i].node, n))
			return true;
	return false;
}

static int check_replace(const struct tree_node *from, const struct tree_node *to)
{
	if (from->type == TREE_DIR && to->type != TREE_DIR)
		return ENOTDIR;
	if (from->type != TREE_DIR && to->type == TREE_DIR)
		return EISDIR;
	return to->type == TREE_DIR && !is_empty(to) ? ENOTEMPTY : 0;
}

/* In the order in which Linux finds fault. */
static int check_rename(const struct place *a, const struct place *b, bool exchange)
{
	if (!a->entry || (exchange && !b->entry))
		return ENOENT;
	if (a->entry->node->type == TREE_DIR && is_below(a->entry->node, b->dir))
		return EINVAL;
	if (b->entry && b->entry->node->type == TREE_DIR && is_below(b->entry->node, a->dir))
		return exchange ? EINVAL : ENOTEMPTY;
	if (b->entry && !exchange && a->entry->node != b->entry->node)
		return check_replace(a->entry->node, b->entry->node);
	return 0;
}

int tree_rename(struct tree_node *root, const char *from, const char *to, bool exchange)
{
	struct place a, b;
	struct tree_node *n;
	int e = walk(root, from, &a);

	if (!e)
		e = walk(root, to, &b);
	if (!e)
		e = check_rename(&a, &b, exchange);
	if (e || (b.entry && a.entry->node == b.entry->node))
		return e;
	n = a.entry->node;
	if (exchange) {
		a.entry->node = b.entry->node;
		b.entry->node = n;
		return 0;
	}
	a.entry->node = NULL;
	if (b.entry)
		take(b.entry);
	put(&b, n);
	return 0;
}

struct tree_node *tree_find(struct tree_node *root, const char *path, int *ret_errno)
{
	struct place p;

	*ret_errno = walk(root, path, &p);
	if (*ret_errno)
		return NULL;
	*ret_errno = p.entry ? 0 : ENOENT;
	return p.entry ? p.entry->node : NULL;
}

static void set_size(struct tree_node *n, size_t size)
{
	if (size < n->size)
		memset(n->data + size, 0, n->size - size);
	n->size = size;
}

int tree_truncate(struct tree_node *root, const char *path, size_t size)
{
	int e;
	struct tree_node *n = tree_find(root, path, &e);

	if (!n)
		return e;
	if (n->type != TREE_FILE)
		return n->type == TREE_DIR ? EISDIR : ENOENT;
	set_size(n, size);
	return 0;
}

int tree_append(struct tree_node *root, const char *path, const void *data, size_t len)
{
	int e;
	struct tree_node *n = tree_find(root, path, &e);

	if (!n)
		return e;
	if (n->type != TREE_FILE)
		return n->type == TREE_DIR ? EISDIR : ELOOP;
	if (n->size + len > TREE_DATA)
		return EFBIG;
	memcpy(n->data + n->size, data, len);
	n->size += len;
	return 0;
}

unsigned tree_dir_links(const struct tree_node *dir)
{
	unsigned links = 2;

	for (size_t i = 0; i < TREE_NAMES; i++)
		links += dir->entry[i].node && dir->entry[i].node->type == TREE_DIR;
	return links;
}
