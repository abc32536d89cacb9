/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cl_assert() is never compiled out: NDEBUG does not touch it. It is for what the program itself
 * guarantees. Input from disk, wire or operator is checked with errors, never with this: the same
 * replicated input would stop every node at once.
 */
#ifndef CL_LIB_ASSERT_H
#define CL_LIB_ASSERT_H

/* Called with the failed expression before abort(); for dumping state. May be NULL. */
extern void (*cl_assert_hook)(const char *expr, const char *file, int line);

_Noreturn void cl_assert_failed(const char *expr, const char *file, int line, const char *func);

#define cl_assert(expr) ((expr) ? (void)0 : cl_assert_failed(#expr, __FILE__, __LINE__, __func__))

#endif
