# lab/: the containerized lab. Runs from the source tree; only its tools in C are built.
EXTRA_DIST += lab/packages lab/fetch
