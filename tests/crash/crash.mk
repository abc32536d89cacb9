# tests/crash/: the journal's crash points. Run by tests/drills/20-crash-points, a sample by make check.

dist_check_SCRIPTS += tests/crash/sample
noinst_PROGRAMS += tests/crash/crash
tests_crash_crash_SOURCES = \
	tests/crash/canon.c tests/crash/canon.h \
	tests/crash/crash.c \
	tests/crash/trace_dev.c tests/crash/trace_dev.h \
	tests/crash/workload.c tests/crash/workload.h tests/crash/workload_int.h \
	tests/crash/workload_ops.c tests/crash/workload_script.c
tests_crash_crash_LDADD = $(CSVFS_LIBS)
tests_crash_crash_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
