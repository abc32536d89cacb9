# quorum/: the replicated log and what is decided on it. Pure: no clock, socket, disk, random.
EXTRA_DIST += quorum/raft.h
# quorum/
EXTRA_DIST += quorum/state.h
