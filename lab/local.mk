# lab/: the containerized lab. Runs from the source tree; only its tools in C are built.
noinst_PROGRAMS += lab/init lab/probe lab/watchdog
lab_init_SOURCES = lab/init.c
lab_watchdog_SOURCES = lab/watchdog.c
lab_probe_SOURCES = lab/probe.c
lab_probe_LDADD = $(ISCSI_LIBS)

# A shim for tgtd, which is not ours: no sanitizer in it.
noinst_DATA += lab/delay.so
lab/delay.so: lab/delay.c
	$(AM_V_CC)$(MKDIR_P) lab && $(CC) -std=gnu11 $(CL_WARN) $(DEFS) -I. $(CPPFLAGS) $(CFLAGS) \
		-shared -fPIC -o $@ $(srcdir)/lab/delay.c
CLEANFILES += lab/delay.so

EXTRA_DIST += \
	lab/bmc.sh lab/build.sh lab/cluster.sh lab/common.sh lab/delay.c lab/demo.sh lab/fetch lab/istgt-conf lab/istgt.sh lab/lab lab/net.sh \
	lab/node-root.sh lab/node.sh lab/packages lab/target.sh lab/vm.sh
