"""Machines whose state is known, beside the hostile ones: one that serves, one that keeps a secret, one that looks.

They share what a worker shares: base image, memory sizes, and so the shells that hostile machines leave behind.
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from edge.content.image import Image, prepare
from edge.vmm.wire import frames
from tests.property.fuzzing import instructions
from tests.property.fuzzing.case import DATA_BYTES, LAYOUTS, Case, Layout
from tests.support.guests import EXAMPLES, bake, baker, head_block
from vmimage import abi, snapshot
from vmimage.manifest import SNAPSHOT_TYPE, Blob, ImageManifest, Limits, Region, digest_of
from vmimage.pages import Pages, pages_digest
from vmimage.snapshot import DeviceState, Registers, Snapshot

BASE_NUMBER: Final = 1
HELLO_BASE_NUMBER: Final = 2
HELLO_NUMBER: Final = 3
FIRST_NUMBER: Final = 16  # of images that are made as they are wanted

SECRET: Final = random.Random("secret").randbytes(16)
_BASE_PAGES: Final = (0x12, 0x105, 0x205, 0x230, 0x2FF, 0x3F0)  # where no case has code, since records are XORed
# What the looking machine adds up: all that a machine may have written, but for what the VMM writes at every start; on
# KVM the pages that cases mostly write, since there each page that is touched first may take a millisecond.
_ALL: Final = ((abi.CONTROL_ADDRESS, abi.GATE_IN_ADDRESS), (abi.GATE_OUT_ADDRESS, 0))
_MOST: Final = tuple(
    (page * abi.PAGE_SIZE, (page + count) * abi.PAGE_SIZE)
    for page, count in ((0x11, 2), (0x30, 1), (0x3F, 1), (0x100, 2), (0x200, 2), (0x210, 2), (0x21F, 1), (0x2FF, 1))
)


def _manifest(
    kind: str, layout: Layout, blob: bytes, base: Image | None, contents: tuple[np.ndarray, Pages] | None
) -> ImageManifest:
    page_nos, pages = contents if contents is not None else (np.zeros(0, np.uint32), np.zeros((0, 512), np.uint64))
    return ImageManifest(
        name="fuzz",
        abi=abi.ABI_VERSION,
        kind=kind,  # type: ignore[arg-type]
        base=base.manifest.digest if base else None,
        memory_bytes=layout.memory_bytes,
        regions=layout.regions,
        snapshot=Blob(SNAPSHOT_TYPE, digest_of(blob), len(blob)),
        snapshot_bytes=snapshot.record_size(len(page_nos)),
        page_count=len(page_nos),
        pages_digest=pages_digest(page_nos, pages),
    )


@cache
def base_image() -> Image:
    """The base of every hostile machine: a few pages of noise, some of which they may write."""
    rng = random.Random("base")
    page_nos = np.array(_BASE_PAGES, dtype=np.uint32)
    pages = np.frombuffer(rng.randbytes(len(page_nos) * abi.PAGE_SIZE), dtype=np.uint64).reshape(len(page_nos), -1)
    blob = snapshot.encode(Snapshot(Registers(), DeviceState(), page_nos, pages))
    return prepare(BASE_NUMBER, _manifest("base", LAYOUTS[0], blob, None, (page_nos, pages)), blob, None)


def _base_words(memory_bytes: int) -> "np.ndarray":
    words = np.zeros(memory_bytes // 8, dtype=np.uint64)
    image = base_image()
    assert image.pages is not None
    for page in _BASE_PAGES:
        words[page * 512 : (page + 1) * 512] = image.pages[page]
    return words


@cache
def layout_manifest(index: int) -> ImageManifest:
    """The manifest of a hostile image: what its announcement says of memory."""
    return _manifest("derived", LAYOUTS[index], b"-", base_image(), None)


def hostile(number: int, case: Case) -> Image:
    """A case's image."""
    return Image(number, layout_manifest(case.layout), base_image(), case.record(), -1, None)


# The one that serves


@cache
def hello_images() -> tuple[Image, Image]:
    """A sample of the project's own, and the libOS it stands on."""
    base, hello = baker().base, bake(EXAMPLES / "hello.c")
    below = prepare(HELLO_BASE_NUMBER, base.manifest, base.blobs[base.manifest.snapshot.digest], None)
    blob = hello.blobs[hello.manifest.snapshot.digest]
    return below, prepare(HELLO_NUMBER, hello.manifest, blob, below)


def hello_request(machine: int, stream: int) -> bytes:
    """A whole request."""
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "guest.test"}
    return frames.pack(frames.HEAD, frames.FLAG_END, machine, stream, head_block(variables))


def hello_answer(count: int) -> bytes:
    """What it says to its request number `count`."""
    return b"hello from /, request %d\n" % count


# The one that keeps a secret


def secret_case() -> Case:
    """Rests for ever; memory and registers are full of SECRET."""
    (low, high) = struct.unpack("<QQ", SECRET)
    fxsave = bytearray(snapshot.FXSAVE_CLEAN)
    fxsave[160:416] = SECRET * 16
    return Case(
        code=instructions.REST,
        gpr=tuple(high if n % 2 else low for n in range(16)),
        fxsave=bytes(fxsave),
        data=SECRET * (DATA_BYTES // 16),
        limits={"cpu_ms": 1000},
    )


# The one that looks


def looking_layout(memory_bytes: int) -> Layout:
    """All of memory, readable."""
    code = abi.LIBOS_ADDRESS
    regions = (
        Region(abi.INFO_ADDRESS, abi.CONTROL_ADDRESS, "r"),
        Region(abi.CONTROL_ADDRESS, abi.GATE_IN_ADDRESS, "rw"),
        Region(abi.GATE_IN_ADDRESS, abi.GATE_OUT_ADDRESS, "r"),
        Region(abi.GATE_OUT_ADDRESS, code, "rw"),
        Region(code, code + abi.PAGE_SIZE, "rx"),
        Region(code + abi.PAGE_SIZE, memory_bytes, "rw"),
    )
    return Layout(memory_bytes, regions, code)


def looking_code(memory_bytes: int, pieces: Sequence[tuple[int, int]]) -> bytes:
    """Adds up all words of these pieces of memory in RAX, then rests."""
    code = b"\x31\xc0"  # xor eax, eax
    for start, end in pieces:
        words = ((end or memory_bytes) - start) // 8
        code += b"\x48\xbe" + struct.pack("<Q", start) + b"\x48\xb9" + struct.pack("<Q", words)
        code += bytes.fromhex("480306 4883c608 48ffc9 75f4")  # l: add rax,[rsi]; add rsi,8; dec rcx; jnz l
    return code + instructions.REST


@dataclass(frozen=True)
class Looking:
    """The image of a machine that looks, and the registers that it must come to rest with."""

    image: Image
    gpr: tuple[int, ...]


def looking(number: int, memory_bytes: int, engine: str) -> Looking:
    """One for a size of memory."""
    pieces = _ALL if engine == "unicorn" else _MOST
    layout, code = looking_layout(memory_bytes), looking_code(memory_bytes, pieces)
    row = bytearray(abi.PAGE_SIZE)
    row[: len(code)] = code
    page_nos = np.array([layout.code // abi.PAGE_SIZE], dtype=np.uint32)
    wanted = np.frombuffer(bytes(row), dtype=np.uint64).reshape(1, -1)
    base = base_image()
    assert base.pages is not None
    registers = Registers(gpr=LOOKING_GPR, rip=layout.code)
    record = snapshot.encode(Snapshot(registers, DeviceState(), page_nos, wanted ^ base.pages[page_nos]))
    words = _base_words(memory_bytes)
    words[layout.code // 8 : layout.code // 8 + 512] = wanted[0]
    total = sum(int(words[start // 8 : (end or memory_bytes) // 8].sum(dtype=np.uint64)) for start, end in pieces)
    gpr = list(LOOKING_GPR)
    gpr[0], gpr[1], gpr[6], gpr[7] = total & 2**64 - 1, 0, pieces[-1][1] or memory_bytes, 2**64 - 1
    return Looking(Image(number, _manifest("derived", layout, b"-", base, None), base, record, -1, None), tuple(gpr))


LOOKING_GPR: Final = tuple(0x0101_0101_0101_0101 * n for n in range(16))
LOOKING_LIMITS: Final = Limits(cpu_ms=2000)


def what_it_saw(record: bytes, at: Looking) -> str:
    """What is wrong with the record of a machine that has looked; empty if nothing."""
    state = snapshot.decode(record, memory_bytes=at.image.manifest.memory_bytes)
    registers = state.registers
    if len(state.page_nos):
        return f"no page that differs expected, got {state.page_nos.tolist()[:8]}"
    wrong = [
        (n, f"{want:#x}", f"{got:#x}")
        for n, (want, got) in enumerate(zip(at.gpr, registers.gpr, strict=True))
        if want != got
    ]
    if wrong:
        return f"other registers expected than it has; number, expected, got: {wrong}"
    rest = registers.fs_base, registers.gs_base, registers.fxsave
    if rest != (0, 0, snapshot.FXSAVE_CLEAN):
        return f"bases and FXSAVE as loaded expected, got {rest}"
    return ""
