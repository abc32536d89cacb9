/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw.h"

#define COM1 0x3f8
#define PIC1 0x20
#define PIC2 0xa0
#define EOI 0x20
#define PM_BASE 0x600 /* where SeaBIOS puts the ACPI PM block on pc and q35 */

volatile uint32_t ticks;

static struct {
	uint16_t lo, cs, attr, hi;
} __attribute__((packed)) idt[48];

void isr_timer(void);
void isr_device(void);
void isr_ignore(void);
void on_timer(void);

void *memcpy(void *to, const void *from, __SIZE_TYPE__ n)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int c, __SIZE_TYPE__ n)
{
	unsigned char *t = to;

	while (n--)
		*t++ = (unsigned char)c;
	return to;
}

void say(const char *text)
{
	for (; *text; text++)
		outb(COM1, (uint8_t)*text);
}

void say_number(const char *text, uint32_t n)
{
	char digits[11];
	int i = 10;

	digits[10] = '\0';
	do
		digits[--i] = (char)('0' + n % 10);
	while (n /= 10);
	say(text);
	say(digits + i);
	say("\n");
}

void on_timer(void)
{
	ticks++;
	outb(PIC1, EOI);
}

static void idt_set(int n, void (*isr)(void))
{
	uint32_t at = (uint32_t)isr;

	idt[n].lo = (uint16_t)at;
	idt[n].hi = (uint16_t)(at >> 16);
	idt[n].cs = 8;
	idt[n].attr = 0x8e00;
}

static void pic_init(void)
{
	outb(PIC1, 0x11), outb(PIC2, 0x11); /* ICW1: edge, cascade, ICW4 */
	outb(PIC1 + 1, 0x20), outb(PIC2 + 1, 0x28);
	outb(PIC1 + 1, 4), outb(PIC2 + 1, 2);
	outb(PIC1 + 1, 1), outb(PIC2 + 1, 1);
	outb(PIC1 + 1, 0xfa), outb(PIC2 + 1, 0xff); /* only the timer and the cascade */
}

void irq_enable(unsigned line)
{
	uint16_t port = line < 8 ? PIC1 + 1 : PIC2 + 1;

	idt_set(0x20 + (int)line, isr_device);
	outb(port, (uint8_t)(inb(port) & ~(1U << (line & 7))));
}

static void pit_init(uint32_t tick_ms)
{
	uint16_t n = (uint16_t)(1193182 * tick_ms / 1000);

	outb(0x43, 0x34);
	outb(0x40, (uint8_t)n), outb(0x40, (uint8_t)(n >> 8));
}

/* Exceptions have no handler on purpose: a triple fault resets the machine, which is seen outside. */
void hw_init(uint32_t tick_ms)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uint32_t)idt };

	for (int i = 0x20; i < 0x30; i++)
		idt_set(i, isr_ignore);
	idt_set(0x20, isr_timer);
	__asm__ volatile("lidt %0" : : "m"(pointer));
	pic_init();
	pit_init(tick_ms);
	outw(PM_BASE + 2, 0x100); /* the power button sets its bit only when it is enabled */
	__asm__ volatile("sti");
}

void power_check(void)
{
	if (!(inw(PM_BASE) & 0x100))
		return;
	say("power button\n");
	outw(PM_BASE + 4, 0x2000); /* SLP_EN, S5 */
}

uint32_t pci_read(uint32_t dev, uint32_t reg)
{
	outl(0xcf8, 0x80000000U | dev << 11 | reg);
	return inl(0xcfc);
}

void pci_write(uint32_t dev, uint32_t reg, uint32_t v)
{
	outl(0xcf8, 0x80000000U | dev << 11 | reg);
	outl(0xcfc, v);
}

uint32_t pci_find(uint32_t vendor_device)
{
	for (uint32_t dev = 1; dev < 32; dev++)
		if (pci_read(dev, 0) == vendor_device)
			return dev;
	return 0;
}
