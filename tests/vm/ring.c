/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of a test guest's disk: ring FILE reads the ring of blocks that the guest wrote into the
 * first part of its disk, and says what stands there.
 *
 *   {"newest":N,"errors":N,"boots":N,"older_after_newer":N}
 *
 * errors: slots that do not hold their number, so a lost write, or one of somebody else. boots: how
 * many boots wrote what is there. older_after_newer: a boot's blocks with higher numbers than a later
 * boot's: two guests wrote. The guest must not run meanwhile.
 */
#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lab/guest/ring.h"

#define SLOTS 256U /* what the guests use unless they are told otherwise */

static struct beat_block blocks[SLOTS];

static int read_ring(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, blocks, sizeof(blocks), 0);

	if (fd >= 0)
		(void)close(fd);
	if (n == (ssize_t)sizeof(blocks))
		return 0;
	(void)fprintf(stderr, "ring: %s: not a guest's disk\n", path);
	return -1;
}

/* From the oldest number to the newest: a boot that was left for another must not come again. */
static void count_boots(const struct ring_scan *ring, unsigned *ret_boots, unsigned *ret_again)
{
	uint64_t seen[SLOTS];
	unsigned n = 0, again = 0;

	for (uint32_t back = SLOTS - 1; back-- > 0;) {
		const struct beat_block *b = &blocks[(ring->newest - back) % SLOTS];
		unsigned i;

		if (ring->newest <= back || !beat_block_ok(b) || (n && seen[n - 1] == b->boot))
			continue;
		for (i = 0; i < n && seen[i] != b->boot; i++)
			;
		again += i < n;
		if (n < SLOTS)
			seen[n++] = b->boot;
	}
	*ret_boots = n;
	*ret_again = again;
}

int main(int argc, char **argv)
{
	struct ring_scan ring = { .slots = SLOTS };
	unsigned boots, again;

	if (argc != 2)
		return 2;
	if (read_ring(argv[1]) < 0)
		return 1;
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t slot = 0; slot < SLOTS; slot++)
			ring_scan_slot(&ring, pass, slot, &blocks[slot]);
	count_boots(&ring, &boots, &again);
	(void)printf("{\"newest\":%" PRIu64
		     ",\"errors\":%u,\"boots\":%u,\"older_after_newer\":%u}\n",
		     ring.newest, ring.errors, boots, again);
	return 0;
}
