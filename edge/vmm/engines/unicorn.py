"""The portable engine: Unicorn (QEMU's TCG) in ring 3 over the VMM's own page tables.

It is portability, not a security boundary: the worker's sandbox is the boundary. Real paging is on and every data
page is no-execute, else each store takes the slow path; ring 3 is entered once with `iretq`, after which privileged
instructions raise #GP; there are no memory or code hooks, no `count=`, no `timeout=`: each turns the fast path off.

Rules for callers: `run` from one thread; `stop` from any. After changing page tables or code say so.
"""

import ctypes
import struct
import threading
from typing import Final

import numpy as np
from unicorn import UC_ARCH_X86, UC_HOOK_INSN, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_MODE_64, Uc, UcError
from unicorn import unicorn_const as uc_const
from unicorn import x86_const as x86

from edge.vmm.engines import system_call, unicorn_aborts
from edge.vmm.engines.engine import HYPERCALLS, SLICE_OVER, EngineFailure, Exit, Fault, Hypercall, cpuid
from edge.vmm.engines.unicorn_registers import CpuState, RegisterBank
from edge.vmm.engines.unicorn_stops import stop_between_blocks
from edge.vmm.memory import guest_memory as layout
from edge.vmm.memory.guest_memory import MONITOR_ADDRESS, GuestMemory
from vmimage import abi
from vmimage.pages import PageNos
from vmimage.snapshot import RFLAGS_FIXED, RFLAGS_GUEST, Registers

# Now: a worker in its sandbox can no longer read the library.
unicorn_aborts.contain()

TCG_BUFFER_BYTES: Final = 8 << 20  # the default reserves 1 GiB of address space and takes 5 ms to set up
EFER_MSR: Final = 0xC000_0080
INVALID_OPCODE: Final = 6
GENERAL_PROTECTION: Final = 13
PAGE_FAULT: Final = 14
# Page-fault error code bits (Intel SDM volume 3, section 4.7).
PF_PRESENT: Final = 1
PF_WRITE: Final = 2
PF_USER: Final = 4
PF_FETCH: Final = 16
# A fault raised while Unicorn still remembers an undelivered one comes as vector 8.
DOUBLE_FAULT: Final = 8

# What the VMM wants of every exit: where to go on, and a hypercall's arguments.
_AFTER_EXIT: Final = (x86.UC_X86_REG_RIP, x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI)
_AFTER_EXIT_SLOTS: Final = struct.Struct("<Q8xQ8xQ8x")

# What SYSCALL reads and writes.
_BEFORE_CALL: Final = (x86.UC_X86_REG_RIP, x86.UC_X86_REG_RFLAGS)
_BEFORE_CALL_SLOTS: Final = struct.Struct("<Q8xQ8x")
_INTO_CALL: Final = (x86.UC_X86_REG_RCX, x86.UC_X86_REG_R11, x86.UC_X86_REG_RIP)
_INTO_CALL_SLOTS: Final = struct.Struct("<Q8xQ8xQ8x")


class UnicornEngine:
    """One Unicorn instance bound to one shell's memory for life."""

    __deletable__ = ("_clean", "_memory")  # for mypyc: see `close`
    name = "unicorn"

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory
        self._exit: Exit | None = None
        self._rip = 0
        self._arguments = [0, 0]
        self._close_lock = threading.Lock()
        uc = self._uc = Uc(UC_ARCH_X86, UC_MODE_64)
        uc.ctl_set_cpu_model(x86.UC_CPU_X86_NEHALEM)
        uc.ctl_set_tcg_buffer_size(TCG_BUFFER_BYTES)
        uc.mem_map_ptr(0, memory.memory_bytes, uc_const.UC_PROT_ALL, ctypes.c_void_p(memory.ram_pointer))
        stop_between_blocks(uc)
        monitor = ctypes.c_void_p(memory.monitor_pointer)
        uc.mem_map_ptr(MONITOR_ADDRESS, len(memory.monitor), uc_const.UC_PROT_ALL, monitor)
        self._enter_ring_3()
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(UC_HOOK_INSN_INVALID, self._on_invalid)
        # While a stop is pending Unicorn asks only the first hook whose range holds the instruction, whatever kind of
        # instruction it is for: programs' SYSCALL comes first in their range, and `out` in the libOS's, where SYSCALL
        # has no hook and does nothing.
        program, everywhere = (abi.PROGRAM_ADDRESS, abi.MEMORY_MAX), (1, 0)
        uc.hook_add(UC_HOOK_INSN, self._on_syscall, None, *program, x86.UC_X86_INS_SYSCALL)
        uc.hook_add(UC_HOOK_INSN, self._on_out, None, *everywhere, x86.UC_X86_INS_OUT)
        uc.hook_add(UC_HOOK_INSN, self._on_in, None, 1, 0, x86.UC_X86_INS_IN)
        uc.hook_add(UC_HOOK_INSN, self._on_cpuid, None, 1, 0, x86.UC_X86_INS_CPUID)
        uc.hook_add(UC_HOOK_INSN, self._on_invalid, None, 1, 0, x86.UC_X86_INS_SYSENTER)
        self._clean = uc.context_save()  # restored before every load
        self._cpu = CpuState(uc)
        self._after_exit = RegisterBank(uc, _AFTER_EXIT)
        self._before_call = RegisterBank(uc, _BEFORE_CALL)
        self._into_call = RegisterBank(uc, _INTO_CALL)
        self._stopping = False
        self._goes_on_at = 0  # where a run continues that was stopped in a SYSCALL

    def _enter_ring_3(self) -> None:
        """Run one `iretq` in ring 0. Writing CS would leave the privilege level at 0."""
        uc, memory = self._uc, self._memory
        target = abi.LIBOS_ADDRESS + abi.PAGE_SIZE // 2  # `until` must lie in a page the guest could execute
        page = abi.LIBOS_ADDRESS // abi.PAGE_SIZE
        entry = memory.entries[page]
        memory.entries[page] = abi.LIBOS_ADDRESS | layout.PRESENT | layout.USER
        frame = (target, layout.CODE_SELECTOR, RFLAGS_FIXED, abi.STACK_ADDRESS, layout.DATA_SELECTOR)
        struct.pack_into("<5Q", memory.monitor, layout.ENTRY_FRAME, *frame)
        memory.monitor[layout.ENTRY_STUB : layout.ENTRY_STUB + 2] = b"\x48\xcf"  # iretq
        uc.reg_write(x86.UC_X86_REG_GDTR, (0, MONITOR_ADDRESS + layout.GDT, 0x2F, 0))
        uc.reg_write(x86.UC_X86_REG_CR4, layout.CR4)
        uc.reg_write(x86.UC_X86_REG_CR3, MONITOR_ADDRESS + layout.PML4)
        uc.msr_write(EFER_MSR, layout.EFER)
        uc.reg_write(x86.UC_X86_REG_CR0, layout.CR0)
        uc.reg_write(x86.UC_X86_REG_RSP, MONITOR_ADDRESS + layout.ENTRY_FRAME)
        uc.emu_start(MONITOR_ADDRESS + layout.ENTRY_STUB, target)
        if uc.reg_read(x86.UC_X86_REG_CS) & 3 != 3 or uc.reg_read(x86.UC_X86_REG_RIP) != target:
            raise RuntimeError("unicorn did not enter ring 3")
        memory.entries[page] = entry
        self.flush_tables()

    # Exits. Unicorn stops at the end of the basic block it is in, so a block can raise several: the first one counts,
    # and what made a later one happens again when the guest goes on.

    def _leave(self, reason: Exit) -> None:
        if self._exit is None:
            self._exit = reason
        self._uc.emu_stop()

    def _on_out(self, uc: Uc, port: int, size: int, value: int, data: object) -> None:
        self._leave(HYPERCALLS[port] if port < 256 else Hypercall(port))

    def _on_in(self, uc: Uc, port: int, size: int, data: object) -> int:
        self._leave(Fault(GENERAL_PROTECTION, 0, uc.reg_read(x86.UC_X86_REG_RIP), 0))  # there is nothing to read
        return 0

    def _on_cpuid(self, uc: Uc, data: object) -> int:
        leaf = uc.reg_read(x86.UC_X86_REG_EAX)
        values = cpuid(leaf)
        registers = (x86.UC_X86_REG_RAX, x86.UC_X86_REG_RBX, x86.UC_X86_REG_RCX, x86.UC_X86_REG_RDX)
        uc.reg_write_batch(list(zip(registers, values, strict=True)))
        return 1  # do not execute Unicorn's own

    def _on_interrupt(self, uc: Uc, vector: int, data: object) -> None:
        rip = uc.reg_read(x86.UC_X86_REG_RIP)
        cr2 = uc.reg_read(x86.UC_X86_REG_CR2) if vector in (PAGE_FAULT, DOUBLE_FAULT) else 0
        self._leave(Fault(vector, self._page_fault_code(rip, cr2) if vector == PAGE_FAULT else 0, rip, cr2))

    def _page_fault_code(self, rip: int, cr2: int) -> int:
        """The error code a CPU would push; Unicorn keeps it. A present page was no good for a write or a fetch."""
        fetch = PF_FETCH if cr2 // abi.PAGE_SIZE == rip // abi.PAGE_SIZE else 0
        page = cr2 // abi.PAGE_SIZE
        present = page < len(self._memory.entries) and int(self._memory.entries[page]) & layout.PRESENT
        return PF_USER | fetch | (PF_PRESENT | (0 if fetch else PF_WRITE) if present else 0)

    def _on_invalid(self, uc: Uc, data: object) -> bool:
        self._leave(Fault(INVALID_OPCODE, 0, uc.reg_read(x86.UC_X86_REG_RIP), 0))
        return False

    def _on_syscall(self, uc: Uc, data: object) -> None:
        """Go on at the guest's own entry without leaving it. Writing RIP drops a stop that came in the meantime."""
        entry = system_call.entry(self._memory)
        if not entry:
            self._on_invalid(uc, data)
            return
        self._before_call.read()
        rip, rflags = _BEFORE_CALL_SLOTS.unpack(self._before_call.buffer)
        after, flags = rip + system_call.SIZE, rflags & RFLAGS_GUEST | RFLAGS_FIXED
        if self._stopping:
            uc.reg_write_batch([(x86.UC_X86_REG_RCX, after), (x86.UC_X86_REG_R11, flags)])
            self._goes_on_at = entry
            uc.emu_stop()
            return
        _INTO_CALL_SLOTS.pack_into(
            self._into_call.buffer, 0, after, flags, entry - system_call.SIZE
        )  # it adds its length
        self._into_call.write()

    def _enter(self) -> None:
        """Nothing has happened yet. In `run` itself, types would have it that nothing ever does."""
        self._exit = None
        self._stopping = False

    def run(self) -> Exit:
        """See `Engine.run`."""
        self._enter()
        try:
            self._uc.emu_start(self._rip, 0)
        except UcError as error:
            if unicorn_aborts.happened():
                rip = self._uc.reg_read(x86.UC_X86_REG_RIP)
                return EngineFailure(f"unicorn: instructions that it can translate expected at or soon after {rip:#x}")
            if self._exit is None:
                return EngineFailure(f"unicorn: {error}")
        self._after_exit.read()
        self._rip, *self._arguments = _AFTER_EXIT_SLOTS.unpack(self._after_exit.buffer)
        if self._goes_on_at:
            self._rip, self._goes_on_at = self._goes_on_at, 0
            self._uc.reg_write(x86.UC_X86_REG_RIP, self._rip)
        return SLICE_OVER if self._exit is None else self._exit

    def stop(self) -> None:
        """See `Engine.stop`."""
        with self._close_lock:
            if self._uc is not None:
                self._stopping = True
                self._uc.emu_stop()

    def forget_stop(self) -> None:
        """See `Engine.forget_stop`: each `run` begins without one."""

    def argument(self, index: int) -> int:
        """See `Engine.argument`."""
        return self._arguments[index]

    def set_result(self, value: int) -> None:
        """See `Engine.set_result`."""
        self._uc.reg_write(x86.UC_X86_REG_RAX, value & 0xFFFF_FFFF_FFFF_FFFF)

    def set_fs_base(self, address: int) -> None:
        """See `Engine.set_fs_base`."""
        self._uc.reg_write(x86.UC_X86_REG_FS_BASE, address)

    def load(self, registers: Registers) -> None:
        """See `Engine.load`."""
        # First all that a guest can leave and a record does not hold: segment selectors, x87 pointers and opcode, CR2;
        # and a fault that Unicorn remembers as never delivered. 0.5 µs.
        self._uc.context_restore(self._clean)
        self._cpu.load(registers)
        self._rip = registers.rip

    def save(self) -> Registers:
        """See `Engine.save`."""
        return self._cpu.save()

    def flush_tables(self) -> None:
        """See `Engine.flush_tables`."""
        self._uc.ctl(uc_const.UC_CTL_TLB_FLUSH, uc_const.UC_CTL_IO_WRITE)

    def flush_code(self, page_nos: PageNos) -> None:
        """See `Engine.flush_code`.

        Unicorn finds what to forget by translating the address, so it can forget a single page only while that page is
        executable; what another image has as data would stay translated for a third that has code there.
        """
        entries = self._memory.entries[page_nos]
        executable = entries & np.uint64(layout.PRESENT | layout.NO_EXECUTE) == np.uint64(layout.PRESENT)
        if not executable.all():
            self._uc.ctl_flush_tb()
            return
        for page in page_nos.tolist():
            self._uc.ctl_remove_cache(page * abi.PAGE_SIZE, (page + 1) * abi.PAGE_SIZE)

    def close(self) -> None:
        """See `Engine.close`."""
        with self._close_lock:
            uc, self._uc = self._uc, None
            if uc is None:
                return
            # ctypes holds hooks in a circle, and these the instance and this engine: nothing large may hang on them, or
            # some 3 MiB of a shell wait for a collection of garbage.
            del self._memory, self._clean
            Uc.release_handle(uc._uch)
            uc._uch.value = None  # the instance's own finalizer finds nothing to do
