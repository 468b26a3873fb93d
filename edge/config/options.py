"""The edge's configuration: one frozen dataclass whose fields carry unit, range and a sentence each.

The TOML file, the environment, the command line, `--help` and validation all read those fields; nothing about an option
is said twice. How they are read is `vmimage.options`' and `vmimage.settings`' business.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from edge.config.listeners import Listener, parse_listeners
from edge.config.peers import PeerOptions
from edge.config.places import host_port, is_address, is_origin, socket_path
from edge.config.proxies import Network, names_unix, networks
from edge.config.room import RESIDENT_MIN
from edge.config.sources import Place, parse_places, source_problems
from edge.config.token_files import admin_token, log_token
from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.options import About, Option, options_of
from vmimage.settings import Problem, Settings
from vmimage.toml_file import BYTES_MAX

if TYPE_CHECKING:  # it stands on aiohttp, which `--help` does not wait for
    from edge.config.upstream_policy import UpstreamPolicy

ENVIRONMENT: Final = "NUNATAK_EDGE_"  # before the name of an option, in capital letters
# Of the command's own, see `edge.cli`.
ENVIRONMENT_OTHERS: Final = ("CONFIG", "VERBOSE", "CHECK", "PRINT_CONFIG", "TAKE_OVER")
# Options that are gone, and what to say of them.
_GONE: Final = {
    "admin": "this option is no more: operators' pages have a listener of their own: admin_listen (and admin_token for "
    "ADDRESS:PORT)"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig(PeerOptions):
    """Everything an operator can say to an edge. Bytes and seconds throughout."""

    origin: Annotated[str, About("URL of the origin, or of a mirror of it.", form="URL")]
    trust: Annotated[Path, About("The origin's root.json, obtained in a way that you trust.", form="FILE")]
    cache: Annotated[
        Path, About("Folder for verified images, parked machines and the signed catalogue.", form="FOLDER")
    ]
    listen: Annotated[
        str,
        About(
            "Where HTTP is served: an address and port, * for all addresses, a Unix socket, or a socket that the "
            "service manager holds; port 0 takes a free one. May be given several times. Words may follow behind "
            "commas: proxy (connections begin with the PROXY protocol), v4v6 (of [::]), mode=, user= and group= (of a "
            "Unix socket).",
            form="ADDRESS:PORT|unix:PATH|fd:NAME",
            many="words",
        ),
    ] = "127.0.0.1:8080"
    log_token: Annotated[
        str,
        About(
            "File with the log token of the key folder; with it logs are sent to the origin.",
            form="FILE",
            unset="none, logs stay on the edge",
        ),
    ] = ""
    workers: Annotated[int, About("Number of worker processes.", "", 0, 256, unset="0, one for each processor")] = 0
    engine: Annotated[
        Literal["auto", "unicorn", "kvm"],
        About("Engine that machines run on; auto takes the cheaper one for each machine."),
    ] = "auto"
    kvm_ring0: Annotated[
        Literal["on", "off"],
        About("Whether to use KVM also where system calls of guests arrive in ring 0, as with VMX and SVM."),
    ] = "off"
    weights: Annotated[
        str,
        About(
            "Shares of CPU time by tenant, each from 1 to 10000.",
            form="TENANT=WEIGHT,...",
            unset="none, every tenant has weight 1",
            many="table",
        ),
    ] = ""
    isolation: Annotated[
        str,
        About(
            "Tenants that have workers of their own: nobody, every tenant (tenant), or those that are named.",
            form="nobody|tenant|NAME,...",
            many="list",
        ),
    ] = "nobody"
    admin_listen: Annotated[
        str,
        About(
            "Where operators' pages are: a Unix socket, whose path may begin in the cache folder, or an address, which "
            "needs admin_token.",
            form="unix:PATH|ADDRESS:PORT",
        ),
    ] = "unix:admin.sock"
    admin_token: Annotated[
        str,
        About(
            "File of mode 0600 with the token that operators' pages on an address ask for.",
            form="FILE",
            unset="none, a Unix socket needs no token",
        ),
    ] = ""
    admin_hosts: Annotated[
        str,
        About(
            "Host names that operators' pages may be asked for under, beside their address and loopback addresses.",
            form="NAME,...",
            unset="none",
            many="list",
        ),
    ] = ""
    log: Annotated[
        str,
        About(
            "File for the edge's own log, appended to; one that is renamed is begun anew.",
            form="FILE",
            unset="none, it goes to stderr",
        ),
    ] = ""
    secrets: Annotated[
        str,
        About(
            "Folder with the secrets that services find in their environment, as `nunatak secrets` keeps them.",
            form="FOLDER",
            unset="none, no service has any",
        ),
    ] = ""
    service_host: Annotated[
        str,
        About(
            "Host under which /~service/NAME/ leads to the service NAME, unless a service has that host.",
            form="HOST",
            unset="none, services are reached by their own hosts only",
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        About(
            "Networks of proxies in front of the edge, unix for whoever comes through a Unix socket: X-Forwarded-For, "
            "Forwarded and other fields about clients, and the PROXY protocol, are believed from them alone.",
            form="NETWORK,...|unix",
            unset="none, such fields are dropped",
            many="list",
        ),
    ] = ""
    upstreams: Annotated[
        str,
        About(
            "Networks that guests' own requests may reach; public stands for the internet.",
            form="NETWORK,...|public",
            many="list",
        ),
    ] = "public"
    request_timeout: Annotated[
        float,
        About(
            "A request whose answer does not begin, or whose client does not go on, for this time is given up.",
            "s",
            0.1,
            3600,
        ),
    ] = 30
    stream_timeout: Annotated[
        float, About("An answer that has begun and in which nothing comes for this time is cut.", "s", 0.1, 86400)
    ] = 600
    keepalive_timeout: Annotated[
        float, About("A client connection that is idle for this time is closed.", "s", 1, 3600)
    ] = 75
    origin_timeout: Annotated[float, About("Longest wait for one blob of the origin.", "s", 0.1, 600)] = 10
    refresh: Annotated[float, About("Time between two looks at the signed catalogue.", "s", 0.1, 3600)] = 5
    negative: Annotated[
        float,
        About("How long it is remembered that a service is unknown, the origin down or an image refused.", "s", 0, 600),
    ] = 1
    crash_pause: Annotated[
        float,
        About(
            "Longest pause before a service is started again whose machines crash without an answer; the pauses "
            "double from 0.1 s.",
            "s",
            0,
            3600,
        ),
    ] = 30
    drain: Annotated[float, About("Longest wait for requests in flight at shutdown.", "s", 0, 3600)] = 10
    drain_delay: Annotated[
        float,
        About(
            "For how long an edge that drains still takes connections, so that those who ask whether it is ready send "
            "their clients elsewhere first.",
            "s",
            0,
            3600,
        ),
    ] = 0
    max_body: Annotated[int, About("Largest body of a request.", "bytes", 0, 1 << 40)] = 64 << 20
    max_queue: Annotated[int, About("Number of requests that may wait for one service.", "", 1, 1 << 20)] = 1024
    sockets: Annotated[
        int,
        About("Number of WebSockets of all services.", "", 0, 1 << 20, unset="0, half of all client connections"),
    ] = 0
    service_sockets: Annotated[
        int, About("Number of WebSockets of one service, all of its machine.", "", 0, 1 << 20)
    ] = 1024
    socket_message: Annotated[int, About("Largest message of a WebSocket's client.", "bytes", 125, 1 << 26)] = 1 << 20
    socket_ping: Annotated[
        float,
        About(
            "A WebSocket whose client is silent for this time is pinged, and after as much again given up.",
            "s",
            0.1,
            3600,
        ),
    ] = 30
    socket_idle: Annotated[
        float, About("A WebSocket without a message, either way, for this time is closed.", "s", 1, 1 << 20)
    ] = 3600
    wedged: Annotated[float, About("A worker that does not answer a ping for this time is killed.", "s", 0.5, 600)] = 5

    @property
    def places(self) -> tuple[Place, ...]:
        """`origin` and `source`, parsed: where blobs and the catalogue come from, in order."""
        return parse_places(self.origin, self.source)

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """`listen`, parsed."""
        return parse_listeners(self.listen)

    @property
    def tenant_weights(self) -> dict[str, int]:
        """`weights`, parsed."""
        pairs = [text.partition("=") for text in self.weights.split(",") if text.strip()]
        found = {name.strip(): int(weight) for name, _, weight in pairs}
        if not all(is_name(name) and 1 <= weight <= 10_000 for name, weight in found.items()):
            raise ValueError(f"TENANT=WEIGHT with 1 to 10000 expected, got {self.weights!r}")
        return found

    def isolates(self, tenant: str) -> bool:
        """Whether a tenant's machines have workers of their own."""
        return self.isolation == "tenant" or tenant in self.isolation.replace(" ", "").split(",")

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        """The networks of `trusted_proxies`."""
        try:
            return networks(self.trusted_proxies)
        except ValueError as error:
            raise ValueError(f"networks such as 10.0.0.0/8 expected: {error}") from None

    @property
    def trusts_unix(self) -> bool:
        """Whether `trusted_proxies` has whoever comes through a Unix socket."""
        return names_unix(self.trusted_proxies)

    @property
    def upstream_policy(self) -> "UpstreamPolicy":
        """`upstreams`, parsed."""
        from edge.config.upstream_policy import UpstreamPolicy

        return UpstreamPolicy.parse(self.upstreams)

    @property
    def worker_count(self) -> int:
        """Worker processes to run."""
        return self.workers or os.cpu_count() or 1

    @property
    def admin_address(self) -> Path | tuple[str, int]:
        """`admin_listen`: a Unix socket's path, or host and port."""
        if self.admin_listen.startswith("unix:"):
            return self.cache / socket_path("admin_listen", self.admin_listen)
        return host_port(self.admin_listen)

    @property
    def admin_secret(self) -> str:
        """What `admin_token` holds; empty on a Unix socket, whose file's mode is the lock.

        :raises OperatorError: no such file, readable by others, or no token in it.
        """
        return "" if isinstance(self.admin_address, Path) else admin_token(self.admin_token)

    @property
    def secrets_folder(self) -> Path | None:
        """`secrets`, ~ resolved; None when it is not given.

        :raises OperatorError: ~ of a user without a home.
        """
        try:
            return Path(self.secrets).expanduser() if self.secrets else None
        except RuntimeError as error:
            raise OperatorError(f"secrets: {error}") from None

    @property
    def log_secret(self) -> str:
        """What `log_token` holds; empty when it is not given."""
        return log_token(self.log_token) if self.log_token else ""


def options() -> tuple[Option, ...]:
    """The fields of `EdgeConfig`, those that must be given before the others."""
    return tuple(sorted(options_of(EdgeConfig), key=lambda option: not option.required))


def load_config(file: Path | None, given: Mapping[str, str], environment: Mapping[str, str] = {}) -> EdgeConfig:
    """The edge's configuration, see `load_settings`. It changes nothing and may be called again at any time.

    :raises OperatorError: a line for each mistake, with the place it was made in.
    """
    return load_settings(file, given, environment)[0]


def load_settings(
    file: Path | None, given: Mapping[str, str], environment: Mapping[str, str]
) -> tuple[EdgeConfig, Settings]:
    """The edge's configuration from a TOML file, the environment, and the command line, which wins; and who said what.

    :param given: option name to text, of those that were given. :param environment: of which `ENVIRONMENT`* counts.
    :raises OperatorError: a line for each mistake, with the place it was made in.
    """
    settings = own_settings(file, given, environment)
    return settings.make(EdgeConfig, problems_of), settings


def own_settings(file: Path | None, given: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The same before it is checked: mistakes are told with it.

    :raises OperatorError: the file cannot be read.
    """
    settings = Settings(options(), _GONE)
    if file is not None:
        try:
            with file.open("rb") as opened:
                settings.take_file(str(file), opened.read(BYTES_MAX + 1))
        except OSError as error:
            raise OperatorError(f"configuration {file}: {error.strerror or error}") from None
    settings.take_environment(ENVIRONMENT, environment, ENVIRONMENT_OTHERS)
    settings.take_line(given)
    return settings


def problems_of(config: EdgeConfig) -> Iterator[Problem]:
    """What no option can say for itself."""
    if not is_origin(config.origin):
        yield "origin", f"an http or https URL expected, got {config.origin!r}"
    elif "@" in config.origin.split("/")[2]:  # it would be in log lines and in the list of processes
        yield "origin", "a URL without user and password expected: credentials are in a file, see registry_auth"
    else:
        yield from source_problems(config.origin, config.source)
    if not re.fullmatch(r"unix:.*[^/]", config.admin_listen) and not is_address(config.admin_listen):
        yield (
            "admin_listen",
            f"unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6) expected, got {config.admin_listen!r}",
        )
    elif not config.admin_listen.startswith("unix:") and not config.admin_token:
        yield "admin_token", f"a file with a token expected for operators' pages on {config.admin_listen}"
    if config.resident_bytes < RESIDENT_MIN:
        left = f"image_memory and parked_memory that leave {RESIDENT_MIN >> 20}MiB of memory for machines expected"
        yield "memory", f"{left}, they leave {config.resident_bytes >> 20}MiB"
    yield from config.response_problems
    yield from config.header_problems
    yield from config.trace_problems
    yield from config.peer_problems
    yield from config.fleet_problems
    parsed: tuple[tuple[str, Callable[[], object]], ...] = (
        ("weights", lambda: config.tenant_weights),
        ("upstreams", lambda: config.upstream_policy),
        ("trusted_proxies", lambda: config.proxy_networks),
        ("listen", lambda: _listeners(config)),
    )
    for option, parse in parsed:
        try:
            parse()
        except ValueError as error:
            yield option, str(error)


def _listeners(config: EdgeConfig) -> None:
    """:raises ValueError: places that are none, or where nobody could be served."""
    expecting = [each.place for each in config.listeners if each.proxy]
    if expecting and not config.trusted_proxies.strip(" ,"):
        raise ValueError(f"trusted_proxies expected for {expecting[0]}: the PROXY protocol is taken from them alone")
