# tests/posix: what a mount answers (see posix.h).
noinst_PROGRAMS += tests/posix/posix tests/posix/nodes tests/posix/model
tests_posix_posix_SOURCES = tests/posix/posix.h tests/posix/posix.c tests/posix/names.c \
	tests/posix/access.c tests/posix/times.c tests/posix/rename.c tests/posix/data.c \
	tests/posix/lock.c tests/posix/xattr.c
EXTRA_DIST += tests/posix/ext4.txt
tests_posix_nodes_SOURCES = tests/posix/nodes.c
tests_posix_model_SOURCES = tests/posix/model.c tests/posix/tree.c tests/posix/tree.h
