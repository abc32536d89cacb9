# tests/lun/: what the fencing drills use. lun-node has its own objects, with the defect switches in.
noinst_PROGRAMS += tests/lun/lun-node
tests_lun_lun_node_SOURCES = tests/lun/lun_node.c tests/lun/stamp.h $(iscsi_libiscsilun_a_SOURCES)
tests_lun_lun_node_CPPFLAGS = $(AM_CPPFLAGS) -DCL_DEFECTS=1
tests_lun_lun_node_LDADD = lib/libcl.a $(ISCSI_LIBS) $(URING_LIBS) $(QB_LIBS)

noinst_PROGRAMS += tests/lun/lun-sync-test
tests_lun_lun_sync_test_SOURCES = tests/lun/lun_sync_test.c
tests_lun_lun_sync_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) -lpthread

noinst_PROGRAMS += tests/lun/witness-lun-test
tests_lun_witness_lun_test_SOURCES = tests/lun/witness_lun_test.c tests/lun/stamp.h
tests_lun_witness_lun_test_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) $(QB_LIBS)

# A shim for tgtd, which is not ours: no sanitizer in it.
noinst_DATA += tests/lun/landing.so
tests/lun/landing.so: tests/lun/landing.c tests/lun/stamp.h
	$(AM_V_CC)$(MKDIR_P) tests/lun && $(CC) -std=gnu11 $(CL_WARN) $(DEFS) -I. -I$(srcdir) $(CPPFLAGS) $(CFLAGS) \
		-shared -fPIC -o $@ $(srcdir)/tests/lun/landing.c
CLEANFILES += tests/lun/landing.so

EXTRA_DIST += tests/drills/19-witness-lun
EXTRA_DIST += tests/lun/landing.c tests/lun/target.sh tests/lun/hold-proxy tests/lun/odd-target
EXTRA_DIST += tests/drills/21-unfenceable-fenced tests/drills/27-odd-target tests/drills/28-reserver-preempted tests/drills/29-held-by-proxy \
	tests/drills/30-lun-probe tests/drills/31-fence-delayed-write \
	tests/drills/32-admission tests/drills/33-target-restart tests/drills/34-lun-sync \
	tests/drills/35-barrier-repeat tests/drills/36-lun-portals tests/drills/37-lun-chap \
	tests/drills/38-local-volume tests/drills/39-istgt-refused

noinst_PROGRAMS += tests/lun/lun-bench
tests_lun_lun_bench_SOURCES = tests/lun/lun_bench.c
tests_lun_lun_bench_LDADD = iscsi/libiscsilun.a lib/libcl.a $(ISCSI_LIBS) $(URING_LIBS) $(QB_LIBS)
