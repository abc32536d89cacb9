# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What every part of lab/lab uses: names and places of one lab, its lock, words to the user.
# Sourced by lab/lab after LAB_HOME (the directory of these files) and SRC (the source tree) are set.
# shellcheck disable=SC2034 # most of these are read by the other parts

# Exit codes (the verbs' contract).
readonly E_FAIL=1 E_USAGE=2 E_NONE=3 E_ALREADY=4 E_UNREACHABLE=5 E_OFF=125

LAB_NAME=${LAB_NAME:-lab}
if [[ ! $LAB_NAME =~ ^[a-z0-9][a-z0-9-]{0,31}$ ]]; then
	echo "lab: LAB_NAME '$LAB_NAME': small letters, digits and '-', at most 32" >&2
	exit "$E_USAGE"
fi
RUN=/run/lab-$LAB_NAME                                    # what the lab knows about itself
DISK=${LAB_DIR:-/var/lib/clusterd-lab}/$LAB_NAME          # nodes' disks and LUNs: a real disk
LOCK=/run/lab-$LAB_NAME.lock
BUILD=${LAB_BUILD:-$SRC/build/lab}
readonly NETS=(cluster storage vm)
NAME_SUM=$(cksum <<<"$LAB_NAME")
NAME_SUM=${NAME_SUM%% *}
readonly NODES_MAX=32

say() { printf 'lab: %s\n' "$*"; }
die() {	# CODE TEXT
	local code=$1
	shift
	printf 'lab: %s\n' "$*" >&2
	exit "$code"
}

# ---- places ---------------------------------------------------------------------------------

# The cgroup2 file system: the only one, or the "unified" one beside version 1.
cgroup_root() {
	local root
	root=$(findmnt -n -t cgroup2 -o TARGET | sed -n 1p)
	[[ $root ]] || die "$E_FAIL" "no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup"
	echo "$root"
}

# Subnets: 10.A.B.0/24 cluster, B+1 storage, B+2 vm. They exist in the lab's own network namespaces
# only; different names get different ones so that a trace shows at once whose packet it is.
subnet_of() {	# NET
	local i
	for i in "${!NETS[@]}"; do
		if [[ ${NETS[i]} == "$1" ]]; then
			echo "10.$((64 + NAME_SUM % 64)).$((NAME_SUM / 64 % 80 * 3 + i))"
		fi
	done
}
address_of() { echo "$(subnet_of "$2").${1#node}"; }	# NODE NET
portal_address() { echo "$(subnet_of storage).$((250 + $1))"; }	# 1|2
collector_address() { echo "$(subnet_of vm).250"; }

# ---- is it there ----------------------------------------------------------------------------

is_up() { [[ -e $RUN/ready ]]; }
need_up() { is_up || die "$E_NONE" "no lab '$LAB_NAME' is running: lab/lab up"; }
lab_nodes() { cat "$RUN/nodes"; }
# Of `up --spare`: machines that are in no cluster when the lab comes up.
is_spare() { grep -qx "$1" "$RUN/spare" 2>/dev/null; }
lab_members() { grep -vxFf "$RUN/spare" "$RUN/nodes"; }

need_node() {	# NODE
	need_up
	[[ ${1-} ]] || usage
	grep -qx -- "$1" "$RUN/nodes" || die "$E_NONE" "no node '$1' (there are: $(lab_nodes | xargs))"
}
need_net() {	# NET
	local net
	[[ ${1-} ]] || usage
	for net in "${NETS[@]}"; do
		[[ $net == "$1" ]] && return
	done
	die "$E_NONE" "no network '$1' (there are: ${NETS[*]})"
}

# ---- one change at a time -------------------------------------------------------------------

# Takes the lab's lock on descriptor 9, or gives up after $1 seconds. The file goes away with the
# lab, so having locked it means something only while the path still names what we locked.
lock_try() {
	while :; do
		exec 9>>"$LOCK"
		flock -w "$1" 9 || return 1
		[[ $(stat -c %i "$LOCK" 2>/dev/null) == "$(stat -L -c %i /proc/self/fd/9)" ]] && break
		exec 9>&-
	done
	echo $$ 1<>"$LOCK"
}
lock_lab() {
	lock_try 60 || die "$E_FAIL" "another lab/lab is changing '$LAB_NAME' (process $(cat "$LOCK"))"
}

# A change of the lab is a handful of commands that take milliseconds: Ctrl-C waits for their end.
uninterrupted() {
	trap '' INT TERM HUP
	lock_lab
}

# Starts a process that outlives us, in cgroup $1, without our descriptors (the lock; a pipe that
# somebody reads until its end), terminal or ignored signals.
# env --default-signal: an ignored SIGINT would be inherited by everything in the lab.
start_in() {	# CGROUP OUTPUT COMMAND...
	local cgroup=$1 output=$2
	shift 2
	(
		cd /
		exec </dev/null >>"$output" 2>&1
		close_others
		echo "$BASHPID" >"$cgroup/cgroup.procs" || exit
		exec env --default-signal=INT,TERM,HUP setsid -- "$@"
	) &
	disown
}

close_others() {
	local fd
	for fd in /proc/self/fd/*; do
		fd=${fd##*/}
		((fd <= 2 || fd == 255)) || eval "exec $fd>&-"
	done
}

# Kills all that lives in a cgroup and removes it. A frozen one is killed too. Again when somebody
# joined meanwhile: a process that we had begun to start when we were interrupted.
cgroup_end() {
	until_true 30 cgroup_end_once "$1" ||
		die "$E_FAIL" "processes in $1 do not end: $(cgroup_pids "$1" | xargs)"
}
cgroup_end_once() {
	[[ -d $1 ]] || return 0
	echo 1 >"$1/cgroup.kill" && until_true 30 cgroup_empty "$1" &&
		find "$1" -depth -type d -exec rmdir -- {} + 2>/dev/null
	[[ ! -d $1 ]]
}
cgroup_pids() { find "$1" -name cgroup.procs -exec cat {} +; }
cgroup_empty() { grep -qx 'populated 0' "$1/cgroup.events"; }

# ---- waiting --------------------------------------------------------------------------------

# Calls a command until it is true, for at most $1 seconds. False: it never was.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS <= end)) || return 1
		sleep 0.02
	done
}
