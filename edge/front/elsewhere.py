"""What may answer in place of this edge's machines: another edge of its POP (`edge.peers.forwarding`)."""

from typing import Protocol

from edge.front.request import Request
from edge.model.services import Service


class Elsewhere(Protocol):
    """Asked for every request that no kept answer serves."""

    def takes(self, request: Request, service: Service) -> bool:
        """Whether somebody else may answer it, who is then to be asked by `serves`."""

    async def serves(self, request: Request, service: Service) -> bool:
        """Have it answered by somebody else; False: nobody has, and nothing was sent to its client.

        :raises ClientError: its body is broken.
        :raises NunatakError: somebody may have acted upon it, and did not answer.
        """
