# lib/: no domain knowledge. Uses nothing of the project.
noinst_LIBRARIES += lib/libcl.a
lib_libcl_a_SOURCES = \
	lib/address.c lib/address.h \
	lib/assert.c lib/assert.h \
	lib/crc32c.c lib/crc32c.h \
	lib/cleanup.h \
	lib/error.c lib/error.h lib/fnv.h \
	lib/file.c lib/file.h \
	lib/le.h \
	lib/log.c lib/log.h \
	lib/loop.c lib/loop.h \
	lib/mailbox.c lib/mailbox.h \
	lib/monotime.h \
	lib/sm.c lib/sm.h \
	lib/pki.c lib/pki.h lib/stream.h lib/tls.c lib/tls.h \
	lib/vec.h \
	lib/walltime.c lib/walltime.h lib/bytes.c lib/bytes.h

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/lib_test
tests_unit_lib_test_SOURCES = tests/unit/lib_test.c
tests_unit_lib_test_LDADD = lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
endif
