#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab/node-root.sh NODE-NAME RUN-DIR NODE-DISK LAB-DISK COROSYNC-DIR
#
# The first process of a node, in its new namespaces: makes the node's root and becomes its PID 1.
# The root is this machine's, read through overlayfs, with a copy of corosync's package in the upper
# layer (as a lower one it would overlap with the machine's, which overlayfs refuses); what is written
# goes to memory and is gone with the power. Own /run, /tmp, /dev, /dev/shm. On disk, across
# power cuts: /etc/clusterd, /etc/corosync, /var/lib/clusterd, /var/lib/corosync, /var/log.
# Our parent waits for the pid in RUN-DIR/up; we wait for the network, a line in RUN-DIR/go.
set -euo pipefail

name=$1 run=$2 disk=$3 lab_disk=$4 corosync=$5
memory=$run/root

# -n: nothing about our mounts in the machine's /run/mount.
mount() { command mount -n "$@"; }

# The first of NSpid. By /proc/self, for /proc is still the outer one and our own numbers mean
# somebody else there; and by a builtin, for /proc/self of awk would be awk.
read_host_pid() {
	local key pid _
	while read -r key pid _; do
		[[ $key != NSpid: ]] || { echo "$pid"; return; }
	done </proc/self/status
}

mount_root() {
	mount -t tmpfs -o mode=755 lab-node "$memory"
	mkdir -p "$memory"/{upper,work,root}
	cp -a "$corosync"/{usr,etc,var} "$memory/upper/"
	mkdir -p "$memory"/upper/{opt/clusterd,opt/lab,var/lib/{clusterd,corosync},etc/{clusterd,corosync},var/log,tmp,ClusterStorage}
	mount -t overlay -o "lowerdir=/,upperdir=$memory/upper,workdir=$memory/work" lab-node "$memory/root"
	cd "$memory/root"
}

mount_kernel_views() {
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	mount -t cgroup2 cgroup2 sys/fs/cgroup
	[[ ! -d sys/fs/fuse/connections ]] || mount -t fusectl fusectl sys/fs/fuse/connections
}

make_device() {	# PATH MODE MAJOR MINOR
	mknod -m "$2" "dev/$1" c "$3" "$4"
}
mount_devices() {
	mount -t tmpfs -o mode=755,nosuid lab-dev dev
	mkdir dev/pts dev/shm dev/net dev/mqueue
	make_device null 666 1 3
	make_device zero 666 1 5
	make_device full 666 1 7
	make_device random 666 1 8
	make_device urandom 666 1 9
	make_device tty 666 5 0
	make_device fuse 666 10 229
	: >dev/watchdog
	mount --bind "$run/watchdog" dev/watchdog
	make_device net/tun 666 10 200
	if [[ -e /dev/kvm ]]; then
		make_device kvm 660 10 232
		chown --reference=/dev/kvm dev/kvm
	fi
	ln -s /proc/self/fd dev/fd
	ln -s /proc/self/fd/0 dev/stdin
	ln -s /proc/self/fd/1 dev/stdout
	ln -s /proc/self/fd/2 dev/stderr
	ln -s pts/ptmx dev/ptmx
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
	mount -t tmpfs -o size=1g,mode=1777 lab-shm dev/shm
	mount -t mqueue mqueue dev/mqueue
}

mount_own_directories() {
	mount -t tmpfs -o mode=755 lab-run run
	mkdir -p run/lab run/lock run/clusterd
	mount -t tmpfs -o mode=1777 lab-tmp tmp
	mount --bind "$disk/etc-clusterd" etc/clusterd
	mount --bind "$disk/etc-corosync" etc/corosync
	mount --bind "$disk/clusterd" var/lib/clusterd
	mount --bind "$disk/corosync" var/lib/corosync
	mount --bind "$disk/log" var/log
	mount_read_only "$lab_disk/root/opt/clusterd" opt/clusterd
	mount_read_only "$lab_disk/share" opt/lab
	mkdir -p mnt/shared # one directory for all nodes, as a share is
	mount --bind "$lab_disk/shared" mnt/shared
}
mount_read_only() {
	mount --bind "$1" "$2"
	mount -o remount,bind,ro "$2"
}

write_identity() {
	hostname "$name"
	rm -f etc/hostname etc/hosts
	echo "$name" >etc/hostname
	cp "$lab_disk/hosts" etc/hosts
	install -m 755 "$lab_disk/tools/init" usr/local/sbin/lab-init
	cp "$disk/services" etc/lab-services
}

# Not bbr, which may be this machine's: it paces small messages over a cable that has no length. A namespace may only
# have what its machine allows: Debian's own, or the oldest.
set_network() {
	local file=proc/sys/net/ipv4/tcp_congestion_control
	{ echo cubic >$file || echo reno >$file || true; } 2>/dev/null
}

read_host_pid >"$run/up"
mount_root
mount_kernel_views
set_network
mount_devices
mount_own_directories
write_identity
# PID 1 and all daemons in one leaf: the root of the node's subtree stays free of processes, as
# cgroup2 wants it of whoever makes child groups with controllers.
mkdir sys/fs/cgroup/init
echo 0 >sys/fs/cgroup/init/cgroup.procs
read -r -t 30 _ 0<>"$run/go" || { echo "no network within 30 s" >&2; exit 1; }
mkdir -p run/.old
pivot_root . run/.old
cd /
umount -n -l /run/.old
rmdir /run/.old
ulimit -Sn "$(ulimit -Hn)"
exec env -i PATH=/opt/clusterd/sbin:/opt/clusterd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	HOME=/root LANG=C.UTF-8 /usr/local/sbin/lab-init /etc/lab-services </dev/null
