/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/keeper_msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int keeper_send(int sock, enum keeper_kind kind, const char *name, int error, const int *fds)
{
	struct keeper_msg msg = { .kind = kind, .error = error };
	struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;

	if (name)
		(void)strncpy(msg.name, name, sizeof(msg.name) - 1);
	if (fds) {
		hdr.msg_control = control.buf;
		hdr.msg_controllen = sizeof(control.buf);
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, 2 * sizeof(int));
	}
	while (sendmsg(sock, &hdr, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void take_fds(struct msghdr *hdr, int ret_fds[2])
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr);

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(2 * sizeof(int)))
		memcpy(ret_fds, CMSG_DATA(cmsg), 2 * sizeof(int));
}

int keeper_recv(int sock, struct keeper_msg *ret, int ret_fds[2])
{
	struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
	union {
		char buf[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	ret_fds[0] = ret_fds[1] = -1;
	do
		n = recvmsg(sock, &hdr, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	take_fds(&hdr, ret_fds);
	if (n != sizeof(*ret))
		return -EBADMSG;
	ret->name[sizeof(ret->name) - 1] = 0;
	return 1;
}
