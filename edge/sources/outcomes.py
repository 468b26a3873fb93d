"""What came of asking a source, as a word for metrics, and which of several failures is told. Pure."""

from collections.abc import Sequence
from typing import Final, Literal

from edge.common.fetching import Behind, Missing
from vmimage.errors import OriginBusy, OriginError, OriginTimeout, OriginUnreachable, VerificationError

Result = Literal["ok", "missing", "busy", "timeout", "unreachable", "unverifiable", "behind", "refused", "given_up"]

_RESULTS: Final[tuple[tuple[type[OriginError], Result], ...]] = (  # the first that fits
    (Missing, "missing"),
    (OriginBusy, "busy"),
    (OriginTimeout, "timeout"),
    (OriginUnreachable, "unreachable"),
    (Behind, "behind"),
    (VerificationError, "unverifiable"),
    (OriginError, "refused"),
)

_RANKS: Final[dict[Result, int]] = {"unverifiable": 2, "missing": 0}  # of all others it is 1


def result_of(error: OriginError) -> Result:
    """What a failure counts as."""
    return next(result for kind, result in _RESULTS if isinstance(error, kind))


def says_ill(error: OriginError) -> bool:
    """Whether it says something of the source's health: that it lacks one thing does not."""
    return not isinstance(error, Missing)


def most_telling(errors: Sequence[OriginError]) -> OriginError:
    """The one that is raised where no source has helped: that bytes do not verify goes before all else, then the first.

    A blob that one source lacks and another one cannot give now, may well be had a moment later.

    :param errors: at least one.
    """
    ranks = [_RANKS.get(result_of(error), 1) for error in errors]
    return errors[ranks.index(max(ranks))]
