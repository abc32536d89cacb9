# iscsi/: LUN access. pr* and url are pure; session, control, sync, probe are the effects.
noinst_LIBRARIES += iscsi/libiscsilun.a
iscsi_libiscsilun_a_SOURCES = \
	iscsi/pr.c iscsi/pr.h \
	iscsi/url.c iscsi/url.h \
	iscsi/lun.h iscsi/control.h iscsi/lun_sync.h iscsi/lun_loop.h iscsi/probe.h
