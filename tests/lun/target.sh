# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the fencing drills begin with: a real tgtd with a landing log, in namespaces of its own, and
# lun-node processes as nodes. Needs no lab. All is gone at the end, whatever happens.
#
#     target_start / target_kill
#     node_start NAME ARGS...      a lun-node; its stdin and stdout are held
#     tell NAME ORDER...           an order
#     hear NAME SECONDS REGEX      wait for a line; its 2nd word is in $WORD
#     late NODE                    landings of the node behind the line that reported the fence
# shellcheck disable=SC2034 # WORD, URL and others are for the drills
set -euo pipefail

SRC=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
BUILD=${LAB_BUILD:-$SRC/build/dev}
DRILL=$(basename "$0")
IQN=iqn.2026-11.drill:lun
URL=iscsi://127.0.0.1/$IQN/1

. "$SRC/tests/drills/common.sh"

((EUID == 0)) || { echo "SKIP: needs root"; exit 77; }
for file in tests/lun/lun-node tests/lun/lun-bench tests/lun/lun-sync-test tests/lun/landing.so tests/lun/witness-lun-test iscsi/lunctl; do
	[[ -e $BUILD/$file ]] || make -C "$BUILD" "$file" >/dev/null || fail "cannot build $file in $BUILD"
done
TGT=$("$SRC/lab/fetch" tgt) || fail "no tgt"
TGT_LIB=$TGT/usr/lib/$(gcc -print-multiarch)

WORK=$(mktemp -d "/tmp/drill-$DRILL-XXXXXX")
LANDING=$WORK/landing
declare -A PID IN OUT
HOLDER='' TGTD='' WORD=''

drill_end() {
	local code=$? pid
	trap '' INT TERM HUP
	((code == 0 || code == 77)) || tail -n 40 "$WORK"/*.log "$LANDING" 2>/dev/null || true
	for pid in "${PID[@]}" $TGTD $HOLDER; do
		kill -KILL "$pid" 2>/dev/null || true
	done
	wait 2>/dev/null || true
	rm -rf "$WORK"
	exit "$code"
}
trap drill_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- the target ----

in_target() { nsenter -t "$HOLDER" -n -m -r -- "$@"; }
tgtadm() { in_target env LD_LIBRARY_PATH="$TGT_LIB" "$TGT/usr/sbin/tgtadm" --lld iscsi "$@"; }

# A process that holds the network and mount namespace. It says so when it stands.
holder_start() {
	coproc HOLD { exec unshare --net --mount -- sh -c '
		mount -t tmpfs none /run && mkdir /run/tgtd && ip link set lo up && echo ready && exec cat'; }
	HOLDER=$HOLD_PID
	local line
	read -r -t 10 line <&"${HOLD[0]}" && [[ $line == ready ]] || fail "no namespaces"
}

target_start() {
	local end
	[[ $HOLDER ]] || holder_start
	[[ -e $WORK/lun.img ]] || truncate -s 64M "$WORK/lun.img"
	nsenter -t "$HOLDER" -n -m -r -- env LD_LIBRARY_PATH="$TGT_LIB" LD_PRELOAD="$BUILD/tests/lun/landing.so" \
		LUN_DELAY_LOG="$LANDING" "$TGT/usr/sbin/tgtd" -f >>"$WORK/tgtd.log" 2>&1 &
	TGTD=$!
	end=$(($(now_ms) + 10000))
	until tgtadm --mode sys --op show >/dev/null 2>&1; do
		(($(now_ms) < end)) || fail "tgtd does not answer"
		sleep 0.02
	done
	target_fill "$IQN" "$WORK/lun.img"
}
# nsenter, started without a function in between, becomes the daemon: $! is tgtd's own pid. It ignores SIGTERM while it has targets.
target_kill() {
	kill -KILL "$TGTD"
	wait "$TGTD" 2>/dev/null || true
	TGTD=''
}
lunctl() { in_target "$BUILD/iscsi/lunctl" "$@"; }

# ---- nodes ----

# A network namespace for one node with a cable to the target: NET=$CABLE_PID AT=$CABLE_URL node_start
# ...; cable down|up.
CABLE_URL=iscsi://10.99.0.1/$IQN/1
cable_make() {
	unshare --net -- sleep infinity &
	CABLE_PID=$!
	PID[cable]=$!
	wait_until 5 other_net "$CABLE_PID"
	in_target ip link add cable type veth peer name eth0 netns "$CABLE_PID"
	in_target ip address add 10.99.0.1/24 dev cable
	in_target ip link set cable up
	nsenter -t "$CABLE_PID" -n ip address add 10.99.0.2/24 dev eth0
	nsenter -t "$CABLE_PID" -n ip link set eth0 up
}
cable() { in_target ip link set cable "$1"; }
# A second way from that node to the target, with an address of its own at both ends: cable2 down|up.
CABLE2_URL=iscsi://10.99.1.1/$IQN/1
cable2_make() {
	in_target ip link add cable2 type veth peer name eth1 netns "$CABLE_PID"
	in_target ip address add 10.99.1.1/24 dev cable2
	in_target ip link set cable2 up
	nsenter -t "$CABLE_PID" -n ip address add 10.99.1.2/24 dev eth1
	nsenter -t "$CABLE_PID" -n ip link set eth1 up
}
cable2() { in_target ip link set cable2 "$1"; }

node_start() {	# NAME ARGS...
	local name=$1 in out
	shift
	mkfifo "$WORK/$name.in" "$WORK/$name.out"
	exec {in}<>"$WORK/$name.in" {out}<>"$WORK/$name.out"
	nsenter -t "${NET:-$HOLDER}" -n -- "$BUILD/tests/lun/lun-node" --url "${AT:-$URL}" --witness "$LANDING" "$@" \
		<&"$in" >&"$out" 2>>"$WORK/$name.log" &
	PID[$name]=$! IN[$name]=$in OUT[$name]=$out
	rm "$WORK/$name.in" "$WORK/$name.out"
}
node_kill() {	# NAME
	local in=${IN[$1]} out=${OUT[$1]}
	kill -KILL "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null || true
	exec {in}>&- {out}>&-
	unset "PID[$1]" "IN[$1]" "OUT[$1]"
}
tell() {
	local name=$1
	shift
	printf '%s> %s\n' "$name" "$*" >>"$WORK/$name.log"
	printf '%s\n' "$*" >&"${IN[$name]}"
}
hear() {	# NAME SECONDS REGEX
	local name=$1 end line left
	end=$(($(now_ms) + $2 * 1000))
	while left=$((end - $(now_ms))) && ((left > 0)); do
		read -r -t "$((left / 1000)).$(printf %03d $((left % 1000)))" line <&"${OUT[$name]}" || break
		printf '%s< %s\n' "$name" "$line" >>"$WORK/$name.log"
		if [[ $line =~ $3 ]]; then
			WORD=$(cut -d' ' -f2 <<<"$line")
			return 0
		fi
	done
	fail "$name did not say '$3' within $2 s"
}
# silent NAME SECONDS REGEX: NAME says no such thing for so long
silent() { ! (hear "$@") >/dev/null; }
# A coordinator that holds the LUN; then a data session with GO.
coordinator() {	# NAME LIVING...
	local name=$1
	shift
	hear "$name" 5 '^control up'
	tell "$name" coordinate "$@"
	hear "$name" 20 '^holding'
}
admit() {	# COORDINATOR NODE-PROCESS N I
	tell "$1" allow "$3" "$4"
	hear "$1" 5 '^allowed'
	local key=$WORD
	tell "$2" open "$key"
	hear "$2" 5 '^registered'
	tell "$1" seen "$key"
	hear "$1" 5 '^seen yes'
	tell "$2" go
	hear "$2" 5 '^going'
}

# ---- the judge ----

# Lines of the landing log: S|L node generation seq; F where a fence was reported, H where a coordinator
# was admitted (its predecessor's nexuses are dead by then). lun-node writes these itself.
late() {	# NODE: landings of NODE behind the last F or H
	awk -v node="$1" '/^[FH]/ { n = 0; seen = 1 } /^L/ && seen && $2 == node { n++ } END { print n + 0 }' "$LANDING"
}
landed() { awk -v node="$1" '/^L/ && $2 == node { n++ } END { print n + 0 }' "$LANDING"; }
in_flight() { awk -v node="$1" '$2 == node && /^S/ { n++ } $2 == node && /^L/ { n-- } END { print n + 0 }' "$LANDING"; }
