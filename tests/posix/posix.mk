# tests/posix: what a mount answers (see posix.h).
noinst_PROGRAMS += tests/posix/posix tests/posix/nodes tests/posix/model
tests_posix_posix_SOURCES = tests/posix/posix.h tests/posix/posix.c tests/posix/names.c \
	tests/posix/access.c tests/posix/times.c tests/posix/rename.c tests/posix/data.c \
	tests/posix/lock.c tests/posix/xattr.c
EXTRA_DIST += tests/posix/ext4.txt
tests_posix_nodes_SOURCES = tests/posix/nodes.c
tests_posix_model_SOURCES = tests/posix/model.c tests/posix/tree.c tests/posix/tree.h

# And its parts in the file system.
if HAVE_CMOCKA
check_PROGRAMS += tests/unit/fs_names_test tests/unit/csv_acl_test
tests_unit_fs_names_test_SOURCES = tests/unit/fs_names_test.c $(FS_TEST_COMMON)
tests_unit_fs_names_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_names_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
tests_unit_csv_acl_test_SOURCES = tests/unit/csv_acl_test.c
tests_unit_csv_acl_test_LDADD = csv/libcsvfs.a lib/libcl.a $(CMOCKA_LIBS)
endif
