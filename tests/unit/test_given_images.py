"""Does a worker keep the small images of machines that went a moment ago, and forget those of longer ago?"""

from unittest.mock import Mock

from edge.content.image import IMAGE_OVERHEAD_BYTES, Image
from edge.workers.given_images import KEPT_BYTES, GivenImages

ROOM = KEPT_BYTES // (IMAGE_OVERHEAD_BYTES + 100)


def image(number: int, *, small: bool = True) -> Image:
    """A derived one: nothing but its record's size is looked at."""
    return Image(number, Mock(), None, bytes(100 if small else 1 << 20), -1, None)


def visit(given: GivenImages, visitor: Image) -> list[int]:
    """A machine of it comes and goes; the numbers of what the worker is to forget, and is told to."""
    given.add(visitor)
    given.enter(visitor)
    return [each.number for each in given.leave(visitor) if given.discard(each)]


def test_what_had_no_machine_for_the_longest_time_is_forgotten_when_there_are_too_many() -> None:
    given, images = GivenImages(), [image(number) for number in range(ROOM + 3)]
    for each in images[:ROOM]:
        assert visit(given, each) == []
    assert visit(given, images[0]) == [], "it was there still"
    assert visit(given, images[ROOM]) == [1]
    assert visit(given, images[ROOM + 1]) == [2]
    assert images[0] in given
    assert images[1] not in given


def test_what_has_a_machine_is_not_forgotten_however_many_others_come() -> None:
    given, busy = GivenImages(), image(0)
    given.add(busy)
    given.enter(busy)
    given.enter(busy)
    assert given.leave(busy) == []
    forgotten = [number for each in range(1, 2 * ROOM) for number in visit(given, image(each))]
    assert len(forgotten) == ROOM - 1
    assert busy in given


def test_what_is_not_small_stays_with_the_worker_and_takes_no_room() -> None:
    given, large = GivenImages(), image(0, small=False)
    assert visit(given, large) == []
    assert [visit(given, image(number)) for number in range(1, ROOM + 1)] == [[]] * ROOM
    assert large in given


def test_an_image_that_is_dropped_everywhere_is_not_dropped_again() -> None:
    given = GivenImages()
    first = image(0)
    visit(given, first)
    assert given.discard(first)
    assert not given.discard(first)
    assert [number for each in range(1, ROOM + 2) for number in visit(given, image(each))] == [1]
