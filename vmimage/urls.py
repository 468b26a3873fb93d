"""What a URL says of the way to a server."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_guarded(url: str) -> bool:
    """Whether nobody on the way can read what is sent: by TLS, or to this machine itself."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")  # RFC 6761 section 6.3
    return parts.scheme == "https" or here
