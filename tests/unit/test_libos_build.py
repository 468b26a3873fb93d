"""libos.toolchain.build: what comes out of the compiler, what is cached, and how a publisher's mistake is told."""

import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from libos.runtimes import LANGUAGES, Language, language_of
from libos.toolchain.build import HERE, compile_guest, libos_elf, run_tool
from libos.toolchain.compile_linux import compile_linux
from libos.toolchain.packages import cache_folder
from origin.bake.elf import parse_program
from vmimage import abi
from vmimage.errors import OperatorError, PublisherError

EXAMPLES = sorted(
    path
    for path in (HERE / "examples").iterdir()
    if path.suffix == ".c"
    or (path.is_dir() and language_of(path) is None and path.name not in ("words", "__pycache__"))
)  # words is for a C library
EXECUTE, WRITE = 1, 2


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nunatak"


def segments(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Start, end, flags and bytes of every loaded segment that is not empty."""
    for segment in ELFFile(io.BytesIO(data)).iter_segments("PT_LOAD"):
        start, size = segment["p_vaddr"], segment["p_memsz"]
        if size:
            yield start, start + size, segment["p_flags"], segment.data()


def check_segments(data: bytes, low: int, high: int) -> None:
    end = low
    for start, next_end, flags, _ in segments(data):
        assert start % abi.PAGE_SIZE == 0
        assert end <= start < next_end <= high
        assert flags & (EXECUTE | WRITE) != EXECUTE | WRITE
        end = next_end


def program(folder: Path, body: str = "", head: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    source = folder / "program.c"
    source.write_text(f"#include <nunatak.h>\n{head}\nint main(void) {{ {body} return 0; }}\n")
    return source


def test_libos_is_at_its_address_and_never_writable_and_executable() -> None:
    data = libos_elf()
    check_segments(data, abi.LIBOS_ADDRESS, abi.LIBOS_ADDRESS + abi.LIBOS_SIZE)
    start, end, flags, content = next(segments(data))
    assert start == abi.LIBOS_ADDRESS
    assert flags & EXECUTE
    assert content[:8] == b"NKLO\x01\0\0\0", "the call table's magic and version; functions are only added, at its end"
    assert start <= ELFFile(io.BytesIO(data)).header["e_entry"] < end


def test_all_that_a_request_changes_in_the_libos_is_one_page() -> None:
    (writable,) = [(start, end) for start, end, flags, _ in segments(libos_elf()) if flags & WRITE]
    symbols = ELFFile(io.BytesIO(libos_elf())).get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    (linux,) = symbols.get_symbol_by_name("linux_variables") or []
    assert writable[0] < linux["st_value"] <= writable[0] + abi.PAGE_SIZE < writable[1]


def test_crash_reports_find_symbols() -> None:
    symbols = ELFFile(io.BytesIO(libos_elf())).get_section_by_name(".symtab")
    assert isinstance(symbols, SymbolTableSection)
    for name in ("_start", "serve", "serve_fiber", "fiber_switch", "memcpy"):
        assert symbols.get_symbol_by_name(name), name


def test_the_same_sources_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    for name in ("one", "two"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        built.append((libos_elf(), compile_guest(program(tmp_path / f"source {name}"))))
    assert built[0] == built[1]


@pytest.mark.parametrize("source", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_compiles(source: Path) -> None:
    check_segments(compile_guest(source), abi.PROGRAM_ADDRESS, abi.MEMORY_DEFAULT)


def test_the_second_build_is_answered_from_the_cache(tmp_path: Path, cache: Path) -> None:
    source = program(tmp_path)
    compile_guest(source)
    (cached,) = cache.glob("*.elf")
    cached.write_bytes(b"from the cache")
    assert compile_guest(source) == b"from the cache"
    source.write_text(source.read_text() + "/* changed */\n")
    assert compile_guest(source) != b"from the cache"


def test_a_changed_header_is_not_answered_from_the_cache(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "value.h").write_text("#define VALUE 1\n")
    source = program(tmp_path, body="return VALUE;", head='#include "value.h"')
    first = compile_guest(source)
    (tmp_path / "value.h").write_text("#define VALUE 2\n")
    assert compile_guest(source) != first


def test_what_prepare_writes_belongs_to_the_program(tmp_path: Path) -> None:
    folder = tmp_path / "service"
    program(folder, body="nk_puts(text);", head='#include "text.h"')
    (folder / "word").write_text("first words")
    (folder / "prepare.py").write_text(
        "import pathlib, sys\n"
        "word = (pathlib.Path(__file__).parent / 'word').read_text()\n"
        "pathlib.Path(sys.argv[1], 'text.h').write_text(f'static const char text[] = \"{word}\";')\n"
    )
    assert b"first words" in compile_guest(folder)
    (folder / "word").write_text("other words")
    assert b"other words" in compile_guest(folder)


def test_the_compilers_message_reaches_the_publisher(tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match=r"program\.c.*undeclared identifier 'nonsense'"):
        compile_guest(program(tmp_path, body="nonsense;"))


def test_a_missing_function_is_named(tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match="undefined symbol: missing"):
        compile_guest(program(tmp_path, body="missing();", head="void missing(void);"))


def test_a_failing_prepare_is_told(tmp_path: Path) -> None:
    program(tmp_path)
    (tmp_path / "prepare.py").write_text("raise SystemExit('no data here')\n")
    with pytest.raises(PublisherError, match=r"prepare\.py: no data here"):
        compile_guest(tmp_path)


def test_nothing_to_compile(tmp_path: Path) -> None:
    with pytest.raises(PublisherError, match=r"expected \*\.c files"):
        compile_guest(tmp_path)
    with pytest.raises(PublisherError, match="found nothing"):
        compile_guest(tmp_path / "absent.c")


def test_a_compiler_that_is_not_there(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUNATAK_CC", "no-such-compiler --flag")
    with pytest.raises(OperatorError, match="no-such-compiler"):
        compile_guest(program(tmp_path))


@pytest.mark.timeout(900)  # a runtime is compiled by the first test that needs it
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_no_folder_of_who_compiled_it_is_in_a_runtime(language: Language) -> None:
    """Edges share a language's base because all publishers' is the same."""
    program = language.program()
    loaded = b"".join(segment.data for segment in parse_program(program, named=False).segments)
    for folder in (Path.cwd(), HERE, cache_folder(), Path.home(), Path(sys.prefix)):
        assert str(folder).encode() + b"/" not in loaded, folder
    names = {symbol.name.partition(" (")[0] for symbol in parse_program(program).symbols}
    assert {"main", "malloc", "memcpy"} <= names, "crash reports find them"
    other = program[:40] + bytes(8) + program[48:60] + bytes(4) + program[64:]
    assert parse_program(other).segments == parse_program(program).segments, "sections are no part of it"


def test_a_linux_program_is_the_same_wherever_its_source_is_and_whoever_compiles_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(cache_folder() / "zig"))  # the C library is compiled once
    built = []
    for name in ("b", "a"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "one.c").write_text('#include "here.h"\nint main(void) { puts(here()); return 0; }\n')
        (folder / "here.h").write_text("#include <stdio.h>\nstatic const char *here(void) { return __FILE__; }\n")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"{name} cache"))
        monkeypatch.chdir(folder)
        built.append(parse_program(compile_linux([folder / "one.c"], include=[folder])).segments)
    assert built[0] == built[1]
    assert not any(str(tmp_path).encode() in segment.data for segment in built[0])


def test_the_compiler_is_asked_once(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def count(command: Sequence[str], what: str, *timeout_s: int) -> None:
        commands.append(what)
        run_tool(command, what, *timeout_s)

    monkeypatch.setattr("libos.toolchain.build.run_tool", count)
    hello = (HERE / "examples" / "hello.c").read_text()
    source = tmp_path / "once.c"
    source.write_text(hello)
    first = compile_guest(source)
    assert commands.count("once.c") == commands.count("link") == 1
    commands.clear()
    assert compile_guest(source) == first
    assert commands == []
    source.write_text(hello.replace("hello", "hullo"))
    assert compile_guest(source) != first
    assert commands.count("once.c") == 1
