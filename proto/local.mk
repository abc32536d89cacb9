# proto/: messages (.proto), their framing, version negotiation. May use lib.
#
# A new .proto: one name in PROTO_FILES and one in nodist_proto_libpb_a_SOURCES, nothing else.
# Includes are written "proto/NAME.pb-c.h". Generated code is compiled without our warnings.
PROTO_FILES = \
	proto/core.proto \
	proto/csv.proto \
	proto/ipc.proto \
	proto/join.proto \
	proto/log.proto \
	proto/volume.proto \
	proto/witness.proto

nodist_proto_libpb_a_SOURCES = \
	proto/core.pb-c.c \
	proto/csv.pb-c.c \
	proto/ipc.pb-c.c \
	proto/join.pb-c.c \
	proto/log.pb-c.c \
	proto/volume.pb-c.c \
	proto/witness.pb-c.c

noinst_LIBRARIES += proto/libpb.a proto/libproto.a
proto_libpb_a_SOURCES =
proto_libpb_a_CFLAGS = $(AM_CFLAGS) -w

proto_libproto_a_SOURCES = \
	proto/conn.c proto/conn.h \
	proto/frame.c proto/frame.h \
	proto/heartbeat.c proto/heartbeat.h \
	proto/ipc.h \
	proto/volume.h \
	proto/witness.h

# What a launcher of VMs needs to know about cluster volumes.
noinst_HEADERS += proto/csv_ioctl.h

EXTRA_DIST += $(PROTO_FILES)
PROTO_GENERATED += $(PROTO_FILES:.proto=.pb-c.c) $(PROTO_FILES:.proto=.pb-c.h)
BUILT_SOURCES += $(PROTO_FILES:.proto=.pb-c.h)
CLEANFILES += $(PROTO_GENERATED)

# protoc-c writes both files at once: the header's rule only says where it comes from.
SUFFIXES = .proto .pb-c.c .pb-c.h
.proto.pb-c.c:
	$(AM_V_GEN)$(MKDIR_P) proto && $(PROTOC_C) --proto_path=$(srcdir) --c_out=. $<
.pb-c.c.pb-c.h:
	@test -f $@ || { rm -f $<; $(MAKE) $(AM_MAKEFLAGS) $<; }

if HAVE_CMOCKA
check_PROGRAMS += tests/unit/frame_test
tests_unit_frame_test_SOURCES = tests/unit/frame_test.c
tests_unit_frame_test_LDADD = proto/libproto.a lib/libcl.a $(QB_LIBS) $(CMOCKA_LIBS)
endif
