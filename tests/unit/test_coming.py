"""What a parent gives on of a blob that has not come yet: never its end before the digest is known to be right."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import hypothesis
import pytest
from hypothesis import strategies as st

from edge.common.counters import Counters
from edge.content.blobs import Load, Ref
from edge.content.coming import GIVEN_ON_MIN, HELD_BACK, Coming, given_until
from edge.parent.blobs import Blobs, Found
from edge.sources.fetch import Sources
from edge.sources.partial import Partial
from tests.support.sources import BLOB, HALF, REF, Scripted
from vmimage.errors import OriginBusy, OriginError, OriginUnreachable, VerificationError
from vmimage.manifest import digest_of

SIZE = len(BLOB)
PIECE = 1000


class Reader:
    """Takes pieces as they are given."""

    def __init__(self, coming: Coming, first: int = 0, end: int = SIZE) -> None:
        self.got = b""
        self.error: OriginError | None = None
        self.task = asyncio.create_task(self._read(coming, first, end))

    async def _read(self, coming: Coming, first: int, end: int) -> None:
        try:
            async for piece in coming.pieces(first, end, SIZE, PIECE):
                self.got += piece
        except OriginError as error:
            self.error = error


async def settled() -> None:
    """All have taken what there is for them."""
    for _ in range(2 * SIZE // PIECE + 10):
        await asyncio.sleep(0)


class Play:
    """A blob that comes as a test says."""

    def __init__(self) -> None:
        self.partial, self.coming = Partial(REF), Coming()

    def begins(self, first: int = 0, size: int | None = SIZE) -> None:
        self.partial.begin("source", first, size)
        self.coming.grown(self.partial)

    def comes(self, data: bytes) -> None:
        self.partial.add(data)
        self.coming.grown(self.partial)

    def ends(self) -> None:
        """As `Blobs` ends it: with what verifies, or with what is wrong."""
        try:
            self.coming.held.data = self.partial.checked()
            self.coming.over()
        except VerificationError as error:
            self.coming.over(error)


def played(play: Callable[[Play], Awaitable[None]]) -> None:
    async def run() -> None:
        await play(Play())

    asyncio.run(run())


@pytest.mark.parametrize(("came", "end", "until"), [(0, 5000, 0), (3000, 5000, 3000), (5000, 5000, 5000 - HELD_BACK)])
def test_the_end_is_held_back(came: int, end: int, until: int) -> None:
    assert given_until(came, end) == until


def test_the_end_comes_when_all_is_verified() -> None:
    async def play(play: Play) -> None:
        play.begins()
        whole, part = Reader(play.coming), Reader(play.coming, 2000, 9000)
        play.comes(BLOB[:5000])
        await settled()
        assert (whole.got, part.got) == (BLOB[:5000], BLOB[2000:5000])
        play.comes(BLOB[5000:])
        await settled()
        assert whole.got == BLOB[: SIZE - HELD_BACK]
        assert part.got == BLOB[2000 : 9000 - HELD_BACK], "a part is not complete before the whole is known, either"
        play.ends()
        await settled()
        assert (whole.got, part.got) == (BLOB, BLOB[2000:9000])

    played(play)


def test_who_comes_late_reads_from_the_first_byte() -> None:
    async def play(play: Play) -> None:
        play.begins()
        play.comes(BLOB[:5000])
        early = Reader(play.coming)
        await settled()
        play.comes(BLOB[5000:])
        late = Reader(play.coming)
        await settled()
        play.ends()
        last = Reader(play.coming)
        await settled()
        assert early.got == late.got == last.got == BLOB

    played(play)


def test_what_is_wrong_is_never_complete() -> None:
    async def play(play: Play) -> None:
        play.begins()
        readers = [Reader(play.coming), Reader(play.coming, 100, 5000), Reader(play.coming, SIZE - 10)]
        play.comes(BLOB[:-1] + b"x")
        await settled()
        play.ends()
        await settled()
        assert [len(reader.got) for reader in readers] == [SIZE - HELD_BACK, 4900 - HELD_BACK, 0]
        assert all(isinstance(reader.error, VerificationError) for reader in readers)

    played(play)


def test_who_has_something_of_what_is_dropped_gets_no_more_of_it() -> None:
    async def play(play: Play) -> None:
        play.begins()
        play.comes(b"x" * 5000)
        begun, waiting = Reader(play.coming), Reader(play.coming, 8000)
        await settled()
        play.partial.drop()
        play.coming.grown(play.partial)
        play.begins()
        play.comes(BLOB)
        play.ends()
        await settled()
        assert (begun.got, type(begun.error)) == (b"x" * 5000, OriginUnreachable)
        assert waiting.got == BLOB[8000:], "nothing was given of it"

    played(play)


def test_a_size_that_changes_is_no_answer_any_more() -> None:
    async def play(play: Play) -> None:
        play.begins()
        reader = Reader(play.coming)
        await settled()
        play.begins(0, SIZE - 1)
        await settled()
        assert (reader.got, type(reader.error)) == (b"", OriginUnreachable)

    played(play)


Step = tuple[str, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "bad", "anew", "resized", "read", "settle"]), st.integers(0, SIZE)), max_size=12
)


@hypothesis.given(STEPS)
def test_in_any_order_an_answer_is_right_or_short(steps: Sequence[Step]) -> None:
    async def play(play: Play) -> None:
        play.begins()
        readers: list[tuple[int, Reader]] = [(0, Reader(play.coming))]
        for what, number in steps:
            came = len(play.partial)
            match what:
                case "good":
                    play.comes(BLOB[came : came + number])
                case "bad":
                    play.comes(bytes(min(number, SIZE - came)))
                case "anew":
                    play.begins()
                case "resized":
                    play.begins(came, SIZE - 1 if came < SIZE else SIZE)
                case "read" if number < SIZE and play.partial.size == SIZE:
                    readers.append((number, Reader(play.coming, number)))
                case _:
                    await settled()
        play.ends()
        await settled()
        for first, reader in readers:
            assert reader.task.done()
            if reader.error is None:
                assert reader.got == BLOB[first:]
            else:
                assert len(reader.got) < SIZE - first

    async def run() -> None:
        try:
            await play(Play())
        except VerificationError:  # more than was promised: the fetch ends there
            pass

    asyncio.run(run())


# Through all of it: sources, one fetch, readers.


async def found(blobs: Blobs) -> Found:
    return await blobs.find("blobs", REF.digest)


def parent_of(*sources: Scripted) -> Blobs:
    return Blobs(Sources(sources, 5.0, Counters()), 10 * SIZE, 60.0, Counters())


async def given(blobs: Blobs, found: Found) -> tuple[bytes, OriginError | None]:
    got = b""
    with blobs.in_use(found.held):
        try:
            async for piece in found.pieces(0, found.size):
                got += piece
        except OriginError as error:
            return got, error
    return got, None


def test_a_source_that_breaks_off_is_not_noticed_where_another_goes_on() -> None:
    async def run() -> None:
        sources = Scripted("first", "half", sized=True), Scripted("second", "ok", sized=True)
        blobs = parent_of(*sources)
        first = await found(blobs)
        second = await found(blobs)
        assert (first.coming is not None, second.how.endswith("; collapsed")) == (True, True)
        assert list(await asyncio.gather(given(blobs, first), given(blobs, second))) == [(BLOB, None)] * 2
        assert (await found(blobs)).how == "hit; detail=memory"
        assert [source.asked for source in sources] == [[0], [HALF]]
        assert blobs.used_bytes == SIZE
        await blobs.close()

    asyncio.run(run())


def test_what_a_liar_has_begun_is_broken_off_and_not_kept() -> None:
    async def run() -> None:
        blobs = parent_of(Scripted("liar", "lie", sized=True), Scripted("origin", "ok", sized=True))
        begun = await found(blobs)
        got, error = await given(blobs, begun)
        assert (len(got) < SIZE, type(error)) == (True, OriginUnreachable), "and the fetch goes on at the origin"
        assert (await given(blobs, await found(blobs)))[0] == BLOB
        await blobs.close()
        blobs = parent_of(Scripted("liar", "lie", sized=True))
        got, error = await given(blobs, await found(blobs))
        assert (len(got) < SIZE, type(error)) == (True, VerificationError)
        assert (len(blobs.held), blobs.used_bytes) == (0, 0)
        await blobs.close()

    asyncio.run(run())


def test_what_somebody_still_reads_keeps_its_room_when_it_is_whole() -> None:
    async def run() -> None:
        blobs = Blobs(Sources([Scripted("origin", "ok", sized=True)], 5.0, Counters()), SIZE, 60.0, Counters())
        begun = await found(blobs)
        with blobs.in_use(begun.held):
            await blobs.find("blobs", REF.digest, whole=True)
            with pytest.raises(OriginBusy):
                await blobs.find("blobs", digest_of(b"another"))
        with pytest.raises(VerificationError):
            await blobs.find("blobs", digest_of(b"another"), whole=True)
        assert len(blobs.held) == 0, "it has made room"
        await blobs.close()

    asyncio.run(run())


def test_what_is_small_or_of_unknown_size_waits_until_it_is_here() -> None:
    class Sized:
        def __init__(self, size: int, said: bool) -> None:
            self.data, self._said = bytes(size), said

        async def get(self, ref: Ref, load: Load) -> bytes:
            load.from_origin = True
            partial = Partial(ref)
            partial.begin("one", 0, len(self.data) if self._said else None)
            load.progress(partial)
            await asyncio.sleep(0)
            partial.add(self.data)
            load.progress(partial)
            return partial.checked()

    async def coming(size: int, said: bool, *, whole: bool = False) -> bool:
        store = Sized(size, said)
        blobs = Blobs(store, 10 * GIVEN_ON_MIN, 60.0, Counters())
        got = await blobs.find("blobs", digest_of(store.data), whole=whole)
        pieces = [bytes(piece) async for piece in got.pieces(0, size)]
        await blobs.close()
        assert b"".join(pieces) == store.data
        return got.coming is not None

    async def run() -> None:
        assert await coming(GIVEN_ON_MIN, True)
        assert not await coming(GIVEN_ON_MIN - 1, True)
        assert not await coming(GIVEN_ON_MIN, False)
        assert not await coming(GIVEN_ON_MIN, True, whole=True)

    asyncio.run(run())
