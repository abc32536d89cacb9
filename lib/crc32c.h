/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CRC-32C (Castagnoli, reflected 0x82f63b78), as in RFC 3720 B.4. Pure. */
#ifndef CL_LIB_CRC32C_H
#define CL_LIB_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue `crc` over n bytes; begin with 0. cl_crc32c(cl_crc32c(0, a), b) = crc of a then b. */
uint32_t cl_crc32c(uint32_t crc, const void *data, size_t n);

#endif
