/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "csv/buf.h"

#include <stdlib.h>
#include <string.h>

#include "lib/assert.h"

#define PAGE 4096
#define KEEP_BYTES (64u << 20)

static const size_t sizes[] = { 8192, 32768, 135168, 528384, BUF_BYTES_MAX };
#define CLASSES (sizeof(sizes) / sizeof(sizes[0]))

static struct buf *kept[CLASSES];
static size_t kept_bytes;

static struct buf *make(unsigned class)
{
	struct buf *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->class = class;
	b->size = sizes[class];
	b->data = aligned_alloc(PAGE, b->size);
	if (!b->data) {
		free(b);
		return NULL;
	}
	memset(b->data, 0, b->size); /* resident, also without mlockall */
	return b;
}

struct buf *buf_new(size_t len)
{
	unsigned class = 0;
	struct buf *b;

	while (class < CLASSES && sizes[class] < len)
		class ++;
	if (class == CLASSES)
		return NULL;
	b = kept[class];
	if (b) {
		kept[class] = b->next;
		kept_bytes -= b->size;
	} else {
		b = make(class);
	}
	if (b)
		b->refs = 1;
	return b;
}

struct buf *buf_ref(struct buf *buf)
{
	buf->refs++;
	return buf;
}

static void destroy(struct buf *buf)
{
	free(buf->data);
	free(buf);
}

void buf_unref(struct buf *buf)
{
	if (!buf)
		return;
	cl_assert(buf->refs > 0);
	if (--buf->refs)
		return;
	if (kept_bytes + buf->size > KEEP_BYTES) {
		destroy(buf);
		return;
	}
	buf->next = kept[buf->class];
	kept[buf->class] = buf;
	kept_bytes += buf->size;
}

void buf_trim(void)
{
	for (size_t i = 0; i < CLASSES; i++)
		while (kept[i]) {
			struct buf *b = kept[i];

			kept[i] = b->next;
			destroy(b);
		}
	kept_bytes = 0;
}
