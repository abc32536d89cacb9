# tests/: what `make check` runs beyond the unit tests that each folder's fragment lists.
dist_check_SCRIPTS += tools/check-includes tools/check-spdx tools/check-shell

# Drills run in the lab, as root: tests/run, not make check.
EXTRA_DIST += .ci/run .shellcheckrc tests/run tests/drills/lib.sh tests/drills/01-lab-up-down
