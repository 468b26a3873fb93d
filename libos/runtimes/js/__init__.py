"""JavaScript on quickjs-ng, BoringSSL, zlib and dlmalloc, as published; our host in C, our prelude in JavaScript."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from libos.runtimes.js.bytecode import bytecode
from libos.runtimes.js.intl_data import FOLDER, image_tables
from libos.toolchain.compile_linux import compile_linux, compile_objects
from libos.toolchain.packages import Package, source_tree

HERE: Final = Path(__file__).resolve().parent
QUICKJS: Final = Package(
    "pypi", "quickjs-ng", "0.17.0.2", "43d2e48272208721a7aaea8e3f02d4b9318f12ef20cc4f5421b59d9a470706ef"
)
ZLIB: Final = Package(
    "npm", "zlib-sync", "0.1.10", "bd2180fc18426cf464ecab1321bb31a1af81c36b927a28cdb26c3a56f302f2b6"
)  # which has zlib 1.3.1 as it was published; nothing else of it is used
FFI: Final = Package(
    "npm", "ffi-napi", "4.0.3", "e33d87c94b2bb59a60cc055bb7c767cbb786156fa696fae20d780da1c521e3a2"
)  # which has Doug Lea's malloc 2.8.3 as part of libffi; nothing else of it is used
DEFLATE: Final = ("adler32.c", "crc32.c", "deflate.c", "inffast.c", "inflate.c", "inftrees.c", "trees.c", "zutil.c")
GRPC: Final = Package(
    "pypi", "grpcio", "1.68.1", "44a8502dd5de653ae6a73e2de50a401d84184f0331d0ac3daeb044e66d5c5054"
)  # which has BoringSSL's sources in C; nothing else of it is used
# Beside what boringssl.c includes. DSA is here since the table of keys that can be read names it.
CRYPTOGRAPHY: Final = (
    *("bn_extra/bn_asn1.c", "bn_extra/convert.c", "buf/buf.c", "bytestring/asn1_compat.c", "bytestring/ber.c"),
    *("bytestring/cbb.c", "bytestring/cbs.c", "crypto.c", "digest_extra/digest_extra.c"),
    *("dsa/dsa.c", "dsa/dsa_asn1.c", "ec_extra/ec_asn1.c", "ecdh_extra/ecdh_extra.c", "ecdsa_extra/ecdsa_asn1.c"),
    *("engine/engine.c", "err/err.c", "evp/evp.c", "evp/evp_asn1.c", "evp/evp_ctx.c", "evp/p_dsa_asn1.c"),
    *("evp/p_ec.c", "evp/p_ec_asn1.c", "evp/p_ed25519.c", "evp/p_ed25519_asn1.c", "evp/p_hkdf.c", "evp/p_rsa.c"),
    *("evp/p_rsa_asn1.c", "evp/p_x25519.c", "evp/p_x25519_asn1.c", "evp/pbkdf.c", "ex_data.c", "mem.c", "refcount.c"),
    *("rsa_extra/rsa_asn1.c", "rsa_extra/rsa_crypt.c", "stack/stack.c", "thread.c", "thread_none.c"),
)
CURVE25519: Final = "curve25519/curve25519.c"
# Without tables of multiples, and its arithmetic once instead of in each place: 90 KiB less.
SMALL_CURVE: Final = ("-Os", "-DOPENSSL_SMALL")
SMALL: Final = "-Oz"  # of what reads and writes keys, and does not work on each byte
# Fewer functions of the engine are copied to where they are called (clang's own limit is 225): 44 kB of the base, for
# 2 % of its time.
FEW_COPIES: Final = ("-mllvm", "-inline-threshold=80")
UNIT: Final = "engine.c"  # quickjs.c is part of it: engine_internals.h
HEAP: Final = "heap.c"
SELDOM: Final = "subtle*.c"  # what these do to each byte is BoringSSL's
ENGINE: Final = ("dtoa.c", "libregexp.c", "libunicode.c")
# No tables for unwinding the stack, which nothing here does: 40 kB of the base. Small tables for CRCs in zlib;
# BoringSSL without assembler, whose instructions an emulated machine need not have, and without threads.
FLAGS: Final = (
    *("-D_GNU_SOURCE", "-std=gnu11", "-Wno-everything", "-DZ_TESTW=-1"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    *("-DNDEBUG", "-DOPENSSL_NO_ASM", "-DOPENSSL_NO_THREADS_CORRUPT_MEMORY_AND_LEAK_SECRETS_IF_THREADED"),
)


def locale_files(locales: Sequence[str]) -> Mapping[str, bytes]:
    """Files for an image whose worker formats for these locales, by path.

    :raises OperatorError: CLDR's data cannot be had.
    :raises PublisherError: no language tag, or a language of which CLDR knows nothing.
    """
    return {f"{FOLDER}/{name}": text for name, text in image_tables(locales).items()}


def program() -> bytes:
    """The runtime: a static Linux program that serves the worker at `/worker.js`.

    :raises OperatorError: the engine's sources cannot be had.
    :raises PublisherError: it does not compile.
    """
    engine = source_tree(QUICKJS) / "upstream-quickjs"
    zlib = source_tree(ZLIB) / "deps" / "zlib"
    cryptography = source_tree(GRPC) / "third_party" / "boringssl-with-bazel" / "src"
    theirs = [engine, zlib, cryptography, cryptography / "include"]
    files = [
        *(engine / name for name in ENGINE),
        *(zlib / name for name in DEFLATE),
    ]
    keys = [cryptography / "crypto" / name for name in CRYPTOGRAPHY]
    library = [
        *compile_objects(files, include=theirs, flags=FLAGS),
        *compile_objects(keys, include=theirs, flags=(*FLAGS, SMALL)),
        *compile_objects([cryptography / "crypto" / CURVE25519], include=theirs, flags=(*FLAGS, *SMALL_CURVE)),
    ]
    heap = compile_objects([HERE / HEAP], include=[source_tree(FFI) / "deps" / "libffi" / "src"], flags=(*FLAGS, SMALL))
    scripts = bytecode(engine, [engine / name for name in ENGINE], FLAGS)
    include = [HERE, *theirs]
    seldom = sorted(HERE.glob(SELDOM))
    own = sorted({path for path in HERE.glob("*.c") if path.name not in (UNIT, HEAP)}.difference(seldom))
    small = compile_objects(seldom, include=include, flags=(*FLAGS, SMALL))
    unit = compile_objects([HERE / UNIT], include=include, flags=(*FLAGS, *FEW_COPIES))
    return compile_linux([*library, *heap, *small, *unit, *own, scripts], include=include, flags=FLAGS)
