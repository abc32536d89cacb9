# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The iSCSI target: tgtd in namespaces of its own, with two portals on the storage network. The
# namespaces (a holder's) and the portals outlive tgtd: `target stop` is the target's process dying.
#
# LUNs are sparse files in $DISK/luns/NAME.img; each is LUN 1 of a target iqn.2026-11.lab:NAME. The
# order they were made in is $RUN/luns, tid = line. Backing store "rdwr": "aio" answers GOOD to
# SYNCHRONIZE CACHE without doing anything.

target_start_namespaces() {
	mkdir "$CG/target"
	holder_start target --net --mount
	# The control socket is a path below /run: private, or two labs would talk to one tgtd.
	in_target mount -n -t tmpfs -o mode=755 lab-target-run /run
	in_target mkdir /run/tgtd
	target_cables
	mkdir -p "$DISK/luns" "$DISK/target"
	control_write 0 0
}
in_target() { nsenter -t "$(cat "$RUN/target.pid")" -n -m -r -w -- "$@"; }

# Two portals in one subnet and one network namespace: each address answers, and is answered from,
# its own cable only, else cutting one portal would cut both or none.
target_cables() {
	local pid n
	pid=$(cat "$RUN/target.pid")
	for n in 1 2; do
		cable "target$n" storage "$pid" "portal$n" "$(mac_of 2 "$n" 1)"
	done
	in_target bash -c '
		echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
		echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce
		file=/proc/sys/net/ipv4/tcp_congestion_control # as nodes have it
		{ echo cubic >$file || echo reno >$file || true; } 2>/dev/null'
	{
		echo "link set dev lo up"
		for n in 1 2; do
			echo "link set dev portal$n addrgenmode none up"
			echo "address add $(portal_address $n)/24 dev portal$n noprefixroute"
			echo "route add $(subnet_of storage).0/24 dev portal$n src $(portal_address $n) table 10$n"
			echo "rule add from $(portal_address $n) table 10$n"
		done
	} | in_target ip -batch -
}

tgtadm() { in_target env LD_LIBRARY_PATH="$TGT_LIB" "$TGT/usr/sbin/tgtadm" --lld iscsi "$@"; }

# In place: the file is mapped by the shim in tgtd.
control_write() { printf '%10d %1d\n' "$1" "$2" 1<>"$DISK/target/control"; }

target_pid() {
	local pid
	{ read -r pid <"$CG/target/tgtd/cgroup.procs"; } 2>/dev/null && echo "$pid"
}

target_start() {
	local name tid=0
	mkdir -p "$CG/target/tgtd"
	if [[ $(target_kind) == istgt ]]; then
		istgt_start
		return
	fi
	start_in "$CG/target/tgtd" "$DISK/target/tgtd.log" nsenter -t "$(cat "$RUN/target.pid")" -n -m -r -w -- \
		env LD_LIBRARY_PATH="$TGT_LIB" LD_PRELOAD="$DISK/tools/delay.so" \
		LAB_TARGET_CONTROL="$DISK/target/control" "$TGT/usr/sbin/tgtd" -f
	until_true 20 target_answers || die "$E_FAIL" "tgtd does not answer: $(tail -n 3 "$DISK/target/tgtd.log")"
	while read -r name; do
		tid=$((tid + 1))
		target_export "$tid" "$name"
	done <"$RUN/luns"
}
target_answers() { tgtadm --mode sys --op show >/dev/null 2>&1; }

# SIGKILL: it ignores SIGTERM while it has targets.
target_stop() { cgroup_end "$CG/target/tgtd"; }

target_export() {	# TID NAME
	local option
	tgtadm --mode target --op new --tid "$1" --targetname "$(lun_iqn "$2")"
	# The defaults (8 KiB) cost an initiator 3.5 times the CPU for large writes.
	for option in MaxRecvDataSegmentLength=262144 MaxXmitDataSegmentLength=262144 \
		FirstBurstLength=262144 MaxBurstLength=1048576 InitialR2T=No ImmediateData=Yes \
		MaxOutstandingR2T=8; do
		tgtadm --mode target --op update --tid "$1" --name "${option%=*}" --value "${option#*=}"
	done
	tgtadm --mode logicalunit --op new --tid "$1" --lun 1 --bstype rdwr --backing-store "$(lun_path "$2")"
	tgtadm --mode target --op bind --tid "$1" --initiator-address ALL
}

target_add() {	# NAME, the last of $RUN/luns
	if [[ $(target_kind) == istgt ]]; then
		target_stop
		target_start
	else
		target_export "$(wc -l <"$RUN/luns")" "$1"
	fi
}

lun_path() { echo "$DISK/luns/$1.img"; }
lun_iqn() { echo "iqn.2026-11.lab:$1"; }
lun_url() { echo "iscsi://$(portal_address 1),$(portal_address 2)/$(lun_iqn "$1")/1"; }
lun_make() {	# NAME SIZE
	truncate -s "$2" "$(lun_path "$1")" || die "$E_USAGE" "size '$2'? for example 512M, 4G"
	echo "$1" >>"$RUN/luns"
}

verb_lun() {
	need_up
	case ${1-} in
	add)
		[[ ${2-} =~ ^[a-z0-9][a-z0-9-]*$ && ${3-} =~ ^[1-9][0-9]*[KMGT]?$ ]] || usage
		uninterrupted
		! grep -qx -- "$2" "$RUN/luns" || die "$E_ALREADY" "LUN $2 exists already"
		lun_make "$2" "$3"
		! target_pid >/dev/null || target_add "$2"
		lun_path "$2"
		;;
	'') usage ;;
	*)
		grep -qx -- "$1" "$RUN/luns" || die "$E_NONE" "no LUN '$1' (there are: $(xargs <"$RUN/luns"))"
		if [[ ${2-} == --url ]]; then lun_url "$1"; else lun_path "$1"; fi
		;;
	esac
}

verb_portal() {
	need_up
	[[ ${1-} =~ ^[0-9]+$ && ${2-} =~ ^(cut|mend)$ ]] || usage
	[[ $1 == [12] ]] || die "$E_NONE" "no portal $1 (there are: 1 2)"
	uninterrupted
	local mark=$RUN/portal$1.cut
	if [[ $2 == cut ]]; then
		[[ ! -e $mark ]] || die "$E_ALREADY" "portal $1 is cut already"
		in_switch ip link set dev "$(plug_name "target$1" storage)" down
		: >"$mark"
	else
		[[ -e $mark ]] || die "$E_ALREADY" "portal $1 is not cut"
		in_switch ip link set dev "$(plug_name "target$1" storage)" up
		rm "$mark"
	fi
}

verb_target() {
	need_up
	case ${1-} in
	start|stop|restart|fill) (($# == 1)) || usage ;;
	delay) [[ $# == 2 && $2 =~ ^[0-9]{1,9}$ ]] || usage ;;
	*) usage ;;
	esac
	uninterrupted
	case $1 in
	start)
		! target_pid >/dev/null || die "$E_ALREADY" "the target runs already"
		control_write 0 0
		target_start
		;;
	stop)
		target_pid >/dev/null || die "$E_ALREADY" "the target is stopped already"
		target_stop
		;;
	restart) target_stop; target_start ;;
	delay) control_write "$2" 0 ;;
	fill) control_write "$(cut -c1-10 "$DISK/target/control")" 1 ;;
	esac
}
