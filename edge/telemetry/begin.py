"""Whether requests are traced, and by what."""

from typing import TYPE_CHECKING

from edge.common.counters import Counters
from edge.config.traces import TraceOptions
from vmimage.errors import OperatorError

if TYPE_CHECKING:
    from edge.telemetry.export import Traces


def exporter() -> "type[Traces]":
    """What sends spans.

    :raises OperatorError: what it needs is not installed.
    """
    try:
        from edge.telemetry.export import Traces
    except ImportError as error:
        raise OperatorError(
            f"traces: the packages of the extra nunatak[otel] expected: {error}: install them, or leave the option out"
        ) from None
    return Traces


def begin(config: TraceOptions, counters: Counters) -> "Traces | None":
    """Where spans go from now on; None where the operator names no collector.

    :raises OperatorError: as `exporter`.
    """
    return exporter()(config.traces, counters) if config.traces else None
