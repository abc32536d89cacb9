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
	quorum/voters.c quorum/voters.h
quorum_libquorum_a_SOURCES = $(QUORUM_SOURCES)
quorum_libquorum_sim_a_SOURCES = $(QUORUM_SOURCES)
quorum_libquorum_sim_a_CPPFLAGS = $(AM_CPPFLAGS) -DCL_SIM

# The cluster database, the run lease, fence debts.
noinst_LIBRARIES += quorum/libstate.a
quorum_libstate_a_SOURCES = \
	quorum/command.h \
	quorum/debt.c quorum/debt.h \
	quorum/feeder.c quorum/feeder.h \
	quorum/lease.c quorum/lease.h \
	quorum/quarantine.c quorum/quarantine.h \
	quorum/spread.c quorum/spread.h \
	quorum/state.c quorum/state.h quorum/state_apply.h \
	quorum/state_codec.c \
	quorum/state_agents.c \
	quorum/state_fence.c quorum/state_fence.h quorum/state_goodbye.c \
	quorum/state_force.c quorum/state_force.h \
	quorum/state_migrate.c \
	quorum/state_node.c \
	quorum/state_phase.c quorum/state_phase.h \
	quorum/state_resource.c \
	quorum/state_save.c quorum/state_save.h \
	quorum/state_schema.c quorum/state_schema.h \
	quorum/state_setup.c quorum/state_setup.h \
	quorum/state_quorum.c \
	quorum/state_volume.c \
	quorum/timing.c quorum/timing.h \
	quorum/witness.c quorum/witness.h \
	quorum/witness_disk.c quorum/witness_disk.h \
	quorum/witness_log.c quorum/witness_log.h

if HAVE_CMOCKA
STATE_RIG = tests/unit/state_rig.c tests/unit/state_rig.h
check_PROGRAMS += tests/unit/state_save_test
tests_unit_state_save_test_SOURCES = tests/unit/state_save_test.c $(STATE_RIG)
tests_unit_state_save_test_LDADD = quorum/libstate.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/state_life_test
tests_unit_state_life_test_SOURCES = tests/unit/state_life_test.c $(STATE_RIG)
tests_unit_state_life_test_LDADD = quorum/libstate.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/state_quiet_test
tests_unit_state_quiet_test_SOURCES = tests/unit/state_quiet_test.c $(STATE_RIG)
tests_unit_state_quiet_test_LDADD = quorum/libstate.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/state_fence_test
tests_unit_state_fence_test_SOURCES = tests/unit/state_fence_test.c $(STATE_RIG)
tests_unit_state_fence_test_LDADD = $(tests_unit_state_life_test_LDADD)
check_PROGRAMS += tests/unit/witness_test
tests_unit_witness_test_SOURCES = tests/unit/witness_test.c
tests_unit_witness_test_LDADD = quorum/libstate.a quorum/libquorum.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/goodbye_test
tests_unit_goodbye_test_SOURCES = tests/unit/goodbye_test.c $(STATE_RIG)
tests_unit_goodbye_test_LDADD = $(tests_unit_detach_test_LDADD)

check_PROGRAMS += tests/unit/detach_test
tests_unit_detach_test_SOURCES = tests/unit/detach_test.c $(STATE_RIG)
tests_unit_detach_test_LDADD = quorum/libstate.a quorum/libquorum.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/feeder_test tests/unit/timing_test
tests_unit_timing_test_SOURCES = tests/unit/timing_test.c
tests_unit_timing_test_LDADD = quorum/libstate.a quorum/libquorum.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_feeder_test_SOURCES = tests/unit/feeder_test.c
tests_unit_feeder_test_LDADD = quorum/libstate.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/state_test tests/unit/lease_test tests/unit/voters_test
tests_unit_voters_test_SOURCES = tests/unit/voters_test.c
tests_unit_voters_test_LDADD = quorum/libquorum.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_state_test_SOURCES = tests/unit/state_test.c
tests_unit_state_test_LDADD = quorum/libstate.a proto/libpb.a lib/libcl.a \
	$(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_lease_test_SOURCES = tests/unit/lease_test.c
tests_unit_lease_test_LDADD = quorum/libstate.a quorum/libquorum.a lib/libcl.a \
	$(QB_LIBS) $(CMOCKA_LIBS)
endif

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/raft_codec_test tests/unit/raft_rules_test
tests_unit_raft_codec_test_SOURCES = tests/unit/raft_codec_test.c
tests_unit_raft_codec_test_LDADD = quorum/libquorum.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_raft_rules_test_SOURCES = tests/unit/raft_rules_test.c
tests_unit_raft_rules_test_LDADD = quorum/libquorum.a lib/libcl.a $(CMOCKA_LIBS)
endif
