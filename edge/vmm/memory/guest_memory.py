"""Guest memory and the page tables over it, which lie outside of what a guest can address; both engines walk them.

A `GuestMemory` is one mapping of RAM (guest-physical 0 up to its size) and one of the monitor's own pages at
`MONITOR_ADDRESS`: page tables, GDT, the way into ring 3. RAM is mapped over its base image, see `base_memory`, so pages
that nobody wrote are shared by every machine on the host. The D bit means "ever dirty since bound": engines set it when
the guest writes, this module when the VMM does, and it is cleared only by `bind`.
"""

import contextlib
import ctypes
import hashlib
import mmap
import struct
from collections.abc import Iterable
from typing import Final
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from edge.vmm.kernel import host
from edge.vmm.memory.base_memory import BaseMemory as BaseMemory
from edge.vmm.memory.base_memory import map_ram
from edge.vmm.memory.entry_bits import DIRTY as DIRTY
from edge.vmm.memory.entry_bits import LARGE as LARGE
from edge.vmm.memory.entry_bits import NO_EXECUTE as NO_EXECUTE
from edge.vmm.memory.entry_bits import PRESENT as PRESENT
from edge.vmm.memory.entry_bits import USER as USER
from edge.vmm.memory.entry_bits import WRITABLE as WRITABLE
from edge.vmm.memory.page_sets import Layers, Mask, differences, find_dirty, mark_dirty, write_back
from vmimage import abi
from vmimage.errors import FormatError
from vmimage.manifest import MEMORY_STEP, Region
from vmimage.pages import MASK_WORDS, WORDS_PER_PAGE, PackedPages, PageNos, page_view

# Guest-physical, above any RAM; supervisor-only in the tables.
MONITOR_ADDRESS: Final = abi.MEMORY_MAX
# Offsets in the monitor mapping.
PML4: Final = 0x0000
PDPT: Final = 0x1000
PD_RAM: Final = 0x2000
PD_MONITOR: Final = 0x3000
GDT: Final = 0x4000
ENTRY_STUB: Final = 0x5000
ENTRY_FRAME: Final = 0x5800
PT_RAM: Final = 0x10000

_TABLE: Final = PRESENT | WRITABLE | USER
_ACCESS: Final = {
    "r": PRESENT | USER | NO_EXECUTE,
    "rw": PRESENT | USER | WRITABLE | NO_EXECUTE,
    "rx": PRESENT | USER,
}

# Control registers of every machine (Intel SDM volume 3, section 2.5).
CR0: Final = 0x8001_0033  # PG, WP, NE, ET, MP, PE
CR4: Final = 0x0624  # OSXMMEXCPT, OSFXSR, PAE, TSD: RDTSC is outside of the contract
EFER: Final = 0xD01  # NXE, LMA, LME, SCE

# What the VMM writes in every machine's life: always dirty, so that writing there needs no marking. (address, bytes)
VMM_WRITES: Final = ((abi.INFO_ADDRESS, abi.PAGE_SIZE), (abi.GATE_IN_ADDRESS, abi.GATE_SIZE))

# Read-only to the guest, and part of its state: rings to it. The info page is not, it is made anew at every restore.
VMM_FILLS: Final = ((abi.GATE_IN_ADDRESS, abi.GATE_SIZE), (abi.DISK_IN_ADDRESS, abi.PAGE_SIZE))

_FIRST_BARE: Final = abi.LIBOS_ADDRESS // abi.PAGE_SIZE  # from here on the VMM fills no page while a guest runs

CODE_SELECTOR: Final = 0x2B  # ring 3, 64-bit
DATA_SELECTOR: Final = 0x23

MADV_POPULATE_READ: Final = 22  # asm-generic/mman-common.h
# A reset that finds more dirty pages than this gives them back to the kernel instead of copying: 512 pages are 2 MiB.
RESET_COPY_PAGES: Final = 512
# Up to here dirty bits are kept from one machine to the next: the engine keeps its TLB, and copying 64 pages is 16 µs.
KEEP_DIRTY_PAGES: Final = 64


class PageTemplate:
    """The last-level table entries of an image, made from its regions and copied into a shell at every bind."""

    def __init__(self, regions: Iterable[Region], memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.entries: NDArray[np.uint64] = np.zeros(memory_bytes // abi.PAGE_SIZE, dtype=np.uint64)
        addresses = np.arange(len(self.entries), dtype=np.uint64) * np.uint64(abi.PAGE_SIZE)
        for region in regions:
            pages = slice(region.start // abi.PAGE_SIZE, region.end // abi.PAGE_SIZE)
            self.entries[pages] = addresses[pages] | np.uint64(_ACCESS[region.access])
        for start, size in VMM_WRITES:
            self.entries[start // abi.PAGE_SIZE : (start + size) // abi.PAGE_SIZE] |= np.uint64(DIRTY)
        user_code = (self.entries & np.uint64(PRESENT | NO_EXECUTE)) == np.uint64(PRESENT)
        self.executable: NDArray[np.bool_] = user_code
        # What a parked machine may differ in: pages that the guest may write, and those that the VMM fills for it.
        self.parkable: NDArray[np.bool_] = self.entries & np.uint64(WRITABLE) != 0
        for start, size in VMM_FILLS:
            pages = slice(start // abi.PAGE_SIZE, (start + size) // abi.PAGE_SIZE)
            self.parkable[pages] |= self.entries[pages] & np.uint64(PRESENT) != 0
        self.key = hashlib.sha256(self.entries.data).digest()  # images of one layout have one key


_templates: Final[WeakValueDictionary[tuple[int, tuple[Region, ...]], PageTemplate]] = WeakValueDictionary()


def page_template(regions: tuple[Region, ...], memory_bytes: int) -> PageTemplate:
    """The template of a layout, one for all images that have it: thousands of services are the same program."""
    key = (memory_bytes, regions)
    template = _templates.get(key)
    if template is None:
        template = _templates[key] = PageTemplate(regions, memory_bytes)
    return template


class GuestMemory:
    """RAM and page tables of one shell."""

    def __init__(self, base: BaseMemory, memory_bytes: int) -> None:
        """:raises FormatError: no size that page tables can be laid for.
        :raises OSError: the host has no memory or no mappings left.
        """
        if memory_bytes % MEMORY_STEP or not abi.MEMORY_MIN <= memory_bytes <= abi.MEMORY_MAX:
            raise FormatError(f"memory: a multiple of {MEMORY_STEP} bytes expected, got {memory_bytes}")
        self.base = base
        self.memory_bytes = memory_bytes
        self.ram = map_ram(base, memory_bytes)
        self._extents, self._strays = base.within(memory_bytes)
        tables = PT_RAM + (memory_bytes >> 21) * abi.PAGE_SIZE
        self.monitor = mmap.mmap(-1, tables, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.pages = page_view(self.ram)
        self._copy_strays()
        entry_count = memory_bytes // abi.PAGE_SIZE
        self.entries = np.frombuffer(self.monitor, dtype=np.uint64, count=entry_count, offset=PT_RAM)
        self._found = np.empty(entry_count, dtype=np.uint32)  # kept, since fresh memory would cost page faults
        self.ram_pointer = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.monitor_pointer = ctypes.addressof(ctypes.c_char.from_buffer(self.monitor))
        self._template_key = b""
        self._write_upper_tables()

    def _write_upper_tables(self) -> None:
        def put(offset: int, *values: int) -> None:
            struct.pack_into(f"<{len(values)}Q", self.monitor, offset, *values)

        at = MONITOR_ADDRESS
        put(PML4, (at + PDPT) | _TABLE)
        put(PDPT, (at + PD_RAM) | _TABLE, (at + PD_MONITOR) | PRESENT | WRITABLE)
        put(PD_MONITOR, at | PRESENT | WRITABLE | LARGE)  # one 2 MiB page, supervisor
        put(PD_RAM, *((at + PT_RAM + n * abi.PAGE_SIZE) | _TABLE for n in range(self.memory_bytes >> 21)))
        # Selectors 0x08 and 0x10: ring 0 code and data; 0x20 and 0x28: ring 3 data and 64-bit code.
        put(GDT, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF, 0, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF)

    def bind(
        self,
        template: PageTemplate,
        layers: Layers = (),
        keep_dirty: int = KEEP_DIRTY_PAGES,
        watched: Mask | None = None,
    ) -> tuple[bool, PageNos]:
        """Reset every page that was written to the base under `layers`, whose own pages count as written.

        The page tables of an image are laid where they are not laid already.

        :param keep_dirty: dirty bits stay while there are no more pages than this.
        :param watched: pages of which the caller wants to know.
        :return: whether an entry changed other than by gaining bits: engines must then forget what they know of them;
            and the numbers of watched pages that may hold something else now.
        :raises ValueError: the image is for another memory size.
        """
        if template.memory_bytes != self.memory_bytes:
            raise ValueError(f"image of {template.memory_bytes} bytes on a shell of {self.memory_bytes}")
        dirty = self.dirty_pages()
        drop = len(dirty) > RESET_COPY_PAGES and host.LINUX  # elsewhere MADV_DONTNEED is a hint and drops nothing
        lay = template.key != self._template_key or len(dirty) > keep_dirty
        if drop:
            self._give_back()
            self._lay(template)
        self._mark(layers)
        written = self.dirty_pages()
        changed = self._write_back(written, layers, watched)
        if drop and watched is not None:  # what they held before is gone
            changed = np.union1d(dirty, written)
            changed = changed[watched[changed]]
        elif lay:
            self._lay(template)
            self._mark(layers)
        return lay or drop, changed

    def renew(self, layers: Layers, pages_max: int) -> bool:
        """The same for another machine of the image that is bound: nobody can have changed its code and its files.

        :param layers: the image's is the first.
        :return: False when more than `pages_max` were written: then this would take longer than `bind`.
        """
        self._mark(layers[1:])
        written = self.dirty_pages(changeable=True)
        if len(written) > pages_max:
            return False
        self._write_back(written, layers, None)
        return True

    def _lay(self, template: PageTemplate) -> None:
        self.entries[:] = template.entries
        self._template_key = template.key

    def _mark(self, layers: Layers) -> None:
        for page_nos, _ in layers:
            mark_dirty(self.entries, page_nos)

    def _write_back(self, page_nos: PageNos, layers: Layers, watched: Mask | None) -> PageNos:
        base = self.base
        return np.array(write_back(self.pages, page_nos, base.pages, base.present, layers, watched), dtype=np.uint32)

    def differences(self, page_nos: PageNos, layers: Layers) -> tuple[PageNos, PackedPages]:
        """Those of the pages that differ from the base under `layers`, and how, as XOR."""
        found, masks = np.empty_like(page_nos), np.empty((len(page_nos), MASK_WORDS), dtype=np.uint64)
        words = np.empty(len(page_nos) * WORDS_PER_PAGE, dtype=np.uint64)
        base = self.base
        count, word_count = differences(self.pages, page_nos, base.pages, base.present, layers, found, masks, words)
        return found[:count], PackedPages(masks[:count], words[:word_count].copy())

    def give_back(self) -> bool:
        """No machine is in it: free what much was written, which `bind` would do when the next one comes.

        :return: whether it did, so that the last image's own pages are gone too.
        """
        much = host.LINUX and len(self.dirty_pages()) > RESET_COPY_PAGES
        if much:
            self._give_back()
        return much

    def free(self) -> None:
        """Give all of it back to the host at once, whoever still refers to it; it is not used any more."""
        if host.LINUX:
            self.ram.madvise(mmap.MADV_DONTNEED)

    def _give_back(self) -> None:
        """All of RAM is the base's again: what is anonymous is zero, what is the file's is read from there."""
        self.ram.madvise(mmap.MADV_DONTNEED)
        self._copy_strays()

    def _copy_strays(self) -> None:
        if len(self._strays):
            self.pages[self._strays] = self.base.contents(self._strays)

    @property
    def stray_bytes(self) -> int:
        """Bytes of the base that this memory has a copy of though nobody wrote there."""
        return len(self._strays) * abi.PAGE_SIZE

    def lay_anew(self) -> None:
        """Whatever the entries say, the next `bind` writes them all, and all of RAM is the base's again."""
        self._template_key = b""
        self.entries |= np.uint64(DIRTY)

    def dirty_pages(self, skip: PageNos | None = None, *, changeable: bool = False) -> PageNos:
        """Numbers of the pages written since `bind`, by the guest or the VMM, but for those to `skip`.

        :param changeable: only those that the guest may write, and the devices' own, below the libOS, which the VMM
            writes.
        """
        count = find_dirty(self.entries, self._found, skip, _FIRST_BARE, changeable)
        return self._found[:count].copy()

    def touch(self, page_nos: PageNos) -> None:
        """Have pages of its own there, as if they had been written, and map what the base has to be read."""
        self.pages[page_nos] ^= np.uint64(0)
        for start, end in self._extents:
            with contextlib.suppress(OSError):  # Linux before 5.14, and other systems: a fault for each page then
                self.ram.madvise(MADV_POPULATE_READ, start, end - start)

    def mark_dirty(self, page_nos: PageNos | slice | int) -> None:
        """Say that the VMM wrote these pages."""
        self.entries[page_nos] |= np.uint64(DIRTY)

    def write(self, address: int, data: bytes) -> None:
        """Write for the VMM (a loader), wherever the guest's own permissions are.

        :raises ValueError: outside of memory.
        """
        if not 0 <= address <= self.memory_bytes - len(data):
            raise ValueError(f"{len(data)} bytes at {address:#x} are outside of {self.memory_bytes:#x} bytes of memory")
        self.ram[address : address + len(data)] = data
        self.mark_dirty(slice(address // abi.PAGE_SIZE, -(-(address + len(data)) // abi.PAGE_SIZE)))

    def is_writable(self, address: int, size: int) -> bool:
        """Whether the guest itself could write all of these bytes."""
        if not (0 <= address < self.memory_bytes and 0 < size <= self.memory_bytes - address):
            return False
        pages = self.entries[address // abi.PAGE_SIZE : -(-(address + size) // abi.PAGE_SIZE)]
        return bool((pages & np.uint64(PRESENT | WRITABLE) == np.uint64(PRESENT | WRITABLE)).all())

    def write_checked(self, address: int, data: bytes) -> bool:
        """The same door for writing: False, and nothing written, where the guest itself could not write all of it."""
        if not self.is_writable(address, len(data)):
            return False
        self.write(address, data)
        return True

    def read_checked(self, address: int, size: int) -> bytes | None:
        """The one door for an address that a guest gave: its bytes, copied once, if the guest could read them all."""
        if not (0 <= address < self.memory_bytes and 0 < size <= self.memory_bytes - address):
            return None
        pages = self.entries[address // abi.PAGE_SIZE : -(-(address + size) // abi.PAGE_SIZE)]
        if not (pages & np.uint64(PRESENT)).all():
            return None
        return self.ram[address : address + size]
