"""What a request for a WebSocket carries until it is answered."""

from typing import NamedTuple

from wsproto.handshake import H11Handshake

from edge.model.services import Service


class Offer(NamedTuple):
    """A socket that a guest may take, and the handshake that it then ends."""

    service: Service
    number: int
    lineage: int  # of the machine that is asked
    handshake: H11Handshake
