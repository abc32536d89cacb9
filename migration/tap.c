/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "migration/tap.h"

#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"

#ifndef SIOCBRADDIF
#define SIOCBRADDIF 0x89a2
#endif

static int add_to_bridge(int sock, const char *tap, const char *bridge, struct cl_error *err)
{
	struct ifreq ifr = { 0 };

	ifr.ifr_ifindex = (int)if_nametoindex(tap);
	if (ifr.ifr_ifindex == 0)
		return cl_error_errno(err, -errno, "%s", tap);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", bridge);
	if (ioctl(sock, SIOCBRADDIF, &ifr) < 0) {
		cl_error_errno(err, -errno, "cannot put %s on bridge '%s'", tap, bridge);
		return cl_error_hint(err, "does this node have a bridge of that name?");
	}
	return 0;
}

static int set_up(int sock, const char *tap, struct cl_error *err)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", tap);
	if (ioctl(sock, SIOCGIFFLAGS, &ifr) < 0)
		return cl_error_errno(err, -errno, "%s: flags", tap);
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr) < 0)
		return cl_error_errno(err, -errno, "%s: up", tap);
	return 0;
}

int tap_open(const char *bridge, struct cl_error *err)
{
	struct ifreq ifr = { .ifr_name = "vmtap%d",
			     .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	_cleanup_close_ int fd = -1, sock = -1;
	int r;

	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	if (fd < 0)
		return cl_error_errno(err, -errno, "/dev/net/tun");
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return cl_error_errno(err, -errno, "cannot make a tap device");
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return cl_error_errno(err, -errno, "socket");
	r = add_to_bridge(sock, ifr.ifr_name, bridge, err);
	if (r == 0)
		r = set_up(sock, ifr.ifr_name, err);
	return r < 0 ? r : cl_steal_fd(&fd);
}
