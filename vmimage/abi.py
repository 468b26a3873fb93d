"""The virtual architecture, version 1: every number an image and an edge must agree on.

`libos/include/abi.h` says the same numbers in C; `tests/unit/test_abi.py` compiles a probe and compares every one.
Bump rule: a number here may be added in a place marked reserved; any other change raises `ABI_VERSION`, and an edge
refuses images of a version it does not know.

The guest is one x86-64 CPU in ring 3, without paging of its own: guest-virtual equals guest-physical.

    0x000000  unmapped, 64 KiB                    0x020000  gate ring to the guest, 64 KiB   R
    0x010000  info page, "virtual registers" R    0x030000  gate ring from the guest, 64 KiB RW
    0x011000  control page                   RW   0x040000  disks: table and completions R, requests RW; NIC: later
    0x012000  console ring, 8 KiB            RW   0x080000  fiber stacks, 8 x 64 KiB         RW
    0x014000  environment, 16 KiB            R    0x100000  libOS                            RX, R, RW
                                                  0x180000  guard page, then the boot stack  RW
                                                  0x200000  program, then heap to the end of memory
"""

from typing import Final

ABI_VERSION: Final = 1

# Memory map (bytes, guest-physical).
PAGE_SIZE: Final = 4096
NULL_GUARD_SIZE: Final = 0x10000
INFO_ADDRESS: Final = 0x10000
CONTROL_ADDRESS: Final = 0x11000
CONSOLE_ADDRESS: Final = 0x12000
CONSOLE_SIZE: Final = 0x2000
ENV_ADDRESS: Final = 0x14000
ENV_SIZE: Final = 0x4000
SECRETS_SIZE: Final = 0x2000  # of that, kept for secrets: an image's own environment and arguments leave it free
GATE_IN_ADDRESS: Final = 0x20000
GATE_OUT_ADDRESS: Final = 0x30000
GATE_SIZE: Final = 0x10000
DISK_IN_ADDRESS: Final = 0x40000  # one page, R: mapped only in a machine that has disks
DISK_OUT_ADDRESS: Final = 0x41000  # one page, RW: the same
FIBER_ADDRESS: Final = 0x80000
FIBER_STRIDE: Final = 0x10000  # one guard page at the low end of each, the rest is stack
FIBER_COUNT: Final = 8
LIBOS_ADDRESS: Final = 0x100000
LIBOS_SIZE: Final = 0x80000
STACK_GUARD_ADDRESS: Final = 0x180000
STACK_ADDRESS: Final = 0x181000
STACK_SIZE: Final = 0x7F000
PROGRAM_ADDRESS: Final = 0x200000
MEMORY_MIN: Final = 4 << 20
MEMORY_DEFAULT: Final = 32 << 20
MEMORY_MAX: Final = 1 << 30

# Info page: written by the VMM, read-only to the guest. Offsets in bytes; all times in nanoseconds.
INFO_MAGIC_VALUE: Final = 0x46494B4E  # "NKIF"
INFO_MAGIC: Final = 0x00  # u32
INFO_ABI: Final = 0x04  # u32
INFO_PENDING: Final = 0x08  # u64, pending interrupts (level: a bit stands while its cause does)
INFO_WALL_NS: Final = 0x10  # u64, since 1970-01-01 UTC; refreshed at every entry
INFO_MONO_NS: Final = 0x18  # u64, physical time this machine has been resident; stands still while parked
INFO_VIRTUAL_NS: Final = 0x20  # u64, CPU time this machine has had
INFO_GENERATION: Final = 0x28  # u64, changes on every restore and clone; 0 while an image is built without entropy
INFO_ENTROPY: Final = 0x30  # 32 bytes, fresh on every restore and clone
INFO_MEMORY_BYTES: Final = 0x50  # u64, end of usable memory
INFO_CPU_LIMIT_NS: Final = 0x58  # u64, CPU time a request may take
INFO_OUTPUT_LIMIT: Final = 0x60  # u64, body bytes a response may have
INFO_ENTRY: Final = 0x68  # u64, the program's entry point; 0 while a base image is baked
INFO_IN_HEAD: Final = 0x70  # u32, gate in: bytes ever produced, modulo 2^32
INFO_OUT_TAIL: Final = 0x74  # u32, gate out: bytes ever consumed, modulo 2^32
INFO_CONSOLE_TAIL: Final = 0x78  # u32, console: bytes ever consumed, modulo 2^32
INFO_MAX_STREAMS: Final = 0x7C  # u32, requests the VMM has open in the machine at most
INFO_HEAP: Final = 0x80  # u64, first free address after the program
INFO_FILES: Final = 0x88  # u64, address of the read-only files' archive; 0: none
INFO_PHDR: Final = 0x90  # u64, address of the program's ELF program headers; 0: none
INFO_PHNUM: Final = 0x98  # u32, how many there are
INFO_PROGRAM_KIND: Final = 0x9C  # u32, PROGRAM_*
INFO_SECRETS: Final = 0xA0  # u32, secrets that an edge gives, which begin the environment; 0 while an image is built
INFO_DISKS: Final = 0xC0  # u32, disks in the table at DISK_IN_ADDRESS; 0: those pages are not mapped

# Control page: written by the guest. A value read from here is checked before use, every time.
CONTROL_IRQ_ENABLE: Final = 0x00  # u64, 0 or 1
CONTROL_IRQ_MASK: Final = 0x08  # u64
CONTROL_IRQ_HANDLER: Final = 0x10  # u64, address
CONTROL_IN_TAIL: Final = 0x18  # u32, gate in: bytes ever consumed
CONTROL_OUT_HEAD: Final = 0x1C  # u32, gate out: bytes ever produced
CONTROL_CONSOLE_HEAD: Final = 0x20  # u32, console: bytes ever produced
CONTROL_OWES: Final = 0x24  # u32, 0 or 1: work that outlives its request is under way; parking waits a little
CONTROL_SYSCALL: Final = 0x28  # u64, where SYSCALL goes on, RCX and R11 set as processors do; 0: an invalid opcode
CONTROL_UNKNOWN_CALLS: Final = 0x30  # UNKNOWN_CALLS_MAX x {u32 number, u32 count}: Linux calls that the libOS lacks
UNKNOWN_CALLS_MAX: Final = 32  # count 0: unused; the last one stands for all further numbers

# What the program is, in INFO_PROGRAM_KIND.
PROGRAM_NATIVE: Final = 0  # linked for the call table; entered on the boot stack
PROGRAM_LINUX: Final = 1  # a static Linux program; main() runs while baking and calls serve
PROGRAM_CGI: Final = 2  # a static Linux program, entered anew for the one request that its machine serves (RFC 3875)
PROGRAM_RUN: Final = 3  # the same with plain input and output, and the machine ends with it

# The response of PROGRAM_RUN is pieces {u8 channel, u32 size}, then the bytes. A trace is 8 x u64: number, arguments,
# result.
RUN_OUTPUT: Final = 1
RUN_ERROR: Final = 2
RUN_TRACE: Final = 3
RUN_EXIT: Final = 0x100  # added to its exit code, which tells it from the machine's own reasons

# Interrupt bits in INFO_PENDING.
IRQ_GATE: Final = 1 << 0  # records wait in the gate ring to the guest
IRQ_TIMER: Final = 1 << 1  # the timer's deadline has passed
IRQ_DISK: Final = 1 << 2  # completions wait in the disks' ring
IRQ_NIC: Final = 1 << 3  # reserved
IRQ_TIME: Final = 1 << 4  # a request has used up its CPU time; raised for guests with the bit in their mask, see below

# Delivery: when the VMM enters the guest with CONTROL_IRQ_ENABLE 1 and a pending interrupt in CONTROL_IRQ_MASK, it
# writes 0 to CONTROL_IRQ_ENABLE, skips the red zone, pushes RIP, then RFLAGS, and goes on at CONTROL_IRQ_HANDLER: one
# notification per change. The handler drains until INFO_PENDING is clear, enables, and leaves with `popf; ret $128`.
#
# A guest with IRQ_TIME in its mask, enabled or not, has a moment of CPU time more before it ends for having used up a
# request's: to say where it is, and leave with EXIT_NO_TIME. The bit goes when the request is completed after all.
IRQ_RED_ZONE: Final = 128  # bytes below RSP that belong to the interrupted function (System V ABI, section 3.2.2)

# Hypercalls: `out %al, $port`, arguments in RDI and RSI, result in RAX (0 or a negative errno). An engine may go on to
# the end of the basic block before it leaves the guest, so a jump or a return must follow the `out` at once.
PORT_IDLE: Final = 0x10  # RDI: mono_ns to wake at, or IDLE_FOREVER. Returns when an interrupt is pending. RAX is kept.
PORT_READY: Final = 0x11  # RDI: READY_*; the bake ends here; on an edge a no-op
PORT_TIMER: Final = 0x12  # RDI: deadline in ns (0 disarms), RSI: TIMELINE_*; clears IRQ_TIMER
PORT_CLOCK: Final = 0x13  # refreshes the times in the info page
PORT_EXIT: Final = 0x14  # RDI: exit code; ends the machine
PORT_NOTIFY: Final = 0x15  # RDI: NOTIFY_* bits; the VMM drains those rings and returns at once
PORT_SET_FS: Final = 0x16  # RDI: FS base
PORT_DISK: Final = 0x18  # reserved
PORT_NIC: Final = 0x19  # reserved
IDLE_FOREVER: Final = 0xFFFFFFFFFFFFFFFF
READY_DONE: Final = 0  # initialised
READY_RANDOM: Final = 1  # initialised up to its first need of random bytes, which machines have
TIMELINE_PHYSICAL: Final = 0
TIMELINE_VIRTUAL: Final = 1
NOTIFY_GATE: Final = 1 << 0
NOTIFY_CONSOLE: Final = 1 << 1
NOTIFY_DISK: Final = 1 << 2
EXIT_OK: Final = 0
EXIT_NO_MEMORY: Final = 12  # the guest says it ran out of memory: 507 to the client
EXIT_NO_TIME: Final = 14  # the guest has said where it was when IRQ_TIME came: 504 to the client
EXIT_PANIC: Final = 13  # the libOS found itself or the VMM broken

# Gate records: a header of 16 bytes {u32 length, u16 type, u16 flags, u32 stream, u32 zero}, the payload, zero to seven
# bytes up to a multiple of 8. A record never wraps: where the rest of the ring is too short, one PAD record fills it.
# If fewer than 16 bytes are left there is no header: both sides skip them (all positions are multiples of 8, so it is
# 8).
RECORD_HEADER_SIZE: Final = 16
RECORD_ALIGN: Final = 8
RECORD_PAYLOAD_MAX: Final = 0x4000
HEAD_MAX: Final = 0x14000  # bytes of a response's block: 64 KiB of fields and what is around them
RECORD_PAD: Final = 0  # skip it
RECORD_HEAD: Final = 1  # a key-value block, then body bytes
RECORD_BODY: Final = 2  # body bytes
RECORD_RESET: Final = 3  # the stream is aborted; on an exchange, to the guest, the payload says why (UTF-8)
RECORD_CREDIT: Final = 4  # u32: so many more body bytes may be sent on this stream
RECORD_LOG: Final = 5  # from the guest: one line of UTF-8 for the publisher
RECORD_SUBREQUEST: Final = 6  # from the guest: begins an exchange with an upstream; a key-value block
RECORD_SOCKET: Final = 7  # from the guest: {u8 SOCKET_*, bytes}, a piece of what a socket's client is to get
FLAG_END: Final = 1 << 0  # HEAD or BODY: the last of its stream in this direction; SOCKET: the last of its message
FLAG_MORE: Final = 1 << 1  # HEAD from the guest: the block goes on in the next HEAD of the stream
STREAM_WINDOW: Final = 0x10000  # body bytes of a stream that may be under way before the first CREDIT, each direction
MAX_STREAMS: Final = 64  # INFO_MAX_STREAMS is at most this

# Exchanges: requests that the guest makes, to upstreams that its image names. The guest gives each a stream number with
# EXCHANGE_BIT set that is not in use; SUBREQUEST begins it, BODY records carry its body, the last record has FLAG_END.
# The answer comes as HEAD and BODY on the same number; windows and credit are those of a request, with the parts
# changed. Either side ends an exchange early with RESET.
EXCHANGE_BIT: Final = 0x80000000
MAX_EXCHANGES: Final = 16  # at once in a machine

# Sockets: WebSockets of clients, held by the edge. A request that asks for one has NUNATAK_SOCKET among its variables,
# the socket's number; status 101 with FLAG_END takes it. What comes of it then are requests with the method SOCKET, one
# at a time for each socket: NUNATAK_SOCKET says which, NUNATAK_EVENT what, the body is the message. The guest sends
# SOCKET records, the number as their stream, at any time; of one socket no more than STREAM_WINDOW bytes beyond what
# NUNATAK_TAKEN says that the client has taken. A CLOSE's bytes are {u16 code, little-endian, 0 for none; UTF-8}.
SOCKET_TEXT: Final = 1
SOCKET_BINARY: Final = 2
SOCKET_CLOSE: Final = 8
SOCKET_REASON_MAX: Final = 123  # bytes (RFC 6455 section 5.5)

# Key-value block: "name\0value\0" repeated, ended by one empty name "\0"; at most RECORD_PAYLOAD_MAX bytes with its
# terminator, and HEAD_MAX of a response, whose block goes over several HEAD records. To the guest: CGI meta-variables
# (RFC 3875 section 4.1). From the guest: "Status\0200\0" first, then fields; FLAG_END and body bytes may follow in
# the same record. SUBREQUEST: "Method\0GET\0URL\0https://...\0" first, then header fields, no body bytes; its answer's
# HEAD is as a response from the guest, without body bytes.

# Disks: requests in one page from the guest, completions in one page to it, DISK_SLOTS of each; positions count modulo
# 2^32. A request is {u32 id, u16 op, u16 disk, u64 offset, u64 address, u32 length, u32 zero}: its disk is a place in
# the table, its address lies in memory that the guest itself may write (READ) or read (WRITE, APPEND). A completion is
# {u32 id, i32 result}: bytes, or a negative errno. Completions come in any order; at most DISK_SLOTS are under way.
DISK_IN_HEAD: Final = 0x00  # u32, completions ever produced
DISK_OUT_TAIL: Final = 0x04  # u32, requests ever consumed
DISK_TABLE: Final = 0x100  # DISKS_MAX entries {u64 bytes, u32 kind, u32 zero, 48 bytes name, NUL-padded}
DISK_ENTRY_SIZE: Final = 64
DISK_COMPLETIONS: Final = 0x800
DISK_OUT_HEAD: Final = 0x00  # in the guest's page: u32, requests ever produced
DISK_IN_TAIL: Final = 0x04  # in the guest's page: u32, completions ever consumed
DISK_REQUESTS: Final = 0x800
DISK_REQUEST_SIZE: Final = 32
DISK_COMPLETION_SIZE: Final = 8
DISK_SLOTS: Final = 64
DISKS_MAX: Final = 8
DISK_BLOCK_SIZE: Final = 0x10000
DISK_LENGTH_MAX: Final = 0x10000  # bytes of one request
DISK_READ: Final = 1  # any offset and length; short at the end of the disk
DISK_WRITE: Final = 2  # offset and length in whole pages; cow and scratch
DISK_FLUSH: Final = 3  # what was written before is safe when this is complete
DISK_APPEND: Final = 4  # log: one record; offset unused
DISK_SHARED: Final = 1
DISK_COW: Final = 2
DISK_SCRATCH: Final = 3
DISK_LOG: Final = 4
