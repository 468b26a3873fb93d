"""`nunatak doctor`: what this machine gives an edge, what it lacks, and what would fix it.

Nothing here changes anything. A missing layer is no failure while something stands in for it: Unicorn for KVM, fewer
walls around a worker; only what stops an edge from running at all is one.
"""

import os
import platform
import resource
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edge.catalogue.kept import kept_expiries
from edge.compiled import interpreter
from edge.compiled.finder import Found, install
from edge.vmm.engines.kvm_facts import GUARDS, KvmFacts
from edge.vmm.memory.page_sets import IN_C
from vmimage.errors import VerificationError
from vmimage.renewal import ended, ending

if TYPE_CHECKING:
    from edge.vmm.shells.tiering import Calibration

State = Literal["ok", "warn", "fail"]
DESCRIPTORS_WANTED: Final = 4096  # sockets of clients, a memfd an image, two sockets a worker
SLOW_PYTHON: Final = "one built with --enable-optimizations takes a tenth less for a request (docs/performance.md)"
FAST: Final = "make fast compiles them, for a third less CPU a request"
PAGE_LOOPS: Final = "install the project again where there is a C compiler (CC): opening and parking take less then"
MEMORY_WANTED_BYTES: Final = 512 << 20


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    found: str
    fix: str = ""  # what to do about it; empty when nothing needs doing


def examine(
    *, kvm_ring0: bool = False, trust: Path | None = None, kept: Path | None = None, now: datetime | None = None
) -> Iterator[Finding]:
    """Look at everything, in the order in which an edge needs it.

    :param kvm_ring0: whether the edge's configuration allows KVM where guests' system calls land in ring 0.
    :param trust: the root.json that an edge is started with. :param kept: the folder of its catalogue; the root's own
        folder will do.
    """
    if trust is not None:
        yield from about_trust(trust, kept or trust.parent, now or datetime.now(UTC))
    for check in (_python, _kernel, _memory, _descriptors, _unicorn):
        yield from check()
    yield from _kvm(kvm_ring0)
    for check in (_sandbox, _compiler):
        yield from check()


def about_trust(trust: Path, kept: Path, now: datetime) -> Iterator[Finding]:
    """When what is signed by hand ends."""
    try:
        known = kept_expiries(trust.read_bytes(), kept)
    except (OSError, VerificationError) as error:
        fix = "get root.json from the origin's operator, in a way that you trust"
        yield Finding("trust", "fail", str(error), fix)
        return
    for role, expires in known.items():
        over, soon = list(ended({role: expires}, now)), list(ending({role: expires}, now))
        fix = f"at the origin: nunatak renew {role}" if over or soon else ""
        state: State = "fail" if over else "warn" if soon else "ok"
        yield Finding(f"trust: {role}", state, f"good until {expires:%Y-%m-%d}", fix)


def _python() -> Iterator[Finding]:
    python, new_enough = interpreter.this_python(), sys.version_info >= (3, 11)
    yield Finding(
        "python", "ok" if new_enough else "fail", python, SLOW_PYTHON if python.endswith("without PGO") else ""
    )
    yield from about_modules(install())
    yield about_page_loops(IN_C)
    try:
        yield Finding("uvloop", "ok", version("uvloop"))
    except Exception as error:
        yield Finding("uvloop", "fail", f"missing: {error}", "install the project with its dependencies")


def about_modules(found: Found) -> Iterator[Finding]:
    """Whether the hot modules run compiled."""
    fix = {"plain": FAST, "stale": f"{FAST}; or delete build/fast", "compiled": ""}[found.kind]
    yield Finding("modules", "warn" if found.kind == "stale" else "ok", interpreter.modules(found), fix)


def about_page_loops(in_c: bool) -> Finding:
    """Whether the loops over machines' pages were built when the package was installed."""
    if in_c:
        return Finding("page loops", "ok", "in C")
    return Finding("page loops", "warn", "with numpy, some ten times slower", PAGE_LOOPS)


def _kernel() -> Iterator[Finding]:
    if sys.platform != "linux":
        yield Finding("kernel", "fail", sys.platform, "an edge needs Linux: memfds, Unix sockets with descriptors")
        return
    try:
        os.close(os.memfd_create("nunatak-doctor", os.MFD_ALLOW_SEALING))
        yield Finding("kernel", "ok", f"Linux {platform.release()}, sealed memfds")
    except OSError as error:
        yield Finding("kernel", "fail", f"no sealed memfds: {error.strerror}", "Linux 3.17 or newer")


def _memory() -> Iterator[Finding]:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    enough = size >= MEMORY_WANTED_BYTES
    fix = "" if enough else "give the edge less with --memory, and expect few services"
    yield Finding("machine", "ok" if enough else "warn", f"{cores} processors, {size >> 20} MiB", fix)


def _descriptors() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft >= DESCRIPTORS_WANTED
    fix = "" if enough else f"ulimit -n {DESCRIPTORS_WANTED} (or LimitNOFILE= in a systemd unit)"
    yield Finding("descriptors", "ok" if enough else "warn", f"{soft} (at most {hard})", fix)


def _unicorn() -> Iterator[Finding]:
    try:
        yield Finding("unicorn", "ok", _try_unicorn())
    except Exception as error:
        yield Finding("unicorn", "fail", str(error), "the machine needs one engine: reinstall unicorn")


def _kvm(ring_0: bool) -> Iterator[Finding]:
    try:  # here, since it stands on unicorn, whose absence is a finding
        from edge.vmm.shells.tiering import calibrate

        calibration = calibrate(ring_0=ring_0)
    except Exception as error:
        yield Finding("kvm", "warn", f"not tried: {error}", "see unicorn")
        return
    if calibration.kvm_missing:
        yield Finding("kvm", "warn", calibration.kvm_missing, "everything runs on Unicorn")
    else:
        yield Finding("kvm", "ok", _speed(calibration))
    if calibration.kvm is not None:
        yield from about_kvm(calibration.kvm, allowed=ring_0)


def about_kvm(known: KvmFacts, *, allowed: bool) -> Iterator[Finding]:
    """What an operator should know of this host's KVM.

    :param allowed: the configuration has `kvm_ring0 = on`.
    """
    if known.ring == 3:
        yield Finding("kvm: system calls", "ok", "land in ring 3: KVM without hardware support")
    else:
        found = "land in ring 0, as with VMX and SVM; " + ("allowed by kvm_ring0" if allowed else "not used")
        fix = "tested on an emulated AMD processor only (make test-kvm); kvm_ring0 = on allows it"
        yield Finding("kvm: system calls", "ok" if allowed else "warn", found, "" if allowed else fix)
    missing = [name for name in GUARDS if name not in known.guards]
    found = "ring 0 has " + (", ".join(known.guards) or "none") + (f"; not {', '.join(missing)}" if missing else "")
    matters = known.ring == 0 and missing
    fix = "a processor and a kernel that offer them give a second wall" if matters else ""
    yield Finding("kvm: guards", "warn" if matters else "ok", found, fix)
    if known.cpuid_is_ours:
        yield Finding("kvm: CPUID", "ok", "guests see the architecture's")
    else:
        fix = "use --engine unicorn where that must stay hidden; images are baked on Unicorn and run all the same"
        yield Finding("kvm: CPUID", "warn", "guests see the host's: this KVM cannot make CPUID fault", fix)


def _try_unicorn() -> str:
    from edge.vmm.shells.tiering import calibrate

    calibration = calibrate(kvm=False)
    return f"{version('unicorn')}, exit and re-entry {calibration.unicorn_exit_ns / 1e3:.1f} µs"


def _speed(calibration: "Calibration") -> str:
    nested = " (nested in software)" if calibration.kvm_exit_ns > NESTED_EXIT_NS else ""
    cost = f"exit and re-entry {calibration.kvm_exit_ns / 1e3:.1f} µs{nested}"
    speed = (
        f"{calibration.speedup:.0f}x Unicorn's speed, requests above {calibration.threshold_ns / 1e3:.0f} µs move there"
    )
    return f"{cost}; {speed}"


NESTED_EXIT_NS: Final = 15_000  # hardware does it in 1 to 2 µs, measured from Python; a software hypervisor in 40 to 70


def _sandbox() -> Iterator[Finding]:
    from edge.vmm.sandbox.layers import probe

    for line in probe():
        name, _, found = line.partition(": ")
        missing = found.startswith("MISSING")
        fix = "workers run without this layer; see docs/sandbox.md" if missing else ""
        yield Finding(f"sandbox: {name}", "warn" if missing else "ok", found, fix)


def _compiler() -> Iterator[Finding]:
    try:
        yield Finding("guest compiler", "ok", f"ziglang {version('ziglang')}")
    except Exception:
        yield Finding("guest compiler", "warn", "missing", "only publishers need it: pip install 'nunatak[build]'")
