"""Who is asked: an edge whose service is a reverse proxy, and other caches where they are installed, set up as their
makers show it. Each in the foreground, on a port of its own, with its files in a folder that goes with it."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loadtest.site.site import LOOPBACK, Site
from tests.wpt.runtimes import free_port, wait_for

PROXY: Final = Path(__file__).parent / "proxy.js"
OURS: Final = "nunatak"
LENIENT: Final = "nunatak-guessing"  # it guesses how long answers hold, as RFC 9111 allows, where an operator says so


@contextmanager
def edge(folder: Path, server: str, *, lenient: bool) -> Iterator[str]:
    """Ours. Six requests at a time are passed on: a machine may have 16 requests to upstreams, and waits for none."""
    config: dict[str, str | int | float | bool] = {"upstreams": f"{LOOPBACK}/32"}
    if lenient:
        config |= {"response_heuristics": "on"}
    with Site(folder, memory="512MiB", edge_config=config) as site:
        image = site.build(PROXY, "--upstream", server, "--env", f"SERVER={server}", name="proxy")
        site.publish(image, "proxy", LOOPBACK)
        yield site.edges[0].url


_NGINX: Final = """
worker_processes 1; daemon off; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=all:8m max_size=200m inactive=600m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {server}; proxy_cache all; proxy_cache_revalidate on; proxy_http_version 1.1;
    }}
  }}
}}
"""
_VARNISH: Final = 'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{server_port}"; }}\n'
_HAPROXY: Final = """
defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
cache all
  total-max-size 4
  max-object-size 10000
  max-age 240
  process-vary on
  max-secondary-entries 12
frontend front
  bind 127.0.0.1:{port}
  filter cache all
  http-request cache-use all
  http-response cache-store all
  default_backend back
backend back
  server origin 127.0.0.1:{server_port}
"""
# By name: the program, its configuration, and its command line.
OTHERS: Final[Mapping[str, tuple[str, str, Callable[[Path, Path, int], list[str]]]]] = {
    "nginx": ("nginx", _NGINX, lambda folder, config, port: ["-p", str(folder), "-c", str(config)]),
    "varnish": (
        "varnishd",
        _VARNISH,
        lambda folder, config, port: [
            *("-F", "-n", str(folder), "-f", str(config), "-a", f"127.0.0.1:{port}", "-s", "malloc,64M"),
            *("-p", "default_ttl=0", "-p", "default_grace=0", "-p", "default_keep=3600"),
        ],
    ),
    "haproxy": ("haproxy", _HAPROXY, lambda folder, config, port: ["-db", "-f", str(config)]),
}


def program_of(name: str) -> str | None:
    """Where another cache is installed."""
    program = OTHERS[name][0]
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")


def title(name: str) -> str:
    """What a cache is called, with the version of it that is here."""
    if name in (OURS, LENIENT):
        return "an edge as it starts" if name == OURS else "an edge with `response_heuristics=on`"
    program = program_of(name)
    assert program is not None
    asked = subprocess.run([program, "-V" if name == "varnish" else "-v"], capture_output=True, text=True, check=False)
    version = re.search(r"[0-9]+(?:\.[0-9]+)+", asked.stdout + asked.stderr)
    return f"{name} {version[0] if version else ''}".strip()


@contextmanager
def other(name: str, folder: Path, server: str) -> Iterator[str]:
    """Another cache before the tests' server."""
    program, (_, form, arguments) = program_of(name), OTHERS[name]
    assert program is not None
    port, config = free_port(), folder / "config"
    folder.mkdir(parents=True)
    config.write_text(form.format(folder=folder, port=port, server=server, server_port=server.rpartition(":")[2]))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *arguments(folder, config, port)], stdout=log, stderr=log)
        try:
            wait_for(port)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            process.terminate()
            process.wait()
