"""Options for traces: a part of `EdgeConfig`, in a file of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from edge.config.headers import HeaderOptions
from vmimage.options import About
from vmimage.settings import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceOptions(HeaderOptions):
    """Where spans of requests go, and of which requests."""

    traces: Annotated[
        str,
        About(
            "URL of a collector that takes traces by OTLP over HTTP; needs the extra nunatak[otel].",
            form="URL",
            unset="none, traces are passed on but not recorded",
        ),
    ] = ""
    trace_ratio: Annotated[
        float,
        About("Part of the requests whose spans go to traces, of those for which no trusted proxy decides.", "", 0, 1),
    ] = 0.01

    @property
    def trace_problems(self) -> Iterator[Problem]:
        """What no option can say for itself."""
        if self.traces:
            parts = urlsplit(self.traces)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                yield "traces", f"an http or https URL without user and password expected, got {self.traces!r}"
