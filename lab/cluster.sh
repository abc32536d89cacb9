# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The whole: up, down, status; and the cluster inside.

# ---- up -------------------------------------------------------------------------------------

# `up` works in a session of its own, and we wait for it. The shell that runs foreground commands
# itself may lose a Ctrl-C: bash forgets it when the command of that moment ended otherwise. One
# that sits in `wait` does not, and SIGTERM, which we hand on, is never forgotten.
verb_up() {
	local worker code=0 interrupted=''
	up_options "$@"
	if [[ ${LAB_WORKER-} == "$PPID" ]]; then
		up_work
		return
	fi
	trap 'interrupted=130; up_stop "$worker"' INT
	trap 'interrupted=143; up_stop "$worker"' TERM HUP
	LAB_WORKER=$$ setsid setpriv --pdeathsig TERM "$LAB_HOME/lab" up "$@" &
	worker=$!
	while kill -0 "$worker" 2>/dev/null; do
		code=0
		wait "$worker" || code=$?
	done
	((code == 0)) || code=${interrupted:-$code}
	exit "$code"
}
# Its group, or itself when it has not got one yet.
up_stop() { kill -TERM -- "-$1" 2>/dev/null || kill -TERM "$1" 2>/dev/null || true; }

up_options() {
	count=3 spare=0 links=1 vm=1 target=tgt bare='' quarantine=''
	while (($#)); do
		case $1 in
		--nodes) [[ ${2-} =~ ^[0-9]+$ ]] || usage; count=$2; shift ;;
		--spare) [[ ${2-} =~ ^[0-9]+$ ]] || usage; spare=$2; shift ;;
		--links) [[ ${2-} =~ ^[12]$ ]] || usage; links=$2; shift ;;
		--target) [[ ${2-} =~ ^(tgt|istgt)$ ]] || usage; target=$2; shift ;;
		--no-vm) vm= ;;
		--bare) bare=1 vm= ;;
		--quarantine) quarantine=1 ;;
		*) usage ;;
		esac
		shift
	done
	((count + spare >= 1 && count + spare <= NODES_MAX)) || die "$E_USAGE" "--nodes 1 .. $NODES_MAX, spare ones too"
	((count)) || vm=
}

up_work() {
	unshare --mount --propagation private true 2>/dev/null ||
		die "$E_FAIL" "/ is not a mount point here (a chroot?): mount --bind DIR DIR before chroot DIR"
	# A signal may come as soon as the lock's file is there.
	trap lock_abandoned EXIT
	trap 'exit 143' TERM
	lock_lab
	if is_up; then
		up_already
		return
	fi
	# From here on SIGTERM, or any failure, takes back all that was made.
	trap up_abandoned EXIT
	take_down	# what a killed `up` may have left
	mkdir -p "$RUN" "$DISK" "$CG"
	[[ ! $bare ]] || : >"$RUN/bare"
	[[ ! $quarantine ]] || : >"$RUN/quarantine"
	echo "$target" >"$RUN/target-kind"
	up_build
	up_machines "$count" "$links" "$spare"
	up_cluster
	[[ ! $vm ]] || up_vm
	trap '' TERM	# too late to take it back: it is whole
	: >"$RUN/ready"
	trap - EXIT
	show_status
	up_says
	show_hints
}

# Ended before anything was made: the lock's file goes, unless somebody else has it.
lock_abandoned() {
	local code=$?
	trap '' INT TERM HUP
	if [[ ! -e $RUN ]] && lock_try 0; then
		rm -f "$LOCK"
	fi
	exit "$code"
}

up_abandoned() {
	local code=$?
	trap '' INT TERM HUP
	((code > 128)) || up_keep_logs || true
	say "taking back what was made" >&2
	take_down
	rm -f "$LOCK"
	exit "$code"
}

# Of an `up` that failed by itself: what the nodes wrote, for whoever looks for the reason.
up_keep_logs() {
	local keep=$BUILD/failed-$LAB_NAME node
	rm -rf "$keep"
	for node in "$DISK"/node*/; do
		[[ -d $node/log ]] || continue
		mkdir -p "$keep"
		cp -r "$node/log" "$keep/$(basename "$node")"
	done
	[[ ! -d $keep ]] || say "the nodes' logs are in $keep" >&2
}

up_already() {
	local wrong
	wrong=$(lab_trouble)
	show_status
	[[ ! $wrong ]] || die "$E_FAIL" "running, but not whole: $wrong"
}

# What is off, frozen or cut, in words.
lab_trouble() {
	local node net
	for node in $(lab_nodes); do
		node_is_on "$node" || echo -n "$node is off; "
		if node_is_frozen "$node"; then echo -n "$node is frozen; "; fi
		for net in "${NETS[@]}"; do
			[[ ! $(cuts_of "$node" "$net") ]] || echo -n "$node $net is cut; "
		done
	done
	target_pid >/dev/null || echo -n "the target is stopped; "
	for net in 1 2; do
		[[ ! -e $RUN/portal$net.cut ]] || echo -n "portal $net is cut; "
	done
}
cuts_of() {	# NODE NET
	{ is_cut "$1" "$2" || compgen -G "$RUN/$1/drops/$2.*" >/dev/null; } && echo "$2"
	return 0
}

up_build() {
	prepare
	install_product
	"$LAB_HOME/fetch" corosync tgt 9>&- >"$RUN/fetched" || die "$E_FAIL" "cannot fetch corosync and tgt"
	head -n 1 "$RUN/fetched" >"$RUN/corosync-dir"
	tail -n 1 "$RUN/fetched" >"$RUN/tgt-dir"
	find_tgt
	[[ $target == tgt ]] || istgt_fetch
}

up_machines() {	# COUNT LINKS SPARE
	local node
	for ((node = 1; node <= $1 + $3; node++)); do
		echo "node$node"
	done >"$RUN/nodes"
	tail -n "$3" "$RUN/nodes" >"$RUN/spare"
	write_hosts >"$DISK/hosts"
	make_authkey
	: >"$RUN/luns"
	say "starting the switch, the target and $(($1 + $3)) nodes"
	switch_start
	target_start_namespaces
	lun_make vol1 4G
	lun_make witness 64M
	target_start
	collector_start
	for node in $(lab_nodes); do
		node_prepare "$node" "$2" "$1"
		node_start "$node"
	done
}

make_authkey() { head -c 256 /dev/urandom >"$DISK/authkey"; }

up_cluster() {
	local node
	[[ $(lab_members) ]] || return 0	# spare machines alone: who asked for them makes the cluster
	say "waiting for quorum"
	for node in $(lab_members); do
		until_true 60 node_sees_all "$node" || die "$E_FAIL" "$node does not see all nodes: lab/lab logs $node; $(node_quorum "$node" | xargs)"
	done
	[[ ! -e $RUN/bare && $(product_path clusterd) && $(product_path clusterctl) ]] || return 0
	say "forming the cluster"
	node_ctl node1 60 init
	up_joins
	up_witness
	up_volume
}

up_joins() {
	local node
	for node in $(lab_members | tail -n +2); do
		node_ctl "$node" 60 join node1
	done
}

# With an even number of nodes one more vote, on the LUN that is there for it.
up_witness() {
	(($(lab_members | wc -l) % 2 == 0)) || return 0
	[[ $(product_path witnessd) && $(target_kind) == tgt ]] || return 0
	say "making the witness"
	node_ctl node1 60 set quorum witness "$(lun_url witness)"
	until_true 30 witness_votes || die "$E_FAIL" "the witness does not vote: $(node_exec node1 clusterctl show quorum | xargs)"
}
witness_votes() { [[ $(node_exec node1 clusterctl show quorum --json | jq -r .witness.state) == voter ]]; }


up_volume() {
	local node
	[[ $(product_path csv-keeper) ]] || return 0
	say "creating volume vol1"
	local insist=()
	[[ $(target_kind) == tgt ]] || insist=(--unsafe-unfenceable)
	node_ctl node1 60 create volume vol1 "${insist[@]}" --target "$(lun_url vol1)"
	for node in $(lab_members); do
		until_true 60 node_exec "$node" mountpoint -q /ClusterStorage/vol1 ||
			die "$E_FAIL" "$node has no /ClusterStorage/vol1: lab/lab logs $node"
	done
}

node_quorum() { node_exec "$1" corosync-quorumtool -s 2>/dev/null; }
node_sees_all() {
	node_quorum "$1" | awk -v want="$(lab_members | wc -l)" '
		/^Quorate:/ { quorate = $2 } /^Total votes:/ { votes = $3 }
		END { exit !(quorate == "Yes" && votes >= want) }'
}

# clusterctl on a node; while clusterd is not there yet (exit 5), again, for $2 seconds.
node_ctl() {	# NODE SECONDS ARGS...
	local node=$1 end=$((SECONDS + $2)) code
	shift 2
	while :; do
		code=0
		node_exec "$node" clusterctl "$@" >"$RUN/ctl.out" 2>&1 || code=$?
		((code == 5 && SECONDS <= end)) || break
		sleep 0.1
	done
	((code == 0)) || die "$E_FAIL" "$node: clusterctl $*: exit $code: $(cat "$RUN/ctl.out")"
}

up_says() {
	[[ ! -e $RUN/bare && $(product_path clusterctl) && $(product_path clusterd) ]] || return 0
	node_exec node1 clusterctl status || true
}
show_hints() {
	cat <<-END
		Try next (LAB_NAME=$LAB_NAME):
		  lab/lab exec node1 bash                 a shell on a node
		  lab/lab clusterctl status               what the cluster says
		  lab/lab pull node2; lab/lab plug node2  cut its power; give it back
		  lab/lab cut node3 cluster               pull a network cable (mend: put it back)
		  lab/lab down                            remove everything
	END
}

# ---- down -----------------------------------------------------------------------------------

verb_down() {
	(($# == 0)) || usage
	trap '' INT TERM HUP
	[[ -e $RUN || -e $LOCK || -d $CG || -e $DISK ]] || return 0
	if ! lock_try 1; then
		# Somebody changes the lab, perhaps an `up` that waits: it takes back what it made.
		up_stop "$(cat "$LOCK")"
		lock_try 120 || die "$E_FAIL" "process $(cat "$LOCK") holds the lab and does not end"
	fi
	take_down
	rm -f "$LOCK"
}

# Everything of a lab is a process (or held by one) in its cgroup, below $RUN, or below $DISK.
take_down() {
	cgroup_end "$CG"
	rm -rf "$RUN" "$DISK"
	rmdir "$(dirname "$DISK")" 2>/dev/null || true
}

# ---- status ---------------------------------------------------------------------------------

status_node() {	# NODE, one JSON object
	local net pid power=on frozen=false
	pid=$(node_pid "$1") || { power=off; pid=null; }
	if node_is_frozen "$1"; then frozen=true; fi
	for net in "${NETS[@]}"; do
		printf '%s %s %s %s\n' "$net" "$(address_of "$1" "$net")" "$(cuts_of "$1" "$net" | grep . || echo -)" \
			"$(cat "$RUN/$1/rate/$net" 2>/dev/null || echo -)"
	done | jq -R -s --arg name "$1" --arg power "$power" --argjson pid "$pid" --argjson frozen "$frozen" '
		[split("\n")[] | select(. != "") | split(" ")] as $nets |
		{name: $name, power: $power, frozen: $frozen,
		 cut: [$nets[] | select(.[2] != "-") | .[0]],
		 rate: ([$nets[] | select(.[3] != "-") | {(.[0]): .[3]}] | add // {}),
		 ip: ([$nets[] | {(.[0]): .[1]}] | add), pid: $pid}'
}

status_target() {
	local name n up=false
	if target_pid >/dev/null; then up=true; fi
	{
		for n in 1 2; do
			printf 'portal %s %s\n' "$(portal_address $n)" "$([[ -e $RUN/portal$n.cut ]] && echo true || echo false)"
		done
		while read -r name; do
			printf 'lun %s %s %s %s\n' "$name" "$(lun_path "$name")" "$(stat -c %s "$(lun_path "$name")")" "$(lun_url "$name")"
		done <"$RUN/luns"
	} | jq -R -s --argjson up "$up" '
		[split("\n")[] | select(. != "") | split(" ")] |
		{up: $up,
		 portals: [.[] | select(.[0] == "portal") | {ip: .[1], cut: (.[2] == "true")}],
		 luns: [.[] | select(.[0] == "lun") | {name: .[1], path: .[2], bytes: (.[3] | tonumber), url: .[4]}]}'
}

status_json() {
	local node
	for node in $(lab_nodes); do
		status_node "$node"
	done | jq -c -s --arg lab "$LAB_NAME" --argjson target "$(status_target)" \
		--rawfile vms "$RUN/vms" '{lab: $lab, nodes: ., target: $target, guests:
			[$vms | split("\n")[] | select(. != "") | split(" ") | {name: .[0], guest: .[1]}]}'
}

show_status() {
	status_json | jq -r '
		"lab \(.lab)",
		(.nodes[] | "  \(.name)  \(.power)\(if .frozen then ", frozen" else "" end)" +
			"\(if .cut == [] then "" else ", cut: " + (.cut | join(" ")) end)" +
			"\([.rate | to_entries[] | ", \(.key) \(.value)"] | join(""))" +
			"   \([.ip | to_entries[] | "\(.key) \(.value)"] | join(", "))"),
		"  target  \(if .target.up then "up" else "stopped" end), portals " +
			([.target.portals[] | .ip + (if .cut then " (cut)" else "" end)] | join(", ")),
		(.target.luns[] | "    LUN \(.name)  \(.bytes / 1048576 | floor) MiB  \(.url)")'
}

verb_status() {
	need_up
	case ${1-} in
	'') show_status ;;
	--json) status_json ;;
	*) usage ;;
	esac
}

# ---- clusterctl, wait -----------------------------------------------------------------------

# Where clusterctl runs: the first node that is on, not frozen and reaches the cluster network.
ctl_node() {
	local node
	if [[ ${CL_NODE-} ]]; then
		need_node "$CL_NODE"
		echo "$CL_NODE"
		return
	fi
	for node in $(lab_nodes); do
		if node_is_on "$node" && ! node_is_frozen "$node" && ! is_cut "$node" cluster; then
			echo "$node"
			return
		fi
	done
	die "$E_UNREACHABLE" "no node is on, running and plugged into the cluster network"
}

verb_clusterctl() {
	local node
	need_up
	node=$(ctl_node) || exit
	[[ $(product_path clusterctl) ]] || die "$E_FAIL" "this build has no clusterctl"
	verb_exec "$node" clusterctl "$@"
}

# EXPR is a jq filter over `clusterctl status --json`, with `lab/lab status --json` as .lab in it.
verb_wait() {
	local expression=${1-} seconds=${2-}
	[[ $# == 2 && $seconds =~ ^[0-9]+$ ]] || usage
	need_up
	jq -n "def wanted: $expression; empty" >/dev/null 2>&1 || die "$E_USAGE" "not a jq expression: $expression"
	until_true "$seconds" holds "$expression" || die "$E_FAIL" "not within $seconds s: $expression"
}
holds() {
	local node cluster='{}'
	if [[ $(product_path clusterctl) ]] && node=$(ctl_node 2>/dev/null); then
		cluster=$(node_exec "$node" timeout 5 clusterctl status --json 2>/dev/null) || cluster='{}'
	fi
	jq -n -e --argjson c "${cluster:-{\}}" --argjson lab "$(status_json)" \
		"\$c + {lab: \$lab} | $1" >/dev/null 2>&1
}
