# clusterctl/: the command line. Uses lib and proto only; everything it shows comes from clusterd.
noinst_LIBRARIES += clusterctl/libclusterctl.a
clusterctl_libclusterctl_a_SOURCES = \
	clusterctl/args.c clusterctl/args.h clusterctl/backup.c clusterctl/backup.h \
	clusterctl/client.c clusterctl/client.h \
	clusterctl/confirm.c clusterctl/confirm.h \
	clusterctl/json_text.c clusterctl/json_text.h \
	clusterctl/table.c clusterctl/table.h \
	clusterctl/text.c clusterctl/text.h clusterctl/text_fence.c clusterctl/text_volume.c \
	clusterctl/verbs.c clusterctl/verbs.h

bin_PROGRAMS += clusterctl/clusterctl
clusterctl_clusterctl_SOURCES = clusterctl/main.c
clusterctl_clusterctl_LDADD = clusterctl/libclusterctl.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(QB_LIBS) $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(UUID_LIBS)

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/clusterctl_test
tests_unit_clusterctl_test_SOURCES = tests/unit/clusterctl_test.c
tests_unit_clusterctl_test_LDADD = clusterctl/libclusterctl.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(QB_LIBS) $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(UUID_LIBS) $(CMOCKA_LIBS)
endif

# Made by the program itself: it has to be built for the machine that builds.
bashcompletiondir = $(datadir)/bash-completion/completions
nodist_bashcompletion_DATA = clusterctl/completion/clusterctl
clusterctl/completion/clusterctl: clusterctl/clusterctl$(EXEEXT)
	$(AM_V_GEN)$(MKDIR_P) clusterctl/completion && clusterctl/clusterctl completion bash >$@.new && mv $@.new $@
CLEANFILES += clusterctl/completion/clusterctl

dist_man_MANS += man/clusterctl.8 man/clusterd.8
EXTRA_DIST += docs/cli.md
