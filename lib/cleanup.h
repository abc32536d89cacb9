/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership by scope. A variable declared with one of these attributes releases what it holds when
 * it goes out of scope; cl_steal() and cl_steal_fd() hand it on and leave NULL / -1 behind.
 */
#ifndef CL_LIB_CLEANUP_H
#define CL_LIB_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cl_freep(void *p)
{
	free(*(void **)p);
}

static inline void cl_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void cl_fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

#define _cleanup_free_ _cleanup_(cl_freep)
#define _cleanup_close_ _cleanup_(cl_closep)
#define _cleanup_fclose_ _cleanup_(cl_fclosep)

/* Give away a pointer held by a cleanup variable. */
#define cl_steal(p)                                                                                \
	({                                                                                         \
		__typeof__(p) stolen_ = (p);                                                       \
		(p) = NULL;                                                                        \
		stolen_;                                                                           \
	})

/* Give away a file descriptor held by a cleanup variable. */
static inline int cl_steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

/* x_freep for a type whose x_free(T *) accepts NULL: CL_DEFINE_CLEANUP(struct foo, foo_free) */
#define CL_DEFINE_CLEANUP(type, fn)                                                                \
	static inline void fn##p(type **p)                                                         \
	{                                                                                          \
		fn(*p);                                                                            \
	}                                                                                          \
	struct cl_require_semicolon_

#endif
