"""Others who know RFC 9111, asked what we are asked: hishel in Python, http-cache-semantics in JavaScript.

A case is a request with its answer, and a later request for the same: is it answered with what was kept? Each says so
in its own way; here it comes to one word. Neither knows CDN-Cache-Control: they are told it as Cache-Control.
"""

import json
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self
from unittest.mock import patch

from hishel import CacheMiss, Entry, FromCache, Headers, IdleClient, Request, Response, StoreAndUse

from edge.cache import reuse
from edge.cache.asked import Asked
from edge.cache.fields import Directives, cache_control, date, targeted
from edge.cache.storing import Answer, Kept, Wish, storing
from loadtest.peers.npm import PeerMissing, Program, fetched

Verdict = Literal["serve", "serve_and_refresh", "ask"]  # the later request: from what was kept, or its origin is asked
Fields = tuple[tuple[str, str], ...]

NOW: Final = 1_800_000_000  # when the answer came
URL: Final = "/page"
HOST: Final = "h.test"
SEMANTICS: Final = Program(
    "http-cache-semantics.cjs",
    "http-cache-semantics",
    "4.3.0",
    "d75e1e6a11587954da5e2f0e2b5c4b397a16d28cc2f7bdf64e9027fc2fe593ee",
    "package/index.js",
)
DRIVER: Final = Path(__file__).with_name("cache_semantics.cjs")


@dataclass(frozen=True)
class Case:
    """What is asked of all."""

    status: int = 200
    says: Fields = ()  # fields of the answer
    first: Fields = ()  # of the request that it answers
    later: Fields = ()  # of the request after that
    after_s: int = 1
    is_targeted: bool = False  # what the answer says in Cache-Control it says to CDNs alone, and no-store to others

    @property
    def told(self) -> Fields:
        """The answer's fields as oracles are told them: with the Date that who receives it adds (RFC 9110 6.6.1)."""
        fields = tuple((name, value) for name, value in self.says if not (self.is_targeted and name == "expires"))
        return fields if any(name == "date" for name, _ in fields) else (*fields, ("date", http_date(NOW)))

    def said(self, name: str) -> list[str]:
        """The values of a field of the answer, as oracles are told it."""
        return [value for field, value in self.told if field == name]

    @property
    def directives(self) -> Directives:
        """Of the answer."""
        return cache_control(", ".join(self.said("cache-control")))


def http_date(moment: int) -> str:
    """A date as HTTP has it."""
    return formatdate(moment, usegmt=True)


def ours(case: Case) -> tuple[Verdict, str]:
    """What we do; and why nothing was kept, if nothing was."""
    first, later = (asked(fields) for fields in (case.first, case.later))
    said = [
        (b"cdn-cache-control" if case.is_targeted and name == "cache-control" else name.encode(), value.encode())
        for name, value in case.says
    ]
    if case.is_targeted:
        said.append((b"cache-control", b"no-store"))
        assert targeted(", ".join(case.said("cache-control"))) is not None, "a case whose field is none"
    kept = storing(Answer.to(first, case.status, said, NOW, Wish()))
    if not isinstance(kept, Kept):
        return "ask", kept
    if first.variant(kept.vary) != later.variant(kept.vary):
        return "ask", ""
    fresh = reuse.freshness(kept, reuse.stale_for_s(kept, case.after_s, None), "good")
    use = reuse.USE[fresh, bool(kept.entity_tag or kept.last_modified)]
    return use if use in ("serve", "serve_and_refresh") else "ask", ""


def asked(fields: Fields) -> Asked:
    """A request as caches see it."""
    return Asked("GET", [(name.encode(), value.encode()) for name, value in fields], "s", "d", HOST, URL)


class Hishel:
    """It has no stale-while-revalidate: what it serves is fresh. It reads the system's clock, which is told for it."""

    name = "hishel"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        pass

    def judge(self, case: Case) -> Verdict:
        """What it does."""
        idle = IdleClient(options={"shared": True})
        first, later = (Request("GET", URL, _headers(fields)) for fields in (case.first, case.later))
        with patch("time.time", return_value=float(NOW)):
            missed = idle.next(first, [])
            assert isinstance(missed, CacheMiss)
            came = missed.next(Response(case.status, _headers(case.told)))
        if not isinstance(came, StoreAndUse):
            return "ask"
        entry = Entry(uuid.UUID(int=1), first, came.response)
        with patch("time.time", return_value=float(NOW + case.after_s)):
            return "serve" if isinstance(idle.next(later, [entry]), FromCache) else "ask"


def _headers(fields: Fields) -> Headers:
    found: dict[str, str | list[str]] = {}
    for name, value in fields:
        values = found.setdefault(name, [])
        assert isinstance(values, list)
        values.append(value)
    return Headers(found)


class Semantics:
    """http-cache-semantics, in a process of Node."""

    name = "http-cache-semantics"

    def __init__(self) -> None:
        """:raises PeerMissing: there is no Node here, or no npm to fetch it with."""
        node = shutil.which("node")
        if node is None:
            raise PeerMissing("node: apt-get install nodejs")
        self._command = [node, str(DRIVER), str(fetched(SEMANTICS))]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate()

    def judge(self, case: Case) -> Verdict:
        """What it does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        question = {
            "status": case.status,
            "said": _joined(case.told),
            "first": _joined((("host", HOST), *case.first)),
            "later": _joined((("host", HOST), *case.later)),
            "now": NOW * 1000,
            "then": (NOW + case.after_s) * 1000,
        }
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        verdict = self._process.stdout.readline().strip()
        assert verdict in ("serve", "serve_and_refresh", "ask"), verdict
        return verdict  # type: ignore[return-value]


def _joined(fields: Fields) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in fields:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def apparent_age_s(case: Case) -> int:
    """How old the answer was when it came, by its Date; less than 0 where that is ahead."""
    moment = date(case.said("date")[0])
    return 0 if moment is None else NOW - moment
