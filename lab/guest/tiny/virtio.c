/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio.h"

#include "hw.h"

#define QUEUE_MAX 1024
#define TX_SLOTS 16

enum {
	R_FEATURES = 0,
	R_GUEST_FEATURES = 4,
	R_PFN = 8,
	R_SIZE = 12,
	R_SELECT = 14,
	R_NOTIFY = 16,
	R_STATUS = 18,
	R_ISR = 19,
	R_CONFIG = 20
};
enum { S_ACK = 1, S_DRIVER = 2, S_OK = 4 };
enum { D_NEXT = 1, D_WRITE = 2 };
#define F_BLK_FLUSH (1U << 9)
#define F_NET_MAC (1U << 5)

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct avail {
	uint16_t flags, idx, ring[];
};
struct used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len;
	} ring[];
};

struct queue {
	uint16_t io, size, number;
	struct desc *desc;
	volatile struct avail *avail;
	volatile struct used *used;
};

static uint8_t disk_memory[32768] __attribute__((aligned(4096)));
static uint8_t net_memory[32768] __attribute__((aligned(4096)));
static uint16_t disk_io, net_io;
static struct queue disk_q, net_q;

static uint16_t find(uint32_t device, unsigned *ret_irq)
{
	uint32_t dev = pci_find(device << 16 | 0x1af4);

	if (!dev)
		return 0;
	pci_write(dev, 4, pci_read(dev, 4) | 5); /* I/O, bus master */
	*ret_irq = pci_read(dev, 0x3c) & 0xff;
	return (uint16_t)(pci_read(dev, 0x10) & ~3U);
}

static int begin(uint16_t io, uint32_t wanted)
{
	outb(io + R_STATUS, 0);
	outb(io + R_STATUS, S_ACK | S_DRIVER);
	outl(io + R_GUEST_FEATURES, inl(io + R_FEATURES) & wanted);
	return 1;
}

static int queue_init(struct queue *q, uint16_t io, uint16_t number, uint8_t *memory)
{
	uint32_t after;

	outw(io + R_SELECT, number);
	q->io = io;
	q->number = number;
	q->size = inw(io + R_SIZE);
	if (q->size == 0 || q->size > QUEUE_MAX)
		return 0;
	after = q->size * sizeof(struct desc) + 6 + 2U * q->size;
	q->desc = (struct desc *)memory;
	q->avail = (struct avail *)(memory + q->size * sizeof(struct desc));
	q->used = (struct used *)(memory + ((after + 4095) & ~4095U));
	outl(io + R_PFN, (uint32_t)memory >> 12);
	return 1;
}

static void queue_put(struct queue *q, uint16_t head)
{
	q->avail->ring[q->avail->idx % q->size] = head;
	barrier();
	q->avail->idx++;
	barrier();
	outw(q->io + R_NOTIFY, q->number);
}

void virtio_ack_interrupts(void)
{
	if (disk_io)
		(void)inb(disk_io + R_ISR);
	if (net_io)
		(void)inb(net_io + R_ISR);
}

/* ---- disk ----------------------------------------------------------------------------------- */

static struct {
	uint32_t type, priority;
	uint64_t sector;
} disk_header;
static volatile uint8_t disk_status;
static uint16_t disk_seen;

int disk_init(void)
{
	unsigned irq;

	disk_io = find(0x1001, &irq);
	if (!disk_io || !begin(disk_io, F_BLK_FLUSH) ||
	    !queue_init(&disk_q, disk_io, 0, disk_memory))
		return 0;
	irq_enable(irq);
	outb(disk_io + R_STATUS, S_ACK | S_DRIVER | S_OK);
	return 1;
}

uint64_t disk_sectors(void)
{
	return inl(disk_io + R_CONFIG) | (uint64_t)inl(disk_io + R_CONFIG + 4) << 32;
}

void disk_start(enum disk_op op, uint64_t sector, void *data, uint32_t bytes)
{
	struct desc *d = disk_q.desc;
	uint16_t n = 1;

	disk_header.type = op;
	disk_header.priority = 0;
	disk_header.sector = sector;
	disk_status = 0xff;
	d[0] = (struct desc){ (uint32_t)&disk_header, sizeof(disk_header), D_NEXT, 1 };
	if (bytes) {
		d[1] = (struct desc){ (uint32_t)data, bytes,
				      (uint16_t)(D_NEXT | (op == DISK_READ ? D_WRITE : 0)), 2 };
		n = 2;
	}
	d[n] = (struct desc){ (uint32_t)&disk_status, 1, D_WRITE, 0 };
	queue_put(&disk_q, 0);
}

int disk_done(int *ret_failed)
{
	if (disk_q.used->idx == disk_seen)
		return 0;
	barrier();
	disk_seen++;
	*ret_failed = disk_status != 0;
	return 1;
}

/* ---- network -------------------------------------------------------------------------------- */

static struct {
	uint8_t header[10]; /* virtio_net_hdr: no offload */
	uint8_t frame[246];
} tx[TX_SLOTS];
static uint16_t tx_sent;

int net_init(void)
{
	unsigned irq;

	net_io = find(0x1000, &irq);
	if (!net_io || !begin(net_io, F_NET_MAC) || !queue_init(&net_q, net_io, 1, net_memory))
		return 0;
	net_q.avail->flags = 1; /* no interrupt: used entries are looked at when sending */
	outb(net_io + R_STATUS, S_ACK | S_DRIVER | S_OK);
	return 1;
}

void net_mac(uint8_t mac[6])
{
	for (int i = 0; i < 6; i++)
		mac[i] = inb((uint16_t)(net_io + R_CONFIG + i));
}

int net_send(const void *frame, uint32_t bytes)
{
	uint16_t slot = tx_sent % TX_SLOTS, head = (uint16_t)(slot * 2);
	struct desc *d = &net_q.desc[head];

	if (!net_io || (uint16_t)(tx_sent - net_q.used->idx) >= TX_SLOTS ||
	    bytes > sizeof(tx->frame))
		return 0;
	memcpy(tx[slot].frame, frame, bytes);
	d[0] = (struct desc){ (uint32_t)tx[slot].header, 10, D_NEXT, (uint16_t)(head + 1) };
	d[1] = (struct desc){ (uint32_t)tx[slot].frame, bytes, 0, 0 };
	queue_put(&net_q, head);
	tx_sent++;
	return 1;
}
