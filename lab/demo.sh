# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lab/lab demo: the main job, with every command shown as one would type it. What it says about the
# guest is what the collector saw from outside; it fails when that is not what was promised.

verb_demo() {
	(($# == 0)) || usage
	demo_run up
	demo_needs_vm
	demo_move
	demo_pull
	demo_tell "That was it. The lab goes on running; lab/lab down removes it."
}

demo_tell() { printf '\n%s\n' "$*"; }
demo_run() {
	printf '\n$ lab/lab %s\n' "$*"
	"$LAB_HOME/lab" "$@"
}
demo_needs_vm() {
	grep -q '^vm ' "$RUN/vms" || die "$E_FAIL" "demo: this lab has no VM called vm (it came up with --no-vm, or the build has no clusterd)"
}

seen_of() { guest_show vm | jq -r "$1"; }
vm_node() {
	node_exec "$(ctl_node)" clusterctl status --json | jq -r '.resources[] | select(.name == "vm") | .node'
}
another_node() {	# NODE
	local node
	for node in $(lab_nodes); do
		if [[ $node != "$1" ]] && node_is_on "$node"; then
			echo "$node"
			return
		fi
	done
}

demo_move() {
	local from to boots
	from=$(vm_node)
	to=$(another_node "$from")
	[[ $to ]] || die "$E_FAIL" "demo: no node to move to"
	demo_tell "A judge from outside listens on the guests' network. vm runs on $from, and this is what is heard of it:"
	demo_run guest vm --reset
	boots=$(seen_of .boots)
	demo_tell "Moving it live to $to, while it runs and writes to the shared volume:"
	demo_run clusterctl move vm "$to"
	until_true 20 guest_beats vm || die "$E_FAIL" "nothing is heard of vm after the move"
	[[ $(vm_node) == "$to" ]] || die "$E_FAIL" "vm is not on $to"
	[[ $(seen_of .boots) == "$boots" ]] || die "$E_FAIL" "vm booted anew: that was no live move"
	demo_tell "It is on $to, it did not boot again, and its longest silence was $(seen_of .gap_ms_max) ms."
}

demo_restarted() { guest_show vm | jq -e --argjson before "$1" '.boots > $before and .age_ms < 1000' >/dev/null; }
demo_pull() {
	local node boots
	node=$(vm_node)
	boots=$(seen_of .boots)
	"$LAB_HOME/lab" guest vm --reset >/dev/null
	demo_tell "Now the power of $node goes, without a word to anybody:"
	demo_run pull "$node"
	demo_tell "The others have to notice, make sure that $node cannot write any more, and start vm again."
	until_true 120 demo_restarted "$boots" || die "$E_FAIL" "vm did not come back within 120 s"
	demo_run clusterctl events --number 9
	demo_run guest vm
	demo_tell "It runs again, on $(vm_node): silent for $(seen_of .gap_ms_max) ms from its last beat to the first of the new boot," \
		"the guest's own boot included; the events above tell how far the cluster had it started before." \
		"$(seen_of .disk_errors) disk errors: everything that had been acknowledged to it was on its disk."
	[[ $(seen_of '.disk_errors + (.disk_lost // 0)') == 0 ]] || die "$E_FAIL" "but the disk is not what it was: $(seen_of .)"
	demo_tell "$node gets its power back and joins again:"
	demo_run plug "$node"
	# Up, and at its volumes again: an admitted node is up for a moment before its first lease.
	"$LAB_HOME/lab" wait '([.nodes[].state == "up"] | all) and
		([.volumes[].nodes[].mode | . != "paused" and . != "unavailable"] | all)' 60
	demo_run clusterctl status
}
