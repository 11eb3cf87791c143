/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The payload of the KVM probe: a 64 KiB firmware image, run in the place of a BIOS.
 *
 * It does what every system does while it boots and what broken KVMs cannot do, or only by
 * emulating one instruction after the other: long mode with page tables of its own, a page
 * fault that is handled, the local APIC's timer interrupts while halted, ring 3 and back, SSE,
 * and 200 million turns of a loop, which is a tenth of a second where KVM is real.  At the end it
 * writes 0x2a to the isa-debug-exit device, so that QEMU exits with 85.
 *
 * The image is at 0xf0000 when the CPU starts; it copies itself to BASE and goes on there.
 */
        .set BASE, 0x8000
        .set SIZE, 0x1000       /* of what is copied */
        .set PML4, 0x10000
        .set PDPT, 0x11000
        .set PD0, 0x12000
        .set PD3, 0x13000
        .set IDT, 0x14000
        .set STACK, 0x20000     /* of ring 0 and of interrupts */
        .set USER_STACK, 0x28000
        .set TICKS, 0x30000     /* counters */
        .set FAULTS, 0x30008
        .set UNMAPPED, 0x50000000
        .set APIC, 0xfee00000
        .set EXIT_PORT, 0xf4
        .set EXIT_VALUE, 0x2a

        .section .rodata
        .globl lodge_kvm_probe_image
        .globl lodge_kvm_probe_image_end
        .hidden lodge_kvm_probe_image
        .hidden lodge_kvm_probe_image_end
        .balign 16
lodge_kvm_probe_image:
image:
        .code16
        cli
        cld
        movw %cs, %ax
        movw %ax, %ds
        xorw %ax, %ax
        movw %ax, %es
        movw %ax, %ss
        movw $0x7000, %sp
        xorw %si, %si
        movw $BASE, %di
        movw $(SIZE / 4), %cx
        rep movsl
        ljmp $0, $(BASE + low - image)

low:
        xorw %ax, %ax
        movw %ax, %ds
        jmp tables
        .balign 4
gdt:
        .quad 0
        .quad 0x00af9a000000ffff        /* 0x08: code, ring 0, 64 bits */
        .quad 0x00cf92000000ffff        /* 0x10: data, ring 0 */
        .quad 0x00cff2000000ffff        /* 0x18: data, ring 3 */
        .quad 0x00affa000000ffff        /* 0x20: code, ring 3, 64 bits */
        .word 0x67, BASE + tss - image, 0x8900, 0 /* 0x28: task state */
        .quad 0
gdt_end:
gdt_pointer:
        .word gdt_end - gdt - 1
        .long BASE + gdt - image
idt_pointer:
        .word 0x81 * 16 - 1
        .long IDT
        .balign 8
tss:
        .long 0
        .quad STACK
        .fill 92, 1, 0
        .word 104
        .balign 4

tables:
        /* Page tables: the first GiB and the fourth, in 2 MiB pages, open to ring 3. */
        movw $(PML4 >> 4), %ax
        movw %ax, %es
        xorw %di, %di
        xorl %eax, %eax
        movw $0x2000, %cx
        rep stosl
        movl $(PDPT | 7), %es:0
        movl $(PD0 | 7), %es:0x1000
        movl $(PD3 | 7), %es:0x1018
        movw $(PD0 - PML4), %di
        movl $0x87, %eax
        movw $512, %cx
1:      movl %eax, %es:(%di)
        addl $0x200000, %eax
        addw $8, %di
        loop 1b
        movw $(PD3 - PML4), %di
        movl $(0xc0000000 | 0x87), %eax
        movw $512, %cx
2:      movl %eax, %es:(%di)
        addl $0x200000, %eax
        addw $8, %di
        loop 2b

        lgdtl BASE + gdt_pointer - image
        movl $0x620, %eax               /* PAE, OSFXSR, OSXMMEXCPT */
        movl %eax, %cr4
        movl $PML4, %eax
        movl %eax, %cr3
        movl $0xc0000080, %ecx          /* EFER.LME */
        rdmsr
        orl $0x100, %eax
        wrmsr
        movl $0x80000033, %eax          /* PG, NE, ET, MP, PE */
        movl %eax, %cr0
        ljmpl $0x08, $(BASE + long_mode - image)

        .code64
long_mode:
        movw $0x10, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movl $STACK, %esp
        movl $IDT, %edi
        xorl %eax, %eax
        movl $(0x81 * 2), %ecx
        rep stosq
        movl $TICKS, %edi
        movl $4, %ecx
        rep stosq
        movl $14, %ebx
        movl $(BASE + on_fault - image), %eax
        movl $0x8e00, %edx
        call set_gate
        movl $0x40, %ebx
        movl $(BASE + on_tick - image), %eax
        call set_gate
        movl $0x80, %ebx
        movl $(BASE + on_call - image), %eax
        movl $0xee00, %edx
        call set_gate
        lidt BASE + idt_pointer - image
        movw $0x28, %ax
        ltr %ax

        /* A page fault; its handler goes on behind the access. */
        movl $UNMAPPED, %eax
        movb (%rax), %al
resume:
        cmpq $1, FAULTS
        jne failed

        /* Three ticks of the local APIC, waited for in HLT. */
        movl $APIC, %eax
        movl $0x1ff, 0xf0(%rax)         /* enable */
        movl $0xb, 0x3e0(%rax)          /* divide by one */
        movl $0x20040, 0x320(%rax)      /* periodic, vector 0x40 */
        movl $1000000, 0x380(%rax)      /* a millisecond or so */
        sti
3:      hlt
        cmpq $3, TICKS
        jb 3b
        cli
        movl $APIC, %eax
        movl $0x10000, 0x320(%rax)

        /* To ring 3; on_call is the end. */
        pushq $0x1b
        pushq $USER_STACK
        pushq $0x202
        pushq $0x23
        pushq $(BASE + user - image)
        iretq

user:
        movl $200000000, %ecx
        xorps %xmm0, %xmm0
4:      addl $3, %eax
        pushq %rax
        popq %rdx
        decl %ecx
        jnz 4b
        addps %xmm0, %xmm0
        int $0x80

failed:
        movb $1, %al
        outb %al, $EXIT_PORT
5:      hlt
        jmp 5b

on_call:
        movb $EXIT_VALUE, %al
        outb %al, $EXIT_PORT
        jmp 5b

on_tick:
        pushq %rax
        incq TICKS
        movl $APIC, %eax
        movl $0, 0xb0(%rax)
        popq %rax
        iretq

on_fault:
        incq FAULTS
        addq $8, %rsp                   /* the error code */
        movq $(BASE + resume - image), (%rsp)
        iretq

/* Gate %ebx, to %eax, of the type in %edx. */
set_gate:
        shll $4, %ebx
        movw %ax, IDT(%rbx)
        movw $0x08, IDT + 2(%rbx)
        movw %dx, IDT + 4(%rbx)
        ret

        .fill 0xfff0 - (. - image), 1, 0
        .code16
reset:
        ljmp $0xf000, $0
        .fill 0x10000 - (. - image), 1, 0
lodge_kvm_probe_image_end:

        .section .note.GNU-stack, "", @progbits
