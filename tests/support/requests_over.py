"""Requests that are over, as tests of those who hear of them make them up."""

from typing import Any, Final

from edge.model.finished import Finished, Run
from edge.model.tracing import Trace

RUN: Final = Run("unicorn", 0.0, 0.0001, 0.002, 0.0, 0.0, 0, 350)
TRACE: Final = Trace(b"00-%b-%b-01" % (b"5" * 32, b"7" * 16), b"", b"")


def over(**said: Any) -> Finished:
    """A request that a guest answered, but for what is said of it."""
    usual: dict[str, Any] = {
        "began": 1_000_000_000.25,
        "duration_s": 0.0025,
        "id": "e-1",
        "trace": TRACE,
        "client": "192.0.2.77",
        "method": "GET",
        "host": "a.test",
        "target": "/page?a=1",
        "version": (1, 1),
        "status": 200,
        "whole": True,
        "sent_bytes": 142,
        "body_bytes": 42,
        "service": "a",
        "tenant": "acme",
        "release": 3,
        "tier": "resident",
        "cache": "miss",
        "error": "",
        "limit": "",
        "run": RUN,
        "fields": [(b"Host", b"a.test"), (b"Referer", b"http://b.test/"), (b"User-Agent", b"curl/8")],
        "head_bytes": 600,
    }
    return Finished(**{**usual, **said})
