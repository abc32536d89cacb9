# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Packages, the build, the private installation that nodes see at /opt/clusterd.

packages_missing() {
	local p
	while read -r p; do
		[[ $p && $p != \#* ]] || continue
		[[ $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) == installed ]] || echo "$p"
	done <"$LAB_HOME/packages"
}

install_packages() {
	local missing
	mapfile -t missing < <(packages_missing)
	((${#missing[@]})) || return 0
	say "installing packages: ${missing[*]}"
	apt_install "${missing[@]}" || { apt_get update && apt_install "${missing[@]}"; } ||
		die "$E_FAIL" "cannot install packages: ${missing[*]}"
}
apt_install() { apt_get install -y --no-install-recommends "$@"; }
# In a session of its own: Ctrl-C must not leave dpkg half way.
apt_get() {
	DEBIAN_FRONTEND=noninteractive setsid -w apt-get -qq -o DPkg::Lock::Timeout=300 \
		-o Dpkg::Use-Pty=0 "$@" >/dev/null 9>&-
}

# The tree belongs to somebody: what is built in it should too.
as_owner() {
	local owner
	owner=$(stat -c %U "$SRC")
	if [[ $owner == root || $owner == UNKNOWN ]]; then "$@"; else runuser -u "$owner" -- "$@"; fi
}

build_steps() {
	set -e
	cd "$SRC"
	[[ -x configure ]] || as_owner ./autogen.sh
	as_owner mkdir -p "$BUILD"
	cd "$BUILD"
	# shellcheck disable=SC2086 # LAB_CONFIGURE is a list of options
	[[ -e Makefile ]] || as_owner "$SRC/configure" -q --prefix=/opt/clusterd --sysconfdir=/etc \
		--localstatedir=/var --runstatedir=/run ${LAB_CONFIGURE:-}
	as_owner make -s -j"$(nproc)" all
	if [[ -x $LAB_HOME/guest/build ]]; then
		"$LAB_HOME/guest/build" "$("$LAB_HOME/fetch" kernel)" "$BUILD/lab/guest/linux"
	fi
}

build_product() {
	local log=$BUILD/build.log
	as_owner mkdir -p "$BUILD"
	(
		exec 8<"$BUILD"
		flock 8
		build_steps >"$log" 2>&1 8>&- 9>&-
	) || { tail -n 30 "$log" >&2; die "$E_FAIL" "the build under $BUILD failed"; }
}

# All that `up` needs and that no lab owns. Also a verb, for tests/run.
prepare() {
	install_packages
	say "building (under $BUILD)"
	build_product
}
verb_build() {
	(($# == 0)) || usage
	prepare
	"$LAB_HOME/fetch" corosync tgt kernel >/dev/null
}

# A copy of its own for each lab: a later build does not change a lab that runs.
install_product() {
	make -s -C "$BUILD" install DESTDIR="$DISK/root" >"$RUN/build.log" 2>&1 9>&- ||
		{ tail -n 30 "$RUN/build.log" >&2; die "$E_FAIL" "make install failed"; }
	mkdir -p "$DISK/root/opt/clusterd" "$DISK/share" "$DISK/shared" "$DISK/tools"
	install "$BUILD/lab/init" "$BUILD/lab/watchdog" "$BUILD/lab/delay.so" "$DISK/tools/"
	install "$BUILD/lab/probe" "$DISK/share/"
	guests_install
}

# The path, inside nodes, of an installed program; empty when this build has none.
product_path() {
	local dir
	for dir in bin sbin libexec/clusterd libexec; do
		if [[ -x $DISK/root/opt/clusterd/$dir/$1 ]]; then
			echo "/opt/clusterd/$dir/$1"
			return
		fi
	done
}
