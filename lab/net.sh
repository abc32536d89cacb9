# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The lab's cables. One network namespace, the switch, holds a bridge per network; every plug in it
# is called HOST-NET ("n2-storage", "t1-storage" for the target's first portal, "c-vm").
#
# A cut cable is the switch's end of the veth set down: both ends lose carrier. A silent cut drops
# frames between two plugs inside the switch, where no host can see it: no carrier change, no error
# from send(). State that outlives a node's power is kept in $RUN/NODE/: cut, drops, rate.

switch_pid() { cat "$RUN/switch.pid"; }
in_switch() { nsenter -t "$(switch_pid)" -n -- "$@"; }
plug_name() {	# node2|target1|collector|bmc NET
	case $1 in
	node*) echo "n${1#node}-$2" ;;
	target*) echo "t${1#target}-$2" ;;
	collector) echo "c-$2" ;;
	bmc) echo "b-$2" ;;
	esac
}
mac_of() { printf '02:6c:%02x:%02x:%02x:%02x' $((NAME_SUM % 256)) "$1" "$2" "$3"; }

switch_start() {
	local net
	mkdir "$CG/switch"
	holder_start switch --net
	{
		echo "link set dev lo up"
		for net in "${NETS[@]}"; do
			# No snooping, no spanning tree: a plug forwards at once.
			echo "link add name $net type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
			echo "link set dev $net addrgenmode none up"
		done
	} | in_switch ip -batch -
	in_switch nft 'add table bridge lab; add chain bridge lab cut { type filter hook forward priority 0; }'
}

# A process that does nothing but keep namespaces: cgroup $CG/NAME, pid in $RUN/NAME.pid.
holder_start() {	# NAME UNSHARE-OPTIONS...
	local name=$1
	shift
	mkfifo "$RUN/$name.up"
	# shellcheck disable=SC2016 # expanded by the inner shell
	start_in "$CG/$name" "$RUN/$name.log" unshare "$@" --propagation private -- \
		bash -c 'echo $$ >"$1"; exec sleep infinity' "lab-$LAB_NAME-$name" "$RUN/$name.up"
	fifo_read "$RUN/$name.up" >"$RUN/$name.pid" || die "$E_FAIL" "$name did not start: $(cat "$RUN/$name.log")"
	rm "$RUN/$name.up"
}

# One line from a FIFO; opened for both, so that a writer that died does not hang us.
fifo_read() {
	local line
	read -r -t 20 line 0<>"$1" && echo "$line"
}

# A cable from the switch into the network namespace of a process.
cable() {	# HOST NET PID DEVICE MAC
	local port
	port=$(plug_name "$1" "$2")
	in_switch ip -batch - <<-END
		link add name $port type veth peer name $4 address $5 netns $3
		link set dev $port addrgenmode none master $2 up
	END
}

# ---- a node's three -------------------------------------------------------------------------

# The guests' network is a bridge in the node, too: taps of VMs are plugged in beside the cable.
node_cables() {	# NODE PID
	local node=$1 pid=$2 i=${1#node}
	cable "$node" cluster "$pid" cluster "$(mac_of 1 "$i" 1)"
	cable "$node" storage "$pid" storage "$(mac_of 1 "$i" 2)"
	cable "$node" vm "$pid" vm0 "$(mac_of 1 "$i" 3)"
	nsenter -t "$pid" -n -- ip -batch - <<-END
		link set dev lo up
		link add name vm address $(mac_of 1 "$i" 4) type bridge stp_state 0 forward_delay 0 mcast_snooping 0
		link set dev vm0 addrgenmode none master vm up
		link set dev vm addrgenmode none up
		link set dev cluster addrgenmode none up
		link set dev storage addrgenmode none up
		address add $(address_of "$node" cluster)/24 dev cluster
		address add $(address_of "$node" storage)/24 dev storage
		address add $(address_of "$node" vm)/24 dev vm
	END
	node_faults_restore "$node" "$pid"
}

# What was done to the cables before the power went is still so.
node_faults_restore() {
	local node=$1 net
	for net in "${NETS[@]}"; do
		is_cut "$node" "$net" && in_switch ip link set dev "$(plug_name "$node" "$net")" down
		[[ -e $RUN/$node/rate/$net ]] && rate_apply "$node" "$net" "$(cat "$RUN/$node/rate/$net")"
	done
	return 0
}

node_cables_remove() {
	local net
	for net in "${NETS[@]}"; do
		in_switch ip link del dev "$(plug_name "$1" "$net")" 2>/dev/null || true
	done
	return 0
}
node_cables_down() {
	local net
	for net in "${NETS[@]}"; do
		echo "link set dev $(plug_name "$1" "$net") down"
	done | in_switch ip -batch -
}

# ---- cut and mend ---------------------------------------------------------------------------

is_cut() { [[ -e $RUN/$1/cut/$2 ]]; }

cut_cable() {	# NODE NET
	if is_cut "$1" "$2"; then
		die "$E_ALREADY" "$1 $2 is cut already"
	fi
	# A node without power has no plug in the switch: done when it gets its power back.
	if node_is_on "$1"; then
		in_switch ip link set dev "$(plug_name "$1" "$2")" down
	fi
	: >"$RUN/$1/cut/$2"
}

# The plugs of whoever is meant by --to: a node, or the target with both its portals.
peer_plugs() {	# PEER NET
	case $1 in
	target) plug_name target1 "$2"; plug_name target2 "$2" ;;
	*) plug_name "$1" "$2" ;;
	esac
}

drop_rules() {	# PLUG PEER-PLUG|- in|out|both
	local from='' to=''
	if [[ $2 != - ]]; then
		from=" iifname \"$2\"" to=" oifname \"$2\""
	fi
	[[ $3 == out ]] || echo "oifname \"$1\"$from drop"
	[[ $3 == in ]] || echo "iifname \"$1\"$to drop"
}

# All silent cuts of all nodes in one transaction: each kept as lines of rules in $RUN/NODE/drops/.
drops_apply() {
	{
		echo "flush chain bridge lab cut"
		find "$RUN"/node*/drops -type f -exec cat {} + | sed 's/^/add rule bridge lab cut /'
	} | in_switch nft -f -
}

cut_silently() {	# NODE NET PEER|- in|out|both
	local file=$RUN/$1/drops/$2.$3.$4
	[[ ! -e $file ]] || die "$E_ALREADY" "$1 $2 is cut so already"
	local peer
	for peer in $(if [[ $3 == - ]]; then echo -; else peer_plugs "$3" "$2"; fi); do
		drop_rules "$(plug_name "$1" "$2")" "$peer" "$4"
	done >"$file"
	drops_apply || { rm -f "$file"; die "$E_FAIL" "nft refused the cut"; }
}

mend_net() {	# NODE NET
	local done=$E_ALREADY
	if is_cut "$1" "$2"; then
		rm "$RUN/$1/cut/$2"
		if node_is_on "$1"; then
			in_switch ip link set dev "$(plug_name "$1" "$2")" up
		fi
		done=0
	fi
	if compgen -G "$RUN/$1/drops/$2.*" >/dev/null; then
		rm "$RUN/$1/drops/$2".*
		drops_apply
		done=0
	fi
	((done == 0)) || die "$E_ALREADY" "$1 $2 is not cut"
}

verb_cut() {
	local node=${1-} net=${2-} peer=- way=both silent=
	need_node "$node"
	need_net "$net"
	shift 2
	while (($#)); do
		case $1 in
		--to) [[ ${2-} == target ]] || need_node "${2-}"; peer=$2; silent=1; shift ;;
		--in) way=in; silent=1 ;;
		--out) way=out; silent=1 ;;
		*) usage ;;
		esac
		shift
	done
	[[ $peer != "$node" ]] || die "$E_USAGE" "cut $node towards itself?"
	uninterrupted
	if [[ $silent ]]; then cut_silently "$node" "$net" "$peer" "$way"; else cut_cable "$node" "$net"; fi
}
verb_mend() {
	need_node "${1-}"
	need_net "${2-}"
	uninterrupted
	mend_net "$1" "$2"
}

# ---- bandwidth ------------------------------------------------------------------------------

# Shaped at both ends of the cable: towards the node in the switch, from it in the node.
rate_apply() {	# NODE NET RATE|off
	local pid device=$2 port
	port=$(plug_name "$1" "$2")
	[[ $2 == vm ]] && device=vm0
	pid=$(node_pid "$1") || return 0
	if [[ $3 == off ]]; then
		in_switch tc qdisc del dev "$port" root
		nsenter -t "$pid" -n -- tc qdisc del dev "$device" root
	else
		in_switch tc qdisc replace dev "$port" root tbf rate "$3" burst 256k latency 50ms &&
			nsenter -t "$pid" -n -- tc qdisc replace dev "$device" root tbf rate "$3" burst 256k latency 50ms
	fi
}
verb_rate() {
	need_node "${1-}"
	need_net "${2-}"
	[[ ${3-} =~ ^([0-9]+[kmg]?bit|off)$ ]] || usage
	uninterrupted
	local file=$RUN/$1/rate/$2
	if [[ $3 == off ]]; then
		[[ -e $file ]] || die "$E_ALREADY" "$1 $2 has no limit"
		rm "$file"
	fi
	rate_apply "$1" "$2" "$3" || die "$E_FAIL" "tc refused $3"
	[[ $3 == off ]] || echo "$3" >"$file"
}
