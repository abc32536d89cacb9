# clusterctl/: the command line. Uses lib and proto only; everything it shows comes from clusterd.
noinst_LIBRARIES += clusterctl/libclusterctl.a
clusterctl_libclusterctl_a_SOURCES = \
	clusterctl/args.c clusterctl/args.h \
	clusterctl/client.c clusterctl/client.h \
	clusterctl/table.c clusterctl/table.h \
	clusterctl/text.c clusterctl/text.h \
	clusterctl/verbs.c clusterctl/verbs.h

bin_PROGRAMS += clusterctl/clusterctl
clusterctl_clusterctl_SOURCES = clusterctl/main.c
clusterctl_clusterctl_LDADD = clusterctl/libclusterctl.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(QB_LIBS) $(PROTOBUFC_LIBS) $(JANSSON_LIBS) $(UUID_LIBS)
