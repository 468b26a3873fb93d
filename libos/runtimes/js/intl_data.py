"""What `Intl` knows of languages and time zones, as tables of text: from FormatJS packages, made when they are needed.

Tables are read-only bytes until a worker asks for one. en-US and the time zones are in the runtime; what else an image
names is in the image's files, under `FOLDER`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from libos.runtimes.js import packed
from libos.toolchain.packages import Package, source_tree
from vmimage.errors import PublisherError

FOLDER: Final = ".nunatak/intl"  # of an image's files; parts.c looks there
DATE: Final = Package(
    "npm", "@formatjs/intl-datetimeformat", "7.8.1", "273e1d28770c315887ab08d980f6a746655f0ebe3bbc1ff89d69e159554bed6e"
)
NUMBER: Final = Package(
    "npm", "@formatjs/intl-numberformat", "9.4.3", "6a66d9fd6f0a59769b3f54110837c7de08e3f860ecd99f098caf4c426e3da6b7"
)
PLURAL: Final = Package(
    "npm", "@formatjs/intl-pluralrules", "6.3.16", "e62a42279e48ce1d50765dfced7161a27ff5f023d31d346faa2a7e52b3da0c6f"
)
LIST: Final = Package(
    "npm", "@formatjs/intl-listformat", "8.3.15", "213a43f6cbe4a4974dfa516fa6c240ffe03735c1282fd8d98d5124b6c6f7cc68"
)
RELATIVE: Final = Package(
    "npm",
    "@formatjs/intl-relativetimeformat",
    "13.0.1",
    "97096d04f938a239223b702f60f7032303b38f9b430913ab91d0b6a351d46b98",
)
SEGMENTER: Final = Package(
    "npm", "@formatjs/intl-segmenter", "12.2.15", "967e50c4273ea84232bad44a8559cfd7e7f835dc65c5a4b83835c0aeae88c9a3"
)
LOCALE: Final = Package(
    "npm", "@formatjs/intl-locale", "5.3.12", "76d762fae1241bfc2298194ea3c4e7e16cbb188e1ea6233b2a91513e57addf1e"
)
CANONICAL: Final = Package(
    "npm",
    "@formatjs/intl-getcanonicallocales",
    "3.2.12",
    "2ff2a69d17832d1330c11140d3ced8fd57443c282ad3780de7a493807beb82eb",
)
VALUES: Final = Package(
    "npm",
    "@formatjs/intl-supportedvaluesof",
    "2.3.11",
    "c1ee5dfe0ca7e8b7567c0aa55501775590fa146231532d438cacdc0b01ce1107",
)
MATCHER: Final = Package(
    "npm", "@formatjs/intl-localematcher", "0.9.0", "aaa33590bf76b92f00d94b7e78b09452bd30b56b1a296c71e1de043629e69248"
)
DECIMAL: Final = Package(
    "npm", "@formatjs/bigdecimal", "0.2.7", "1997b14becd8f6608761cbda7edcc8265cbf34e6a28a946ac8623dce91fa7b7a"
)
MEMOIZE: Final = Package(
    "npm", "@formatjs/fast-memoize", "3.1.7", "c3c1959c517f5ff31774fc90d47a3d8bec6e5eb59e1388bfcb66ef21f6821a02"
)
INTL_PACKAGES: Final[dict[str, Sequence[Package]]] = {
    "intl": (DATE, NUMBER, PLURAL, LIST, RELATIVE, MATCHER, DECIMAL, MEMOIZE),
    "intl_canonical": (CANONICAL,),
    "intl_locale": (LOCALE,),
    "intl_values": (VALUES, MEMOIZE),
    "intl_segmenter": (SEGMENTER, MATCHER, MEMOIZE),
}
# CLDR's data within the classes.
INTL_TABLES: Final[dict[str, Mapping[str, Callable[[str], str]]]] = {
    each.name: {"index.js": packed.literals}
    for each in (DATE, NUMBER, PLURAL, LIST, RELATIVE, SEGMENTER, LOCALE, CANONICAL, VALUES, MATCHER)
}
KINDS: Final = {"date": DATE, "number": NUMBER, "plural": PLURAL, "list": LIST, "relative": RELATIVE}
DEFAULT: Final = "en"
# As V8 does it: programs look for plain spaces in times and ranges.
NARROW_SPACE, THIN_SPACE = "\u202f", "\u2009"
# Zones whose names CLDR still has under their older ones.
RENAMED: Final = {
    "Asia/Kolkata": "Asia/Calcutta",
    "Asia/Kathmandu": "Asia/Katmandu",
    "Asia/Yangon": "Asia/Rangoon",
    "Asia/Ho_Chi_Minh": "Asia/Saigon",
    "Europe/Kyiv": "Europe/Kiev",
    "Atlantic/Faroe": "Atlantic/Faeroe",
    "America/Argentina/Buenos_Aires": "America/Buenos_Aires",
    "Africa/Asmara": "Africa/Asmera",
}
HOUR_S: Final = 3600
_DATE_ALONE: Final = re.compile(r"y?(M+)?E*d?")
_TAG: Final = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_ADDED: Final = re.compile(r"__addLocaleData\((\{.*?)\)\s*\}\s*(?:else|$)", re.DOTALL)
_PARSED: Final = re.compile(r'JSON\.parse\(("(?:[^"\\]|\\.)*")\)', re.DOTALL)


def runtime_tables() -> Iterator[tuple[str, bytes]]:
    """Names and texts of the tables in the runtime.

    :raises OperatorError: a package cannot be had.
    """
    for kind in KINDS:
        yield from _tables(kind, DEFAULT)
    yield from _zones()


def image_tables(locales: Sequence[str]) -> Mapping[str, bytes]:
    """Names and texts of the tables for an image with these locales; `locales` lists what there is.

    :param locales: language tags as of BCP 47; of one that has no data of its own the nearest wider one is taken.
    :raises OperatorError: a package cannot be had.
    :raises PublisherError: no language tag, or nothing is known of the language.
    """
    found: dict[str, bytes] = {}
    rows = []
    for wanted in dict.fromkeys(locales):
        if not _TAG.fullmatch(wanted):
            raise PublisherError(f"--locale: a language tag like de-DE expected, got {wanted!r}")
        parts = wanted.split("-")
        names = {kind: _nearest(kind, parts) for kind in KINDS}
        rows.append(" ".join((wanted, *names.values())))
        for kind, name in names.items():
            if name != DEFAULT:
                found |= _tables(kind, name)
    return {**found, "locales": "\n".join(rows).encode()} if rows else {}


def _tables(kind: str, locale: str) -> Iterator[tuple[str, bytes]]:
    """The locale's table of that kind; the patterns of dates' ranges, which are most of it, are one of their own."""
    text = _locale_data(kind, locale)
    if kind == "date":
        whole = json.loads(text.decode().replace(NARROW_SPACE, " ").replace(THIN_SPACE, " "))
        _complete(whole["data"], locale)
        intervals = whole["data"]["intervalFormats"]
        whole["data"]["intervalFormats"] = {"intervalFormatFallback": intervals["intervalFormatFallback"]}
        yield f"{locale}/ranges", _compact(intervals)
        text = _compact(whole)
    yield f"{locale}/{kind}", text


def _complete(data: Any, locale: str) -> None:
    """What the package leaves out of CLDR's dates: English's " at ", zones after a date, zones' new names."""
    if locale.split("-")[0] == "en":
        data["dateTimeFormat"] |= dict.fromkeys(("full", "long"), "{1} 'at' {0}")
    formats = data["formats"]["gregory"]
    for skeleton, pattern in list(formats.items()):
        if _DATE_ALONE.fullmatch(skeleton):
            formats |= {skeleton + zone: f"{pattern}, {zone}" for zone in ("z", "zzzz")}
    names = data["timeZoneName"]
    names |= {zone: names[older] for zone, older in RENAMED.items() if older in names}


def _nearest(kind: str, parts: Sequence[str]) -> str:
    folder = source_tree(KINDS[kind]) / "locale-data"
    for size in range(len(parts), 0, -1):
        name = "-".join(parts[:size])
        if (folder / f"{name}.js").is_file():
            return name
    raise PublisherError(f"--locale: a language that CLDR has {kind} formats of expected, got {'-'.join(parts)}")


def _locale_data(kind: str, locale: str) -> bytes:
    """What the package would add for the locale: JSON, or for plurals an expression of JavaScript."""
    text = (source_tree(KINDS[kind]) / "locale-data" / f"{locale}.js").read_text("utf-8")
    if parsed := _PARSED.search(text):
        return _compact(json.loads(json.loads(parsed[1])))
    added = _ADDED.search(text)
    assert added is not None, f"{locale}: a call of __addLocaleData expected"
    return added[1].encode() if kind == "plural" else _compact(json.loads(added[1]))


def _compact(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _zones() -> Iterator[tuple[str, bytes]]:
    """`zones`: their names; `changes`: a line for each.

    A line is `name,offset,dst|...;` and then the changes from one of these to another: hours since the last change in
    base 36, or `_` and seconds, and a letter for the state that begins. The first is from ever.
    """
    text = (source_tree(DATE) / "add-all-tz.js").read_text("utf-8")
    data = json.loads(text[text.index("__addTZData(") + len("__addTZData(") : text.rindex("})") + 1])
    names, offsets = data["abbrvs"].split("|"), data["offsets"].split("|")
    known, lines = [], []
    for zone_text in data["zones"]:
        zone, *rows = zone_text.split("|")
        kept: list[tuple[int | None, str]] = []
        for row in rows:
            since, name, offset, dst = row.split(",")
            state = f"{names[int(name)]},{offsets[int(offset)]},{dst}"
            if since != "NaN" and (not kept or kept[-1][1] != state):
                kept.append((int(since, 36) if since else None, state))
        known.append(zone)
        lines.append(changes_of(kept))
    yield "zones", "|".join(known).encode()
    yield "changes", "\n".join(lines).encode()


def changes_of(rows: Sequence[tuple[int | None, str]]) -> str:
    """A zone's line of `changes`.

    :param rows: since when, in seconds since 1970 (`None`: from ever), and `name,offset,dst`.
    """
    letters = {state: chr(ord("A") + number) for number, state in enumerate(dict.fromkeys(state for _, state in rows))}
    assert len(letters) <= packed.LETTERS, "as many states of a zone as letters expected"
    changes, last = "", 0
    for since, state in rows:
        if since is not None:
            hours, rest = divmod(since - last, HOUR_S)
            changes += f"_{packed.base36(since - last)}" if rest else packed.base36(hours)
            last = since
        changes += letters[state]
    return f"{'|'.join(letters)};{changes}"
