"""A finished request as a line, in two forms: an object of JSON, and what Apache calls combined. Pure.

What is in a line comes from clients, services and proxies. It is made plain ASCII without controls, so that nothing in
it ends the line, the field or the object, or says anything to a terminal.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, Literal

from edge.model.finished import Finished

Form = Literal["json", "combined"]

TEXT_MAX: Final = 2048  # characters of one field: a target or a name of a browser that is longer is cut
_CUT: Final = "..."
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()  # whatever the locale calls them
_TO_ESCAPE: Final = re.compile(r"[^ !#-\[\]-~]")  # all but printable ASCII without quote and backslash
_text: Final = json.JSONEncoder(ensure_ascii=True).encode  # in quotes


def line_of(form: Form) -> Callable[[Finished, str], str]:
    """What makes a line, without its end, of a request and of its client as the log may show it."""
    return json_line if form == "json" else combined_line


def json_line(finished: Finished, client: str) -> str:
    """An object of JSON; docs/how-to/watch-an-edge.md says what its keys mean."""
    began, run, trace = finished.began, finished.run, finished.trace
    texts = (
        ("client", client),
        ("method", finished.method),
        ("host", finished.host),
        ("target", finished.target),
        ("protocol", _protocol(finished)),
        ("service", finished.service),
        ("tenant", finished.tenant),
        ("tier", finished.tier),
        ("cache", finished.cache),
        ("error", finished.error),
        ("limit", finished.limit),
        ("id", finished.id),
        ("trace", trace.trace_id.decode() if trace is not None else ""),
        ("referer", finished.field(b"referer")),
        ("agent", finished.field(b"user-agent")),
    )
    numbers = (
        ("status", finished.status),
        ("whole", "true" if finished.whole else "false"),
        ("sent_bytes", finished.sent_bytes),
        ("body_bytes", finished.body_bytes),
        ("duration_s", f"{finished.duration_s:.6f}"),
        ("release", finished.release or None),
        ("guest_us", None if run is None else run.guest_us),
    )
    said = [f'"time":"{_rfc3339(int(began))}.{int(began % 1 * 1e6):06}Z"']
    said += [f'"{key}":{_text(_cut(text))}' for key, text in texts if text]
    said += [f'"{key}":{number}' for key, number in numbers if number is not None]
    return f"{{{','.join(said)}}}".replace("\x7f", "\\u007f")


def combined_line(finished: Finished, client: str) -> str:
    """As Apache's `LogFormat "%h %l %u %t \\"%r\\" %>s %b \\"%{Referer}i\\" \\"%{User-agent}i\\"" combined` has it."""
    asked = f"{finished.method} {_cut(finished.target)} {_protocol(finished)}" if finished.method else ""
    return (
        f"{client or '-'} - - [{_clf_time(int(finished.began))}] {_quoted(asked)} {finished.status or '-'}"
        f" {finished.body_bytes or '-'} {_quoted(_cut(finished.field(b'referer')))}"
        f" {_quoted(_cut(finished.field(b'user-agent')))}"
    )


def _protocol(finished: Finished) -> str:
    major, minor = finished.version
    return f"HTTP/{major}.{minor}" if finished.method else ""


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - len(_CUT)] + _CUT


def _quoted(text: str) -> str:
    """In quotes; `-` for nothing."""
    return f'"{_TO_ESCAPE.sub(_escape, text)}"' if text else '"-"'


def _escape(found: "re.Match[str]") -> str:
    """As Apache does since 2.0.46: backslash and quote behind a backslash, other bytes as \\xhh."""
    character = found[0]
    if character in '"\\':
        return "\\" + character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=4)
def _rfc3339(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4)
def _clf_time(second: int) -> str:
    at = datetime.fromtimestamp(second, UTC)
    return f"{at.day:02}/{_MONTHS[at.month - 1]}/{at.year} {at:%H:%M:%S} +0000".replace(" ", ":", 1)
