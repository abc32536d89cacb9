# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For drills that break things under a volume in use, beside whole.sh. On every node at once run fio
# with checksums (a file of its own, its part of a file that all share, a buffered one), a writer whose
# acknowledged blocks are accounted for outside of the node (tests/csvd/ledger), and names that come and
# go (tests/csvd/load). A round is: load on all nodes, one fault and its mending, load again, judgement.
#
# Judged: on no node that was neither pulled nor fenced did an application see an error; nothing that
# any of them read was wrong; all that was acknowledged to anybody, also to nodes that died, is read by
# another node and stands in a replayed copy of the LUN, which is a clean file system.
. "$(dirname "${BASH_SOURCE[0]}")/whole.sh"
require fio e2fsck jq

VOL=/ClusterStorage/vol1
NODES=(node1 node2 node3)
OWN_MB=2 SHARED_MB=2 BUFFERED_MB=1 LEDGER_BLOCKS=256
ROUND=0
declare -A SPARED LOAD_PID	# nodes whose applications may see errors; background processes

campaign_begin() {
	WORK=$(mktemp -d)
	trap 'campaign_end' EXIT
	lab up --no-vm >/dev/null
	LEDGER=$(built tests/csvd/ledger)
	LOAD=$(built tests/csvd/load)
	for node in "${NODES[@]}"; do
		give_programs "$node"
	done
	lab exec node1 mkdir "$VOL/c"
	# fio would unlink and make anew what is too short, under the feet of those that share it.
	lab exec node1 truncate -s $((${#NODES[@]} * SHARED_MB))M "$VOL/c/shared"
}
campaign_end() {
	local code=$?
	if ((code)); then tail -n 5 "$WORK"/*.err 2>/dev/null || true; fi
	rm -rf "$WORK"
	drill_end "$code"
}
# A node's own files go with its power.
give_programs() {
	local program
	for program in "$LEDGER" "$LOAD"; do
		# shellcheck disable=SC2016 # for the node's shell
		lab exec "$1" sh -c 'cat >"/run/$0" && chmod +x "/run/$0"' "${program##*/}" <"$program"
	done
	fio_jobs "${1#node}" | lab exec "$1" sh -c 'cat >/run/load.fio'
}

# ---- the load -------------------------------------------------------------------------------

# Every 4 KiB carry a checksum of their own; each pass over the file is followed by one that reads it.
# io_uring, not libaio: a thread that is frozen in io_getevents() is now and then not woken by the last of
# the events that it waits for (seen with 6.18, all events in the ring; any signal sets it going).
fio_jobs() {	# N
	cat <<-END
		[global]
		ioengine=io_uring
		direct=1
		iodepth=16
		rw=randwrite
		bsrange=4k-64k
		fallocate=none
		loops=1000000
		verify=crc32c
		verify_interval=4k
		verify_fatal=1
		[own]
		filename=$VOL/c/own.$1
		size=${OWN_MB}m
		[shared]
		filename=$VOL/c/shared
		offset=$((($1 - 1) * SHARED_MB))m
		size=${SHARED_MB}m
		[buffered]
		ioengine=psync
		direct=0
		iodepth=1
		filename=$VOL/c/buffered.$1
		size=${BUFFERED_MB}m
	END
}

# NODE NAME COMMAND...: in the background, its pid in the node's /run/NAME.pid, output in $WORK.
run_on() {
	local node=$1 name=$2 output=$WORK/$1.$2
	shift 2
	# shellcheck disable=SC2016 # for the node's shell
	lab exec "$node" sh -c 'echo $$ >"/run/$0.pid"; exec "$@"' "$name" "$@" >"$output" 2>"$output.err" &
	LOAD_PID[$node.$name]=$!
}
load_on() {	# NODE
	local n=${1#node}
	run_on "$1" fio fio --output-format=json /run/load.fio
	run_on "$1" ledger /run/ledger write "$VOL/c/ledger.$ROUND" $((n * LEDGER_BLOCKS)) $LEDGER_BLOCKS $((ROUND * 10 + n))
	run_on "$1" load /run/load meta "$VOL/c" 100000 "$1.$ROUND"
}

# What each job of fio has written so far, in bytes, by the kernel's account: "PID BYTES" lines. Not by
# fio's reports: one of them waits for every job, and a job that meets it after 5 s calls that a deadlock.
fio_written() {	# NODE
	# shellcheck disable=SC2016 # for the node's shell
	lab exec "$1" sh -c 'p=$(cat /run/fio.pid); for j in $(cat "/proc/$p/task/$p/children"); do
		echo "$j $(sed -n "s/^write_bytes: //p" "/proc/$j/io")"; done' 2>/dev/null
}
# Every job has written all of its part at least once: from here on there is something to read.
fio_wrote_all() {
	fio_written "$1" | awk -v want=$((1048576 * (OWN_MB > SHARED_MB ? OWN_MB : SHARED_MB))) -v small=$((1048576 * BUFFERED_MB)) '
		$2 >= small { some++ } $2 >= want { all++ } END { exit !(some == 3 && all >= 2) }'
}
# Every job has written since then.
fio_beyond() {	# NODE BEFORE
	fio_written "$1" | awk -v before="$2" '
		BEGIN { n = split(before, b); for (i = 1; i < n; i += 2) old[b[i]] = b[i + 1] }
		$1 in old && $2 > old[$1] { more++ } END { exit more != 3 }'
}
fio_report() { sed -n '/^{/,$p' "$WORK/$1.fio" | jq -e "$2"; }	# NODE FILTER: when it has ended
ledger_size() { stat -c %s "$WORK/$1.ledger"; }
ledger_beyond() { (($(ledger_size "$1") > $2)); }
# The applications of those nodes, of all that shall go on, have written since we began to ask.
at_work() {	# [NODE...]
	local node
	local -A fio ledger
	for node in "${@:-${NODES[@]}}"; do
		if [[ ${SPARED[$node]-} ]]; then continue; fi
		fio[$node]=$(fio_written "$node" | xargs) ledger[$node]=$(ledger_size "$node")
	done
	for node in "${!fio[@]}"; do
		wait_for 30 fio_beyond "$node" "${fio[$node]}"
		wait_for 30 ledger_beyond "$node" $((ledger[$node] + 240))
	done
}

load_begin() {
	local node
	ROUND=$((ROUND + 1))
	SPARED=()
	for node in "${NODES[@]}"; do load_on "$node"; done
	for node in "${NODES[@]}"; do wait_for 60 fio_wrote_all "$node"; done
}
# What was started on a node is told to end, and does; a node without power has ended it already.
load_stop() {	# NODE
	local name
	for name in fio ledger load; do
		# shellcheck disable=SC2016 # for the node's shell
		lab exec "$1" sh -c 'kill -TERM "$(cat "/run/$0.pid")"' "$name" 2>/dev/null || true
	done
}
ended() { ! kill -0 "$1" 2>/dev/null; }

# fio says 128 when a signal ended it in order; what it has to say about errors is in its report.
load_judge() {	# NODE
	local name code
	for name in fio ledger load; do
		wait_for 40 ended "${LOAD_PID[$1.$name]}"
		code=0
		wait "${LOAD_PID[$1.$name]}" || code=$?
		if [[ ${SPARED[$1]-} ]]; then continue; fi
		((code == 0 || (code == 128 && ${#name} == 3))) ||
			fail "$name on $1 saw an error ($code): $(tail -n 3 "$WORK/$1.$name.err")"
	done
	if [[ ! ${SPARED[$1]-} ]]; then
		fio_report "$1" '[.jobs[] | .error] | add == 0' >/dev/null || fail "fio on $1: $(tail -n 5 "$WORK/$1.fio.err")"
	fi
	# A block that reads wrong is wrong on any node.
	! grep -hE '^ledger: block|verify: bad|crc32c: verify failed' "$WORK/$1".*.err || fail "$1 read what nobody wrote"
}
load_end() {
	local node
	at_work
	for node in "${NODES[@]}"; do load_stop "$node"; done
	for node in "${NODES[@]}"; do load_judge "$node"; done
	# Each node's data as another one reads them, and the ledger of all that was acknowledged.
	for node in "${NODES[@]}"; do read_by "$(other_than "$node")" "$node"; done
}
# The longest that an application waited for one I/O, on the nodes that lived.
slowest() {
	local node
	for node in "${NODES[@]}"; do
		[[ ${SPARED[$node]-} ]] || sed -n 's/.*slowest_ms //p' "$WORK/$node.ledger.err"
	done | sort -n | tail -n 1
}

# ---- the judgement --------------------------------------------------------------------------

other_than() { others "$1" | tail -n 1; }
# The jobs of node N, only read, from files in DIRECTORY: fio as a checker of checksums.
fio_checks() {	# N DIRECTORY
	fio_jobs "$1" | sed "s|^filename=$VOL/c/|filename=$2/|; s/^rw=.*/rw=read/; s/^loops=.*/loops=1/; s/^direct=.*/direct=0/"
}
fio_clean='[.jobs[] | .error] | add == 0'
read_by() {	# READER NODE
	local n=${2#node}
	fio_checks "$n" "$VOL/c" | lab exec "$1" sh -c 'cat >/run/check.fio; exec fio --output-format=json /run/check.fio' >"$WORK/check" 2>&1 ||
		fail "$1 reads something else than $2 wrote: $(tail -n 5 "$WORK/check")"
	sed -n '/^{/,$p' "$WORK/check" | jq -e "$fio_clean" >/dev/null || fail "$1 cannot read what $2 wrote: $(tail -n 5 "$WORK/check")"
	# The checker is outside of all nodes, the file is read by a node.
	lab exec "$1" cat "$VOL/c/ledger.$ROUND" >"$WORK/ledger.file"
	ledger_is_true "$2" "$ROUND" "$WORK/ledger.file"
	cp "$WORK/$2.ledger" "$WORK/$2.ledger.$ROUND"
}
ledger_is_true() {	# NODE ROUND FILE
	local n=${1#node} said
	said=$("$LEDGER" check "$WORK/$1.ledger" "$3" $((n * LEDGER_BLOCKS)) $(($2 * 10 + n))) ||
		fail "what was acknowledged on $1 is not in $3: $said"
}

# The same from a replayed copy of the LUN, where no daemon has a say.
lun_judge() {
	local node round
	lun_copy "$WORK"
	mkdir "$WORK/out"
	debugfs -R "rdump /c $WORK/out" "$WORK/lun" >"$WORK/said" 2>&1
	for node in "${NODES[@]}"; do
		fio_checks "${node#node}" "$WORK/out/c" >"$WORK/check.fio"
		fio --output-format=json "$WORK/check.fio" 2>&1 | sed -n '/^{/,$p' | jq -e "$fio_clean" >/dev/null ||
			fail "the LUN does not hold what fio wrote on $node"
		for ((round = 1; round <= ROUND; round++)); do
			cp "$WORK/$node.ledger.$round" "$WORK/$node.ledger"
			ledger_is_true "$node" "$round" "$WORK/out/c/ledger.$round"
		done
	done
	control
	rm -rf "$WORK/out" "$WORK/lun"
}
# The judges judge: one block of the copy is exchanged for another one, which is whole in itself.
control() {
	local file=$WORK/out/c
	dd if="$file/own.1" of="$file/own.1" bs=4k skip=1 seek=2 count=1 conv=notrunc status=none
	dd if="$file/ledger.1" of="$file/ledger.1" bs=4k skip=$((LEDGER_BLOCKS + 1)) seek=$((LEDGER_BLOCKS + 2)) count=1 conv=notrunc status=none
	fio_checks 1 "$file" >"$WORK/check.fio"
	! fio --output-format=json "$WORK/check.fio" 2>/dev/null | jq -e "$fio_clean" >/dev/null 2>&1 ||
		fail "fio does not notice an exchanged block"
	expect 1 "$LEDGER" check "$WORK/node1.ledger.1" "$file/ledger.1" $LEDGER_BLOCKS 11
}

# ---- faults ---------------------------------------------------------------------------------

# All nodes are members and have the volume, and their applications go on.
well_again() {
	all_well 60
	at_work
}
# The incarnation of a node changes when the cluster has given up its old life.
incarnation() { status_of ".nodes[] | select(.name == \"$1\") | .incarnation"; }

fault_pull() {	# the coordinator's node loses its power
	local c
	c=$(coordinator)
	SPARED[$c]=1
	lab pull "$c"
	at_work
	lab plug "$c"
	all_well
	give_programs "$c"
}
fault_freeze() {	# the coordinator's node stands still until it was given up, and goes on then
	local c old
	c=$(coordinator)
	old=$(CL_NODE=$c incarnation "$c")
	SPARED[$c]=1
	lab freeze "$c"
	at_work
	lab thaw "$c"
	lab wait ".nodes[] | select(.name == \"$c\") | .incarnation != $old" 60
	all_well
}
fault_pause() {	# the coordinator's node stands still for less than that
	local c
	c=$(coordinator)
	lab freeze "$c"
	sleep 0.5 # the fault itself
	lab thaw "$c"
}
fault_move() {	# the role goes to each node in turn
	local node
	for node in $(others "$(coordinator)") "$(coordinator)"; do
		coordinator_to "$node"
		at_work "$node"
	done
}
cut_storage() {	# NODE: for longer than any of the volume's deadlines
	lab cut "$1" storage
	sleep 8 # the fault itself
	lab mend "$1" storage
}
fault_storage() {	# each node in turn loses its storage network, the coordinator last
	local node
	for node in $(others "$(coordinator)") "$(coordinator)"; do
		cut_storage "$node"
		well_again
	done
}
fault_storage-one() { cut_storage "$(others "$(coordinator)" | sed -n 1p)"; }
fault_storage-coordinator() { cut_storage "$(coordinator)"; }
fault_portal() {	# the first of the target's portals
	lab portal 1 cut
	sleep 8 # the fault itself
	lab portal 1 mend
}
fault_csvd() {	# csvd is killed on each node, the coordinator's too
	local node
	for node in "${NODES[@]}"; do
		lab kill "$node" csvd
		at_work
	done
}
fault_target() { lab target restart; }	# and forgets keys and reservations
fault_stall() {	# every command of the target takes 8 s
	lab target delay 8000
	sleep 8 # the fault itself
	lab target delay 0
}
fault_redirect() {
	lab clusterctl redirect vol1 on >/dev/null
	at_work
	lab clusterctl redirect vol1 off >/dev/null
}

# One round with one fault.
round() {	# FAULT
	local began stall
	declare -F "fault_$1" >/dev/null || fail "no fault is called '$1'; there are: $(declare -F | sed -n 's/.* fault_//p' | xargs)"
	if [[ $1 == redirect ]] && ! lab clusterctl redirect vol1 off >/dev/null 2>&1; then
		step "$1: this version has no such order"
		return
	fi
	step "$1: load on all nodes (coordinator $(coordinator))"
	load_begin
	began=$(now_ms)
	"fault_$1"
	well_again
	load_end
	stall=$(slowest)
	step "$1: $(($(now_ms) - began)) ms, the longest I/O $stall ms"
	timing "${1//-/_}_stall_ms=$stall"
}
