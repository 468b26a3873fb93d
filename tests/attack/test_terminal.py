"""Can what a guest or a server says move the cursor, set the window's title, or forge a line of another?"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.site.site import CommandFailed, Site
from origin.keys import generate
from tests.support.synthetic import NOW

ESCAPES = "\x1b]0;owned\x07\x9b31m\u202egnp\r\n2026-01-01T00:00:00.000Z - forged"
DANGEROUS = "\x1b\x07\x9b\u202e\r"


class Liar(BaseHTTPRequestHandler):
    """An origin that says whatever it likes."""

    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Nunatak-Next", "0")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_HEAD = do_POST = do_PUT = do_GET

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def liar() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Runs commands; nothing else is up."""
    folder = tmp_path_factory.mktemp("terminal")
    generate(folder / "keys", NOW)
    return Site(folder)


def _logs(command: Site, url: str, *options: str) -> str:
    return command.run("logs", "svc", "--origin", url, "--keys", str(command.keys), *options)


def _line(text: str, **more: object) -> bytes:
    return (
        json.dumps({"at": 1.5, "log": "", "service": "svc", "text": text, **more}, ensure_ascii=False).encode() + b"\n"
    )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_lines_of_a_guest(command: Site, liar: str, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    monkeypatch.setattr(Liar, "body", _line(ESCAPES) + _line("honest", log=ESCAPES))
    shown = _logs(command, liar, *options)
    assert not set(shown) & set(DANGEROUS)
    assert len(shown.splitlines()) == 2
    assert "honest" in shown
    assert "forged" in shown


NO_LINES = [b"no json", b"[]", b'{"at":"x","log":""}', b'{"at":1e300,"log":""}', b'{"log":""}', b"\xff", b"7"]


@pytest.mark.parametrize("body", NO_LINES)
def test_lines_that_are_none(command: Site, liar: str, monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    monkeypatch.setattr(Liar, "body", body + b"\n")
    with pytest.raises(CommandFailed, match="lines of JSON as edges write them") as failed:
        _logs(command, liar)
    assert "Traceback" not in str(failed.value)


def test_errors_of_a_server(command: Site, liar: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Liar, "status", 400)
    monkeypatch.setattr(Liar, "body", json.dumps({"errors": [{"message": ESCAPES}]}).encode())
    options = ("--service", "svc", "--origin", liar, "--keys", str(command.keys))
    with pytest.raises(CommandFailed) as failed:
        command.run("rollback", *options)
    assert "owned" in str(failed.value)
    assert not set(str(failed.value)) & set(DANGEROUS)
