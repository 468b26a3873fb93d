"""Is a blob had from whichever source gives it, whatever the others do?"""

import asyncio
from collections.abc import Sequence

import pytest

from edge.common.counters import Counters
from edge.content.blobs import Load
from edge.sources.fetch import TRIES_EACH, Sources
from edge.sources.health import FAILURES_MAX
from edge.sources.hedging import KNOWN_MIN, SAVED_MAX
from tests.support.sources import BLOB, HALF, REF, Scripted
from vmimage.errors import OriginBusy, OriginError, OriginTimeout, OriginUnreachable, VerificationError


def of(*scripts: str) -> list[Scripted]:
    return [Scripted(f"source-{number}", script) for number, script in enumerate(scripts)]


def fetched(
    sources: Sequence[Scripted], *, times: int = 1, timeout_s: float = 5.0, quick: bool = False
) -> tuple[list[bytes], Counters]:
    """What comes of so many fetches, one after the other.

    :param quick: answers have been so quick lately that one who is silent is soon hedged.
    """
    counters = Counters()

    async def fetch() -> list[bytes]:
        store = Sources(sources, timeout_s, counters)
        for _ in range(KNOWN_MIN if quick else 0):
            store.hedging.began(0.0)
        try:
            return [await store.get(REF, Load()) for _ in range(times)]
        finally:
            await store.close()

    return asyncio.run(fetch()), counters


def results(counters: Counters) -> dict[tuple[int, str], int]:
    return {(int(name[-1]), result): count for (name, result), count in counters.source_fetches.items()}


def test_the_first_is_asked_and_nobody_else() -> None:
    sources = of("ok", "ok")
    assert fetched(sources, times=3)[0] == [BLOB] * 3
    assert [source.asked for source in sources] == [[0, 0, 0], []]


@pytest.mark.parametrize("word", ["missing", "refused", "away", "busy", "lie", "long", "short"])
def test_the_next_one_gives_what_the_first_does_not(word: str) -> None:
    sources = of(word, "ok")
    (data,), counters = fetched(sources)
    assert data == BLOB
    assert [source.asked for source in sources] == [[0], [0]]
    named = {"away": "unreachable", "lie": "unverifiable", "long": "unverifiable", "short": "unverifiable"}
    assert results(counters) == {(0, named.get(word, word)): 1, (1, "ok"): 1}
    assert sum(source.closed for source in sources) == 1 + (word in ("lie", "long", "short"))


def test_what_breaks_off_is_gone_on_with_at_the_next() -> None:
    sources = of("half", "ok")
    (data,), counters = fetched(sources)
    assert (data, [source.asked for source in sources]) == (BLOB, [[0], [HALF]])
    assert sum(counters.source_bytes.values()) == len(BLOB), "no byte came twice"


def test_what_breaks_off_is_gone_on_with_at_the_same_where_there_is_no_other() -> None:
    sources = of("half ok")
    assert fetched(sources)[0] == [BLOB]
    assert sources[0].asked == [0, HALF]


def test_one_that_knows_no_ranges_begins_anew() -> None:
    sources = [Scripted("source-0", "half"), Scripted("source-1", "ok", ranges=False)]
    (data,), counters = fetched(sources)
    assert (data, sources[1].asked) == (BLOB, [HALF])
    assert sum(counters.source_bytes.values()) == HALF + len(BLOB)


def test_one_that_always_breaks_off_is_not_asked_for_ever() -> None:
    sources = of("half")
    with pytest.raises(OriginUnreachable, match="broke off"):
        fetched(sources)
    assert len(sources[0].asked) == TRIES_EACH


def test_a_lie_in_one_of_two_parts_is_found_and_all_is_fetched_of_one() -> None:
    """The first gave a good half, the second a false one: which of them nobody knows."""
    sources = of("half ok", "lie")
    (data,), counters = fetched(sources)
    assert data == BLOB
    assert [source.asked for source in sources] == [[0, 0], [HALF]]
    assert results(counters)[0, "ok"] == 1


def test_a_true_rest_is_not_put_to_what_a_liar_breaks_off_again_and_again() -> None:
    """As a parent does that was lied to: it finds that out before the end, each time."""
    sources = of("half-lie", "ok")
    (data,), counters = fetched(sources)
    assert data == BLOB
    assert [source.asked for source in sources] == [[0, 0], [HALF, 0]]
    assert results(counters)[1, "ok"] == 1


def test_a_liar_is_asked_once_for_one_blob() -> None:
    sources = of("lie", "lie")
    with pytest.raises(VerificationError):
        fetched(sources)
    assert [source.asked for source in sources] == [[0], [0]]


def test_that_bytes_do_not_verify_is_what_is_told() -> None:
    with pytest.raises(VerificationError):
        fetched(of("away", "lie", "missing"))
    with pytest.raises(OriginUnreachable):
        fetched(of("missing", "away"))
    with pytest.raises(OriginError, match="source-0: none"):
        fetched(of("missing", "missing"))
    with pytest.raises(OriginUnreachable, match="no source"):
        fetched([])


def test_one_that_failed_often_is_asked_last() -> None:
    sources = of("away", "ok")
    assert fetched(sources, times=10)[0] == [BLOB] * 10
    assert (len(sources[0].asked), len(sources[1].asked)) == (FAILURES_MAX, 10)


def test_one_that_failed_often_is_asked_where_the_others_have_it_not() -> None:
    sources = of("away " * FAILURES_MAX + "ok", "ok " * FAILURES_MAX + "missing")
    assert fetched(sources, times=FAILURES_MAX + 1)[0] == [BLOB] * (FAILURES_MAX + 1)
    assert len(sources[0].asked) == FAILURES_MAX + 1


def test_to_lack_something_is_no_failure() -> None:
    sources = of("missing", "ok")
    fetched(sources, times=FAILURES_MAX * 2)
    assert len(sources[0].asked) == FAILURES_MAX * 2


def test_all_that_are_busy_are_asked_again_when_they_say_so() -> None:
    sources = of("busy ok", "busy busy")
    assert fetched(sources)[0] == [BLOB]
    assert [source.asked for source in sources] == [[0, 0], [0]]
    with pytest.raises(OriginBusy):
        fetched(of("busy"), timeout_s=0.05)


def test_one_that_is_silent_is_hedged_and_the_loser_is_cancelled() -> None:
    sources = of("silent", "ok")
    (data,), counters = fetched(sources, quick=True)
    assert (data, sources[0].cancelled) == (BLOB, 1)
    assert results(counters) == {(0, "given_up"): 1, (1, "ok"): 1}


def test_hedges_are_paid_for() -> None:
    """All are silent for ever: the first of each fetch is waited for to the end when the budget is used up."""
    sources = of("silent", "silent", "ok")
    fetches = int(SAVED_MAX)
    fetched(sources, times=fetches, quick=True, timeout_s=0.4)
    hedged = sum(len(source.asked) for source in sources) - fetches
    assert len(sources[2].asked) == fetches
    assert sources[0].cancelled + sources[1].cancelled == len(sources[0].asked) + len(sources[1].asked)
    assert hedged <= 2 * fetches


def test_a_body_that_stops_is_gone_on_with_elsewhere() -> None:
    sources = of("stall", "ok")
    (data,), counters = fetched(sources, quick=True)
    assert (data, sources[1].asked) == (BLOB, [HALF])
    assert results(counters) == {(0, "timeout"): 1, (1, "ok"): 1}


def test_a_body_that_comes_a_byte_at_a_time_is_gone_on_with_elsewhere_while_there_is_time() -> None:
    """None of its silences is long enough to be one."""
    sources = of("drip", "ok")
    (data,), counters = fetched(sources, quick=True, timeout_s=2.0)
    assert data == BLOB
    assert len(sources[1].asked) == 1
    assert 0 < sources[1].asked[0] < HALF, "from where the first was left"
    assert results(counters) == {(0, "timeout"): 1, (1, "ok"): 1}


def test_one_that_drips_alone_has_all_of_the_time() -> None:
    sources = of("drip")
    with pytest.raises(OriginTimeout):
        fetched(sources, timeout_s=0.2)
    assert sources[0].asked == [0]


def test_one_that_is_silent_alone_ends_at_the_deadline() -> None:
    sources = of("silent")
    with pytest.raises(OriginTimeout, match=r"no complete answer in 0\.05 s"):
        fetched(sources, timeout_s=0.05)
    assert sources[0].cancelled == 1


def test_peers_are_asked_before_all_others_and_stand_for_themselves() -> None:
    origin, peer = Scripted("origin", "ok"), Scripted("peer", "ok away")

    async def fetch() -> list[str]:
        store = Sources([origin], 5.0, Counters())
        store.ahead = lambda ref: [peer] if ref.digest == REF.digest else []
        assert [await store.get(REF, Load()) for _ in range(6)] == [BLOB] * 6
        await store.close()
        return [state["state"] for state in store.standing.states]

    assert asyncio.run(fetch()) == ["well", "resting"]
    assert (len(peer.asked), len(origin.asked)) == (1 + FAILURES_MAX, 5)


def test_who_leaves_ends_what_is_under_way() -> None:
    sources = of("silent", "silent")

    async def leave() -> None:
        store = Sources(sources, 5.0, Counters())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.get(REF, Load()), 0.05)
        await store.close()

    asyncio.run(leave())
    assert sources[0].cancelled == len(sources[0].asked) == 1
