/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PID 1 of the Linux test guest, and all of its user space: loads the virtio modules, then beats,
 * writes its ring and keeps memory moving as the tiny guest does, but through a real kernel: its
 * block layer, its network stack, its scheduler.
 *
 * Kernel command line: name=NAME beat=MS ring=MIB mem=MIB dirty=PAGES (per beat) disk=/dev/vda
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../ring.h"

static const char *const modules[] = {
	/* In the order of their dependencies. What the kernel has built in is not in the folder. */
	"virtio_ring",
	"virtio",
	"virtio_pci_legacy_dev",
	"virtio_pci_modern_dev",
	"virtio_pci",
	"failover",
	"net_failover",
	"virtio_net",
	"virtio_blk",
	"button",
	"evdev",
};

static char options[4096];
static struct beat beat;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of beat */
static struct ring_scan ring = { .slots = 256 };
static const char *disk_path;

/* ---- set-up --------------------------------------------------------------------------------- */

static void say(const char *what)
{
	fprintf(stderr, "guest: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
	errno = 0;
}

static void mount_all(void)
{
	mkdir("/proc", 0755), mkdir("/sys", 0755), mkdir("/dev", 0755);
	if (mount("proc", "/proc", "proc", 0, NULL) < 0 ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 ||
	    (mount("devtmpfs", "/dev", "devtmpfs", 0, NULL) < 0 && errno != EBUSY))
		say("mount");
}

static void load_modules(void)
{
	for (size_t i = 0; i < sizeof(modules) / sizeof(*modules); i++) {
		char path[128];
		int fd;

		snprintf(path, sizeof(path), "/modules/%s.ko", modules[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		errno = 0;
		if (syscall(SYS_finit_module, fd, "", 0) < 0)
			say(modules[i]);
		close(fd);
	}
	errno = 0;
}

static const char *option(const char *key)
{
	static char value[8][256];
	static unsigned turn;
	size_t len = strlen(key);

	for (const char *p = options; p; p = strchr(p, ' ') ? strchr(p, ' ') + 1 : NULL)
		if (strncmp(p, key, len) == 0 && p[len] == '=') {
			char *v = value[turn++ % 8];

			snprintf(v, 256, "%.*s", (int)strcspn(p + len + 1, " \n"), p + len + 1);
			return v;
		}
	return NULL;
}

static unsigned number(const char *key, unsigned otherwise, unsigned max)
{
	const char *v = option(key);
	unsigned long n = v ? strtoul(v, NULL, 10) : otherwise;

	return n > max ? max : (unsigned)n;
}

static void read_options(void)
{
	FILE *f = fopen("/proc/cmdline", "re");

	if (f) {
		options[fread(options, 1, sizeof(options) - 1, f)] = '\0';
		fclose(f);
	}
	if (option("name"))
		strncpy(beat.name, option("name"), BEAT_NAME - 1);
	beat.interval_ms = number("beat", 20, 60000);
	if (!beat.interval_ms)
		beat.interval_ms = 20;
	for (ring.slots = 256; ring.slots < number("ring", 1, 64) * 256; ring.slots *= 2)
		;
	disk_path = option("disk") ? strdup(option("disk")) : "/dev/vda";
	getrandom(&beat.boot, sizeof(beat.boot), 0);
}

/* ---- disk ----------------------------------------------------------------------------------- */

static void disk_error(const char *what)
{
	say(what);
	pthread_mutex_lock(&lock);
	beat.disk_errors++;
	pthread_mutex_unlock(&lock);
}

static off_t slot_at(uint64_t seq)
{
	return (off_t)(seq & (ring.slots - 1)) * BEAT_BLOCK_SIZE;
}

static void disk_boot(int fd, struct beat_block *b)
{
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t slot = 0; slot < ring.slots; slot++) {
			if (pread(fd, b, BEAT_BLOCK_SIZE, (off_t)slot * BEAT_BLOCK_SIZE) !=
			    BEAT_BLOCK_SIZE)
				disk_error("read at boot");
			ring_scan_slot(&ring, pass, slot, b);
		}
	beat.disk_errors += ring.errors;
	beat.disk_found = beat.disk_seq = ring.newest;
	if (ring.newest)
		beat.seq = (ring.newest_seq & ~(BEAT_BOOT_STEP - 1)) + BEAT_BOOT_STEP;
}

static void disk_verify(int fd, struct beat_block *b, uint64_t newest)
{
	uint64_t back = (uint64_t)rand() % (ring.slots / 2);
	uint64_t seq = newest > back ? newest - back : newest;

	if (pread(fd, b, BEAT_BLOCK_SIZE, slot_at(seq)) != BEAT_BLOCK_SIZE)
		disk_error("read");
	else if (!beat_block_ok(b) || b->disk_seq != seq)
		disk_error("a block does not hold what was written");
}

struct disk {
	int fd;
	struct beat_block *block;
};

static void *disk_thread(void *arg)
{
	struct disk *d = arg;
	uint64_t next = ring.newest + 1, seq;

	for (unsigned turn = 1;; turn++) {
		if (turn % 8 == 0 && next > 1)
			disk_verify(d->fd, d->block, next - 1);
		pthread_mutex_lock(&lock);
		seq = beat.seq;
		pthread_mutex_unlock(&lock);
		beat_block_fill(d->block, beat.name, next, seq, beat.boot);
		/* O_DSYNC: it is on the disk, flushed, when this returns. */
		if (pwrite(d->fd, d->block, BEAT_BLOCK_SIZE, slot_at(next)) != BEAT_BLOCK_SIZE) {
			disk_error("write");
		} else {
			pthread_mutex_lock(&lock);
			beat.disk_seq = next++;
			pthread_mutex_unlock(&lock);
		}
		usleep(beat.interval_ms * 1000);
	}
	return NULL;
}

static void disk_start(void)
{
	static struct disk d;
	pthread_t thread;

	d.fd = open(disk_path, O_RDWR | O_DIRECT | O_DSYNC | O_CLOEXEC);
	d.block = aligned_alloc(4096, BEAT_BLOCK_SIZE);
	if (d.fd < 0 || !d.block) {
		say(disk_path);
		return;
	}
	while (ring.slots > 1 && lseek(d.fd, 0, SEEK_END) < (off_t)ring.slots * BEAT_BLOCK_SIZE)
		ring.slots /= 2;
	disk_boot(d.fd, d.block);
	if (pthread_create(&thread, NULL, disk_thread, &d) != 0)
		say("thread");
}

/* ---- power button --------------------------------------------------------------------------- */

static void *button_thread(void *arg)
{
	struct input_event ev;
	int fd = *(int *)arg;

	while (read(fd, &ev, sizeof(ev)) == sizeof(ev))
		if (ev.type == EV_KEY && ev.code == KEY_POWER && ev.value == 1)
			reboot(RB_POWER_OFF);
	return NULL;
}

static void button_start(void)
{
	static int fds[8];
	pthread_t thread;

	for (int i = 0; i < 8; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fds[i] = open(path, O_RDONLY | O_CLOEXEC);
		if (fds[i] >= 0)
			(void)pthread_create(&thread, NULL, button_thread, &fds[i]);
	}
	errno = 0;
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint32_t *arena, *generation, pages, dirty;

static uint32_t word(uint32_t n, uint32_t i)
{
	return generation[n] * 2654435761U ^ n << 12 ^ i;
}

static void page_write(uint32_t n)
{
	generation[n]++;
	for (uint32_t i = 0; i < 1024; i++)
		arena[n * 1024 + i] = word(n, i);
}

static void page_verify(uint32_t n)
{
	for (uint32_t i = 0; i < 1024; i++)
		if (arena[n * 1024 + i] != word(n, i)) {
			beat.mem_errors++;
			page_write(n);
			return;
		}
}

static void memory_start(void)
{
	pages = number("mem", 8, 1024) * 256;
	dirty = number("dirty", 16, pages);
	arena = mmap(NULL, (size_t)pages * 4096 + 4096, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	generation = calloc(pages + 1, sizeof(*generation));
	if (arena == MAP_FAILED || !generation)
		pages = 0;
	for (uint32_t n = 0; n < pages; n++)
		page_write(n);
}

static void memory_step(void)
{
	static uint32_t at, check;

	for (uint32_t i = 0; pages && i < dirty; i++) {
		at = (at + 37) % pages;
		page_write(i & 1 ? at : i);
	}
	for (uint32_t i = 0; pages && i < 32; i++)
		page_verify(check = (check + 1) % pages);
}

/* ---- beats ---------------------------------------------------------------------------------- */

static int net_start(void)
{
	struct ifreq ifr = { .ifr_name = "eth0" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &ifr) < 0) {
		say("eth0");
		return fd;
	}
	ifr.ifr_flags |= IFF_UP;
	/* Bound to the card, a broadcast needs neither an address nor a route. */
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5) < 0)
		say("eth0");
	return fd;
}

static void send_beat(int fd)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_port = htons(BEAT_PORT),
					.sin_addr.s_addr = INADDR_BROADCAST };
	static bool failed;
	struct beat copy;

	pthread_mutex_lock(&lock);
	beat.seq++;
	copy = beat;
	pthread_mutex_unlock(&lock);
	beat_seal(&copy);
	if (sendto(fd, &copy, sizeof(copy), MSG_DONTWAIT, (const struct sockaddr *)&to,
		   sizeof(to)) < 0) {
		if (!failed)
			say("send");
		failed = true;
	}
}

int main(void)
{
	struct timespec next;
	int fd;

	mount_all();
	load_modules();
	read_options();
	fd = net_start();
	disk_start();
	button_start();
	memory_start();
	say("beats");
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		struct timespec now;

		memory_step();
		send_beat(fd);
		next.tv_nsec += beat.interval_ms * 1000000L % 1000000000L;
		next.tv_sec += beat.interval_ms / 1000 + next.tv_nsec / 1000000000L;
		next.tv_nsec %= 1000000000L;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec > next.tv_sec + 1) /* it stood still: no burst of what it missed */
			next = now;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
}
