"""Do static Linux programs, which know nothing of us, run as they do on Linux?"""

import subprocess
from pathlib import Path

import pytest

from libos.toolchain.build import ZIG
from libos.toolchain.packages import cache_folder
from origin.bake.elf import parse_program
from tests.support.guests import PROGRAMS, Guest, load
from tests.support.linux import bake_linux, program, run
from vmimage import abi
from vmimage.errors import GuestFault

THEMES = ("memory", "files", "threads", "signals", "poll", "hostile")
PIE = ("-fPIE",), ("-pie",)


@pytest.mark.parametrize("theme", THEMES)
def test_calls_answer_as_on_linux(theme: str) -> None:
    result, out, _ = run(program(f"linux_{theme}.c"), "first", "second")
    assert (out, result.code) == ("SUCCESS\n", 0)
    assert bool(result.unknown) == (theme == "hostile")


def test_unknown_calls_are_counted_by_name() -> None:
    result, _, _ = run(program("linux_hostile.c"))
    assert result.unknown["socket"] == result.unknown["fork"] == 14 * 3
    assert result.unknown["others"] > 1000
    assert len(result.unknown) == abi.UNKNOWN_CALLS_MAX


def test_a_trace_names_every_call() -> None:
    result, out, err = run(program("linux_files.c"), trace=True)
    assert out == "SUCCESS\n"
    assert "readlink(" in err
    assert " = -2 ENOENT\n" in err
    assert result.calls["openat"] + result.calls["open"] > 10
    assert sum(result.calls.values()) == err.count("\n")


def test_a_position_independent_program() -> None:
    placed = program("linux_signals.c", *PIE)
    assert placed.segments[0].address == abi.PROGRAM_ADDRESS
    result, out, _ = run(placed)
    assert (out, result.code) == ("SUCCESS\n", 0)


def test_cxx_with_exceptions_threads_and_streams() -> None:
    result, out, _ = run(program("linux_cxx.cc"), stdin=b"one two two " * 20_000)
    assert out == "one=20000 two=40000 caught from below\n14 1.5e+10\ngoodbye\n"
    assert result.code == 7


def test_a_zig_program(tmp_path: Path) -> None:
    out = tmp_path / "program"
    target = ["-target", "x86_64-linux-musl", "-mcpu=x86_64_v2", "-O", "ReleaseSmall"]
    cache = [word for kind in ("--cache-dir", "--global-cache-dir") for word in (kind, str(cache_folder() / "zig"))]
    source = str(PROGRAMS / "linux_zig.zig")
    subprocess.run([*ZIG, "build-exe", *target, *cache, f"-femit-bin={out}", source], check=True, cwd=tmp_path)
    assert run(parse_program(out.read_bytes()))[:2][1] == "zig says 42\n"


def test_main_prepares_and_the_handler_serves() -> None:
    guest = Guest(load(bake_linux("linux_service.c", arguments=("one",))))
    assert bytes(guest.get().body) == b"linux_service.c 2 green 2.50 now"
    assert bytes(Guest(guest.machine.image, parked=guest.park()).get().body) == b"linux_service.c 2 green 2.50 now"
    assert guest.machine.phase.value == "idle"


def test_cgi_answers_and_starts_anew_for_every_request() -> None:
    guest = Guest(load(bake_linux("linux_cgi.c", abi.PROGRAM_CGI)), fresh=True)
    for _ in range(2):
        response = guest.get("/path?plain", method="POST", body=b"posted " * 10)
        assert (response.status, response.headers["x-served"]) == (201, "1")
        assert bytes(response.body) == b"POST /path green\n" + b"posted " * 10
        assert response.ended
        guest.machine.reset()
    assert guest.log == b"query plain\n" * 2


@pytest.mark.parametrize("query", ["early", "abort", "nonsense", "silent"])
def test_cgi_without_headers_is_a_bad_gateway(query: str) -> None:
    response = Guest(load(bake_linux("linux_cgi.c", abi.PROGRAM_CGI)), fresh=True).get(f"/?{query}")
    assert (response.status, bytes(response.body), response.ended) == (502, b"", True)


def test_cgi_redirects_streams_and_reports_its_exit_code() -> None:
    image = load(bake_linux("linux_cgi.c", abi.PROGRAM_CGI))
    moved = Guest(image, fresh=True).get("/?moved")
    assert (moved.status, moved.headers["location"]) == (302, "https://elsewhere.example/page")
    much = Guest(image, fresh=True).get("/?much")
    assert bytes(much.body) == b"".join(b"line %d\n" % n for n in range(40_000))
    late = Guest(image, fresh=True)
    assert late.get("/?late").status == 201
    assert b"exit code 1" in late.log


def test_a_stack_without_room_ends_at_its_guard_page() -> None:
    overflowing = program("linux_overflow.c")
    end = max(segment.address + segment.memory_size for segment in overflowing.segments)
    guard = -(-end // abi.PAGE_SIZE)
    with pytest.raises(GuestFault, match="page fault") as caught:
        run(overflowing)
    assert int(str(caught.value).rpartition("address ")[2], 16) // abi.PAGE_SIZE == guard


def test_without_an_entry_syscall_is_an_invalid_opcode() -> None:
    guest = Guest(load(bake_linux("linux_service.c")))
    entry = abi.CONTROL_ADDRESS + abi.CONTROL_SYSCALL
    guest.shell.memory.ram[entry : entry + 8] = bytes(8)
    with pytest.raises(GuestFault, match=r"invalid opcode \(vector 6\)"):
        guest.get()
