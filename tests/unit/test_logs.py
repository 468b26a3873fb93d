"""Logs from spool to origin: in order, once, within their space, whatever ends in between."""

import asyncio
import base64
import errno
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.devices.spool
from edge.common import log
from edge.common.counters import Counters
from edge.devices.spool import SEGMENT_BYTES, Spool
from origin.registry.logs import Logs, _by_service
from origin.registry.refusal import OciError

TOKEN = "an-edges-token"
ROOM = 1 << 20


def spool(folder: Path, url: str = "http://127.0.0.1:1", *, limit_bytes: int = ROOM, token: str = TOKEN) -> Spool:
    return Spool(folder / "spool", limit_bytes, url, token, Counters())


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

    async def anybody(request: web.Request, service: str) -> None:
        return

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
            while await kept._ship_one(session):
                pass
            assert await lines(session, url, "shop") == [f"line {number}" for number in range(5)]
            assert (kept.used_bytes, kept._pending, kept._of_party) == (0, {}, {})

    asyncio.run(run())


def test_a_batch_whose_answer_was_lost_is_there_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"once", ROOM)
            kept._begin()
            path = kept._path(kept._segments[0])
            data = path.read_bytes()
            assert await kept._ship_one(session)
            path.write_bytes(data)
            again = spool(tmp_path, url)  # an edge that ended before it could delete what it had sent
            while await again._ship_one(session):
                pass
            assert await lines(session, url, "shop") == ["once"]

    asyncio.run(run())


def test_what_was_taken_outlives_the_edge(tmp_path: Path) -> None:
    async def run() -> None:
        assert spool(tmp_path).append("shop", "", b"before", ROOM)
        after = spool(tmp_path)
        assert after.append("shop", "", b"after", ROOM)
        async with origin(tmp_path) as (url, session):
            last = spool(tmp_path, url)
            while await last._ship_one(session):
                pass
            assert await lines(session, url, "shop") == ["before", "after"]

    asyncio.run(run())


def test_a_batch_that_is_refused_for_ever_does_not_stop_the_others(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            assert kept._file is not None
            kept._file.write(b'{"service":"shop","text":"%s"}\n' % (b"x" * (3 << 20)))
            kept._begin()
            kept.append("shop", "", b"after it", ROOM)
            while await kept._ship_one(session):
                pass
            assert await lines(session, url, "shop") == ["after it"]

    asyncio.run(run())


def test_lines_that_were_damaged_here_are_counted_and_the_others_arrive(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            assert kept._file is not None
            kept.append("shop", "", b"before", ROOM)
            kept._file.write(b"\0" * 100 + b"\n" + b'{"service":"../x"}\n' + b'{"service":7}\n')
            kept.append("shop", "", b"after", ROOM)
            kept._file.write(b'{"service":"shop","text":"cut o')
            kept._begin()
            while await kept._ship_one(session):
                pass
            assert await lines(session, url, "shop") == ["before", "after"]
            assert kept._counters.log_damaged == 4

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "damage"), [("edge", b"\xff\0"), ("next", b"no number"), ("edge", b""), ("next", b"")]
)
def test_a_lost_identity_is_replaced_and_nothing_is_taken_for_old(tmp_path: Path, name: str, damage: bytes) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"before", ROOM)
            while await kept._ship_one(session):
                pass
            kept.close()
            (tmp_path / "spool" / name).write_bytes(damage)
            again = spool(tmp_path, url)
            again.append("shop", "", b"after", ROOM)
            while await again._ship_one(session):
                pass
            assert await lines(session, url, "shop") == ["before", "after"]
            assert again.edge != kept.edge

    asyncio.run(run())


def test_numbers_go_on_after_a_kill(tmp_path: Path) -> None:
    first = spool(tmp_path)
    for _ in range(5):
        first._begin()
    for path in (tmp_path / "spool").glob("*.jsonl"):
        path.unlink()  # all sent
    assert spool(tmp_path)._segments[-1] > first._segments[-1]


class Full:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file, self.room = file, room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = self._file.write(data[: self.room])
        self.room -= taken
        return taken

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)


def test_a_full_disk_takes_whole_lines_or_none(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    assert kept._file is not None
    kept._file = full = Full(kept._file, 150)  # type: ignore[assignment]
    assert [kept.append("shop", "", b"x" * 30, ROOM) for _ in range(3)] == [True, False, False]
    assert kept._counters.log_refused == 2
    full.room = 1000
    assert kept.append("shop", "", b"there is room again", ROOM)
    texts = [json.loads(line)["text"] for line in kept._path(kept._segments[-1]).read_bytes().splitlines()]
    assert texts == ["x" * 30, "there is room again"]


def test_a_spool_on_a_full_disk_starts_and_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = edge.devices.spool.write_private

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(edge.devices.spool, "write_private", full)
    kept = spool(tmp_path)
    assert not kept.append("shop", "", b"lost", ROOM)
    assert asyncio.run(kept.sync()) == -errno.EIO
    monkeypatch.setattr(edge.devices.spool, "write_private", real)
    kept._open_again_s = 0.0
    assert kept.append("shop", "", b"kept", ROOM)
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
    (line,) = kept._path(kept._segments[-1]).read_bytes().splitlines()
    assert base64.b64decode(json.loads(line)["data"]) == b"\xff\0"


def test_reading_goes_on_where_it_was_and_waits(tmp_path: Path) -> None:
    async def run() -> None:
        async with origin(tmp_path) as (url, session):
            kept = spool(tmp_path, url)
            kept.append("shop", "", b"one", ROOM)
            await kept._ship_one(session)
            async with session.get(f"{url}/logs/shop") as answer:
                place = answer.headers["Nunatak-Next"]
            waiting = asyncio.create_task(lines(session, url, "shop", f"?after={place}&wait=20"))
            await asyncio.sleep(0)
            kept.append("shop", "", b"two", ROOM)
            while await kept._ship_one(session):
                pass
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
        for service, text in _by_service(data).items():
            assert text.endswith(b"\n"), service
    except OciError:
        pass


def test_old_lines_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("origin.registry.logs.FILE_BYTES", 100)
    logs = Logs(tmp_path / "logs", TOKEN)
    for number in range(1, 20):
        logs._keep("0" * 16, number, {"shop": b'{"text":"%030d"}\n' % number})
    data, end = logs._lines("shop", 0)
    assert data.startswith(b'{"text":"0')
    assert len(list((tmp_path / "logs" / "services" / "shop").iterdir())) == 2
    assert end <= 19 * 42


class Writes:
    """A segment that counts writes, and takes so many bytes of one."""

    def __init__(self, file: Any, takes: int = 1 << 30) -> None:
        self._file, self._takes, self.sizes = file, takes, list[int]()

    def write(self, data: bytes) -> int:
        self.sizes.append(len(data))
        return int(self._file.write(data[: self._takes]))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_many_lines_are_one_write_and_are_there_after_it(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    writes = kept._file = Writes(kept._file)  # type: ignore[assignment]
    lines = [f"line {number}".encode() for number in range(100)]
    assert kept.append_all("shop", "", lines, ROOM, "alice") == 100
    assert len(writes.sizes) == 1
    written = kept._path(kept._segments[-1]).read_bytes().splitlines()
    assert [json.loads(line)["text"].encode() for line in written] == lines
    assert kept.used_bytes == sum(writes.sizes)


def test_of_many_lines_those_that_fit_are_taken(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    assert kept.append_all("shop", "", [b"x" * 30] * 5, 100, "alice") == 3
    assert kept.append_all("shop", "", [b"x" * 30], 100, "alice") == 0
    assert kept.append_all("shop", "", [], 100, "alice") == 0
    assert kept._counters.log_refused == 3


def test_half_of_many_lines_is_taken_back(tmp_path: Path) -> None:
    kept = spool(tmp_path)
    assert kept.append("shop", "", b"before", ROOM)
    path, size = kept._path(kept._segments[-1]), kept.used_bytes
    whole = kept._file
    kept._file = Writes(whole, takes=100)  # type: ignore[assignment]
    assert kept.append_all("shop", "", [b"x" * 80] * 4, ROOM) == 0
    assert path.stat().st_size == size == kept.used_bytes
    kept._file = whole
    assert kept.append_all("shop", "", [b"after"] * 2, ROOM) == 2
    assert [json.loads(line)["text"] for line in path.read_bytes().splitlines()] == ["before", "after", "after"]


def test_many_lines_go_on_in_the_next_segment(tmp_path: Path) -> None:
    kept = Spool(tmp_path, 64 << 20, "http://127.0.0.1:1", "", Counters())
    first = kept._segments[-1]
    assert kept.append_all("shop", "", [b"x" * 8000] * 300, 16 << 20) == 300
    assert len(kept._segments) == 3
    sizes = [kept._path(number).stat().st_size for number in kept._segments]
    assert kept._segments[0] == first
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
