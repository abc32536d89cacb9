/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Results as text for people, made from the same JSON that --json prints: one way, no second truth. */
#ifndef CL_CLUSTERCTL_TEXT_H
#define CL_CLUSTERCTL_TEXT_H

#include <jansson.h>
#include <stdio.h>

void text_status(const json_t *result, FILE *out);
void text_list(const json_t *result, FILE *out);
void text_show(const json_t *result, FILE *out);
void text_show_volume(const json_t *volume, FILE *out);
void text_event(const json_t *event, FILE *out); /* one line of `events` */
void text_explain(const json_t *result, FILE *out);
void text_move(const json_t *result, FILE *out);
void text_check(const json_t *result, FILE *out);
void text_fence_test(const json_t *result, FILE *out);
void text_fences(const json_t *result, FILE *out);
void text_token(const json_t *result, FILE *out);
void text_message(const json_t *result, FILE *out); /* "message" of any other verb */
void text_progress(const json_t *line, FILE *out);  /* without newline */

#endif
