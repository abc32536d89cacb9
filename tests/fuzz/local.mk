# tests/fuzz/: decoders against damaged input. `make check` runs each for a moment.
check_PROGRAMS += tests/fuzz/fuzz_messages tests/fuzz/fuzz_volume
tests_fuzz_fuzz_messages_SOURCES = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/messages.c \
	tests/fuzz/messages.h tests/fuzz/messages_log.c tests/fuzz/messages_node.c tests/fuzz/messages_text.c
tests_fuzz_fuzz_messages_LDADD = clusterd/libclusterd.a clusterd/libcore.a quorum/libstate.a \
	quorum/libquorum.a resources/libplan.a migration/libmigration.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(QB_LIBS) $(GNUTLS_LIBS)
tests_fuzz_fuzz_volume_SOURCES = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/volume.c \
	tests/crash/trace_dev.c tests/crash/trace_dev.h
tests_fuzz_fuzz_volume_LDADD = $(CSVFS_LIBS)
tests_fuzz_fuzz_volume_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_fuzz_fuzz_messages_OBJECTS): $(BUILT_SOURCES)

check_PROGRAMS += tests/fuzz/fuzz_coord tests/fuzz/fuzz_files
FUZZ_ANY = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/any_message.c tests/fuzz/any_message.h
tests_fuzz_fuzz_coord_SOURCES = tests/fuzz/coord.c $(FUZZ_ANY) $(COORD_RIG)
tests_fuzz_fuzz_coord_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_fuzz_fuzz_coord_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_fuzz_fuzz_coord_OBJECTS): $(BUILT_SOURCES)
tests_fuzz_fuzz_files_SOURCES = tests/fuzz/fuzz.c tests/fuzz/fuzz.h tests/fuzz/files.c
tests_fuzz_fuzz_files_LDADD = $(FEEDER_LIBS) quorum/libquorum.a quorum/libstate.a csv/libcsvd.a \
	iscsi/libiscsilun.a \
	proto/libproto.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS)
