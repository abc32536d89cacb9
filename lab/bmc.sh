# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Management controllers: what a real fence agent (fence_ipmilan) speaks IPMI over the network to. Each node gets two,
# as a machine may have one of its own and one in its rack: processes of Debian's ipmi_sim on the cluster network,
# outside of the node, at ports 623 and 624 of an address. Their chassis control is the lab: off is a pull, on a plug.
# In namespaces and cgroups of their own; gone with the lab. State: $DISK/bmc.

readonly BMC_USER=root BMC_PASSWORD=Tr0ub4dor
readonly BMC_PORTS=(623 624)
bmc_address() { echo "$(subnet_of cluster).$((200 + ${1#node}))"; }

verb_bmc() {
	local node=${1-}
	if [[ $node == up ]]; then
		need_up
		bmc_up
		return
	fi
	need_node "$node"
	[[ -e $RUN/bmc.pid ]] || die "$E_NONE" "no controllers: lab/lab bmc up"
	case ${2-} in
	address) bmc_address "$node" ;;
	hang) bmc_freeze "$node" 1 ;;
	go) bmc_freeze "$node" 0 ;;
	chassis) bmc_chassis "$node" "${@:3}" ;;
	*) usage ;;
	esac
}

bmc_up() {
	local node port
	uninterrupted
	[[ ! -e $RUN/bmc.pid ]] || die "$E_ALREADY" "there are controllers already"
	BMC=$("$LAB_HOME/fetch" fence-agents 9>&-) || die "$E_FAIL" "cannot fetch fence-agents"
	mkdir "$CG/bmc"
	holder_start bmc --net
	bmc_cable "$(cat "$RUN/bmc.pid")"
	for node in $(lab_nodes); do
		for port in "${BMC_PORTS[@]}"; do
			bmc_start "$node" "$port"
		done
		if node_is_on "$node"; then bmc_agents "$node"; fi
	done
}

bmc_cable() {	# PID
	local node
	cable bmc cluster "$1" bmc "$(mac_of 4 1 1)"
	{
		echo "link set dev lo up"
		echo "link set dev bmc addrgenmode none up"
		for node in $(lab_nodes); do
			echo "address add $(bmc_address "$node")/24 dev bmc"
		done
	} | nsenter -t "$1" -n -- ip -batch -
}

# The agents and what they need, into a node's root: memory, gone with its power.
bmc_agents() {	# NODE
	tar -C "$BMC/usr" -c . | node_exec "$1" tar -C /usr -x --keep-directory-symlink
}

bmc_start() {	# NODE PORT
	local dir=$DISK/bmc/$1-$2 cgroup=$CG/bmc-$1-$2
	mkdir -p "$dir" "$cgroup"
	cat >"$dir/lan.conf" <<-END
		name "$1-$2"
		set_working_mc 0x20
		  startlan 1
		    addr $(bmc_address "$1") $2
		    priv_limit admin
		    allowed_auths_admin md5
		    guid $(printf '%032x' "$((${1#node} * 1000 + $2))")
		  endlan
		  chassis_control "env -u LD_LIBRARY_PATH $LAB_HOME/lab bmc $1 chassis"
		  user 2 true "$BMC_USER" "$BMC_PASSWORD" admin 10 md5
	END
	cat >"$dir/commands" <<-END
		mc_setbmc 0x20
		mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
		sel_enable 0x20 100 0x0a
		mc_enable 0x20
	END
	start_in "$cgroup" "$dir/log" nsenter -t "$(cat "$RUN/bmc.pid")" -n -- \
		env LD_LIBRARY_PATH="$BMC/usr/lib/$(uname -m)-linux-gnu" \
		"$BMC/usr/bin/ipmi_sim" -n -c "$dir/lan.conf" -f "$dir/commands" -s "$dir"
}

# It answers nothing, and nobody is told: as one whose firmware hangs. The first one; the second goes on.
bmc_freeze() { echo "$2" >"$CG/bmc-$1-${BMC_PORTS[0]}/cgroup.freeze"; }

# Asked by ipmi_sim: get PARAMETER.. (a line "parameter:value" each), set PARAMETER VALUE..
bmc_chassis() {	# NODE get|set ...
	local node=$1 what=${2-}
	shift 2
	echo "$(date +%s%3N) $node $what $*" >>"$DISK/bmc/orders"
	while (($#)); do
		case "$what $1 ${2-}" in
		'get power'*) if node_is_on "$node"; then echo power:1; else echo power:0; fi ;;
		get*) echo "$1:0" ;;
		'set power 0') (verb_pull "$node" >/dev/null) || (($? == E_ALREADY)); shift ;;
		'set power 1') (verb_plug "$node" >/dev/null) || (($? == E_ALREADY)); shift ;;
		*) echo "cannot $what $*"; return 1 ;;
		esac
		shift
	done
}
