"""Code that Unicorn's translator gives up on, to end the worker of all tenants with it."""

import itertools
import re
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from libos.toolchain.build import compile_guest
from loadtest.site.fetch import Client
from loadtest.site.site import Site, example
from origin.bake.elf import parse_program
from origin.bake.linux import checked
from tests.attack.one_instruction import cases
from tests.support.edges import eventually, metrics
from vmimage import snapshot
from vmimage.archive import ImageBundle, pack_archive, read_archive
from vmimage.errors import PublisherError
from vmimage.manifest import digest_of
from vmimage.pages import page_view, pages_digest

# What Unicorn 2.1.4 is known to give up on: LOCK before bt, bts, btr, btc with a register, whatever prefixes are there.
KNOWN = re.compile(
    rb"(?:[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf2\xf3]*\xf0)[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf2\xf3]*"
    rb"\x0f(?:[\xa3\xab\xb3\xbb][\xc0-\xff]|\xba[\xe0-\xff])"
)
PLACE = bytes.fromhex("0f0b0f0b")  # ud2 twice, where a hostile publisher puts what the compiler would not
KILL = bytes.fromhex("f00fabc0")  # lock bts %eax,%eax
PROGRAM = """
#include <nunatak.h>
static unsigned requests;
static void page(nk_request *request) {
    if (!strcmp(nk_var(request, "PATH_INFO"), "/kill"))
        __asm__ volatile(".byte %s");
    nk_printf(request, "request %%u\\n", ++requests);
}
int main(void) { return nk_serve(page); }
"""


def source(folder: Path, code: bytes) -> Path:
    path = folder / "evil.c"
    path.write_text(PROGRAM % ",".join(map(str, code)))
    return path


def rewritten(path: Path, old: bytes, new: bytes) -> Path:
    """The image file with these bytes in place of those, and every digest right: what a publisher can make by hand."""
    base, image = read_archive(path.read_bytes())
    under, state = (
        snapshot.decode(each.blobs[each.manifest.snapshot.digest], memory_bytes=each.manifest.memory_bytes)
        for each in (base, image)
    )
    data = state.rows.tobytes()  # the base has nothing where programs are, so the difference is the program
    assert data.count(old) == 1
    pages = page_view(data.replace(old, new))
    contents = pages.copy()
    for row, page_no in enumerate(state.page_nos):
        contents[row] ^= np.bitwise_xor.reduce(under.pages[under.page_nos == page_no], axis=0)
    record = snapshot.encode(replace(state, pages=pages))
    blob = replace(image.manifest.snapshot, digest=digest_of(record), size=len(record))
    manifest = replace(image.manifest, snapshot=blob, pages_digest=pages_digest(state.page_nos, contents))
    blobs = {digest: content for digest, content in image.blobs.items() if digest != image.manifest.snapshot.digest}
    path.write_bytes(pack_archive([base, ImageBundle(manifest, {**blobs, blob.digest: record})]))
    return path


@pytest.mark.timeout(900)
def test_no_instruction_ends_the_process(tmp_path: Path) -> None:
    status, expected = tmp_path / "status", {code.hex() for code in cases() if KNOWN.match(code)}
    total = sum(1 for _ in cases())
    with status.open("w+b") as file:
        span = ["0", str(total), str(file.fileno())]
        child = subprocess.run(
            [sys.executable, "-m", "tests.attack.one_instruction", *span],
            pass_fds=[file.fileno()],
            capture_output=True,
            timeout=600,
            check=False,
        )
    (last,) = struct.unpack("<Q", status.read_bytes())
    code = next(itertools.islice(cases(), last, None))
    assert child.returncode == 0, f"case {last} ended the process: {code.hex()} {child.stderr.decode()[-500:]}"
    assert last == total - 1
    contained = set(child.stdout.decode().split())
    assert contained == expected, "what Unicorn cannot translate is no longer what it was"
    assert len(expected) > 1000


def test_an_abort_elsewhere_is_an_abort() -> None:
    """Outside of a run the library's `abort` is the C library's, also when a run has ended by it before."""
    script = (
        "import ctypes\n"
        "from edge.vmm.engines import unicorn_aborts as guard\n"
        "from tests.attack.one_instruction import Bench\n"
        f"assert Bench().contained(bytes.fromhex('{KILL.hex()}'))\n"
        "library = ctypes.CDLL(guard.uclib._name)\n"
        "slot = guard._slots(guard.Path(guard.uclib._name), library)['abort']\n"
        "print('before', flush=True)\n"
        "ctypes.CFUNCTYPE(None)(ctypes.c_uint64.from_address(slot).value)()\n"
        "print('after', flush=True)\n"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert (child.returncode, child.stdout) == (-signal.SIGABRT, b"before\n"), child.stderr.decode()


def test_the_build_says_which_line_has_it(tmp_path: Path) -> None:
    program = parse_program(compile_guest(source(tmp_path, KILL)))
    with pytest.raises(PublisherError, match=r"LOCK before bt.* in page at 0x[0-9a-f]+ \(evil\.c:6\); take the prefix"):
        checked(program, print)
    in_memory = parse_program(compile_guest(source(tmp_path, bytes.fromhex("f00fab03"))))
    assert checked(in_memory, print) == in_memory


def test_an_image_that_was_made_by_hand_ends_its_own_machine_only(tmp_path: Path) -> None:
    with Site(tmp_path / "site", edge_config={"refresh": 0.2, "engine": "unicorn"}) as site:
        edge = site.edges[0]
        site.publish(site.build(example("hello")), "victim", tenant="alice")
        site.publish(rewritten(site.build(source(tmp_path, PLACE)), PLACE, KILL), "evil", tenant="mallory")
        with Client(edge.url) as client:
            for number in (1, 2, 3):
                eventually(lambda: client.get("/", host="evil.test").status == 200, "the end of its back-off")
                killed = client.get("/kill", host="evil.test")
                assert (killed.status, killed.error) == (502, "guest_fault")
                assert client.get("/", host="victim.test").body == b"hello from /, request %d\n" % number
        seen = metrics(edge)
    assert (seen["workers_lost_total"], seen["worker_faults_total"]) == (0, 0)
