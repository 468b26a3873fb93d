"""A worker's side of disks: blocks that are here, wants under way, and what machines wrote, on its way out.

One cache of blocks for all machines of the worker: a disk that a thousand of them share is here once. A want is sent
once however many machines wait for the block. What goes wrong outside comes back as a failed block or a status, so a
guest gets an I/O error and never waits for ever.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from edge.vmm.devices.disk import Arrived, Disks, Done, Drive
from edge.vmm.memory.guest_memory import GuestMemory
from edge.vmm.turns.charges import APPEND_NS, BLOCK_WANT_NS, DISK_NS_PER_BYTE, KEEP_NS
from edge.vmm.wire.disks import Append, Block, BlockWant, DiskDone, DiskMore, DropDisk, Keep, NewDisk, Pages
from edge.vmm.wire.machines import OpenDisk
from vmimage import abi
from vmimage.disk import ZERO_BLOCK, cut_pages, decode_pages
from vmimage.parked import decode_scratch, encode_scratch

PART_PAGES: Final = 16  # of a flush at a time, 64 KiB: what other machines' answers may have before them

Send = Callable[[bytes], None]  # a frame
ForMachine = Callable[..., None]  # number, action, arguments: what goes wrong in the action ends that machine alone


class Blocks:
    """Blocks of all disks, the least recently used of them dropped beyond a budget."""

    def __init__(self, send: Send) -> None:
        self.budget_bytes = 0
        self.hits = self.misses = self.asked = 0
        self._send = send
        self._held: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._wanted: dict[tuple[int, int], list[Arrived]] = {}
        self._sizes: dict[int, int] = {}  # blocks of each disk

    def __len__(self) -> int:
        return len(self._held)

    def add(self, disk: int, blocks: int) -> None:
        """A disk of which blocks may be asked."""
        self._sizes[disk] = blocks

    def drop(self, disk: int) -> None:
        """Forget a disk that no machine has any more."""
        self._sizes.pop(disk, None)
        for key in [key for key in self._held if key[0] == disk]:
            del self._held[key]

    def get(self, disk: int, block_no: int) -> bytes | None:
        """A block that is here, now the most recently used."""
        if not 0 <= block_no < self._sizes.get(disk, 0):
            return ZERO_BLOCK  # a cow disk may be larger than what lies under it
        block = self._held.get((disk, block_no))
        if block is None:
            self.misses += 1
            return None
        self.hits += 1
        self._held.move_to_end((disk, block_no))
        return block

    def want(self, disk: int, block_no: int, ahead: int, arrived: Arrived) -> int:
        """Ask for a block, and for those behind it that nobody has asked for yet; how many frames that took."""
        before = self.asked
        self._ask(disk, block_no).append(arrived)
        for number in range(block_no + 1, min(block_no + 1 + ahead, self._sizes.get(disk, 0))):
            if (disk, number) not in self._held:
                self._ask(disk, number)
        return self.asked - before

    def _ask(self, disk: int, block_no: int) -> list[Arrived]:
        waiting = self._wanted.get((disk, block_no))
        if waiting is None:
            waiting = self._wanted[disk, block_no] = []
            self.asked += 1
            self._send(BlockWant(disk, block_no).to_bytes())
        return waiting

    def arrived(self, disk: int, block_no: int, block: bytes | None) -> None:
        """A block came, or None: it cannot be had."""
        if block is not None and disk in self._sizes:
            self._held[disk, block_no] = block
            while len(self._held) * abi.DISK_BLOCK_SIZE > self.budget_bytes and len(self._held) > 1:
                self._held.popitem(last=False)
        for arrived in self._wanted.pop((disk, block_no), ()):
            arrived(block)


class _Backing:
    """What one machine's disks stand on."""

    def __init__(self, owner: "Drives", machine: int, disks: Sequence[int | None]) -> None:
        self._owner, self._machine, self._disks = owner, machine, disks
        self._token = 0
        self.disks: Disks | None = None
        self.asked: dict[int, Done] = {}
        self._parts: dict[int, Iterator[bytes]] = {}  # frames of flushes that are not sent yet, by token

    def block(self, drive: int, block_no: int) -> bytes | None:
        disk = self._disks[drive]
        return ZERO_BLOCK if disk is None else self._owner.blocks.get(disk, block_no)

    def want(self, drive: int, block_no: int, ahead: int, arrived: Arrived) -> None:
        disk = self._disks[drive]
        assert disk is not None

        def arrived_and_wake(block: bytes | None) -> None:
            self._owner.for_machine(self._machine, self._answer, arrived, block)

        self._charge(BLOCK_WANT_NS * self._owner.blocks.want(disk, block_no, ahead, arrived_and_wake))

    def _answer(self, told: Callable[[Any], None], answer: object) -> None:
        told(answer)
        self._owner.wake(self._machine)

    def keep(self, drive: int, pages: dict[int, bytes], done: Done) -> None:
        """A flush goes a part at a time, as the supervisor asks for it: to refuse one costs it next to nothing."""
        token = self._next(done, KEEP_NS + DISK_NS_PER_BYTE * abi.PAGE_SIZE * len(pages))
        self._parts[token] = self._cut(drive, pages, token)
        self.on_more(token)

    def keep_unasked(self, drive: int, pages: dict[int, bytes]) -> None:
        """Send a whole flush: there is no other time for it."""
        token = self._next(lambda _: None, 0)
        for frame in self._cut(drive, pages, token):
            self._owner.send(frame)

    def _cut(self, drive: int, pages: dict[int, bytes], token: int) -> Iterator[bytes]:
        parts = cut_pages(pages, PART_PAGES)
        part = next(parts)
        for following in parts:
            yield Keep(self._machine, token, drive, True, part).to_bytes()
            part = following
        yield Keep(self._machine, token, drive, False, part).to_bytes()

    def on_more(self, token: int) -> None:
        """The supervisor is ready for the next part of a flush."""
        frame = next(self._parts.get(token, iter(())), None)
        if frame is not None:
            self._owner.send(frame)

    def append(self, drive: int, record: bytes | None, done: Done) -> None:
        token = self._next(done, APPEND_NS + DISK_NS_PER_BYTE * len(record or b""))
        self._owner.send(Append(self._machine, token, drive, record).to_bytes())

    def _charge(self, cost_ns: int) -> None:
        if self.disks is not None:
            self.disks.account.add(cost_ns)

    def _next(self, done: Done, cost_ns: int) -> int:
        """A token for what costs the supervisor so much."""
        self._charge(cost_ns)
        self._token = token = self._token + 1 & 0xFFFFFFFF
        self.asked[token] = done
        return token

    def on_done(self, token: int, status: int) -> None:
        """The supervisor's answer."""
        self._parts.pop(token, None)
        done = self.asked.pop(token, None)
        if done is not None:
            self._answer(done, status)


class Drives:
    """All disks of all machines of a worker."""

    def __init__(self, send: Send, wake: Callable[[int], None], for_machine: ForMachine) -> None:
        """:param wake: lets a machine go on, by its number."""
        self.blocks = Blocks(send)
        self.send, self.wake, self.for_machine = send, wake, for_machine
        self._backings: dict[int, _Backing] = {}
        self._written: dict[int, dict[int, bytes]] = {}  # of machines that are about to be opened: page sets by drive

    # Messages

    def on_disk(self, new: NewDisk) -> None:
        """Blocks of a disk may be asked for."""
        self.blocks.budget_bytes = new.cache_bytes
        self.blocks.add(new.disk, new.blocks)

    def on_drop(self, drop: DropDisk) -> None:
        """They may not any more."""
        self.blocks.drop(drop.disk)

    def on_block(self, block: Block) -> None:
        """A block came, or cannot be had."""
        self.blocks.arrived(block.disk, block.block_no, ZERO_BLOCK if block.data == b"" else block.data)

    def on_pages(self, written: Pages) -> None:
        """What was written to a disk of a machine that is about to be opened."""
        self._written.setdefault(written.machine, {})[written.place] = written.pages

    def on_done(self, answer: DiskDone) -> None:
        """What became of a flush or a record."""
        backing = self._backings.get(answer.machine)
        if backing is not None:
            backing.on_done(answer.token, answer.status)

    def on_more(self, more: DiskMore) -> None:
        """The next part of a flush may go."""
        backing = self._backings.get(more.machine)
        if backing is not None:
            backing.on_more(more.token)

    # Machines

    def open(self, machine: int, memory: GuestMemory, disks: Sequence[OpenDisk], scratch: bytes) -> Disks | None:
        """The disks of a machine that is being opened, if it has any.

        :param scratch: what PARKED carried of them.
        :raises FormatError: pages do not parse.
        """
        written = self._written.pop(machine, {})
        drives = [Drive(disk.ref) for disk in disks]
        for number, drive in enumerate(drives):
            if number in written:
                drive.pages = decode_pages(written[number], drive.ref.bytes)
        held = _scratch(drives)
        for drive, pages in zip(held, decode_scratch(scratch, [drive.ref.bytes for drive in held]), strict=True):
            drive.pages = pages
        if not drives:
            return None
        backing = self._backings[machine] = _Backing(self, machine, [disk.number for disk in disks])
        backing.disks = Disks(memory, drives, backing)
        return backing.disks

    def park(self, machine: int) -> bytes:
        """What scratch disks hold, for PARKED. Sends what cow disks hold that is not kept."""
        backing = self._backings.get(machine)
        if backing is None or backing.disks is None:
            return b""
        drives = backing.disks.drives
        for number, drive in enumerate(drives):
            if drive.unkept:
                backing.keep_unasked(number, drive.take_unkept())
        return encode_scratch([drive.pages for drive in _scratch(drives)])

    def forget(self, machine: int) -> None:
        """The machine is gone."""
        backing = self._backings.pop(machine, None)
        if backing is not None and backing.disks is not None:
            backing.disks.close()
        self._written.pop(machine, None)

    def held_bytes(self) -> int:
        """Of blocks, which have a budget of their own."""
        return len(self.blocks) * abi.DISK_BLOCK_SIZE


def _scratch(drives: Sequence[Drive]) -> list[Drive]:
    return [drive for drive in drives if drive.ref.kind == "scratch"]
