"""What a developer sees in place of an answer: the compiler's words, or where a machine died; as text and as HTML."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Final

from edge.devices.traces import Trace
from origin.dev.excerpt import Excerpt, excerpt_of
from vmimage.errors import GuestError, NunatakError, OutOfMemory, OutOfTime, OutputTooLarge
from vmimage.manifest import ImageManifest

CHANGES: Final = "/.nunatak/changes"  # answered as soon as there was a build after the one that its query names
_RELOAD: Final = (
    f"const again = () => location.reload(), {{ build }} = document.currentScript.dataset;"
    f'fetch("{CHANGES}?" + build).then(again, () => setTimeout(again, 1000));'
)
_RELOAD_DIGEST: Final = base64.b64encode(hashlib.sha256(_RELOAD.encode()).digest()).decode()
# Nothing is fetched but word of the next build, and no script runs but ours, by its digest: what the page quotes came
# from a program that has just failed.
_SCRIPT: Final = f"script-src 'sha256-{_RELOAD_DIGEST}'; connect-src 'self'"
_POLICY: Final = f"default-src 'none'; style-src 'unsafe-inline'; {_SCRIPT}; base-uri 'none'; form-action 'none'"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = """
:root { color-scheme: light dark; --line: #d9e2ec; --ink: #102a43; --dim: #627d98; --ice: #f4f8fb; --bad: #b3261e }
@media (prefers-color-scheme: dark) {
  :root { --line: #334e68; --ink: #e6eef5; --dim: #9fb3c8; --ice: #14222f; --bad: #ff8a80 }
}
body { margin: 0; padding: 6vh 1.5rem; background: var(--ice); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 60rem; margin: auto; border-top: 4px solid var(--bad); padding-top: 1rem }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } p { margin: .25rem 0; color: var(--dim) }
p.what { color: var(--ink) }
dt { float: left; clear: left; min-width: 8rem; color: var(--dim) } dd { margin-left: 9rem }
pre { overflow: auto; padding: 1rem; border: 1px solid var(--line); border-radius: 6px;
  font: 14px/1.5 ui-monospace, monospace }
pre mark { display: block; margin: 0 -1rem; padding: 0 1rem; color: inherit;
  background: color-mix(in srgb, var(--bad) 18%, transparent) }
pre i { color: var(--dim); font-style: normal; user-select: none }
footer { margin-top: 2rem; color: var(--dim); font-size: .85rem }
"""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no answer."""

    status: int  # of the HTTP answer
    title: str
    message: str
    kind: str = ""  # the error's counter name, as X-Nunatak-Error has it on an edge
    limit: str = ""  # the limit that was hit, its value, and how to set it
    trace: Sequence[str] = ()  # innermost first
    excerpt: Excerpt | None = None  # of the source, where it went wrong
    asked: str = ""  # for what: method, path, and the request's identifier
    logged: bool = False  # the program has said all of it in its log, but for the excerpt
    again: bool = False  # a page that will be another one as soon as the source is fixed

    def text(self) -> str:
        """For terminals and command-line clients."""
        lines = [f"{self.title}", self.message]
        lines += [f"limit: {self.limit}"] if self.limit else []
        lines += [f"    at {frame}" for frame in _folded(self.trace)]
        lines += [f"    for {self.asked}"] if self.asked else []
        lines += ["", self.excerpt.where, *self.excerpt.text()] if self.excerpt else []
        return "\n".join(lines) + "\n"

    def html(self, build: int | None = None) -> str:
        """For browsers.

        :param build: the page loads again as soon as there was one after this.
        """
        parts = [
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
            "<meta http-equiv=refresh content=1>" if self.again and build is None else "",
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style><main><h1>{escape(self.title)}</h1>",
            f"<pre>{escape(self.message)}</pre>" if "\n" in self.message else f"<p class=what>{escape(self.message)}",
            f"<dl><dt>Limit<dd>{escape(self.limit)}</dl>" if self.limit else "",
        ]
        if self.asked:
            parts.append(f"<p>{escape(self.asked)}")
        if self.excerpt:
            parts.append(_excerpt_html(self.excerpt))
        if self.trace:
            parts.append(f"<p>Where, innermost first:<pre>{escape(chr(10).join(_folded(self.trace)))}</pre>")
        after = "This page loads again when the source has changed." if self.again or build is not None else ""
        note = "" if self.again else "An edge tells clients the reason only. "
        parts.append(f"<footer>nunatak dev · {self.status} {escape(self.kind)} · {note}{after}</footer></main>")
        parts.append(f"<script data-build={build}>{_RELOAD}</script></html>\n" if build is not None else "</html>\n")
        return "".join(parts)


def _excerpt_html(excerpt: Excerpt) -> str:
    lines = []
    for number, line in enumerate(excerpt.lines, excerpt.first):
        shown = f"<i>{number:5}</i>  {escape(line)}"
        lines.append(f"<mark>{shown}</mark>" if number == excerpt.marked else f"{shown}\n")
    return f"<p>{escape(excerpt.where)}<pre>{''.join(lines)}</pre>"


def _folded(trace: Sequence[str]) -> list[str]:
    """A recursion's frames as one line."""
    runs = [(frame, len(list(same))) for frame, same in groupby(trace)]
    return [frame if times == 1 else f"{frame}  ({times} times)" for frame, times in runs]


def build_problem(error: NunatakError) -> Problem:
    """The source does not become an image."""
    return Problem(500, "The program was not built", str(error), "build", again=True)


def run_problem(error: NunatakError, image: ImageManifest | None, folders: Sequence[Path] = ()) -> Problem:
    """A request ended without its answer.

    :param error: one of a machine that died carries its report, see `edge.supervisor.reports`.
    :param image: what was served.
    :param folders: of the sources.
    """
    title = "The machine died" if isinstance(error, GuestError) and error.report else "No answer"
    trace: Sequence[str] = ()
    if isinstance(error, GuestError):
        trace = [str(frame) for frame in error.report.get("program", error.report).get("trace") or ()]
    limit, excerpt = limit_of(error, image), excerpt_of(trace, folders)
    return Problem(error.http_status, title, str(error), error.counter, limit, trace, excerpt)


def failure(status: int, trace: Trace, asked: str, folders: Sequence[Path]) -> Problem:
    """A program that caught nothing: its runtime answered for it."""
    excerpt = excerpt_of((*trace.frames, trace.what), folders)
    return Problem(status, "The program failed", trace.what, "", "", trace.frames, excerpt, asked, logged=True)


def limit_of(error: NunatakError, image: ImageManifest | None) -> str:
    """The limit that an error is about: name, value and option; empty for what no limit causes."""
    if image is None:
        return ""
    match error:
        case OutOfTime():
            return f"cpu_ms = {image.limits.cpu_ms} (--cpu-ms)"
        case OutOfMemory():
            return f"memory = {image.memory_bytes >> 20}MiB (--memory)"
        case OutputTooLarge():
            return f"output_bytes = {image.limits.output_bytes}"
        case _:
            return ""
