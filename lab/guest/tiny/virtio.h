/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Legacy virtio over PCI (virtio 1.1, 4.1.4.8 and 2.6.2): a queue, a disk, a network card. */
#ifndef CL_TINY_VIRTIO_H
#define CL_TINY_VIRTIO_H

#include <stdint.h>

/* Called from the interrupt, for all devices: level-triggered lines stay up until it is done. */
void virtio_ack_interrupts(void);

/* Disk: one request at a time. */
enum disk_op { DISK_READ = 0, DISK_WRITE = 1, DISK_FLUSH = 4 };
int disk_init(void); /* 0 when there is none */
uint64_t disk_sectors(void);
void disk_start(enum disk_op op, uint64_t sector, void *data, uint32_t bytes);
int disk_done(int *ret_failed); /* whether the request has ended */

/* Network: frames go out, nothing comes in. */
int net_init(void);
void net_mac(uint8_t mac[6]);
/* 0 when the queue is full: the frame is dropped, as a cable would. */
int net_send(const void *frame, uint32_t bytes);

#endif
