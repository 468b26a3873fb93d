"""Crash reports: whose frames are named, and how often symbols are fetched and unpacked for that."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from edge.common.allowance import NAMINGS
from edge.common.counters import Counters
from edge.common.tasks import Tasks
from edge.devices.traces import Traces
from edge.supervisor.reports import KEPT, NAMING_MAX, Reports
from vmimage.errors import GuestFault, OriginUnreachable
from vmimage.manifest import SYMBOLS_TYPE, Blob, digest_of
from vmimage.symbols import Symbol, SymbolTable, encode

FRAMES = {"frames": [0x1004]}


class Images:
    """Symbols by digest, handed out when they are let go."""

    def __init__(self) -> None:
        self.tasks = Tasks(Counters())
        self.blobs: dict[str, bytes] = {}
        self.gets: Counter[str] = Counter()
        self.parties: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    def image(self, name: str) -> Any:
        data = encode([Symbol(0x1000, 16, name)])
        blob = Blob(SYMBOLS_TYPE, digest_of(data), len(data))
        self.blobs[blob.digest] = data
        return SimpleNamespace(manifest=SimpleNamespace(digest=f"image of {name}", symbols=blob))

    async def blob(self, blob: Blob, party: str) -> bytes:
        self.gets[blob.digest] += 1
        self.parties.append(party)
        await self.open.wait()
        if blob.digest not in self.blobs:
            raise OriginUnreachable("it is down")
        return self.blobs[blob.digest]


class Desk:
    """Reports over such images, with a clock that stands."""

    def __init__(self) -> None:
        self.images, self.now_s = Images(), 0.0
        self.lines: list[tuple[str, str]] = []  # of services' logs
        self.traces = Traces()
        self.reports = Reports(self.images, self, lambda: self.now_s)  # type: ignore[arg-type]

    def tell(self, service: Any, text: str) -> None:
        self.lines.append((service.name, text))

    async def settled(self, service: Any) -> None:
        """Nothing waits here."""

    def crash(self, service: str, image: Any, details: object = FRAMES, requests: int = 0) -> None:
        head = b"REQUEST_METHOD\0GET\0PATH_INFO\0/a\0QUERY_STRING\0\0HTTP_X_REQUEST_ID\0abc\0\0"
        had = [SimpleNamespace(payload=head) for _ in range(requests)]
        self.reports.add(SimpleNamespace(name=service), image, GuestFault("a fault"), details, had)  # type: ignore[arg-type]

    async def traces_of_reports(self) -> list[list[str] | None]:
        await asyncio.wait_for(self.reports.named(), 10)
        return [report.get("trace") for report in self.reports]


def run(test: Any) -> None:
    asyncio.run(test())


def test_symbols_are_fetched_and_unpacked_once_for_all_crashes_of_an_image() -> None:
    async def test() -> None:
        desk = Desk()
        image = desk.images.image("f")
        desk.images.open.clear()
        for service in ("a", "b", "c"):
            desk.crash(service, image)
        await asyncio.sleep(0)
        desk.images.open.set()
        assert await desk.traces_of_reports() == [["f+0x4"]] * 3
        desk.crash("d", image)
        assert await desk.traces_of_reports() == [["f+0x4"]] * 4
        assert list(desk.images.gets.values()) == [1]
        assert desk.images.parties == ["a"]

    run(test)


def test_a_service_that_crashes_again_and_again_has_its_first_crashes_named() -> None:
    async def test() -> None:
        desk = Desk()
        image, other = desk.images.image("f"), desk.images.image("g")
        for _ in range(10):
            desk.crash("loop", image)
        desk.crash("other", other)
        burst = int(NAMINGS.burst)
        assert await desk.traces_of_reports() == [["f+0x4"]] * burst + [None] * (10 - burst) + [["g+0x4"]]
        desk.now_s += 1.01 / NAMINGS.per_s
        desk.crash("loop", image)
        desk.crash("loop", image)
        assert (await desk.traces_of_reports())[-2:] == [["f+0x4"], None]
        assert len(list(desk.reports)) == 13, "reports themselves are kept"

    run(test)


def test_few_reports_wait_for_symbols_at_once() -> None:
    async def test() -> None:
        desk = Desk()
        desk.images.open.clear()
        images = [desk.images.image(f"f{number}") for number in range(KEPT)]
        for number, image in enumerate(images):
            desk.crash(f"s{number}", image)
        for _ in range(5):
            await asyncio.sleep(0)
        assert sum(desk.images.gets.values()) == NAMING_MAX
        desk.images.open.set()
        named = [trace for trace in await desk.traces_of_reports() if trace]
        assert len(named) == NAMING_MAX

    run(test)


def test_only_the_tables_that_were_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SymbolTable.decode(encode([Symbol(0x1000, 16, "f0")])).cost_bytes
    monkeypatch.setattr("edge.supervisor.reports.TABLES_BYTES", 2 * one + one // 2)

    async def test() -> None:
        desk = Desk()
        images = [desk.images.image(f"f{number}") for number in range(3)]
        gets = [desk.images.gets[image.manifest.symbols.digest] for image in images]
        for crash, (number, fetched) in enumerate(
            [(0, True), (1, True), (0, False), (2, True), (0, False), (2, False), (1, True), (0, True)]
        ):
            desk.crash(f"s{crash}", images[number])
            assert (await desk.traces_of_reports())[-1] == [f"f{number}+0x4"]
            gets[number] += fetched
            assert [desk.images.gets[image.manifest.symbols.digest] for image in images] == gets

    run(test)


@pytest.mark.parametrize("details", [None, {}, {"frames": 7}, {"frames": ["x", None]}])
def test_a_report_without_frames_names_none(details: object) -> None:
    async def test() -> None:
        desk = Desk()
        desk.crash("a", desk.images.image("f"), details)
        assert (await desk.traces_of_reports())[0] in (None, [])

    run(test)


def test_symbols_that_cannot_be_had_leave_a_report_without_names() -> None:
    async def test() -> None:
        desk = Desk()
        image = desk.images.image("f")
        desk.images.blobs.clear()
        desk.crash("a", image)
        assert await desk.traces_of_reports() == [None]
        bad = desk.images.image("g")
        desk.images.blobs[bad.manifest.symbols.digest] = b"no symbols"
        desk.crash("b", bad)
        assert await desk.traces_of_reports() == [None, None]

    run(test)


@pytest.mark.parametrize(
    ("requests", "at"),
    [(0, ""), (1, " at GET /a (abc)"), (5, " at GET /a (abc), GET /a (abc), GET /a (abc), 2 more")],
)
def test_the_log_of_the_service_says_what_ended_at_which_requests_where_and_what_helps(requests: int, at: str) -> None:
    async def test() -> None:
        desk = Desk()
        desk.crash("a", desk.images.image("f"), requests=requests)
        await desk.traces_of_reports()
        assert desk.lines == [
            ("a", f"nunatak: the machine ended{at}: guest_fault: a fault. In f+0x4. {GuestFault.remedy}")
        ]

    run(test)


@pytest.mark.parametrize("details", [{}, FRAMES])
def test_the_log_has_its_line_also_where_nothing_can_be_named(details: dict[str, object]) -> None:
    async def test() -> None:
        desk = Desk()
        image = desk.images.image("f")
        desk.images.blobs.clear()
        desk.crash("a", image, details)
        await desk.traces_of_reports()
        assert desk.lines == [("a", f"nunatak: the machine ended: guest_fault: a fault. {GuestFault.remedy}")]

    run(test)


@pytest.mark.parametrize(("request_id", "own"), [("abc", True), ("abd", False)])
def test_where_is_what_the_program_said_of_a_request_that_the_machine_had(request_id: str, own: bool) -> None:
    async def test() -> None:
        desk = Desk()
        desk.traces.add("a", ["out of time: ...", "    at spin (app.js:3:1)", f"    for GET /a ({request_id})"])
        desk.crash("a", desk.images.image("f"), requests=1)
        await desk.traces_of_reports()
        (report,) = desk.reports
        assert report["trace"] == ["f+0x4"], "addresses have their names as well"
        assert ("program" in report) == own
        assert ("In spin (app.js:3:1)." if own else "In f+0x4.") in desk.lines[0][1]

    run(test)
