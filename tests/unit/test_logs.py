"""Logs from spool to origin: in order, once, within their space, whatever ends in between."""

import asyncio
import base64
import errno
import io
import json
import logging
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.common import log
from edge.common.counters import Counters
from edge.devices.spool import SEGMENT_BYTES, Spool
from origin.registry.logs import Logs, lines_by_service
from origin.registry.refusal import OciError

TOKEN = "an-edges-token"
ROOM = 1 << 20


def spool(
    folder: Path, url: str = "http://127.0.0.1:1", *, limit_bytes: int = ROOM, counters: Counters | None = None
) -> Spool:
    return Spool(folder / "spool", limit_bytes, url, TOKEN, counters or Counters())


def segments(folder: Path) -> list[Path]:
    """What the spool there consists of, the newest last."""
    return sorted((folder / "spool").glob("*.jsonl"), key=lambda path: int(path.stem))


def spooled(folder: Path) -> list[str]:
    """The lines there, as far as they are text."""
    return [json.loads(line)["text"] for path in segments(folder) for line in path.read_bytes().splitlines()]


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a disk that is full: of what is written beyond so many bytes of a file nothing is taken."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@asynccontextmanager
async def origin(folder: Path) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """The log part of an origin."""

    @web.middleware
    async def answer(request: web.Request, handler: object) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[operator,no-any-return]
        except OciError as error:
            return web.Response(status=error.status)

    app = web.Application(middlewares=[answer])

    async def anybody(request: web.Request, service: str) -> bool:
        return service == "known"

    app.add_routes(Logs(folder / "logs", TOKEN).routes(anybody))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with aiohttp.ClientSession() as session:
        yield f"http://{host}:{port}", session
    await runner.cleanup()


async def lines(session: aiohttp.ClientSession, url: str, service: str, query: str = "") -> list[str]:
    async with session.get(f"{url}/logs/{service}{query}") as answer:
        return [json.loads(line)["text"] for line in (await answer.read()).splitlines()]


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            for number in range(5):
                assert kept.append("shop", "audit", f"line {number}".encode(), ROOM)
                assert kept.append("other", "", b"another's", ROOM)
            assert kept.logs_waiting == 2
            await kept.ship_waiting(session)
            assert await lines(session, url, "shop") == [f"line {number}" for number in range(5)]
            assert (kept.used_bytes, kept.logs_waiting) == (0, 0)

    asyncio.run(run())


def test_what_was_sent_makes_room_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url, limit_bytes=10_000)

            def fill(limit_bytes: int) -> int:
                return sum(kept.append("shop", "", b"x" * 100, limit_bytes, "alice") for _ in range(200))

            for limit_bytes in (1000, ROOM):  # what bounds is the log first, and then the tenant
                taken = fill(limit_bytes)
                assert 0 < taken < 200
                assert fill(limit_bytes) == 0
                await kept.ship_waiting(session)
                assert fill(limit_bytes) == taken
                await kept.ship_waiting(session)

    asyncio.run(run())


def test_a_batch_whose_answer_was_lost_is_there_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"once", ROOM)
            (segment,) = segments(tmp_path)
            data = segment.read_bytes()
            await kept.ship_waiting(session)
            segment.write_bytes(data)
            again = spool(tmp_path, url)  # an edge that ended before it could delete what it had sent
            await again.ship_waiting(session)
            assert await lines(session, url, "shop") == ["once"]

    asyncio.run(run())


def test_what_was_taken_outlives_the_edge(tmp_path: Path) -> None:
    async def run() -> None:
        assert spool(tmp_path).append("shop", "", b"before", ROOM)
        after = spool(tmp_path)
        assert after.append("shop", "", b"after", ROOM)
        async with origin(tmp_path) as (url, session):
            last = spool(tmp_path, url)
            await last.ship_waiting(session)
            assert await lines(session, url, "shop") == ["before", "after"]

    asyncio.run(run())


def test_a_batch_that_is_refused_for_ever_does_not_stop_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            spool(tmp_path).close()
            (segment,) = segments(tmp_path)
            segment.write_bytes(b'{"service":"shop","text":"%s"}\n' % (b"x" * (3 << 20)))
            kept = spool(tmp_path, url, limit_bytes=8 << 20)
            assert kept.append("shop", "", b"after it", ROOM)
            await kept.ship_waiting(session)
            assert await lines(session, url, "shop") == ["after it"]
            assert kept.used_bytes == 0

    asyncio.run(run())


def test_lines_that_were_damaged_here_are_counted_and_the_others_arrive(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept, counters = spool(tmp_path), Counters()
            kept.append_all("shop", "", [b"before", b"after"], ROOM)
            kept.close()
            (segment,) = segments(tmp_path)
            before, after = segment.read_bytes().splitlines(keepends=True)
            damaged = b"\0" * 100 + b"\n" + b'{"service":"../x"}\n' + b'{"service":7}\n'
            segment.write_bytes(before + damaged + after + b'{"service":"shop","text":"cut o')
            await spool(tmp_path, url, counters=counters).ship_waiting(session)
            assert await lines(session, url, "shop") == ["before", "after"]
            assert counters.log_damaged == 4

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "damage"), [("edge", b"\xff\0"), ("next", b"no number"), ("edge", b""), ("next", b"")]
)
def test_a_lost_identity_is_replaced_and_nothing_is_taken_for_old(tmp_path: Path, name: str, damage: bytes) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"before", ROOM)
            await kept.ship_waiting(session)
            kept.close()
            (tmp_path / "spool" / name).write_bytes(damage)
            again = spool(tmp_path, url)
            again.append("shop", "", b"after", ROOM)
            await again.ship_waiting(session)
            assert await lines(session, url, "shop") == ["before", "after"]
            assert again.edge != kept.edge

    asyncio.run(run())


def test_numbers_go_on_after_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.devices.spool.SEGMENT_BYTES", 100)
    first = spool(tmp_path)
    for _ in range(5):
        assert first.append("shop", "", b"x" * 100, ROOM)
    used = [int(path.stem) for path in segments(tmp_path)]
    assert len(used) == 6
    for path in segments(tmp_path):
        path.unlink()  # all sent
    spool(tmp_path)
    (segment,) = segments(tmp_path)
    assert int(segment.stem) > used[-1]


def test_a_full_disk_takes_whole_lines_or_none(tmp_path: Path) -> None:
    counters = Counters()
    kept = spool(tmp_path, counters=counters)
    assert kept.append("shop", "", b"before", ROOM)
    (segment,), size = segments(tmp_path), kept.used_bytes
    for room in (10, 0):  # for half of the line, and for nothing
        with no_file_beyond(size + room):
            assert not kept.append("shop", "", b"lost", ROOM)
        assert segment.stat().st_size == size == kept.used_bytes
    assert (counters.log_refused, counters.storage_errors) == (2, {"logs": 2})
    assert kept.append("shop", "", b"there is room again", ROOM)
    assert spooled(tmp_path) == ["before", "there is room again"]


@pytest.mark.parametrize("pause_s", [0.0, 3600.0])
def test_a_spool_on_a_full_disk_starts_and_goes_on_after_a_pause_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause_s: float
) -> None:
    monkeypatch.setattr("edge.devices.spool.OPEN_AGAIN_S", pause_s)
    with no_file_beyond(0):
        kept = spool(tmp_path)
        assert not kept.append("shop", "", b"lost", ROOM)
        assert asyncio.run(kept.sync()) == -errno.EIO
    assert kept.append("shop", "", b"kept", ROOM) == (pause_s == 0)
    kept.close()


def test_there_is_an_end_to_what_waits(tmp_path: Path) -> None:
    kept = spool(tmp_path, limit_bytes=10_000)
    taken = sum(kept.append("shop", "", b"x" * 100, ROOM) for _ in range(1000))
    assert 20 < taken < 100
    assert kept.used_bytes <= 10_000


def test_one_log_does_not_take_all_the_room(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    assert [kept.append("shop", "audit", b"x" * 400, 1000) for _ in range(3)] == [True, True, False]
    assert kept.append("shop", "more", b"x" * 400, 1000)


def test_bytes_that_are_no_text_come_back(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    kept.append("shop", "", b"\xff\0", ROOM)
    (segment,) = segments(tmp_path)
    (line,) = segment.read_bytes().splitlines()
    assert base64.b64decode(json.loads(line)["data"]) == b"\xff\0"


def test_reading_goes_on_where_it_was_and_waits(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"one", ROOM)
            await kept.ship_waiting(session)
            async with session.get(f"{url}/logs/shop") as answer:
                place = answer.headers["Nunatak-Next"]
            waiting = asyncio.create_task(lines(session, url, "shop", f"?after={place}&wait=20"))
            await asyncio.sleep(0)
            kept.append("shop", "", b"two", ROOM)
            await kept.ship_waiting(session)
            assert await waiting == ["two"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Nunatak-Batch": "0" * 16 + "/1"}, b'{"service":"shop"}\n', 401),
        ({"Nunatak-Batch": "nobody/1", "Authorization": f"Bearer {TOKEN}"}, b"", 400),
        ({"Nunatak-Batch": "0" * 16 + "/1", "Authorization": f"Bearer {TOKEN}"}, b"no json\n", 400),
        ({"Nunatak-Batch": "0" * 16 + "/1", "Authorization": f"Bearer {TOKEN}"}, b'{"service":"../x"}\n', 400),
        ({"Nunatak-Batch": "0" * 16 + "/1", "Authorization": f"Bearer {TOKEN}"}, b"x" * (3 << 20), 413),
    ],
)
def test_what_an_origin_does_not_take(tmp_path: Path, headers: dict[str, str], body: bytes, status: int) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            async with session.post(f"{url}/logs", data=body, headers=headers) as answer:
                assert answer.status == status
            assert not (tmp_path / "logs" / "services").exists()

    asyncio.run(run())


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_batch_surprises_the_parser(data: bytes) -> None:
    try:
        for service, text in lines_by_service(data).items():
            assert text.endswith(b"\n"), service
    except OciError:
        pass


def test_old_lines_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.registry.log_lines.FILE_BYTES", 100)

    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            for number in range(1, 20):
                headers = {"Nunatak-Batch": f"{'0' * 16}/{number}", "Authorization": f"Bearer {TOKEN}"}
                data = b'{"service":"shop","text":"%d"}\n' % number
                async with session.post(f"{url}/logs", data=data, headers=headers) as answer:
                    assert answer.status == 204
            found, place, data = list[int](), 0, b"?"
            while data:
                async with session.get(f"{url}/logs/shop?after={place}") as answer:
                    data, place = await answer.read(), int(answer.headers["Nunatak-Next"])
                found += [int(json.loads(line)["text"]) for line in data.splitlines()]
            assert found == list(range(found[0], 20))
            assert found[0] > 1

    asyncio.run(run())
    assert len(list((tmp_path / "logs" / "services" / "shop").iterdir())) == 2


def test_many_lines_are_there_as_soon_as_they_are_taken(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    lines = [f"line {number}" for number in range(100)]
    assert kept.append_all("shop", "", [line.encode() for line in lines], ROOM, "alice") == 100
    assert spooled(tmp_path) == lines
    assert kept.used_bytes == sum(path.stat().st_size for path in segments(tmp_path))


def test_of_many_lines_those_that_fit_are_taken(tmp_path: Path) -> None:
    counters = Counters()
    kept = spool(tmp_path, counters=counters)
    assert kept.append_all("shop", "", [b"x" * 30] * 5, 100, "alice") == 3
    assert kept.append_all("shop", "", [b"x" * 30], 100, "alice") == 0
    assert kept.append_all("shop", "", [], 100, "alice") == 0
    assert counters.log_refused == 3


def test_many_lines_are_one_write_and_half_of_it_is_taken_back(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    assert kept.append("shop", "", b"x" * 80, ROOM)
    (segment,), size = segments(tmp_path), kept.used_bytes
    with no_file_beyond(3 * size + size // 2):
        assert kept.append_all("shop", "", [b"x" * 80] * 4, ROOM) == 0, "two would have found room one by one"
    assert segment.stat().st_size == size == kept.used_bytes
    assert kept.append_all("shop", "", [b"after"] * 2, ROOM) == 2
    assert spooled(tmp_path) == ["x" * 80, "after", "after"]


def test_many_lines_go_on_in_the_next_segment(tmp_path: Path) -> None:
    kept = spool(tmp_path, limit_bytes=64 << 20)
    (first,) = segments(tmp_path)
    assert kept.append_all("shop", "", [b"x" * 8000] * 300, 16 << 20) == 300
    assert len(segments(tmp_path)) == 3
    assert segments(tmp_path)[0] == first
    sizes = [path.stat().st_size for path in segments(tmp_path)]
    assert all(SEGMENT_BYTES <= size < SEGMENT_BYTES + 9000 for size in sizes[:-1])


def test_gathered_lines_of_the_log_leave_in_one_write() -> None:
    class Stream(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream, logger = Stream(), logging.getLogger("nunatak.test.gathered")
    output = log.Output(stream)
    logging.getLogger().addHandler(output)
    try:
        with log.gathered():
            for number in range(50):
                logger.warning("line %d", number)
            assert stream.getvalue() == ""
        assert stream.writes == 1
        assert stream.getvalue().splitlines() == [f"line {number}" for number in range(50)]
        logger.warning("alone")
        assert stream.getvalue().endswith("line 49\nalone\n")
    finally:
        logging.getLogger().removeHandler(output)


# Whose log it is.


def test_a_log_of_nobody_is_told_from_one_that_is_empty(tmp_path: Path) -> None:
    async def status(session: aiohttp.ClientSession, url: str, service: str) -> int:
        async with session.get(f"{url}/logs/{service}") as answer:
            return answer.status

    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            assert [await status(session, url, name) for name in ("known", "unknown", "NO")] == [200, 404, 400]
            headers = {"Authorization": f"Bearer {TOKEN}", "Nunatak-Batch": f"{'0' * 16}/1"}
            line = b'{"at":1,"log":"","service":"unknown","text":"x"}\n'
            async with session.post(f"{url}/logs", data=line, headers=headers) as answer:
                assert answer.status == 204
            assert await lines(session, url, "unknown") == ["x"], "of one that is gone, for example"

    asyncio.run(run())


def test_logs_of_services_that_are_gone_for_long_are_deleted(tmp_path: Path) -> None:
    async def run() -> None:
        logs = Logs(tmp_path / "logs", TOKEN)
        for service in ("gone", "there"):
            (tmp_path / "logs" / "services" / service).mkdir(parents=True)
        await logs.forget(["gone", "never"])
        assert [path.name for path in (tmp_path / "logs" / "services").iterdir()] == ["there"]
        with pytest.raises(ValueError, match="the name of a service"):
            await logs.forget(["../edges"])
        assert (tmp_path / "logs" / "edges").is_dir()

    asyncio.run(run())
