/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine under the tiny guest: ports, interrupts, PCI, console. */
#ifndef CL_TINY_HW_H
#define CL_TINY_HW_H

#include <stdint.h>

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}
static inline void barrier(void)
{
	__asm__ volatile("mfence" : : : "memory");
}

extern volatile uint32_t ticks; /* of the length that hw_init() was told, since boot */

/* tick_ms: how often the timer wakes the guest; up to 54, which is the longest that the PIT counts. */
void hw_init(uint32_t tick_ms);
void irq_enable(unsigned line);
uint32_t pci_read(uint32_t dev, uint32_t reg);
void pci_write(uint32_t dev, uint32_t reg, uint32_t v);
/* The first device with that vendor:device on bus 0, or 0. */
uint32_t pci_find(uint32_t vendor_device);
void say(const char *text);
void say_number(const char *text, uint32_t n);
/* The ACPI power button was pressed: power off. Asked every tick. */
void power_check(void);

void *memcpy(void *to, const void *from, __SIZE_TYPE__ n);
void *memset(void *to, int c, __SIZE_TYPE__ n);

#endif
