/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/crash/trace_dev.h"

#include <string.h>
#include <sys/mman.h>

static void add(struct trace_dev *t, enum trace_kind kind, uint64_t off, const void *data)
{
	struct trace_event e = { .kind = kind, .off = off, .users = t->users };

	if (!t->tracing)
		return;
	if (data) {
		e.data = malloc(FS_BLOCK_SIZE);
		if (!e.data)
			abort();
		memcpy(e.data, data, FS_BLOCK_SIZE);
	}
	if (trace_vec_push(&t->events, e) < 0)
		abort();
}

static int mem_read(struct fs_dev *dev, uint64_t off, void *buf, size_t len)
{
	struct trace_dev *t = (struct trace_dev *)dev;

	memcpy(buf, t->mem + off, len);
	return 0;
}

static int mem_write(struct fs_dev *dev, uint64_t off, const void *buf, size_t len, unsigned flags)
{
	struct trace_dev *t = (struct trace_dev *)dev;

	if (t->fail_after == 0)
		return -EIO;
	if (t->fail_after > 0)
		t->fail_after--;
	memcpy(t->mem + off, buf, len);
	for (size_t i = 0; i < len; i += FS_BLOCK_SIZE)
		add(t, flags & FS_DEV_FUA ? TRACE_FUA : TRACE_WRITE, off + i,
		    (const char *)buf + i);
	return 0;
}

static int mem_flush(struct fs_dev *dev)
{
	add((struct trace_dev *)dev, TRACE_FLUSH, 0, NULL);
	return 0;
}

static void mem_free(struct fs_dev *dev)
{
	(void)dev; /* embedded: trace_dev_fini() */
}

static const struct fs_dev_ops mem_ops = {
	.read = mem_read,
	.write = mem_write,
	.flush = mem_flush,
	.free = mem_free,
};

int trace_dev_init(struct trace_dev *t, uint64_t bytes, void *mem)
{
	*t = (struct trace_dev){ .dev = { .ops = &mem_ops, .bytes = bytes }, .fail_after = -1 };
	t->mem = mem ? mem : calloc(1, bytes);
	return t->mem ? 0 : -ENOMEM;
}

void trace_dev_fini(struct trace_dev *t)
{
	for (size_t i = 0; i < t->events.n; i++)
		free(t->events.v[i].data);
	trace_vec_fini(&t->events);
	free(t->mem);
	t->mem = NULL;
}

void trace_dev_mark(struct trace_dev *t, uint64_t state)
{
	add(t, TRACE_MARK, state, NULL);
}
