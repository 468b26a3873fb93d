"""One hostile machine: code, registers, memory, devices, limits, and what it is sent. A seed and a number make it.

A case that once failed is kept as JSON in `corpus/code`, hexadecimal where it is bytes, so that it is still the same
when the generator has changed.
"""

import json
import random
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Final, cast

import numpy as np

from edge.vmm.wire import frames
from tests.property.fuzzing import instructions
from tests.property.fuzzing.instructions import ADDRESSES, TIMES, Rng
from vmimage import abi, snapshot
from vmimage.manifest import Access, Region
from vmimage.snapshot import RFLAGS_FIXED, DeviceState, Registers, Snapshot

PAGE: Final = abi.PAGE_SIZE
DATA: Final = abi.PROGRAM_ADDRESS + 0x10000
DATA_BYTES: Final = 0x10000
TOGETHER: Final = 256  # cases that mostly have one layout
CONTROL: Final = struct.Struct("<3Q3I4xQ")
MIB: Final = 1 << 20

_DEVICES: Final = (
    (abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
    (abi.CONTROL_ADDRESS, abi.ENV_ADDRESS, "rw"),
    (abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, "r"),
    (abi.GATE_OUT_ADDRESS, abi.GATE_OUT_ADDRESS + abi.GATE_SIZE, "rw"),
)
_DATA: Final = (DATA, DATA + DATA_BYTES, "rw")
_LIBOS: Final = (abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + 2 * PAGE, "rx")
_PROGRAM: Final = (abi.PROGRAM_ADDRESS, abi.PROGRAM_ADDRESS + 2 * PAGE, "rx")


@dataclass(frozen=True)
class Layout:
    """What of memory there is, and where code is put."""

    memory_bytes: int
    regions: tuple[Region, ...]
    code: int  # address of two executable pages, or of the last one before something else


def _layout(memory_bytes: int, code: int, *regions: tuple[int, int, str]) -> Layout:
    ordered = sorted(regions)
    return Layout(memory_bytes, tuple(Region(a, b, cast(Access, how)) for a, b, how in ordered), code)


LAYOUTS: Final = (
    _layout(4 * MIB, abi.LIBOS_ADDRESS, *_DEVICES, _LIBOS, _DATA),
    _layout(4 * MIB, abi.PROGRAM_ADDRESS, *_DEVICES, _LIBOS, _PROGRAM, _DATA),
    _layout(6 * MIB, abi.PROGRAM_ADDRESS, *_DEVICES, _PROGRAM, (DATA, 6 * MIB, "rw")),
    _layout(4 * MIB, abi.LIBOS_ADDRESS, _LIBOS, _DATA),  # without devices
    _layout(4 * MIB, 4 * MIB - 2 * PAGE, *_DEVICES, (4 * MIB - 2 * PAGE, 4 * MIB, "rx"), _DATA),  # to the end of memory
    _layout(4 * MIB, abi.PROGRAM_ADDRESS, *_DEVICES, (*_PROGRAM[:1], abi.PROGRAM_ADDRESS + PAGE, "rx"), _DATA),
    _layout(  # code beside data, with a hole behind
        4 * MIB,
        abi.PROGRAM_ADDRESS,
        *(*_DEVICES, _PROGRAM, (_PROGRAM[1], _PROGRAM[1] + PAGE, "rw"), _DATA),
    ),
    _layout(8 * MIB, abi.LIBOS_ADDRESS, *_DEVICES, _LIBOS, (abi.PROGRAM_ADDRESS, 8 * MIB, "rw")),
    _layout(4 * MIB, abi.INFO_ADDRESS, (abi.INFO_ADDRESS, abi.CONTROL_ADDRESS + PAGE, "rx"), _DATA),  # code in devices
    _layout(
        4 * MIB, abi.GATE_OUT_ADDRESS, *_DEVICES[:3], (abi.GATE_OUT_ADDRESS, abi.GATE_OUT_ADDRESS + 2 * PAGE, "rx")
    ),
)


NEVER, AT_ONCE, AT_REST = range(3)  # when a machine is parked


@dataclass(frozen=True)
class Case:
    """Everything about one machine; equal cases do the same."""

    layout: int = 0
    code: bytes = b""
    place: int = 0  # of the code, from `Layout.code`
    gpr: tuple[int, ...] = (0,) * 16
    rflags: int = RFLAGS_FIXED
    fs_base: int = 0
    gs_base: int = 0
    fxsave: bytes = snapshot.FXSAVE_CLEAN
    control: bytes = b""
    data: bytes = b""  # at DATA
    ring: bytes = b""  # what is in the ring from the guest already
    devices: Mapping[str, int] = field(default_factory=dict)  # fields of `DeviceState`
    limits: Mapping[str, int] = field(default_factory=dict)
    fresh: bool = False
    noise: int = 0  # pages that do not compress, behind the data: with some hundred KiB an image travels as a memfd
    sent: tuple[tuple[int, int, int, bytes], ...] = ()  # frames after OPEN: type, flags, stream, payload
    park: int = NEVER
    reopen: int = 0  # 0: not; 1: what it was parked as; from 2 on: that with bytes changed, by this seed
    record_bytes: int = frames.RECORD_BYTES_MAX  # with so many that changed it may be parked

    def record(self) -> bytes:
        """The image's record."""
        return _encode(self)

    def to_json(self) -> str:
        """For the corpus and for a reproducer."""
        fields = {name: _plain(value) for name, value in asdict(self).items()}
        return json.dumps(fields, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Case":
        """What `to_json` gave; absent fields are as if nothing had been said."""
        fields: dict[str, Any] = json.loads(text)
        for name in {"code", "fxsave", "control", "data", "ring"} & fields.keys():
            fields[name] = bytes.fromhex(fields[name])
        if "gpr" in fields:
            fields["gpr"] = tuple(fields["gpr"])
        fields["sent"] = tuple((a, b, c, bytes.fromhex(payload)) for a, b, c, payload in fields.get("sent", ()))
        return cls(**fields)


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _encode(case: Case) -> bytes:
    layout = LAYOUTS[case.layout]
    pages: dict[int, bytearray] = {}

    def put(address: int, data: bytes) -> None:
        data = data[: max(0, layout.memory_bytes - address)]
        for start in range(0, len(data), PAGE):
            piece = data[start : start + PAGE]
            while piece:
                page, offset = divmod(address, PAGE)
                part, piece = piece[: PAGE - offset], piece[PAGE - offset :]
                row = pages.setdefault(page, bytearray(PAGE))
                row[offset : offset + len(part)] = part
                address += len(part)

    for address, data in ((abi.CONTROL_ADDRESS, case.control), (abi.GATE_OUT_ADDRESS, case.ring), (DATA, case.data)):
        put(address, data)
    put(DATA + DATA_BYTES, Rng("noise").randbytes(case.noise * PAGE))
    put(layout.code + case.place, case.code)
    page_nos = np.array(sorted(pages), dtype=np.uint32)
    rows = np.frombuffer(b"".join(bytes(pages[n]) for n in sorted(pages)), dtype=np.uint64).reshape(len(pages), -1)
    if not pages:
        rows = rows.reshape(0, PAGE // 8)
    registers = Registers(case.gpr, layout.code + case.place, case.rflags, case.fs_base, case.gs_base, case.fxsave)
    return snapshot.encode(Snapshot(registers, DeviceState(**case.devices), page_nos, rows), level=1, zstd=_zstd())


@cache
def _zstd() -> snapshot.Zstd:
    return snapshot.Zstd()


# Making one up


def make(seed: int, number: int) -> Case:
    """Case `number` of a seed: the same on every engine and machine."""
    rng = Rng(f"{seed}:{number}")
    # Mostly one for many neighbours: where the next machine in a shell has another layout, KVM makes a virtual machine.
    together = Rng(f"{seed}:layout:{number // TOGETHER}")
    layout_no = (together if rng.random() < 0.9 else rng).choice((0, 0, 0, 1, 1, 1, *range(len(LAYOUTS))))
    layout = LAYOUTS[layout_no]
    values = (0, 1, DATA, DATA, DATA + 64, DATA + DATA_BYTES - 8, layout.code, *ADDRESSES, *TIMES)
    gpr = [rng.choice((*values, rng.getrandbits(64), rng.getrandbits(22))) for _ in range(16)]
    for index in (3, 6, 7):  # RBX, RSI, RDI, which operands name most
        if rng.random() < 0.7:
            gpr[index] = DATA + rng.randrange(0, DATA_BYTES - 8, 8)
    if rng.random() < 0.85:
        gpr[4] = DATA + rng.randrange(256, DATA_BYTES, 8)
    return Case(
        layout=layout_no,
        code=instructions.program(rng),
        place=rng.choice((0, 0, 0, 1, 0x7F, PAGE - 1, PAGE - 2, PAGE - 7, PAGE - 16, PAGE - 64)),
        gpr=tuple(gpr),
        rflags=RFLAGS_FIXED | rng.choice((0, 0, 0x400, 0x40000, 0x200000, 0x240CD5, 0x8D5)),
        fs_base=rng.choice((0, DATA, layout.memory_bytes - 8, 2**47 - 1)),
        gs_base=rng.choice((0, 0, DATA, 2**47 - 1)),
        fxsave=_fxsave(rng),
        control=_control(rng, layout),
        data=_data(rng, layout),
        ring=_ring(rng),
        devices=_devices(rng),
        limits=_limits(rng),
        fresh=rng.random() < 0.15,
        noise=rng.choice((1, 70, 100)) if rng.random() < 0.01 else 0,
        sent=tuple(_sent(rng)),
        park=rng.choice((NEVER, AT_ONCE, AT_REST, AT_REST, AT_REST)),
        reopen=rng.choice((0, 0, 1, 1, rng.randrange(2, 1 << 30))),
        record_bytes=rng.choice((0, PAGE)) if rng.random() < 0.1 else frames.RECORD_BYTES_MAX,
    )


def _fxsave(rng: Rng) -> bytes:
    if rng.random() < 0.6:
        return snapshot.FXSAVE_CLEAN
    area = bytearray(rng.randbytes(512))
    area[24:28] = rng.choice((b"\x80\x1f\0\0", b"\0\0\0\0", b"\xff\xff\0\0", rng.randbytes(2) + b"\0\0"))
    return bytes(area)


def _control(rng: Rng, layout: Layout) -> bytes:
    """Interrupts on or off, any handler, any place in the rings, any way for SYSCALL."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.choice((8, 40, 0x130)))
    handlers = (layout.code, layout.code + 8, DATA, 0, layout.memory_bytes - 1, layout.memory_bytes, 2**47, 2**64 - 1)
    positions = (
        0,
        0,
        0,
        0,
        8,
        16,
        24,
        0x10,
        4,
        abi.GATE_SIZE,
        abi.GATE_SIZE - 8,
        2**31,
        2**32 - 8,
        rng.getrandbits(32),
    )
    return CONTROL.pack(
        *(rng.choice((0, 0, 1, 1, 2**64 - 1)), rng.choice((0, 1, 2, 7, 2**64 - 1)), rng.choice(handlers)),
        *(rng.choice(positions) if rng.random() < 0.06 else 0 for _ in range(3)),
        rng.choice((0, *handlers)),
    )


def _data(rng: Rng, layout: Layout) -> bytes:
    """Numbers, addresses and far pointers; or a second program, for those that jump there."""
    if rng.random() < 0.5:
        return b""
    words = (0, 1, 2**64 - 1, layout.code, DATA, 0x2B, 0x23, 0x33, *ADDRESSES, rng.getrandbits(64))
    table = b"".join(struct.pack("<Q", rng.choice(words)) for _ in range(64))
    return table + (instructions.program(rng) if rng.random() < 0.3 else b"")


def _ring(rng: Rng) -> bytes:
    if rng.random() < 0.85:
        return b""
    out = b""
    for _ in range(rng.randrange(1, 4)):
        payload = rng.choice((b"", b"Status\x00200\0\0ok", b"\0", b"Status", rng.randbytes(rng.randrange(40))))
        length = rng.choice((len(payload),) * 6 + (len(payload) + 1, 0x4000, 0x4001, 0xFFFFFFFF))
        stream = rng.choice((1, 1, 1, 2, 0, abi.EXCHANGE_BIT, 0xFFFFFFFF))
        head = struct.pack("<IHHII", length, rng.choice((*range(7), 1, 1, 2)), rng.choice((0, 0, 1, 2)), stream, 0)
        out += head + payload + bytes(-len(payload) % 8)
    return out


def _devices(rng: Rng) -> dict[str, int]:
    """Mostly what a decoder takes: clocks and deadlines at their ends, and places in rings."""
    if rng.random() < 0.5:
        return {}
    fields = {
        "in_head": rng.choice((0, 8, abi.GATE_SIZE - 8, 2**32 - 8)),
        "out_tail": rng.choice((0, 8, abi.GATE_SIZE - 8, 2**32 - 8)),
        "console_tail": rng.choice((0, 1, abi.CONSOLE_SIZE - 1, 2**32 - 1)),
        "timer_timeline": rng.choice((0, 1)),
        "timer_deadline_ns": rng.choice(TIMES),
        "timer_fired": rng.choice((0, 1)),
        "mono_ns": rng.choice([time for time in TIMES if time < 2**63]),
        "virtual_ns": rng.choice([time for time in TIMES if time < 2**63]),
        "idle_until_ns": rng.choice((0, 0, 0, *TIMES)),
        "entry": rng.choice((0, abi.PROGRAM_ADDRESS, abi.MEMORY_MAX)),
        "heap": rng.choice((0, abi.PROGRAM_ADDRESS, abi.MEMORY_MAX)),
        "files": rng.choice((0, 0, abi.PROGRAM_ADDRESS, abi.MEMORY_MAX)),
        "kind": rng.randrange(4),
    }
    if rng.random() < 0.05:  # and what a decoder must refuse
        fields[rng.choice(sorted(fields.keys() - {"timer_timeline", "timer_fired"}))] = rng.choice((1, 3, 255, 2**31))
    return {name: value for name, value in fields.items() if rng.random() < 0.4}


def _limits(rng: Rng) -> dict[str, int]:
    return {
        "cpu_ms": rng.choice((1, 1, 1, 1, 2, 3)),
        "output_bytes": rng.choice((1, 100, 1 << 20, 1 << 30)),
        "streams": rng.choice((1, 2, 64)),
        "log_bytes": rng.choice((0, 0, 100, 64 << 10)),
    }


def _sent(rng: Rng) -> list[tuple[int, int, int, bytes]]:
    """Requests, pieces of bodies, credit and resets, on streams that are open and on those that are not."""
    if rng.random() < 0.5:
        return []
    sent = []
    for _ in range(rng.randrange(1, 5)):
        kind = rng.choice((1, 1, 1, 2, 3, 4))
        payload = {
            1: b"REQUEST_METHOD\0GET\0PATH_INFO\0/\0\0" + rng.randbytes(rng.choice((0, 0, 5))),
            2: rng.randbytes(rng.choice((0, 1, 100, 5000))),
            3: b"",
            4: struct.pack("<I", rng.choice((0, 1, 0x10000, 2**32 - 1))),
        }[kind]
        flags = rng.choice((0, 1)) if kind in (1, 2) else 0
        sent.append((kind, flags, rng.choice((1, 1, 1, 2, 3)), payload))
    return _as_supervised(sent)


def _as_supervised(sent: list[tuple[int, int, int, bytes]]) -> list[tuple[int, int, int, bytes]]:
    """In an order that a supervisor keeps to: HEAD once and first, nothing of a request after its end."""
    opened, ended, kept = set(), set(), []
    for kind, flags, stream, payload in sent:
        if (kind == 1) == (stream in opened) or (kind == 2 and stream in ended):
            continue
        opened.add(stream)
        if kind in (1, 2) and flags:
            ended.add(stream)
        if kind == 3:
            ended.add(stream)
        kept.append((kind, flags, stream, payload))
    return kept


def minimised(case: Case) -> "list[Case]":
    """Simpler cases, each with one thing left out, for whoever looks for the cause."""
    plain = Case()
    changes: list[dict[str, Any]] = []
    for name in (
        "ring",
        "data",
        "control",
        "sent",
        "devices",
        "fxsave",
        "fs_base",
        "gs_base",
        "fresh",
        "reopen",
        "rflags",
        "noise",
    ):
        if getattr(case, name) != getattr(plain, name):
            changes.append({name: getattr(plain, name)})
    step = max(1, len(case.code) // 8)
    changes += [{"code": case.code[:at] + case.code[at + step :]} for at in range(0, len(case.code), step)]
    if len(case.code) <= 24:
        changes += [{"code": case.code[:at] + case.code[at + 1 :]} for at in range(len(case.code))]
    for index, value in enumerate(case.gpr):
        if value:
            changes.append({"gpr": (*case.gpr[:index], 0, *case.gpr[index + 1 :])})
    return [replace(case, **change) for change in changes]


def random_of(seed: int) -> random.Random:
    """A generator for what is changed in a parked record."""
    return random.Random(seed)
