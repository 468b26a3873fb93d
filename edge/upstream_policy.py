"""Which upstreams a guest may send requests to: those that its image names, as far as the operator lets it.

The image's list is signed by the publisher; the operator's says which networks may be reached at all, so that no
publisher gets into the edge's own. Addresses are judged after the look-up, at the moment of connecting.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from vmimage.errors import NunatakError

URL_MAX: Final = 8190  # characters, as in a request line that we take ourselves

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class UpstreamRefused(NunatakError):
    """The guest may not send that request, or not to there."""


@dataclass(frozen=True)
class UpstreamPolicy:
    """The operator's side."""

    public: bool  # every address that is routed on the public internet
    networks: Sequence[Network] = ()  # and these

    @classmethod
    def parse(cls, text: str) -> "UpstreamPolicy":
        """From the configuration: comma-separated networks, and "public".

        :raises ValueError: another word.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        return cls("public" in words, [ipaddress.ip_network(word) for word in words if word != "public"])

    def reachable(self, address: str) -> bool:
        """Whether a guest's request may go to an IP address."""
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if any(ip in network for network in self.networks):
            return True
        return self.public and ip.is_global and not ip.is_multicast

    def check(self, url: str, allowed: Collection[str]) -> URL:
        """The URL of a guest's request, parsed.

        :param allowed: origins that the image names.
        :raises UpstreamRefused: no absolute http or https URL, not in the list, or an address that may not be reached.
        """
        if len(url) > URL_MAX:
            raise UpstreamRefused(f"a URL of at most {URL_MAX} characters expected, got {len(url)}")
        try:
            parsed = URL(url)
            origin = str(parsed.origin()).lower()
        except ValueError:
            raise UpstreamRefused(f"an absolute http or https URL expected, got {url[:100]!r}") from None
        if parsed.scheme not in ("http", "https") or parsed.user is not None or parsed.password is not None:
            raise UpstreamRefused(f"an http or https URL without credentials expected, got {url[:100]!r}")
        if origin not in allowed:
            raise UpstreamRefused(f"{origin} is not among the image's upstreams; see `nunatak build --upstream`")
        host = parsed.host or ""
        if _is_address(host) and not self.reachable(host):
            raise UpstreamRefused(f"this edge does not let guests reach {host}")
        return parsed.with_fragment(None)


class GuardedResolver(AbstractResolver):
    """Looks names up and keeps only addresses that guests may reach: no name leads into the edge's own network."""

    def __init__(self, policy: UpstreamPolicy) -> None:
        self._policy = policy
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """AbstractResolver."""
        found = await self._resolver.resolve(host, port, family)
        reachable = [result for result in found if self._policy.reachable(result["host"])]
        if not reachable:
            raise OSError(None, f"this edge does not let guests reach {host}")
        return reachable

    async def close(self) -> None:
        """AbstractResolver."""
        await self._resolver.close()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
