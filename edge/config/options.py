"""The edge's configuration: one frozen dataclass whose fields carry unit, range and a sentence each.

The TOML file, the command line, `--help` and validation all read those fields; nothing about an option is said twice.
"""

import dataclasses
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from edge.config.option import About, Option, text_of
from edge.config.places import host_port, is_address, is_origin, socket_path
from edge.config.proxies import Network, networks
from edge.config.responses import ResponseOptions
from vmimage.errors import OperatorError
from vmimage.manifest import is_name
from vmimage.sizes import parse_size

if TYPE_CHECKING:  # it stands on aiohttp, which `--help` does not wait for
    from edge.config.upstream_policy import UpstreamPolicy

RESIDENT_MIN: Final = 8 << 20  # of `memory`: three machines
TOKEN_MIN: Final = 16  # characters: 64 bits even of one that is written in hex
TOKEN_MAX: Final = 256
# Options that are gone, and what took their place.
_GONE: Final = {
    "admin": "operators' pages have a listener of their own: admin_listen (and admin_token for ADDRESS:PORT)"
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig(ResponseOptions):
    """Everything an operator can say to an edge. Bytes and seconds throughout."""

    origin: Annotated[str, About("URL of the origin, or of a mirror of it.", form="URL")]
    trust: Annotated[Path, About("The origin's root.json, obtained in a way that you trust.", form="FILE")]
    cache: Annotated[
        Path, About("Folder for verified images, parked machines and the signed catalogue.", form="FOLDER")
    ]
    listen: Annotated[
        str,
        About(
            "Address and port that serve HTTP, * for all addresses, or a Unix socket; port 0 takes a free one.",
            form="ADDRESS:PORT|unix:PATH",
        ),
    ] = "127.0.0.1:8080"
    memory: Annotated[
        int,
        About(
            "Memory for resident machines, images and parked machines together; half of it is for resident machines.",
            "bytes",
            16 << 20,
            1 << 40,
        ),
    ] = 256 << 20
    parked_memory: Annotated[
        int,
        About(
            "Share of memory for parked machines; those that do not fit are on disk.",
            "bytes",
            0,
            1 << 40,
            unset="0, a quarter of memory",
        ),
    ] = 0
    image_memory: Annotated[
        int, About("Share of memory for verified images.", "bytes", 0, 1 << 40, unset="0, a quarter of memory")
    ] = 0
    disk: Annotated[int, About("Disk space for verified images.", "bytes", 1 << 20, 1 << 44)] = 4 << 30
    parked_disk: Annotated[int, About("Disk space for parked machines.", "bytes", 1 << 20, 1 << 44)] = 1 << 30
    written_disk: Annotated[
        int, About("Disk space for what services write to copy-on-write disks.", "bytes", 1 << 20, 1 << 44)
    ] = 1 << 30
    log_disk: Annotated[int, About("Disk space for logs that wait for the origin.", "bytes", 1 << 20, 1 << 40)] = (
        64 << 20
    )
    log_token: Annotated[
        str,
        About(
            "File with the log token of the key folder; with it logs are sent to the origin.",
            form="FILE",
            unset="none, logs stay on the edge",
        ),
    ] = ""
    block_cache: Annotated[int, About("Memory of each worker for blocks of disks.", "bytes", 1 << 20, 1 << 40)] = (
        32 << 20
    )
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
        ),
    ] = ""
    isolation: Annotated[
        str,
        About(
            "Tenants that have workers of their own: nobody, every tenant (tenant), or those that are named.",
            form="nobody|tenant|NAME,...",
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
            "Networks of proxies in front of the edge: X-Forwarded-For and other fields about clients are believed "
            "from them alone.",
            form="NETWORK,...",
            unset="none, such fields are dropped",
        ),
    ] = ""
    upstreams: Annotated[
        str,
        About(
            "Networks that guests' own requests may reach; public stands for the internet.", form="NETWORK,...|public"
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
    def address(self) -> Path | tuple[str, int]:
        """`listen`: a Unix socket's path, or host and port."""
        return socket_path("listen", self.listen) if self.listen.startswith("unix:") else host_port(self.listen)

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
        """`trusted_proxies`, parsed."""
        try:
            return networks(self.trusted_proxies)
        except ValueError as error:
            raise OperatorError(f"trusted_proxies: networks such as 10.0.0.0/8 expected: {error}") from None

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
        if isinstance(self.admin_address, Path):
            return ""
        try:
            with Path(self.admin_token).expanduser().open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                token = file.read(TOKEN_MAX + 2).decode("ascii", "replace").strip()
        except (OSError, RuntimeError) as error:
            raise OperatorError(f"admin_token: a file expected at {self.admin_token}: {error}") from None
        if mode & 0o077:
            raise OperatorError(
                f"admin_token: mode 0600 expected of {self.admin_token}, got {mode:04o}: others may read it"
            )
        if not re.fullmatch(rf"[!-~]{{{TOKEN_MIN},{TOKEN_MAX}}}", token):
            form = f"one word of {TOKEN_MIN} to {TOKEN_MAX} printable characters"
            raise OperatorError(f"admin_token: {form} expected in {self.admin_token}")
        return token

    @property
    def log_secret(self) -> str:
        """What `log_token` holds; empty when it is not given."""
        try:
            return Path(self.log_token).expanduser().read_text().strip() if self.log_token else ""
        except (OSError, RuntimeError, UnicodeDecodeError) as error:  # RuntimeError: ~ of a user without a home
            raise OperatorError(f"log_token: a file with a token expected at {self.log_token}: {error}") from None

    # A resident costs some 100 times what its record does, so a quarter for records parks about 50 for each resident;
    # images are shared by all machines of all workers, which is why they do with as much as the records.
    @property
    def resident_bytes(self) -> int:
        """Share of `memory` for resident machines: what images and records leave."""
        return self.memory - self.image_bytes - self.parked_bytes

    @property
    def image_bytes(self) -> int:
        """Share of `memory` for image memfds."""
        return self.image_memory or self.memory // 4

    @property
    def parked_bytes(self) -> int:
        """Share of `memory` for parked records."""
        return self.parked_memory or self.memory // 4


def options() -> list[Option]:
    """The fields of `EdgeConfig`, those that must be given before the others."""
    typed = [(field, get_args(field.type)) for field in dataclasses.fields(EdgeConfig)]
    found = [Option(field.name, type_, about, field.default) for field, (type_, about) in typed]
    return sorted(found, key=lambda option: not option.required)


def load_config(file: Path | None, given: Mapping[str, str]) -> EdgeConfig:
    """Configuration from a TOML file, then the command line, which wins.

    :param given: option name to text, of those that were given.
    :raises OperatorError: unknown key, missing option, wrong type or out of range.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values.update(tomllib.loads(file.read_text("utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise OperatorError(f"configuration {file}: {error}") from error
    values.update(given)
    known = {option.name: option for option in options()}
    if gone := sorted(values.keys() & _GONE.keys()):
        raise OperatorError(f"configuration key {gone[0]!r} is no more: {_GONE[gone[0]]}")
    if unknown := sorted(values.keys() - known.keys()):
        raise OperatorError(f"unknown configuration key {unknown[0]!r}, one of {', '.join(known)} expected")
    if missing := [option.flag for option in known.values() if option.required and option.name not in values]:
        raise OperatorError(f"{', '.join(missing)} must be given")
    config = EdgeConfig(**{name: _read(known[name], value) for name, value in values.items()})
    _check(config)
    return config


def _read(option: Option, value: object) -> Any:
    about, type_ = option.about, option.type
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"a number or text expected, got {type(value).__name__}")
        if type_ is int and isinstance(value, float):
            raise ValueError(f"a whole number expected, got {value}")
        if type_ is Path:
            return Path(str(value)).expanduser()
        if choices := get_args(type_):
            if value not in choices:
                raise ValueError(f"{' or '.join((', '.join(choices[:-1]), choices[-1]))} expected, got {value!r}")
            return value
        if type_ is str:
            return str(value)
        number = parse_size(value) if about.unit == "bytes" and isinstance(value, str) else type_(value)
    except (ValueError, RuntimeError) as error:  # RuntimeError: ~ of a user without a home
        raise OperatorError(f"{option.name}: {error}") from None
    if not about.low <= number <= about.high:
        low, high = text_of(about.low, about.unit), text_of(about.high, about.unit)
        raise OperatorError(f"{option.name}: {low} to {high} expected, got {value}")
    return number


def _check(config: EdgeConfig) -> None:
    if not is_origin(config.origin):
        raise OperatorError(f"origin: an http or https URL expected, got {config.origin!r}")
    if "@" in config.origin.split("/")[2]:  # it would be in log lines and in the list of processes
        raise OperatorError("origin: a URL without user and password expected: edges fetch without credentials")
    for option, text in (("listen", config.listen), ("admin_listen", config.admin_listen)):
        if not re.fullmatch(r"unix:.*[^/]", text) and not is_address(text):
            form = "unix:PATH or ADDRESS:PORT ([ADDRESS]:PORT for IPv6)"
            raise OperatorError(f"{option}: {form} expected, got {text!r}")
    if not config.admin_listen.startswith("unix:") and not config.admin_token:
        raise OperatorError(f"admin_token: a file with a token expected for operators' pages on {config.admin_listen}")
    if config.resident_bytes < RESIDENT_MIN:
        left = f"image_memory and parked_memory that leave {RESIDENT_MIN >> 20}MiB of memory for machines expected"
        raise OperatorError(f"memory: {left}, they leave {config.resident_bytes >> 20}MiB")
    try:
        config.tenant_weights  # noqa: B018
    except ValueError as error:
        raise OperatorError(f"weights: {error}") from None
    try:
        config.upstream_policy  # noqa: B018
    except ValueError as error:
        raise OperatorError(f"upstreams: {error}") from None
    config.proxy_networks  # noqa: B018
