# quorum/: the replicated log and what is decided on it. Pure: no clock, socket, disk, random.
# Two libraries of the same sources: for the daemons, and for the simulator with the defect
# switches compiled in.
noinst_LIBRARIES += quorum/libquorum.a quorum/libquorum_sim.a
QUORUM_SOURCES = \
	quorum/raft.c quorum/raft.h quorum/raft_state.h \
	quorum/raft_config.c \
	quorum/raft_election.c \
	quorum/raft_follow.c \
	quorum/raft_hold.c \
	quorum/raft_log.c quorum/raft_log.h \
	quorum/raft_member.c \
	quorum/raft_message.c \
	quorum/raft_read.c \
	quorum/raft_replicate.c \
	quorum/raft_snapshot.c \
	quorum/raft_view.c \
	quorum/state.h
quorum_libquorum_a_SOURCES = $(QUORUM_SOURCES)
quorum_libquorum_sim_a_SOURCES = $(QUORUM_SOURCES)
quorum_libquorum_sim_a_CPPFLAGS = $(AM_CPPFLAGS) -DCL_SIM
