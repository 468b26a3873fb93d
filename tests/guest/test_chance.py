"""Randomness: none while an image is built, so that no two machines share what a program makes of it."""

from dataclasses import replace
from functools import cache, partial

import pytest

from edge.vmm.shells.shell import Image
from libos.runtimes import LANGUAGES
from libos.toolchain.compile_linux import compile_linux
from origin.bake.bake import Baker
from origin.bake.elf import parse_program
from tests.support.guests import PROGRAMS, Guest, baker, elf, load
from tests.support.linux import program
from vmimage import abi
from vmimage.archive import ImageBundle
from vmimage.errors import PublisherError
from vmimage.manifest import DEFAULT_TERMS, Limits, Terms, parse_manifest

EARLY = "nonblock=EAGAIN device=EAGAIN unknown=EINVAL insecure=bytes both=EINVAL stat=1"
NOBODY = "00000000-0000-4000-8000-000000000000"


@cache
def bake(*settings: str, entropy: bool = False, cpu_ms: int = 200) -> tuple[ImageBundle, tuple[str, ...]]:
    """The image of the program, and what the build warned of."""
    warnings: list[str] = []
    bundle = baker().bake(
        program("linux_chance.c"),
        name="chance",
        env=dict.fromkeys(settings, "1"),
        terms=Terms(limits=Limits(cpu_ms=cpu_ms)),
        progress=print,
        kind=abi.PROGRAM_LINUX,
        arguments=("chance",),
        bake_entropy=entropy,
        warn=warnings.append,
    )
    return bundle, tuple(warnings)


def facts(guest: Guest) -> dict[str, str]:
    lines = bytes(guest.get().body).decode().splitlines()
    return dict(line.split(" ", 1) for line in lines)


def machines(*settings: str, entropy: bool = False, count: int = 2) -> list[dict[str, str]]:
    image = load(bake(*settings, entropy=entropy)[0])
    return [facts(Guest(image)) for _ in range(count)]


def different(found: list[dict[str, str]], name: str) -> bool:
    return len({each[name] for each in found}) == len(found)


@pytest.mark.parametrize("settings", [(), ("DEVICE",)])
def test_every_machine_makes_a_secret_of_its_own(settings: tuple[str, ...]) -> None:
    found = machines(*settings, count=3)
    assert different(found, "secret")
    assert different(found, "now")
    assert "0" * 16 not in [each["secret"] for each in found]
    assert {each["steps"] for each in found} == {"2"}, "what came before is in the image, what came after is done"


def test_the_build_says_where_random_bytes_were_asked_for() -> None:
    (warning,) = bake()[1]
    assert "asked for random bytes before it was ready" in warning
    assert "getrandom, main" in warning
    assert "--bake-entropy" in warning
    (warning,) = bake("DEVICE")[1]
    assert "read" in warning


def test_who_cannot_wait_is_told_to_come_again() -> None:
    assert not bake("NONE")[1]
    (found,) = machines("NONE", count=1)
    assert (found["early"], found["flags"]) == (EARLY, "8")


def test_what_need_not_be_secret_is_the_same_everywhere() -> None:
    found = machines(count=2)
    assert not different(found, "hashes")
    assert not different(found, "canary")
    assert found[0]["canary"] != "0" * 32


def test_a_program_can_tell_that_its_machine_is_a_new_one() -> None:
    image = load(bake()[0])
    first, second = Guest(image), Guest(image)
    before = facts(first)
    assert before["boot"] == NOBODY
    assert facts(first)["id"] == before["id"] != facts(second)["id"]
    record = first.park()
    clones = [facts(Guest(image, parked=record)) for _ in range(2)]
    assert different([before, *clones], "id")
    assert different([before, *clones], "now")
    assert {each["secret"] for each in clones} == {before["secret"]}, "memory is memory"


def test_the_image_can_be_built_again() -> None:
    first = bake()[0].manifest.digest
    bake.cache_clear()
    assert bake()[0].manifest.digest == first


def test_baked_random_bytes_are_shared_and_the_image_says_so() -> None:
    bundle, warnings = bake(entropy=True)
    assert not warnings
    found = machines(entropy=True)
    assert not different(found, "secret")
    assert different(found, "now")
    assert different(found, "id")
    assert found[0]["canary"] != machines()[0]["canary"]
    assert bundle.manifest.baked_entropy
    assert parse_manifest(bundle.manifest.to_bytes()).baked_entropy
    bake.cache_clear()
    again = bake(entropy=True)[0]
    assert again.manifest.pages_digest != bundle.manifest.pages_digest


def test_the_call_table_waits_too() -> None:
    warnings: list[str] = []
    native = partial(baker().bake, parse_program(elf(PROGRAMS / "chance.c")), name="chance", env={}, progress=print)
    image = load(native(terms=DEFAULT_TERMS, warn=warnings.append))
    assert len({bytes(Guest(image).get().body) for _ in range(3)}) == 3
    assert "main" in warnings[0]


def early_clock(*settings: str) -> tuple[list[str], int]:
    """What the build warned of, and the second that a machine remembers."""
    warnings: list[str] = []
    bundle = baker().bake(
        parse_program(elf(PROGRAMS / "early_clock.c")),
        name="early",
        env=dict.fromkeys(settings, "1"),
        terms=DEFAULT_TERMS,
        progress=print,
        warn=warnings.append,
    )
    return warnings, int(bytes(Guest(load(bundle)).get().body))


def test_the_build_says_that_the_time_was_asked_for_too_early() -> None:
    warnings, started = early_clock()
    assert "asked for the time before it was ready" in warnings[0]
    assert (len(warnings), started) == (1, 0)
    assert early_clock("NEVER") == ([], 0)


def test_a_time_after_random_bytes_is_the_machines_own() -> None:
    warnings, started = early_clock("CHANCE_FIRST")
    assert started > 1_700_000_000
    assert len(warnings) == 1
    assert "random bytes" in warnings[0]


def test_a_page_in_lua_is_told_of_its_early_clock() -> None:
    page = "local t = os.time(); return function() return t end"
    (lua,) = (language for language in LANGUAGES if language.name == "lua")
    warnings: list[str] = []
    maker = Baker(abi.MEMORY_DEFAULT, lua)
    for text, count in ((page, 1), ("return function() return os.time() end", 0)):
        maker.bake_source(text.encode(), name="page", env={}, terms=DEFAULT_TERMS, progress=print, warn=warnings.append)
        assert len(warnings) == count
        warnings.clear()
    maker.close()


def test_a_program_that_dies_of_the_rest_is_refused() -> None:
    with pytest.raises(PublisherError, match="died before it was ready"):
        bake("DIES")


def test_a_rest_that_takes_longer_than_a_request_may_is_refused() -> None:
    with pytest.raises(PublisherError, match=r"took \d+ ms where 1 ms are allowed \(--cpu-ms\)"):
        bake("SPIN", cpu_ms=1)


def test_a_runtime_may_not_need_random_bytes_for_its_base() -> None:
    runtime = partial(compile_linux, [PROGRAMS / "linux_chance.c"])
    with pytest.raises(PublisherError, match="begins with random bytes: use another language"):
        Baker(language=replace(LANGUAGES[0], name="bad", program=runtime))


@pytest.mark.timeout(900)  # the interpreter is compiled by the first test that needs it
@pytest.mark.parametrize("seed", ["", "math.randomseed()"])
def test_a_page_in_lua_begins_with_numbers_of_its_machine(seed: str) -> None:
    page = f"{seed} local first = math.random(0) return function() return tostring(first) end"
    image, warnings = page_image("lua", page)
    assert len({bytes(Guest(image).get().body) for _ in range(3)}) == 3
    assert len(warnings) == 1


@pytest.mark.timeout(900)
def test_a_page_in_lua_that_says_where_to_begin_needs_no_machine() -> None:
    page = "math.randomseed(7) local first = math.random(0) return function() return first .. ' ' .. math.random(0) end"
    image, warnings = page_image("lua", page)
    answers = [bytes(Guest(image).get().body).split() for _ in range(3)]
    assert not warnings
    assert len({first for first, _ in answers}) == 1
    assert len({then for _, then in answers}) == 3


@pytest.mark.timeout(900)
def test_a_worker_in_javascript_has_random_bytes_at_its_top_level_only_where_they_are_baked() -> None:
    worker = (
        "let early; try { early = [Math.random(), crypto.randomUUID()].join(); } catch (e) { early = e.message; }"
        "export default { fetch: () => new Response(early + ' ' + Math.random()) };"
    )
    image, _ = page_image("js", worker)
    assert b"Disallowed operation called within global scope: crypto.randomUUID()" in Guest(image).get().body
    image, _ = page_image("js", worker, entropy=True)
    answers = [bytes(Guest(image).get().body).split() for _ in range(2)]
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] != answers[1][1]


@pytest.mark.timeout(900)
def test_numbers_of_javascripts_top_level_are_no_secret_and_those_after_it_are_a_machines_own() -> None:
    worker = "const early = Math.random(); export default { fetch: () => new Response(`${early} ${Math.random()}`) };"
    image, _ = page_image("js", worker)
    answers = [bytes(Guest(image).get().body).split() for _ in range(3)]
    assert len({early for early, _ in answers}) == 1
    assert len({later for _, later in answers}) == 3


@cache
def language_baker(name: str) -> Baker:
    (language,) = (language for language in LANGUAGES if language.name == name)
    return Baker(language=language)


def page_image(name: str, text: str, *, entropy: bool = False) -> tuple[Image, list[str]]:
    """The image of a program in a language, and what the build warned of."""
    warnings: list[str] = []
    bundle = language_baker(name).bake_source(
        text.encode(),
        name="page",
        env={},
        terms=DEFAULT_TERMS,
        progress=print,
        bake_entropy=entropy,
        warn=warnings.append,
    )
    return language_baker(name).image(bundle), warnings
