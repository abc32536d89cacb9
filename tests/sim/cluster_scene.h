/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the scenes share (cluster_scene.c). */
#ifndef CL_TESTS_SIM_CLUSTER_SCENE_H
#define CL_TESTS_SIM_CLUSTER_SCENE_H

#include "tests/sim/cluster_target.h"

void scene_run(struct cworld *w, int64_t ms);
/* Loop on it: `for (end = scene_end(w, 5000); !IT && scene_waits(w, end);) continue;` */
int64_t scene_end(const struct cworld *w, int64_t ms);
bool scene_waits(struct cworld *w, int64_t end);

/* A node on which a guest executes, not `but`; 0 = there is none. */
unsigned scene_guest_but(const struct cworld *w, unsigned but);
/* Another one than these. */
unsigned scene_other(const struct cworld *w, unsigned a, unsigned b);
/* Who coordinates the volume, and serves it; 0 = nobody now. */
unsigned scene_serves(const struct cworld *w, unsigned l);
/* Is told to the leader; so it is done now, or refused. */
void scene_ask(struct cworld *w, enum node_verb verb, const char *object, const char *target);
/* Until `node` serves it; false: it does not. */
bool scene_volume_to(struct cworld *w, unsigned l, unsigned node);
/* Until the fence of that life on the first volume is paid. */
bool scene_until_fenced(struct cworld *w, unsigned node, uint64_t life);
const struct state_resource *scene_vm(const struct cworld *w, unsigned vm);

/* REGISTERs of such sessions of the node to the first volume lie in a buffer from now on; until they go on. */
void scene_hold(struct cworld *w, unsigned node, enum lun_role role);
void scene_let_go(struct cworld *w);

/* cluster_scene_lun.c */
void scene_unasked(struct cworld *w);
void scene_thawed(struct cworld *w);
void scene_late_key(struct cworld *w);
void scene_rogue(struct cworld *w);
/* cluster_scene_core.c */
void scene_anew(struct cworld *w);
void scene_repeated(struct cworld *w);
void scene_switch(struct cworld *w);
void scene_slow(struct cworld *w);
void scene_no_quorum(struct cworld *w);
void scene_reported(struct cworld *w);
void scene_gone(struct cworld *w);
void scene_old_copy(struct cworld *w);
/* cluster_scene_witness.c */
void scene_word(struct cworld *w);
void scene_named(struct cworld *w);
void scene_both_stop(struct cworld *w);
/* cluster_lines.c */
void scene_two_lines(struct cworld *w);

#endif
