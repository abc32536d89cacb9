/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guards of the core that can be left out, one bit each, to prove that the simulator notices (docs/testing.md).
 * 0 in daemons.
 */
#ifndef CL_CLUSTERD_CORE_DEFECT_H
#define CL_CLUSTERD_CORE_DEFECT_H

#include <stdint.h>

#define NODE_DEFECT(n) (UINT64_C(1) << (n))

#define NODE_DEFECT_FENCE_SKIPPED NODE_DEFECT(0) /* `failed` writes no debts */
#define NODE_DEFECT_BOUND_SKIPPED NODE_DEFECT(1) /* a failed node counts as silent at once */
#define NODE_DEFECT_LEASE_IGNORED NODE_DEFECT(2) /* VMs run on without a lease */
#define NODE_DEFECT_GO_NOT_ASKED NODE_DEFECT(3)	 /* started on the local copy of the state */
#define NODE_DEFECT_ACK_FAILED NODE_DEFECT(4)	 /* voters go on acking a failed node's beats */
#define NODE_DEFECT_COMMIT_UNREPORTED                                                              \
	NODE_DEFECT(5) /* migration commits without the source's report */
#define NODE_DEFECT_REUSE_GENERATION                                                               \
	NODE_DEFECT(6) /* an aborted migration's number is given again */
#define NODE_DEFECT_KEEP_INCARNATION NODE_DEFECT(7) /* admitted again without a new incarnation */
#define NODE_DEFECT_EXPECT_NOTHING NODE_DEFECT(8)   /* commands apply whatever number they expect */
#define NODE_DEFECT_LEASE_FROM_ACK                                                                 \
	NODE_DEFECT(9)				 /* lease counted from the ack, not from the send */
#define NODE_DEFECT_BOUND_OF_ONE NODE_DEFECT(10) /* bound from the leader's own memory alone */
#define NODE_DEFECT_UNCLEAN_ADMISSION NODE_DEFECT(11) /* admitted before it ended what ran before */
#define NODE_DEFECT_FORCE_NO_JUMP NODE_DEFECT(14)   /* a new line's numbers go on where they were */
#define NODE_DEFECT_FORCE_NO_DEBTS NODE_DEFECT(15)  /* a new line fences nobody */
#define NODE_DEFECT_OLD_LINE NODE_DEFECT(16)	    /* a higher line is not heeded */
#define NODE_DEFECT_SCHEMA_EARLY NODE_DEFECT(17)    /* new commands before all nodes know them */
#define NODE_DEFECT_CONFIRM_IN_RING NODE_DEFECT(18) /* a node on the ring may be called off */
#define NODE_DEFECT_OFF_PAYS NODE_DEFECT(19)	    /* who is off owes no fence any more */
#define NODE_DEFECT_DETACH_FORGOTTEN NODE_DEFECT(20) /* its bound is that of its beats */
#define NODE_DEFECT_SAVE_TWICE NODE_DEFECT(21) /* a saved memory is taken up again and again */
#define NODE_DEFECT_CAST_OLD_RING                                                                  \
	NODE_DEFECT(22) /* the device votes by what the witness said in another ring */
#define NODE_DEFECT_WITNESS_NO_CHECK NODE_DEFECT(23) /* it answers without READ RESERVATION */
#define NODE_DEFECT_HB_UNHEEDED                                                                    \
	NODE_DEFECT(24) /* VMs run on when neither beats nor heartbeats go */
#define NODE_DEFECT_HB_ONE_VOLUME NODE_DEFECT(25) /* silent when silent on one of its volumes */
#define NODE_DEFECT_HB_ACKED NODE_DEFECT(26) /* silent although its beats were acked a moment ago */
#define NODE_DEFECT_HB_FORGOTTEN                                                                   \
	NODE_DEFECT(27) /* a restarted daemon counts from its own beginning */
#define NODE_DEFECT_FENCE_ONE_AGENT NODE_DEFECT(28) /* one agent of several proves it off */
#define NODE_DEFECT_QUARANTINE_ALL NODE_DEFECT(29)  /* more than a quarter are quarantined */
#define NODE_DEFECT_REMOVE_EARLY                                                                   \
	NODE_DEFECT(30) /* a node is removed while fences of it are owed, or more */
#define NODE_DEFECT_FORGET_RETIRED NODE_DEFECT(31) /* a removed node's numbers are given again */
#define NODE_DEFECT_RELOAD_EARLY NODE_DEFECT(32)   /* a setup that not all have written is loaded */
#define NODE_DEFECT_GONE_AT_ONCE NODE_DEFECT(33)   /* no process: stopped, without the stop order */
#define NODE_DEFECT_FOUND_NOT_ASKED NODE_DEFECT(34) /* found after a restart: continued unasked */
#define NODE_DEFECT_ADMIT_ANY NODE_DEFECT(35)	    /* a life that another process asked for */
#define NODE_DEFECT_VOTER_FORGETS NODE_DEFECT(36)   /* a restarted voter has acked nothing */
#define NODE_DEFECT_BOUND_UNAPPLIED                                                                \
	NODE_DEFECT(37) /* .. and answers before it knows of the failure */
#define NODE_DEFECT_ACK_OLD_VOTERS NODE_DEFECT(38) /* beats by an older voter set are acked */
#define NODE_DEFECT_FRESH_CONFIG                                                                   \
	NODE_DEFECT(39)			      /* the bound does not wait for the voter set's age */
#define NODE_DEFECT_GO_UNREAD NODE_DEFECT(40) /* go without a read-index round */
#define NODE_DEFECT_YOUNGER_KILLED NODE_DEFECT(41) /* killed by a state that is older than the VM */
#define NODE_DEFECT_REMOVED_VOTES NODE_DEFECT(42)  /* a voter is removed from the cluster */
#define NODE_DEFECT_DETACH_LEASE_KEPT NODE_DEFECT(44) /* back, but still by the longer lease */
#define NODE_DEFECT_DETACH_QUIET NODE_DEFECT(50)      /* .. away as planned, it may be quiet */
#define NODE_DEFECT_DETACH_WATCHED NODE_DEFECT(51)    /* .. and heeds its heartbeats all the same */
#define NODE_DEFECT_DETACH_WATCH_LATE                                                              \
	NODE_DEFECT(52) /* .. and heeds them only after it has said that it is back */
#define NODE_DEFECT_REQUESTS_ANEW NODE_DEFECT(45) /* a new database counts requests from 1 */
#define NODE_DEFECT_ON_FORGOTTEN NODE_DEFECT(55)  /* a machine that was switched off is left so */
#define NODE_DEFECT_GOODBYE_EARLY NODE_DEFECT(53) /* goodbye is said before all has ended */
#define NODE_DEFECT_LENGTH_OWN NODE_DEFECT(54)	  /* every lease is as long as our own */
#define NODE_DEFECT_GOODBYE_TO_WITNESS                                                             \
	NODE_DEFECT(59)			       /* who has said goodbye leaves the lead to anybody */
#define NODE_DEFECT_LIFE_KEPT NODE_DEFECT(56)  /* a life that has ended stays on file */
#define NODE_DEFECT_LINK_EARLY NODE_DEFECT(48) /* a link is deleted before the other one stands */
#define NODE_DEFECT_OLD_COPY NODE_DEFECT(46)   /* a database of an earlier life goes on */
#define NODE_DEFECT_EXPECT_ALWAYS NODE_DEFECT(47)  /* expected_votes is said at each view */
#define NODE_DEFECT_QUORUM_IGNORED NODE_DEFECT(60) /* corosync's quorum is not needed */
#define NODE_DEFECT_REQUEST_TWICE NODE_DEFECT(61)  /* a request that comes again is done again */
#define NODE_DEFECT_AWAY_AT_ONCE                                                                   \
	NODE_DEFECT(62) /* a majority that forms anew does not wait for who is missing */
#define NODE_DEFECT_SLOW_GETS NODE_DEFECT(63) /* VMs are placed on slow nodes, too */
#define NODE_DEFECT_GO_IN_FLIGHT NODE_DEFECT(49) /* go while an entry about it is on its way */
#define NODE_DEFECT_OFF_UNOWED NODE_DEFECT(57) /* `on` is owed only when `off` is known */
#define NODE_DEFECT_OFF_WHILE_ON                                                                   \
	NODE_DEFECT(12) /* off, while an earlier leader has it switched on */
#define NODE_DEFECT_ASK_LATE NODE_DEFECT(43) /* fence questions count whenever they come */
#define NODE_DEFECT_FORCE_APPLIED                                                                  \
	NODE_DEFECT(13) /* a line is begun by what is known as committed */
#define NODE_DEFECT_FORCE_REMOVED NODE_DEFECT(58) /* a line is begun behind one's own removal */

#endif
