# migration/: QEMU by QMP, live migration as a state machine over an ops table.
noinst_LIBRARIES += migration/libmigration.a
migration_libmigration_a_SOURCES = \
	migration/argv.c migration/argv.h \
	migration/cgroup.c migration/cgroup.h \
	migration/disk_open.c migration/disk_open.h \
	migration/launch.c migration/launch.h \
	migration/migrate.c migration/migrate_tls.c migration/migrate_tls.h \
	migration/outgoing.c migration/outgoing.h \
	migration/plan_migrate.c migration/plan_migrate.h \
	migration/plan_quick.c migration/plan_quick.h \
	migration/proc.c migration/proc.h \
	migration/qmp.c migration/qmp.h \
	migration/qmp_stream.c migration/qmp_stream.h \
	migration/quick.c \
	migration/state_file.c migration/state_file.h \
	migration/tap.c migration/tap.h \
	migration/vm.c migration/vm.h \
	migration/vm_adopt.c \
	migration/vm_config.c migration/vm_config.h \
	migration/vm_heartbeat.c \
	migration/vm_helper.c migration/vm_helper.h \
	migration/vm_host.c \
	migration/vm_pause.c \
	migration/vm_private.h
migration_libmigration_a_CPPFLAGS = $(AM_CPPFLAGS) -DPKGLIBEXECDIR='"$(pkglibexecdir)"'

pkglibexec_PROGRAMS += clusterd-vm-launch clusterd-vm-state
clusterd_vm_state_SOURCES = migration/state_helper.c
clusterd_vm_state_LDADD = migration/libmigration.a lib/libcl.a $(JANSSON_LIBS) $(QB_LIBS)
clusterd_vm_launch_SOURCES = migration/launcher.c
clusterd_vm_launch_LDADD = migration/libmigration.a lib/libcl.a $(JANSSON_LIBS) $(QB_LIBS)

EXTRA_DIST += docs/vm.md

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/outgoing_test tests/unit/plan_migrate_test tests/unit/qmp_test tests/unit/vm_config_test \
	tests/unit/state_file_test tests/unit/plan_quick_test
tests_unit_plan_quick_test_SOURCES = tests/unit/plan_quick_test.c
tests_unit_plan_quick_test_LDADD = migration/libmigration.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_state_file_test_SOURCES = tests/unit/state_file_test.c
tests_unit_state_file_test_LDADD = migration/libmigration.a lib/libcl.a \
	$(JANSSON_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_outgoing_test_SOURCES = tests/unit/outgoing_test.c
tests_unit_outgoing_test_LDADD = migration/libmigration.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_plan_migrate_test_SOURCES = tests/unit/plan_migrate_test.c
tests_unit_plan_migrate_test_LDADD = migration/libmigration.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_qmp_test_SOURCES = tests/unit/qmp_test.c
tests_unit_qmp_test_LDADD = migration/libmigration.a lib/libcl.a \
	$(JANSSON_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_vm_config_test_SOURCES = tests/unit/vm_config_test.c
tests_unit_vm_config_test_LDADD = migration/libmigration.a lib/libcl.a \
	$(JANSSON_LIBS) $(CMOCKA_LIBS)
endif
