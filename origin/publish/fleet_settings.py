"""Fleet settings, by the operator: a candidate begun, widened, finished, taken back. Decisions without I/O.

They stand in the signed entry of what is held, which every edge reads before all others (`vmimage.fleet_settings`).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from origin.model.exchange import Request, Response
from origin.publish.holds import all_holds
from origin.publish.tenants import Edit, Exchange, Operator, change
from vmimage.errors import FormatError, PublisherError
from vmimage.fleet_settings import FleetSettings, Staged, Version, parse_settings, settings_value
from vmimage.holds import HOLDS_PATH, holds_target
from vmimage.release import ALL, Gates, next_step, percent_text
from vmimage.tenancy import Book
from vmimage.terms import COUNT_MAX
from vmimage.trust import Trust

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Plan:
    """How a candidate is to come out."""

    share: int  # of the edges, in hundredths of a percent
    pops: tuple[str, ...] = ()
    gates: Gates = field(default_factory=Gates)


def start(operator: Operator, values: Mapping[str, str], plan: Plan) -> Exchange:
    """Let a part of the edges go by other settings.

    :param values: text by option, all that are to be set from then on; they were checked.
    :raises PublisherError: a candidate is under way, or the stable version says the same.
    """

    def begun(had: FleetSettings) -> FleetSettings:
        if had.candidate is not None:
            raise PublisherError(
                f"no candidate under way expected, got version {had.candidate.version.number}: finish it or take it "
                "back first (`nunatak settings`)"
            )
        if had.stable.values == values:
            raise PublisherError("other settings than the stable ones expected, got the same: nothing is to change")
        version = Version(had.last + 1, operator.now.strftime(_TIME), values)
        return FleetSettings(version.number, had.stable, Staged(version, plan.share, plan.pops, plan.gates))

    return (yield from _revised(operator, begun))


def widen(operator: Operator, share: int | None, pops: tuple[str, ...] | None) -> Exchange:
    """Let more edges go by the candidate.

    :param share: in hundredths of a percent; None: the next of the usual steps, or the same where `pops` are named.
    :param pops: where; none: everywhere; None: where it is.
    :raises PublisherError: none is under way, or fewer would: that is what `back` is for.
    """

    def wider(had: FleetSettings) -> FleetSettings:
        staged = _under_way(had)
        to = share if share is not None else next_step(staged.share) if pops is None else staged.share
        if to < staged.share:
            raise PublisherError(
                f"at least {percent_text(staged.share)} expected, which the candidate has, got {percent_text(to)}: "
                "`nunatak settings back` takes it from all"
            )
        return replace(had, candidate=replace(staged, share=to, pops=staged.pops if pops is None else pops))

    return (yield from _revised(operator, wider))


def finish(operator: Operator) -> Exchange:
    """Make the candidate the stable version.

    :raises PublisherError: none is under way, or not all edges had their turn: it would get round their gates.
    """

    def finished(had: FleetSettings) -> FleetSettings:
        staged = _under_way(had)
        if staged.share < ALL or staged.pops:
            where = f" in {', '.join(staged.pops)}" if staged.pops else ""
            raise PublisherError(
                f"a candidate of all edges expected, got one of {percent_text(staged.share)}{where}: "
                "`nunatak settings widen --percent 100 --everywhere` first, so that each measures it"
            )
        return FleetSettings(had.last, staged.version)

    return (yield from _revised(operator, finished))


def back(operator: Operator) -> Exchange:
    """Let all edges go by the stable version again. Where no candidate is under way nothing changes."""

    def revise(had: FleetSettings) -> FleetSettings:
        if had.candidate is None:
            operator.warn("no candidate is under way: nothing changes")
        return replace(had, candidate=None)

    return (yield from _revised(operator, revise))


def present(trust: Trust) -> Generator[Sequence[Request], Sequence[Response], FleetSettings]:
    """What is signed.

    :raises FormatError: what is signed cannot be read.
    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    holds = yield from all_holds(trust)
    return parse_settings(holds.settings)


def _revised(operator: Operator, revise: Callable[[FleetSettings], FleetSettings]) -> Exchange:
    def edit(book: Book) -> Edit:
        holds = book.holds()
        had = _readable(holds.settings, operator)
        now = revise(had)
        if now == had:
            return Edit()
        return Edit({HOLDS_PATH: holds_target(replace(holds, settings=settings_value(now)))})

    return (yield from change(operator, edit, [HOLDS_PATH], []))


def _readable(signed: object, operator: Operator) -> FleetSettings:
    """What is signed; what cannot be read is replaced, under a number that it did not give."""
    try:
        return parse_settings(signed)
    except FormatError as error:
        last = signed.get("last") if isinstance(signed, dict) else None
        operator.warn(f"the fleet settings that are signed cannot be read, and are begun anew: {error}")
        return FleetSettings(last if type(last) is int and 0 < last < COUNT_MAX else 0)


def _under_way(had: FleetSettings) -> Staged:
    if had.candidate is None:
        raise PublisherError("a candidate that is under way expected: `nunatak settings start` begins one")
    return had.candidate
