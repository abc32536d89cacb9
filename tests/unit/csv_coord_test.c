/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The coordinator over its file system: whose volume it opens. */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "csv/fs.h"
#include "tests/unit/coord_rig.h"

#define VOLUME_BYTES (32u << 20)

/* With our volume's uuid: a copy of the LUN in another cluster's hands, or theirs in ours. */
static void another_clusters_volume(void **state)
{
	struct rig *rig = rig_new();
	uint8_t *before = malloc(VOLUME_BYTES);

	(void)state;
	assert_non_null(before);
	memcpy(before, rig->mem, VOLUME_BYTES);
	rig->cluster[0] ^= 1;
	rig_begin(rig);
	assert_int_equal(rig->state, COORD_FAILED);
	assert_non_null(strstr(rig->text, "another cluster"));
	assert_memory_equal(rig->mem, before, VOLUME_BYTES);
	rig_kill(rig);
	rig->cluster[0] ^= 1;
	rig_start(rig);
	assert_int_equal(rig->state, COORD_SERVING);
	rig_free(rig);
	free(before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_clusters_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
