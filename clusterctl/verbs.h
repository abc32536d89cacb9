/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verb table: the one place that says which verbs there are, what they take and what it means.
 * Dispatch, help, bash completion and the man page's synopsis come from it.
 */
#ifndef CL_CLUSTERCTL_VERBS_H
#define CL_CLUSTERCTL_VERBS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct verb_option {
	const char *name;  /* "disk", without dashes */
	const char *value; /* "PATH"; NULL = a flag */
	bool repeats;
	const char *help;
};

enum {
	VERB_LOCAL = 1,	  /* asks nobody */
	VERB_READS = 2,	  /* changes nothing: short default timeout */
	VERB_ENDLESS = 4, /* goes on until interrupted when --follow is given */
};

struct verb {
	const char *name;     /* one word or two: "status", "create vm" */
	const char *operands; /* as in the synopsis: "NAME [NODE]"; "" = none */
	unsigned min, max;    /* number of operands */
	unsigned flags;
	const char *complete; /* what the operands are, per word: "name node", "node" ... */
	const struct verb_option *options; /* ends with name NULL; NULL = none */
	const char *summary, *example;
	/* The result as text; NULL: its message. */
	void (*text)(const json_t *result, FILE *out);
};

extern const struct verb verbs[]; /* ends with name NULL */

/* Global options, for help and completion. */
extern const struct verb_option verb_globals[];

/* The verb of word one and, for a verb of two words, word two (may be NULL). *ret_words = 1 or 2. */
const struct verb *verb_find(const char *first, const char *second, unsigned *ret_words);
const struct verb_option *verb_option_find(const struct verb *verb, const char *name);

/* Up to n names that look like `word`, nearest first; returns how many. */
unsigned verb_nearest(const char *word, const struct verb *ret[], unsigned n);

/* "create vm NAME [--disk PATH]... [--start]" */
void verb_synopsis(const struct verb *verb, FILE *out);
void verb_help(const struct verb *verb, FILE *out); /* all about one */
void verb_help_all(FILE *out);			    /* one line for each */
void verb_man_synopsis(FILE *out);		    /* the lines of mdoc's SYNOPSIS */
void verb_bash_completion(FILE *out);

#endif
