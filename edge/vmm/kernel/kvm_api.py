"""The kernel's interface to KVM: requests, layouts, and the device; numbers are the kernel's (linux/kvm.h, asm/kvm.h).

What is done with them is the engine's business. A request that is new here must go into `sandbox.KVM_REQUESTS`, or the
engine fails in a worker; a test compares.
"""

import fcntl
import functools
import grp
import os
import stat
import struct
from typing import Final

from vmimage.errors import OperatorError


def _ior(number: int, size: int) -> int:
    return 2 << 30 | size << 16 | 0xAE00 | number


def _iow(number: int, size: int) -> int:
    return 1 << 30 | size << 16 | 0xAE00 | number


def _iowr(number: int, size: int) -> int:
    return 3 << 30 | size << 16 | 0xAE00 | number


API_VERSION: Final = 12
GET_API_VERSION: Final = 0xAE00
CREATE_VM: Final = 0xAE01
CHECK_EXTENSION: Final = 0xAE03
GET_VCPU_MMAP_SIZE: Final = 0xAE04
GET_SUPPORTED_CPUID: Final = _iowr(0x05, 8)
CREATE_VCPU: Final = 0xAE41
SET_TSS_ADDR: Final = 0xAE47
RUN: Final = 0xAE80
SET_USER_MEMORY_REGION: Final = _iow(0x46, 32)
GET_SREGS: Final = _ior(0x83, 312)
SET_CPUID2: Final = _iow(0x90, 8)
SET_MSRS: Final = _iow(0x89, 8)
GET_XSAVE, SET_XSAVE = _ior(0xA4, 4096), _iow(0xA5, 4096)
CAP_SYNC_REGS: Final = 74
CAP_IMMEDIATE_EXIT: Final = 136

# struct kvm_run
RUN_IMMEDIATE_EXIT: Final = 1
RUN_EXIT_REASON: Final = 8
RUN_IO_PORT: Final = 34
RUN_IO_DIRECTION: Final = 32
RUN_VALID_REGS: Final = 288
RUN_DIRTY_REGS: Final = 296
RUN_REGS: Final = 304
# struct kvm_sync_regs from there on: registers, special registers, events; and the bits that stand for them.
RUN_SREGS: Final = RUN_REGS + 144
RUN_EVENTS: Final = RUN_SREGS + 312
RUN_EVENTS_END: Final = RUN_EVENTS + 64
SYNC_REGS, SYNC_SREGS, SYNC_EVENTS = 1, 2, 4
EXIT_IO: Final = 2

# struct kvm_regs: RAX RBX RCX RDX RSI RDI RSP RBP R8..R15 RIP RFLAGS
REGS: Final = struct.Struct("<18Q")
RAX, RBX, RCX, RDX, RSI, RDI, RSP, R11, RIP, RFLAGS = 0, 1, 2, 3, 4, 5, 6, 11, 16, 17

# struct kvm_sregs: CS DS ES FS GS SS TR LDT as struct kvm_segment, then the tables and control registers
SREGS_SIZE: Final = 312
SEGMENT_SIZE: Final = 24
SREGS_FS_BASE: Final = 72
SREGS_GS_BASE: Final = 96
SREGS_GDT: Final = 192
SREGS_IDT: Final = 208
SREGS_CONTROL: Final = 224  # CR0 CR2 CR3 CR4 CR8 EFER
SREGS_CR2: Final = 232

XSAVE_SIZE: Final = 4096
XSAVE_BV: Final = 512

# struct kvm_vcpu_events: nothing is pending, and no instruction is shielded from interrupts; its flag says to set that.
_EVENTS_FLAGS: Final = 20
_EVENT_SHADOW_VALID: Final = 4
NO_EVENTS: Final = bytes(_EVENTS_FLAGS) + struct.pack("<I", _EVENT_SHADOW_VALID) + bytes(64 - _EVENTS_FLAGS - 4)

_CPUID_ENTRY: Final = struct.Struct("<7I12x")  # leaf, subleaf, flags, EAX, EBX, ECX, EDX
_CPUID_ENTRIES: Final = 256  # KVM_MAX_CPUID_ENTRIES
_CPUID_SUBLEAF_COUNTS: Final = 1
_MSR_ENTRY: Final = struct.Struct("<I4xQ")


@functools.cache
def open_kvm() -> int:
    """The KVM device, opened once a process.

    :raises OperatorError: not here, not permitted, or too old; the message says what would fix it.
    """
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OperatorError("/dev/kvm is missing: load kvm_intel or kvm_amd, or enable nested virtualisation") from None
    except PermissionError:
        raise OperatorError(f"/dev/kvm may not be opened by this user: {_who_may()}") from None
    except OSError as error:
        raise OperatorError(f"/dev/kvm cannot be opened: {error.strerror}: run `nunatak doctor`") from None
    try:
        version = fcntl.ioctl(fd, GET_API_VERSION)
        missing = [n for n in (CAP_SYNC_REGS, CAP_IMMEDIATE_EXIT) if not fcntl.ioctl(fd, CHECK_EXTENSION, n)]
    except OSError as error:
        os.close(fd)
        raise OperatorError(f"/dev/kvm does not answer as KVM: {error.strerror}: run `nunatak doctor`") from None
    if version != API_VERSION or missing:
        os.close(fd)
        raise OperatorError(
            f"/dev/kvm: API {API_VERSION} expected, got {version}; capabilities missing: {missing or 'none'}: "
            "run a newer kernel"
        )
    return fd


def _who_may() -> str:
    """What gives a user the right to open the device."""
    found = os.stat("/dev/kvm")
    if not found.st_mode & stat.S_IWGRP or not found.st_gid:
        return f"its mode is {stat.filemode(found.st_mode)}, a group kvm that may read and write it expected"
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:  # of the host, in a container
        group = str(found.st_gid)
    return (
        f"give it the group {group} and start it anew (usermod -aG {group} USER; SupplementaryGroups={group} in a "
        f"systemd unit; --group-add {found.st_gid} for a container)"
    )


def supported_cpuid(device: int) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    """What KVM can give a guest: (leaf, subleaf) -> (EAX, EBX, ECX, EDX).

    :raises OSError: the kernel refuses.
    """
    area = bytearray(struct.pack("<II", _CPUID_ENTRIES, 0) + bytes(_CPUID_ENTRY.size * _CPUID_ENTRIES))
    fcntl.ioctl(device, GET_SUPPORTED_CPUID, area)
    (count,) = struct.unpack_from("<I", area)
    found = {}
    for n in range(count):
        leaf, subleaf, _, *values = _CPUID_ENTRY.unpack_from(area, 8 + n * _CPUID_ENTRY.size)
        found[leaf, subleaf] = (values[0], values[1], values[2], values[3])
    return found


def set_cpuid(cpu: int, leaves: dict[int, tuple[int, int, int, int]], subleaf_0: tuple[int, ...] = ()) -> None:
    """Give a virtual CPU these leaves; those in `subleaf_0` for subleaf 0 only.

    :raises OSError: the kernel refuses.
    """
    entries = b"".join(
        _CPUID_ENTRY.pack(leaf, 0, _CPUID_SUBLEAF_COUNTS if leaf in subleaf_0 else 0, *values)
        for leaf, values in leaves.items()
    )
    fcntl.ioctl(cpu, SET_CPUID2, bytearray(struct.pack("<II", len(leaves), 0) + entries))


def set_msrs(cpu: int, msrs: tuple[tuple[int, int], ...]) -> int:
    """Write model-specific registers in order; how many were taken before one was refused.

    :raises OSError: the kernel refuses the request.
    """
    entries = b"".join(_MSR_ENTRY.pack(index, value) for index, value in msrs)
    return int(fcntl.ioctl(cpu, SET_MSRS, bytearray(struct.pack("<II", len(msrs), 0) + entries)))


def segment(
    selector: int, kind: int, *, long: bool = False, base: int = 0, limit: int = 0xFFFFFFFF, system: bool = False
) -> bytes:
    """struct kvm_segment of ring 3, or of the task state."""
    dpl, descriptor, big = (0, 0, 0) if system else (3, 1, 0 if long else 1)
    return struct.pack(
        "<QIHBBBBBBBBBB", base, limit, selector, kind, 1, dpl, big, descriptor, int(long), int(not system), 0, 0, 0
    )


# struct kvm_segment that cannot be used: its selector is null. FS and GS keep their bases in 64-bit mode all the same.
NO_SEGMENT: Final = struct.pack("<QIHBBBBBBBBBB", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0)


def bases(sregs: bytearray) -> tuple[int, int]:
    """FS and GS of special registers as the kernel gives them."""
    (fs_base,), (gs_base,) = (struct.unpack_from("<Q", sregs, at) for at in (SREGS_FS_BASE, SREGS_GS_BASE))
    return fs_base, gs_base
