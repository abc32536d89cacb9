# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Instead of lib.sh, for drills on a target that behaves as tgt never does (tests/lun/odd-target):
#
#     target ORDER...        an order to it; its answer is in $SAID
#     counted WHAT           executed, aborts, attentions, dropped, resets, preempts
# shellcheck disable=SC2034 # SAID is for the drills
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

SAID='' TARGET_IN='' TARGET_OUT=''

target_start() {
	truncate -s 256M "$WORK/lun.img"
	mkfifo "$WORK/odd.in" "$WORK/odd.out"
	exec {TARGET_IN}<>"$WORK/odd.in" {TARGET_OUT}<>"$WORK/odd.out"
	nsenter -t "${HOLD[switch]}" -n -- "$SRC/tests/lun/odd-target" "$NET.254:3260" "$WORK/lun.img" \
		<&"$TARGET_IN" >&"$TARGET_OUT" 2>>"$WORK/tgtd.log" &
	TGTD=$!
	read -r -t 10 SAID <&"$TARGET_OUT" || fail "the odd target does not start"
}
target() {
	printf '%s\n' "$*" >&"$TARGET_IN"
	read -r -t 10 SAID <&"$TARGET_OUT" || fail "the target does not answer: $*"
}
counted() {
	target count
	awk -v what="$1" '{ for (i = 1; i < NF; i++) if ($i == what) print $(i + 1) }' <<<"$SAID"
}
target_end() {
	exec {TARGET_IN}>&- {TARGET_OUT}>&-
	kill -KILL "$TGTD"
	wait "$TGTD" 2>/dev/null || true
	TGTD=''
	rm -f "$WORK"/odd.* "$WORK/lun.img"
}
