"""Traces: requests that are over as spans of OpenTelemetry, sent to a collector where an operator names one.

What this needs is the extra `nunatak[otel]`; nothing of it is imported without the option `traces`.
"""
