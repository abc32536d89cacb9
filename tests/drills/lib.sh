# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What every drill begins with:
#
#     #!/bin/bash
#     # SPDX-License-Identifier: GPL-2.0-or-later
#     # One sentence: the behaviour that is shown, and what judges it from outside.
#     # drill: limit=120            seconds until tests/run gives up; add the word `long` for --long only
#     . "$(dirname "$0")/lib.sh"
#     lab up --no-vm
#     ...
#
# The drill has a lab of its own ($LAB_NAME), gone at the end whatever happens. It passes when it
# reaches its end; any command that fails ends it (set -e), `fail` does so with words.
set -Eeuo pipefail
# A command that fails unforeseen is named; `fail` and `skip` have said their words.
trap 'printf "FAIL: exit status %s: %s (%s:%s)\n" "$?" "$BASH_COMMAND" "${BASH_SOURCE[0]##*/}" "$LINENO" >&2' ERR

SRC=$(dirname "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")")
. "$SRC/tests/drills/common.sh"
DRILL=$(basename "$0")
export LAB_NAME=${LAB_NAME:-d${DRILL%%-*}-$$}
# All labs of this drill; a second one is "$LAB_NAME-b" and is added here.
DRILL_LABS=("$LAB_NAME")

lab() { "$SRC/lab/lab" "$@"; }

skip() {
	printf 'SKIP: %s\n' "$*"
	exit 77
}
require() {	# COMMAND...: programs without which the drill means nothing
	local c
	for c; do
		command -v "$c" >/dev/null || skip "no $c here"
	done
}

# On the way out: every lab of the drill, and before that, when it failed, what the labs looked like.
drill_end() {
	local code=${1:-$?} name
	trap '' INT TERM HUP
	for name in "${DRILL_LABS[@]}"; do
		if ((code != 0 && code != 77)) && [[ -e /run/lab-$name ]]; then
			drill_keep "$name" || true
		fi
		LAB_NAME=$name lab down || code=1
	done
	exit "$code"
}
# The end of every log to our output; whole logs to $DRILL_ARTIFACTS when it is set.
drill_keep() {
	local disk=${LAB_DIR:-/var/lib/clusterd-lab}/$1
	printf '==== lab %s as it was at the failure ====\n' "$1"
	LAB_NAME=$1 lab status
	tail -n 25 "$disk"/node*/log/*.log "$disk"/target/*.log
	if [[ ${DRILL_ARTIFACTS-} ]]; then
		mkdir -p "$DRILL_ARTIFACTS/$1"
		cp -r --parents "$disk"/node*/log "$DRILL_ARTIFACTS/$1"
	fi
}
trap drill_end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- time -----------------------------------------------------------------------------------

# Figures that tests/run collects: timing detected_ms=2100 started_ms=2600
timing() { printf '# timing %s\n' "$*"; }

# wait_for SECONDS COMMAND...: until it is true; else the drill fails, saying what it waited for.
wait_for() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@" >/dev/null 2>&1; do
		(($(now_ms) < end)) || fail "waited in vain for: $*"
		sleep 0.05
	done
}

# ---- claims ---------------------------------------------------------------------------------

# expect CODE COMMAND...: its exit status is exactly that.
expect() {
	local want=$1 got=0
	shift
	"$@" >/dev/null 2>&1 || got=$?
	((got == want)) || fail "exit status $got instead of $want: $*"
}
equal() {	# GOT WANTED WHAT
	[[ $1 == "$2" ]] || fail "$3: '$1' instead of '$2'"
}

# What corosync on NODE says: "Yes 3" (quorate, votes).
quorum() {
	lab exec "$1" corosync-quorumtool -s 2>/dev/null |
		awk '/^Quorate:/ { q = $2 } /^Total votes:/ { v = $3 } END { print q, v }'
}
quorum_is() { [[ $(quorum "$1") == "$2" ]]; }	# NODE "Yes 3"
