/*
 * The numbers of abi.h as C structures at their fixed addresses. The assertions below keep the two the same.
 * What the VMM writes is volatile: it changes at any exit.
 */
#ifndef NK_LAYOUT_H
#define NK_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "abi.h"

/* The virtual registers; read-only here. */
struct nk_info {
    uint32_t magic, abi;
    uint64_t pending;
    uint64_t wall_ns, mono_ns, virtual_ns;
    uint64_t generation;
    uint64_t entropy[4];
    uint64_t memory_bytes;
    uint64_t cpu_limit_ns;
    uint64_t output_limit;
    uint64_t entry;
    uint32_t in_head, out_tail, console_tail;
    uint32_t max_streams;
    uint64_t heap;
    uint64_t files, phdr;
    uint32_t phnum, program_kind;
    uint32_t secrets, reserved_word;
    uint64_t reserved[3];
    uint32_t disks;
};

struct nk_unknown_call {
    uint32_t number, count;
};

/* What the VMM reads of ours. */
struct nk_control {
    uint64_t irq_enable, irq_mask, irq_handler;
    uint32_t in_tail, out_head, console_head, owes;
    uint64_t syscall;
    struct nk_unknown_call unknown_calls[NK_UNKNOWN_CALLS_MAX];
};

/* Disks: the VMM's page and the guest's. */
struct nk_disk_entry {
    uint64_t bytes;
    uint32_t kind, zero;
    char name[48];
};
struct nk_disk_completion {
    uint32_t id;
    int32_t result; /* bytes, or a negative errno */
};
struct nk_disk_request {
    uint32_t id;
    uint16_t op, disk;
    uint64_t offset, address;
    uint32_t length, zero;
};
struct nk_disk_in {
    uint32_t in_head, out_tail;
    char reserved[NK_DISK_TABLE - 8];
    struct nk_disk_entry table[NK_DISKS_MAX];
    char reserved_too[NK_DISK_COMPLETIONS - NK_DISK_TABLE - NK_DISKS_MAX * NK_DISK_ENTRY_SIZE];
    struct nk_disk_completion completions[NK_DISK_SLOTS];
};
struct nk_disk_out {
    uint32_t out_head, in_tail;
    char reserved[NK_DISK_REQUESTS - 8];
    struct nk_disk_request requests[NK_DISK_SLOTS];
};

struct nk_record_header {
    uint32_t length; /* of the payload, bytes */
    uint16_t type, flags;
    uint32_t stream, zero;
};

#define NK_INFO ((const volatile struct nk_info *)NK_INFO_ADDRESS)
#define NK_CONTROL ((volatile struct nk_control *)NK_CONTROL_ADDRESS)

#define NK_DISK_IN ((const volatile struct nk_disk_in *)NK_DISK_IN_ADDRESS)
#define NK_DISK_OUT ((volatile struct nk_disk_out *)NK_DISK_OUT_ADDRESS)

#define NK_AT(type, field, offset) _Static_assert(offsetof(struct type, field) == (offset), #field)
NK_AT(nk_info, magic, NK_INFO_MAGIC);
NK_AT(nk_info, abi, NK_INFO_ABI);
NK_AT(nk_info, pending, NK_INFO_PENDING);
NK_AT(nk_info, wall_ns, NK_INFO_WALL_NS);
NK_AT(nk_info, mono_ns, NK_INFO_MONO_NS);
NK_AT(nk_info, virtual_ns, NK_INFO_VIRTUAL_NS);
NK_AT(nk_info, generation, NK_INFO_GENERATION);
NK_AT(nk_info, entropy, NK_INFO_ENTROPY);
NK_AT(nk_info, memory_bytes, NK_INFO_MEMORY_BYTES);
NK_AT(nk_info, cpu_limit_ns, NK_INFO_CPU_LIMIT_NS);
NK_AT(nk_info, output_limit, NK_INFO_OUTPUT_LIMIT);
NK_AT(nk_info, entry, NK_INFO_ENTRY);
NK_AT(nk_info, in_head, NK_INFO_IN_HEAD);
NK_AT(nk_info, out_tail, NK_INFO_OUT_TAIL);
NK_AT(nk_info, console_tail, NK_INFO_CONSOLE_TAIL);
NK_AT(nk_info, max_streams, NK_INFO_MAX_STREAMS);
NK_AT(nk_info, heap, NK_INFO_HEAP);
NK_AT(nk_info, files, NK_INFO_FILES);
NK_AT(nk_info, phdr, NK_INFO_PHDR);
NK_AT(nk_info, phnum, NK_INFO_PHNUM);
NK_AT(nk_info, program_kind, NK_INFO_PROGRAM_KIND);
NK_AT(nk_info, secrets, NK_INFO_SECRETS);
NK_AT(nk_info, disks, NK_INFO_DISKS);
NK_AT(nk_disk_in, in_head, NK_DISK_IN_HEAD);
NK_AT(nk_disk_in, out_tail, NK_DISK_OUT_TAIL);
NK_AT(nk_disk_in, table, NK_DISK_TABLE);
NK_AT(nk_disk_in, completions, NK_DISK_COMPLETIONS);
NK_AT(nk_disk_out, out_head, NK_DISK_OUT_HEAD);
NK_AT(nk_disk_out, in_tail, NK_DISK_IN_TAIL);
NK_AT(nk_disk_out, requests, NK_DISK_REQUESTS);
_Static_assert(sizeof(struct nk_disk_entry) == NK_DISK_ENTRY_SIZE, "disk entry");
_Static_assert(sizeof(struct nk_disk_request) == NK_DISK_REQUEST_SIZE, "disk request");
_Static_assert(sizeof(struct nk_disk_completion) == NK_DISK_COMPLETION_SIZE, "disk completion");
NK_AT(nk_control, irq_enable, NK_CONTROL_IRQ_ENABLE);
NK_AT(nk_control, irq_mask, NK_CONTROL_IRQ_MASK);
NK_AT(nk_control, irq_handler, NK_CONTROL_IRQ_HANDLER);
NK_AT(nk_control, in_tail, NK_CONTROL_IN_TAIL);
NK_AT(nk_control, out_head, NK_CONTROL_OUT_HEAD);
NK_AT(nk_control, console_head, NK_CONTROL_CONSOLE_HEAD);
NK_AT(nk_control, owes, NK_CONTROL_OWES);
NK_AT(nk_control, syscall, NK_CONTROL_SYSCALL);
NK_AT(nk_control, unknown_calls, NK_CONTROL_UNKNOWN_CALLS);
_Static_assert(sizeof(struct nk_record_header) == NK_RECORD_HEADER_SIZE, "record header");
#undef NK_AT

#endif
