"""Lines on their way: written whole and in order, lost and counted where nobody takes them, and never waited for."""

import asyncio
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from edge.access import outputs, writer
from edge.access.outputs import PIPE_BYTES, Descriptor, File, Output, Stream
from edge.access.writer import Way, Writer
from edge.common.counters import Counters
from tests.support.edges import PATIENCE_S, until
from vmimage.errors import OperatorError

SIZE = 1000  # bytes that each line is said to keep in memory


class Log:
    """A writer of numbers, a line each."""

    def __init__(self, output: Output) -> None:
        self.counters = Counters()
        self.writer: Writer[int] = Writer(self.way(output), self.counters, lambda _: SIZE)
        self.added = 0

    @staticmethod
    def way(output: Output, mark: str = "") -> Way[int]:
        return Way(output, lambda number: f"{mark}{number}\n".encode())

    def add(self, count: int) -> None:
        for _ in range(count):
            self.writer.add(self.added)
            self.added += 1

    @property
    def lost(self) -> int:
        return sum(self.counters.access_log_lost.values())


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def small_pipe() -> tuple[int, int]:
    """A pipe that is full soon: the end to read, the end to write."""
    reader, written = os.pipe()
    fcntl.fcntl(written, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reader, written


def numbers(start: int, end: int) -> str:
    return "".join(f"{number}\n" for number in range(start, end))


def test_lines_are_written_in_their_order_and_to_the_last(tmp_path: Path) -> None:
    async def scenario() -> None:
        log = Log(File(tmp_path / "log"))
        log.add(100)
        await until(lambda: bool((tmp_path / "log").read_text()), "a few lines at once")
        log.add(1000)
        await log.writer.close()
        assert (tmp_path / "log").read_text() == numbers(0, 1100)
        assert log.lost == 0

    run(scenario)


def test_a_file_is_nobody_elses_and_appended_to(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "log").write_text("before\n")
        (tmp_path / "other").touch(0o600)
        for name in ("log", "new"):
            log = Log(File(tmp_path / name))
            log.add(1)
            await log.writer.close()
        assert (tmp_path / "log").read_text() == "before\n0\n"
        assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600

    run(scenario)


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_file_that_was_renamed_is_made_anew(tmp_path: Path, told: bool) -> None:
    async def scenario() -> None:
        path = tmp_path / "log"
        log = Log(File(path))
        log.add(10)
        await until(lambda: path.read_text() == numbers(0, 10), "written")
        path.rename(tmp_path / "log.1")
        if told:
            log.writer.reopen()
            await until(path.exists, "opened before there is a line for it")
        log.add(10)
        await log.writer.close()
        assert (tmp_path / "log.1").read_text() == numbers(0, 10)
        assert path.read_text() == numbers(10, 20)

    run(scenario)


def test_who_does_not_read_costs_lines_and_no_wait() -> None:
    async def scenario() -> None:
        reader, written = small_pipe()
        log = Log(Descriptor(written))
        log.add(2 * writer.WAITING_BYTES // SIZE)
        assert set(log.counters.access_log_lost) == {"slow"}
        got = b""
        while got.count(b"\n") < log.added - log.lost:
            got += await asyncio.get_running_loop().run_in_executor(None, os.read, reader, 1 << 16)
        log.add(5)  # whoever reads again gets what comes from then on
        await log.writer.close()
        os.close(written)
        got += await asyncio.get_running_loop().run_in_executor(None, os.read, reader, 1 << 16)
        os.close(reader)
        lines = got.decode().splitlines()
        assert lines[-5:] == [str(number) for number in range(log.added - 5, log.added)]
        assert len(lines) + log.lost == log.added

    run(scenario)


def test_what_nobody_reads_at_the_end_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "CLOSE_S", 1.0)

    async def scenario() -> None:
        reader, written = small_pipe()
        log = Log(Descriptor(written))
        log.add(3000)
        await log.writer.close()
        os.close(written)
        got = b""
        while more := os.read(reader, 1 << 16):
            got += more
        os.close(reader)
        assert 0 < got.count(b"\n") < log.added
        assert got.count(b"\n") + log.lost >= log.added - writer.BATCH, "all but a few that were being written"
        assert "event=access_log_lost" in caplog.text

    run(scenario)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose paths are short enough for sockets."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.bind(str(path))
    made.listen()
    return made


async def accepted(listener: socket.socket) -> socket.socket:
    listener.setblocking(False)
    async with asyncio.timeout(PATIENCE_S):
        return (await asyncio.get_running_loop().sock_accept(listener))[0]


async def received(connected: socket.socket, count: int | None = None) -> str:
    """So many lines; all until the end where no number is given."""
    got = b""
    async with asyncio.timeout(PATIENCE_S):
        while count is None or got.count(b"\n") < count:
            more = await asyncio.get_running_loop().sock_recv(connected, 1 << 16)
            if not more:
                break
            got += more
    return got.decode()


def test_a_program_that_collects_lines_may_come_late_and_come_back(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "RETRY_S", 0.0)

    async def scenario() -> None:
        path = place / "s"
        log = Log(Stream(str(path)))
        log.add(10)
        await until(lambda: log.counters.access_log_lost == {"unwritable": 10}, "nobody listens")
        with listening(path) as listener:
            log.add(100)
            with await accepted(listener) as connected:
                assert await received(connected, 100) == numbers(10, 110)
        path.unlink()
        with listening(path) as listener:
            coming = asyncio.ensure_future(accepted(listener))
            while not coming.done():  # some of these find out that the connection is broken
                log.add(1)
                await asyncio.sleep(0.01)
            with await coming as connected:
                await log.writer.close()
                got = await received(connected)
        assert got == numbers(log.lost - 10 + 110, log.added)
        assert log.lost < log.added - 100

    run(scenario)


def test_an_output_that_takes_nothing_is_left_for_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        reader, written = small_pipe()
        log = Log(Descriptor(written))
        log.add(3000)
        await until(lambda: len(os.read(reader, 1)) == 1, "it is written to")
        log.writer.go_on(log.way(File(tmp_path / "log"), "new "))
        await until(lambda: "new" in (tmp_path / "log").read_text(), "the rest is not waited for")
        await log.writer.close()
        os.close(written)
        os.close(reader)
        assert f"new {log.added - 1}\n" in (tmp_path / "log").read_text()

    run(scenario)


def test_a_file_that_cannot_be_opened_again_costs_lines_until_it_can(tmp_path: Path) -> None:
    async def scenario() -> None:
        folder = tmp_path / "folder"
        folder.mkdir()
        log = Log(File(folder / "log"))
        shutil.rmtree(folder)
        log.add(10)
        await until(lambda: log.counters.access_log_lost == {"unwritable": 10}, "the folder is gone")
        folder.mkdir()
        log.add(10)
        await log.writer.close()
        assert (folder / "log").read_text() == numbers(10, 20)

    run(scenario)


def test_a_line_that_cannot_be_made_is_lost_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        log = Log(File(tmp_path / "log"))
        log.writer.add("no number")  # type: ignore[arg-type]
        log.writer.go_on(Way(File(tmp_path / "log"), lambda number: b"%d\n" % number))
        await until(lambda: log.counters.access_log_lost == {"defect": 1}, "it is counted")
        log.add(1)
        await log.writer.close()
        assert (tmp_path / "log").read_text() == "0\n"
        assert "event=access_log_defect" in caplog.text

    run(scenario)


@pytest.mark.parametrize("name", ["folder", "pipe", "missing/log"])
def test_what_is_no_file_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OperatorError, match="access_log: a file that can be written expected at"):
        outputs.opened(str(tmp_path / name))
