# tests/fuzz/: decoders against damaged input. `make check` runs each for a moment.
check_PROGRAMS += tests/fuzz/fuzz_messages tests/fuzz/fuzz_volume
tests_fuzz_fuzz_messages_SOURCES = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/messages.c
tests_fuzz_fuzz_messages_LDADD = clusterd/libclusterd.a clusterd/libcore.a quorum/libstate.a \
	quorum/libquorum.a resources/libplan.a migration/libmigration.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(QB_LIBS) $(GNUTLS_LIBS)
tests_fuzz_fuzz_volume_SOURCES = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/volume.c \
	tests/crash/trace_dev.c tests/crash/trace_dev.h
tests_fuzz_fuzz_volume_LDADD = $(CSVFS_LIBS)
tests_fuzz_fuzz_volume_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_fuzz_fuzz_messages_OBJECTS): $(BUILT_SOURCES)
