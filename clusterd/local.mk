# clusterd/: the daemon. The library holds everything but main(), so that tests link the same objects.
include clusterd/core/local.mk
noinst_LIBRARIES += clusterd/libclusterd.a
clusterd_libclusterd_a_SOURCES = \
	clusterd/conf.c clusterd/conf.h \
	clusterd/ipc.c clusterd/ipc.h \
	clusterd/ring.c clusterd/ring.h \
	clusterd/ring_gate.c clusterd/ring_gate.h \
	clusterd/store.c clusterd/store.h \
	clusterd/store_db.c clusterd/store_db.h \
	clusterd/vm_glue.c clusterd/vm_glue.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/ring_gate_test
tests_unit_ring_gate_test_SOURCES = tests/unit/ring_gate_test.c
tests_unit_ring_gate_test_LDADD = clusterd/libclusterd.a lib/libcl.a $(CMOCKA_LIBS)

check_PROGRAMS += tests/unit/store_test
tests_unit_store_test_SOURCES = tests/unit/store_test.c
tests_unit_store_test_LDADD = clusterd/libclusterd.a lib/libcl.a \
	$(SQLITE_LIBS) $(UUID_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
endif
