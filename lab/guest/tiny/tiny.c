/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiny guest: no operating system, up in 0.1 s, 16 MiB are plenty. It beats over the network,
 * writes a verified sequence to its disk, and keeps pages of its memory moving and verified, so that
 * a migration that loses one is seen.
 *
 * Command line: name=NAME beat=MS ring=MIB mem=MIB dirty=PAGES (per 10 ms)
 */
#include "../ring.h"
#include "hw.h"
#include "virtio.h"

#define ARENA 0x400000U /* memory under test begins here; the guest itself is below */
#define ARENA_PAGES_MAX 16384

static struct beat beat;
static struct beat_block block __attribute__((aligned(4096)));
static struct ring_scan ring = { .slots = 256 };
static uint32_t generation[ARENA_PAGES_MAX];
static uint32_t arena_pages = 1024, dirty_pages = 8, beat_ms = 20;
static uint32_t tick_ms;
static uint64_t disk_next;

void tiny_main(const uint32_t *start_info);
void on_device(void);

void on_device(void)
{
	virtio_ack_interrupts();
	outb(0xa0, 0x20);
	outb(0x20, 0x20);
}

/* ---- command line --------------------------------------------------------------------------- */

static const char *option(const char *line, const char *key)
{
	for (; *line; line++) {
		uint32_t i = 0;

		while (key[i] && line[i] == key[i])
			i++;
		if (!key[i])
			return line + i;
		while (*line && *line != ' ')
			line++;
		if (!*line)
			break;
	}
	return 0;
}

static uint32_t option_number(const char *line, const char *key, uint32_t otherwise, uint32_t max)
{
	const char *p = option(line, key);
	uint32_t n = 0;

	if (!p || *p < '0' || *p > '9')
		return otherwise;
	for (; *p >= '0' && *p <= '9' && n < 100000000; p++)
		n = n * 10 + (uint32_t)(*p - '0');
	return n > max ? max : n;
}

static void read_options(const char *line)
{
	const char *name = option(line, "name=");
	uint32_t mib;

	for (int i = 0; name && name[i] && name[i] != ' ' && i < BEAT_NAME - 1; i++)
		beat.name[i] = name[i];
	beat_ms = option_number(line, "beat=", 20, 60000);
	/* A guest that beats seldom wakes seldom: a hundred of them idle on two processors. */
	tick_ms = beat_ms < 1000 ? 10 : 50;
	if (beat_ms < tick_ms)
		beat_ms = tick_ms;
	arena_pages = option_number(line, "mem=", 4, 64) * 256;
	dirty_pages = option_number(line, "dirty=", 8, arena_pages);
	/* A power of two, in blocks. */
	mib = option_number(line, "ring=", 1, 64);
	for (ring.slots = 256; ring.slots < mib * 256; ring.slots *= 2)
		;
}

/* ---- network -------------------------------------------------------------------------------- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t ip_sum(const uint8_t *p, int n)
{
	uint32_t sum = 0;

	for (int i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

/* Ethernet, IPv4 and UDP to everybody, from 0.0.0.0: no address is needed, no ARP, no answer. */
static void send_beat(void)
{
	static uint8_t frame[14 + 20 + 8 + sizeof(struct beat)];
	uint8_t *ip = frame + 14, *udp = ip + 20;

	beat.seq++;
	beat_seal(&beat);
	memset(frame, 0xff, 6);
	net_mac(frame + 6);
	put16(frame + 12, 0x0800);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, 28 + sizeof(beat));
	ip[8] = 1;  /* TTL */
	ip[9] = 17; /* UDP */
	memset(ip + 16, 0xff, 4);
	put16(ip + 10, ip_sum(ip, 20));
	put16(udp, BEAT_PORT);
	put16(udp + 2, BEAT_PORT);
	put16(udp + 4, 8 + sizeof(beat)); /* checksum 0: none; the beat has its own */
	memcpy(udp + 8, &beat, sizeof(beat));
	(void)net_send(frame, sizeof(frame));
}

/* ---- disk ----------------------------------------------------------------------------------- */

static void disk_wait(enum disk_op op, uint64_t sector, void *data, uint32_t bytes)
{
	int failed;

	disk_start(op, sector, data, bytes);
	while (!disk_done(&failed))
		__asm__ volatile("hlt"); /* the timer wakes it if the interrupt came before */
	if (failed)
		beat.disk_errors++;
}

static void disk_boot(void)
{
	while (ring.slots > 1 && (uint64_t)ring.slots * 8 > disk_sectors())
		ring.slots /= 2;
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t slot = 0; slot < ring.slots; slot++) {
			disk_wait(DISK_READ, (uint64_t)slot * 8, &block, BEAT_BLOCK_SIZE);
			ring_scan_slot(&ring, pass, slot, &block);
		}
	beat.disk_errors += ring.errors;
	beat.disk_found = beat.disk_seq = ring.newest;
	disk_next = ring.newest + 1;
	beat.seq = ring.newest ? (ring.newest_seq & ~(BEAT_BOOT_STEP - 1)) + BEAT_BOOT_STEP : 0;
	say_number("ring: newest block ", (uint32_t)ring.newest);
	say_number("ring: errors ", ring.errors);
}

enum disk_phase { D_NONE, D_IDLE, D_WRITING, D_FLUSHING, D_VERIFYING };
static enum disk_phase phase;
static uint64_t verify_seq;

static uint64_t slot_sector(uint64_t seq)
{
	return ((uint32_t)seq & (ring.slots - 1)) * 8ULL;
}

static void verify_block(void)
{
	if (!beat_block_ok(&block) || block.disk_seq != verify_seq)
		beat.disk_errors++;
}

static void write_begin(void)
{
	beat_block_fill(&block, beat.name, disk_next, beat.seq, beat.boot);
	phase = D_WRITING;
	disk_start(DISK_WRITE, slot_sector(disk_next), &block, BEAT_BLOCK_SIZE);
}

/* Every eighth turn an older block is read back: another writer shows, and a lost write. */
static void disk_begin(void)
{
	static uint32_t turns;
	uint32_t back = (uint32_t)(rdtsc() >> 4) & (ring.slots / 2 - 1);

	if (++turns % 8 || !beat.disk_seq) {
		write_begin();
		return;
	}
	verify_seq = beat.disk_seq > back ? beat.disk_seq - back : beat.disk_seq;
	phase = D_VERIFYING;
	disk_start(DISK_READ, slot_sector(verify_seq), &block, BEAT_BLOCK_SIZE);
}

static void disk_step(void)
{
	int failed;

	if (phase == D_NONE || phase == D_IDLE || !disk_done(&failed))
		return;
	if (failed) {
		beat.disk_errors++;
		phase = D_IDLE;
	} else if (phase == D_WRITING) {
		phase = D_FLUSHING;
		disk_start(DISK_FLUSH, 0, 0, 0);
	} else if (phase == D_FLUSHING) {
		beat.disk_seq = disk_next++;
		phase = D_IDLE;
	} else {
		verify_block();
		write_begin();
	}
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint32_t *page(uint32_t n)
{
	return (uint32_t *)(ARENA + n * 4096);
}

static uint32_t word(uint32_t n, uint32_t i)
{
	return generation[n] * 2654435761U ^ n << 12 ^ i;
}

static void page_write(uint32_t n)
{
	uint32_t *p = page(n);

	generation[n]++;
	for (uint32_t i = 0; i < 1024; i++)
		p[i] = word(n, i);
}

static void page_verify(uint32_t n)
{
	const uint32_t *p = page(n);

	for (uint32_t i = 0; i < 1024; i++)
		if (p[i] != word(n, i)) {
			beat.mem_errors++;
			page_write(n);
			return;
		}
}

/* Some pages are written over and over, some now and then: a migration copies both kinds. */
static void memory_step(void)
{
	static uint32_t at, check;

	for (uint32_t i = 0; i < dirty_pages; i++) {
		at = (at + 37) % arena_pages;
		page_write(i & 1 ? at : i % arena_pages);
	}
	for (uint32_t i = 0; i < 16 && arena_pages; i++)
		page_verify(check = (check + 1) % arena_pages);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void tick(uint32_t passed)
{
	static uint32_t since;

	power_check();
	if (arena_pages)
		memory_step();
	since += passed * tick_ms;
	if (since < beat_ms)
		return;
	since = 0;
	if (phase == D_IDLE)
		disk_begin();
	send_beat();
}

void tiny_main(const uint32_t *start_info)
{
	uint32_t done = 0, now;

	read_options((const char *)start_info[6]);
	hw_init(tick_ms);
	beat.interval_ms = beat_ms;
	say("tiny guest\n");
	if (!net_init())
		say("no network card\n");
	if (disk_init()) {
		disk_boot();
		phase = D_IDLE;
	}
	for (uint32_t n = 0; n < arena_pages; n++)
		page_write(n);
	/* The timer's phase against the TSC, and the disk's speed, make it differ from boot to boot. */
	beat.boot = (rdtsc() + disk_next) * 6364136223846793005ULL + 1442695040888963407ULL;
	for (;;) {
		__asm__ volatile("hlt");
		disk_step();
		now = ticks;
		if (now != done)
			tick(now - done); /* one beat, however long the guest stood still */
		done = now;
	}
}
