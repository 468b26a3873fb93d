"""The fast engine: KVM by ioctl, the guest in ring 3 over the same page tables as on Unicorn.

Ring 0 holds nothing but stubs, one `out` each: the processor reports a fault by running one, and where it left the
guest is in the frame it pushed. That works on bare metal and where ring 0 is emulated by software, and leaves no
supervisor code to attack; `edge.vmm.engines.monitor` has the pages. What the host's KVM does is found out once a
process, by running it: see `facts`.

Rules for callers: `run` from the main thread; `stop` from any. The kernel keeps shadows of the page tables, so entries
may gain A and D bits under a running engine but must not otherwise change: bind another layout to another engine. Ask
`changed` before another image's machine comes.
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
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, Literal, TypeVar

from edge.vmm.engines import kvm_facts, kvm_floats, monitor, system_call
from edge.vmm.engines.engine import HYPERCALLS, SLICE_OVER, EngineFailure, Exit, Fault, Hypercall, cpuid, limited
from edge.vmm.engines.kvm_facts import KvmFacts, set_cpuid, special_registers
from edge.vmm.kernel import kvm_api as kvm
from edge.vmm.kernel.host_selectors import clear_selectors
from edge.vmm.kernel.kvm_api import REGS, RUN_IMMEDIATE_EXIT, RUN_IO_PORT, RUN_REGS
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS, BaseMemory, GuestMemory, PageTemplate
from vmimage import abi
from vmimage.errors import OperatorError
from vmimage.manifest import Region
from vmimage.pages import PageNos
from vmimage.snapshot import RFLAGS_FIXED, RFLAGS_GUEST, Registers

# `Registers` has RAX RCX RDX RBX RSP RBP RSI RDI; see `kvm_api.REGS` for the kernel's order.
_ENCODING: Final = (0, 2, 3, 1, 6, 7, 4, 5, *range(8, 16))
_KERNEL: Final = (0, 3, 1, 2, 6, 7, 4, 5, *range(8, 16))
_in_encoding_order: Final[Callable[[Sequence[int]], tuple[int, ...]]] = itemgetter(*_ENCODING)
_in_kernel_order: Final[Callable[[Sequence[int]], tuple[int, ...]]] = itemgetter(*_KERNEL)

SCRATCH_ADDRESS: Final = 0x5000_0000  # guest-physical, in no slot: three pages that old processors want for real mode
GENERAL_PROTECTION: Final = 13
PAGE_FAULT: Final = 14
KICK: Final = signal.SIGUSR1  # only so that KVM_RUN comes back; see `stop`
PROBE_S: Final = 2.0  # a probe takes some microseconds; one that takes this long has met a KVM that cannot be used

_NO_STUB: Final = EngineFailure("an `out` of the guest's own")

T = TypeVar("T")


@functools.cache
def facts() -> KvmFacts:
    """Find out, once a process, before any guest runs: no guest may decide it.

    :raises OperatorError: KVM cannot be used here; the message says why.
    """
    try:
        offered = kvm.supported_cpuid(kvm.open_kvm()).get((kvm_facts.LEAF_7, 0), (0, 0, 0, 0))
        guards = tuple(name for name, (_, register, bit) in kvm_facts.GUARDS.items() if offered[register] >> bit & 1)
        ring = _probe(KvmFacts(0, guards), b"\x0f\x05", _ring_of)  # syscall
        # xor eax, eax; cpuid; out 0x10, al; jmp .
        ours = _probe(KvmFacts(ring, guards), b"\x31\xc0\x0f\xa2\xe6\x10\xeb\xfe", _whose_cpuid)
    except OSError as error:
        raise OperatorError(f"KVM: {error.strerror}") from error
    return KvmFacts(ring, guards, ours)


def _probe(assumed: KvmFacts, code: bytes, judge: Callable[["KvmEngine", Exit], T]) -> T:
    """Run a few instructions in ring 3 of an engine made for that, and say what came of it."""
    memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
    memory.bind(PageTemplate([Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx")], abi.MEMORY_MIN))
    memory.write(abi.LIBOS_ADDRESS, code)
    engine = KvmEngine(memory, assumed)
    try:
        with limited(engine, PROBE_S):
            engine.load(Registers(rip=abi.LIBOS_ADDRESS))
            return judge(engine, engine.run())
    finally:
        engine.close()


def _ring_of(engine: "KvmEngine", reason: Exit) -> Literal[0, 3]:
    """In ring 0 the call left for the VMM, which found no entry; in ring 3 the stub's page is out of reach."""
    match reason:
        case Fault(vector=6, rip=abi.LIBOS_ADDRESS):
            return 0
        case Fault(vector=14, cr2=system_call.STUB_RING_0_ADDRESS):
            return 3
    raise OperatorError(f"KVM: a SYSCALL that arrives in ring 0 or 3 expected, got {reason}")


def _whose_cpuid(engine: "KvmEngine", reason: Exit) -> bool:
    if reason != Hypercall(abi.PORT_IDLE):
        raise OperatorError(f"KVM: CPUID that is answered expected, got {reason}")
    return engine.cpuid_answers > 0


class KvmEngine:
    """One virtual machine of one virtual CPU, bound to one shell's memory for life."""

    name = "kvm"

    def __init__(self, memory: GuestMemory, known: KvmFacts | None = None) -> None:
        """:param known: what the host does, for those who find it out.
        :raises OperatorError: the kernel refuses.
        """
        self._facts = known or facts()
        self._memory = memory
        self._close_lock = threading.Lock()
        self._runs_in = threading.main_thread().ident or 0
        self._special = special_registers(self._facts.guards)
        self._io_open = False  # the last exit was an `out` that the kernel completes at the next entry
        self._stop_wanted = False
        self.entered = False  # a guest has run: the processor may hold what the page tables said
        self.cpuid_answers = 0
        signal.signal(KICK, _kicked)
        device = kvm.open_kvm()
        try:
            with contextlib.ExitStack() as undo:
                self._vm = fcntl.ioctl(device, kvm.CREATE_VM, 0)
                undo.callback(os.close, self._vm)
                fcntl.ioctl(self._vm, kvm.SET_TSS_ADDR, SCRATCH_ADDRESS)
                self._map(0, 0, memory.memory_bytes, memory.ram_pointer)
                self._map(1, MONITOR_ADDRESS, len(memory.monitor), memory.monitor_pointer)
                self._cpu = fcntl.ioctl(self._vm, kvm.CREATE_VCPU, 0)
                undo.callback(os.close, self._cpu)
                self._run_page = mmap.mmap(self._cpu, fcntl.ioctl(device, kvm.GET_VCPU_MMAP_SIZE), mmap.MAP_SHARED)
                set_cpuid(self._cpu, self._facts)
                monitor.lay(memory, self._facts.ring)
                self._set_msrs()
                undo.pop_all()
        except OSError as error:
            raise OperatorError(f"KVM: {error.strerror}") from error
        self._sregs_known = False  # the run page has them, as they are or will be at the next entry
        self._floats = b""  # what the kernel holds of x87 and SSE, as far as is known
        struct.pack_into("<Q", self._run_page, kvm.RUN_VALID_REGS, kvm.SYNC_REGS)

    def _map(self, slot: int, address: int, size: int, pointer: int) -> None:
        fcntl.ioctl(self._vm, kvm.SET_USER_MEMORY_REGION, struct.pack("<IIQQQ", slot, 0, address, size, pointer))

    def _set_msrs(self) -> None:
        wanted = system_call.msrs(self._facts.ring)
        if kvm.set_msrs(self._cpu, wanted) != len(wanted):
            raise OSError(errno.EINVAL, "MSRs of SYSCALL refused")
        kvm.set_msrs(self._cpu, kvm_facts.CPUID_FAULTING)  # as many as are taken; `facts` knows what came of it

    def run(self) -> Exit:
        """See `Engine.run`."""
        page = self._run_page
        self.entered = True
        self._sregs_known, self._floats = False, b""
        if self._facts.ring == 3:
            clear_selectors()
        while True:  # until there is something for the VMM
            try:
                fcntl.ioctl(self._cpu, kvm.RUN)
            except OSError as error:
                self._io_open = False
                if error.errno not in (errno.EINTR, errno.EAGAIN):
                    return EngineFailure(f"KVM_RUN: {error.strerror}")
                if page[RUN_IMMEDIATE_EXIT]:
                    self._stop_wanted = False
                    page[RUN_IMMEDIATE_EXIT] = 0
                    return SLICE_OVER
                continue  # another signal, or a tick that was not meant for this run
            reason = int.from_bytes(page[kvm.RUN_EXIT_REASON : kvm.RUN_EXIT_REASON + 4], "little")
            self._io_open = reason == kvm.EXIT_IO
            if not self._io_open:
                return EngineFailure(f"KVM exit reason {reason}")
            port = page[RUN_IO_PORT] | page[RUN_IO_PORT + 1] << 8
            if port == monitor.FAULT_PORT or port == system_call.PORT:
                done = self._on_stub(port)
                if done is None:
                    continue
                if done is not _NO_STUB:
                    return done
            if page[kvm.RUN_IO_DIRECTION] == 0:
                return Fault(GENERAL_PROTECTION, 0, self._register(kvm.RIP), 0)  # IN: there is nothing to read
            return HYPERCALLS[port] if port < 256 else Hypercall(port)

    def _register(self, index: int) -> int:
        place = RUN_REGS + 8 * index
        return int.from_bytes(self._run_page[place : place + 8], "little")

    def _on_stub(self, port: int) -> Exit | None:
        """An `out` of a stub, or `_NO_STUB`; `None` when the guest goes on."""
        rip = self._register(kvm.RIP)
        if port == system_call.PORT and system_call.in_stub(rip):
            entry = system_call.entry(self._memory)
            if not entry:
                return self._invalid_call()
            self._go_on_at(entry)
            return None
        vector, rest = divmod(rip - MONITOR_ADDRESS - monitor.STUBS, monitor.STUB_SIZE)
        if port == monitor.FAULT_PORT and 0 <= vector < monitor.VECTORS and rest <= 2:
            return self._fault(vector)
        return _NO_STUB

    def _fault(self, vector: int) -> Exit | None:
        """What the processor pushed tells where the guest was; put it back there, so that `save` sees the guest."""
        self._complete()
        frame = self._take_frame(self._register(kvm.RSP))
        if frame is None:
            return EngineFailure(f"KVM: vector {vector} with a frame of the monitor's expected, got none")
        error_code, rip, cs, rflags, rsp = frame
        if cs & 3 != 3 and not system_call.in_stub(rip):
            return EngineFailure(f"KVM: vector {vector} in ring {cs & 3}")
        sregs = self._sregs()
        words = list(REGS.unpack_from(self._run_page, RUN_REGS))
        words[kvm.RIP], words[kvm.RSP], words[kvm.RFLAGS] = rip, rsp, rflags & RFLAGS_GUEST | RFLAGS_FIXED
        length = kvm_facts.cpuid_length(self._memory, rip) if vector == GENERAL_PROTECTION and error_code == 0 else 0
        if length:
            leaf = words[kvm.RAX] & 0xFFFF_FFFF
            words[kvm.RAX], words[kvm.RBX], words[kvm.RCX], words[kvm.RDX] = cpuid(leaf)
            words[kvm.RIP] = rip + length
            self.cpuid_answers += 1
        if system_call.in_stub(rip):
            system_call.go_back(words)
        self._set(words, *kvm.bases(sregs))
        if length:
            return None
        cr2 = struct.unpack_from("<Q", sregs, kvm.SREGS_CR2)[0] if vector == PAGE_FAULT else 0
        return Fault(vector, (error_code or 0) & 0xFFFF_FFFF, words[kvm.RIP], cr2)

    def _take_frame(self, rsp: int) -> tuple[int | None, int, int, int, int] | None:
        """Error code or `None`, RIP, CS, RFLAGS and RSP from a fault's stack, on which nothing stays."""
        for top in monitor.STACK_TOPS:
            size = top - rsp
            if size in (monitor.FRAME_SIZE, monitor.FRAME_SIZE + 8):
                break
        else:
            return None
        start = rsp - MONITOR_ADDRESS
        *error, rip, cs, rflags, guest_rsp, _ = struct.unpack_from(f"<{size // 8}Q", self._memory.monitor, start)
        self._memory.monitor[start : start + size] = bytes(size)
        return error[0] if error else None, rip, cs, rflags, guest_rsp

    def _invalid_call(self) -> Exit:
        """SYSCALL of a guest that has no entry for it."""
        words = self._words_in_stub()
        system_call.go_back(words)
        self._set(words, *kvm.bases(self._sregs()))
        return Fault(6, 0, words[kvm.RIP], 0)

    def _go_on_at(self, rip: int) -> None:
        """Leave the stub of a SYSCALL for ring 3."""
        words = self._words_in_stub()
        words[kvm.RIP], words[kvm.RFLAGS] = rip, words[kvm.R11] & RFLAGS_GUEST | RFLAGS_FIXED
        self._set(words, *kvm.bases(self._sregs()))

    def _words_in_stub(self) -> list[int]:
        self._complete()
        return list(REGS.unpack_from(self._run_page, RUN_REGS))

    def _complete(self) -> None:
        """Let the kernel finish the `out` of the last exit without running the guest: then all registers are known."""
        if self._io_open:
            self._run_page[RUN_IMMEDIATE_EXIT] = 1
            self._run_page[kvm.RUN_VALID_REGS] = kvm.SYNC_REGS | kvm.SYNC_SREGS
            with contextlib.suppress(InterruptedError):
                fcntl.ioctl(self._cpu, kvm.RUN)
            self._run_page[RUN_IMMEDIATE_EXIT] = 0
            if self._stop_wanted:  # it came meanwhile: the next entry ends at once
                self._run_page[RUN_IMMEDIATE_EXIT] = 1
            self._run_page[kvm.RUN_VALID_REGS] = kvm.SYNC_REGS
            self._sregs_known = True
            self._io_open = False

    def stop(self) -> None:
        """See `Engine.stop`. The flag first, then the signal: a stop that comes just before KVM_RUN ends it at once."""
        with self._close_lock:
            if self._cpu >= 0:
                self._stop_wanted = True
                self._run_page[RUN_IMMEDIATE_EXIT] = 1
                signal.pthread_kill(self._runs_in, KICK)

    def forget_stop(self) -> None:
        """See `Engine.forget_stop`. The signal has no effect but on KVM_RUN: it needs no forgetting."""
        if self._stop_wanted and self._cpu >= 0:
            self._stop_wanted = False
            self._run_page[RUN_IMMEDIATE_EXIT] = 0

    def argument(self, index: int) -> int:
        """See `Engine.argument`."""
        return self._register((kvm.RDI, kvm.RSI)[index])

    def set_result(self, value: int) -> None:
        """See `Engine.set_result`."""
        struct.pack_into("<Q", self._run_page, RUN_REGS + 8 * kvm.RAX, value & 0xFFFF_FFFF_FFFF_FFFF)
        self._run_page[kvm.RUN_DIRTY_REGS] |= kvm.SYNC_REGS

    def set_fs_base(self, address: int) -> None:
        """See `Engine.set_fs_base`."""
        self._complete()
        sregs = self._sregs()
        struct.pack_into("<Q", sregs, kvm.SREGS_FS_BASE, address)
        self._set_sregs(sregs)

    def load(self, registers: Registers) -> None:
        """See `Engine.load`. Everything is written that ring 3 can have changed, not only what the contract has."""
        self._complete()
        gpr = registers.gpr
        words = [*_in_kernel_order(gpr), registers.rip, registers.rflags]
        if self._facts.ring == 3:
            system_call.clear_word(self._memory)
        self._set(words, registers.fs_base, registers.gs_base)
        # An exception that the kernel was about to raise when the last run was stopped is not this machine's.
        self._run_page[kvm.RUN_EVENTS : kvm.RUN_EVENTS_END] = kvm.NO_EVENTS
        self._run_page[kvm.RUN_DIRTY_REGS] |= kvm.SYNC_EVENTS
        if not kvm_floats.holds(self._floats, registers.fxsave):
            area = kvm_floats.area_of(registers.fxsave)
            fcntl.ioctl(self._cpu, kvm.SET_XSAVE, area)
            self._floats = bytes(area[: kvm_floats.KNOWN_SIZE])

    def _sregs(self) -> bytearray:
        if self._sregs_known:
            return bytearray(self._run_page[kvm.RUN_SREGS : kvm.RUN_EVENTS])
        sregs = bytearray(kvm.SREGS_SIZE)
        fcntl.ioctl(self._cpu, kvm.GET_SREGS, sregs)
        return sregs

    # What is written to the run page and marked there the kernel takes at the next entry, before all else.

    def _set(self, words: list[int], fs_base: int, gs_base: int) -> None:
        sregs = bytearray(self._special)
        struct.pack_into("<Q", sregs, kvm.SREGS_FS_BASE, fs_base)
        struct.pack_into("<Q", sregs, kvm.SREGS_GS_BASE, gs_base)
        self._set_sregs(sregs)
        REGS.pack_into(self._run_page, RUN_REGS, *words)
        self._run_page[kvm.RUN_DIRTY_REGS] |= kvm.SYNC_REGS

    def _set_sregs(self, sregs: bytearray) -> None:
        self._run_page[kvm.RUN_SREGS : kvm.RUN_EVENTS] = bytes(sregs)
        self._run_page[kvm.RUN_DIRTY_REGS] |= kvm.SYNC_SREGS
        self._sregs_known = True

    def save(self) -> Registers:
        """See `Engine.save`."""
        self._complete()
        words, sregs, area = list(REGS.unpack_from(self._run_page, RUN_REGS)), self._sregs(), bytearray(kvm.XSAVE_SIZE)
        fcntl.ioctl(self._cpu, kvm.GET_XSAVE, area)
        self._floats = bytes(area[: kvm_floats.KNOWN_SIZE])
        if system_call.in_stub(words[kvm.RIP]):  # stopped there: the call is made again
            system_call.go_back(words)
        return Registers(
            _in_encoding_order(words),
            words[kvm.RIP],
            words[kvm.RFLAGS] & RFLAGS_GUEST | RFLAGS_FIXED,
            *kvm.bases(sregs),
            kvm_floats.contract_of(area),
        )

    def changed(self, template: PageTemplate) -> bool:
        """Whether somebody changed what no guest can: the monitor's pages, or tables that `template` was laid in.

        Then a guest has had ring 0, and nothing in this virtual machine can be trusted any more. Else MSRs are written
        anew, where ring 0 has them: there nobody could see what was done to them.

        :raises OperatorError: the kernel refuses.
        """
        if self._facts.ring == 3:
            system_call.clear_word(self._memory)
        if monitor.changed(self._memory, self._facts.ring, template):
            return True
        if self._facts.ring == 0:
            try:
                self._set_msrs()
            except OSError as error:
                raise OperatorError(f"KVM: {error.strerror}") from error
        return False

    def lay_monitor(self) -> None:
        """Put the monitor's pages right, for engines that come after this one."""
        monitor.lay(self._memory, self._facts.ring)

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


def _kicked(_signal: int, _frame: object) -> None:
    """That it came is all: it ended KVM_RUN."""
