"""Bake: run a program's initialisation once, in a real machine, and keep what memory then holds as an image.

Outside of the edge only this room and `origin.dev` import the VMM. A base image is the libOS after its own boot; an
image of a program is derived from it: restore the base, load the program, let it run to READY, keep what differs.
Nothing random and no clock is visible while baking, so the same source gives the same bytes; a program that needs
random bytes before it is ready is kept as it stands there, and each machine goes on with bytes of its own
(`origin.bake.entropy`).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from edge.vmm.machine.machine import Idle, Machine, Ready, Runnable
from edge.vmm.memory.guest_memory import BaseMemory, page_template
from edge.vmm.memory.image_memory import base_memfd
from edge.vmm.shells.shell import Image, Shell
from edge.vmm.turns.watchdog import watchdog
from origin.bake import entropy
from origin.bake import files as archive
from origin.bake.bases import kept_base
from origin.bake.bundle import bundle_of, environment
from origin.bake.disks import DISK_REGIONS, LocalDrive, drives_for_bake
from origin.bake.elf import Program, Segment, parse_program
from origin.bake.layout import device_regions, segment_regions, stack_bytes, stack_low
from vmimage import abi, snapshot
from vmimage.archive import ImageBundle
from vmimage.errors import GuestError, OutOfTime, PublisherError
from vmimage.manifest import DEFAULT_TERMS, MEMORY_STEP, Limits, Region, Terms
from vmimage.pages import no_pages
from vmimage.snapshot import ProgramPlace, Registers, Snapshot
from vmimage.symbols import SymbolTable
from vmimage.symbols import encode as encode_symbols

LINES_QUOTED: Final = 20  # of a program's own, with the error that it ended with
BAKE_CPU_MS: Final = 10_000  # initialisation may index a data set; it is paid once
RUNTIME_MEMORY: Final = 16 << 20  # of a language's base; machines of its programs have as much or more
STACK_TOP: Final = abi.STACK_ADDRESS + abi.STACK_SIZE
RSP: Final = 4  # its place in `Registers.gpr`

Progress = Callable[[str], None]

if TYPE_CHECKING:
    from libos.runtimes import Language


class Baker:
    """Bakes programs over one base image, in one shell.

    The base is the libOS alone; or, for a language, the libOS with the language's runtime, made ready for a program.

    :param fresh: bake a language's base also where an equal one is kept.
    """

    def __init__(
        self, memory_bytes: int = abi.MEMORY_DEFAULT, language: Language | None = None, *, fresh: bool = False
    ) -> None:
        from libos.toolchain.build import libos_elf

        if memory_bytes % MEMORY_STEP or not abi.MEMORY_MIN <= memory_bytes <= abi.MEMORY_MAX:
            raise PublisherError(
                f"--memory: a multiple of 2MiB from {abi.MEMORY_MIN >> 20}MiB to {abi.MEMORY_MAX >> 20}MiB expected, "
                f"got {memory_bytes} bytes"
            )
        self._watchdog = watchdog()
        self._memory_bytes = memory_bytes
        libos_file = libos_elf()
        self._libos = parse_program(libos_file)
        self._regions = (*device_regions(), *segment_regions(self._libos.segments))
        self.language = language
        if language is not None and memory_bytes < RUNTIME_MEMORY:
            raise PublisherError(f"--memory: at least {RUNTIME_MEMORY >> 20}MiB expected for {language.name}")
        runtime_file = b"" if language is None else language.program()
        self._runtime = None if language is None else parse_program(runtime_file, named=False)

        def bake() -> ImageBundle:
            named = () if language is None else parse_program(runtime_file).symbols
            return self._bake_base(encode_symbols((*self._libos.symbols, *named)))

        self.base = bake() if language is None or fresh else kept_base(language.name, (libos_file, runtime_file), bake)
        assert self.base.manifest.symbols is not None
        self._names = self.base.blobs[self.base.manifest.symbols.digest]
        self._start, self._shell = self._begin()

    def _begin(self) -> tuple[bytes, Shell]:
        """What a program's bake starts from: the base's registers over the base's memory; and a shell of it."""
        manifest = self.base.manifest
        state = snapshot.decode(self.base.blobs[manifest.snapshot.digest], memory_bytes=manifest.memory_bytes)
        base = BaseMemory(base_memfd(state.page_nos, state.rows))
        start = snapshot.encode(Snapshot(state.registers, state.devices, *no_pages()))
        return start, Shell(base, self._memory_bytes)

    def _bake_base(self, names: bytes) -> ImageBundle:
        """Boot the libOS in zero memory of the smallest size; bases do not depend on how much there is later."""
        runtime, memory_bytes, regions = self._runtime, abi.MEMORY_MIN, self._regions
        if runtime is not None:
            memory_bytes = RUNTIME_MEMORY
            free = Region(stack_low(_end(runtime)), memory_bytes, "rw")
            regions = (*regions, *segment_regions(runtime.segments), free)
        image = Image(BaseMemory(None), page_template(regions, memory_bytes))
        shell = Shell(image.base, image.memory_bytes)
        shell.memory.bind(image.template)
        _load(shell, self._libos.segments)
        machine = Machine(shell, image, Limits(cpu_ms=BAKE_CPU_MS), baking=True)
        gpr = tuple(STACK_TOP if n == RSP else 0 for n in range(snapshot.GPR_COUNT))
        machine.boot(Registers(gpr=gpr, rip=self._libos.entry))
        self._run_to_ready(machine, "libos", _silently)
        if runtime is not None and self.language is not None:
            _load(shell, runtime.segments)
            shell.memory.write(abi.ENV_ADDRESS, environment({}, (self.language.name,)))
            machine.set_program(self._place_of_runtime(0))
            self._run_to_ready(machine, self.language.name, _silently)
            if entropy.wanted(shell):  # a base is for programs that are not there yet
                raise PublisherError(f"{self.language.name}: begins with random bytes: use another language")
        state = machine.capture()
        name = "libos" if self.language is None else self.language.name
        base = bundle_of(name, "base", None, memory_bytes, regions, state, machine, names, DEFAULT_TERMS)
        shell.close()
        return base

    def _place_of_runtime(self, files: int) -> ProgramPlace:
        assert self._runtime is not None
        runtime = self._runtime
        heap = stack_low(_end(runtime)) + stack_bytes(RUNTIME_MEMORY)
        return ProgramPlace(runtime.entry, heap, files, runtime.phdr, runtime.phnum, abi.PROGRAM_LINUX)

    def bake(
        self,
        program: Program,
        *,
        name: str,
        env: Mapping[str, str],
        terms: Terms,
        disks: Sequence[LocalDrive] = (),
        progress: Progress,
        kind: int = abi.PROGRAM_NATIVE,
        arguments: Sequence[str] = (),
        files: bytes = b"",
        bake_entropy: bool = False,
        warn: Progress | None = None,
    ) -> ImageBundle:
        """The image of `program`, derived from `base`.

        :param kind: abi.PROGRAM_*.
        :param arguments: of a Linux program, its name first.
        :param files: an archive of `origin.bake.files`.
        :param bake_entropy: the program has random bytes of this host, and every machine what it made of them.
        :param warn: gets what a publisher should know; as `progress` if not given.

        :raises PublisherError: it faults, leaves, idles or takes too long before it is ready; or does not fit.
        """
        heap = _end(program)
        if kind != abi.PROGRAM_NATIVE:
            heap = stack_low(heap) + stack_bytes(self._memory_bytes)
        usable = self._memory_bytes - -(-len(files) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        if heap >= usable:
            raise PublisherError(
                f"{name}: a program below {usable:#x} expected, it ends at {heap:#x}; build with a larger --memory"
            )
        if min(segment.address for segment in program.segments) < abi.PROGRAM_ADDRESS:
            raise PublisherError(f"{name}: an address from {abi.PROGRAM_ADDRESS:#x} on expected: link with -static-pie")
        place = ProgramPlace(program.entry, heap, usable if files else 0, program.phdr, program.phnum, kind)
        chance = bake_entropy, warn or progress
        return self._bake(name, program, place, env, terms, disks, progress, arguments, files, usable, *chance)

    def bake_source(
        self,
        source: bytes,
        *,
        name: str,
        env: Mapping[str, str],
        terms: Terms,
        disks: Sequence[LocalDrive] = (),
        progress: Progress,
        files: Mapping[str, tuple[int, bytes]] = {},
        bake_entropy: bool = False,
        warn: Progress | None = None,
    ) -> ImageBundle:
        """The image of a program in the baker's language, derived from `base`.

        :param files: more files for it, by path, with their modes.
        :param bake_entropy: as for `bake`, and `warn` too.
        :raises PublisherError: as `bake`.
        """
        assert self.language is not None
        assert self._runtime is not None
        found = {"": (archive.FOLDER_MODE, b""), **files, self.language.place: (archive.FILE_MODE, source)}
        packed_files = archive.pack(found)
        usable = self._memory_bytes - -(-len(packed_files) // abi.PAGE_SIZE) * abi.PAGE_SIZE
        if usable < RUNTIME_MEMORY // 2:
            raise PublisherError(f"{name}: files of {len(packed_files)} bytes: build with a larger --memory")
        place = self._place_of_runtime(usable)
        arguments, chance = (self.language.name,), (bake_entropy, warn or progress)
        return self._bake(
            name, self._runtime, place, env, terms, disks, progress, arguments, packed_files, usable, *chance
        )

    def _bake(
        self,
        name: str,
        program: Program,
        place: ProgramPlace,
        env: Mapping[str, str],
        terms: Terms,
        disks: Sequence[LocalDrive],
        progress: Progress,
        arguments: Sequence[str],
        files: bytes,
        usable: int,
        bake_entropy: bool,
        warn: Progress,
    ) -> ImageBundle:
        end = _end(program)
        rest = [Region(end if place.kind == abi.PROGRAM_NATIVE else stack_low(end), usable, "rw")]
        rest += [Region(usable, self._memory_bytes, "r")] if files else []
        regions = (*self._regions, *(DISK_REGIONS if disks else ()), *segment_regions(program.segments), *rest)
        image = Image(self._shell.memory.base, page_template(regions, self._memory_bytes), self._start)
        devices = drives_for_bake(self._shell.memory, disks) if disks else None
        machine = Machine(self._shell, image, Limits(cpu_ms=BAKE_CPU_MS), baking=True, disks=devices)
        machine.restore()
        if self._runtime is None:  # else the base holds it
            _load(self._shell, program.segments)
        self._shell.memory.write(abi.ENV_ADDRESS, environment(env, arguments))
        if files:
            self._shell.load(usable, files)
        machine.set_program(place)
        if bake_entropy:
            entropy.give(self._shell)
        self._run_to_ready(machine, name, progress)
        names = self._names
        if self._runtime is None:
            names = encode_symbols((*self._libos.symbols, *program.symbols))
        base = self.base.manifest
        state = machine.capture()
        refs = tuple(disk.ref for disk in disks)
        bundle = bundle_of(
            name, "derived", base, self._memory_bytes, regions, state, machine, names, terms, refs, bake_entropy
        )
        if machine.clock.reads:
            warn(f"{name}: {entropy.EARLY_TIME}")
        if entropy.wanted(self._shell):
            self._try_the_rest(machine, name, program, names, terms, progress, warn)
        return bundle

    def _try_the_rest(
        self,
        machine: Machine,
        name: str,
        program: Program,
        names: bytes,
        terms: Terms,
        progress: Progress,
        warn: Progress,
    ) -> None:
        """The image ends where the program asked for random bytes; see here that its machines will come to be ready.

        :raises PublisherError: they will not, or not within what a request may take.
        """
        where, before_ns = entropy.asked_by(self._shell, program, SymbolTable.decode(names)), machine.virtual_ns
        entropy.give(self._shell)
        self._run_to_ready(machine, name, progress)
        took_ms = (machine.virtual_ns - before_ns) / 1e6
        advice = "ask after nk_serve, or build with --bake-entropy if all machines may share what is made of them"
        asked = f"{name}: the program asked for random bytes before it was ready (in {where})"
        if took_ms > terms.limits.cpu_ms:
            raise PublisherError(
                f"{asked}: what comes after that is done again by every machine, within its first request, and took "
                f"{took_ms:.0f} ms where {terms.limits.cpu_ms} ms are allowed (--cpu-ms); {advice}"
            )
        warn(
            f"{asked}: the image ends there, and every machine does the rest with random bytes of its own, "
            f"{took_ms:.1f} ms of CPU time here; {advice}"
        )

    def close(self) -> None:
        """Give back the shell and the base's memfd."""
        self._shell.close()
        if self._shell.memory.base.fd is not None:
            os.close(self._shell.memory.base.fd)

    def image(self, bundle: ImageBundle) -> Image:
        """One of this baker's images, as a worker would hold it."""
        manifest = bundle.manifest
        template = page_template(manifest.regions, manifest.memory_bytes)
        return Image(self._shell.memory.base, template, bundle.blobs[manifest.snapshot.digest])

    def _run_to_ready(self, machine: Machine, name: str, progress: Progress) -> None:
        started_s = time.monotonic()
        last: deque[str] = deque(maxlen=LINES_QUOTED)  # of what the program said
        while True:
            try:
                with self._watchdog.watching(machine.shell.engine):
                    outcome = machine.run()
            except OutOfTime:
                last += _lines(machine)
                limit_s = BAKE_CPU_MS // 1000
                late = f"{name}: main did not reach nk_serve within {limit_s} s of CPU time"
                advice = "prepare less before, or look for an endless loop"
                raise PublisherError("\n".join((f"{late}: {advice}", *last))) from None
            except GuestError as error:
                last += _lines(machine)
                raise PublisherError("\n".join((f"{name}: died before it was ready: {error}", *last))) from error
            finally:
                self._watchdog.rest()
            said = _lines(machine)
            last += said
            for line in said:
                progress(line)
            match outcome:
                case Ready():
                    return
                case Idle():
                    raise PublisherError(f"{name}: idles before it is ready: call nk_serve, wait for nothing before")
                case Runnable():
                    progress(f"initialising, {time.monotonic() - started_s:.1f} s")


def _silently(line: str) -> None:
    """A base is the same for all who build on it: what it says is of interest where it fails, which quotes it."""


def _lines(machine: Machine) -> list[str]:
    """What the program has said since the last call."""
    said, machine.log[:] = b"".join(machine.log), []
    return said.decode(errors="replace").splitlines()


def _end(program: Program) -> int:
    """The first page after a program."""
    return -(-max(part.address + part.memory_size for part in program.segments) // abi.PAGE_SIZE) * abi.PAGE_SIZE


def _load(shell: Shell, segments: Iterable[Segment]) -> None:
    for segment in segments:
        shell.load(segment.address, segment.data.ljust(segment.memory_size, b"\0"))
