"""Holding an image, a service or a tenant on all edges, and releasing it, by the operator. Decisions without I/O."""

from collections.abc import Generator, Sequence
from typing import Final

from origin.model.exchange import Request, Response
from origin.publish.books import read_book
from origin.publish.chain import read_state
from origin.publish.tenants import Edit, Exchange, Operator, change
from vmimage.errors import PublisherError
from vmimage.holds import HOLDS_MAX, HOLDS_PATH, Holds, holds_target, is_hold
from vmimage.tenancy import Book
from vmimage.trust import Trust

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


def hold(operator: Operator, what: Sequence[str]) -> Exchange:
    """Let no edge run these any more, from its next look at the catalogue on.

    :param what: each "image DIGEST", "service NAME" or "tenant NAME". One that is held already stays so.
    :raises PublisherError: something that cannot be held, or too much.
    """
    if wrong := [each for each in what if not is_hold(each)]:
        raise PublisherError(
            f"an image by its digest, a service or a tenant by its name expected, got {wrong[0]!r}: "
            "`nunatak services list` has them"
        )

    def revise(book: Book) -> Edit:
        before = book.holds().since
        since = {**dict.fromkeys(what, operator.now.strftime(_TIME)), **before}
        if len(since) > HOLDS_MAX:
            raise PublisherError(f"at most {HOLDS_MAX} holds expected, got {len(since)}: release some first")
        return Edit({HOLDS_PATH: holds_target(Holds(since))} if since != before else {})

    return (yield from change(operator, revise, [HOLDS_PATH], []))


def release(operator: Operator, what: Sequence[str]) -> Exchange:
    """Let edges run these again.

    :raises PublisherError: something that is not held.
    """

    def revise(book: Book) -> Edit:
        since = dict(book.holds().since)
        for each in what:
            if since.pop(each, None) is None:
                raise PublisherError(f"something that is held expected, got {each!r}: `nunatak hold list` has it")
        return Edit({HOLDS_PATH: holds_target(Holds(since))})

    return (yield from change(operator, revise, [HOLDS_PATH], []))


def all_holds(trust: Trust) -> Generator[Sequence[Request], Sequence[Response], Holds]:
    """What is held.

    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    state = yield from read_state(trust)
    book = yield from read_book(state.trust, state.snapshot.meta, [HOLDS_PATH])
    return book.holds()
