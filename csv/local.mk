# csv/
include csv/fs.mk
include tests/posix/posix.mk

# What csvd decides and does, but for main(): pure parts first (session, lock, owner, role, op).
noinst_LIBRARIES += csv/libcsvd.a
csv_libcsvd_a_SOURCES = \
	csv/session.c csv/session.h \
	csv/lock.c csv/lock.h \
	csv/owner.c csv/owner.h \
	csv/counters.c csv/counters.h \
	csv/role.c csv/role.h \
	csv/op.c csv/op.h \
	csv/places.c csv/places.h \
	csv/call.c csv/call.h \
	csv/buf.c csv/buf.h \
	csv/client.c csv/client.h csv/client_int.h \
	csv/client_call.c csv/client_dying.c csv/dying.c csv/dying.h csv/client_io.c csv/client_block.c csv/client_grow.c csv/client_layout.c \
	csv/data.c csv/data.h csv/isid.h \
	csv/holding.c csv/holding.h \
	csv/map.c csv/map.h \
	csv/mail.c csv/mail.h \
	csv/coord.c csv/coord.h csv/coord_int.h csv/coord_open.c csv/coord_mail.c csv/coord_req.c \
	csv/coord_session.c csv/coord_handle.c csv/coord_lock.c csv/coord_care.c csv/coord_check.c \
	csv/coord_ops.c csv/coord_name.c csv/coord_io.c csv/coord_falloc.c \
	csv/coord_private.c \
	csv/coord_nexus.c \
	csv/coord_block.c csv/coord_tell.c csv/space.c csv/space.h \
	csv/layout.c csv/layout.h csv/coord_layout.c csv/coord_grow.c csv/coord_recall.c \
	csv/wire.c csv/wire.h csv/wtime.h \
	csv/link.c csv/link.h \
	csv/peer.c csv/peer.h \
	csv/mount.c csv/mount.h \
	csv/keeper_msg.c csv/keeper_msg.h \
	csv/keeper_link.c csv/keeper_link.h \
	csv/cluster.c csv/cluster.h \
	csv/store.c csv/store.h csv/store_file.c csv/store_lun.c \
	csv/nexus.c csv/nexus.h \
	csv/hb.c csv/hb.h csv/heart.c csv/heart.h \
	csv/format_dev.c csv/format_dev.h
$(csv_libcsvd_a_OBJECTS): $(BUILT_SOURCES)

CSVD_LIBS = csv/libcsvd.a csv/libcsvfs.a iscsi/libiscsilun.a proto/libproto.a proto/libpb.a \
	lib/libcl.a $(EXT2FS_LIBS) $(ISCSI_LIBS) $(URING_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS) $(GNUTLS_LIBS) -lpthread

pkglibexec_PROGRAMS += csvd csv-keeper
csvd_SOURCES = csv/csvd.c csv/csvd_main.c csv/csvd_orders.c csv/csvd_int.h csv/format.c \
	csv/offline.c csv/offline.h csv/lun_file.c csv/lun_file.h csv/volume_job.c \
	csv/volume.c csv/volume_int.h csv/volume_role.c csv/volume_status.c csv/volume_transport.c \
	csv/volume_nexus.c csv/volume_heart.c csv/csvd_heart.c \
	csv/volume_proxy.c \
	csv/front.c csv/front.h csv/front_int.h csv/front_raw.c csv/front_ops.c csv/front_reply.c
csvd_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
csvd_LDADD = $(CSVD_LIBS) $(FUSE_LIBS)
$(csvd_OBJECTS): $(BUILT_SOURCES)

csv_keeper_SOURCES = csv/keeper.c
csv_keeper_CPPFLAGS = $(AM_CPPFLAGS) -DCSVD_PATH='"$(pkglibexecdir)/csvd"'
csv_keeper_LDADD = csv/libcsvd.a lib/libcl.a $(QB_LIBS)

# Plays clusterd for csvd's drills.
noinst_PROGRAMS += tests/csvd/clusterd_stub tests/csvd/load tests/csvd/direct
tests_csvd_clusterd_stub_SOURCES = tests/csvd/clusterd_stub.c
tests_csvd_clusterd_stub_LDADD = proto/libproto.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS)
$(tests_csvd_clusterd_stub_OBJECTS): $(BUILT_SOURCES)
tests_csvd_load_SOURCES = tests/csvd/load.c
tests_csvd_direct_SOURCES = tests/csvd/direct.c

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/csv_lock_test tests/unit/csv_session_test tests/unit/csv_client_test
check_PROGRAMS += tests/unit/csv_map_test tests/unit/csv_direct_test tests/unit/csv_redirected_test \
	tests/unit/csv_data_test
tests_unit_csv_data_test_SOURCES = tests/unit/csv_data_test.c
tests_unit_csv_data_test_LDADD = csv/libcsvd.a iscsi/libiscsilun.a proto/libpb.a lib/libcl.a $(ISCSI_LIBS) $(URING_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_data_test_OBJECTS): $(BUILT_SOURCES)
MOUNT_RIG = tests/unit/mount_rig.c tests/unit/mount_rig.h
tests_unit_csv_direct_test_SOURCES = tests/unit/csv_direct_test.c $(MOUNT_RIG)
tests_unit_csv_direct_test_LDADD = csv/libcsvd.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_direct_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_redirected_test_SOURCES = tests/unit/csv_redirected_test.c $(MOUNT_RIG)
tests_unit_csv_redirected_test_LDADD = csv/libcsvd.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_redirected_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_map_test_SOURCES = tests/unit/csv_map_test.c
tests_unit_csv_map_test_LDADD = csv/libcsvd.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_csv_client_test_SOURCES = tests/unit/csv_client_test.c
tests_unit_csv_client_test_LDADD = csv/libcsvd.a iscsi/libiscsilun.a proto/libpb.a lib/libcl.a $(ISCSI_LIBS) $(URING_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_client_test_OBJECTS): $(BUILT_SOURCES)
# Its own volume_proxy.o: what is around it is played by the test, memory too.
check_PROGRAMS += tests/unit/csv_volume_proxy_test
tests_unit_csv_volume_proxy_test_SOURCES = tests/unit/csv_volume_proxy_test.c csv/volume_proxy.c csv/mail.c
tests_unit_csv_volume_proxy_test_CPPFLAGS = $(AM_CPPFLAGS)
tests_unit_csv_volume_proxy_test_LDADD = csv/libcsvd.a iscsi/libiscsilun.a proto/libpb.a lib/libcl.a $(ISCSI_LIBS) $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_volume_proxy_test_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc
$(tests_unit_csv_volume_proxy_test_OBJECTS): $(BUILT_SOURCES)
check_PROGRAMS += tests/unit/hb_test
tests_unit_hb_test_SOURCES = tests/unit/hb_test.c
tests_unit_hb_test_LDADD = csv/libcsvd.a lib/libcl.a $(CMOCKA_LIBS)
check_PROGRAMS += tests/unit/csv_places_test tests/unit/csv_role_test
tests_unit_csv_role_test_SOURCES = tests/unit/csv_role_test.c
tests_unit_csv_role_test_LDADD = csv/libcsvd.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_csv_places_test_SOURCES = tests/unit/csv_places_test.c
tests_unit_csv_places_test_LDADD = csv/libcsvd.a lib/libcl.a $(CMOCKA_LIBS)
tests_unit_csv_lock_test_SOURCES = tests/unit/csv_lock_test.c
tests_unit_csv_lock_test_LDADD = csv/libcsvd.a lib/libcl.a $(CMOCKA_LIBS)
COORD_RIG = tests/unit/coord_rig.c tests/unit/coord_rig.h
check_PROGRAMS += tests/unit/csv_nexus_test tests/unit/csv_layout_test tests/unit/csv_recall_test
check_PROGRAMS += tests/unit/csv_coherence_test tests/unit/csv_coord_test tests/unit/csv_proxy_test
tests_unit_csv_coord_test_SOURCES = tests/unit/csv_coord_test.c $(COORD_RIG)
tests_unit_csv_coord_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_coord_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_coord_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_coherence_test_SOURCES = tests/unit/csv_coherence_test.c $(COORD_RIG)
tests_unit_csv_coherence_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_coherence_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_coherence_test_OBJECTS): $(BUILT_SOURCES)
FILE_RIG = tests/unit/file_rig.c tests/unit/file_rig.h $(COORD_RIG)
check_PROGRAMS += tests/unit/csv_grow_test tests/unit/csv_mount_grow_test
tests_unit_csv_grow_test_SOURCES = tests/unit/csv_grow_test.c $(FILE_RIG)
tests_unit_csv_grow_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_grow_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_grow_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_mount_grow_test_SOURCES = tests/unit/csv_mount_grow_test.c $(MOUNT_RIG)
tests_unit_csv_mount_grow_test_LDADD = csv/libcsvd.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(QB_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_mount_grow_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_recall_test_SOURCES = tests/unit/csv_recall_test.c $(FILE_RIG)
tests_unit_csv_recall_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_recall_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_recall_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_proxy_test_SOURCES = tests/unit/csv_proxy_test.c $(FILE_RIG)
tests_unit_csv_proxy_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_proxy_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_proxy_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_layout_test_SOURCES = tests/unit/csv_layout_test.c
tests_unit_csv_layout_test_LDADD = csv/libcsvd.a $(CMOCKA_LIBS)
tests_unit_csv_nexus_test_SOURCES = tests/unit/csv_nexus_test.c $(COORD_RIG)
tests_unit_csv_nexus_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_nexus_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_nexus_test_OBJECTS): $(BUILT_SOURCES)
check_PROGRAMS += tests/unit/csv_space_test
tests_unit_csv_space_test_SOURCES = tests/unit/csv_space_test.c $(COORD_RIG)
tests_unit_csv_space_test_LDADD = $(CSVD_LIBS) $(CMOCKA_LIBS)
tests_unit_csv_space_test_LDFLAGS = $(AM_LDFLAGS) $(EXT2FS_WRAP)
$(tests_unit_csv_space_test_OBJECTS): $(BUILT_SOURCES)
tests_unit_csv_session_test_SOURCES = tests/unit/csv_session_test.c
tests_unit_csv_session_test_LDADD = csv/libcsvd.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_session_test_OBJECTS): $(BUILT_SOURCES)
check_PROGRAMS += tests/unit/csv_counters_test
tests_unit_csv_counters_test_SOURCES = tests/unit/csv_counters_test.c
tests_unit_csv_counters_test_LDADD = csv/libcsvd.a proto/libpb.a lib/libcl.a $(PROTOBUFC_LIBS) $(CMOCKA_LIBS)
$(tests_unit_csv_counters_test_OBJECTS): $(BUILT_SOURCES)
endif
EXTRA_DIST += tests/csvd/lib.sh tests/csvd/odd.sh tests/csvd/alter docs/rescue.md
dist_man_MANS += man/csvd.8 man/lunctl.8
