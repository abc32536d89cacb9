/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A directory tree in memory and what calls on it answer: the model that a mount is held against. Names only,
 * no owners: everything is done as root. Paths are relative to the root of the tree, without "." and "..".
 */
#ifndef CL_TESTS_TREE_H
#define CL_TESTS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREE_NAMES 32
#define TREE_DATA 8192

enum tree_type { TREE_FILE, TREE_DIR, TREE_LINK };

struct tree_node {
	enum tree_type type;
	unsigned links;
	size_t size;
	uint8_t data[TREE_DATA]; /* of files; zeros beyond size */
	struct tree_entry {
		char name[24];
		struct tree_node *node; /* NULL: free */
	} entry[TREE_NAMES];
};

struct tree_node *tree_new(void);
void tree_free(struct tree_node *root);

/* Each: 0 or the errno that the call has to give; the tree changes only on 0. */
int tree_create(struct tree_node *root, const char *path); /* O_CREAT | O_EXCL */
int tree_mkdir(struct tree_node *root, const char *path);
int tree_symlink(struct tree_node *root, const char *path); /* to "nowhere" */
int tree_link(struct tree_node *root, const char *from, const char *to);
int tree_unlink(struct tree_node *root, const char *path);
int tree_rmdir(struct tree_node *root, const char *path);
int tree_rename(struct tree_node *root, const char *from, const char *to, bool exchange);
int tree_truncate(struct tree_node *root, const char *path, size_t size);
/* O_WRONLY | O_APPEND | O_NOFOLLOW, one write; EFBIG (of the model alone): it would not fit. */
int tree_append(struct tree_node *root, const char *path, const void *data, size_t len);
/* The node, or NULL and *ret_errno. */
struct tree_node *tree_find(struct tree_node *root, const char *path, int *ret_errno);
unsigned tree_dir_links(const struct tree_node *dir);

#endif
