"""Which engine a machine belongs on: short work where exits are cheap, long work where instructions are.

Both engines are calibrated when a worker starts, so nothing assumes what an exit costs on this host. From then on every
run is a sample: CPU time and entries. What the same run would have cost on the other engine follows from the two exit
costs and the ratio of their speeds; a machine moves when the other is cheaper by a margin, as a JIT tiers up.

A machine that comes from a record and goes back into one brings its registers into the engine and out again, and
enters an engine that has rested: caches are cold, a kernel has other things loaded. Where that happens for every
request or two it counts as much as exits do. It is kept apart from the guest's own work, which alone is faster on KVM.
"""

import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from edge.vmm.engines.engine import Engine, Hypercall, limited
from edge.vmm.engines.kvm import KvmEngine, facts
from edge.vmm.engines.kvm_facts import KvmFacts
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.kernel.kvm_api import open_kvm
from edge.vmm.memory.guest_memory import BaseMemory, GuestMemory, PageTemplate
from edge.vmm.shells.shell import EngineName
from vmimage import abi
from vmimage.errors import OperatorError
from vmimage.manifest import Region
from vmimage.snapshot import Registers

MARGIN: Final = 1.5  # the other engine must be cheaper by this factor; both ways, which is the hysteresis
CLEARLY: Final = 3.0  # times the threshold, from which what is known of others decides where a new one starts
WEIGHT: Final = 0.25  # of a new sample in the moving average
CALIBRATION_ROUNDS: Final = 5
CALIBRATION_EXITS: Final = 20
FIRST_EXIT_S: Final = 2.0  # takes microseconds, on Unicorn a millisecond; else the engine cannot be used
REST_S: Final = 0.001  # after which an engine is entered as by a machine that comes
CALIBRATION_TURNS: Final = 200_000  # of a loop of four instructions

# mov ecx,TURNS; l: add rax,rcx; imul rdx,rax,3; dec ecx; jnz l
LOOP: Final = b"\xb9" + CALIBRATION_TURNS.to_bytes(4, "little") + bytes.fromhex("4801c8 486bd003 ffc9 75f5")
_IDLE: Final = bytes.fromhex("48c7c7ffffffff e610 ebf5")  # l: mov rdi,-1; out 0x10,al; jmp l
_WORK: Final = len(_IDLE)  # where work begins, which ends in idling
_CODE: Final = _IDLE + LOOP + bytes((0xEB, 256 - len(_IDLE) - len(LOOP) - 2))


@dataclass(frozen=True)
class Calibration:
    """What this host's engines cost. Nanoseconds; `speedup` is how much faster KVM runs instructions."""

    unicorn_exit_ns: float
    kvm_exit_ns: float = float("inf")
    unicorn_switch_ns: float = 0.0  # of registers into the engine and out of it
    kvm_switch_ns: float = 0.0
    unicorn_entry_ns: float = 0.0  # more than an exit, of the first entry of an engine that has rested
    kvm_entry_ns: float = 0.0
    kvm_work_ns: float = float("inf")  # of the calibration's loop
    speedup: float = 1.0
    kvm_missing: str = ""  # why there is no KVM
    kvm: KvmFacts | None = None  # what this host's does, also where it may not be used

    @property
    def threshold_ns(self) -> float:
        """Guest time of an entry, on Unicorn, from which KVM is cheaper by the margin."""
        gain = 1 - MARGIN / self.speedup
        return max(0.0, MARGIN * self.kvm_exit_ns - self.unicorn_exit_ns) / gain if gain > 0 else float("inf")


def kvm_device(engine: EngineName | None) -> int | None:
    """The device, opened for as long as the process lives; `None` where it cannot be used, or `engine` is another."""
    try:
        return None if engine == "unicorn" else open_kvm()
    except OperatorError:
        return None


def calibrate(*, kvm: bool = True, ring_0: bool = False) -> Calibration:
    """Measure both engines, in a few milliseconds. Whatever is wrong with KVM, there is Unicorn.

    :param kvm: `False` leaves KVM alone.
    :param ring_0: the operator allows KVM where guests' system calls land in ring 0.
    """
    unicorn = _measure(UnicornEngine)
    known: KvmFacts | None = None
    try:
        if not kvm:
            raise OperatorError("switched off by engine = unicorn")
        known = facts()
        if why := refusal(known, ring_0=ring_0):
            raise OperatorError(why)
        found = _measure(KvmEngine)
    except OperatorError as error:
        return Calibration(unicorn.exit_ns, kvm_missing=str(error), kvm=known)
    except Exception as error:  # a kernel that nobody has seen may do anything
        missing = f"KVM failed when it was tried: {type(error).__name__}: {error}"
        return Calibration(unicorn.exit_ns, kvm_missing=missing, kvm=known)
    return Calibration(
        *(unicorn.exit_ns, found.exit_ns, unicorn.switch_ns, found.switch_ns, unicorn.entry_ns, found.entry_ns),
        kvm_work_ns=found.work_ns,
        speedup=max(1.0, unicorn.work_ns / found.work_ns),
        kvm=known,
    )


def refusal(known: KvmFacts, *, ring_0: bool) -> str:
    """Why KVM may not be used though it works; empty when it may."""
    if known.ring == 0 and not ring_0:
        return "guests' system calls land in ring 0 here, which is off unless kvm_ring0 = on"
    return ""


class _Measured(NamedTuple):
    """Nanoseconds on one engine: of an exit, of registers' way in and out, of the calibration's loop, of an entry."""

    exit_ns: float
    switch_ns: float
    work_ns: float
    entry_ns: float


def _measure(make: type[UnicornEngine] | type[KvmEngine]) -> _Measured:
    memory = GuestMemory(BaseMemory(None), abi.MEMORY_MIN)
    code = Region(abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.PAGE_SIZE, "rx")
    memory.bind(PageTemplate([code], abi.MEMORY_MIN))
    memory.write(abi.LIBOS_ADDRESS, _CODE)
    engine: Engine = make(memory)
    try:
        with limited(engine, FIRST_EXIT_S):
            engine.load(Registers(rip=abi.LIBOS_ADDRESS))
            _expect_idle(engine)
        exits, ways, works, entries = [], [], [], []
        for _ in range(CALIBRATION_ROUNDS):  # the best round: others had to share the processor
            started = time.perf_counter_ns()
            for _ in range(CALIBRATION_EXITS):
                engine.run()
            exits.append((time.perf_counter_ns() - started) / CALIBRATION_EXITS)
            started = time.perf_counter_ns()
            engine.load(engine.save())
            ways.append(time.perf_counter_ns() - started)
            engine.load(Registers(rip=abi.LIBOS_ADDRESS + _WORK))
            started = time.perf_counter_ns()
            _expect_idle(engine)
            works.append(time.perf_counter_ns() - started)
            time.sleep(REST_S)
            engine.load(engine.save())
            started = time.perf_counter_ns()
            _expect_idle(engine)
            entries.append(time.perf_counter_ns() - started)
        exit_ns = min(exits)
        return _Measured(exit_ns, min(ways), max(1.0, min(works) - exit_ns), max(0.0, min(entries) - exit_ns))
    finally:
        engine.close()


def _expect_idle(engine: Engine) -> None:
    reason = engine.run()
    if reason != Hypercall(abi.PORT_IDLE):
        raise OperatorError(f"engine {engine.name}: an idle guest expected, got {reason}")


@dataclass
class Tiering:
    """Decisions for the machines of one worker; what was learned of an image outlives its machines."""

    calibration: Calibration
    fixed: EngineName | None = None  # by the operator: no choice
    promotions: int = 0
    demotions: int = 0
    _work_ns: dict[int, float] = field(default_factory=dict)  # by image: work per entry, in Unicorn's time
    _arrivals: dict[int, float] = field(default_factory=dict)  # by image: share of runs that begin a machine's stay
    _base_of: dict[int, int] = field(default_factory=dict)  # by image: the base it is derived from
    _base_work_ns: dict[int, float] = field(
        default_factory=dict
    )  # by base: work per entry of all that are derived from it

    @property
    def kvm(self) -> bool:
        """Whether there is a choice."""
        return not self.calibration.kvm_missing

    def engine_for(self, image: int, base: int) -> EngineName:
        """Where a new machine of this image starts; one not known yet, where others of its base clearly belong."""
        self._base_of[image] = base
        known = image in self._work_ns and self.fixed is None
        return self.observe(image, "unicorn", 0, 0) if known else self.engine_of_base(base)

    def engine_of_base(self, base: int) -> EngineName:
        """Where machines of a base mostly belong: those of a language do alike, and their first run is the dearest."""
        if self.fixed is not None:
            return self.fixed
        clearly = self._base_work_ns.get(base, 0.0) > CLEARLY * self.calibration.threshold_ns
        return "kvm" if self.kvm and clearly else "unicorn"

    def observe(
        self, image: int, engine: EngineName, cpu_ns: int, entries: int, *, first_run: bool = False
    ) -> EngineName:
        """Take a run as a sample and say where the machine should be next.

        :param entries: how often the guest was entered in that run; 0 takes no sample.
        :param first_run: it is the machine's first since it was restored.
        """
        c = self.calibration
        if self.fixed is not None:
            return self.fixed
        if not self.kvm:
            return "unicorn"
        if entries:
            entry_ns = c.unicorn_entry_ns if engine == "unicorn" else c.kvm_entry_ns
            work_ns = (cpu_ns - entry_ns * first_run) / entries
            work_ns = work_ns - c.unicorn_exit_ns if engine == "unicorn" else (work_ns - c.kvm_exit_ns) * c.speedup
            work_ns = max(0.0, work_ns)
            base = self._base_of.get(image, -1)
            of_base = self._base_work_ns.get(base, work_ns)
            known = self._work_ns.get(image, min(work_ns, of_base))  # a first run that was disturbed decides nothing
            self._work_ns[image] = known + WEIGHT * (work_ns - known)
            self._base_work_ns[base] = of_base + WEIGHT * (work_ns - of_base)
            share = self._arrivals.get(image, float(first_run))
            self._arrivals[image] = share + WEIGHT * (first_run - share)
        work_ns, arrivals = self._work_ns.get(image, 0.0), self._arrivals.get(image, 0.0)
        on_unicorn = c.unicorn_exit_ns + arrivals * (c.unicorn_switch_ns + c.unicorn_entry_ns) + work_ns
        on_kvm = c.kvm_exit_ns + arrivals * (c.kvm_switch_ns + c.kvm_entry_ns) + work_ns / c.speedup
        if engine == "unicorn":
            return "kvm" if on_kvm * MARGIN < on_unicorn else "unicorn"
        return "unicorn" if on_unicorn * MARGIN < on_kvm else "kvm"

    def moved(self, engine: EngineName) -> None:
        """Count a move."""
        if engine == "kvm":
            self.promotions += 1
        else:
            self.demotions += 1

    def without_kvm(self, reason: str) -> None:
        """KVM failed after all: no more moves there."""
        self.calibration = Calibration(self.calibration.unicorn_exit_ns, kvm_missing=reason)
        self.fixed = None

    def forget(self, image: int) -> None:
        """The image is gone."""
        self._work_ns.pop(image, None)
        self._arrivals.pop(image, None)
        self._base_of.pop(image, None)


def measured(engine: EngineName | None, *, ring_0: bool) -> Tiering:
    """Decisions by what the engines cost here.

    :param engine: the one and only; `None` where there is a choice.
    :param ring_0: see `calibrate`.
    """
    return Tiering(calibrate(kvm=engine != "unicorn", ring_0=ring_0), engine)
