"""Looks at a catalogue go over one connection, also those that find nothing new: each handshake is a round trip."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tuf.api.exceptions import DownloadLengthMismatchError

from edge.catalogue.metadata import Fetcher

BODY, ETAG = b'{"signed": {}}', '"one"'


class Server(ThreadingHTTPServer):
    """Counts connections."""

    connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        self.server.connections += 1
        super().setup()

    def do_GET(self) -> None:
        known = self.headers["If-None-Match"] == ETAG
        self.send_response(304 if known else 200)
        self.send_header("ETag", ETAG)
        if not known:
            self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if not known:
            self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_looks_and_files_go_over_one_connection(server: Server) -> None:
    fetcher, url = Fetcher(5.0, 5.0), f"http://127.0.0.1:{server.server_port}/timestamp.json"
    assert fetcher.poll(url, None) == (BODY, ETAG)
    for _ in range(3):
        assert fetcher.poll(url, ETAG) == (None, ETAG)
        assert fetcher.download_bytes(url, len(BODY)) == BODY
    assert server.connections == 1


def test_a_file_has_no_more_than_it_may(server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_port}/1.bin-00.json"
    with pytest.raises(DownloadLengthMismatchError, match=f"at most {len(BODY) - 1} bytes"):
        Fetcher(5.0, 5.0).download_bytes(url, len(BODY) - 1)
