"""`nunatak doctor`: what this machine gives an edge, what it lacks, and what would mend it.

Nothing here changes anything. A missing layer is no failure while something stands in for it: Unicorn for KVM, fewer
walls around a worker; only what stops an edge from running at all is one.
"""

import os
import platform
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Literal

State = Literal["ok", "warn", "fail"]
DESCRIPTORS_WANTED: Final = 4096  # sockets of clients, a memfd an image, two sockets a worker
MEMORY_WANTED_BYTES: Final = 512 << 20


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: State
    found: str
    mend: str = ""  # what to do about it; empty when nothing needs doing


def examine() -> Iterator[Finding]:
    """Look at everything, in the order in which an edge needs it."""
    for check in (_python, _kernel, _memory, _descriptors, _unicorn, _kvm, _sandbox, _compiler):
        yield from check()


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "fail", platform.python_version(), "")
    try:
        yield Finding("uvloop", "ok", version("uvloop"))
    except Exception as error:
        yield Finding("uvloop", "fail", f"missing: {error}", "install the project with its dependencies")


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
    mend = "" if enough else "give the edge less with --memory, and expect few services"
    yield Finding("machine", "ok" if enough else "warn", f"{cores} processors, {size >> 20} MiB", mend)


def _descriptors() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft >= DESCRIPTORS_WANTED
    mend = "" if enough else f"ulimit -n {DESCRIPTORS_WANTED} (or LimitNOFILE= in a systemd unit)"
    yield Finding("descriptors", "ok" if enough else "warn", f"{soft} (at most {hard})", mend)


def _unicorn() -> Iterator[Finding]:
    yield from _engine("unicorn", _try_unicorn)


def _kvm() -> Iterator[Finding]:
    yield from _engine("kvm", _try_kvm)


def _engine(name: str, attempt: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield Finding(name, "ok", attempt())
    except Exception as error:
        last = "the machine needs one engine: reinstall unicorn" if name == "unicorn" else "everything runs on Unicorn"
        yield Finding(name, "fail" if name == "unicorn" else "warn", str(error), last)


def _try_unicorn() -> str:
    from edge.vmm.tiering import calibrate

    calibration = calibrate()
    return f"{version('unicorn')}, exit and re-entry {calibration.unicorn_exit_ns / 1e3:.1f} µs"


def _try_kvm() -> str:
    from edge.vmm.tiering import calibrate
    from vmimage.errors import OperatorError

    calibration = calibrate()
    if calibration.kvm_missing:
        raise OperatorError(calibration.kvm_missing)
    nested = " (nested in software)" if calibration.kvm_exit_ns > NESTED_EXIT_NS else ""
    cost = f"exit and re-entry {calibration.kvm_exit_ns / 1e3:.1f} µs{nested}"
    speed = (
        f"{calibration.speedup:.0f}x Unicorn's speed, requests above {calibration.threshold_ns / 1e3:.0f} µs move there"
    )
    return f"{cost}; {speed}"


NESTED_EXIT_NS: Final = 15_000  # hardware does it in 1 to 2 µs, measured from Python; a software hypervisor in 40 to 70


def _sandbox() -> Iterator[Finding]:
    from edge.vmm.sandbox import probe

    for line in probe():
        name, _, found = line.partition(": ")
        missing = found.startswith("MISSING")
        mend = "workers run without this layer; see docs/sandbox.md" if missing else ""
        yield Finding(f"sandbox: {name}", "warn" if missing else "ok", found, mend)


def _compiler() -> Iterator[Finding]:
    try:
        yield Finding("guest compiler", "ok", f"ziglang {version('ziglang')}")
    except Exception:
        yield Finding("guest compiler", "warn", "missing", "only publishers need it: pip install 'nunatak[build]'")
