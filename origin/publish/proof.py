"""A proof that a tenant holds a host: a word that only who has the name can put there, in DNS or on its web server.

The word is a hash of the host and of the tenant's name and one of its keys, so it is no secret, and good for nobody
else: another tenant, here or at another operator, has other keys. It is looked for when the operator gives the host,
not later.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from vmimage.canonical import canonical_json

PREFIX: Final = "nunatak-tenant="
DNS_LABEL: Final = "_nunatak"  # of a TXT record below the host
HTTP_PATH: Final = "/.well-known/nunatak-tenant"
ANSWER_MAX: Final = 4096  # bytes that are read of an answer


def proof(tenant: str, keyid: str, host: str) -> str:
    """What a tenant with this key puts there for a host."""
    said = canonical_json({"host": host, "key": keyid, "tenant": tenant, "what": "nunatak tenant holds host"})
    return f"{PREFIX}{hashlib.sha256(said).hexdigest()}"


def proves(found: Iterable[str], tenant: str, keyids: Iterable[str], host: str) -> bool:
    """Whether the proof is among what was found: the texts of TXT records, or the lines of a file."""
    wanted = {proof(tenant, keyid, host) for keyid in keyids}
    return any(text.strip() in wanted for text in found)


def record_name(host: str) -> str:
    """Name of the TXT record in which it is looked for."""
    return f"{DNS_LABEL}.{host}"
