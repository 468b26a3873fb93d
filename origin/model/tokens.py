"""Tokens that an origin takes beside those of its key folder: tenants' for uploads, edges' for logs, operators'.

    tokens      {"version": 1, "tokens": [{"id", "for", "name", "sha256", "made"}, ...]}, mode 0600, in the key folder;
                of an edge that has peers "pop" as well, and "weight" where that is not 1

A token is "nk" and its identifier and 256 random bits, printed once; the file holds its SHA-256, which for so many bits
is as good as any slower hash. A file that others may read is refused, as the folder's keys are. A running origin takes
changes up at the next request that shows a token.
"""

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from origin.keys import read_private, replace_private
from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.membership import WEIGHT_MAX, is_weight

TOKENS_FILE: Final = "tokens"
TOKENS_MAX: Final = 10_000
_FORM: Final = 1
_TEXTS: Final = ("id", "for", "name", "sha256", "made", "pop")
_ID: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

_LOG: Final = logging.getLogger(__name__)
For = Literal["tenant", "edge", "operator"]


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: not the token."""

    id: str
    use: For
    name: str  # of the tenant, the edge or the operator
    sha256: str
    made: str  # ISO 8601
    pop: str = ""  # of an edge: where it is, and whose peers it may be; "": it is nobody's peer
    weight: float = 1.0  # of an edge with a POP: of its keys and load it has a share by this


class Tokens:
    """The tokens of one file, as it is now."""

    def __init__(self, path: Path) -> None:
        """:raises OperatorError: the file cannot be used."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []
        self._refresh()

    def find(self, use: For, text: str) -> Token | None:
        """The token that a text is, None for none that is known. Takes as long for every text of a length."""
        try:
            self._refresh()
        except OperatorError as error:
            _LOG.error("tokens as they were before are used: %s", error)
        given = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, given) and token.use == use:
                found = token
        return found

    def _refresh(self) -> None:
        try:
            state = self._path.stat()
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
        except FileNotFoundError:
            self._seen, self._tokens = None, []
            return
        except OSError as error:
            raise OperatorError(f"tokens expected at {self._path}: {error.strerror}: give this user the file") from None
        if seen != self._seen:
            self._tokens = load(self._path)
            self._seen = seen


def load(path: Path) -> list[Token]:
    """All tokens of a file, none where there is no file.

    :raises OperatorError: readable by others, or not such a file.
    """
    if not path.exists():
        return []
    try:
        content: Any = json.loads(read_private(path))
        if content.keys() != {"tokens", "version"} or content["version"] != _FORM:
            raise ValueError
        return [_parse(entry) for entry in content["tokens"]]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise OperatorError(
            f"a file of tokens, made by `nunatak token add`, expected at {path}: make it so, or remove it"
        ) from None


def _parse(entry: dict[str, Any]) -> Token:
    texts = {"pop": "", **{name: value for name, value in entry.items() if name != "weight"}}
    if not all(isinstance(value, str) for value in texts.values()) or texts["for"] not in get_args(For):
        raise ValueError
    use, weight = texts["for"], entry.get("weight", 1.0)
    token = Token(texts["id"], use, texts["name"], texts["sha256"], texts["made"], texts["pop"], weight)
    if not _ID.fullmatch(token.id) or not _SHA256.fullmatch(token.sha256) or not is_name(token.name):
        raise ValueError
    if token.pop and (token.use != "edge" or not is_name(token.pop)):
        raise ValueError
    if not is_weight(token.weight) or (token.weight != 1 and not token.pop):
        raise ValueError
    return token


def add(path: Path, use: For, name: str, now: datetime, pop: str = "", weight: float = 1.0) -> tuple[Token, str]:
    """Make a token; what is known of it, and the token itself, which nobody can say again.

    :param pop: of an edge that is to have peers.
    :param weight: by which such an edge has a share of what the edges there have together.
    :raises OperatorError: no such name, no such weight, too many, or the file cannot be written.
    """
    if not is_name(name):
        raise OperatorError(f"--{use}: 1 to 63 of a-z 0-9 . _ - expected, got {name!r}")
    if pop and (use != "edge" or not is_name(pop)):
        raise OperatorError(f"--pop: 1 to 63 of a-z 0-9 . _ - for an edge expected, got {pop!r} for {use} {name}")
    if not is_weight(weight) or (weight != 1 and not pop):
        raise OperatorError(
            f"--weight: a number above 0 and at most {WEIGHT_MAX:g}, for an edge with --pop, expected, got {weight:g}"
        )
    with _changing(path) as tokens:
        if len(tokens) >= TOKENS_MAX:
            raise OperatorError(
                f"at most {TOKENS_MAX} tokens expected, got one more: remove some with `nunatak token remove`"
            )
        id_ = secrets.token_hex(4)
        text = f"nk{id_}.{secrets.token_urlsafe(32)}"
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        token = Token(id_, use, name, sha256, now.isoformat(timespec="seconds"), pop, weight)
        tokens.append(token)
    return token, text


def remove(path: Path, id_: str) -> Token:
    """Take a token away.

    :raises OperatorError: there is none of this identifier, or the file cannot be written.
    """
    with _changing(path) as tokens:
        for token in tokens:
            if token.id == id_:
                tokens.remove(token)
                return token
        raise OperatorError(f"the identifier of a token expected, got {id_[:80]!r}: take one of `nunatak token list`")


def _entry(token: Token) -> dict[str, str | float]:
    texts = (token.id, token.use, token.name, token.sha256, token.made, token.pop)
    entry = {name: text for name, text in zip(_TEXTS, texts, strict=True) if text}
    return entry | ({"weight": token.weight} if token.weight != 1 else {})


@contextmanager
def _changing(path: Path) -> Iterator[list[Token]]:
    """The tokens, written again unless the block raises; one process at a time."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OperatorError(
            f"a key folder expected at {path.parent}: {error.strerror}: name that of the origin with --keys"
        ) from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        tokens = load(path)
        yield tokens
        replace_private(
            path, json.dumps({"tokens": list(map(_entry, tokens)), "version": _FORM}, indent=1).encode() + b"\n"
        )
    finally:
        os.close(folder)
