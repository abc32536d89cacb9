# tests/vm/: migration/ driven by hand, for the drills 40 to 49.
noinst_PROGRAMS += tests/vm/vm_drive
tests_vm_vm_drive_SOURCES = tests/vm/vm_drive.c clusterd/vm_glue.c clusterd/vm_glue.h
tests_vm_vm_drive_LDADD = migration/libmigration.a resources/libvmspec.a lib/libcl.a \
	$(JANSSON_LIBS) $(QB_LIBS)

EXTRA_DIST += tests/drills/vm.sh tests/drills/40-vm-start-stop-adopt \
	tests/drills/41-live-migrate-local tests/drills/42-migrate-faults \
	tests/drills/43-linux-guest-moves

# The judge of a guest's disk, for the drills 70 to 79.
noinst_PROGRAMS += tests/vm/ring
tests_vm_ring_SOURCES = tests/vm/ring.c lab/guest/beat.h

# A bad disk under clusterd's database, for drill 44.
noinst_DATA += tests/vm/bad-disk.so
tests/vm/bad-disk.so: tests/vm/bad_disk.c
	$(AM_V_CC)$(MKDIR_P) tests/vm && $(CC) -std=gnu11 $(CL_WARN) $(DEFS) -I. -I$(srcdir) $(CPPFLAGS) $(CFLAGS) \
		-shared -fPIC -o $@ $(srcdir)/tests/vm/bad_disk.c
CLEANFILES += tests/vm/bad-disk.so
EXTRA_DIST += tests/vm/bad_disk.c
