# clusterd/: the daemon. The library holds everything but main(), so that tests link the same objects.
include clusterd/core/local.mk
noinst_LIBRARIES += clusterd/libclusterd.a
clusterd_libclusterd_a_SOURCES = \
	clusterd/backup.c clusterd/backup.h \
	clusterd/audit.c clusterd/audit.h \
	clusterd/boot.c clusterd/boot.h \
	clusterd/certs.c clusterd/certs.h \
	clusterd/certs_watch.c clusterd/certs_watch.h \
	clusterd/corosync_conf.c clusterd/corosync_conf.h \
	clusterd/corosync_edit.c \
	clusterd/corosync_move.c clusterd/corosync_move.h \
	clusterd/corosync_lines.c clusterd/corosync_lines.h \
	clusterd/fetch.c clusterd/fetch.h \
	clusterd/founding.c clusterd/founding.h \
	clusterd/join.c clusterd/join.h \
	clusterd/leave.c clusterd/leave.h \
	clusterd/life_requests.c \
	clusterd/address_requests.c \
	clusterd/setup.c clusterd/setup.h clusterd/setup_mend.c \
	clusterd/setup_links.c clusterd/setup_links.h \
	clusterd/timing.c clusterd/timing.h \
	clusterd/token.c clusterd/token.h \
	clusterd/conf.c clusterd/conf.h \
	clusterd/create.c clusterd/create.h \
	clusterd/csvd.c clusterd/csvd.h clusterd/csvd_int.h clusterd/csvd_orders.c \
	clusterd/csvd_tables.c clusterd/csvd_tables.h \
	clusterd/daemon.c clusterd/daemon.h \
	clusterd/daemon_do.c clusterd/daemon_do.h \
	clusterd/events.c clusterd/events.h \
	clusterd/left.c clusterd/left.h \
	clusterd/ipc.c clusterd/ipc.h \
	clusterd/lease_file.c clusterd/lease_file.h \
	clusterd/raft_store.c clusterd/raft_store.h \
	clusterd/requests.c clusterd/requests.h clusterd/requests_int.h \
	clusterd/requests_line.c \
	clusterd/volume_requests.c clusterd/volume_view.c clusterd/volume_view.h \
	clusterd/ring.c clusterd/ring.h \
	clusterd/fence.c clusterd/fence.h \
	clusterd/fence_requests.c \
	clusterd/fence_set.c \
	clusterd/fence_test.c \
	clusterd/fencer.c clusterd/fencer.h \
	clusterd/quorum_requests.c \
	clusterd/ring_device.c clusterd/ring_device.h \
	clusterd/ring_gate.c clusterd/ring_gate.h \
	clusterd/store.c clusterd/store.h \
	clusterd/store_aside.c clusterd/store_aside.h \
	clusterd/store_db.c clusterd/store_db.h \
	clusterd/view.c clusterd/view.h \
	clusterd/vm_fill.c clusterd/vm_fill.h \
	clusterd/vm_glue.c clusterd/vm_glue.h \
	clusterd/vms.c clusterd/vms.h clusterd/vms_int.h \
	clusterd/vms_find.c clusterd/vms_report.c clusterd/vms_tls.c \
	clusterd/witnessd.c clusterd/witnessd.h
clusterd_libclusterd_a_CPPFLAGS = $(AM_CPPFLAGS) -DPKGLIBEXECDIR='"$(pkglibexecdir)"'

pkglibexec_PROGRAMS += clusterd-fence-guard
clusterd_fence_guard_SOURCES = clusterd/fence_guard.c clusterd/fence.h
clusterd_fence_guard_LDADD = migration/libmigration.a lib/libcl.a

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/backup_test
tests_unit_backup_test_SOURCES = tests/unit/backup_test.c
tests_unit_backup_test_LDADD = clusterd/libclusterd.a clusterd/libcore.a quorum/libquorum.a \
	quorum/libstate.a resources/libplan.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) \
	$(JANSSON_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/conf_test
tests_unit_conf_test_SOURCES = tests/unit/conf_test.c
tests_unit_conf_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/corosync_conf_test tests/unit/tls_test
tests_unit_corosync_conf_test_SOURCES = tests/unit/corosync_conf_test.c
tests_unit_corosync_conf_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_tls_test_SOURCES = tests/unit/tls_test.c
tests_unit_tls_test_LDADD = clusterd/libclusterd.a proto/libproto.a lib/libcl.a \
	$(QB_LIBS) $(GNUTLS_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/corosync_move_test
tests_unit_corosync_move_test_SOURCES = tests/unit/corosync_move_test.c
tests_unit_corosync_move_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/lease_file_test
tests_unit_lease_file_test_SOURCES = tests/unit/lease_file_test.c
tests_unit_lease_file_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/fence_test
tests_unit_fence_test_SOURCES = tests/unit/fence_test.c
tests_unit_fence_test_LDADD = clusterd/libclusterd.a clusterd/libcore.a migration/libmigration.a \
	quorum/libstate.a proto/libpb.a lib/libcl.a $(JANSSON_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS) \
	$(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/ring_gate_test
tests_unit_ring_gate_test_SOURCES = tests/unit/ring_gate_test.c
tests_unit_ring_gate_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/roles_test
tests_unit_roles_test_SOURCES = tests/unit/roles_test.c
tests_unit_roles_test_LDADD = clusterctl/libclusterctl.a $(clusterd_clusterd_LDADD) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/events_test
tests_unit_events_test_SOURCES = tests/unit/events_test.c
tests_unit_events_test_LDADD = clusterd/libclusterd.a lib/libcl.a \
	$(SQLITE_LIBS) $(UUID_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/csvd_tables_test
tests_unit_csvd_tables_test_SOURCES = tests/unit/csvd_tables_test.c $(STATE_RIG)
tests_unit_csvd_tables_test_LDADD = clusterd/libclusterd.a quorum/libstate.a quorum/libquorum.a \
	proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/store_test
tests_unit_store_test_SOURCES = tests/unit/store_test.c
tests_unit_store_test_LDADD = clusterd/libclusterd.a lib/libcl.a \
	$(SQLITE_LIBS) $(UUID_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/vms_test
tests_unit_vms_test_SOURCES = tests/unit/vms_test.c
tests_unit_vms_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
endif

# The watchdog feeder: no loop, no libraries of others, little memory.
noinst_LIBRARIES += clusterd/libfeeder.a
clusterd_libfeeder_a_SOURCES = \
	clusterd/feeder_files.c clusterd/feeder_files.h \
	clusterd/feeder_slice.c clusterd/feeder_slice.h \
	clusterd/feeder_watchdog.c clusterd/feeder_watchdog.h

sbin_PROGRAMS += clusterd/clusterd-feeder
clusterd_clusterd_feeder_SOURCES = clusterd/feeder.c
FEEDER_LIBS = clusterd/libfeeder.a clusterd/libclusterd.a quorum/libstate.a proto/libproto.a lib/libcl.a
clusterd_clusterd_feeder_LDADD = $(FEEDER_LIBS)
dist_man_MANS += man/clusterd-feeder.8

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/feeder_files_test
tests_unit_feeder_files_test_SOURCES = tests/unit/feeder_files_test.c
tests_unit_feeder_files_test_LDADD = $(FEEDER_LIBS) $(CMOCKA_LIBS)
endif

sbin_PROGRAMS += clusterd/clusterd
clusterd_clusterd_SOURCES = clusterd/main.c
clusterd_clusterd_LDADD = clusterd/libclusterd.a clusterd/libfeeder.a clusterd/libcore.a quorum/libquorum.a \
	quorum/libstate.a resources/libplan.a resources/libvmspec.a migration/libmigration.a \
	proto/libproto.a proto/libpb.a lib/libcl.a $(COROSYNC_LIBS) $(QB_LIBS) $(SQLITE_LIBS) \
	$(UUID_LIBS) $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(GNUTLS_LIBS)

# systemd: where the paths are this build's.
systemdunitdir = $(prefix)/lib/systemd/system
nodist_systemdunit_DATA = units/clusterd.service units/clusterd-feeder.service units/clusterd-goodbye.service \
	units/csvd.service units/witnessd.service
EXTRA_DIST += units/clusterd.service.in units/clusterd-feeder.service.in units/clusterd-goodbye.service.in \
	units/csvd.service.in units/witnessd.service.in
CLEANFILES += $(nodist_systemdunit_DATA)
units/clusterd.service: units/clusterd.service.in
units/clusterd-feeder.service: units/clusterd-feeder.service.in
units/clusterd-goodbye.service: units/clusterd-goodbye.service.in
units/csvd.service: units/csvd.service.in
units/witnessd.service: units/witnessd.service.in
$(nodist_systemdunit_DATA): Makefile
	$(AM_V_GEN)$(MKDIR_P) units && sed -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@bindir[@]|$(bindir)|g' \
		-e 's|@pkglibexecdir[@]|$(pkglibexecdir)|g' $(srcdir)/$@.in >$@

# What tests/bench/log measures with, and what the drill of garbage on the sockets sends it with.
noinst_PROGRAMS += tests/ipc/changes tests/ipc/garbage
tests_ipc_changes_SOURCES = tests/ipc/changes.c
tests_ipc_changes_LDADD = proto/libproto.a proto/libpb.a lib/libcl.a $(QB_LIBS) $(PROTOBUFC_LIBS)
tests_ipc_garbage_SOURCES = tests/ipc/garbage.c
tests_ipc_garbage_LDADD = proto/libproto.a proto/libpb.a lib/libcl.a $(QB_LIBS) $(PROTOBUFC_LIBS)
