# iscsi/: LUN access. pr* and url are pure; session, control, sync, probe are the effects.
noinst_LIBRARIES += iscsi/libiscsilun.a
iscsi_libiscsilun_a_SOURCES = \
	iscsi/pr.c iscsi/pr.h \
	iscsi/pr_admit.c iscsi/pr_admit.h \
	iscsi/pr_check.c iscsi/pr_check.h \
	iscsi/pr_fence.c iscsi/pr_fence.h \
	iscsi/pr_tail.c iscsi/pr_tail.h \
	iscsi/url.c iscsi/url.h \
	iscsi/chap.c iscsi/chap.h \
	iscsi/session.c iscsi/session_cmd.c iscsi/session_hold.c iscsi/session_io.c iscsi/session_int.h \
	iscsi/lun.h iscsi/lun_data.c \
	iscsi/lun_uring.c iscsi/lun_uring.h iscsi/local_file.c iscsi/local_file.h \
	iscsi/control.c iscsi/control_jobs.c iscsi/control_int.h iscsi/control.h \
	iscsi/lun_sync.c iscsi/lun_sync.h \
	iscsi/lun_loop.c iscsi/lun_loop.h \
	iscsi/scratch.c iscsi/scratch.h \
	iscsi/witness_lun.c iscsi/witness_lun.h iscsi/witness_lun_int.h \
	iscsi/witness_lun_login.c iscsi/witness_lun_ops.c \
	iscsi/witness_probe.c iscsi/witness_probe.h \
	iscsi/witness_store.c iscsi/witness_store.h \
	iscsi/witness_file.c iscsi/witness_file.h \
	iscsi/witness_dir.c iscsi/witness_dir_name.c iscsi/witness_dir.h \
	iscsi/witness_dir_os.c iscsi/witness_dir_os.h \
	iscsi/portals.c iscsi/portals.h \
	iscsi/pr_probe.c iscsi/pr_probe.h \
	iscsi/probe.c iscsi/probe.h \
	iscsi/paa_probe.c iscsi/paa_probe.h

sbin_PROGRAMS += iscsi/witnessd
dist_man_MANS += man/witnessd.8
iscsi_witnessd_SOURCES = iscsi/witnessd.c
iscsi_witnessd_LDADD = iscsi/libiscsilun.a proto/libproto.a proto/libpb.a lib/libcl.a \
	$(ISCSI_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS)

pkglibexec_PROGRAMS += iscsi/lunctl
iscsi_lunctl_SOURCES = iscsi/lunctl.c
iscsi_lunctl_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) $(JANSSON_LIBS) $(QB_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/iscsi_pr_test tests/unit/iscsi_fence_test tests/unit/iscsi_probe_test \
	tests/unit/iscsi_tail_test
tests_unit_iscsi_pr_test_SOURCES = tests/unit/iscsi_pr_test.c tests/unit/iscsi_keys.h
tests_unit_iscsi_pr_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_iscsi_fence_test_SOURCES = tests/unit/iscsi_fence_test.c tests/unit/iscsi_keys.h
tests_unit_iscsi_fence_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_iscsi_probe_test_SOURCES = tests/unit/iscsi_probe_test.c
tests_unit_iscsi_probe_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_iscsi_tail_test_SOURCES = tests/unit/iscsi_tail_test.c tests/unit/iscsi_keys.h
tests_unit_iscsi_tail_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/iscsi_session_test
tests_unit_iscsi_session_test_SOURCES = tests/unit/iscsi_session_test.c
tests_unit_iscsi_session_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) $(CMOCKA_LIBS) -lpthread

check_PROGRAMS += tests/unit/iscsi_uring_test
tests_unit_iscsi_uring_test_SOURCES = tests/unit/iscsi_uring_test.c
tests_unit_iscsi_uring_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(URING_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/witness_dir_disk_test
tests_unit_witness_dir_disk_test_SOURCES = tests/unit/witness_dir_disk_test.c
tests_unit_witness_dir_disk_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/witness_dir_test
tests_unit_witness_dir_test_SOURCES = tests/unit/witness_dir_test.c
tests_unit_witness_dir_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/witness_file_test
tests_unit_witness_file_test_SOURCES = tests/unit/witness_file_test.c
tests_unit_witness_file_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) $(QB_LIBS) $(CMOCKA_LIBS) -lpthread

check_PROGRAMS += tests/unit/iscsi_hostile_test
tests_unit_iscsi_hostile_test_SOURCES = tests/unit/iscsi_hostile_test.c
tests_unit_iscsi_hostile_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(CMOCKA_LIBS)
endif

EXTRA_DIST += docs/fencing.md docs/lun.md docs/witness.md
