# tests/: what `make check` runs beyond the unit tests that each folder's fragment lists.
dist_check_SCRIPTS += tools/check-includes tools/check-spdx tools/check-shell

# Drills run in the lab, as root: tests/run, not make check.
# A directory: a new drill needs no line here.
EXTRA_DIST += .ci/run .shellcheckrc tests/README.md tests/run tests/drills tests/bench

# What the drills of the whole run on the nodes.
noinst_PROGRAMS += tests/csvd/ledger
tests_csvd_ledger_SOURCES = tests/csvd/ledger.c
tests_csvd_ledger_LDADD = $(URING_LIBS)


# A share that hangs and fails as it is told.
noinst_PROGRAMS += tests/share/sharefs
tests_share_sharefs_SOURCES = tests/share/sharefs.c
tests_share_sharefs_LDADD = $(FUSE_LIBS)

include tests/sim/local.mk
include tests/fuzz/local.mk
