/*
 * The virtual architecture, version 1: every number an image and an edge must agree on.
 *
 * `vmimage/abi.py` says the same numbers in Python and states the bump rule; `tests/unit/test_abi.py` compiles a probe
 * that compares every one. Only #define lines here, without suffixes: the assembler reads this file too.
 */
#ifndef NK_ABI_H
#define NK_ABI_H

#define NK_ABI_VERSION 1

/* Memory map (bytes, guest-physical). */
#define NK_PAGE_SIZE 4096
#define NK_NULL_GUARD_SIZE 0x10000
#define NK_INFO_ADDRESS 0x10000
#define NK_CONTROL_ADDRESS 0x11000
#define NK_CONSOLE_ADDRESS 0x12000
#define NK_CONSOLE_SIZE 0x2000
#define NK_ENV_ADDRESS 0x14000
#define NK_ENV_SIZE 0x4000
#define NK_SECRETS_SIZE 0x2000             /* of that, kept for secrets */
#define NK_GATE_IN_ADDRESS 0x20000
#define NK_GATE_OUT_ADDRESS 0x30000
#define NK_GATE_SIZE 0x10000
#define NK_DISK_IN_ADDRESS 0x40000         /* one page, R: mapped only in a machine that has disks */
#define NK_DISK_OUT_ADDRESS 0x41000        /* one page, RW: the same */
#define NK_FIBER_ADDRESS 0x80000
#define NK_FIBER_STRIDE 0x10000            /* one guard page at the low end of each, the rest is stack */
#define NK_FIBER_COUNT 8
#define NK_LIBOS_ADDRESS 0x100000
#define NK_LIBOS_SIZE 0x80000
#define NK_STACK_GUARD_ADDRESS 0x180000
#define NK_STACK_ADDRESS 0x181000
#define NK_STACK_SIZE 0x7F000
#define NK_PROGRAM_ADDRESS 0x200000
#define NK_MEMORY_MIN 0x400000
#define NK_MEMORY_DEFAULT 0x2000000
#define NK_MEMORY_MAX 0x40000000

/* Info page: written by the VMM, read-only to the guest. Offsets in bytes; all times in nanoseconds. */
#define NK_INFO_MAGIC_VALUE 0x46494B4E     /* "NKIF" */
#define NK_INFO_MAGIC 0x00                 /* u32 */
#define NK_INFO_ABI 0x04                   /* u32 */
#define NK_INFO_PENDING 0x08               /* u64, pending interrupts (level: a bit stands while its cause does) */
#define NK_INFO_WALL_NS 0x10               /* u64, since 1970-01-01 UTC; refreshed at every entry */
#define NK_INFO_MONO_NS 0x18               /* u64, physical time while resident; stands still while parked */
#define NK_INFO_VIRTUAL_NS 0x20            /* u64, CPU time this machine has had */
#define NK_INFO_GENERATION 0x28            /* u64, changes on every restore and clone; 0 while an image is built without entropy */
#define NK_INFO_ENTROPY 0x30               /* 32 bytes, fresh on every restore and clone */
#define NK_INFO_MEMORY_BYTES 0x50          /* u64, end of usable memory */
#define NK_INFO_CPU_LIMIT_NS 0x58          /* u64, CPU time a request may take */
#define NK_INFO_OUTPUT_LIMIT 0x60          /* u64, body bytes a response may have */
#define NK_INFO_ENTRY 0x68                 /* u64, the program's entry point; 0 while a base image is baked */
#define NK_INFO_IN_HEAD 0x70               /* u32, gate in: bytes ever produced, modulo 2^32 */
#define NK_INFO_OUT_TAIL 0x74              /* u32, gate out: bytes ever consumed, modulo 2^32 */
#define NK_INFO_CONSOLE_TAIL 0x78          /* u32, console: bytes ever consumed, modulo 2^32 */
#define NK_INFO_MAX_STREAMS 0x7C           /* u32, requests the VMM has open in the machine at most */
#define NK_INFO_HEAP 0x80                  /* u64, first free address after the program */
#define NK_INFO_FILES 0x88                 /* u64, address of the read-only files' archive; 0: none */
#define NK_INFO_PHDR 0x90                  /* u64, address of the program's ELF program headers; 0: none */
#define NK_INFO_PHNUM 0x98                 /* u32, how many there are */
#define NK_INFO_PROGRAM_KIND 0x9C          /* u32, PROGRAM_* */
#define NK_INFO_SECRETS 0xA0               /* u32, secrets that an edge gives, which begin the environment */
#define NK_INFO_DISKS 0xC0                 /* u32, disks in the table at DISK_IN_ADDRESS; 0: those pages are not mapped */

/* Control page: written by the guest. A value read from here is checked before use, every time. */
#define NK_CONTROL_IRQ_ENABLE 0x00         /* u64, 0 or 1 */
#define NK_CONTROL_IRQ_MASK 0x08           /* u64 */
#define NK_CONTROL_IRQ_HANDLER 0x10        /* u64, address */
#define NK_CONTROL_IN_TAIL 0x18            /* u32, gate in: bytes ever consumed */
#define NK_CONTROL_OUT_HEAD 0x1C           /* u32, gate out: bytes ever produced */
#define NK_CONTROL_CONSOLE_HEAD 0x20       /* u32, console: bytes ever produced */
#define NK_CONTROL_OWES 0x24               /* u32, 0 or 1: work that outlives its request is under way; parking waits a little */
#define NK_CONTROL_SYSCALL 0x28            /* u64, where SYSCALL goes on, RCX and R11 set as processors do; 0: #UD */

#define NK_CONTROL_UNKNOWN_CALLS 0x30      /* UNKNOWN_CALLS_MAX x {u32 number, u32 count}: Linux calls not known here */
#define NK_UNKNOWN_CALLS_MAX 32            /* count 0: unused; the last one stands for all further numbers */

/* What the program is, in INFO_PROGRAM_KIND. */
#define NK_PROGRAM_NATIVE 0                /* linked for the call table; entered on the boot stack */
#define NK_PROGRAM_LINUX 1                 /* a static Linux program; main() runs while baking and calls serve */
#define NK_PROGRAM_CGI 2                   /* a static Linux program, entered anew for its machine's one request */
#define NK_PROGRAM_RUN 3                   /* the same with plain input and output, and the machine ends with it */

/* The response of PROGRAM_RUN is pieces {u8 channel, u32 size}, then the bytes. A trace is 8 u64: number, arguments, result. */
#define NK_RUN_OUTPUT 1
#define NK_RUN_ERROR 2
#define NK_RUN_TRACE 3
#define NK_RUN_EXIT 0x100                  /* added to its exit code, which tells it from the machine's own reasons */

/* Interrupt bits in INFO_PENDING. */
#define NK_IRQ_GATE 0x1                    /* records wait in the gate ring to the guest */
#define NK_IRQ_TIMER 0x2                   /* the timer's deadline has passed */
#define NK_IRQ_DISK 0x4                    /* completions wait in the disks' ring */
#define NK_IRQ_NIC 0x8                     /* reserved */
#define NK_IRQ_TIME 0x10                   /* a request has used up its CPU time; for guests with the bit in their mask */

/*
 * Delivery: when the VMM enters the guest with irq_enable 1 and a pending interrupt in irq_mask, it writes 0 to irq_enable,
 * skips the red zone, pushes RIP, then RFLAGS, and goes on at irq_handler. One notification per change: the handler drains
 * until `pending` is clear, enables again, and leaves with `popf; ret $128`.
 *
 * A guest with IRQ_TIME in its mask, enabled or not, has a moment of CPU time more before it ends for having used up a
 * request's: to say where it is, and leave with EXIT_NO_TIME. The bit goes when the request is completed after all.
 */
#define NK_IRQ_RED_ZONE 128                /* bytes below RSP that belong to the interrupted function */

/* Hypercalls: `out %al, $port`, arguments in RDI and RSI, result in RAX (0 or a negative errno). */
#define NK_PORT_IDLE 0x10                  /* RDI: mono_ns to wake at, or IDLE_FOREVER; a pending interrupt ends it */
#define NK_PORT_READY 0x11                 /* RDI: READY_*; the bake ends here; on an edge a no-op */
#define NK_PORT_TIMER 0x12                 /* RDI: deadline in ns (0 disarms), RSI: TIMELINE_*; clears IRQ_TIMER */
#define NK_PORT_CLOCK 0x13                 /* refreshes the times in the info page */
#define NK_PORT_EXIT 0x14                  /* RDI: exit code; ends the machine */
#define NK_PORT_NOTIFY 0x15                /* RDI: NOTIFY_* bits; the VMM drains those rings and returns at once */
#define NK_PORT_SET_FS 0x16                /* RDI: FS base */
#define NK_PORT_DISK 0x18                  /* reserved */
#define NK_PORT_NIC 0x19                   /* reserved */
#define NK_IDLE_FOREVER 0xFFFFFFFFFFFFFFFF
#define NK_READY_DONE 0                    /* initialised */
#define NK_READY_RANDOM 1                  /* initialised up to its first need of random bytes, which machines have */
#define NK_TIMELINE_PHYSICAL 0
#define NK_TIMELINE_VIRTUAL 1
#define NK_NOTIFY_GATE 0x1
#define NK_NOTIFY_CONSOLE 0x2
#define NK_NOTIFY_DISK 0x4
#define NK_EXIT_OK 0
#define NK_EXIT_NO_MEMORY 12               /* the guest says it ran out of memory: 507 to the client */
#define NK_EXIT_NO_TIME 14                 /* the guest has said where it was when IRQ_TIME came: 504 to the client */
#define NK_EXIT_PANIC 13                   /* the libOS found itself or the VMM broken */

/* Gate records: a header of 16 bytes {u32 length, u16 type, u16 flags, u32 stream, u32 zero}, the payload, zero to
 * seven bytes up to a multiple of 8. A record never wraps: where the rest of the ring is too short, a PAD record fills it
 * (fewer than 16 bytes, that is 8, are skipped without a header). */
#define NK_RECORD_HEADER_SIZE 16
#define NK_RECORD_ALIGN 8
#define NK_RECORD_PAYLOAD_MAX 0x4000
#define NK_HEAD_MAX 0x14000                /* bytes of a response's block */
#define NK_RECORD_PAD 0                    /* skip it */
#define NK_RECORD_HEAD 1                   /* a key-value block, then body bytes */
#define NK_RECORD_BODY 2                   /* body bytes */
#define NK_RECORD_RESET 3                  /* the stream is aborted; on an exchange, to us: why (UTF-8) */
#define NK_RECORD_CREDIT 4                 /* u32: so many more body bytes may be sent on this stream */
#define NK_RECORD_LOG 5                    /* from the guest: one line of UTF-8 for the publisher */
#define NK_RECORD_SUBREQUEST 6             /* from the guest: begins an exchange with an upstream */
#define NK_RECORD_SOCKET 7                 /* from the guest: {u8 SOCKET_*, bytes}, a piece for a socket's client */
#define NK_FLAG_END 0x1                    /* HEAD or BODY: the last of its stream in this direction; SOCKET: of its message */
#define NK_FLAG_MORE 0x2                   /* HEAD from the guest: the block goes on in the next HEAD of the stream */
#define NK_STREAM_WINDOW 0x10000           /* body bytes under way before the first CREDIT, each stream and direction */
#define NK_MAX_STREAMS 64                  /* INFO_MAX_STREAMS is at most this */

/* Exchanges: requests that the guest makes, to upstreams that its image names; see vmimage/abi.py. */
#define NK_EXCHANGE_BIT 0x80000000         /* in the stream number, which the guest chooses */
#define NK_MAX_EXCHANGES 16                /* at once in a machine */

/* Sockets: WebSockets of clients, held by the edge; see vmimage/abi.py. */
#define NK_SOCKET_TEXT 1
#define NK_SOCKET_BINARY 2
#define NK_SOCKET_CLOSE 8
#define NK_SOCKET_REASON_MAX 123           /* bytes */

/* Key-value block: "name\0value\0" repeated, ended by one empty name "\0"; at most RECORD_PAYLOAD_MAX bytes with its
 * terminator, and HEAD_MAX of a response, whose block goes over several HEAD records. To the guest: CGI meta-variables
 * (RFC 3875 section 4.1). From the guest: "Status\0200\0" first, then header fields; FLAG_END and body bytes may follow in
 * the same record. SUBREQUEST: "Method\0GET\0URL\0...\0" first, then header fields; the answer's HEAD is as a response's;
 * neither has body bytes. */

/*
 * Disks: requests in one page from the guest, completions in one page to it, DISK_SLOTS of each; positions count modulo
 * 2^32. A request is {u32 id, u16 op, u16 disk, u64 offset, u64 address, u32 length, u32 zero}: its disk is a place in the
 * table, its address lies in memory that the guest itself may write (READ) or read (WRITE, APPEND). A completion is
 * {u32 id, i32 result}: bytes, or a negative errno. Completions come in any order; at most DISK_SLOTS are under way.
 */
#define NK_DISK_IN_HEAD 0x00               /* u32, completions ever produced */
#define NK_DISK_OUT_TAIL 0x04              /* u32, requests ever consumed */
#define NK_DISK_TABLE 0x100                /* DISKS_MAX entries {u64 bytes, u32 kind, u32 zero, 48 bytes name} */
#define NK_DISK_ENTRY_SIZE 64
#define NK_DISK_COMPLETIONS 0x800
#define NK_DISK_OUT_HEAD 0x00              /* in the guest's page: u32, requests ever produced */
#define NK_DISK_IN_TAIL 0x04               /* in the guest's page: u32, completions ever consumed */
#define NK_DISK_REQUESTS 0x800
#define NK_DISK_REQUEST_SIZE 32
#define NK_DISK_COMPLETION_SIZE 8
#define NK_DISK_SLOTS 64
#define NK_DISKS_MAX 8
#define NK_DISK_BLOCK_SIZE 0x10000
#define NK_DISK_LENGTH_MAX 0x10000         /* bytes of one request */
#define NK_DISK_READ 1                     /* any offset and length; short at the end of the disk */
#define NK_DISK_WRITE 2                    /* offset and length in whole pages; cow and scratch */
#define NK_DISK_FLUSH 3                    /* what was written before is safe when this is complete */
#define NK_DISK_APPEND 4                   /* log: one record; offset unused */
#define NK_DISK_SHARED 1
#define NK_DISK_COW 2
#define NK_DISK_SCRATCH 3
#define NK_DISK_LOG 4

#endif
