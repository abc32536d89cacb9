/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The node ids of directories: inode number, and a tag made of the place (directory and name). Pure.
 *
 * A kernel has one entry for a directory's node. When another mount moved the directory, and it turns up under
 * its new name while the kernel still has it under the old one, the kernel moves its entry; but inside a call
 * that has locked the directories concerned, a rename above all, it cannot, and the call ends with ESTALE, the
 * second try too. So a directory is another node at another place (with the same inode number): the old
 * entry dies when it is looked at next, and nothing has to be moved.
 *
 * Tags follow from places, so that nothing has to be remembered over a restart of csvd, but for one thing: what
 * the kernel renamed itself keeps its node, and with it its tag. Were that forgotten, the kernel would drop the
 * entry, and a process whose working directory it is would no longer know its path. So no harm is done when it
 * is: by a restart, or because there were too many.
 */
#ifndef CL_CSV_PLACES_H
#define CL_CSV_PLACES_H

#include <stdbool.h>
#include <stdint.h>

struct places;

struct places *places_new(void); /* NULL: out of memory */
void places_free(struct places *places);

/* parent: its node id, tag and all. What lies below a directory that moved is another node, too. */

/* Of a directory that is there. Never 0, and not that of a directory that the kernel has moved elsewhere. */
uint32_t places_tag(const struct places *places, uint64_t parent, const char *name);
/* What is there, if anything, is no directory that the kernel moved. */
void places_drop(struct places *places, uint64_t parent, const char *name);
/* The kernel renamed what was there. */
void places_moved(struct places *places, uint64_t parent, const char *name, uint64_t new_parent,
		  const char *new_name, bool exchange);

#endif
