"""Which options an edge takes up while it runs, and what becomes of a configuration that was read again. Pure."""

import dataclasses
from typing import Any, Final, NamedTuple

from edge.config.options import EdgeConfig

# Who takes each up; all others decide what is built at the start, and wait for the next one.
LIVE: Final = {
    "access_log": "from the next line on",
    "access_log_clients": "from the next line on",
    "access_log_format": "from the next line on",
    "admin_hosts": "operators' listener: from the next call on",
    "admin_token": "operators' listener: from the next call on",
    "crash_pause": "from the next crash on",
    "drain": "when it drains",
    "drain_delay": "when it drains",
    "fleet_settings": "at once",
    "isolation": "from a service's next machine on",
    "keepalive_timeout": "from the next connection on",
    "log": "from the next line on",
    "log_token": "from the next batch on",
    "max_body": "from the next request on",
    "max_queue": "from the next request on",
    "peers": "at once",
    "refresh": "after the look that follows",
    "request_timeout": "requests under way too",
    "server_timing": "from the next answer on",
    "share": "from the next request on",
    "stream_timeout": "requests under way too",
    "trace_ratio": "from the next request on",
    "trusted_proxies": "from the next request on",
    "upstreams": "from the next request of a guest on",
    "via": "from the next request on",
    "weights": "from a service's next machine on",
    "wedged": "from the next second on",
}


class Reread(NamedTuple):
    """What a configuration that was read again means for an edge that runs."""

    config: EdgeConfig  # from now on
    changed: list[str]  # options that are other ones from now on
    waiting: list[str]  # options that differ and need a restart


def reread(now: EdgeConfig, read: EdgeConfig) -> Reread:
    """What is taken up of a configuration.

    :param now: by which the edge runs. :param read: what its file says.
    """
    names = [field.name for field in dataclasses.fields(EdgeConfig)]
    differ = [name for name in names if getattr(now, name) != getattr(read, name)]
    changes: dict[str, Any] = {name: getattr(read, name) for name in differ if name in LIVE}
    return Reread(dataclasses.replace(now, **changes), list(changes), [name for name in differ if name not in LIVE])
