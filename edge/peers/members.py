"""Who belongs to this edge's POP: a list that its operator gives, or that the origin signs; and what follows from it.

An edge finds itself in the list by its own certificate. Who is in the list for another POP is no peer. The list is
taken as a whole or not at all.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.peers.placement import Loads, Member, Owners
from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.membership import MEMBERS_MAX, WEIGHT_MAX, is_weight

FILE_MAX: Final = 512 << 10  # bytes of a list
_ADDRESS: Final = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NEEDED: Final = {"id", "pop", "peer", "sha256"}


class Peer(NamedTuple):
    """An edge of a list."""

    id: str
    pop: str
    address: str  # HOST:PORT of its listener for peers
    sha256: str  # of its certificate (DER), in hexadecimal
    weight: float = 1.0  # of the POP's keys it has a share by this
    load: float = 0.0  # at its last heart-beat, in requests a second


class Members:
    """The POP of one edge. Without a list, or where the list does not have this edge, it has nobody."""

    def __init__(self, own_sha256: str) -> None:
        """:param own_sha256: of this edge's certificate."""
        self._own = own_sha256
        self.here = ""  # this edge's id; empty where the list does not have it
        self._by_certificate: dict[str, Peer] = {}
        self.others: Sequence[Peer] = ()  # all members but this edge
        self.owners, self.loads = Owners(()), Loads(())
        self.on_change: Callable[[], None] = lambda: None

    def take(self, listed: Iterable[Peer], name: str = "") -> None:
        """Go by another list, of any POPs. A list with the same members and other loads moves nothing.

        :param name: of this edge, where the list has what edges say of themselves: one that shows this edge's
            certificate as its own is a member that cannot be reached, and takes nobody's place. "": any.
        """
        peers = list(listed)
        own = next((each for each in peers if each.sha256 == self._own and name in ("", each.id)), None)
        pop = [each for each in peers if own is not None and each.pop == own.pop]
        self.here = own.id if own is not None else ""
        before = [each._replace(load=0.0) for each in self.others]
        self._by_certificate = {each.sha256: each for each in pop if each.sha256 != self._own}
        placed = [Member(each.id, each.weight, each.load) for each in pop]
        if [(each.id, each.weight) for each in sorted(placed)] != [(m.id, m.weight) for m in self.owners.members]:
            self.owners = Owners(placed)
            self.loads = Loads(placed)
        else:
            self.loads.heard(placed)
        self.others = sorted(each for each in pop if each is not own)
        if [each._replace(load=0.0) for each in self.others] != before:
            self.on_change()

    def by_certificate(self, sha256: str) -> Peer | None:
        """The peer that has this certificate; None where no other member has."""
        return self._by_certificate.get(sha256)


def read_members(file: Path) -> list[Peer]:
    """An operator's list: {"members": [{"id": ..., "pop": ..., "peer": "HOST:PORT", "sha256": ...}, ...]}.

    :raises OperatorError: it cannot be read, or is no such list.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_MAX + 1)
    except OSError as error:
        raise OperatorError(f"peers: {file}: {error.strerror or error}") from None
    try:
        if len(data) > FILE_MAX:
            raise ValueError(f"at most {FILE_MAX} bytes expected")
        return parse_members(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise OperatorError(f"peers: {file}: {error}") from None


def parse_members(value: object) -> list[Peer]:
    """A list as JSON has it. :raises ValueError: it is none."""
    if not isinstance(value, dict) or set(value) != {"members"} or not isinstance(value["members"], list):
        raise ValueError('{"members": [...]} expected')
    if len(value["members"]) > MEMBERS_MAX:
        raise ValueError(f"at most {MEMBERS_MAX} members expected, got {len(value['members'])}")
    peers = [_peer(each) for each in value["members"]]
    if len({each.id for each in peers}) < len(peers) or len({each.sha256 for each in peers}) < len(peers):
        raise ValueError("each id and each certificate once expected")
    return peers


def _peer(value: Any) -> Peer:
    if not isinstance(value, dict) or not _NEEDED <= set(value) <= _NEEDED | {"weight"}:
        raise ValueError(f"members with {', '.join(sorted(_NEEDED))} and perhaps weight expected, got {value!r:.200}")
    texts = {name: value[name] for name in _NEEDED}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"texts expected, got {value!r:.200}")
    for name in ("id", "pop"):
        if not is_name(texts[name]):
            raise ValueError(f"{name}: 1 to 63 of a-z 0-9 . _ - expected, got {texts[name]!r:.80}")
    if not _ADDRESS.fullmatch(texts["peer"]):
        raise ValueError(f"peer: HOST:PORT expected, got {texts['peer']!r:.80}")
    if not _SHA256.fullmatch(texts["sha256"]):
        raise ValueError(f"sha256: 64 hexadecimal digits expected, got {texts['sha256']!r:.80}")
    weight = value.get("weight", 1.0)
    if not is_weight(weight):
        raise ValueError(f"weight: more than 0 and at most {WEIGHT_MAX:g} expected, got {weight!r:.80}")
    return Peer(texts["id"], texts["pop"], texts["peer"], texts["sha256"], float(weight))
