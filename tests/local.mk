# tests/: what `make check` runs beyond the unit tests that each folder's fragment lists.
dist_check_SCRIPTS += tools/check-includes tools/check-spdx tools/check-shell

# Drills run in the lab, as root: tests/run, not make check.
# A directory: a new drill needs no line here.
EXTRA_DIST += .ci/run .shellcheckrc tests/README.md tests/run tests/drills

include tests/sim/local.mk
