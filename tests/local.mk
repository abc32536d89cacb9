# tests/: what `make check` runs beyond the unit tests that each folder's fragment lists.
dist_check_SCRIPTS += tools/check-includes tools/check-spdx
