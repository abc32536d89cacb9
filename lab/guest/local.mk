# lab/guest/: the test guests and who watches them from outside.
noinst_PROGRAMS += lab/guest/collector
lab_guest_collector_SOURCES = lab/guest/collector.c lab/guest/beat.h

# The guests are other machines: no sanitizer, no library of this one, not the host's flags.
GUEST_TINY_SRC = lab/guest/tiny/start.S lab/guest/tiny/hw.c lab/guest/tiny/virtio.c lab/guest/tiny/tiny.c
GUEST_TINY_CFLAGS = -m32 -march=i686 -mgeneral-regs-only -std=gnu11 -O2 -Wall -Wextra \
	-ffreestanding -fno-pic -fno-pie -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables
noinst_DATA += lab/guest/tiny.elf
lab/guest/tiny.elf: $(GUEST_TINY_SRC) lab/guest/tiny/tiny.ld lab/guest/tiny/hw.h \
		lab/guest/tiny/virtio.h lab/guest/beat.h lab/guest/ring.h
	$(AM_V_CC)$(MKDIR_P) lab/guest && $(CC) $(GUEST_TINY_CFLAGS) -nostdlib -static -no-pie \
		-Wl,-T,$(srcdir)/lab/guest/tiny/tiny.ld -Wl,--build-id=none \
		-Wl,--no-warn-rwx-segments -o $@ \
		$(srcdir)/lab/guest/tiny/start.S $(srcdir)/lab/guest/tiny/hw.c \
		$(srcdir)/lab/guest/tiny/virtio.c $(srcdir)/lab/guest/tiny/tiny.c
CLEANFILES += lab/guest/tiny.elf
EXTRA_DIST += $(GUEST_TINY_SRC) lab/guest/tiny/tiny.ld lab/guest/tiny/hw.h \
	lab/guest/tiny/virtio.h lab/guest/ring.h

# The Linux guest needs an unpacked kernel: lab/guest/build makes it, not make.
EXTRA_DIST += lab/guest/build lab/guest/linux/init.c
# A node as a virtual machine: likewise.
EXTRA_DIST += lab/guest/node-build lab/guest/node-corosync.conf lab/guest/node-init
