# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For drills of migration/ without a cluster: QEMUs in a network namespace of the drill's own, plain
# files as disks, tests/vm/vm_drive in clusterd's place, the collector as the eye outside. Two runtime
# folders, a and b, are the two "nodes".
. "$(dirname "$0")/lib.sh"
require qemu-system-x86_64 ip nsenter truncate jq

BUILD=${BUILD:-}
for BUILD in "$BUILD" "${LAB_BUILD-}" "$SRC/build/lab" "$SRC/build/dev" "$SRC"; do
	[[ $BUILD && -x $BUILD/tests/vm/vm_drive && -e $BUILD/lab/guest/tiny.elf ]] && break
	BUILD=
done
[[ $BUILD ]] || skip "not built: make first (or say BUILD=DIR)"
((EUID == 0)) || skip "must be root"

VMTOP=$(mktemp -d /tmp/vmdrill.XXXXXX)
VMNET=vmdrill$$
VMCG=$(findmnt -n -t cgroup2 -o TARGET | sed -n 1p)/vmdrill-$$
VMPIDS=()
MARK=0

vm_end() {
	local code=$? cg pid
	trap '' INT TERM HUP
	((code == 0 || code == 77)) || { echo "==== events ===="; tail -n 60 "$VMTOP"/events* "$VMTOP"/?/*/qemu.log; }
	for cg in "$VMCG"-?/*; do
		[[ ! -e $cg/cgroup.kill ]] || echo 1 >"$cg/cgroup.kill" || true
	done
	for pid in "${VMPIDS[@]}"; do
		kill -9 "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	for cg in "$VMCG"-?/* "$VMCG"-?; do
		for _ in {1..100}; do
			[[ -d $cg ]] && ! rmdir "$cg" 2>/dev/null || break
			sleep 0.02
		done
	done
	ip netns del "$VMNET" 2>/dev/null || true
	rm -rf "$VMTOP"
	(exit $code)
	drill_end
}
trap vm_end EXIT

# ---- set-up ---------------------------------------------------------------------------------

vm_net() {
	ip netns add "$VMNET"
	ip -n "$VMNET" link set lo up
	ip -n "$VMNET" link add vm type bridge
	ip -n "$VMNET" link set vm up
	nsenter --net="/run/netns/$VMNET" "$BUILD/lab/guest/collector" run "$VMTOP/beats" &
	VMPIDS+=($!)
}

# The guests' kernel where an unprivileged QEMU can read it; SPEC of a tiny guest NAME.
vm_tiny() {	# NAME [MORE-APPEND]
	chmod 755 "$VMTOP"
	cp "$BUILD/lab/guest/tiny.elf" "$VMTOP/tiny.elf"
	[[ -e $VMTOP/$1.img ]] || truncate -s 32M "$VMTOP/$1.img"
	cat >"$VMTOP/$1.vm" <<-END
		memory = 16M
		disk = $VMTOP/$1.img
		kernel = $VMTOP/tiny.elf
		append = name=$1 beat=20 ${2-}
		uuid = $(uuidgen 2>/dev/null || cat /proc/sys/kernel/random/uuid)
	END
}

drive_start() {
	rm -f "$VMTOP/orders"
	mkfifo "$VMTOP/orders"
	: >"$VMTOP/events"
	MARK=0
	nsenter --net="/run/netns/$VMNET" "$BUILD/tests/vm/vm_drive" "$BUILD/clusterd-vm-launch" "$VMCG" \
		"$VMTOP/a" "$VMTOP/b" <"$VMTOP/orders" >"$VMTOP/events" 2>>"$VMTOP/events.err" &
	DRIVE=$!
	VMPIDS+=("$DRIVE")
	exec 7>"$VMTOP/orders"
	event READY 10 >/dev/null
}
order() { echo "$*" >&7; }

# event REGEX SECONDS: the next event line that matches, after the last one taken. Sets EVENT.
event() {
	local end=$(($(now_ms) + $2 * 1000)) hit
	while :; do
		hit=$(tail -n +$((MARK + 1)) "$VMTOP/events" | grep -n -m 1 -E -- "$1") && break
		hit=$(tail -n +$((MARK + 1)) "$VMTOP/events" | grep -m 1 -E 'REFUSED') && fail "$hit"
		(($(now_ms) < end)) || fail "no event '$1' in $2 s"
		sleep 0.02
	done
	MARK=$((MARK + ${hit%%:*}))
	EVENT=${hit#*:}
}
none_such() {	# REGEX: no event like this so far, since the last one taken
	! tail -n +$((MARK + 1)) "$VMTOP/events" | grep -E -- "$1" || fail "an event '$1'"
}
field() { sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$EVENT"; }	# of the last event

# Dead ones that nobody has waited for yet are still listed.
process_gone() { ! grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

seen() { "$BUILD/lab/guest/collector" show "$VMTOP/beats" "$1" | jq -r ".$2"; }	# NAME FIELD
reset_gap() { "$BUILD/lab/guest/collector" show "$VMTOP/beats" "$1" --reset >/dev/null; }

# beats NAME SECONDS: fresh beats come, and the disk's sequence goes on.
beats() {
	local seq writes
	seq=$(seen "$1" seq) writes=$(seen "$1" disk_writes)
	goes_on() { (($(seen "$1" seq) > seq + 3 && $(seen "$1" disk_writes) > writes + 3)); }
	wait_for "$2" goes_on "$1"
}
silent() {	# NAME MS: no beat for so long
	local seq
	seq=$(seen "$1" beats)
	sleep "$(printf '%d.%03d' $(($2 / 1000)) $(($2 % 1000)))"
	equal "$(seen "$1" beats)" "$seq" "$1 beats although it must not"
}
unharmed() {	# NAME BOOTS: what the eye outside must never see, and the number of boots
	local f
	for f in disk_errors mem_errors seq_back stale_beats disk_lost; do
		equal "$(seen "$1" $f)" 0 "$1: $f"
	done
	equal "$(seen "$1" boots)" "$2" "$1: boots"
}
