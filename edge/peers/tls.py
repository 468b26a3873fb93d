"""TLS between peers: both sides show their certificates, and each is known by its SHA-256 in the list of members.

OpenSSL asks a client for its certificate only where it has somebody to trust for it, and Python's `ssl` lets nobody
decide by a digest. So an edge fetches the certificate of each member from that member's own listener, checks its
SHA-256 by the list, and from then on trusts it for the other direction. Who was in the list once stays in OpenSSL's
trust; what decides is the list as it is now, which `door` asks after each handshake and at each request.
"""

import asyncio
import base64
import ssl
from typing import Final

from edge.common import log
from edge.peers.identity import Identity, digest_of_certificate
from edge.peers.members import Members, Peer

CONNECT_S: Final = 2.0  # to a peer, TLS included: in a POP it takes milliseconds
LEARN_S: Final = 1.0  # between two tries to learn the certificates that are missing

_logger: Final = log.logger("peers")


def client_context(identity: Identity) -> ssl.SSLContext:
    """For connections to peers; whom they lead to is for their maker to check, by `certificate_of`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return _own(context, identity)


def server_context(identity: Identity) -> ssl.SSLContext:
    """For connections from peers. It trusts nobody yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _own(context, identity)


def _own(context: ssl.SSLContext, identity: Identity) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(identity.file)
    return context


def certificate_of(transport: asyncio.BaseTransport) -> str:
    """The SHA-256 of the certificate at the other end; empty where there is none."""
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return digest_of_certificate(certificate) if certificate else ""


def host_and_port(address: str) -> tuple[str, int]:
    """Of HOST:PORT."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class Trust:
    """Whose certificates an edge's listener for peers accepts."""

    def __init__(self, identity: Identity, members: Members) -> None:
        self.server, self.client = server_context(identity), client_context(identity)
        self._members = members
        self._learned: set[str] = set()
        self._awake = asyncio.Event()
        self._said: set[str] = set()

    def look(self) -> None:
        """The list of members has changed."""
        self._awake.set()

    def knows(self, peer: Peer) -> bool:
        """Whether the listener accepts this member."""
        return peer.sha256 in self._learned

    async def keep_learning(self) -> None:
        """Learn the certificates of all members, for ever."""
        while True:
            missing = [peer for peer in self._members.others if peer.sha256 not in self._learned]
            await asyncio.gather(*map(self._learn, missing))
            self._awake.clear()
            try:
                async with asyncio.timeout(LEARN_S if missing else None):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _learn(self, peer: Peer) -> None:
        host, port = host_and_port(peer.address)
        try:
            async with asyncio.timeout(CONNECT_S):
                _, writer = await asyncio.open_connection(host, port, ssl=self.client, server_hostname="peer")
        except (OSError, TimeoutError):
            return  # it is tried again
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        if digest_of_certificate(certificate) == peer.sha256:
            text = base64.encodebytes(certificate).decode()
            self.server.load_verify_locations(cadata=f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n")
            self._learned.add(peer.sha256)
            _logger.info(log.line("peer_learned", peer=peer.id))
        elif peer.sha256 not in self._said:
            self._said.add(peer.sha256)
            _logger.warning(log.line("peer_is_another", peer=peer.id, address=peer.address))
