"""Which options the origin's operator may set for all edges, and what is made of an edge's own options and these.

What an edge's own file, environment or command line say goes before. Values pass the same door as these: the fields of
`EdgeConfig`, with their ranges, and what these cannot say for themselves. Pure but for the files that options name,
none of which is among those that may be set.
"""

from collections.abc import Mapping
from functools import cache
from ipaddress import ip_network
from typing import Final

from edge.config.options import EdgeConfig, options, own_settings, problems_of
from vmimage.durations import format_duration
from vmimage.errors import OperatorError
from vmimage.fleet_settings import TEXT_MAX, Version
from vmimage.settings import Settings

# Each is taken up while an edge runs (`edge.config.reload`), and what it does wrong shows in what gates look at, or
# does no harm within its range. None names a file or a place, opens a listener or a page, says who is believed, or
# takes a wall down: with these an edge can be made slow or strict, and goes back from it by itself.
SETTABLE: Final[Mapping[str, str]] = {
    "crash_pause": "services that crash come back later or sooner",
    "keepalive_timeout": "idle connections are closed sooner or later",
    "max_body": "larger bodies are refused, with 413",
    "max_queue": "requests that are too many are refused, with 503",
    "refresh": "the catalogue is looked at more seldom, up to REFRESH_MAX_S, or oftener",
    "request_timeout": "slow answers are given up, with 504",
    "server_timing": "a field of answers",
    "stream_timeout": "silent answers are cut",
    "trace_ratio": "how many requests are recorded, where the edge's own `traces` names a collector",
    "upstreams": "networks that guests reach become fewer than all of the internet, and never others",
    "weights": "tenants have other shares of the processor",
}
REFRESH_MAX_S: Final = 60.0  # the way back must be heard of soon, also where no feed says it

_OTHERS: Final = "an option that fleet settings may have expected, this one is each edge's own: set it on the edge"
_NOBODY: Final = {"origin": "http://origin.invalid", "trust": "root.json", "cache": "cache"}  # must be given


def read_file(name: str, data: bytes) -> dict[str, str]:
    """Values of fleet settings from a TOML file, as an edge's own file has them.

    :param name: of the file, for messages.
    :raises OperatorError: a line for each mistake, with the place it was made in.
    """
    others = {option.name: _OTHERS for option in options() if option.name not in SETTABLE}
    said = Settings([option for option in options() if option.name in SETTABLE], others)
    said.take_file(name, data)
    values = said.texts()
    require_usable(values, name)
    return values


def require_usable(values: Mapping[str, str], whose: str) -> None:
    """That any edge which says nothing of its own can take these up.

    :param values: text by option. :param whose: they are, for messages.
    :raises OperatorError: a line for each mistake.
    """
    if others := sorted(values.keys() - SETTABLE.keys()):
        raise OperatorError(f"{whose}: {others[0]}: {_OTHERS}")
    if sum(map(len, values.values())) > TEXT_MAX:
        raise OperatorError(f"{whose}: values of at most {TEXT_MAX} characters in all expected")
    made = _nobody().over(values, whose).make(EdgeConfig, problems_of)
    if made.refresh > REFRESH_MAX_S:
        low, high = format_duration(0.1), format_duration(REFRESH_MAX_S)
        raise OperatorError(f"{whose}: refresh: {low} to {high} expected, got {values['refresh']}")
    if wider := [network for network in _words(made.upstreams) if not _within_public(network)]:
        raise OperatorError(
            f"{whose}: upstreams: public, or networks of the internet expected, got {wider[0]}: each edge opens its "
            "own networks to guests itself"
        )


def laid_under(own: Settings, version: Version) -> tuple[EdgeConfig, Settings]:
    """An edge's options with fleet settings where nothing is said of its own; and who said what.

    :raises OperatorError: they cannot be used.
    """
    whose = f"fleet settings {version.number}"
    require_usable(version.values, whose)
    both = own.over(version.values, whose)
    return both.make(EdgeConfig, problems_of), both


@cache
def _nobody() -> Settings:
    return own_settings(None, _NOBODY, {})


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _within_public(word: str) -> bool:
    from edge.config.upstream_policy import NOT_PUBLIC, PUBLIC_IPV6

    if word == "public":
        return True
    network = ip_network(word)
    if network.version == 6 and (
        network.network_address not in PUBLIC_IPV6 or network.prefixlen < PUBLIC_IPV6.prefixlen
    ):
        return False
    return not any(network.version == other.version and network.overlaps(other) for other in NOT_PUBLIC)
