"""Caches of others, in front of a page that may be kept: nginx and Varnish, set up as their makers show it."""

import os
import shutil
from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from loadtest.peers.npm import PeerMissing
from loadtest.peers.peers import LOOPBACK, Peer

SYSTEM_PATH: Final = "/usr/sbin:/usr/local/sbin"


class CachePeer(Peer, ABC):
    """A cache before an origin of its own."""

    program: ClassVar[str]
    package: ClassVar[str]  # of Debian

    def __init__(self, folder: Path, origin: str) -> None:
        """:param origin: http://HOST:PORT, who is asked for what is not kept yet."""
        super().__init__(folder)
        self.origin = origin

    def installed(self) -> str:
        """The program on this machine.

        :raises PeerMissing: it is not there.
        """
        found = shutil.which(self.program) or shutil.which(self.program, path=SYSTEM_PATH)
        if found is None:
            raise PeerMissing(f"{self.program}: apt-get install {self.package}")
        return found


class NginxCache(CachePeer):
    """nginx with proxy_cache, a process for each processor, files in the page cache."""

    name = "nginx-cache"
    program, package = "nginx", "nginx-light"

    def command(self) -> Sequence[str]:
        """See Peer."""
        nginx = self.installed()
        scratch = "".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (self.folder / "nginx.conf").write_text(
            f"{'user root; ' if os.geteuid() == 0 else ''}daemon off; pid {self.folder}/pid;\n"
            "error_log stderr; worker_processes auto;\n"
            "events { worker_connections 1024; multi_accept on; }\n"
            f"http {{ access_log off; {scratch} keepalive_requests 1000000;\n"
            f"  proxy_cache_path {self.folder}/cache levels=1:2 keys_zone=all:8m max_size=200m inactive=600m\n"
            "    use_temp_path=off;\n"
            "  sendfile on; tcp_nopush on; open_file_cache max=100 inactive=60s; open_file_cache_valid 60s;\n"
            f"  server {{ listen {LOOPBACK}:{self.port};\n"
            f"    location / {{ proxy_pass {self.origin}; proxy_cache all; proxy_http_version 1.1; }} }} }}\n"
        )
        return [nginx, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]


class Varnish(CachePeer):
    """Varnish with its own configuration and a store in memory."""

    name = "varnish"
    program, package = "varnishd", "varnish"

    def command(self) -> Sequence[str]:
        """See Peer."""
        varnishd = self.installed()
        host, _, port = self.origin.removeprefix("http://").rpartition(":")
        (self.folder / "default.vcl").write_text(
            f'vcl 4.1;\nbackend default {{ .host = "{host}"; .port = "{port}"; }}\n'
        )
        jail = ["-j", "none"] if os.geteuid() == 0 else []  # its own user may not enter the folder
        own = ["-F", "-n", str(self.folder / "varnish"), "-f", str(self.folder / "default.vcl"), "-s", "malloc,64m"]
        return [varnishd, *jail, *own, "-a", f"{LOOPBACK}:{self.port}"]
