# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Nodes: power, processes, what runs in them.

# Prints the host's pid of a node's PID 1; false when the node has no power. The cgroup tells
# whether the recorded pid is still that process.
node_pid() {
	local pid
	{ read -r pid <"$RUN/$1/pid"; } 2>/dev/null || return
	grep -q ":/lab-$LAB_NAME/$1\(/\|$\)" "/proc/$pid/cgroup" 2>/dev/null && echo "$pid"
}
node_is_on() { node_pid "$1" >/dev/null; }
node_is_frozen() { [[ $(cat "$CG/$1/cgroup.freeze" 2>/dev/null) == 1 ]]; }

# ---- what a node finds on its disk ----------------------------------------------------------

corosync_conf() {	# LINKS NODE-COUNT
	local node link nets=(cluster storage)
	cat <<-END
		system {
		    sched_rr: yes
		    # Else corosync leaves the node's cgroup, and freeze and pull miss it.
		    move_to_root_cgroup: no
		}
		totem {
		    version: 2
		    cluster_name: $LAB_NAME
		    transport: knet
		    # passive stalls messages for seconds when one of two links dies
		    link_mode: active
		    token: 1000
		    # How often the token goes round after a message before it is held. The default, 30, lets an idle
		    # cluster of ours take 17 % of a processor on each node, with real-time priority; this 8 %.
		    seqno_unchanged_const: 3
		    token_coefficient: 0
		    join: 50
		    crypto_cipher: aes256
		    crypto_hash: sha256
		    keyfile: /etc/corosync/authkey
		}
		quorum {
		    provider: corosync_votequorum
		    # Explicit: else it starts low at boot, and two parts can be quorate.
		    expected_votes: $2
		}
		logging {
		    to_stderr: no
		    to_syslog: no
		    to_logfile: yes
		    logfile: /var/log/corosync.log
		    timestamp: hires
		}
		nodelist {
	END
	for node in $(lab_members); do
		printf '    node {\n        nodeid: %d\n        name: %s\n' "${node#node}" "$node"
		for ((link = 0; link < $1; link++)); do
			printf '        ring%d_addr: %s\n' "$link" "$(address_of "$node" "${nets[link]}")"
		done
		printf '    }\n'
	done
	echo "}"
}

write_hosts() {
	local node
	echo "127.0.0.1 localhost"
	for node in $(lab_nodes); do
		echo "$(address_of "$node" cluster) $node"
	done
	echo "$(portal_address 1) target target1"
	echo "$(portal_address 2) target2"
}

# NAME, delay before a restart in ms, command: what lab-init keeps running.
write_services() {
	local path
	echo "corosync 1000 /usr/sbin/corosync -f"
	[[ ! -e $RUN/bare ]] || return 0
	path=$(product_path clusterd-feeder)
	[[ ! $path ]] || echo "clusterd-feeder 100 $path"
	path=$(product_path clusterd)
	[[ ! $path ]] || echo "clusterd 100 $path"
	path=$(product_path witnessd)
	[[ ! $path ]] || echo "witnessd 100 $path"
	path=$(product_path csv-keeper)
	[[ ! $path ]] || echo "csv-keeper 100 $path ${LAB_KEEPER_OPTIONS-}"
}

node_prepare() {	# NODE LINKS COUNT
	# shellcheck disable=SC2153 # DISK is common.sh's
	local disk=$DISK/$1
	mkdir -p "$disk"/{etc-clusterd,etc-corosync,clusterd,corosync,log} "$RUN/$1"/{root,cut,drops,rate}
	if ! is_spare "$1"; then
		corosync_conf "$2" "$3" >"$disk/etc-corosync/corosync.conf"
		install -m 400 "$DISK/authkey" "$disk/etc-corosync/authkey"
	fi
	cat >"$disk/etc-clusterd/clusterd.conf" <<-END
		node_name = $1
		storage_address = $(address_of "$1" storage)
		migration_address = $(address_of "$1" cluster)
		vm_user = nobody
	END
	# Here nodes fail all the time: only whoever asks for it has them quarantined.
	[[ -e $RUN/quarantine ]] || echo "no_quarantine = 1" >>"$disk/etc-clusterd/clusterd.conf"
	write_services >"$disk/services"
}

# ---- power ----------------------------------------------------------------------------------

node_start() {	# NODE
	local node=$1 pid log=$DISK/$1/log/boot.log
	mkdir -p "$CG/$node"
	node_watchdog_ready "$node"
	echo 0 >"$CG/$node/cgroup.freeze"
	rm -f "$RUN/$node"/{up,go,pid}
	mkfifo "$RUN/$node/up" "$RUN/$node/go"
	start_in "$CG/$node" "$log" unshare --cgroup --net --uts --ipc --mount --propagation private \
		--pid --fork --kill-child -- "$LAB_HOME/node-root.sh" "$node" "$RUN/$node" "$DISK/$node" \
		"$DISK" "$(<"$RUN/corosync-dir")"
	pid=$(fifo_read "$RUN/$node/up") || die "$E_FAIL" "$node did not start: $(tail -n 3 "$log")"
	node_cables "$node" "$pid"
	echo "$pid" >"$RUN/$node/pid"
	exec 7<>"$RUN/$node/go"	# open until it was read: a FIFO that nobody has open forgets
	echo go >&7
	until_true 20 node_booted "$node" "$pid" || die "$E_FAIL" "$node did not boot: $(tail -n 3 "$log")"
	exec 7>&-
}
# Its PID 1 is lab-init by now: what is executed in the node sees the node's root.
node_booted() { [[ $(cat "/proc/$2/comm" 2>/dev/null) == lab-init ]]; }

# /dev/watchdog of the node, and who is behind it: outside of the node, for as long as the lab lives. What an
# earlier boot had started is over.
node_watchdog_ready() {	# NODE
	local fifo=$RUN/$1/watchdog cgroup=$CG/watchdog-$1
	[[ -p $fifo ]] || mkfifo "$fifo"
	if [[ ! -d $cgroup ]]; then
		mkdir "$cgroup"
		start_in "$cgroup" "$DISK/$1/log/watchdog.log" "$DISK/tools/watchdog" "$fifo" "$CG/$1" \
			"$LAB_HOME/lab" pull "$1"
	fi
	printf V 1<>"$fifo"
}

node_pull() {
	# First the cables: what dies can say nothing to anybody, as when the power goes.
	node_cables_down "$1"
	cgroup_end "$CG/$1"
	# Its watchdog has no power either. It would come due in the node's next life, and freeze that.
	[[ ! -p $RUN/$1/watchdog ]] || printf V 1<>"$RUN/$1/watchdog"
	node_cables_remove "$1"
	rm -f "$RUN/$1"/{pid,up,go}
}

# Applies a function to one node or, with --all, to those for which it makes a difference.
each_node() {	# WANTED-TEST FUNCTION SAYING NODE|--all
	local wanted=$1 function=$2 saying=$3 node n=0
	if [[ ${4-} == --all ]]; then need_up; else need_node "${4-}"; fi
	uninterrupted
	for node in $(if [[ $4 == --all ]]; then lab_nodes; else echo "$4"; fi); do
		if "$wanted" "$node"; then
			"$function" "$node"
			n=$((n + 1))
		fi
	done
	((n)) || die "$E_ALREADY" "$4 $saying already"
}
node_is_off() { ! node_is_on "$1"; }
node_can_freeze() {
	node_is_on "$1" || die "$E_FAIL" "$1 has no power"
	! node_is_frozen "$1"
}
node_can_thaw() {
	node_is_on "$1" || die "$E_FAIL" "$1 has no power"
	node_is_frozen "$1"
}
node_freeze() {
	echo 1 >"$CG/$1/cgroup.freeze"
	until_true 30 node_stands "$1" || die "$E_FAIL" "$1 does not freeze"
}
# Who waits for an answer of a FUSE server that is frozen itself is never called frozen, and executes nothing either.
node_stands() {
	local before
	! grep -qx 'frozen 1' "$CG/$1/cgroup.events" || return 0
	before=$(grep '^usage_usec' "$CG/$1/cpu.stat")
	sleep 0.3
	[[ $(grep '^usage_usec' "$CG/$1/cpu.stat") == "$before" ]]
}
node_thaw() {
	echo 0 >"$CG/$1/cgroup.freeze"
	until_true 30 grep -qx 'frozen 0' "$CG/$1/cgroup.events" || die "$E_FAIL" "$1 does not thaw"
}
verb_pull() { each_node node_is_on node_pull "is without power" "$@"; }
verb_plug() { each_node node_is_off node_start "has power" "$@"; }
verb_freeze() { [[ ${1-} != --* ]] || usage; each_node node_can_freeze node_freeze "is frozen" "$@"; }
verb_thaw() { [[ ${1-} != --* ]] || usage; each_node node_can_thaw node_thaw "runs" "$@"; }

# ---- processes ------------------------------------------------------------------------------

# Becomes COMMAND inside a node. nsenter does not join the cgroup: without the first line freeze
# and pull would miss the process. -r: in a chroot the root of the mount namespace is not the node's.
node_become() {	# NODE PID COMMAND...
	local node=$1 pid=$2
	shift 2
	echo "$BASHPID" >"$CG/$node/init/cgroup.procs" || exit "$E_OFF"
	exec nsenter -t "$pid" -m -u -i -n -p -C -r -w -- env -i TERM="${TERM:-dumb}" HOME=/root LANG=C.UTF-8 \
		PATH=/opt/clusterd/sbin:/opt/clusterd/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		"$@"
}
node_exec() {	# NODE COMMAND...: its exit status, $E_OFF when nothing can run there
	local node=$1 pid
	shift
	pid=$(node_pid "$node") || return "$E_OFF"
	! node_is_frozen "$node" || return "$E_OFF"
	(node_become "$node" "$pid" "$@" 9>&-)
}
verb_exec() {
	local node=${1-} pid
	need_node "$node"
	(($# >= 2)) || usage
	shift
	pid=$(node_pid "$node") || die "$E_OFF" "$node has no power"
	! node_is_frozen "$node" || die "$E_OFF" "$node is frozen"
	node_become "$node" "$pid" "$@"
}

# The host's pid of what the node calls NSPID. Not by exec: a frozen node's processes die too. The file is read at once: `read`
# goes back to the end of each line, and by then the line "State" may be shorter, and others begin elsewhere.
pid_outside() {	# NODE NSPID
	local pid status
	while read -r pid; do
		status=$(cat "/proc/$pid/status" 2>/dev/null) || continue
		[[ ! $status =~ NSpid:[[:space:]]+[0-9]+[[:space:]]+"$2"[[:space:]] ]] || { echo "$pid"; return; }
	done < <(cgroup_pids "$CG/$1")
	return 1
}

verb_kill() {
	local node=${1-} what=${2-} file pid inside init
	need_node "$node"
	case $what in
	corosync|clusterd) file=run/lab/$what.pid ;;
	feeder) file=run/lab/clusterd-feeder.pid ;;
	keeper) file=run/lab/csv-keeper.pid ;;
	csvd) file=run/csvd/csvd.pid ;;
	qemu:*) file=run/clusterd/vm/${what#qemu:}/pid ;;
	*) usage ;;
	esac
	init=$(node_pid "$node") || die "$E_FAIL" "$node has no power"
	inside=$(head -n 1 "/proc/$init/root/$file" 2>/dev/null) || die "$E_NONE" "no $what on $node (no /$file there)"
	inside=${inside%% *} # a VM's is "PID START_TIME"
	pid=$(pid_outside "$node" "$inside") || die "$E_NONE" "no $what on $node (process $inside is gone)"
	kill -KILL "$pid"
}

verb_logs() {
	local node=${1-} file
	need_node "$node"
	for file in "$DISK/$node"/log/*.log; do
		printf '==== %s: %s ====\n' "$node" "$(basename "$file")"
		cat "$file"
	done
}
