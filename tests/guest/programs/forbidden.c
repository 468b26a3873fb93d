/*
 * Tries what a guest may not do, one act per path. An act that the machine lets pass answers FAILURE; one that must
 * pass, or that the machine must answer in a certain way, says SUCCESS.
 */
#include "nunatak.h"

static unsigned char data_code[] = {0xc3}; /* ret */
static const unsigned char constant[64] = "read-only";

#define ASM(...) __asm__ volatile(__VA_ARGS__)
#define POKE(address) (*(volatile unsigned char *)(uintptr_t)(address) = 1)
#define PEEK(address) ((void)*(volatile unsigned char *)(uintptr_t)(address))

static void call(uintptr_t address) { ((void (*)(void))address)(); }

static bool act(const char *name) {
#define ACT(text) (strcmp(name, text) == 0)
    if (ACT("/null-read")) PEEK(0);
    else if (ACT("/null-write")) POKE(8);
    else if (ACT("/guard-end")) PEEK(NK_NULL_GUARD_SIZE - 1);
    else if (ACT("/info-write")) POKE(NK_INFO_ADDRESS);
    else if (ACT("/env-write")) POKE(NK_ENV_ADDRESS);
    else if (ACT("/gate-in-write")) POKE(NK_GATE_IN_ADDRESS);
    else if (ACT("/libos-text-write")) POKE(NK_LIBOS_ADDRESS);
    else if (ACT("/text-write")) POKE(&call);
    else if (ACT("/rodata-write")) POKE(constant);
    else if (ACT("/data-exec")) call((uintptr_t)data_code);
    else if (ACT("/stack-exec")) { volatile unsigned char code[] = {0xc3}; call((uintptr_t)code); }
    else if (ACT("/heap-exec")) { unsigned char *code = nk_malloc(16); code[0] = 0xc3; call((uintptr_t)code); }
    else if (ACT("/gate-exec")) call(NK_GATE_IN_ADDRESS);
    else if (ACT("/page-table-read")) PEEK(NK_MEMORY_MAX);
    else if (ACT("/page-table-write")) POKE(NK_MEMORY_MAX + 0x10000);
    else if (ACT("/gdt-write")) POKE(NK_MEMORY_MAX + 0x4000);
    else if (ACT("/canonical-hole")) PEEK(0x8000000000000000);
    else if (ACT("/kernel-half")) PEEK(0xffff800000000000);
    else if (ACT("/stack-guard")) PEEK(NK_STACK_GUARD_ADDRESS);
    else if (ACT("/fiber-guard")) PEEK(NK_FIBER_ADDRESS);
    else if (ACT("/cr0")) ASM("mov %%cr0, %%rax" ::: "rax");
    else if (ACT("/cr3")) ASM("mov %%rax, %%cr3" ::: "memory");
    else if (ACT("/dr7")) ASM("mov %%rax, %%dr7" ::: "memory");
    else if (ACT("/rdmsr")) ASM("rdmsr" ::"c"(0xc0000080) : "rax", "rdx");
    else if (ACT("/wrmsr")) ASM("wrmsr" ::"c"(0xc0000080), "a"(0), "d"(0));
    else if (ACT("/lgdt")) ASM("lgdt (%0)" ::"r"(constant));
    else if (ACT("/lidt")) ASM("lidt (%0)" ::"r"(constant));
    else if (ACT("/ltr")) ASM("ltr %%ax" ::"a"(8));
    else if (ACT("/invlpg")) ASM("invlpg (%0)" ::"r"(constant));
    else if (ACT("/hlt")) ASM("hlt");
    else if (ACT("/wbinvd")) ASM("wbinvd");
    else if (ACT("/swapgs")) ASM("swapgs");
    else if (ACT("/sysret")) ASM("sysretq" ::"c"(0));
    else if (ACT("/in")) ASM("inb $0x10, %%al" ::: "al");
    else if (ACT("/ins")) ASM("insb" ::"D"(data_code), "d"(0x10) : "memory");
    else if (ACT("/port-unknown")) ASM("outb %al, $0x77\n\tjmp 1f\n1:");
    else if (ACT("/port-reserved")) ASM("outb %al, $0x18\n\tjmp 1f\n1:");
    else if (ACT("/port-dx")) ASM("outb %%al, %%dx\n\tjmp 1f\n1:" ::"d"(0x1234));
    else if (ACT("/syscall")) ASM("syscall" ::"a"(60) : "rcx", "r11", "memory");
    else if (ACT("/sysenter")) ASM("sysenter");
    else if (ACT("/int80")) ASM("int $0x80");
    else if (ACT("/int-fault-vector")) ASM("int $14");
    else if (ACT("/int3")) ASM("int3");
    else if (ACT("/ud2")) ASM("ud2");
    else if (ACT("/rdtsc")) ASM("rdtsc" ::: "rax", "rdx");
    else if (ACT("/rdrand")) ASM("rdrand %%rax" ::: "rax");
    else if (ACT("/xgetbv")) ASM("xgetbv" ::"c"(0) : "rax", "rdx");
    else if (ACT("/divide")) ASM("xor %%ecx, %%ecx; div %%ecx" ::: "rax", "rcx", "rdx");
    else if (ACT("/trap-flag")) ASM("pushf; orl $0x100, (%%rsp); popf; nop" ::: "memory");
    else if (ACT("/ring-0-selector")) ASM("mov %%ax, %%ss" ::"a"(0x10));
    else if (ACT("/far-to-ring-0")) {
        static struct { uint32_t offset; uint16_t selector; } __attribute__((packed)) to = {NK_LIBOS_ADDRESS, 0x08};
        ASM("ljmpl *(%0)" ::"r"(&to));
    } else if (ACT("/iret-to-ring-0")) ASM("mov %%rsp, %%rax; pushq $0x10; pushq %%rax; pushq $0x2; pushq $0x8; pushq %0; iretq" ::"r"((uint64_t)NK_LIBOS_ADDRESS) : "rax", "memory");
    else if (ACT("/set-fs-far")) ASM("outb %%al, %0\n\tjmp 1f\n1:" ::"i"(NK_PORT_SET_FS), "D"(~0ull >> 1));
    else if (ACT("/exit")) nk_exit(3);
    else return false;
    return true;
}

static void cpuid(uint32_t leaf, uint32_t out[4]) {
    ASM("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(0));
}

static void page(nk_request *request) {
    const char *path = nk_var(request, "PATH_INFO");
    if (strcmp(path, "/cpuid") == 0) {
        static const uint32_t leaves[] = {0, 1, 2, 7, 0xd, 0x40000000, 0x80000000, 0x80000001, 0xffffffff};
        for (unsigned n = 0; n < sizeof leaves / sizeof *leaves; n++) {
            uint32_t out[4];
            cpuid(leaves[n], out);
            nk_printf(request, "%x %x %x %x %x\n", leaves[n], out[0], out[1], out[2], out[3]);
        }
    } else if (strcmp(path, "/flags") == 0) { /* IOPL is the VMM's */
        uint64_t before, after;
        ASM("pushf; pop %0" : "=r"(before));
        ASM("push %0; popf" ::"r"(before ^ 0x3000) : "memory", "cc");
        ASM("pushf; pop %0" : "=r"(after));
        nk_printf(request, "%s", ((before ^ after) & 0x3000) == 0 ? "SUCCESS" : "FAILURE");
    } else if (strcmp(path, "/timeline") == 0) {
        int64_t result;
        ASM("outb %%al, %1\n\tjmp 1f\n1:" : "=a"(result) : "i"(NK_PORT_TIMER), "D"(5ull), "S"(9ull));
        nk_printf(request, "%s", result == -22 ? "SUCCESS" : "FAILURE");
    } else if (act(path))
        nk_printf(request, "FAILURE: %s passed", path);
    else
        nk_printf(request, "ordinary page");
}

int main(void) { return nk_serve(page); }
