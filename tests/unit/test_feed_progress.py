"""Whatever a bus does to events, is each applied once and in order, or what it may have named dropped?"""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.feed.backoff import FIRST_S, LAST_S, SPREAD_S, pause_s
from edge.feed.progress import BACK_S, TRIES_BORNE, Progress
from vmimage.feed import Event, Mark

ORIGIN, OTHER = "a" * 32, "b" * 32


def event(seq: int, origin: str = ORIGIN) -> Event:
    return Event(origin, seq, "catalogue", {"snapshot": 1}, 0)


def at(seq: int) -> Progress:
    return Progress(Mark(ORIGIN, seq))


@pytest.mark.parametrize(("seq", "heard"), [(5, "old"), (1, "old"), (6, "apply"), (7, "gap"), (1 << 50, "gap")])
def test_an_event_is_applied_when_it_is_the_next(seq: int, heard: str) -> None:
    assert at(5).hear(event(seq)) == heard


def test_before_the_catalogue_was_seen_nothing_is_judged() -> None:
    assert Progress().hear(event(1)) == "unknown"
    assert at(5).hear(event(6, OTHER)) == "unknown"


def test_the_timestamp_tells_of_a_gap() -> None:
    assert at(5).look(Mark(ORIGIN, 5), 0.0) == "same"
    assert at(5).look(Mark(ORIGIN, 6), 0.0) == "gap"
    assert at(5).look(None, 0.0) == "same", "an origin without a feed"


def test_who_does_not_know_what_was_missed_begins_anew() -> None:
    assert Progress().look(Mark(ORIGIN, 6), 0.0) == "begin"
    assert at(5).look(Mark(OTHER, 5), 0.0) == "begin", "the feed of another store"


def test_numbers_that_went_back_are_noticed_and_a_stamp_that_lags_is_borne() -> None:
    progress = at(9)
    assert progress.look(Mark(ORIGIN, 8), 0.0) == "same"
    assert progress.look(Mark(ORIGIN, 8), BACK_S - 1) == "same"
    assert progress.look(Mark(ORIGIN, 9), BACK_S - 1) == "same", "it has come up"
    assert progress.look(Mark(ORIGIN, 8), BACK_S) == "same", "the time begins anew"
    assert progress.look(Mark(ORIGIN, 8), 2 * BACK_S) == "begin"


def test_a_log_without_the_next_event_is_cut() -> None:
    assert not at(5).is_cut(6)
    assert at(5).is_cut(7)


def test_a_log_that_has_nothing_is_cut_when_it_lasts() -> None:
    progress = at(5)
    assert [progress.is_cut(None) for _ in range(TRIES_BORNE)] == [False] * (TRIES_BORNE - 1) + [True]
    progress.apply(event(6))
    assert not progress.is_cut(None), "tries begin anew behind an event"


def test_events_are_applied_in_order_alone() -> None:
    with pytest.raises(ValueError, match="the event after 5"):
        at(5).apply(event(7))


@given(st.lists(st.integers(1, 12), max_size=60))
@settings(max_examples=200, deadline=None)
def test_of_a_bus_that_loses_repeats_and_reorders_each_event_is_applied_once(came: list[int]) -> None:
    """A gap is filled by the log, which has all of them."""
    progress, applied = at(0), list[int]()
    for seq in came:
        match progress.hear(event(seq)):
            case "apply":
                wanted = [seq]
            case "gap":
                wanted = list(range(progress.applied + 1, seq + 1))
            case _:
                wanted = []
        for each in wanted:
            progress.apply(event(each))
            applied.append(each)
    assert applied == list(range(1, max(came, default=0) + 1))


def test_streams_that_broke_at_once_are_asked_for_one_by_one() -> None:
    """300 edges whose origin has ended: they come spread over more than 5 s, and no second has more than a third."""
    random = Random(7)
    pauses = [pause_s(1, random.random()) for _ in range(300)]
    assert max(pauses) - min(pauses) >= 5.0
    assert max(sum(second <= pause < second + 1 for pause in pauses) for second in range(10)) <= 100


def test_pauses_grow_up_to_a_bound() -> None:
    assert [pause_s(failures, 1.0) for failures in (1, 2, 30)] == [SPREAD_S, LAST_S, LAST_S]
    assert [pause_s(failures, 0.0) for failures in (1, 2, 30)] == [FIRST_S] * 3
    assert pause_s(1, 1.0, 0.0) == FIRST_S, "an origin that asks for none"
    assert pause_s(3, 1.0, 1.0) == 4.0
