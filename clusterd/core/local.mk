# clusterd/core/: the decision core, pure. Its own library: the simulator links it too.
noinst_LIBRARIES += clusterd/libcore.a
clusterd_libcore_a_SOURCES = \
	clusterd/core/actions.c \
	clusterd/core/audit.c \
	clusterd/core/setup.c \
	clusterd/core/setup_links.c \
	clusterd/core/agent.c \
	clusterd/core/agent_csvd.c \
	clusterd/core/agent_migrate.c \
	clusterd/core/agent_save.c \
	clusterd/core/agent_stand.c \
	clusterd/core/beats.c \
	clusterd/core/defect.h \
	clusterd/core/detach.c \
	clusterd/core/fence.c \
	clusterd/core/fence_agents.c \
	clusterd/core/fence_hand.c \
	clusterd/core/fence_run.c clusterd/core/fence_run.h \
	clusterd/core/force.c \
	clusterd/core/internal.h \
	clusterd/core/leader.h \
	clusterd/core/local.h \
	clusterd/core/peer.h \
	clusterd/core/job.c \
	clusterd/core/length.c \
	clusterd/core/log.c \
	clusterd/core/manager.c \
	clusterd/core/manager_move.c \
	clusterd/core/manager_place.c \
	clusterd/core/manager_request.c \
	clusterd/core/manager_volume.c \
	clusterd/core/manager_schema.c \
	clusterd/core/manager_stop.c \
	clusterd/core/manager_voters.c \
	clusterd/core/message.c \
	clusterd/core/node.c clusterd/core/node.h \
	clusterd/core/quarantine.c \
	clusterd/core/request.c \
	clusterd/core/resign.c \
	clusterd/core/slow.c \
	clusterd/core/stand.c clusterd/core/stand.h \
	clusterd/core/view.c \
	clusterd/core/witness.c clusterd/core/witness.h \
	clusterd/core/witness_set.c \
	clusterd/core/witness_look.c \
	clusterd/core/witness_take.c \
	clusterd/core/witness_lead.c \
	clusterd/core/witness_raft.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/setup_links_test
tests_unit_setup_links_test_SOURCES = tests/unit/setup_links_test.c
tests_unit_setup_links_test_LDADD = clusterd/libcore.a quorum/libquorum.a quorum/libstate.a \
	resources/libplan.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/stand_test
tests_unit_stand_test_SOURCES = tests/unit/stand_test.c
tests_unit_stand_test_LDADD = clusterd/libcore.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/request_test
tests_unit_request_test_SOURCES = tests/unit/request_test.c
tests_unit_request_test_LDADD = clusterd/libcore.a quorum/libstate.a quorum/libquorum.a \
	resources/libplan.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/failures_test
tests_unit_failures_test_SOURCES = tests/unit/failures_test.c
tests_unit_failures_test_LDADD = clusterd/libcore.a quorum/libstate.a quorum/libquorum.a \
	resources/libplan.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
endif

check_PROGRAMS += tests/unit/core_test
tests_unit_core_test_SOURCES = tests/unit/core_test.c $(STATE_RIG)
tests_unit_core_test_LDADD = clusterd/libcore.a quorum/libstate.a quorum/libquorum.a resources/libplan.a \
	proto/libproto.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
