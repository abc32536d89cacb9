/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "tests/fuzz/any_message.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

enum { DEPTH_MAX = 4, LIST_MAX = 3, DATA_MAX = 600, PARTS_MAX = 256 };

/* What one message is made of: freed at once, as protobuf-c did not allocate it. */
struct maker {
	const struct any_words *words;
	void *part[PARTS_MAX];
	size_t n;
};

static void *part(struct maker *k, size_t size)
{
	void *p = k->n < PARTS_MAX ? calloc(1, size + 1) : NULL;

	if (p)
		k->part[k->n++] = p;
	return p;
}

static uint64_t number(const struct maker *k)
{
	static const uint64_t odd[] = { 0,	   1,	       2,	   3,	      255,
					4096,	   65536,      1 << 20,	   INT32_MAX, UINT32_MAX,
					INT64_MAX, UINT64_MAX, 1ull << 63, 511,	      12345 };

	if (k->words->n_numbers && fuzz_random() % 2)
		return k->words->numbers[fuzz_random() % k->words->n_numbers];
	return odd[fuzz_random() % (sizeof(odd) / sizeof(odd[0]))];
}

static char *name(struct maker *k)
{
	size_t len = fuzz_random() % 8 ? fuzz_random() % 12 : fuzz_random() % 400;
	const char *known = k->words->n_names && fuzz_random() % 4
				    ? k->words->names[fuzz_random() % k->words->n_names]
				    : NULL;
	char *s = part(k, known ? strlen(known) : len);

	if (s && known)
		memcpy(s, known, strlen(known));
	for (size_t i = 0; s && !known && i < len; i++)
		s[i] = (char)(' ' + fuzz_random() % 90);
	return s;
}

static void fill(struct maker *k, ProtobufCMessage *m, unsigned depth);

static void put(struct maker *k, const ProtobufCFieldDescriptor *f, void *at, unsigned depth)
{
	const ProtobufCMessageDescriptor *sub = f->descriptor;
	const ProtobufCEnumDescriptor *words = f->descriptor;
	ProtobufCBinaryData data;
	ProtobufCMessage *m;
	uint64_t x;

	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		m = depth < DEPTH_MAX ? part(k, sub->sizeof_message) : NULL;
		if (m) {
			sub->message_init(m);
			fill(k, m, depth + 1);
		}
		*(ProtobufCMessage **)at = m;
		break;
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = name(k);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		data.len = fuzz_random() % 4 ? 16 : fuzz_random() % DATA_MAX;
		data.data = part(k, data.len);
		data.len = data.data ? data.len : 0;
		*(ProtobufCBinaryData *)at = data;
		break;
	case PROTOBUF_C_TYPE_ENUM:
		*(int *)at = words->values[fuzz_random() % words->n_values].value;
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = fuzz_random() % 2;
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_UINT64:
		x = number(k);
		memcpy(at, &x, 8);
		break;
	default:
		x = number(k);
		memcpy(at, &x, 4);
	}
}

static size_t size_of(const ProtobufCFieldDescriptor *f)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_ENUM:
		return 4;
	default:
		return 8;
	}
}

/* A pointer that could not be made would not be packed, but followed. */
static bool whole(const ProtobufCFieldDescriptor *f, const void *at)
{
	return (f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_STRING) ||
	       *(void *const *)at;
}

static void put_list(struct maker *k, const ProtobufCFieldDescriptor *f, uint8_t *m, unsigned depth)
{
	size_t *n = (size_t *)(void *)(m + f->quantifier_offset), max = fuzz_random() % LIST_MAX;
	uint8_t *list = part(k, LIST_MAX * size_of(f));

	for (*n = 0; list && *n < max; (*n)++) {
		put(k, f, list + *n * size_of(f), depth);
		if (!whole(f, list + *n * size_of(f)))
			break;
	}
	memcpy(m + f->offset, &list, sizeof(list));
}

static void fill(struct maker *k, ProtobufCMessage *m, unsigned depth)
{
	const ProtobufCMessageDescriptor *type = m->descriptor;
	uint8_t *at = (uint8_t *)m;
	int chosen = 0;
	unsigned seen = 0;

	for (unsigned i = 0; i < type->n_fields; i++)
		if (type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
		    fuzz_random() % ++seen == 0)
			chosen = (int)i;
	for (unsigned i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			put_list(k, f, at, depth);
		} else if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
			if ((int)i != chosen)
				continue;
			put(k, f, at + f->offset, depth);
			if (whole(f, at + f->offset))
				memcpy(at + f->quantifier_offset, &f->id, sizeof(int));
		} else if (fuzz_random() % 3) {
			put(k, f, at + f->offset, depth);
			if (!whole(f, at + f->offset) && f->type == PROTOBUF_C_TYPE_STRING)
				*(char **)(void *)(at + f->offset) = (char *)(uintptr_t) "";
		}
	}
}

size_t any_message(const ProtobufCMessageDescriptor *type, const struct any_words *words,
		   uint8_t *buf, size_t max)
{
	struct maker k = { .words = words };
	ProtobufCMessage *m = part(&k, type->sizeof_message);
	size_t len = 0;

	if (m) {
		type->message_init(m);
		fill(&k, m, 0);
		len = protobuf_c_message_get_packed_size(m);
		if (len <= max)
			(void)protobuf_c_message_pack(m, buf);
	}
	while (k.n)
		free(k.part[--k.n]);
	return len <= max ? len : 0;
}
