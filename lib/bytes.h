/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An amount of data for people. */
#ifndef CL_LIB_BYTES_H
#define CL_LIB_BYTES_H

#include <stdint.h>

#define CL_BYTES_SIZE 24

/* "512 B", "64.0 KiB", "1.5 GiB". Returns buf. */
const char *cl_bytes(uint64_t bytes, char buf[CL_BYTES_SIZE]);

#endif
