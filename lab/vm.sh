# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Test VMs, and the collector, which sees them from outside: it sits on the `vm` network in a
# namespace of its own and writes what it receives below $RUN/guests.
#
# A guest beats over the network and writes a verified sequence to its disk (lab/guest/). What a
# node needs to start one is in /opt/lab there. VMs made by the lab: $RUN/vms, lines "NAME GUEST".

# ---- the collector --------------------------------------------------------------------------

collector_start() {
	local pid
	mkdir -p "$RUN/guests"
	: >"$RUN/vms"
	# shellcheck disable=SC2153 # DISK is common.sh's
	[[ -x $DISK/tools/collector ]] || return 0
	mkdir "$CG/collector"
	holder_start collector --net --mount
	pid=$(cat "$RUN/collector.pid")
	cable collector vm "$pid" vm "$(mac_of 3 1 1)"
	nsenter -t "$pid" -n -- ip -batch - <<-END
		link set dev lo up
		link set dev vm addrgenmode none up
		address add $(collector_address)/24 broadcast + dev vm
	END
	start_in "$CG/collector" "$RUN/collector.log" nsenter -t "$pid" -n -- "$DISK/tools/collector" run "$RUN/guests"
}

known_vm() {	# VM
	need_up
	[[ ${1-} ]] || usage
	grep -q -- "^$1 " "$RUN/vms" || [[ -e $RUN/guests/$1 ]] || die "$E_NONE" "no VM '$1' was ever seen (made here: $(cut -d' ' -f1 "$RUN/vms" | xargs))"
}
guest_show() { "$DISK/tools/collector" show "$RUN/guests" "$@"; }
verb_guest() {
	known_vm "${1-}"
	[[ $# == 1 || ($# == 2 && $2 == --reset) ]] || usage
	guest_show "$@"
}
# Has it been heard of within the last second?
guest_beats() { guest_show "$1" | jq -e '.age_ms != null and .age_ms < 1000' >/dev/null; }

# ---- what guests are made of ----------------------------------------------------------------

guests_install() {
	local file
	[[ ! -x $BUILD/lab/guest/collector ]] || install "$BUILD/lab/guest/collector" "$DISK/tools/"
	for file in tiny.elf linux/vmlinuz linux/initrd; do
		[[ ! -e $BUILD/lab/guest/$file ]] || install -D -m 644 "$BUILD/lab/guest/$file" "$DISK/share/$file"
	done
}
guest_default() { if [[ -e $DISK/share/linux/initrd ]]; then echo linux; else echo tiny; fi; }

# Arguments of `clusterctl create vm` for a guest, one a line.
guest_arguments() {	# NAME GUEST
	case $2 in
	tiny) printf '%s\n' --memory 16M --kernel /opt/lab/tiny.elf --append "name=$1" ;;
	linux) printf '%s\n' --memory 256M --kernel /opt/lab/linux/vmlinuz --initrd /opt/lab/linux/initrd \
		--append "console=ttyS0 quiet panic=-1 name=$1 beat=20 dirty=64" ;;
	esac
}

# ---- make one -------------------------------------------------------------------------------

# A disk with all its blocks allocated, then the VM. Prints what clusterctl says when it refuses.
vm_make() {	# NAME GUEST NODE|''
	local node disk=/ClusterStorage/vol1/$1.raw arguments code=0
	node=${3:-$(ctl_node)}
	mapfile -t arguments < <(guest_arguments "$1" "$2")
	[[ ! $3 ]] || arguments+=(--node "$3")
	node_exec "$node" timeout 60 test ! -e "$disk" || die "$E_ALREADY" "$disk exists already"
	node_exec "$node" timeout 60 dd if=/dev/zero of="$disk" bs=1M count=16 conv=fsync status=none ||
		die "$E_FAIL" "$node cannot write $disk"
	node_exec "$node" timeout 60 clusterctl create vm "$1" --disk "$disk" "${arguments[@]}" --start || code=$?
	((code == 0)) || exit "$code"
	echo "$1 $2" >>"$RUN/vms"
}
vm_wait() { until_true 120 guest_beats "$1" || die "$E_FAIL" "$1 was started, but nothing was heard of it within 120 s"; }

verb_vm() {
	local name=${1-} guest node='' count=1 i names
	need_up
	[[ $name =~ ^[a-z0-9][a-z0-9-]{0,23}$ ]] || usage
	guest=tiny
	shift
	while (($#)); do
		case $1 in
		--guest) [[ ${2-} =~ ^(tiny|linux)$ ]] || usage; guest=$2 ;;
		--node) need_node "${2-}"; node=$2 ;;
		--count) [[ ${2-} =~ ^[1-9][0-9]{0,2}$ ]] || usage; count=$2 ;;
		*) usage ;;
		esac
		shift 2
	done
	names=("$name")
	if ((count > 1)); then
		mapfile -t names < <(for ((i = 1; i <= count; i++)); do echo "$name-$i"; done)
	fi
	uninterrupted
	for name in "${names[@]}"; do
		vm_make "$name" "$guest" "$node"
	done
	exec 9>&-
	trap - INT TERM HUP
	for name in "${names[@]}"; do
		vm_wait "$name"
	done
}

# The VM of `up`, once every node has the volume.
up_vm() {
	[[ $(product_path clusterd) && $(product_path csv-keeper) && -e $DISK/share/tiny.elf ]] || return 0
	say "starting the VM vm ($(guest_default))"
	vm_make vm "$(guest_default)" ''
	vm_wait vm
}
