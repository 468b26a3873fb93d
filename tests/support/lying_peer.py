"""A member of a POP that answers what a test has it answer: a listener with a certificate, and nothing behind it."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edge.peers.identity import load_identity
from edge.peers.tls import client_context

GREETED: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_HEAD_END: Final = b"\r\n\r\n"


class LyingPeer:
    """One, in a thread of its own for each connection."""

    def __init__(self, folder: Path) -> None:
        self.identity = load_identity(folder)
        self.answer = b""  # to what is not a greeting; "": nothing is said
        self.asked: list[bytes] = []  # heads that were no greetings
        self.after: list[bytes] = []  # what came on a connection behind such a head
        self._over = threading.Event()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.identity.file)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def member(self, id: str) -> dict[str, object]:
        """Itself, as a list has it."""
        return {"id": id, "pop": "here", "peer": self.where, "sha256": self.identity.sha256}

    def close(self) -> None:
        """Answer nobody any more."""
        self._over.set()
        self._listener.close()

    def says(self, address: str, request: bytes) -> bytes:
        """What the listener of another member answers to a request of this one."""
        host, _, port = address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), timeout=20) as plain,
            client_context(self.identity).wrap_socket(plain, server_hostname="peer") as connection,
        ):
            connection.sendall(request)
            return connection.recv(1 << 16)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            said = b""
            while not self._over.is_set():
                while _HEAD_END not in said:
                    if not (data := connection.recv(1 << 16)):
                        return
                    said += data
                head, _, said = said.partition(_HEAD_END)
                if b"/-/peer" in head:
                    connection.sendall(GREETED)
                    continue
                self.asked.append(head)
                connection.sendall(self.answer)
                while data := connection.recv(1 << 16):
                    self.after.append(data)
                return


@contextmanager
def lying_peer(folder: Path) -> Iterator[LyingPeer]:
    """One, with its identity in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    peer = LyingPeer(folder)
    try:
        yield peer
    finally:
        peer.close()
