"""What origins over one bucket tell each other of edges, whose heart-beats come to one of them alone.

Each writes those that it has heard itself, signed, every few seconds, and reads what the others have written. How old
that is, the bucket's clock says; a document whose own time is far from this machine's is an old one that somebody has
put back. A bucket in which others write can thus withhold edges, and name none that no origin heard of lately.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from securesystemslib.signer import Signer
from tuf.api.metadata import Root

from origin.storage.blobs import BlobStore, Listed
from vmimage.canonical import refuse, require_integer, require_object
from vmimage.errors import FormatError, VerificationError
from vmimage.heartbeat import TTL_S, Heartbeat, parse_heartbeat
from vmimage.membership import WEIGHT_MAX, is_weight
from vmimage.online import open_document, sign_document
from vmimage.terms import COUNT_MAX

FOLDER: Final = "fleet"
EVERY_S: Final = 2.0  # between two exchanges
HEARD_MAX: Final = 5000  # edges of one origin
DOCUMENT_MAX: Final = 16 << 20  # bytes
SKEW_MAX_S: Final = 60.0  # between the clocks of two origins
ORIGINS_MAX: Final = 64  # whose documents are read
GONE_S: Final = 600.0  # after which a document of an origin that ended without a word is removed
_TYPE: Final = "heard"

_LOG: Final = logging.getLogger(__name__)


class Heard(NamedTuple):
    """A heart-beat, and how long ago it came to an origin."""

    beat: Heartbeat
    age_s: float
    weight: float  # as `registry.Known` has it


class Sharing:
    """One origin's part in it. All methods block."""

    def __init__(
        self,
        blobs: BlobStore,
        signer: Callable[[], Signer],
        root: Callable[[], Root],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """:param signer: the snapshot key. :param root: says whose that is. :param clock: seconds since 1970."""
        self._blobs, self._signer, self._root, self._clock = blobs, signer, root, clock
        self._key = f"{FOLDER}/{os.urandom(8).hex()}.json"

    def exchange(self, heard: Sequence[Heard]) -> list[Heard]:
        """Tell others what was heard here; what they have heard.

        :raises OSError: the bucket gives no answer.
        """
        self._blobs.put(self._key, document(heard, self._clock(), self._signer()))
        listed = list(self._blobs.list(FOLDER))
        now_s = next((each.changed_s for each in listed if each.key == self._key), 0.0)  # by the bucket's clock
        others = [each for each in listed if each.key != self._key]
        for each in others:
            if now_s - each.changed_s > GONE_S:
                self._blobs.delete(each.key)
        lately = sorted((each for each in others if now_s - each.changed_s <= TTL_S), key=lambda each: -each.changed_s)
        return [found for each in lately[:ORIGINS_MAX] for found in self._read(each, now_s - each.changed_s)]

    def leave(self) -> None:
        """Say no more. Nothing is lost if this fails: what was said grows old."""
        try:
            self._blobs.delete(self._key)
        except OSError as error:
            _LOG.warning("other origins are not told that this one ends: %s", error)

    def _read(self, listed: Listed, age_s: float) -> Iterator[Heard]:
        if listed.size > DOCUMENT_MAX:
            _LOG.warning("%s: at most %d bytes expected, got %d", listed.key, DOCUMENT_MAX, listed.size)
            return
        try:
            data = self._blobs.get(listed.key)
            said = parse_document(data, self._root(), self._clock())
        except FileNotFoundError:
            return
        except (FormatError, VerificationError) as error:
            _LOG.warning("%s: %s", listed.key, error)
            return
        for each in said:
            if (age := max(0.0, age_s) + each.age_s) <= TTL_S:
                yield each._replace(age_s=age)


def document(heard: Sequence[Heard], now_s: float, signer: Signer) -> bytes:
    """What an origin has heard, signed.

    :param now_s: seconds since 1970.
    """
    entries = [
        {"age_ms": int(each.age_s * 1e3), "beat": each.beat.to_bytes().decode(), "weight": each.weight}
        for each in heard[:HEARD_MAX]
    ]
    return sign_document(_TYPE, {"at_ms": int(now_s * 1e3), "heard": entries}, signer)


def parse_document(data: bytes, root: Root, now_s: float) -> list[Heard]:
    """What another origin has heard.

    :raises FormatError: too long, malformed, or not of this minute.
    :raises VerificationError: not signed by the snapshot key.
    """
    fields = require_object(_TYPE, open_document(_TYPE, data, DOCUMENT_MAX, root), {"_type", "at_ms", "heard"})
    at_s = require_integer(f"{_TYPE} at_ms", fields["at_ms"], 0, COUNT_MAX) / 1e3
    if abs(now_s - at_s) > SKEW_MAX_S:
        refuse(f"{_TYPE} at_ms", f"a time within {SKEW_MAX_S:g} s of this machine's", fields["at_ms"])
    listed = fields["heard"]
    if not isinstance(listed, list) or len(listed) > HEARD_MAX:
        refuse(_TYPE, f"at most {HEARD_MAX} heart-beats", listed)
    return [_parse_entry(entry) for entry in listed]


def _parse_entry(value: object) -> Heard:
    entry = require_object(f"{_TYPE} entry", value, {"age_ms", "beat", "weight"})
    age_ms, text = require_integer(f"{_TYPE} age_ms", entry["age_ms"], 0, COUNT_MAX), entry["beat"]
    if not isinstance(text, str):
        refuse(f"{_TYPE} beat", "a heart-beat as text", text)
    if isinstance(entry["weight"], bool) or not (entry["weight"] == 0 or is_weight(entry["weight"])):
        refuse(f"{_TYPE} weight", f"a number from 0 to {WEIGHT_MAX:g}", entry["weight"])
    return Heard(parse_heartbeat(text.encode()), age_ms / 1e3, float(entry["weight"]))
