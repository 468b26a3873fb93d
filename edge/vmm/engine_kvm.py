"""The fast engine: KVM by ioctl, the guest in ring 3 over the same page tables as on Unicorn.

Ring 0 holds nothing but the interrupt table's stubs, one `out` each: the processor reports a fault by running a stub,
and where it left the guest is in the frame it pushed. That works on bare metal and where ring 0 is emulated by
software, and leaves no supervisor code to attack. Numbers are the kernel's (virt/kvm/api.rst, linux/kvm.h).

Rules for callers: `run` from the main thread; `stop` from any. The kernel keeps shadows of the page tables, so entries
may gain A and D bits under a running engine but must not otherwise change: bind another layout to another engine.
"""

import contextlib
import errno
import fcntl
import functools
import mmap
import os
import signal
import struct
import threading
from typing import Final

from edge.vmm import memory as layout
from edge.vmm import system_call
from edge.vmm.engine import CPUID, HYPERCALLS, SLICE_OVER, EngineFailure, Exit, Fault, Hypercall
from edge.vmm.memory import MONITOR_ADDRESS, GuestMemory
from vmimage.errors import OperatorError
from vmimage.pages import PageNos
from vmimage.snapshot import FXSAVE_SIZE, RFLAGS_FIXED, RFLAGS_GUEST, Registers


def _ior(number: int, size: int) -> int:
    return 2 << 30 | size << 16 | 0xAE00 | number


def _iow(number: int, size: int) -> int:
    return 1 << 30 | size << 16 | 0xAE00 | number


API_VERSION: Final = 12
GET_API_VERSION: Final = 0xAE00
CREATE_VM: Final = 0xAE01
CHECK_EXTENSION: Final = 0xAE03
GET_VCPU_MMAP_SIZE: Final = 0xAE04
CREATE_VCPU: Final = 0xAE41
SET_TSS_ADDR: Final = 0xAE47
RUN: Final = 0xAE80
SET_USER_MEMORY_REGION: Final = _iow(0x46, 32)
GET_REGS, SET_REGS = _ior(0x81, 144), _iow(0x82, 144)
GET_SREGS, SET_SREGS = _ior(0x83, 312), _iow(0x84, 312)
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
SYNC_REGS: Final = 1
EXIT_IO: Final = 2
EXIT_HLT: Final = 5
EXIT_INTR: Final = 10

_REGS: Final = struct.Struct("<18Q")
# struct kvm_regs is RAX RBX RCX RDX RSI RDI RSP RBP R8..R15 RIP RFLAGS; `Registers` RAX RCX RDX RBX RSP RBP RSI RDI.
_ENCODING: Final = (0, 2, 3, 1, 6, 7, 4, 5, *range(8, 16))
_KERNEL: Final = (0, 3, 1, 2, 6, 7, 4, 5, *range(8, 16))
_RAX, _RCX, _RSI, _RDI, _RSP, _R11, _RIP, _RFLAGS = 0, 2, 4, 5, 6, 11, 16, 17
_SREGS_SIZE: Final = 312
_SREGS_FS_BASE: Final = 72
_SREGS_GS_BASE: Final = 96
_SREGS_CR2: Final = 232
_SREGS_CS: Final = 12  # its selector
_XSAVE_BV: Final = 512
_ADDRESS: Final = (1 << 47) - 1

# Monitor pages beside those of `memory`: offsets.
IDT: Final = 0x6000
TSS: Final = 0x7000
STUBS: Final = 0x8000
STUB_SIZE: Final = 16
STACK_TOP: Final = 0xA000
SCRATCH_ADDRESS: Final = 0x5000_0000  # guest-physical, in no slot: three pages that old processors want for real mode
TSS_SELECTOR: Final = 0x30
VECTORS: Final = 256
FAULT_PORT: Final = 0x20
FRAME_SIZE: Final = 40  # RIP CS RFLAGS RSP SS; 48 with an error code
PAGE_FAULT: Final = 14
KICK: Final = signal.SIGUSR1  # only so that KVM_RUN comes back; see `stop`


@functools.cache
def open_kvm() -> int:
    """The KVM device, opened once a process.

    :raises OperatorError: not here, not permitted, or too old; the message says what would mend it.
    """
    try:
        fd = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise OperatorError("/dev/kvm is missing: load kvm_intel or kvm_amd, or enable nested virtualisation") from None
    except PermissionError:
        raise OperatorError("/dev/kvm may not be opened: add this user to the group that owns it") from None
    except OSError as error:
        raise OperatorError(f"/dev/kvm cannot be opened: {error.strerror}") from None
    version = fcntl.ioctl(fd, GET_API_VERSION)
    missing = [n for n in (CAP_SYNC_REGS, CAP_IMMEDIATE_EXIT) if not fcntl.ioctl(fd, CHECK_EXTENSION, n)]
    if version != API_VERSION or missing:
        raise OperatorError(
            f"/dev/kvm: API {API_VERSION} expected, got {version}; capabilities missing: {missing or 'none'}"
        )
    return fd


def _segment(
    selector: int, kind: int, *, long: bool, base: int = 0, limit: int = 0xFFFFFFFF, system: bool = False
) -> bytes:
    """struct kvm_segment of ring 3, or of the task state."""
    dpl, descriptor, big = (0, 0, 0) if system else (3, 1, 0 if long else 1)
    return struct.pack(
        "<QIHBBBBBBBBBB", base, limit, selector, kind, 1, dpl, big, descriptor, int(long), int(not system), 0, 0, 0
    )


def _special_registers() -> bytes:
    """struct kvm_sregs of every machine, with FS and GS at 0."""
    at = MONITOR_ADDRESS
    data = _segment(layout.DATA_SELECTOR, 3, long=False)
    area = bytearray(_SREGS_SIZE)
    area[:24] = _segment(layout.CODE_SELECTOR, 11, long=True)
    area[24:144] = data * 5  # DS ES FS GS SS
    area[144:168] = _segment(TSS_SELECTOR, 11, long=False, base=at + TSS, limit=0x67, system=True)
    struct.pack_into("<QH", area, 192, at + layout.GDT, 0x3F)
    struct.pack_into("<QH", area, 208, at + IDT, VECTORS * 16 - 1)
    control = (layout.CR0, 0, at + layout.PML4, layout.CR4, 0, layout.EFER)  # CR0 CR2 CR3 CR4 CR8 EFER
    struct.pack_into("<6Q", area, 224, *control)
    return bytes(area)


_SREGS: Final = _special_registers()


def _before_call(words: list[int]) -> int:
    """Where the SYSCALL is that led into its stub; a guest that jumped there may have anything in RCX."""
    return words[_RCX] - system_call.SIZE & _ADDRESS


class KvmEngine:
    """One virtual machine of one virtual CPU, bound to one shell's memory for life."""

    name = "kvm"
    _calls_land_in_ring_3: bool | None = None  # on this host; known with the first engine

    def __init__(self, memory: GuestMemory) -> None:
        """:raises OperatorError: the kernel refuses."""
        self._memory = memory
        self._close_lock = threading.Lock()
        self._thread = threading.main_thread().ident or 0
        self._io_open = False  # the last exit was an `out` that the kernel completes at the next entry
        self.entered = False  # a guest has run: the processor may hold what the page tables said
        signal.signal(KICK, lambda *_: None)
        device = open_kvm()
        try:
            with contextlib.ExitStack() as undo:
                self._vm = fcntl.ioctl(device, CREATE_VM, 0)
                undo.callback(os.close, self._vm)
                fcntl.ioctl(self._vm, SET_TSS_ADDR, SCRATCH_ADDRESS)
                self._map(0, 0, memory.memory_bytes, memory.ram_pointer)
                self._map(1, MONITOR_ADDRESS, len(memory.monitor), memory.monitor_pointer)
                self._cpu = fcntl.ioctl(self._vm, CREATE_VCPU, 0)
                undo.callback(os.close, self._cpu)
                self._run_page = mmap.mmap(self._cpu, fcntl.ioctl(device, GET_VCPU_MMAP_SIZE), mmap.MAP_SHARED)
                self._set_cpuid()
                self._write_monitor()
                self._set_msrs()
                undo.pop_all()
        except OSError as error:
            raise OperatorError(f"KVM: {error.strerror}") from error
        struct.pack_into("<Q", self._run_page, RUN_VALID_REGS, SYNC_REGS)
        if KvmEngine._calls_land_in_ring_3 is None:
            KvmEngine._calls_land_in_ring_3 = self._probe_calls()
        system_call.write_stub(memory, ring_3=KvmEngine._calls_land_in_ring_3)

    def _probe_calls(self) -> bool:
        """Whether SYSCALL arrives at its stub in ring 3. Asked before any guest has run."""
        self.entered = True
        self.load(Registers(rip=system_call.STUB_ADDRESS + system_call.PROBE))
        fcntl.ioctl(self._cpu, RUN)
        sregs = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self._cpu, GET_SREGS, sregs)
        self._io_open = True
        (selector,) = struct.unpack_from("<H", sregs, _SREGS_CS)
        return bool(selector & 3 == 3)

    def _map(self, slot: int, address: int, size: int, pointer: int) -> None:
        fcntl.ioctl(self._vm, SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", slot, 0, address, size, pointer))

    def _set_cpuid(self) -> None:
        entries = b"".join(struct.pack("<7I12x", leaf, 0, 0, *values) for leaf, values in CPUID.items())
        fcntl.ioctl(self._cpu, SET_CPUID2, bytearray(struct.pack("<II", len(CPUID), 0) + entries))

    def _set_msrs(self) -> None:
        entries = b"".join(struct.pack("<IIQ", index, 0, value) for index, value in system_call.MSRS)
        request = bytearray(struct.pack("<II", len(system_call.MSRS), 0) + entries)
        if fcntl.ioctl(self._cpu, SET_MSRS, request) != len(system_call.MSRS):
            raise OSError(errno.EINVAL, "MSRs of SYSCALL refused")

    def _write_monitor(self) -> None:
        """Task state, interrupt table and stubs: any of 256 vectors ends in one `out` with its number told by RIP."""
        page, at = self._memory.monitor, MONITOR_ADDRESS
        system_call.map_stub(self._memory)
        tss = at + TSS
        descriptor = 0x67 | (tss & 0xFFFFFF) << 16 | 0x8B << 40 | (tss >> 24 & 0xFF) << 56
        struct.pack_into("<QQ", page, layout.GDT + TSS_SELECTOR, descriptor, tss >> 32)
        struct.pack_into("<Q", page, TSS + 4, at + STACK_TOP)
        for vector in range(VECTORS):
            stub = at + STUBS + vector * STUB_SIZE
            # Interrupt gates that ring 3 may call: `int n` then looks as it does on Unicorn.
            gate = (stub & 0xFFFF, 8, 0, 0xEE, stub >> 16 & 0xFFFF, stub >> 32, 0)
            struct.pack_into("<HHBBHII", page, IDT + 16 * vector, *gate)
            page[stub - at : stub - at + 3] = bytes((0xE6, FAULT_PORT, 0xF4))  # out; hlt

    def run(self) -> Exit:
        """See `Engine.run`."""
        page = self._run_page
        self.entered = True
        while True:  # until there is something for the VMM
            try:
                fcntl.ioctl(self._cpu, RUN)
            except OSError as error:
                self._io_open = False
                if error.errno not in (errno.EINTR, errno.EAGAIN):
                    return EngineFailure(f"KVM_RUN: {error.strerror}")
                if page[RUN_IMMEDIATE_EXIT]:
                    page[RUN_IMMEDIATE_EXIT] = 0
                    return SLICE_OVER
                continue  # another signal, or a tick that was not meant for this run
            self._io_open = True
            if page[RUN_IO_PORT] == system_call.PORT and system_call.in_stub(self._register(_RIP)):
                entry = system_call.entry(self._memory)
                if not entry:
                    return self._invalid_call()
                self._go_on_at(entry)
                continue
            break
        reason = int.from_bytes(page[RUN_EXIT_REASON : RUN_EXIT_REASON + 4], "little")
        if reason != EXIT_IO:
            self._io_open = False
            return EngineFailure(f"KVM exit reason {reason}")
        port = page[RUN_IO_PORT] | page[RUN_IO_PORT + 1] << 8
        if port == FAULT_PORT:
            rip = self._register(_RIP)
            if MONITOR_ADDRESS <= rip < MONITOR_ADDRESS + STACK_TOP:
                return self._fault((rip - MONITOR_ADDRESS - STUBS) // STUB_SIZE)
        if page[RUN_IO_DIRECTION] == 0:
            return Fault(13, 0, self._register(_RIP), 0)  # IN: there is nothing to read
        return HYPERCALLS[port] if port < 256 else Hypercall(port)

    def _register(self, index: int) -> int:
        place = RUN_REGS + 8 * index
        return int.from_bytes(self._run_page[place : place + 8], "little")

    def _fault(self, vector: int) -> Exit:
        """What the processor pushed tells where the guest was; put it back there, so that `save` sees the guest."""
        self._complete()
        stack = self._register(_RSP) - MONITOR_ADDRESS
        error_code = 0
        if stack == STACK_TOP - FRAME_SIZE - 8:
            (error_code,) = struct.unpack_from("<Q", self._memory.monitor, stack)
        elif stack != STACK_TOP - FRAME_SIZE:
            return EngineFailure(f"KVM: a fault frame expected, got a stack at {stack:#x}")
        rip, _, rflags, rsp, _ = struct.unpack_from("<5Q", self._memory.monitor, STACK_TOP - FRAME_SIZE)
        sregs = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self._cpu, GET_SREGS, sregs)
        cr2 = struct.unpack_from("<Q", sregs, _SREGS_CR2)[0] if vector == PAGE_FAULT else 0
        words = list(_REGS.unpack_from(self._run_page, RUN_REGS))
        words[_RIP], words[_RSP], words[_RFLAGS] = rip, rsp, rflags & RFLAGS_GUEST | RFLAGS_FIXED
        if system_call.in_stub(rip):
            rip = words[_RIP] = _before_call(words)
        (fs_base,), (gs_base,) = (struct.unpack_from("<Q", sregs, at) for at in (_SREGS_FS_BASE, _SREGS_GS_BASE))
        self._set(words, fs_base, gs_base)
        return Fault(vector, error_code & 0xFFFF_FFFF, rip, cr2)

    def _invalid_call(self) -> Exit:
        """SYSCALL of a guest that has no entry for it."""
        rip = _before_call(list(_REGS.unpack_from(self._run_page, RUN_REGS)))
        self._go_on_at(rip)
        return Fault(6, 0, rip, 0)

    def _go_on_at(self, rip: int) -> None:
        """Leave the stub of a SYSCALL for ring 3."""
        self._complete()
        words = list(_REGS.unpack_from(self._run_page, RUN_REGS))
        sregs = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self._cpu, GET_SREGS, sregs)
        words[_RIP], words[_RFLAGS] = rip, words[_R11] & RFLAGS_GUEST | RFLAGS_FIXED
        (fs_base,), (gs_base,) = (struct.unpack_from("<Q", sregs, at) for at in (_SREGS_FS_BASE, _SREGS_GS_BASE))
        self._set(words, fs_base, gs_base)

    def _complete(self) -> None:
        """Let the kernel finish the `out` of the last exit without running the guest: then registers are whole."""
        if self._io_open:
            self._run_page[RUN_IMMEDIATE_EXIT] = 1
            with contextlib.suppress(InterruptedError):
                fcntl.ioctl(self._cpu, RUN)
            self._run_page[RUN_IMMEDIATE_EXIT] = 0
            self._io_open = False

    def stop(self) -> None:
        """See `Engine.stop`. The flag first, then the signal: a stop that comes just before KVM_RUN ends it at once."""
        with self._close_lock:
            if self._cpu >= 0:
                self._run_page[RUN_IMMEDIATE_EXIT] = 1
                signal.pthread_kill(self._thread, KICK)

    def argument(self, index: int) -> int:
        """See `Engine.argument`."""
        return self._register((_RDI, _RSI)[index])

    def set_result(self, value: int) -> None:
        """See `Engine.set_result`."""
        struct.pack_into("<Q", self._run_page, RUN_REGS + 8 * _RAX, value & 0xFFFF_FFFF_FFFF_FFFF)
        struct.pack_into("<Q", self._run_page, RUN_DIRTY_REGS, SYNC_REGS)

    def set_fs_base(self, address: int) -> None:
        """See `Engine.set_fs_base`."""
        self._complete()
        sregs = bytearray(_SREGS_SIZE)
        fcntl.ioctl(self._cpu, GET_SREGS, sregs)
        struct.pack_into("<Q", sregs, _SREGS_FS_BASE, address)
        fcntl.ioctl(self._cpu, SET_SREGS, bytes(sregs))

    def load(self, registers: Registers) -> None:
        """See `Engine.load`."""
        self._complete()
        gpr = registers.gpr
        words = [*(gpr[n] for n in _KERNEL), registers.rip, registers.rflags]
        self._set(words, registers.fs_base, registers.gs_base)
        # Only x87 and SSE are present, so whatever else a guest may have reached is put to its initial state.
        area = bytearray(4096)
        area[:FXSAVE_SIZE] = registers.fxsave
        area[_XSAVE_BV] = 3
        fcntl.ioctl(self._cpu, SET_XSAVE, area)

    def _set(self, words: list[int], fs_base: int, gs_base: int) -> None:
        sregs = bytearray(_SREGS)
        struct.pack_into("<Q", sregs, _SREGS_FS_BASE, fs_base)
        struct.pack_into("<Q", sregs, _SREGS_GS_BASE, gs_base)
        fcntl.ioctl(self._cpu, SET_SREGS, bytes(sregs))
        _REGS.pack_into(self._run_page, RUN_REGS, *words)
        struct.pack_into("<Q", self._run_page, RUN_DIRTY_REGS, 0)
        fcntl.ioctl(self._cpu, SET_REGS, _REGS.pack(*words))

    def save(self) -> Registers:
        """See `Engine.save`."""
        dirty = self._run_page[RUN_DIRTY_REGS]
        if dirty and not self._io_open:
            fcntl.ioctl(self._cpu, SET_REGS, self._run_page[RUN_REGS : RUN_REGS + _REGS.size])
        self._complete()
        regs, sregs, area = bytearray(_REGS.size), bytearray(_SREGS_SIZE), bytearray(4096)
        fcntl.ioctl(self._cpu, GET_REGS, regs)
        fcntl.ioctl(self._cpu, GET_SREGS, sregs)
        fcntl.ioctl(self._cpu, GET_XSAVE, area)
        words = list(_REGS.unpack(regs))
        if system_call.in_stub(words[_RIP]):  # stopped there: the call is made again
            words[_RIP] = _before_call(words)
        fxsave = area[:FXSAVE_SIZE]
        fxsave[6:24] = bytes(18)  # last instruction and operand: not part of the contract
        struct.pack_into("<I", fxsave, 28, 0xFFFF)
        fxsave[416:] = bytes(FXSAVE_SIZE - 416)
        return Registers(
            tuple(words[n] for n in _ENCODING),
            words[_RIP],
            words[_RFLAGS] & RFLAGS_GUEST | RFLAGS_FIXED,
            struct.unpack_from("<Q", sregs, _SREGS_FS_BASE)[0],
            struct.unpack_from("<Q", sregs, _SREGS_GS_BASE)[0],
            bytes(fxsave),
        )

    def flush_tables(self) -> None:
        """See `Engine.flush_tables`. The kernel cannot be told: once `entered`, end this engine and make another."""
        if self.entered:
            raise ValueError("page tables changed under a KVM engine that has run")

    def flush_code(self, page_nos: PageNos) -> None:
        """See `Engine.flush_code`: the processor sees code as it is."""

    def close(self) -> None:
        """See `Engine.close`."""
        with self._close_lock:
            if self._cpu >= 0:
                self._run_page.close()
                os.close(self._cpu)
                os.close(self._vm)
                self._cpu = self._vm = -1
