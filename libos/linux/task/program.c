/*
 * A program's first instruction: the stack of a fresh process (System V AMD64 ABI, section 3.4.1), with arguments and
 * environment as the image was built with.
 */
#include "task.h"

#define HWCAP 0x0781A11D                                      /* CPUID leaf 1, EDX: of the architecture */
#define PROGRAM_HEADER_SIZE 56
#define POINTERS_MAX 2048

/* The arguments follow the environment: "ARGUMENT\0" repeated, ended by an empty one. */
const char *first_argument(void) {
    const char *at = (const char *)NK_ENV_ADDRESS;
    while (*at)
        at += strlen(at) + 1;
    return at + 1;
}

static void *push_bytes(uintptr_t *stack, const void *from, size_t size) {
    *stack -= size;
    return memcpy((void *)*stack, from, size);
}

/* One of the program's headers (gABI, "Program Header"), where the image has them. */
struct program_part program_part(unsigned number) {
    struct header {
        uint32_t kind, flags;
        uint64_t offset, start, physical, file_size, size, align;
    };
    enum { LOAD = 1, EXECUTE = 1, WRITE = 2 };
    if (!NK_INFO->phdr || number >= NK_INFO->phnum)
        return (struct program_part){};
    const struct header *part = (const struct header *)NK_INFO->phdr + number;
    uint64_t base = program_base();
    const char *access = part->flags & EXECUTE ? "r-x" : part->flags & WRITE ? "rw-" : "r--";
    return (struct program_part){part->kind == LOAD, base + part->start, base + part->start + part->size, access};
}

/* Lays out the initial stack and enters the program; `variables`: more of the environment, "NAME=VALUE\0" repeated, and
 * `last` one more unless it is empty. */
_Noreturn void program_begin(const char *variables, const char *last) {
    static const char platform[] = "x86_64";
    uintptr_t stack = stack_top();
    uint64_t pointers[POINTERS_MAX];
    unsigned count = 1, arguments = 0;
    const char *name = NULL;
    for (const char *at = first_argument(); *at && count < 256; at += strlen(at) + 1, arguments++) {
        pointers[count++] = (uint64_t)(uintptr_t)push_bytes(&stack, at, strlen(at) + 1);
        name = name ? name : (const char *)pointers[1];
    }
    pointers[0] = arguments;
    pointers[count++] = 0;
    for (const char *at = env_next(NULL); at && count < POINTERS_MAX - 64; at = env_next(at))
        pointers[count++] = (uint64_t)(uintptr_t)push_bytes(&stack, at, strlen(at) + 1); /* programs write there */
    for (const char *at = variables; at && *at && count < POINTERS_MAX - 64; at += strlen(at) + 1)
        pointers[count++] = (uint64_t)(uintptr_t)at;
    if (*last)
        pointers[count++] = (uint64_t)(uintptr_t)last;
    pointers[count++] = 0;

    uint8_t seed[16];
    random_fill(seed, sizeof seed); /* a stack canary and a heap's check, before anything else: cannot wait */
    const uint64_t auxiliary[] = {
        AT_PHDR,     NK_INFO->phdr,
        AT_PHENT,    PROGRAM_HEADER_SIZE,
        AT_PHNUM,    NK_INFO->phnum,
        AT_PAGESZ,   NK_PAGE_SIZE,
        AT_BASE,     0,
        AT_FLAGS,    0,
        AT_ENTRY,    NK_INFO->entry,
        AT_UID,      0,
        AT_EUID,     0,
        AT_GID,      0,
        AT_EGID,     0,
        AT_SECURE,   0,
        AT_CLKTCK,   100,
        AT_HWCAP,    HWCAP,
        AT_RANDOM,   (uint64_t)(uintptr_t)push_bytes(&stack, seed, sizeof seed),
        AT_PLATFORM, (uint64_t)(uintptr_t)platform,
        AT_EXECFN,   (uint64_t)(uintptr_t)(name ? name : platform),
        AT_NULL,     0,
    };
    stack &= ~15ull;
    if ((count + sizeof auxiliary / 8) % 2)
        stack -= 8;
    push_bytes(&stack, auxiliary, sizeof auxiliary);
    push_bytes(&stack, pointers, 8 * count);
    process_named(name ? name : "program");
    context_enter(NK_INFO->entry, stack);
}
