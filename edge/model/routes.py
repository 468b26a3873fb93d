"""Which service a request is for, by its host and target: decided without asking anybody."""

import ipaddress
import re
from functools import lru_cache
from posixpath import normpath
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from vmimage import errors

SERVICE_PREFIX: Final = "/~service/"
AUTHORITY_MAX: Final = 253 + len(":65535")  # of a name with a port; what clients make up longer is not remembered
NAME_MAX: Final = 253  # octets in a host name (RFC 1035 section 2.3.4); services keep to the same


class Route(NamedTuple):
    """Whom a request is for.

    `kind` says how to read `name`: one of a service's hosts, or a service's own name where services go by their names;
    or a host on which the path is nobody's. `authority` is the Host field, or what stands in its place; `script_name`
    the part of the path that led here and `path` the rest, both still percent-encoded; `target` all of it, in
    origin-form or "*".
    """

    kind: Literal["host", "service", "nobody"]
    name: str
    authority: str
    script_name: str
    path: str
    query: str
    target: str

    @property
    def names_a_host(self) -> bool:
        """Whether the client said a host, so that there is a web origin that this request belongs to."""
        return bool(host_name(self.authority))


def route(host: str | None, target: str, service_host: str = "") -> Route | None:
    """Host field and request target to a route; None for what is malformed.

    An empty host is well-formed (RFC 9110 section 7.2), and HTTP/1.0 needs none: no browser sends such a request, and
    it reaches services by their names only. On any other host but the operator's a path with a service's name is
    nobody's, however it is written: what answers there is never in another's web origin.

    :param target: origin-form or absolute-form (RFC 9112 section 3.2); the latter's authority wins over `host`.
    :param service_host: under which services go by their own names, as `host_name` gives it; empty for none.
    """
    authority = host or ""
    name = host_name(authority)
    if name is None:
        return None
    if target == "*":  # the server as a whole (OPTIONS); here that is the service
        return Route("host", name, authority, "", "", "", target)
    if not target.startswith("/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            return None
        authority, target = absolute[1], absolute[2]
        name = host_name(authority)
        if not name:  # an http URI without a host is invalid (RFC 9110 section 4.2.1)
            return None
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    if not path.startswith(SERVICE_PREFIX):
        odd = ("%" in path or "~service/" in path) and _means_a_service(path)
        return Route("nobody" if odd else "host", name, authority, "", path, query, target)
    if name and name != service_host:
        return Route("nobody", name, authority, "", path, query, target)
    service, slash, rest = path[len(SERVICE_PREFIX) :].partition("/")
    if not service or len(service) > NAME_MAX:
        return None
    return Route("service", service, authority, SERVICE_PREFIX + service, slash + rest, query, target)


def _means_a_service(path: str) -> bool:
    """Whether a client that normalises paths (RFC 3986 section 6.2.2) sees a service's name in this one."""
    plain = unquote(path)
    return "~service/" in plain and ("/" + normpath(plain).lstrip("/")).startswith(SERVICE_PREFIX)


def host_name(host: str) -> str | None:
    """The name in a Host field or an authority: lower case, no port, no final dot; None when it is malformed.

    Stricter than RFC 3986 section 3.2.2 where that costs nobody anything: registered names are of unreserved
    characters, since no service can have a host of others, and an IP literal is an IPv6 address without a zone.
    """
    return _host_name(host) if len(host) <= AUTHORITY_MAX else None


@lru_cache(maxsize=1024)
def _host_name(host: str) -> str | None:
    match = _HOST.fullmatch(host)
    if match is None or len(match[2] or "") > NAME_MAX or int(match[3] or 0) > 65535:
        return None
    if match[1] is None:
        return str(match[2]).lower().removesuffix(".")
    try:
        return f"[{ipaddress.IPv6Address(match[1])}]"  # one name for each address (RFC 5952)
    except ValueError:
        return None


def named_host(text: str) -> str:
    """A host that an operator names, as `host_name` gives it. An IPv6 address may do without its brackets.

    :raises OperatorError: no host name or address, or one with a port.
    """
    bare = text.strip().removeprefix("[").removesuffix("]")
    name = host_name(f"[{bare}]" if ":" in bare else bare)
    if not name:
        raise errors.OperatorError(f"a host name or address without a port expected, got {text!r}")
    return name


_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._~-]*))(?::([0-9]{0,5}))?")
_ABSOLUTE: Final = re.compile(r"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
