# csv/, the file system of a volume: libcsvfs.a; link with $(CSVFS_LIBS) and $(EXT2FS_WRAP).
CSVFS_LIBS = csv/libcsvfs.a lib/libcl.a $(EXT2FS_LIBS)

noinst_LIBRARIES += csv/libcsvfs.a
csv_libcsvfs_a_SOURCES = \
	csv/fs.h \
	csv/fs_dev.c csv/fs_dev.h \
	csv/fs_dev_file.c
