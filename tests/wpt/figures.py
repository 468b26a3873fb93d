"""What passes where: results of runs as rows by folder, and what fails here and passes elsewhere."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

OURS: Final = "nunatak"
LEGACY: Final = (
    r"iso-2022|gb18030|gbk|single-byte|replacement|labels|unsupported-enc|legacy|invalid-label"
    r"|constructor-non-utf|utf16"
)
FETCH: Final = ("headers", "request", "response", "body", "abort", "basic", "redirect")
# The first row whose pattern is found in a test's path has it.
ROWS: Final = (
    ("url: IDNA (IdnaTestV2, toascii)", r"^url/(Idna|toascii)"),
    ("url", r"^url/"),
    ("encoding/streams", r"^encoding/streams/"),
    ("encoding: other encodings than UTF-8", rf"^encoding/.*({LEGACY})"),
    ("encoding: UTF-8 and the API", r"^encoding/"),
    ("streams: byte streams", r"^streams/readable-byte"),
    ("streams: writable", r"^streams/writable"),
    ("streams: transform", r"^streams/transform"),
    ("streams: piping", r"^streams/piping"),
    ("streams: readable, strategies", r"^streams/"),
    *((f"fetch/api/{name}", rf"^fetch/api/{name}/") for name in FETCH),
    ("xhr/formdata", r"^xhr/"),
    ("FileAPI: blob, file", r"^FileAPI/"),
    ("dom/abort", r"^dom/abort"),
    ("dom/events", r"^dom/events"),
    ("html: structured-clone", r"structured-clone"),
    ("html: atob", r"webappapis/atob"),
    ("html: timers, microtasks, reportError", r"^html/"),
    ("WebCryptoAPI: digest, random", r"^WebCryptoAPI/(digest/|[^/]*$)"),
    ("WebCryptoAPI: keys", r"^WebCryptoAPI/"),
    ("compression", r"^compression/"),
    ("urlpattern", r"^urlpattern/"),
    ("performance-timeline, user-timing, hr-time", r"^(performance-timeline|user-timing|hr-time)/"),
    ("console", r"^console/"),
    ("webidl/ecmascript-binding", r"^webidl/"),
    ("mimesniff/mime-types", r"^mimesniff/"),
)
# Subtests of what no server has: a document, XMLHttpRequest, frames, memory shared between agents.
NO_SERVER: Final = re.compile(
    r"^XMLHttpRequest|\(using XMLHttpRequest\)|<a>|<area>|document\b|iframe|SharedArrayBuffer|same-agent|ImageData"
    r"|OffscreenCanvas|ImageBitmap|DOMPoint|DOMRect|DOMMatrix|DOMQuad|FileList|\(url, a\)|using <"
)


class Subtest(NamedTuple):
    """A test's path, its variant, and the subtest's name with its number among those of the same name."""

    test: str
    variant: str
    name: str


Outcome = tuple[str, str]  # PASS, FAIL, TIMEOUT or NOTRUN, and why
Results = Mapping[Subtest, Outcome]


@dataclass(frozen=True)
class Row:
    title: str
    count: int
    passed: Mapping[str, int]  # by runtime


def subtests(test: str, variant: str, told: Sequence[Sequence[str | None]]) -> Iterator[tuple[Subtest, Outcome]]:
    """What a driver told of one test, under names that occur once."""
    seen: Counter[str] = Counter()
    for name, status, message in told:
        if not NO_SERVER.search(name or ""):
            seen[name or ""] += 1
            yield Subtest(test, variant, f"{name} #{seen[name or '']}"), (status or "", message or "")


def counted(results: Mapping[str, Results]) -> list[Subtest]:
    """Those that pass somewhere: what passes nowhere needs something that no runtime here has, or the runner lacks."""
    every = {key for found in results.values() for key in found}
    return sorted(key for key in every if any(found.get(key, ("",))[0] == "PASS" for found in results.values()))


def rows(results: Mapping[str, Results]) -> list[Row]:
    """A row for each folder that has a subtest, and one for all of them."""
    keys = counted(results)
    by_title: dict[str, list[Subtest]] = {title: [] for title, _ in ROWS}
    for key in keys:
        by_title[next(title for title, pattern in ROWS if re.search(pattern, key.test))].append(key)
    return [_row(title, mine, results) for title, mine in [*by_title.items(), ("all", keys)] if mine]


def _row(title: str, keys: Sequence[Subtest], results: Mapping[str, Results]) -> Row:
    passed = {name: sum(found.get(key, ("",))[0] == "PASS" for key in keys) for name, found in results.items()}
    return Row(title, len(keys), passed)


def table(all_rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    names = list(all_rows[0].passed)
    lines = ["| folder | subtests | " + " | ".join(names) + " |", "|---|---|" + "---|" * len(names)]
    for row in all_rows:
        cells = [f"{row.passed[name]} ({100 * row.passed[name] / row.count:.1f} %)" for name in names]
        lines.append(f"| {row.title} | {row.count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def failing(results: Mapping[str, Results]) -> Iterator[str]:
    """Lines of what does not pass here: test, subtest, why, and where it passes."""
    for key in counted(results):
        status, why = results[OURS].get(key, ("not reached", ""))
        if status != "PASS":
            others = ",".join(name for name in results if results[name].get(key, ("",))[0] == "PASS")
            told = re.sub(r"\s+", " ", f"{key.name}\t{status}: {why[:200]}".replace("\t", "\0")).replace("\0", "\t")
            yield f"{key.test}{key.variant}\t{told}\t{others}"
