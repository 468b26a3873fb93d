"""SQLite's mathematical functions: the C library musl's, as the pinned compiler has them, in an archive to link with.

The compiler's package holds musl's sources for some functions and has written others in its own language; together they
are what a program for musl is linked with. They need nothing of an operating system.
"""

import hashlib
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from libos.toolchain.build import ZIG, run_tool
from libos.toolchain.packages import cache_folder, keep_in_cache
from vmimage.errors import OperatorError

_OWN: Final = Path(__file__).resolve().parent / "math.zig"
_MUSL: Final = (
    "pow pow_data exp_data acosh asinh atan2 atanh sinh expm1 __expo2 __math_oflow __math_uflow __math_xflow "
    "__math_invalid __math_divzero".split()
)
_FOLDERS: Final = ("src/internal", "src/include", "arch/x86_64", "arch/generic")
_OPTIONS: Final = (
    *("-static", "-fcompiler-rt", "-target", "x86_64-linux-musl", "-mcpu=x86_64_v2", "-lc"),
    *("-O", "ReleaseSmall", "-fstrip"),
)


def math_archive() -> bytes:
    """An archive with the functions of <math.h> that SQLite calls.

    :raises OperatorError: no compiler.
    :raises PublisherError: it refuses; with its message.
    """
    try:
        key = hashlib.sha256(repr((version("ziglang"), _MUSL, _FOLDERS, _OPTIONS)).encode() + _OWN.read_bytes())
    except PackageNotFoundError:
        raise OperatorError(
            "SQLite: the package ziglang (extra 'build') expected, for its mathematics: install nunatak with it"
        ) from None
    place = cache_folder() / f"{key.hexdigest()}.a"
    if not place.exists():
        keep_in_cache(place, _compile())
    return place.read_bytes()


def _compile() -> bytes:
    spec = find_spec("ziglang")
    assert spec is not None
    assert spec.origin is not None
    musl = Path(spec.origin).parent / "lib" / "libc" / "musl"
    with tempfile.TemporaryDirectory(prefix="nunatak-") as folder:
        made = Path(folder) / "math.a"
        flags = ["-O2", "-fno-sanitize=undefined", *(f"-I{musl / name}" for name in _FOLDERS)]
        sources = [str(musl / "src" / "math" / f"{name}.c") for name in _MUSL]
        command = [*ZIG, "build-lib", *_OPTIONS, str(_OWN), "-cflags", *flags, "--", *sources, f"-femit-bin={made}"]
        run_tool(command, "mathematics")
        return made.read_bytes()
