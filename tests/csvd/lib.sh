# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What csvd's drills begin with: a tgtd and nodes, each in a network namespace of its own on one
# bridge, a stub that plays clusterd (clusterd_stub.c). Needs no lab. All is gone at the end.
#
#     volume_make COUNT [CSVD-OPTION..]  a target, COUNT nodes, a fresh volume; node 1 coordinates
#     node_start N [CSVD-OPTION..]       csv-keeper and csvd of node N; its mount is $(mnt N)
#     node_pull N                        its cable first, then everything of it killed
#     cable N down|up
#     tell COMMAND...                    to the stub; `hear SECONDS REGEX` waits for a line of it
#     served N [SECONDS]                 wait until node N can use the volume
#     fail_over N TO EPOCH               what the cluster's log would say and order after N's end
#     LANDING=FILE before volume_make    the target holds stamped writes back (tests/lun/landing.c), once
#     TARGET_ENV=(env A=B ..) likewise   for other shims
#     lun_path N off|on [PORTAL]         node N's way to the target (by that portal): refused, or not
#     redirected N; more_blocks N COUNT  wait for the mode; has node N done more block-redirected I/O?
#     check_lun                          the judge: a copy of the LUN is clean after replay
# shellcheck disable=SC2034 # LINE and others are for the drills
set -euo pipefail

SRC=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
BUILD=${LAB_BUILD:-$SRC/build/dev}
DRILL=$(basename "$0")
IQN=iqn.2026-11.drill:csv
NET=10.97.0
URL=iscsi://$NET.254/$IQN/1
VOLUME=vol1

. "$SRC/tests/drills/common.sh"

((EUID == 0)) || { echo "SKIP: needs root"; exit 77; }
[[ -e /dev/fuse ]] || { echo "SKIP: no /dev/fuse"; exit 77; }
for file in csvd csv-keeper tests/csvd/clusterd_stub tests/csvd/load tests/csvd/direct tests/lun/landing.so; do
	[[ -e $BUILD/$file ]] || make -C "$BUILD" "$file" >/dev/null || fail "cannot build $file in $BUILD"
done
TGT=$("$SRC/lab/fetch" tgt) || fail "no tgt"
TGT_LIB=$TGT/usr/lib/$(gcc -print-multiarch)
LOAD=$BUILD/tests/csvd/load
DIRECT=$BUILD/tests/csvd/direct
LANDING='' TARGET_ENV=()

WORK=$(mktemp -d "/tmp/drill-$DRILL-XXXXXX")
declare -A HOLD KEEPER
TGTD='' LINE='' HEARD=()

mnt() { echo "$WORK/node$1/mnt/$VOLUME"; }

# csvd of node N, by the pid file that its keeper wrote.
csvd_pid() { cat "$WORK/node$1/run/csvd.pid"; }

node_end() {	# N: no goodbye
	local n=$1 pid
	pid=$(csvd_pid "$n" 2>/dev/null || true)
	kill -KILL "${KEEPER[$n]}" 2>/dev/null || true
	[[ ! $pid ]] || kill -KILL "$pid" 2>/dev/null || true
	wait "${KEEPER[$n]}" 2>/dev/null || true
	umount -l "$(mnt "$n")" 2>/dev/null || true
	unset "KEEPER[$n]"
}

drill_end() {
	local code=$? n pid
	trap '' INT TERM HUP PIPE
	set +e # nobody may listen any more: what was made goes away all the same
	if ((code != 0 && code != 77)); then
		for n in "$WORK"/*/log "$WORK"/tgtd.log; do
			echo "==== $n"
			tail -n 40 "$n" 2>/dev/null || true
		done
		printf '==== stub\n'
		printf '%s\n' "${HEARD[@]}" | tail -n 40
	fi
	exec 2>/dev/null # what the shell says about those that are killed now
	for n in "${!KEEPER[@]}"; do
		node_end "$n"
	done
	for pid in $(jobs -p) "${HOLD[@]}" $TGTD; do
		kill -KILL "$pid" || true
	done
	wait || true
	rm -rf "$WORK"
	exit "$code"
}
trap drill_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- the stub ----

coproc STUB { exec "$BUILD/tests/csvd/clusterd_stub" 2>&1; }
tell() { printf '%s\n' "$*" >&"${STUB[1]}"; }

# Wait for a line that matches; earlier lines that nobody waited for are looked at first.
hear() {	# SECONDS REGEX
	local end=$(($(now_ms) + $1 * 1000)) left i
	for i in "${!HEARD[@]}"; do
		if [[ ${HEARD[i]} =~ $2 ]]; then
			LINE=${HEARD[i]}
			unset "HEARD[i]"
			return 0
		fi
	done
	while left=$((end - $(now_ms))) && ((left > 0)); do
		read -r -t "$((left / 1000)).$(printf %03d $((left % 1000)))" LINE <&"${STUB[0]}" || break
		[[ ! $LINE =~ $2 ]] || return 0
		HEARD+=("$LINE")
	done
	fail "the stub did not say '$2' within $1 s"
}
# Drop what was said so far: only news count from here.
forget() {
	local line
	while read -r -t 0.01 line <&"${STUB[0]}"; do :; done
	HEARD=()
}

# An order that has to succeed.
order() {	# SECONDS COMMAND...
	local limit=$1
	shift
	tell "$@"
	hear 5 '^order '
	hear "$limit" "^done ${LINE#order } "
	[[ $LINE == *" ok" ]] || fail "$*: $LINE"
}
served() { hear "${2:-20}" "^status $1 $VOLUME (DIRECT|BLOCK_REDIRECTED|FILE_SYSTEM_REDIRECTED) "; }
is_direct() { hear "${2:-20}" "^status $1 $VOLUME DIRECT "; }
# It may have said DIRECT once more meanwhile, with another word about its role: that does not count.
redirected() {	# N
	hear 20 "^status $1 $VOLUME BLOCK_REDIRECTED "
	HEARD=()
}
# What its applications have done block-redirected since its csvd began.
blocks_of() {	# N; in BLOCKS
	local word
	tell "counters $1 $VOLUME"
	hear 10 "^counters $1 "
	read -ra word <<<"$LINE"
	BLOCKS=$((word[6] + word[7]))
}
more_blocks() {	# N COUNT: more than that?
	blocks_of "$1"
	((BLOCKS > $2))
}

# ---- network, target ----

in_net() {	# NAME COMMAND...
	local name=$1
	shift
	nsenter -t "${HOLD[$name]}" -n -- "$@"
}
net_make() {	# NAME
	unshare --net -- sleep infinity &
	HOLD[$1]=$!
	wait_until 5 other_net "${HOLD[$1]}"
	in_net "$1" ip link set lo up
}
# A reset for each packet that leaves for the target's port: what is there already stays there.
lun_path() {
	if [[ $2 == on ]]; then
		in_net "$1" nft delete table ip drill
	else
		in_net "$1" nft add table ip drill
		in_net "$1" nft add chain ip drill out '{ type filter hook output priority 0; }'
		in_net "$1" nft add rule ip drill out ${3:+ip daddr "$3"} tcp dport 3260 reject with tcp reset
	fi
}
# The bridge and the target share a namespace; so a node whose port is down is cut from all.
switch_start() {
	net_make switch
	in_net switch ip link add br0 type bridge
	in_net switch ip address add "$NET.254/24" dev br0
	in_net switch ip address add "$NET.253/24" dev br0
	in_net switch ip link set br0 up
}
cable_make() {	# N
	net_make "$1"
	in_net switch ip link add "port$1" type veth peer name eth0 netns "${HOLD[$1]}"
	in_net switch ip link set "port$1" master br0 up
	in_net "$1" ip address add "$NET.$1/24" dev eth0
	in_net "$1" ip link set eth0 up
}
cable() { in_net switch ip link set "port$1" "$2"; }

# tgtd and its tool meet at a socket in /run: they have one of their own. An array and no function:
# in the background each word replaces the one before it, so that $! is the daemon.
own_run() {
	# shellcheck disable=SC2016 # for the inner shell
	OWN_RUN=(nsenter -t "${HOLD[switch]}" -n -- unshare --mount -- sh -c
		'mount --bind "$0" /run && export LD_LIBRARY_PATH="$1" && shift && exec "$@"' "$WORK/run" "$TGT_LIB")
}
tgtadm() { "${OWN_RUN[@]}" "$TGT/usr/sbin/tgtadm" --lld iscsi "$@"; }
target_answers() { tgtadm --mode sys --op show >/dev/null 2>&1; }
target_start() {
	mkdir -p "$WORK/run/tgtd"
	truncate -s 256M "$WORK/lun.img"
	own_run
	[[ ! $LANDING ]] || TARGET_ENV=(env LD_PRELOAD="$BUILD/tests/lun/landing.so" "LUN_DELAY_LOG=$LANDING" LUN_DELAY_ONCE=1)
	OWN_RUN+=("${TARGET_ENV[@]}")
	"${OWN_RUN[@]}" "$TGT/usr/sbin/tgtd" -f >>"$WORK/tgtd.log" 2>&1 &
	TGTD=$!
	own_run
	wait_until 10 target_answers
	target_fill "$IQN" "$WORK/lun.img"
}

# ---- nodes ----

node_start() {	# N [CSVD-OPTION...]
	local n=$1 dir=$WORK/node$1
	shift
	[[ ${HOLD[$n]-} ]] || cable_make "$n"
	mkdir -p "$dir/run"
	tell "listen $n $dir/sock"
	nsenter -t "${HOLD[$n]}" -n -- "$BUILD/csv-keeper" --mount-root "$dir/mnt" --run-dir "$dir/run" \
		--csvd "$BUILD/csvd" -- --socket "$dir/sock" --mount-root "$dir/mnt" --debug "$@" 2>>"$dir/log" &
	KEEPER[$n]=$!
	hear 10 "^hello $n"
}
node_pull() {
	cable "$1" down
	node_end "$1"
}
volume_make() {	# COUNT [CSVD-OPTION...]
	local n count=$1
	shift
	switch_start
	target_start
	for ((n = 1; n <= count; n++)); do
		tell "node $n node$n 1 $NET.$n up"
	done
	tell commit
	for ((n = 1; n <= count; n++)); do
		node_start "$n" "$@"
	done
	order 30 "format 1 $VOLUME $URL"
	tell "volume $VOLUME $URL 1 1"
	tell commit
	for ((n = 1; n <= count; n++)); do
		served "$n"
	done
}
fail_over() {	# N TO EPOCH
	tell "node $1 node$1 ${INCARNATION:-1} $NET.$1 down"
	tell "debt $VOLUME $1 ${INCARNATION:-1}"
	tell "volume $VOLUME $URL $2 $3"
	tell commit
	order 20 "pay $2 $VOLUME $1 ${INCARNATION:-1}"
	tell "nodebts $VOLUME"
	tell commit
}

check_lun() {
	local r=0
	cp --sparse=always "$WORK/lun.img" "$WORK/copy.img"
	e2fsck -fy "$WORK/copy.img" >"$WORK/fsck.1" 2>&1 || r=$?
	((r < 2)) || { cat "$WORK/fsck.1"; fail "e2fsck -fy on a copy: exit status $r"; }
	e2fsck -fn "$WORK/copy.img" >"$WORK/fsck.2" 2>&1 || { cat "$WORK/fsck.2"; fail "the copy is not clean after replay"; }
	! grep -qE 'Fix\?|Clear\?|UNEXPECTED' "$WORK/fsck.1" || { cat "$WORK/fsck.1"; fail "e2fsck had to repair more than the journal"; }
}
