/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses as text. */
#ifndef CL_LIB_ADDRESS_H
#define CL_LIB_ADDRESS_H

#include <sys/socket.h>

/* An IPv4 or IPv6 address (no name) with a port: the length of *ret, or -EINVAL. */
int cl_address_parse(const char *text, unsigned port, struct sockaddr_storage *ret);

#endif
