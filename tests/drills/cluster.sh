# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# For drills about clusterd, beside lib.sh.

ctl() {	# NODE ARGS...: clusterctl on that node
	local node=$1
	shift
	lab exec "$node" timeout 60 clusterctl "$@"
}
status() {	# NODE JQ-FILTER
	ctl "$1" status --json | jq -r "$2"
}

# All nodes of the lab are up, as NODE sees it.
all_up_on() {
	status "$1" '.cluster.quorate and (.nodes | length == 3) and ([.nodes[].state] | unique == ["up"])' | grep -qx true
}
quorate_on() { status "$1" .cluster.quorate | grep -qx true; }
not_quorate_on() { status "$1" .cluster.quorate | grep -qx false; }
state_is() {	# NODE-ASKED NODE STATE
	[[ $(status "$1" ".nodes[] | select(.name == \"$2\").state") == "$3" ]]
}
manager_is_not() {	# NODE-ASKED NODE: there is one, and it is another
	local manager
	manager=$(status "$1" .cluster.manager)
	[[ $manager == node* && $manager != "$2" ]]
}

# Bad input: the exit status, exactly one line on stderr, and with --json the same as an object.
refused() {	# CODE NODE ARGS...
	local want=$1 node=$2 got=0 said json
	shift 2
	said=$(ctl "$node" "$@" 2>&1 >/dev/null) || got=$?
	((got == want)) || fail "exit status $got instead of $want: clusterctl $*: $said"
	(($(wc -l <<<"$said") == 1)) && [[ $said == clusterctl:* ]] || fail "not one line on stderr: clusterctl $*: $said"
	json=$(ctl "$node" "$@" --json 2>/dev/null) && fail "the second time it is done: clusterctl $*"
	jq -e '.error | has("code") and (.message | length > 0) and has("object") and has("hint")' <<<"$json" >/dev/null ||
		fail "no error object: clusterctl $* --json: $json"
}

# In a lab of `up --bare`, where init does not start them: as its services would.
daemons_start() {
	local node
	for node in node1 node2 node3; do
		setsid "$SRC/lab/lab" exec "$node" sh -c 'while :; do clusterd; sleep 0.1; done >>/var/log/clusterd.log 2>&1' \
			</dev/null >/dev/null 2>&1 9>&- &
	done
	for node in node1 node2 node3; do
		wait_for 20 ctl $node status
	done
}
