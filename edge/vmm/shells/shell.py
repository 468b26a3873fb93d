"""Shells: an engine with memory mapped, waiting for or holding a machine; and images as a worker holds them.

A shell keeps its base image for life, so its translated code and mapped pages stay hot: changing from one service to
another of the same base is copying a few pages back.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from cachetools import LRUCache

from edge.vmm.engines.engine import Engine
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import KEEP_DIRTY_PAGES, RESET_COPY_PAGES, BaseMemory, GuestMemory, PageTemplate
from edge.vmm.shells.cost import SHELL_OVERHEAD_BYTES
from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.pages import PageNos, Pages, difference, no_pages
from vmimage.snapshot import DeviceState, Registers, Snapshot

# Of decoded images in a process: some hundred small ones. A machine's is wanted when it comes and when it is parked.
DECODED_BYTES: Final = 8 << 20

# A reset keeps what it copies back, up to 16 MiB; a machine that wrote more is bound anew.
RESET_KEEP_PAGES: Final = 4096
PORTION_PAGES: Final = 1024  # 4 MiB: a look at all that a machine changed copies no more at a time

EngineName = Literal["unicorn", "kvm"]
# Descriptors of the process that an engine holds: a virtual machine, its processor, and that one's mapping.
DESCRIPTORS: Final[Mapping[EngineName, int]] = {"unicorn": 0, "kvm": 3}

log = logging.getLogger("nunatak.worker")


class OfThread(threading.local):
    """What a thread that handles many machines keeps."""

    def __init__(self) -> None:
        self.decoded: LRUCache[Image, Snapshot] = LRUCache(DECODED_BYTES, getsizeof=lambda state: state.pages.nbytes)
        self.zstd = snapshot.Zstd()


of_thread: Final = OfThread()


class Image:
    """An image that machines start from: a base's memory and what differs from it."""

    def __init__(self, base: BaseMemory, template: PageTemplate, record: bytes | None = None) -> None:
        """:param record: the compressed record against the base; `None` for the base itself."""
        self.base = base
        self.memory_bytes = template.memory_bytes
        self.template = template
        self._record = record
        self._code: PageNos | None = None

    @property
    def is_base(self) -> bool:
        """Whether this is a base image, which only other images are made of."""
        return self._record is None

    @property
    def record_bytes(self) -> int:
        """Bytes of it that the process holds beside its base."""
        return len(self._record or b"")

    def snapshot(self) -> Snapshot:
        """The machine's state as the image has it, not to be changed; decoded when it is wanted: images are many."""
        if self._record is None:
            return Snapshot(Registers(), DeviceState(), *no_pages())
        state = of_thread.decoded.get(self)
        if state is None:
            state = snapshot.decode(self._record, memory_bytes=self.memory_bytes, zstd=of_thread.zstd)
            with suppress(ValueError):  # too large to be kept at all
                of_thread.decoded[self] = state
        return state

    def forget(self) -> None:
        """No machine is made of it any more."""
        of_thread.decoded.pop(self, None)

    def contents(self, page_nos: PageNos, decoded: Snapshot) -> Pages:
        """What the image has in those pages; `decoded` is its own `snapshot()`."""
        rows = self.base.contents(page_nos)
        places = np.searchsorted(decoded.page_nos, page_nos)
        inside = places < len(decoded.page_nos)
        inside[inside] = decoded.page_nos[places[inside]] == page_nos[inside]
        rows[inside] ^= decoded.pages[places[inside]]
        return rows

    def code_pages(self, decoded: Snapshot) -> PageNos:
        """Executable pages that are not the base's."""
        if self._code is None:
            self._code = decoded.page_nos[self.template.executable[decoded.page_nos]]
        return self._code


@dataclass(frozen=True)
class Fresh:
    """What a reset puts back: an image's registers and devices, and its contents of the pages that were ever dirty."""

    image: Image
    registers: Registers
    devices: DeviceState
    page_nos: PageNos
    pages: Pages
    dirty_count: int = 0  # of which they were chosen


class Shell:
    """One memory, and the engines that work on it: at any time the machine is in one of them."""

    def __init__(self, base: BaseMemory, memory_bytes: int, engine: EngineName = "unicorn") -> None:
        """:raises OperatorError: `engine` is "kvm" and cannot be had."""
        self.memory = GuestMemory(base, memory_bytes)
        self._engines: dict[EngineName, Engine] = {}
        self._name: EngineName = engine
        self.engine: Engine = self._engine(engine)
        self._code: PageNos = no_pages()[0]  # executable pages of the last image, perhaps still translated
        self._fresh: Fresh | None = None
        self.warm = False  # a guest has run in it: what all of its base run is translated
        self.broken = False  # the engine failed: close it, do not use it again

    def _engine(self, name: EngineName) -> Engine:
        if name not in self._engines:
            self._engines[name] = UnicornEngine(self.memory) if name == "unicorn" else KvmEngine(self.memory)
        return self._engines[name]

    @property
    def engine_name(self) -> EngineName:
        """Where the machine is."""
        return self._name

    def choose(self, name: EngineName) -> None:
        """The engine of the next machine, before it is bound.

        :raises OperatorError: it cannot be had.
        """
        self.engine, self._name = self._engine(name), name

    def use(self, name: EngineName) -> None:
        """Go on in another engine, at any exit: registers move, memory and page tables are the same.

        :raises OperatorError: it cannot be had; the machine stays where it is.
        """
        if name != self._name:
            engine = self._engine(name)
            engine.load(self.engine.save())
            self.engine, self._name = engine, name

    def bind(self, image: Image, parked: Snapshot | None) -> DeviceState:
        """Make memory and CPU those of a machine: the image's, or as `parked` says.

        :param parked: against the image. Whoever wrote it may have been taken over: it changes what the guest could.
        :raises FormatError: the image's record does not parse, or `parked` changes other pages. Nothing was done.
        """
        decoded = image.snapshot()
        state = decoded if parked is None else parked
        if parked is not None:
            _check_parked(image, parked)
        code = image.code_pages(decoded)
        translated = code if np.array_equal(self._code, code) else np.union1d(self._code, code)
        before = self.memory.pages[translated]
        self._leave_last(image)
        keep_dirty = RESET_COPY_PAGES if "kvm" in self._engines else KEEP_DIRTY_PAGES
        if self.memory.bind(image.template, keep_dirty):
            self._tables_changed()
        self.memory.apply(decoded.page_nos, decoded.pages)
        if parked is not None:
            self.memory.apply(state.page_nos, state.pages)
        # Often the next service runs the same program: only code that really changed is translated again.
        changed, _ = difference(translated, self.memory.pages[translated], before)
        if len(changed):
            for engine in self._engines.values():
                engine.flush_code(changed)
        self._code = code
        self._fresh = Fresh(image, decoded.registers, decoded.devices, *no_pages())
        self.engine.load(state.registers)
        return state.devices

    def warm_up(self, image: Image, like: "Shell | None") -> None:
        """Take what the first machine would else wait for: page tables, and faults on pages that its kind writes.

        :param like: a shell of the same base that a machine has run in.
        """
        self.bind(image, None)
        if like is not None:
            written = like.memory.dirty_pages()
            if len(written) <= RESET_COPY_PAGES:  # one that wrote much is no example: a spare shell must cost little
                self.memory.touch(written)

    def load(self, address: int, data: bytes) -> None:
        """Write a program's bytes for a loader, code or data.

        :raises ValueError: outside of memory.
        """
        self.memory.write(address, data)
        written = np.arange(address // abi.PAGE_SIZE, -(-(address + len(data)) // abi.PAGE_SIZE), dtype=np.uint32)
        for engine in self._engines.values():
            engine.flush_code(written)
        self._code = np.union1d(self._code, written)

    def _tables_changed(self) -> None:
        """Unicorn forgets what it cached; a KVM engine, which cannot, ends and is made anew when it is next wanted."""
        kvm = self._engines.get("kvm")
        if isinstance(kvm, KvmEngine) and kvm.entered:
            del self._engines["kvm"]
            kvm.close()
        for engine in self._engines.values():
            engine.flush_tables()
        self.engine = self._engine(self._name)

    def _leave_last(self, image: Image) -> None:
        """Before another image comes: had a guest ring 0, what it left in the virtual machine goes with it."""
        last, kvm = self._fresh, self._engines.get("kvm")
        if last is None or last.image is image or not isinstance(kvm, KvmEngine) or not kvm.entered:
            return
        if kvm.changed(last.image.template):
            log.error("event=monitor_changed: a guest had ring 0, its virtual machine is thrown away")
            kvm.lay_monitor()
            self.memory.lay_anew()

    def reset(self) -> DeviceState:
        """Make memory and CPU those of the bound image again: for a fresh machine at every request.

        Dirty bits stay: they mean "ever dirty since bound", so the engine keeps its TLB and its translated code, and
        the pages to copy back are soon the same ones every time.
        """
        fresh, dirty = self._fresh, self.memory.dirty_pages()
        if fresh is None:
            raise ValueError("a shell that was never bound cannot be reset")
        if len(dirty) > RESET_KEEP_PAGES:
            return self.bind(fresh.image, None)
        if len(dirty) != fresh.dirty_count:
            page_nos = self.memory.changeable(dirty)  # not code and read-only files, which nobody can have changed
            contents = fresh.image.contents(page_nos, fresh.image.snapshot())
            fresh = self._fresh = replace(fresh, dirty_count=len(dirty), page_nos=page_nos, pages=contents)
        self.memory.pages[fresh.page_nos] = fresh.pages
        self.engine.load(fresh.registers)
        return fresh.devices

    def changed_pages(self, image: Image, skip: PageNos, limit: int | None = None) -> tuple[PageNos, Pages]:
        """Pages that differ from the image's, as XOR; `skip` are page numbers that are not part of the state.

        :param limit: of pages; one more may be found and then no further ones are looked for. A caller that sets it
            pays for no copy that is much larger.
        """
        decoded, parts, count = image.snapshot(), [no_pages()], 0
        for dirty in _portions(self.memory.dirty_pages(skip)):
            found = difference(dirty, self.memory.pages[dirty], image.contents(dirty, decoded))
            parts.append(found)
            count += len(found[0])
            if limit is not None and count > limit:
                break
        if len(parts) <= 2:
            return parts[-1]
        return np.concatenate([nos for nos, _ in parts]), np.concatenate([rows for _, rows in parts])

    def changes_more(self, image: Image, skip: PageNos, limit: int) -> bool:
        """Whether more pages than this differ from the image's; keeps no copy of them."""
        decoded, count = image.snapshot(), 0
        for dirty in _portions(self.memory.dirty_pages(skip)):
            count += len(difference(dirty, self.memory.pages[dirty], image.contents(dirty, decoded))[0])
            if count > limit:
                return True
        return False

    def resident_bytes(self) -> int:
        """Host memory this shell takes for itself."""
        written = len(self.memory.dirty_pages()) * abi.PAGE_SIZE
        kept = 0 if self._fresh is None else self._fresh.pages.nbytes
        return SHELL_OVERHEAD_BYTES + written + self.memory.stray_bytes + kept

    def descriptors(self) -> int:
        """Of the process, that its engines hold."""
        return sum(DESCRIPTORS[name] for name in self._engines)

    def descriptors_for(self, engine: EngineName) -> int:
        """How many more it would hold with that engine."""
        return 0 if engine in self._engines else DESCRIPTORS[engine]

    def give_back(self) -> None:
        """No machine is in it: free what the last one took and the next need not have."""
        self.memory.give_back()
        self._fresh = None

    def close(self) -> None:
        """Free the engines; memory goes with the last reference, or by `memory.free`."""
        for engine in self._engines.values():
            engine.close()


def _check_parked(image: Image, parked: Snapshot) -> None:
    """:raises FormatError: pages that its guest could not have changed: then another wrote the record."""
    allowed = image.template.parkable[parked.page_nos]
    if not allowed.all():
        page_no = int(parked.page_nos[~allowed][0])
        raise FormatError(f"record: pages that the guest may write expected, got page {page_no:#x}")


def _portions(page_nos: PageNos) -> Iterator[PageNos]:
    """Few enough pages at a time that copies of them are small beside a machine."""
    for start in range(0, len(page_nos), PORTION_PAGES):
        yield page_nos[start : start + PORTION_PAGES]
