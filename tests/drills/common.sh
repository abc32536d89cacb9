# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What all drills have in common, those in the lab (lib.sh) and those with a target and namespaces of their own
# (tests/csvd/lib.sh, tests/lun/target.sh).

step() { printf -- '-- %s\n' "$*"; }
fail() {
	printf 'FAIL: %s\n' "$*"
	exit 1
}
now_ms() {
	local s=$EPOCHREALTIME
	echo $((${s/[.,]/} / 1000))
}
# Its output is seen; wait_for of lib.sh is the quiet one.
wait_until() {	# SECONDS COMMAND...
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		(($(now_ms) < end)) || fail "never true: $*"
		sleep 0.02
	done
}

# The process is in a network namespace of its own. What cannot be read is no other one yet: a cable laid to it
# would end in the namespace of this machine.
other_net() {	# PID
	local ns
	ns=$(readlink "/proc/$1/ns/net") && [[ $ns && $ns != "$(readlink /proc/self/ns/net)" ]]
}

# By the caller's tgtadm: target 1 with the file as LUN 1, for everybody.
target_fill() {	# IQN FILE
	local option
	tgtadm --mode target --op new --tid 1 --targetname "$1"
	for option in MaxRecvDataSegmentLength=262144 MaxXmitDataSegmentLength=262144 \
		FirstBurstLength=262144 MaxBurstLength=1048576 InitialR2T=No ImmediateData=Yes; do
		tgtadm --mode target --op update --tid 1 --name "${option%=*}" --value "${option#*=}"
	done
	tgtadm --mode logicalunit --op new --tid 1 --lun 1 --bstype rdwr --backing-store "$2"
	tgtadm --mode target --op bind --tid 1 --initiator-address ALL
}
