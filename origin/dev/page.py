"""What a developer sees in place of an answer: the compiler's words, or where a machine died; as text and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

from vmimage.errors import GuestError, NunatakError, OutOfMemory, OutOfTime, OutputTooLarge
from vmimage.manifest import ImageManifest

# Nothing is fetched and no script runs: what the page quotes came from a program that has just failed.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
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
    again: bool = False  # a page that will be another one as soon as the source is fixed

    def text(self) -> str:
        """For terminals and command-line clients."""
        lines = [f"{self.title}", self.message]
        lines += [f"limit: {self.limit}"] if self.limit else []
        lines += [f"    at {frame}" for frame in _folded(self.trace)]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        """For browsers."""
        parts = [
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
            "<meta http-equiv=refresh content=1>" if self.again else "",
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style><main><h1>{escape(self.title)}</h1>",
            f"<pre>{escape(self.message)}</pre>" if "\n" in self.message else f"<p class=what>{escape(self.message)}",
            f"<dl><dt>Limit<dd>{escape(self.limit)}</dl>" if self.limit else "",
        ]
        if self.trace:
            parts.append(f"<p>Where, innermost first:<pre>{escape(chr(10).join(_folded(self.trace)))}</pre>")
        note = (
            "This page loads again until the source is fixed."
            if self.again
            else "An edge tells clients the reason only."
        )
        parts.append(f"<footer>nunatak dev · {self.status} {escape(self.kind)} · {note}</footer></main></html>\n")
        return "".join(parts)


def _folded(trace: Sequence[str]) -> list[str]:
    """A recursion's frames as one line."""
    runs = [(frame, len(list(same))) for frame, same in groupby(trace)]
    return [frame if times == 1 else f"{frame}  ({times} times)" for frame, times in runs]


def build_problem(error: NunatakError) -> Problem:
    """The source does not become an image."""
    return Problem(500, "The program was not built", str(error), "build", again=True)


def run_problem(error: NunatakError, image: ImageManifest | None) -> Problem:
    """A request ended without its answer.

    :param error: one of a machine that died carries its report, see `edge.supervisor.reports`.
    :param image: what was served.
    """
    title = "The machine died" if isinstance(error, GuestError) and error.report else "No answer"
    trace: Sequence[str] = ()
    if isinstance(error, GuestError):
        trace = [str(frame) for frame in error.report.get("trace") or ()]
    return Problem(error.http_status, title, str(error), error.counter, limit_of(error, image), trace)


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
