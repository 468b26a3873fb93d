"""What `listen` says: places, each with what holds for the connections that come there.

A place is ADDRESS:PORT, unix:PATH or fd:NAME; words follow it behind commas: `unix:/run/nunatak/edge.sock,mode=660`.
Several places are parted by blanks. The words are HAProxy's where it has them (its manual, "bind"). Pure: names are
looked up, and sockets made, by who opens them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.config.places import host_port, is_address, socket_path

PLACES_MAX: Final = 8  # `localhost` and `*` are two sockets each, of the 16 that go from one edge to the next at once
TEXT_MAX: Final = 2048  # characters of all: they are handed over in one message
PUBLIC_MODE: Final = 0o666  # of a Unix socket: whoever may enter its folder, as an address is for all of a machine
OPERATORS: Final = "admin"  # the name of a service manager's sockets that are for operators' pages
BOTH_FAMILIES: Final = "::"  # the address that one socket of both families has

_HELD: Final = re.compile(r"fd:([!-~]{1,255})")  # FileDescriptorName= (systemd.socket(5)), which has no colon
_PATH: Final = re.compile(r"unix:.*[^/]")
_MODE: Final = re.compile(r"0?[0-7]{3}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}")  # of a user or group, or its number
_FORM: Final = "unix:PATH, fd:NAME or ADDRESS:PORT ([ADDRESS]:PORT for IPv6)"


class Listener(NamedTuple):
    """One place and what holds there."""

    place: str  # as it was written, without words
    at: Path | tuple[str, int] | None  # None: a socket of the service manager's
    held: str = ""  # its name there
    proxy: bool = False  # a connection begins with a header of the PROXY protocol
    both: bool = False  # one socket of IPv6 takes IPv4 too
    mode: int = PUBLIC_MODE  # of a Unix socket, as are
    user: str = ""
    group: str = ""


def parse_listeners(text: str) -> tuple[Listener, ...]:
    """All that `listen` names, at least one.

    :raises ValueError: what is none. OperatorError: ~ of a user without a home.
    """
    if len(text) > TEXT_MAX:
        raise ValueError(f"at most {TEXT_MAX} characters expected, got {len(text)}")
    found = tuple(map(_parse, text.split()))
    if not 0 < len(found) <= PLACES_MAX:
        raise ValueError(f"1 to {PLACES_MAX} places expected, got {len(found)}")
    places = [each.place for each in found]
    if twice := {place for place in places if places.count(place) > 1}:
        raise ValueError(f"each place once expected, got {min(twice)} again")
    return found


def place_of(place: str) -> Path | tuple[str, int] | None:
    """Where that is; None for a socket of the service manager's.

    :raises ValueError: nowhere. OperatorError: ~ of a user without a home.
    """
    if _HELD.fullmatch(place):
        return None
    if _PATH.fullmatch(place):
        return socket_path("listen", place)
    if is_address(place):
        return host_port(place)
    raise ValueError(f"{_FORM} expected, got {place!r}")


def _parse(text: str) -> Listener:
    place, *words = text.split(",")
    at, held = place_of(place), _HELD.fullmatch(place)
    if held is not None and held[1] == OPERATORS:
        raise ValueError(f"another name than fd:{OPERATORS} expected, which is for operators' pages")
    said = dict(_word(word, at) for word in words)
    if len(said) < len(words):
        raise ValueError(f"each word once expected, got {text!r}")
    return Listener(place, at, held[1] if held is not None else "", **said)


def _word(word: str, at: Path | tuple[str, int] | None) -> tuple[str, Any]:
    """A word as a field of `Listener`. :raises ValueError: it is none there."""
    name, _, value = word.partition("=")
    if word == "proxy":
        return "proxy", True
    if word == "v4v6" and isinstance(at, tuple) and at[0] == BOTH_FAMILIES:
        return "both", True
    if name == "mode" and isinstance(at, Path) and _MODE.fullmatch(value):
        return "mode", int(value, 8)
    if name in ("user", "group") and isinstance(at, Path) and _NAME.fullmatch(value):
        return name, value
    known = ", ".join(_words(at))
    raise ValueError(f"{known} expected behind a comma, got {word!r}")


def _words(at: Path | tuple[str, int] | None) -> Iterator[str]:
    """What may follow such a place."""
    yield "proxy"
    if isinstance(at, Path):
        yield from ("mode=660", "user=NAME", "group=NAME")
    elif at is not None and at[0] == BOTH_FAMILIES:
        yield "v4v6"
