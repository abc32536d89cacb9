/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may do direct I/O where: the layouts of a volume as its coordinator knows them, and the recalls
 * that are not answered yet. Pure. Places are blocks of a file, [start, end).
 *
 * A right that is being recalled is no longer granted, and not yet gone: until the holder has said that
 * it came back, I/O under it may be under way, so nothing may be done that the right excludes.
 */
#ifndef CL_CSV_LAYOUT_H
#define CL_CSV_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/vec.h"

struct layout_piece {
	uint64_t session;
	uint32_t ino;
	bool write; /* else reading only */
	uint64_t start, end;
	/*
	 * Behind the end of file, to write what a GROW will show: then write is set, too, and nothing may be read.
	 * While it is out nobody but its holder moves the end of file.
	 */
	bool grow;
};
CL_DEFINE_VEC(layout_piece_vec, struct layout_piece);

struct layout_recall {
	uint64_t id;
	struct layout_piece
		piece; /* what it takes away; write: also, or only, the right to write */
	bool keep_read;
	bool sent;	  /* on the connection of now; the caller's */
	int64_t heard_ms; /* sent, or BUSY; the caller's */
};
CL_DEFINE_VEC(layout_recall_vec, struct layout_recall);

struct layout_table {
	struct layout_piece_vec granted; /* pieces of one (session, ino) do not overlap */
	struct layout_recall_vec recalls;
	uint64_t last_id;
};

void layout_fini(struct layout_table *t);

/* The caller has seen to it that nobody is in the way. 0 or -ENOMEM (nothing changed). */
int layout_grant(struct layout_table *t, const struct layout_piece *piece);

/* Has it the right everywhere there? Rights under recall count: what they allow may be under way. */
bool layout_allows(const struct layout_table *t, const struct layout_piece *piece);

/*
 * Somebody wants the range for himself: all rights of others there (keep_read: only those to write) are
 * taken back, by new recalls (not sent). except: a session that is spared; 0 = nobody.
 * 0: nobody is in the way; 1: wait for recalls; -ENOMEM: some may have been made, ask again.
 */
int layout_take_back(struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end,
		     bool keep_read, uint64_t except);

/* The same for growth there only. */
int layout_take_growth(struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end,
		       uint64_t except);
/* [start, the result) is no growth of anybody, under recall or not; at most end. */
uint64_t layout_no_growth_up_to(const struct layout_table *t, uint32_t ino, uint64_t start,
				uint64_t end);

/* The same for the right of one session to write anywhere in the file. */
int layout_take_writing(struct layout_table *t, uint64_t session, uint32_t ino);

/* Whether a recall is open anywhere there. */
bool layout_recalled(const struct layout_table *t, uint32_t ino, uint64_t start, uint64_t end);
/* [start, the result) has no open recall; at most end. */
uint64_t layout_free_up_to(const struct layout_table *t, uint32_t ino, uint64_t start,
			   uint64_t end);

struct layout_recall *layout_find(struct layout_table *t, uint64_t session, uint64_t id);
/* RETURNED: false = no such recall (any more). */
bool layout_returned(struct layout_table *t, uint64_t session, uint64_t id);

/* Its last handle on the file is closed; it has ended; ino 0 = all files. True: recalls went with it. */
bool layout_drop(struct layout_table *t, uint64_t session, uint32_t ino);

#endif
