# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# `lab up --target istgt`: the target that cannot fence (docs/fencing.md), in place of tgt, in the same
# namespaces and with the same shim. It reads its LUNs at the start, so a new one restarts it. A volume on it is
# refused, unless somebody insists, as `up` does for vol1.

target_kind() { cat "$RUN/target-kind" 2>/dev/null || echo tgt; }

istgt_start() {
	local name prefix luns=()
	prefix=$(lun_iqn '')
	while read -r name; do
		luns+=("$name=$(lun_path "$name")")
	done <"$RUN/luns"
	"$LAB_HOME/istgt-conf" "$DISK/target/istgt" "${prefix%:}" "${luns[@]}"
	start_in "$CG/target/tgtd" "$DISK/target/istgt.log" nsenter -t "$(cat "$RUN/target.pid")" -n -m -r -w -- \
		env LD_PRELOAD="$DISK/tools/delay.so" LAB_TARGET_CONTROL="$DISK/target/control" \
		"$(cat "$RUN/istgt-dir")/usr/sbin/istgt" -D -c "$DISK/target/istgt/istgt.conf"
	until_true 20 istgt_listens || die "$E_FAIL" "istgt does not listen: $(tail -n 3 "$DISK/target/istgt.log")"
}
istgt_listens() { in_target grep -q ':0CBC ' /proc/net/tcp; }

istgt_fetch() {
	"$LAB_HOME/fetch" istgt 9>&- >"$RUN/istgt-dir" || die "$E_FAIL" "cannot fetch istgt"
}
