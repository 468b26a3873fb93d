"""Shells: an engine with memory mapped, waiting for or holding a machine; and images as a worker holds them.

A shell keeps its base image for life, so its translated code and mapped pages stay hot: changing from one service to
another of the same base is copying a few pages back.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final, Literal
from weakref import ref

import numpy as np
from cachetools import LRUCache

from edge.vmm.engines.engine import Engine
from edge.vmm.engines.kvm import KvmEngine
from edge.vmm.engines.unicorn import UnicornEngine
from edge.vmm.memory.guest_memory import KEEP_DIRTY_PAGES, RESET_COPY_PAGES, BaseMemory, GuestMemory, PageTemplate
from edge.vmm.memory.page_sets import Layers, Mask, pack
from edge.vmm.shells.cost import SHELL_OVERHEAD_BYTES
from vmimage import abi, snapshot
from vmimage.errors import FormatError
from vmimage.pages import PackedPages, PageNos, no_pages
from vmimage.snapshot import DeviceState, Registers, Snapshot

# Of decoded images in a process: several hundred small ones. A machine's is wanted when it comes and when it is parked.
DECODED_BYTES: Final = 4 << 20
DECODED_OVERHEAD_BYTES: Final = 2 << 10  # of objects around the pages

# A reset puts back up to 16 MiB; a machine that wrote more is bound anew.
RESET_KEEP_PAGES: Final = 4096
PORTION_PAGES: Final = 1024  # 4 MiB: a look at all that a machine changed copies no more at a time

EngineName = Literal["unicorn", "kvm"]
# Descriptors of the process that an engine holds: a virtual machine, its processor, and that one's mapping.
DESCRIPTORS: Final[Mapping[EngineName, int]] = {"unicorn": 0, "kvm": 3}

log = logging.getLogger("nunatak.worker")


def decoded_bytes(state: Snapshot) -> int:
    """What a decoded image takes, in bytes, for as long as it is kept."""
    return state.pages.nbytes + state.page_nos.nbytes + DECODED_OVERHEAD_BYTES


class OfThread(threading.local):
    """What a thread that handles many machines keeps."""

    def __init__(self) -> None:
        self.decoded: LRUCache[Image, Snapshot] = LRUCache(DECODED_BYTES, getsizeof=decoded_bytes)
        self.zstd = snapshot.Zstd()


of_thread: Final = OfThread()


def decode(record: bytes, memory_bytes: int, *, live: bool = False, bytes_max: int | None = None) -> Snapshot:
    """`vmimage.snapshot.decode` by what this thread keeps; the pages are packed, also those of an image.

    What is packed here holds nothing of the record: its rows would stay as long as one array that lies in it.

    :raises FormatError: as there.
    """
    kept = of_thread.zstd
    state = snapshot.decode(record, memory_bytes=memory_bytes, live=live, bytes_max=bytes_max, zstd=kept)
    if isinstance(state.pages, PackedPages):
        return state
    return replace(state, page_nos=state.page_nos.copy(), pages=pack(state.pages))


def _no_pages() -> tuple[PageNos, PackedPages]:
    numbers, rows = no_pages()
    return numbers, pack(rows)


_NOTHING: Final = Snapshot(Registers(), DeviceState(), *_no_pages())  # that a base changes of itself


class Image:
    """An image that machines start from: a base's memory and what differs from it."""

    def __init__(self, base: BaseMemory, template: PageTemplate, record: bytes | None = None) -> None:
        """:param record: the compressed record against the base; `None` for the base itself."""
        self.base = base
        self.memory_bytes = template.memory_bytes
        self.template = template
        self._record = record

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
            return _NOTHING
        state = of_thread.decoded.get(self)
        if state is None:
            state = decode(self._record, self.memory_bytes)
            with suppress(ValueError):  # too large to be kept at all
                of_thread.decoded[self] = state
        return state

    def forget(self) -> None:
        """No machine is made of it any more."""
        of_thread.decoded.pop(self, None)


class Shell:
    """One memory, and the engines that work on it: at any time the machine is in one of them."""

    def __init__(self, base: BaseMemory, memory_bytes: int, engine: EngineName = "unicorn") -> None:
        """:raises OperatorError: `engine` is "kvm" and cannot be had."""
        self.memory = GuestMemory(base, memory_bytes)
        self._engines: dict[EngineName, Engine] = {}
        self._name: EngineName = engine
        self.engine: Engine = self._engine(engine)
        self._last: ref[Image] | None = None  # whose pages it has, but for those that are dirty
        self._template: PageTemplate | None = None  # the last one's
        self._code: Mask | None = None  # pages that were executable in the last image, perhaps still translated
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
        layers = _layers(decoded)
        if parked is not None:
            _check_parked(image, parked)
            layers += _layers(parked)
        trusted = self._is_trusted()
        if not (trusted and self.last_held(image) and self.memory.renew(layers, RESET_COPY_PAGES)):
            self._bind_anew(image, layers)
        self.engine.load(state.registers)
        return state.devices

    def last_held(self, image: Image) -> bool:
        """Whether the last machine here was of this image, so that there is less to put back."""
        return self._last is not None and self._last() is image

    def _bind_anew(self, image: Image, layers: Layers) -> None:
        self._last = None
        template = image.template
        code = template.executable
        if self._code is not None and self._code is not code:
            code = code | self._code
        keep_dirty = RESET_COPY_PAGES if "kvm" in self._engines else KEEP_DIRTY_PAGES
        tables, changed = self.memory.bind(template, layers, keep_dirty, code)
        if tables:
            self._tables_changed()
        # Often the next service runs the same program: only code that really changed is translated again.
        if len(changed):
            for engine in self._engines.values():
                engine.flush_code(changed)
        self._last, self._template, self._code = ref(image), template, template.executable

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
        code = (
            np.zeros(self.memory.memory_bytes // abi.PAGE_SIZE, dtype=bool) if self._code is None else self._code.copy()
        )
        code[written] = True
        self._last, self._code = None, code

    def _tables_changed(self) -> None:
        """Unicorn forgets what it cached; a KVM engine, which cannot, ends and is made anew when it is next wanted."""
        kvm = self._engines.get("kvm")
        if isinstance(kvm, KvmEngine) and kvm.entered:
            del self._engines["kvm"]
            kvm.close()
        for engine in self._engines.values():
            engine.flush_tables()
        self.engine = self._engine(self._name)

    def _is_trusted(self) -> bool:
        """Whether no guest has had ring 0 here. Had one, what it left in the virtual machine goes with it."""
        template, kvm = self._template, self._engines.get("kvm")
        if template is None or not isinstance(kvm, KvmEngine) or not kvm.entered or not kvm.changed(template):
            return True
        log.error("event=monitor_changed: a guest had ring 0, its virtual machine is thrown away")
        kvm.lay_monitor()
        self.memory.lay_anew()
        return False

    def reset(self) -> DeviceState:
        """Make memory and CPU those of the bound image again: for a fresh machine at every request.

        Dirty bits stay: they mean "ever dirty since bound", so the engine keeps its TLB and its translated code, and
        the pages to put back are soon the same ones every time.
        """
        image = self._last() if self._last is not None else None
        if image is None:
            raise ValueError("a shell that was never bound cannot be reset")
        fresh = image.snapshot()
        if not self.memory.renew(_layers(fresh), RESET_KEEP_PAGES):
            return self.bind(image, None)
        self.engine.load(fresh.registers)
        return fresh.devices

    def changed_pages(self, image: Image, skip: PageNos, limit: int | None = None) -> tuple[PageNos, PackedPages]:
        """Pages that differ from the image's, as XOR; `skip` are page numbers that are not part of the state.

        :param limit: of pages; one more may be found and then no further ones are looked for. A caller that sets it
            pays for no copy that is much larger.
        """
        layers, count = _layers(image.snapshot()), 0
        parts: list[tuple[PageNos, PackedPages]] = []
        for dirty in _portions(self._changeable(image, skip)):
            found = self.memory.differences(dirty, layers)
            parts.append(found)
            count += len(found[0])
            if limit is not None and count > limit:
                break
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return _no_pages()
        masks, words = (np.concatenate(part) for part in zip(*(packed for _, packed in parts), strict=True))
        return np.concatenate([numbers for numbers, _ in parts]), PackedPages(masks, words)

    def changes_more(self, image: Image, skip: PageNos, limit: int) -> bool:
        """Whether more pages than this differ from the image's; keeps no copy of them."""
        layers, count = _layers(image.snapshot()), 0
        for dirty in _portions(self._changeable(image, skip)):
            count += len(self.memory.differences(dirty, layers)[0])
            if count > limit:
                return True
        return False

    def _changeable(self, image: Image, skip: PageNos) -> PageNos:
        """Pages that may differ from the image's: of what was bound, none that the guest cannot write."""
        return self.memory.dirty_pages(skip, changeable=self.last_held(image))

    def resident_bytes(self) -> int:
        """Host memory this shell takes for itself."""
        written = len(self.memory.dirty_pages()) * abi.PAGE_SIZE
        return SHELL_OVERHEAD_BYTES + written + self.memory.stray_bytes

    def descriptors(self) -> int:
        """Of the process, that its engines hold."""
        return sum(DESCRIPTORS[name] for name in self._engines)

    def descriptors_for(self, engine: EngineName) -> int:
        """How many more it would hold with that engine."""
        return 0 if engine in self._engines else DESCRIPTORS[engine]

    def give_back(self) -> None:
        """No machine is in it: free what the last one took and the next need not have."""
        if self.memory.give_back():
            self._last = None

    def close(self) -> None:
        """Free the engines; memory goes with the last reference, or by `memory.free`."""
        for engine in self._engines.values():
            engine.close()


def _layers(state: Snapshot) -> Layers:
    return ((state.page_nos, _packed(state)),)


def _packed(state: Snapshot) -> PackedPages:
    """The pages of a state, which are packed already where it came from a machine or from `decode`."""
    return state.pages if isinstance(state.pages, PackedPages) else pack(state.pages)


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
