"""The life of a machine: baking, requests, limits, parking, cloning; with the sample guests."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from edge.vmm.machine.machine import Idle, Runnable
from edge.vmm.shells.shell import Shell
from edge.vmm.turns.watchdog import watchdog
from tests.support.guests import ENGINE, EXAMPLES, PROGRAMS, Guest, bake, baker, image_of, load
from vmimage import abi, snapshot
from vmimage.errors import GuestFault, OutOfMemory, OutOfTime, OutputTooLarge
from vmimage.pages import PackedPages
from vmimage.snapshot import decode

HELLO, CLOCK, ECHO = EXAMPLES / "hello.c", EXAMPLES / "clock.c", EXAMPLES / "echo.c"


def test_a_guest_keeps_its_state_between_requests() -> None:
    guest = Guest(image_of(HELLO))
    assert bytes(guest.get("/a").body) == b"hello from /a, request 1\n"
    assert bytes(guest.get("/b").body) == b"hello from /b, request 2\n"


def test_several_requests_ride_on_one_entry() -> None:
    guest = Guest(image_of(HELLO))
    streams = [guest.send(f"/{n}") for n in range(200)]
    guest.run()
    bodies = [bytes(guest.responses[stream].body) for stream in streams]
    assert bodies == [f"hello from /{n}, request {n + 1}\n".encode() for n in range(200)]


def test_the_same_source_gives_the_same_image() -> None:
    assert bake(HELLO).manifest.to_bytes() == bake(HELLO).manifest.to_bytes()
    assert bake(HELLO).manifest.digest != bake(HELLO, env={"A": "b"}).manifest.digest


def test_an_image_does_not_depend_on_what_was_baked_before_it() -> None:
    """Programs are linked at the same addresses: translated code of one must not run as another's."""
    sources = [PROGRAMS / "interrupts.c", EXAMPLES / "spin.c", PROGRAMS / "forbidden.c", HELLO]
    one_after_the_other = [bake(source).manifest.digest for source in sources]
    baker.cache_clear()
    backwards = [bake(source).manifest.digest for source in reversed(sources)]
    assert one_after_the_other == backwards[::-1]


def test_a_derived_image_is_a_few_pages() -> None:
    manifest = bake(HELLO).manifest
    assert manifest.page_count < 16
    assert manifest.snapshot.size < 4096


def test_the_environment_is_baked_in() -> None:
    guest = Guest(load(bake(EXAMPLES / "env.c", env={"PLACE": "Tromsø", "EMPTY": ""})))
    assert bytes(guest.get("/PLACE").body).decode() == "Tromsø\n"
    assert guest.get("/NONE").status == 404


# Parking


def test_a_parked_machine_goes_on_where_it_was() -> None:
    guest = Guest(image_of(HELLO))
    for _ in range(40):
        guest.get()
    record = guest.park()
    assert len(record) < 4096
    again = Guest(image_of(HELLO), parked=record)
    assert bytes(again.get().body).endswith(b"request 41\n")


def test_a_park_right_after_the_start_holds_no_pages() -> None:
    guest = Guest(image_of(HELLO))
    guest.run()
    state = decode(guest.park(), memory_bytes=guest.machine.image.memory_bytes)
    assert len(state.page_nos) <= 3  # control page, stack, libOS data


def test_many_lives_through_one_shell_do_not_mix() -> None:
    """Park and restore three services through one shell: each keeps its own count and its own code."""
    images = [image_of(HELLO), image_of(EXAMPLES / "env.c"), load(bake(HELLO, env={"X": "y"}))]
    shell = Shell(images[0].base, images[0].memory_bytes, ENGINE.get())
    records: list[bytes | None] = [None, None, None]
    for turn in range(1, 6):
        for number, image in enumerate(images):
            guest = Guest(image, parked=records[number], shell=shell)
            body = bytes(guest.get("/").body)
            assert body == (b"" if number == 1 else f"hello from /, request {turn}\n".encode())
            records[number] = guest.park()


@pytest.mark.parametrize("after", ["another image", "the same image", "a record of it"])
def test_nothing_of_a_tenant_is_left_for_the_next(after: str) -> None:
    """No byte of the shell differs from what the next machine is, wherever the old guest wrote."""
    secret = b"the-secret-of-tenant-a"
    shell = Shell(image_of(ECHO).base, image_of(ECHO).memory_bytes, ENGINE.get())
    first = Guest(image_of(ECHO), shell=shell)
    first.get("/" + secret.decode(), method="POST", body=secret * 100)
    assert secret in bytes(shell.memory.ram)
    other = Guest(image_of(ECHO))
    other.get("/other", method="POST", body=b"other")
    record = other.park()
    first.machine.capture()
    if after == "another image":
        Guest(image_of(HELLO), shell=shell)
        alone = Guest(image_of(HELLO))
    else:
        parked = record if after == "a record of it" else None
        Guest(image_of(ECHO), shell=shell, parked=parked)
        alone = Guest(image_of(ECHO), parked=parked)
    assert secret not in bytes(shell.memory.ram)
    info = slice(abi.INFO_ADDRESS // abi.PAGE_SIZE, abi.INFO_ADDRESS // abi.PAGE_SIZE + 1)
    shell.memory.pages[info] = alone.shell.memory.pages[info]  # chance, which no two machines share
    assert np.array_equal(shell.memory.pages, alone.shell.memory.pages)


@pytest.mark.parametrize("between", ["nothing", "given back", "given back and warmed up"])
def test_a_machine_that_wrote_most_of_its_memory_is_reset_too(between: str) -> None:
    image = image_of(EXAMPLES / "hog.c")
    shell = Shell(image.base, image.memory_bytes, ENGINE.get())
    assert bytes(Guest(image, shell=shell).get("/touch?mib=20").body) == b"touched 20 MiB\n"
    assert len(shell.memory.dirty_pages()) > 20 * 256
    if between != "nothing":
        shell.give_back()  # as the pool does, and with it goes what the image has over its base
    if between == "given back and warmed up":
        shell.warm_up(image, None)
    again = Guest(image, shell=shell)
    pages = np.arange(abi.PROGRAM_ADDRESS // abi.PAGE_SIZE, image.memory_bytes // abi.PAGE_SIZE, dtype=np.uint32)
    fresh = Guest(image).shell
    assert np.array_equal(shell.memory.pages[pages], fresh.memory.pages[pages])
    assert bytes(again.get("/touch?mib=1").body) == b"touched 1 MiB\n"


@pytest.mark.parametrize("parked", [False, True])
def test_pages_of_an_image_that_no_guest_can_write_come_back_after_they_were_given_back(parked: bool) -> None:
    """Much that the image has over its base, and little that the machine changed."""
    image = image_of(PROGRAMS / "much_data.c")
    shell = Shell(image.base, image.memory_bytes, ENGINE.get())
    guest = Guest(image, shell=shell)
    sum_of_all = bytes(guest.get().body)
    record = guest.park()
    shell.give_back()  # as the pool does where more was written than is copied
    again = Guest(image, parked=record if parked else None, shell=shell)
    assert bytes(again.get().body) == sum_of_all


def test_a_busy_machine_is_not_captured() -> None:
    guest = Guest(image_of(ECHO))
    guest.send("/", method="POST", body=None)
    guest.run()
    with pytest.raises(ValueError, match="1 requests are open"):
        guest.machine.capture()


@pytest.mark.parametrize("size", [100, 500_000])
def test_a_record_does_not_hold_what_was_only_in_rings(size: int) -> None:
    guest = Guest(image_of(ECHO))
    stream = guest.send("/", method="POST", body=None)
    for start in range(0, size, 8192):
        guest.push(stream, b"z" * min(8192, size - start), end=start + 8192 >= size)
        guest.run()
    assert len(guest.responses[stream].body) == size
    pages = guest.machine.capture().page_nos * np.uint32(abi.PAGE_SIZE)
    assert not ((pages >= abi.GATE_IN_ADDRESS) & (pages < abi.GATE_OUT_ADDRESS + abi.GATE_SIZE)).any()


# Clones and clocks


def facts(guest: Guest) -> dict[str, int]:
    values: dict[str, int] = json.loads(bytes(guest.get().body))
    return values


def test_clones_differ_in_generation_and_random_bytes() -> None:
    guest = Guest(image_of(CLOCK))
    before = facts(guest)
    record = guest.park()
    clones = [facts(Guest(image_of(CLOCK), parked=record)) for _ in range(8)]
    assert len({clone["generation"] for clone in [before, *clones]}) == 9
    assert len({clone["random"] for clone in [before, *clones]}) == 9


def test_fresh_machines_of_one_image_differ_too() -> None:
    assert len({facts(Guest(image_of(CLOCK)))["random"] for _ in range(8)}) == 8


def test_wall_clock_is_right_and_monotonic_time_stands_still_while_parked() -> None:
    guest = Guest(image_of(CLOCK))
    before = facts(guest)
    state = guest.machine.capture()
    state.devices.mono_ns += 7 * 86_400 * 10**9  # as if it had been resident for a week
    after = facts(Guest(image_of(CLOCK), parked=snapshot.encode(state)))
    assert before["wall_ns"] < after["wall_ns"] <= time.time_ns()
    assert 0 <= after["mono_ns"] - state.devices.mono_ns < 60 * 10**9
    assert after["virtual_ns"] > before["virtual_ns"]


def test_an_image_has_no_time_in_it() -> None:
    bundle = bake(CLOCK)
    record = bundle.blobs[bundle.manifest.snapshot.digest]
    devices = decode(record, memory_bytes=bundle.manifest.memory_bytes).devices
    assert (devices.mono_ns, devices.virtual_ns) == (0, 0)


# Bodies


def test_bodies_larger_than_the_rings_and_the_windows_in_memory() -> None:
    guest = Guest(image_of(ECHO))
    data = bytes(range(256)) * 4096  # 1 MiB
    stream = guest.send("/x?q=1", method="PUT", body=None, CONTENT_TYPE="image/x")
    sent = 0
    while sent < len(data):
        room = min(guest.credit[stream], abi.RECORD_PAYLOAD_MAX, len(data) - sent)
        assert room, "the guest gives no credit"
        guest.push(stream, data[sent : sent + room], end=sent + room == len(data))
        sent += room
        guest.run()
    response = guest.responses[stream]
    assert response.ended
    assert bytes(response.body) == data
    assert response.headers["x-echo-method"] == "PUT"
    assert response.headers["content-type"] == "image/x"


def test_a_reader_that_takes_nothing_stops_only_its_own_stream() -> None:
    guest = Guest(image_of(ECHO))
    slow = guest.send("/slow", method="POST", body=None)
    for _ in range(abi.STREAM_WINDOW // 8192):
        guest.push(slow, b"s" * 8192)
        guest.run(credit=False)
    for _ in range(20):
        if guest.credit[slow] >= 8192:
            guest.push(slow, b"s" * 8192)
        guest.run(credit=False)
    assert len(guest.responses[slow].body) <= abi.STREAM_WINDOW + abi.RECORD_PAYLOAD_MAX
    quick = guest.send("/quick", method="POST", body=b"quick")
    guest.run(credit=False)
    assert bytes(guest.responses[quick].body) == b"quick"
    assert not guest.responses[slow].ended


def test_interleaved_streams_keep_apart() -> None:
    guest = Guest(image_of(ECHO))
    streams = [guest.send(f"/{n}", method="POST", body=None) for n in range(20)]
    for turn in range(5):
        for number, stream in enumerate(streams):
            guest.push(stream, bytes([number]) * 100, end=turn == 4)
        guest.run()
    assert all(bytes(guest.responses[s].body) == bytes([n]) * 500 for n, s in enumerate(streams))


# Limits


def test_a_runaway_is_stopped_and_its_neighbour_in_the_same_worker_answers() -> None:
    spin, hello = Guest(image_of(EXAMPLES / "spin.c"), cpu_ms=200), Guest(image_of(HELLO))
    spin.send("/spin")
    answered = 0

    def turns() -> None:
        nonlocal answered
        for _ in range(1000):
            with watchdog().watching(spin.shell.engine):
                assert isinstance(spin.machine.run(), Runnable)
            answered += hello.get().status == 200

    with pytest.raises(OutOfTime, match=r"used 2\d\d ms of CPU time, the image allows 200: build with --cpu-ms 400"):
        turns()
    watchdog().rest()
    assert answered > 2


def test_requests_that_ride_together_do_not_pay_for_each_other() -> None:
    guest = Guest(image_of(EXAMPLES / "hog.c"))
    costs = []
    for _ in range(3):
        before_ns = guest.machine.virtual_ns
        guest.get("/touch?mib=8")
        costs.append(guest.machine.virtual_ns - before_ns)
    limit_ms = max(4, 6 * max(costs) // 1_000_000)
    guest = Guest(image_of(EXAMPLES / "hog.c"), cpu_ms=limit_ms)
    streams = [guest.send("/touch?mib=8") for _ in range(60)]
    with watchdog().watching(guest.shell.engine):
        guest.run()
    watchdog().rest()
    assert all(bytes(guest.responses[s].body) == b"touched 8 MiB\n" for s in streams)


def test_memory_is_limited_and_typed() -> None:
    guest = Guest(image_of(EXAMPLES / "hog.c"))
    with pytest.raises(OutOfMemory, match="32MiB of memory: build with --memory 64MiB"):
        guest.get("/hog")
    assert b"out of memory after" in guest.log + b"".join(guest.machine.log)


def test_output_is_limited_and_typed() -> None:
    guest = Guest(image_of(ECHO), output_bytes=10_000)
    stream = guest.send("/", method="POST", body=None)
    for _ in range(10):
        guest.push(stream, bytes(4096))
    with pytest.raises(OutputTooLarge, match="the image allows 10000 bytes: build with --response 1MiB"):
        guest.run()


def test_stack_overflow_is_named() -> None:
    with pytest.raises(GuestFault, match="stack overflow"):
        Guest(image_of(EXAMPLES / "crash.c")).get("/stack")


def test_an_idle_machine_asks_for_no_wake_up() -> None:
    guest = Guest(image_of(HELLO))
    guest.get()
    assert guest.machine.run() == Idle(None)


def test_pages_are_held_without_their_zeros_and_read_with_them() -> None:
    """An image's, decoded, and a machine's; a record of an earlier edge has them all."""
    image = image_of(HELLO)
    guest = Guest(image)
    guest.get()
    captured = guest.machine.capture()
    for state in (image.snapshot(), captured):
        assert isinstance(state.pages, PackedPages)
        assert 0 < state.pages.nbytes < state.rows.nbytes
    earlier = snapshot.encode(replace(captured, pages=captured.rows))
    for record in (snapshot.encode(captured), earlier):
        assert b"request 2" in Guest(image, parked=record).get().body
    assert len(snapshot.encode(captured)) < len(earlier)


def test_a_reset_machine_is_fresh_every_time() -> None:
    guest = Guest(image_of(HELLO))
    for _ in range(5):
        assert bytes(guest.get("/").body) == b"hello from /, request 1\n"
        guest.machine.reset()


def test_a_reset_changes_generation_and_randomness() -> None:
    guest = Guest(image_of(CLOCK))
    seen = set()
    for _ in range(5):
        seen.add(facts(guest)["random"])
        guest.machine.reset()
    assert len(seen) == 5


def test_every_request_finds_a_fresh_machine() -> None:
    """With `fresh`, requests that are queued together are served one by one, each by a machine that has served none."""
    guest = Guest(image_of(HELLO), fresh=True)
    streams = [guest.send(f"/{n}") for n in range(10)]
    for _ in streams:
        guest.run()
        assert guest.machine.used
        guest.machine.reset()
    bodies = [bytes(guest.responses[stream].body) for stream in streams]
    assert bodies == [f"hello from /{n}, request 1\n".encode() for n in range(10)]


def test_what_was_meant_for_the_machine_before_never_reaches_a_fresh_one() -> None:
    guest = Guest(image_of(ECHO), fresh=True)
    first = guest.send("/", method="POST", body=None)
    second = guest.send("/", method="POST", body=b"second")
    guest.push(first, b"first", end=True)
    guest.run()
    assert bytes(guest.responses[first].body) == b"first"
    guest.push(first, b"late")
    guest.machine.reset()
    guest.run()
    assert bytes(guest.responses[second].body) == b"second"
