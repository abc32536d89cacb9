/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry by the PVH boot protocol (xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected
 * mode, paging off, %ebx = start info. */
	.section .note.pvh, "a", @note
	.align 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start

	.section .text.start, "ax"
	.global start
start:
	cli
	cld
	mov $stack_top, %esp
	lgdt gdt_pointer
	ljmp $8, $1f
1:	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	push %ebx
	call tiny_main
2:	hlt
	jmp 2b

	.text
	.global isr_timer, isr_device, isr_ignore
isr_timer:
	pusha
	call on_timer
	popa
	iret
isr_device:
	pusha
	call on_device
	popa
	iret
isr_ignore:
	iret

	.section .rodata
	.align 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff	/* code */
	.quad 0x00cf93000000ffff	/* data */
gdt_pointer:
	.word 23
	.long gdt

	.section .bss
	.align 16
	.skip 16384
stack_top:
	.section .note.GNU-stack, "", @progbits
