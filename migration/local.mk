# migration/: QEMU by QMP, live migration as a state machine over an ops table.
noinst_LIBRARIES += migration/libmigration.a
migration_libmigration_a_SOURCES = \
	migration/argv.c migration/argv.h \
	migration/cgroup.c migration/cgroup.h \
	migration/disk_open.c migration/disk_open.h \
	migration/launch.c migration/launch.h \
	migration/migrate.c \
	migration/plan_migrate.c migration/plan_migrate.h \
	migration/proc.c migration/proc.h \
	migration/qmp.c migration/qmp.h \
	migration/qmp_stream.c migration/qmp_stream.h \
	migration/tap.c migration/tap.h \
	migration/vm.c migration/vm.h \
	migration/vm_adopt.c \
	migration/vm_config.c migration/vm_config.h \
	migration/vm_heartbeat.c \
	migration/vm_host.c \
	migration/vm_pause.c \
	migration/vm_private.h
migration_libmigration_a_CPPFLAGS = $(AM_CPPFLAGS) -DPKGLIBEXECDIR='"$(pkglibexecdir)"'

pkglibexec_PROGRAMS += clusterd-vm-launch
clusterd_vm_launch_SOURCES = migration/launcher.c
clusterd_vm_launch_LDADD = migration/libmigration.a lib/libcl.a $(JANSSON_LIBS) $(QB_LIBS)

EXTRA_DIST += docs/vm.md

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/plan_migrate_test tests/unit/qmp_test tests/unit/vm_config_test
tests_unit_plan_migrate_test_SOURCES = tests/unit/plan_migrate_test.c
tests_unit_plan_migrate_test_LDADD = migration/libmigration.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_qmp_test_SOURCES = tests/unit/qmp_test.c
tests_unit_qmp_test_LDADD = migration/libmigration.a lib/libcl.a \
	$(JANSSON_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_vm_config_test_SOURCES = tests/unit/vm_config_test.c
tests_unit_vm_config_test_LDADD = migration/libmigration.a lib/libcl.a \
	$(JANSSON_LIBS) $(CMOCKA_LIBS)
endif
