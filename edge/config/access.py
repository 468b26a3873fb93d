"""Options for the access log: a part of `EdgeConfig`, in a file of its own."""

from dataclasses import dataclass
from typing import Annotated, Literal

from edge.config.traces import TraceOptions
from vmimage.options import About


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions(TraceOptions):
    """Where a line goes for each request, and what is in it."""

    access_log: Annotated[
        str,
        About(
            "Where a line for each request goes: a file, - for stdout, or a Unix socket (SOCK_STREAM) that a program "
            "reads.",
            form="FILE|-|unix:PATH",
            unset="none, no such lines",
        ),
    ] = ""
    access_log_format: Annotated[
        Literal["json", "combined"],
        About("Form of these lines: an object of JSON each, or the combined log format of web servers."),
    ] = "json"
    access_log_clients: Annotated[
        Literal["address", "network", "nothing"],
        About("What these lines say of clients: the address, its network (/24 of IPv4, /48 of IPv6), or nothing."),
    ] = "address"
