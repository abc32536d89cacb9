/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Growing arrays by type. CL_DEFINE_VEC(int_vec, int) gives
 *
 *     struct int_vec { int *v; size_t n, cap; };       zero-initialised = empty
 *     int  int_vec_reserve(struct int_vec *, size_t n) room for n more; 0 or -ENOMEM
 *     int  int_vec_push(struct int_vec *, int x)       append a copy; 0 or -ENOMEM
 *     void int_vec_remove(struct int_vec *, size_t i)  keeps the order
 *     void int_vec_clear(struct int_vec *)             empty, memory kept
 *     void int_vec_fini(struct int_vec *)              frees the array (not what elements point to)
 */
#ifndef CL_LIB_VEC_H
#define CL_LIB_VEC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CL_DEFINE_VEC(name, type)                                                                  \
	struct name {                                                                              \
		type *v;                                                                           \
		size_t n, cap;                                                                     \
	};                                                                                         \
	__attribute__((unused)) static inline int name##_reserve(struct name *vec, size_t more)    \
	{                                                                                          \
		size_t cap = vec->cap ? vec->cap : 8;                                              \
		type *v;                                                                           \
                                                                                                   \
		if (vec->n + more <= vec->cap)                                                     \
			return 0;                                                                  \
		while (cap < vec->n + more)                                                        \
			cap *= 2;                                                                  \
		v = reallocarray(vec->v, cap, sizeof(type));                                       \
		if (!v)                                                                            \
			return -ENOMEM;                                                            \
		vec->v = v;                                                                        \
		vec->cap = cap;                                                                    \
		return 0;                                                                          \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_push(struct name *vec, type x)            \
	{                                                                                          \
		int r = name##_reserve(vec, 1);                                                    \
                                                                                                   \
		if (r < 0)                                                                         \
			return r;                                                                  \
		vec->v[vec->n++] = x;                                                              \
		return 0;                                                                          \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_remove(struct name *vec, size_t i)       \
	{                                                                                          \
		memmove(&vec->v[i], &vec->v[i + 1], (vec->n - i - 1) * sizeof(type));              \
		vec->n--;                                                                          \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_clear(struct name *vec)                  \
	{                                                                                          \
		vec->n = 0;                                                                        \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_fini(struct name *vec)                   \
	{                                                                                          \
		free(vec->v);                                                                      \
		*vec = (struct name){ 0 };                                                         \
	}                                                                                          \
	struct cl_require_semicolon_

#endif
