"""`nunatak edge --check`: what of a configuration can be used on this machine, without starting an edge.

Nothing is changed, and nothing is fetched: sources are asked whether they answer. An edge that runs with the same
configuration is no obstacle: its listeners and its cache folder are found in use, and that is said. Of the machine
itself `doctor` knows more.
"""

import dataclasses
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edge.access.outputs import SOCKET, STDOUT
from edge.common import unix_socket
from edge.common.listening import REMEDIES, to_bind
from edge.config.listeners import Listener
from edge.config.options import EdgeConfig
from edge.content.seal import new_seal
from edge.devices.secrets import read_secrets
from edge.doctor import Finding, about_trust
from edge.peers.members import read_members
from edge.sources.credentials import read_credentials
from edge.sources.probe import probed
from edge.telemetry.begin import exporter
from vmimage.errors import OperatorError
from vmimage.sizes import format_size

MEMORY_SHARE: Final = 0.9  # of the machine: an edge needs more than its budget, for workers and connections
_POP: Final = "see docs/how-to/run-edges-as-a-pop.md"
_CGROUP: Final = Path("/proc/self/cgroup")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def check(config: EdgeConfig, now: datetime | None = None) -> Iterator[Finding]:
    """Look at everything that the configuration names."""
    yield from about_trust(config.trust, config.cache / "tuf", now or datetime.now(UTC))
    yield from _secret_file("log_token", config.log_token, lambda: config.log_secret)
    yield from _secret_file("admin_token", config.admin_token, lambda: config.admin_secret)
    yield from _secret_file("edge_token", config.edge_token, lambda: config.edge_secret)
    yield from _peers(config)
    yield from _secrets(config)
    yield from _secret_file("registry_auth", config.registry_auth, lambda: read_credentials(config.registry_auth))
    yield from sources(config)
    yield _cache(config.cache)
    if config.traces:
        yield _traces(config)
    if config.log:
        yield _writable("log", Path(config.log).expanduser())
    if config.access_log not in ("", STDOUT) and not config.access_log.startswith(SOCKET):
        yield _writable("access_log", Path(config.access_log).expanduser())
    yield from listeners(config)
    yield _memory(config.memory, machine_bytes())
    yield _disk(config)
    yield _engine(config.engine)
    yield _workers(config.worker_count, len(os.sched_getaffinity(0)))


def listeners(config: EdgeConfig) -> Iterator[Finding]:
    """Look at all places where the edge is to listen."""
    yield from map(_place, config.listeners)
    yield _listener("admin_listen", config.admin_address)
    if config.peer_address is not None:
        yield _listener("peer_listen", config.peer_address)


def sources(config: EdgeConfig) -> Iterator[Finding]:
    """Ask all sources whether they answer. One that does not is no obstacle: edges start with what they have."""
    for place, problem in probed(config.places):
        given = "blobs" if place.kind == "oci" else "blobs and the catalogue"
        fix = "see that it runs and is reached from here; others stand in for it" if problem else ""
        yield Finding("source", "warn" if problem else "ok", problem or f"{place.text}, for {given}", fix)


def _secret_file(option: str, path: str, read: Callable[[], object]) -> Iterator[Finding]:
    if path:
        try:
            read()
            yield Finding(option, "ok", path)
        except OperatorError as error:
            yield Finding(option, "fail", str(error).removeprefix(f"{option}: "), "see docs/operators.md")


def _peers(config: EdgeConfig) -> Iterator[Finding]:
    """Who the peers are; what is said of peers where there can be none does nothing."""
    if config.peer_file is not None:
        try:
            yield Finding("peers", "ok", f"{len(read_members(config.peer_file))} in {config.peer_file}")
        except OperatorError as error:
            yield Finding("peers", "fail", str(error).removeprefix("peers: "), _POP)
    elif config.peer_listen and not config.edge_token:
        yield Finding("peers", "warn", "nobody says who they are", f"give peers or edge_token: {_POP}")
    if config.share != "images" and not config.peer_listen:
        yield Finding("share", "warn", f"{config.share}, with nobody", f"give peer_listen: {_POP}")


def _traces(config: EdgeConfig) -> Finding:
    try:
        exporter()
        return Finding("traces", "ok", config.traces)
    except OperatorError as error:
        return Finding("traces", "fail", str(error).removeprefix("traces: "), "see docs/how-to/follow-requests.md")


def _secrets(config: EdgeConfig) -> Iterator[Finding]:
    folder = config.secrets_folder
    if folder is not None:
        found, problems = read_secrets(folder, new_seal())
        for problem in problems:
            yield Finding(
                "secrets", "fail", problem.removeprefix("secrets: "), "see docs/how-to/give-services-secrets.md"
            )
        yield Finding("secrets", "ok", f"{len(found)} services have some, in {folder}")


def _cache(folder: Path) -> Finding:
    try:
        if folder.exists() and folder.stat().st_uid != os.geteuid():
            return Finding(
                "cache", "fail", f"{folder} is another user's", "run the edge as its owner, or name a new one"
            )
        if not folder.exists():
            return _writable("cache", folder)
        if not folder.is_dir():
            return Finding("cache", "fail", f"{folder} is no folder", "name another place")
        with (folder / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:  # no edge has used it yet
        return _writable("cache", folder / "lock")
    except BlockingIOError:
        return Finding("cache", "ok", f"{folder}, which an edge uses at the moment")
    except OSError as error:
        return Finding("cache", "fail", f"{error.filename}: {error.strerror}", "give it to the edge's user")
    return Finding("cache", "ok", f"{folder}")


def _writable(option: str, path: Path) -> Finding:
    """Whether a file or folder of this name could be written, or made."""
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    if place != path and not place.is_dir():
        return Finding(option, "fail", f"{place} is no folder", "name another place")
    if not os.access(place, os.W_OK | (os.X_OK if place.is_dir() else 0), effective_ids=True):
        return Finding(option, "fail", f"{place} cannot be written", "give it to the edge's user")
    return Finding(option, "ok", f"{path}")


def _place(wanted: Listener) -> Finding:
    if wanted.at is None:
        return Finding("listen", "ok", f"{wanted.place}, which the service manager brings")
    found = _listener("listen", wanted.at, both=wanted.both)
    try:
        if isinstance(wanted.at, Path):
            unix_socket.owner(wanted.user, wanted.group)
    except OperatorError as error:
        return Finding("listen", "fail", f"{wanted.place}: {error}", "name one that there is")
    return dataclasses.replace(found, found=f"{found.found}, with the PROXY protocol") if wanted.proxy else found


def _listener(option: str, at: Path | tuple[str, int], *, both: bool = False) -> Finding:
    if isinstance(at, Path):
        return _socket_file(option, at)
    host, port = at
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(to_bind(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in found:
            _try_to_bind(family, kind, protocol, address, both=both)
    except socket.gaierror as error:
        return Finding(option, "fail", f"{where}: {error.strerror}", "an address, or a name that this machine knows")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(
                option, "warn", f"{where} is in use", "right if the edge runs already; ss -ltnp says by whom"
            )
        return Finding(option, "fail", f"{where}: {os.strerror(error.errno or 0)}", REMEDIES.get(error.errno or 0, ""))
    return Finding(option, "ok", where)


def _try_to_bind(family: int, kind: int, protocol: int, address: object, *, both: bool) -> None:
    with socket.socket(family, kind, protocol) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        tried.bind(address)  # type: ignore[arg-type]  # what getaddrinfo gave for this family


def _socket_file(option: str, path: Path) -> Finding:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return Finding(option, "fail", f"{path}: a socket or nothing expected there", "name another path")
    except OSError:
        pass  # it is to be made
    finding = _writable(option, path.parent)
    return Finding(option, finding.state, f"unix:{path}" if finding.state == "ok" else finding.found, finding.fix)


def machine_bytes() -> int:
    """Memory that the edge may have here: the machine's, or what its control group allows."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = _CGROUP.read_text().strip().rpartition(":")[2].lstrip("/")
        for folder in (_CGROUPS / group, *(_CGROUPS / group).parents):
            limit = folder / "memory.max"
            if folder.is_relative_to(_CGROUPS) and limit.exists() and (text := limit.read_text().strip()).isdigit():
                size = min(size, int(text))
    except OSError:
        pass  # no control groups of version 2
    return size


def _memory(budget_bytes: int, there_bytes: int) -> Finding:
    found = f"{format_size(budget_bytes)} of {format_size(there_bytes)}"
    if budget_bytes > there_bytes:
        return Finding("memory", "fail", f"{found} that there are", "give the edge less with memory")
    if budget_bytes > MEMORY_SHARE * there_bytes:
        return Finding("memory", "warn", found, "workers and connections need some beside the budget")
    return Finding("memory", "ok", found)


def _disk(config: EdgeConfig) -> Finding:
    place = config.cache
    while not place.exists() and place != place.parent:
        place = place.parent
    wanted = config.disk + config.parked_disk + config.written_disk + config.log_disk + config.response_disk
    about = os.statvfs(place)
    there = about.f_blocks * about.f_frsize
    found = f"{format_size(wanted)} for all together, of {format_size(there)} on the file system of {place}"
    if wanted > there:
        return Finding("disk", "warn", found, "disk, parked_disk, written_disk, log_disk and response_disk that fit")
    return Finding("disk", "ok", found)


def _engine(engine: str) -> Finding:
    if engine != "kvm":
        return Finding("engine", "ok", engine)
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        fix = "usermod -aG kvm USER, or SupplementaryGroups=kvm in a systemd unit"
        return Finding("engine", "fail", f"/dev/kvm: {error.strerror}", fix if error.errno == errno.EACCES else "")
    return Finding("engine", "ok", "kvm")


def _workers(count: int, processors: int) -> Finding:
    fix = "more workers than processors wait for each other" if count > processors else ""
    return Finding("workers", "warn" if fix else "ok", f"{count}, with {processors} processors", fix)
