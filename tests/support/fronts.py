"""Web servers in front of an edge, each with the configuration of its page in docs/how-to, as a test starts it."""

import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

PAGES: Final = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PATIENCE_S: Final = 20.0
PORTS: Final = (20_000, 32_768)  # below ip_local_port_range
_SBIN: Final = "/usr/sbin:/usr/local/sbin:/usr/local/bin"

_NGINX: Final = """
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {recipe}
}}
"""
_HAPROXY: Final = "global\n    stats socket {folder}/stats\n\n{recipe}"
_CADDY: Final = "{{\n    admin off\n}}\n{recipe}"


class Ports(NamedTuple):
    """Where edges listen, each on an address of its own."""

    addresses: Sequence[str]  # of edges
    http: int
    proxy: int  # behind the PROXY protocol
    admin: int
    token: str


class Front(NamedTuple):
    """One kind."""

    name: str
    page: str  # in docs/how-to
    block: int  # which of the page's configurations it is
    program: str
    package: str  # of Debian
    frame: str  # what stands around the page's text in a configuration of its own
    listens: str  # the text of the page that says where
    command: Sequence[str]
    passes_proxy: bool = False  # it says who the client is with the PROXY protocol

    def __str__(self) -> str:
        return self.name


FRONTS: Final = (
    Front(
        "nginx",
        "put-nginx-in-front.md",
        0,
        "nginx",
        "nginx-light",
        _NGINX,
        "listen 80 default_server",
        ("-e", "stderr", "-p", "{folder}", "-c", "{file}"),
    ),
    Front(
        "haproxy",
        "put-haproxy-in-front.md",
        0,
        "haproxy",
        "haproxy",
        _HAPROXY,
        "bind :80 ",
        ("-db", "-f", "{file}"),
    ),
    Front(
        "haproxy with PROXY",
        "put-haproxy-in-front.md",
        1,
        "haproxy",
        "haproxy",
        _HAPROXY,
        "bind :80 ",
        ("-db", "-f", "{file}"),
        passes_proxy=True,
    ),
    Front(
        "caddy",
        "put-caddy-in-front.md",
        0,
        "caddy",
        "caddy",
        _CADDY,
        ":80 {",
        ("run", "--config", "{file}", "--adapter", "caddyfile"),
    ),
)
_LISTENS: Final[Mapping[str, str]] = {
    "nginx": "listen 127.0.0.1:{port} default_server",
    "haproxy": "bind 127.0.0.1:{port} ",
    "caddy": "http://:{port} {{\n    bind 127.0.0.1",
}


def free_port() -> int:
    """A port of all addresses that nobody has, and that the system gives nobody who asks for any."""
    while True:
        port = random.randrange(*PORTS)
        try:
            socket.create_server(("", port)).close()
        except OSError:
            continue
        return port


def recipe(front: Front) -> str:
    """The configuration as its page has it."""
    text = (PAGES / front.page).read_text("utf-8")
    return str(re.findall(rf"```{front.program}\n(.*?)```", text, re.DOTALL)[front.block])


def configured(front: Front, ports: Ports, port: int, tls: str = "") -> str:
    """The same for edges that are elsewhere: the line of the one edge is there once for each.

    :param port: on which the front listens. :param tls: of HAProxy, what follows another place where it listens.
    """
    text = recipe(front)
    assert text.count(front.listens) == 1
    text = text.replace(front.listens, _LISTENS[front.program].format(port=port))
    if tls:
        text = re.sub(r"^( *)(bind .*)$", rf"\1\2\n\1bind {tls}", text, count=1, flags=re.MULTILINE)
    text = text.replace("TOKEN", ports.token).replace("9100", str(ports.admin))
    listens = "8081" if front.passes_proxy else "8080"
    (line,) = [line for line in text.splitlines() if f"127.0.0.1:{listens}" in line]
    place = ports.proxy if front.passes_proxy else ports.http
    lines = [line.replace(f"127.0.0.1:{listens}", f"{address}:{place}") for address in ports.addresses]
    if front.program == "caddy":
        upstreams = " ".join(f"{address}:{place}" for address in ports.addresses)
        return text.replace(f"127.0.0.1:{listens}", upstreams)
    numbered = [each.replace("edge1", f"edge{number}") for number, each in enumerate(lines, start=1)]
    return text.replace(line, "\n".join(numbered))


@contextmanager
def running(front: Front, ports: Ports, folder: Path, tls: str = "") -> Iterator[int]:
    """Such a front while the block lasts; the port that it listens on."""
    program = shutil.which(front.program) or shutil.which(front.program, path=_SBIN)
    if program is None:
        pytest.skip(f"{front.name.upper()} IS NOT TESTED HERE: apt-get install {front.package}")
    folder.mkdir()
    port, file = free_port(), folder / "config"
    file.write_text(front.frame.format(folder=folder, recipe=configured(front, ports, port, tls)))
    words = [program, *(word.format(folder=folder, file=file) for word in front.command)]
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, **homes})
    try:
        end = time.monotonic() + PATIENCE_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None, (folder / "log").read_text(errors="replace")
            assert time.monotonic() < end, (folder / "log").read_text(errors="replace")
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE_S)
