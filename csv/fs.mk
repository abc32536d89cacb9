# csv/, the file system of a volume: libcsvfs.a; link with $(CSVFS_LIBS) and $(EXT2FS_WRAP).
CSVFS_LIBS = csv/libcsvfs.a lib/libcl.a $(EXT2FS_LIBS)
include tests/crash/crash.mk

EXTRA_DIST += docs/volume-format.md
noinst_LIBRARIES += csv/libcsvfs.a
csv_libcsvfs_a_SOURCES = \
	csv/fs.h csv/fs_int.h \
	csv/acl.c csv/acl.h \
	csv/fs_acl.c \
	csv/fs_alloc.c \
	csv/fs_check.c csv/fs_check.h \
	csv/fs_cut.c \
	csv/fs_dev.c csv/fs_dev.h \
	csv/fs_dev_file.c \
	csv/fs_dir.c \
	csv/fs_dirent.c \
	csv/fs_err.c \
	csv/fs_extent.c \
	csv/fs_grow.c csv/fs_grow.h \
	csv/fs_hook.c \
	csv/fs_inode.c \
	csv/fs_io.c \
	csv/fs_map.c \
	csv/fs_meta.c \
	csv/fs_mkfs.c \
	csv/fs_name.c \
	csv/fs_names.c \
	csv/fs_open.c \
	csv/fs_orphan.c \
	csv/fs_range.c \
	csv/fs_record.c \
	csv/fs_rename.c \
	csv/fs_replay.c \
	csv/fs_rest.c \
	csv/fs_sig.c csv/fs_sig.h \
	csv/fs_tx.c \
	csv/fs_vol.c \
	csv/fs_xattr.c \
	csv/jbd2_fmt.c csv/jbd2_fmt.h \
	csv/jbd2_log.c csv/jbd2_log.h \
	csv/jbd2_replay.c csv/jbd2_replay.h \
	csv/jbd2_write.c csv/jbd2_write.h

if HAVE_CMOCKA
FS_TEST_COMMON = tests/unit/fs_vol.h \
	tests/crash/canon.c tests/crash/canon.h \
	tests/crash/trace_dev.c tests/crash/trace_dev.h
check_PROGRAMS += tests/unit/fs_test tests/unit/fs_range_test tests/unit/fs_refuse_test \
	tests/unit/fs_fault_test tests/unit/fs_grow_test tests/unit/fs_check_test
tests_unit_fs_test_SOURCES = tests/unit/fs_test.c $(FS_TEST_COMMON)
tests_unit_fs_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
tests_unit_fs_range_test_SOURCES = tests/unit/fs_range_test.c $(FS_TEST_COMMON)
tests_unit_fs_range_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_range_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
tests_unit_fs_refuse_test_SOURCES = tests/unit/fs_refuse_test.c $(FS_TEST_COMMON)
tests_unit_fs_refuse_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_refuse_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
tests_unit_fs_grow_test_SOURCES = tests/unit/fs_grow_test.c $(FS_TEST_COMMON)
tests_unit_fs_grow_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_grow_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
tests_unit_fs_fault_test_SOURCES = tests/unit/fs_fault_test.c $(FS_TEST_COMMON)
tests_unit_fs_fault_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_fault_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP) \
	-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc \
	-Wl,--wrap=ext2fs_read_inode_full,--wrap=ext2fs_extent_open2
tests_unit_fs_check_test_SOURCES = tests/unit/fs_check_test.c $(FS_TEST_COMMON)
tests_unit_fs_check_test_LDADD = $(CSVFS_LIBS) $(CMOCKA_LIBS)
tests_unit_fs_check_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
endif
