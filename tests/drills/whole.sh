# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For drills of the whole: the lab with the cluster in it and a tiny test VM called `vm`. What these
# functions say about guests comes from the collector and the process table, not from the cluster.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
require qemu-system-x86_64 jq

CG=$(findmnt -n -t cgroup2 -o TARGET | sed -n 1p)/lab-$LAB_NAME

cluster_up() {	# [UP-OPTION...]
	lab up --no-vm "$@" >/dev/null
	[[ -e $(lab_share)/tiny.elf ]] || skip "no tiny guest in this build"
}
lab_share() { echo "$(dirname "$(dirname "$(lab lun vol1)")")/share"; }
vm_up() {	# [NODE]
	lab vm vm --guest tiny ${1:+--node "$1"}
	wait_for 20 seen_is '.age_ms < 500 and .disk_writes > 10'
}

# ---- the guest, from outside ----------------------------------------------------------------

seen() { lab guest vm | jq -r "$1"; }
seen_is() { lab guest vm | jq -e "$1" >/dev/null; }
forget_gap() { lab guest vm --reset >/dev/null; }
# Whatever happens: no write failed or was lost, memory held, no beat of an older boot after a newer
# one's, and no number went back.
unharmed() {
	seen_is '.disk_errors == 0 and .disk_lost == 0 and .mem_errors == 0 and .stale_beats == 0 and .seq_back == 0' ||
		fail "the guest was harmed: $(lab guest vm)"
}
# It writes and beats now, and no later than that.
alive() { seen_is '.age_ms < 500' && writes_more; }
writes_more() {
	local before
	before=$(seen .disk_writes)
	wait_for 5 seen_is ".disk_writes > $before"
}

# Processes on NODE that are a QEMU of vm, on a frozen one too: what the machine's process table says.
qemu_pids() {	# NODE
	local pid
	while read -r pid; do
		if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- '-name guest=vm,'; then
			echo "$pid"
		fi
	done < <(find "$CG/$1" -name cgroup.procs -exec cat {} + 2>/dev/null)
}
# Nodes that have one, as often as they have.
qemu_nodes() {
	local node
	for node in "$CG"/node*; do
		qemu_pids "$(basename "$node")" | sed "s/.*/$(basename "$node")/"
	done | xargs
}
qemu_only_on() { [[ $(qemu_nodes) == "$1" ]]; }

# ---- the cluster ----------------------------------------------------------------------------

status_of() { lab clusterctl status --json | jq -r "$1"; }
vm_node() { status_of '.resources[] | select(.name == "vm") | .node'; }
coordinator() { status_of '.volumes[0].coordinator'; }
manager() { status_of .cluster.manager; }
# The nodes that are none of these, a line each. Not into `head`: it would end before all is said (SIGPIPE).
others() {	# NODE...
	local node
	for node in node1 node2 node3; do
		[[ " $* " == *" $node "* ]] || echo "$node"
	done
}
coordinator_to() {	# NODE
	if [[ $(coordinator) != "$1" ]]; then lab clusterctl move vol1 "$1" >/dev/null; fi
	lab wait ".volumes[0] | .coordinator == \"$1\" and (.nodes[] | select(.node == \"$1\") | .mode == \"direct\")" 20
}
vm_to() {	# NODE
	if [[ $(vm_node) != "$1" ]]; then lab clusterctl move vm "$1" >/dev/null; fi
	wait_for 10 qemu_only_on "$1"
}
# Every node is a member, has the volume, and the VM runs.
all_well() {
	lab wait '([.nodes[] | select(.state == "up")] | length) == (.nodes | length) and
		([.volumes[].nodes[] | select(.mode == "direct" or .mode == "file-system-redirected")] | length) == (.nodes | length) and
		all(.resources[]; .state == "online")' "${1:-60}"
}

# Milliseconds since 1970 of the first EVENT of OBJECT that is younger than SINCE; from any node's log.
event_ms() {	# SINCE_MS OBJECT EVENT
	lab clusterctl events --json | jq -s -r --argjson since "$1" --arg object "$2" --arg event "$3" '
		[.[] | select(.object == $object and .event == $event) |
		 (.time | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601) * 1000 +
		 (.time | capture("\\.(?<ms>[0-9]{3})").ms | tonumber) | select(. >= $since)] | first // empty'
}

# ---- the LUN --------------------------------------------------------------------------------

# A program of the tests, as it was built for the lab.
built() {	# PATH
	local dir=${LAB_BUILD:-$SRC/build/lab}
	[[ -x $dir/$1 ]] || make -C "$dir" "$1" >/dev/null || fail "cannot build $1 in $dir"
	echo "$dir/$1"
}

# A copy of the LUN, replayed, is a clean file system: nothing but the journal had to be repaired.
lun_copy() {	# DIRECTORY
	local r=0
	cp --sparse=always "$(lab lun vol1)" "$1/lun"
	e2fsck -fy "$1/lun" >"$1/fsck" 2>&1 || r=$?
	((r < 2)) || fail "e2fsck -fy of a copy: exit status $r: $(cat "$1/fsck")"
	! grep -qE 'Fix\?|Clear\?|UNEXPECTED' "$1/fsck" || fail "more than the journal: $(cat "$1/fsck")"
	e2fsck -fn "$1/lun" >"$1/fsck" 2>&1 || fail "not clean after replay: $(cat "$1/fsck")"
}
lun_is_clean() {
	local work
	work=$(mktemp -d)
	lun_copy "$work"
	rm -rf "$work"
}

# The VM is stopped and its disk read from the file behind the LUN, past the cluster: every number of
# the sequence is in its place, nothing of an older boot after a newer one's, all that was acknowledged.
disk_is_whole() {
	local work ring acked
	work=$(mktemp -d)
	lab clusterctl stop vm --force >/dev/null
	wait_for 10 qemu_only_on ""
	acked=$(seen .disk_writes)
	lun_copy "$work"
	debugfs -R "dump /vm.raw $work/disk" "$work/lun" >"$work/said" 2>&1
	ring=$("$(built tests/vm/ring)" "$work/disk") || fail "vm.raw on the LUN: $(cat "$work/said")"
	rm -rf "$work"
	echo "on the LUN: $ring"
	jq -e --argjson acked "$acked" '.errors == 0 and .older_after_newer == 0 and .newest >= $acked' <<<"$ring" >/dev/null ||
		fail "the disk on the LUN is not whole (acknowledged: $acked): $ring"
}
