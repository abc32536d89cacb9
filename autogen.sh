#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Makes ./configure from configure.ac. Run once after a clone; make re-runs it when needed.
set -eu
cd "$(dirname "$0")"
exec autoreconf --install --force --warnings=all
