"""Debian's busybox-static, a program of somebody else's (glibc), on this host's Linux and in a machine."""

import hashlib
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from libos.toolchain.packages import cache_folder, keep_in_cache
from origin.bake.elf import parse_program
from origin.bake.run import Run
from tests.support.guests import ENGINE, baker
from vmimage.manifest import Limits

PACKAGE: Final = "busybox-static=1:1.35.0-4+deb12u1+b1"
SHA256: Final = "3d3fdbe91d4660c873e14b092c213fe81c1da6362daa236eb25d0171eb108744"
FETCH_TIMEOUT_S: Final = 120
INPUT: Final = b"pear 3\napple 12\n\nfig 7\napple 12\n\tquince\n"
ENVIRONMENT: Final = {"COLOUR": "green", "PATH": "/bin"}
SCRIPT: Final = (
    "d=/tmp/nk-busybox.$1; cd /tmp; for i in 1 2 3; do echo line $i; done > $d; "
    "while read a b; do printf '%s-%s ' $b $a; done < $d; echo more >> $d; read x < $d; echo $x; "
    "test -s $d && echo there; test -d /tmp && echo folder; echo $((7 * 6)) ${x%e*} ${#x}; cd /; pwd; umask; "
    "trap 'echo caught' USR1; kill -USR1 $$; echo gone > $d; set -C; echo again > $d || echo kept; exit 3"
)

APPLETS: Final[tuple[tuple[str, ...], ...]] = (
    ("cat",),
    ("sort",),
    ("sort", "-k2n", "-u"),
    ("uniq", "-c"),
    ("wc",),
    ("tr", "a-y", "b-z"),
    ("cut", "-d ", "-f2"),
    ("head", "-n2"),
    ("tail", "-n2"),
    ("tac",),
    ("rev",),
    ("nl",),
    ("fold", "-w4"),
    ("expand", "-t4"),
    ("grep", "-n", "app*le"),
    ("sed", "-e", "s/a/A/g;2d"),
    ("awk", '{ n += $2; print NR, toupper($1) } END { printf "%.3f\\n", n / NR }'),
    ("od", "-c"),
    ("hexdump", "-C"),
    ("base64",),
    ("md5sum",),
    ("sha256sum",),
    ("sha512sum",),
    ("cksum",),
    ("dd", "bs=5", "count=3", "skip=1", "status=none"),
    ("gzip", "-cn"),
    ("bzip2", "-c"),
    ("cmp", "/dev/null", "-"),
    ("tee", "/dev/null"),
    ("seq", "3", "4", "20"),
    ("factor", "600851475143"),
    ("expr", "6", "*", "7"),
    ("printf", "%05d %s\\n", "42", "words"),
    ("basename", "/a/b.c", ".c"),
    ("dirname", "/a/b.c"),
    ("env",),
    ("date", "-u", "-d", "@1000000000"),
    ("cal", "9", "1752"),
    ("test", "-c", "/dev/null"),
    ("readlink", "-f", "/dev/../dev/./null"),
    ("stat", "-c", "%F %t %T", "/dev/zero"),
    ("ls", "-d", "/tmp", "/dev/null", "/proc/self/fd"),
    ("cat", "/none"),
    ("sh", "-c", SCRIPT, "sh", "one"),
)


@cache
def binary() -> bytes:
    """The package's program; without apt, the network or that version the test that asks is skipped, and says so."""
    place = cache_folder() / f"busybox-{SHA256}"
    if not place.exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            pytest.skip("busybox-static: apt-get and dpkg-deb expected, found neither or one")
        with tempfile.TemporaryDirectory() as scratch:
            command = ["apt-get", "download", "--quiet", PACKAGE]
            done = subprocess.run(command, cwd=scratch, capture_output=True, timeout=FETCH_TIMEOUT_S, check=False)
            found = list(Path(scratch).glob("*.deb"))
            if done.returncode or len(found) != 1:
                pytest.skip(f"{PACKAGE}: not to be had here: {done.stderr.decode()[-200:]}")
            assert hashlib.sha256(found[0].read_bytes()).hexdigest() == SHA256
            subprocess.run(["dpkg-deb", "-x", str(found[0]), scratch], check=True)
            keep_in_cache(place, (Path(scratch) / "bin" / "busybox").read_bytes())
    return place.read_bytes()


def on_linux(program: bytes, words: tuple[str, ...]) -> tuple[int, bytes, bytes]:
    """Its exit code, output and errors on this host."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "busybox"
        path.write_bytes(program)
        path.chmod(0o755)
        done = subprocess.run(
            ["busybox", *words],
            executable=path,
            cwd="/",
            env=ENVIRONMENT,
            input=INPUT,
            capture_output=True,
            timeout=60,
            check=False,
        )
    for left in Path("/tmp").glob("nk-busybox.*"):
        left.unlink()
    return done.returncode, done.stdout, done.stderr


def in_a_machine(program: bytes, words: tuple[str, ...]) -> tuple[int, bytes, bytes]:
    """The same as a guest."""
    out, err = bytearray(), bytearray()
    started = Run(
        parse_program(program),
        arguments=("busybox", *words),
        env=ENVIRONMENT,
        engine=ENGINE.get(),
        limits=Limits(cpu_ms=30_000),
        baker=baker(),
    )
    result = started(INPUT, out.extend, err.extend)
    return result.code, bytes(out), bytes(err)
