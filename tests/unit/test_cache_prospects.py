"""Who waits for whose answer: by what is known of the page, its path and its service, for a while and not of all."""

import itertools

import pytest

from edge.cache.asked import Asked, Key
from edge.cache.prospects import KEPT_S, MARKS_MAX, SERVICE_ANSWERS, SERVICES_MAX, UNCACHEABLE_S, WAITS, Prospects


def key(target: str, *, service: str = "s", digest: str = "d") -> Key:
    return Asked("GET", (), service, digest, "h.test", target).key


def knowing(service: str, path: str, page: str) -> Prospects:
    """What is known of /a?b, of other queries of /a, and of other pages, in the order in which it came."""
    found = Prospects()
    for number in range(0 if service == "unknown" else SERVICE_ANSWERS):
        found.note(key(f"/other-{number}"), service == "kept", 0.0)
    if path != "unknown":
        found.note(key("/a?c"), path == "kept", 0.0)
    if page != "unknown":
        found.note(key("/a?b"), page == "kept", 0.0)
    return found


def test_the_narrowest_that_is_known_decides() -> None:
    for service, path, page in itertools.product(WAITS, repeat=3):
        decides = next((lately for lately in (page, path) if lately != "unknown"), service)
        assert knowing(service, path, page).waits(key("/a?b"), 1.0) is WAITS[decides], (service, path, page)


def test_a_cold_page_of_a_service_that_is_not_known_is_waited_for() -> None:
    assert Prospects().waits(key("/"), 0.0)


def test_a_service_of_which_nothing_is_kept_is_known_by_a_few_pages_and_by_one_that_is() -> None:
    found = Prospects()
    waited = []
    for number in range(SERVICE_ANSWERS + 1):
        waited.append(found.waits(key("/new"), 0.0))
        found.note(key(f"/{number}"), False, 0.0)
    assert waited == [True] * SERVICE_ANSWERS + [False]
    assert found.waits(key("/new", digest="next version"), 0.0)
    assert found.waits(key("/new", service="t"), 0.0)
    found.note(key("/kept"), True, 0.0)
    assert found.waits(key("/new"), 0.0)
    for number in range(2 * SERVICE_ANSWERS):
        found.note(key(f"/{number}"), False, 0.0)
    assert found.waits(key("/new"), 0.0), "it keeps some"


@pytest.mark.parametrize(("kept", "lasts_s"), [(True, KEPT_S), (False, UNCACHEABLE_S)])
def test_what_is_known_is_tried_again_after_a_while(kept: bool, lasts_s: float) -> None:
    found = Prospects()
    found.note(key("/"), kept, 10.0)
    lately = "kept" if kept else "not-kept"
    assert [found.page(key("/"), 10.0 + after_s) for after_s in (0, lasts_s - 1, lasts_s)] == [
        lately,
        lately,
        "unknown",
    ]


def test_a_service_that_keeps_nothing_is_tried_again_after_a_while() -> None:
    found = Prospects()
    for number in range(SERVICE_ANSWERS):
        found.note(key(f"/{number}"), False, 0.0)
    assert [found.waits(key("/new"), now) for now in (UNCACHEABLE_S - 1, UNCACHEABLE_S)] == [False, True]
    found.note(key("/0"), False, UNCACHEABLE_S)
    assert found.waits(key("/new"), UNCACHEABLE_S), "that was the first again"


def test_what_is_remembered_is_bounded() -> None:
    found = Prospects()
    for number in range(MARKS_MAX // 2 + 1):  # a page and its path each
        found.note(key(f"/{number}?"), False, 0.0)
    assert [found.page(key(f"/{number}?"), 1.0) for number in (0, 1, MARKS_MAX // 2)] == [
        "unknown", "not-kept", "not-kept"
    ]  # fmt: skip
    for number in range(SERVICES_MAX + 1):
        for page in range(SERVICE_ANSWERS):
            found.note(key(f"/{page}", service=f"s{number}"), False, 0.0)
    assert [found.waits(key("/new", service=f"s{number}"), 1.0) for number in (0, 1, SERVICES_MAX)] == [
        True,
        False,
        False,
    ]
