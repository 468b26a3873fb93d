"""`nunatak static` and `--assets` through a real edge: what is kept, what a new version changes, files before code."""

import gzip
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import brotli
import pytest

from loadtest.site.fetch import Answer, Client
from loadtest.site.server import Server
from loadtest.site.site import NUNATAK, CommandFailed, Site, example
from tests.support.assets import MODIFIED, write
from tests.support.edges import PATIENCE_S, eventually, metrics

STYLE = b"body { color: red } " * 200
LARGE = random.Random(3).randbytes(3 << 20)
WORKER = """
let runs = 0;
export default {
  fetch(request) { return new Response(`${request.method} ${new URL(request.url).pathname} ${++runs}`); },
};
"""


def static(site: Site, folder: Path, name: str, *options: str) -> str:
    """`nunatak static`, under NAME.test."""
    publisher = ("--origin", site.origin.url, "--keys", str(site.keys), "--token-file", str(site.keys / "token"))
    return site.run("static", str(folder), "--name", name, "--host", f"{name}.test", *options, *publisher)


def ask(client: Client, name: str, path: str, method: str = "GET", **fields: str) -> Answer:
    headers = {field.replace("_", "-"): value for field, value in fields.items()}
    return client.request(method, path, host=f"{name}.test", headers=headers)


def did(answer: Answer) -> str:
    """What Cache-Status says of how the answer came, without times and tiers."""
    return re.sub(r"; (ttl=-?\d+|detail=\S+)", "", answer.headers["cache-status"])


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    with Client(site.edges[0].url) as client:
        yield client


def test_a_folder_is_published_kept_and_replaced(site: Site, client: Client, tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"index.html": "<h1>one</h1>", "style.css": STYLE, "app.3f9a1c2b.js": "go()", "404.html": "no"}
    )
    assert "st-first version 1: sha256:" in static(site, folder, "st-first", "--compress")
    first = ask(client, "st-first", "/")
    assert (first.status, first.body, did(first)) == (200, b"<h1>one</h1>", "nunatak; fwd=uri-miss; stored")
    assert first.headers["cache-control"] == "public, max-age=60, must-revalidate"
    assert "nunatak-cache-control" not in first.headers
    before = metrics(site.edges[0])
    again = ask(client, "st-first", "/")
    assert (again.body, did(again)) == (first.body, "nunatak; hit")
    assert int(re.findall(r"ttl=(\d+)", again.headers["cache-status"])[0]) > 86_400, "for as long as the version lasts"
    assert ask(client, "st-first", "/", If_None_Match=first.headers["etag"]).status == 304
    assert ask(client, "st-first", "/", Range="bytes=4-6").body == b"one"
    after = metrics(site.edges[0])
    results = ("cache_results_total{hit}", "cache_results_total{stored}")
    assert [after.get(name, 0) - before.get(name, 0) for name in results] == [3, 0]
    packed = ask(client, "st-first", "/style.css", Accept_Encoding="gzip, br")
    assert (packed.headers["content-encoding"], brotli.decompress(packed.body)) == ("br", STYLE)
    assert ask(client, "st-first", "/style.css").body == STYLE
    assert did(ask(client, "st-first", "/style.css", Accept_Encoding="gzip, br")) == "nunatak; hit"
    assert "immutable" in ask(client, "st-first", "/app.3f9a1c2b.js").headers["cache-control"]
    lost = ask(client, "st-first", "/nowhere")
    assert (lost.status, lost.body, lost.headers["cache-control"]) == (404, b"no", "no-store")

    write(folder, {"index.html": "<h1>two</h1>"})
    assert "version 2" in static(site, folder, "st-first", "--compress")
    eventually(lambda: ask(client, "st-first", "/").body == b"<h1>two</h1>", "the new version")
    assert "version 2" in static(site, folder, "st-first", "--compress"), "the same again changes nothing"


def test_under_its_name_and_with_redirects(site: Site, client: Client, tmp_path: Path) -> None:
    folder = write(tmp_path, {"docs/index.html": "docs", "a b/ü%.txt": "odd", "index.html": "home"})
    static(site, folder, "st-names")
    moved = ask(client, "st-names", "/docs?x=1")
    assert (moved.status, moved.headers["location"]) == (301, "/docs/?x=1")
    assert ask(client, "st-names", "/a%20b/%C3%BC%25.txt").body == b"odd"
    by_name = client.get("/~service/st-names/docs")
    assert (by_name.status, by_name.headers["location"]) == (301, "/~service/st-names/docs/")
    assert client.get("/~service/st-names").headers["location"] == "/~service/st-names/"
    assert client.get("/~service/st-names/").body == b"home"


def test_a_large_folder_is_fetched_by_what_is_asked(site: Site, client: Client, tmp_path: Path) -> None:
    folder = write(tmp_path, {"index.html": "small", "large.bin": LARGE, "other.bin": LARGE[::-1]})
    static(site, folder, "st-large")
    before = metrics(site.edges[0])
    assert ask(client, "st-large", "/").body == b"small"
    assert metrics(site.edges[0])["blocks_wanted_total"] - before["blocks_wanted_total"] == 1
    assert ask(client, "st-large", "/large.bin", Range="bytes=70000-70009").body == LARGE[70_000:70_010]
    assert metrics(site.edges[0])["blocks_wanted_total"] - before["blocks_wanted_total"] == 2
    assert ask(client, "st-large", "/large.bin").body == LARGE
    assert did(ask(client, "st-large", "/large.bin")) == "nunatak; hit"
    assert ask(client, "st-large", "/large.bin", Range="bytes=-10").body == LARGE[-10:]
    assert metrics(site.edges[0])["blocks_wanted_total"] - before["blocks_wanted_total"] < 60, "not the other file"


def test_pages_and_code_are_one_service(site: Site, client: Client, tmp_path: Path) -> None:
    worker = tmp_path / "worker.js"
    worker.write_text(WORKER)
    folder = write(tmp_path / "public", {"index.html": "home", "logo.svg": "<svg/>", "large.bin": LARGE})
    image = site.build(worker, "--assets", str(folder), name="st-code")
    site.publish(image, "st-code", disks=[image.with_name("st-code.assets.disk")])
    assert ask(client, "st-code", "/").body == b"home"
    assert ask(client, "st-code", "/logo.svg").headers["content-type"] == "image/svg+xml"
    assert ask(client, "st-code", "/large.bin").body == LARGE
    assert ask(client, "st-code", "/api/x").body == b"GET /api/x 1"
    assert ask(client, "st-code", "/", "POST").body == b"POST / 2"
    assert ask(client, "st-code", "/logo.svg", "DELETE").body == b"DELETE /logo.svg 3"


def test_files_before_a_cgi_program(site: Site, client: Client, tmp_path: Path) -> None:
    folder = write(tmp_path, {"style.css": STYLE})
    site.publish(site.build(example("words"), "--cgi", "--assets", str(folder), name="st-cgi"), "st-cgi")
    assert ask(client, "st-cgi", "/style.css").body == STYLE
    page = ask(client, "st-cgi", "/")
    assert (page.status, page.headers["content-type"].split(";")[0]) == (200, "text/html")


def test_what_is_refused_says_what_to_do(site: Site, tmp_path: Path) -> None:
    folder = write(tmp_path, {"index.html": "x", ".env": "SECRET=1"})
    with pytest.raises(CommandFailed, match=r"no hidden files expected, got \.env") as refused:
        static(site, folder, "st-refused")
    assert refused.value.exit_code == 2
    static(site, folder, "st-refused", "--exclude", ".env")
    with pytest.raises(CommandFailed, match="files to serve expected"):
        site.build(example("hello"), "--compress", name="st-refused")
    with pytest.raises(CommandFailed, match="--assets: a program expected"):
        site.build(folder, "--exclude", ".env", "--assets", str(folder), name="st-refused")


def test_the_development_server_serves_a_folder(tmp_path: Path) -> None:
    folder = write(tmp_path / "site", {"index.html": "one", "large.bin": LARGE})
    with Server("dev", [*NUNATAK, "dev", str(folder), "--port", "0"], tmp_path) as server, Client(server.url) as client:
        assert client.get("/").body == b"one"
        assert client.get("/large.bin").body == LARGE
        (folder / "index.html").write_text("two")
        eventually(lambda: client.get("/").body == b"two", "the file that was saved")


# Beside nginx

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONF = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    types {{ text/html html; text/css css; text/plain txt; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port};
        root {root};
        gzip_static on;
        gzip_vary on;
        error_page 404 /404.html;
        absolute_redirect off;
    }}
}}
"""
FILES: Mapping[str, bytes | str] = {
    "index.html": "<h1>home</h1>",
    "404.html": "lost",
    "ten.txt": "0123456789",
    "empty.txt": "",
    "style.css": STYLE,
    "style.css.gz": gzip.compress(STYLE, mtime=0),
    "docs/index.html": "docs",
    "a b.txt": "blank",
    "large.bin": LARGE,
}
# Paths, methods and fields; TAG stands for the file's own entity tag.
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    *(("GET", path, {}) for path in ("/", "/index.html", "/ten.txt", "/empty.txt", "/style.css", "/docs/", "/docs")),
    *(("GET", path, {}) for path in ("/docs?q", "/a%20b.txt", "/t%65n.txt", "/nothing", "/docs/nothing", "/large.bin")),
    *(("HEAD", path, {}) for path in ("/", "/ten.txt", "/nothing", "/docs")),
    *(("GET", "/style.css", {"Accept-Encoding": value}) for value in ("gzip", "gzip;q=0", "*", "br", "GZIP, br")),
    ("GET", "/style.css", {"Accept-Encoding": "gzip", "Range": "bytes=0-9"}),
    *(
        ("GET", "/ten.txt", {"Range": value})
        for value in ("bytes=0-3", "bytes=4-", "bytes=-2", "bytes=9-9", "bytes=0-99")
    ),
    *(("GET", "/ten.txt", {"Range": value}) for value in ("bytes=10-", "bytes=20-30", "lines=1-2", "bytes=-100")),
    ("HEAD", "/ten.txt", {"Range": "bytes=0-3"}),
    *(("GET", "/ten.txt", {"Range": "bytes=0-3", "If-Range": value}) for value in ("TAG", '"x"', MODIFIED, "W/TAG")),
    *(("GET", "/ten.txt", {"If-None-Match": value}) for value in ("TAG", '"x", TAG', "W/TAG", "*", '"x"')),
    *(("GET", "/ten.txt", {"If-Match": value}) for value in ("TAG", '"x"', "*", '"x", TAG')),
    *(("GET", "/ten.txt", {"If-Unmodified-Since": value}) for value in (MODIFIED, "Sat, 05 Nov 1994 08:49:37 GMT")),
    ("GET", "/ten.txt", {"If-Modified-Since": MODIFIED}),
    ("GET", "/ten.txt", {"If-Modified-Since": "Sat, 05 Nov 1994 08:49:37 GMT"}),
    ("GET", "/ten.txt", {"If-None-Match": '"x"', "If-Modified-Since": MODIFIED}),
    ("POST", "/ten.txt", {}),
    ("DELETE", "/ten.txt", {}),
]
SAME_FIELDS = ("content-range", "content-encoding", "location")
# Where nginx does something else, and why we do not.
OTHERWISE = {
    ("HEAD", "/ten.txt", "bytes=0-3"): "it answers 206; ranges are for GET (RFC 9110 section 14.2)",
    ("GET", "/style.css", "gzip", "bytes=0-9"): "it sends all of what was compressed before",
    ("GET", "/style.css", "*"): "it takes no coding; `*` is any (RFC 9110 section 12.5.3)",
}


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[str]:
    """nginx over a folder with `FILES`; its URL."""
    if NGINX is None:
        pytest.skip("NGINX IS NOT COMPARED HERE: apt-get install nginx-light")
    folder, root = tmp_path / "nginx", write(tmp_path / "site", FILES)
    folder.mkdir()
    user = "user root;" if os.geteuid() == 0 else ""  # who may read the folder
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    (folder / "nginx.conf").write_text(CONF.format(user=user, folder=folder, root=root, port=port))
    server = subprocess.Popen([NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")])
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


def told(url: str, method: str, path: str, fields: Mapping[str, str], tag: str) -> dict[str, object]:
    """What is compared of an answer."""
    headers = {name: value.replace("TAG", tag) for name, value in fields.items()}
    with Client(url) as client:
        answer = client.request(method, path, host="st-same.test", headers=headers)
    found: dict[str, object] = {"status": answer.status, **{name: answer.headers.get(name) for name in SAME_FIELDS}}
    if answer.status in (200, 206, 404):  # others have pages of nginx's own
        found |= {"body": answer.body, "type": answer.headers["content-type"].split(";")[0]}
    if answer.status in (200, 206, 304):
        found["modified"] = answer.headers["last-modified"]
    return found


def test_answers_are_those_of_nginx(site: Site, nginx: str, tmp_path: Path) -> None:
    static(site, tmp_path / "site", "st-same")
    different, urls, tags = {}, (site.edges[0].url, nginx), []
    for url in urls:
        with Client(url) as client:
            tags.append(client.get("/ten.txt", host="st-same.test").headers["etag"])
    for method, path, fields in REQUESTS:
        ours, theirs = (told(url, method, path, fields, tag) for url, tag in zip(urls, tags, strict=True))
        if ours != theirs and (method, path, *fields.values()) not in OTHERWISE:
            keys = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
            different[method, path, str(fields)] = [(key, ours.get(key), theirs.get(key)) for key in keys]
    assert different == {}
