"""Does the configuration of docs/how-to/put-nginx-in-front.md work: hosts, who the client is, bodies and WebSockets?"""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from loadtest.site.fetch import Client
from loadtest.site.site import Site

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "put-nginx-in-front.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
PATIENCE_S = 20.0
WORKER = """
export default {
  async fetch(request) {
    const url = new URL(request.url);
    if (request.headers.get("upgrade") === "websocket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", (event) => server.send(`${url.host}: ${event.data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    if (request.method === "POST") return new Response(String((await request.arrayBuffer()).byteLength));
    return Response.json(Object.fromEntries(request.headers));
  },
};
"""
MAIN = """
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.fixture
def front(own_site: Site, tmp_path: Path) -> Iterator[str]:
    """nginx as the page has it, before an edge that trusts it; its URL."""
    if NGINX is None:
        pytest.skip("NGINX IS NOT TESTED HERE: apt-get install nginx-light")
    edge = own_site.add_edge(config={"trusted_proxies": "127.0.0.0/8"})
    found = re.search(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert found is not None
    folder, port = tmp_path / "nginx", free_port()
    folder.mkdir()
    recipe = (
        found[1].replace("127.0.0.1:8080", edge.url.removeprefix("http://")).replace("80 default_server", f"{port}")
    )
    assert str(port) in recipe
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, recipe=recipe))
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    server = subprocess.Popen(command)
    try:
        end = time.monotonic() + PATIENCE_S
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def test_the_recipe_passes_hosts_clients_bodies_and_sockets(own_site: Site, front: str, tmp_path: Path) -> None:
    (tmp_path / "worker.js").write_text(WORKER)
    own_site.publish(own_site.build(tmp_path / "worker.js", name="behind"), "behind")
    with Client(front) as client:
        nobodys = client.get("/", host="no-such.test")
        assert (nobodys.status, nobodys.error) == (421, "unknown_service")
        lies = {"X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.8", "X-Real-IP": "192.0.2.9"}
        answer = client.request("GET", "/", host="behind.test", headers=lies)
        told = json.loads(answer.body)
        assert told["host"] == "behind.test"
        assert told["x-forwarded-proto"] == "http"
        # nginx adds whom it heard it from; both are of its networks here, so the last that is not is the client.
        assert told["x-forwarded-for"].startswith("192.0.2.7, 127.0.0.1")
        assert told["x-real-ip"] == "192.0.2.7"
        assert "192.0.2.8" not in told.get("forwarded", "")
        assert client.request("POST", "/", host="behind.test", body=bytes(3 << 20)).body == str(3 << 20).encode()
    assert asyncio.run(_say(front, "hello")) == "behind.test: hello"


async def _say(front: str, text: str) -> str:
    async with (
        asyncio.timeout(PATIENCE_S),
        aiohttp.ClientSession() as session,
        session.ws_connect(front, headers={"Host": "behind.test"}) as connection,
    ):
        await connection.send_str(text)
        return await connection.receive_str()
