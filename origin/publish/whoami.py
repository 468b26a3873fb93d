"""Who a publisher is at an origin: by its key, in the catalogue, and by its token, as the origin says. No I/O.

What a key may publish, the signed catalogue says; what a token opens, the origin. Both must agree for a publication.
"""

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from origin.model.exchange import Request, Response, expect
from origin.publish.authors import Signing, Tenant
from origin.publish.books import read_all, services_of
from origin.publish.chain import read_state
from vmimage.errors import OriginError
from vmimage.tenancy import Book
from vmimage.tenants import HOSTS, Grant
from vmimage.trust import Trust

_Ask = Generator[Sequence[Request], Sequence[Response], "Self"]


@dataclass(frozen=True)
class Self:
    """What is known of who asks."""

    keys: tuple[str, ...]  # identifiers of the private keys that are here
    signs_for: str | None  # the tenant; "" for the operator's own services, None without a key
    trusted: bool  # edges take what these keys sign
    services: tuple[str, ...]  # that are its own, but for those that are withdrawn
    hosts: tuple[str, ...]  # that are its own
    said: dict[str, Any] | None  # what the origin says of the token; None without one

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        key = {"ids": list(self.keys), "tenant": self.signs_for, "trusted": self.trusted}
        about: dict[str, Any] = {"key": key if self.keys else None, "services": list(self.services)}
        return about | {"hosts": list(self.hosts), "origin": self.said}


def whoami(trust: Trust, signing: Signing | None, *, with_token: bool) -> _Ask:
    """Ask an origin and its catalogue.

    :param signing: who would sign; None: nobody. :param with_token: whether a token is shown.
    :raises PublisherError: the token is refused.
    :raises OriginError, VerificationError: the origin's metadata are not what `trust` leads to.
    """
    said = None
    if with_token:
        [response] = yield [Request("GET", "/whoami")]
        expect(response, 200, "whoami")
        said = _parse(response.body)
    state = yield from read_state(trust)
    meta, trust = state.snapshot.meta, state.trust
    book = yield from read_all(trust, meta)
    keys, signs_for, trusted = _key(book, signing)
    tenant = signs_for if signs_for is not None else said["tenant"] or "" if said is not None else ""
    records = [record for path in services_of(book, meta) if (record := book.record(path)) is not None]
    own = [r for r in records if not r.withdrawn and (not tenant or r.tenant == tenant)]
    granted = (path.removeprefix(HOSTS) for path in _granted(book, meta, tenant)) if tenant else ()
    hosts = {*granted, *(host for record in own for host in record.hosts)}
    services = tuple(sorted(record.service for record in own))
    return Self(keys, signs_for, trusted, services, tuple(sorted(hosts)), said)


def _key(book: Book, signing: Signing | None) -> tuple[tuple[str, ...], str | None, bool]:
    if signing is None:
        return (), None, False
    if not isinstance(signing, Tenant):
        keyid = signing.public_key.keyid
        return (keyid,), "", keyid in book.trust.bin_keys[1]
    keys = tuple(sorted(signer.public_key.keyid for signer in signing.signers))
    role = book.delegation(signing.name)
    return keys, signing.name, role is not None and len(set(keys) & set(role.keyids)) >= role.threshold


def _granted(book: Book, meta: Any, tenant: str) -> list[str]:
    """Paths of hosts that the operator has given to a tenant."""
    bins = (book.role(name.removesuffix(".json")) for name in meta if book.trust.is_bin(name.removesuffix(".json")))
    paths = (path for bin_ in bins if bin_ is not None for path in bin_.targets if path.startswith(HOSTS))
    return [path for path in paths if book.entry(path) == Grant(tenant)]


def _parse(body: bytes) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(body)
        tenant, token, opens, most = (said[name] for name in ("tenant", "token", "opens", "most"))
        if not isinstance(tenant, str | None) or not all(isinstance(each, dict) for each in (token, opens, most)):
            raise ValueError
    except (ValueError, TypeError, LookupError, RecursionError):
        raise OriginError(f"whose the token is expected, got {body[:80]!r}: is the origin of this version?") from None
    return said
