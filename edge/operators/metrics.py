"""The page of metrics, in the form that who asks can read: Prometheus' text, or OpenMetrics, which has exemplars."""

from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client.exposition import choose_encoder

from edge.common.counters import Counters, exposition
from edge.common.durations import Durations
from edge.front.page import Page

OPENMETRICS: Final = "application/openmetrics-text"
_END: Final = b"# EOF\n"  # of OpenMetrics


def page(counters: Counters, durations: Durations, gauges: Callable[[], Mapping[str, float]], accept: str) -> Page:
    """All metrics.

    :param accept: the field of the request.
    """
    encode, content_type = choose_encoder(accept)
    rest = exposition(counters, gauges, encode)
    if not content_type.startswith(OPENMETRICS):
        return Page(200, rest + durations.text().encode(), content_type)
    return Page(200, rest.removesuffix(_END) + durations.text(exemplars=True).encode() + _END, content_type)
