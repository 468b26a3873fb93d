"""Who may change what an origin has, by the token that a request shows.

A token travels as `Authorization: Bearer TOKEN` (RFC 6750), or as the password of `Basic` (RFC 7617) with any user,
which is all that clients of registries can send. Reading asks for none. A token of an issuer is looked at before the
request is handled, in threads that nobody else waits for: its keys may have to be asked for.
"""

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from aiohttp import web

from origin.model.tokens import Tokens
from origin.registry.bearer import bearer
from origin.registry.names import Submitter
from origin.registry.oidc import TOKEN_MAX, Issued, TokenRefused, Verifier, looks_issued
from origin.registry.refusal import OciError
from origin.registry.repositories import owns

CREDENTIALS_MAX: Final = 2 * TOKEN_MAX  # characters
LOOKING_MAX: Final = 2  # threads that look at tokens of issuers
# Of a request: whose its token of an issuer is, or why it is nobody's.
_ISSUED: Final = web.RequestKey("issued", object)


class Door:
    """The tokens that an origin takes for uploads."""

    def __init__(self, token: str | None, tokens: Tokens | None, verifier: Verifier | None = None) -> None:
        """:param token: the operator's, for all tenants; None refuses it. :param tokens: of tenants, for their own, and
        of operators, each by a name. :param verifier: of tokens that issuers make for tenants; None takes none.
        """
        self.token, self.verifier, self._tokens = token, verifier, tokens
        self._looking = ThreadPoolExecutor(LOOKING_MAX, "issuers")

    @property
    def opens(self) -> bool:
        """Whether there is a token that would open it."""
        return self.token is not None or self._tokens is not None or self.verifier is not None

    @web.middleware
    async def look(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """See whose the token of an issuer is, for `submitter`; requests without one pass."""
        if (verifier := self.verifier) is not None:
            text = as_bearer(request.headers.get("Authorization", "")).removeprefix("Bearer ")
            if looks_issued(text):
                look = asyncio.get_running_loop().run_in_executor(self._looking, verifier.verify, text)
                try:
                    request[_ISSUED] = await look
                except TokenRefused as refused:
                    request[_ISSUED] = refused
        return await handler(request)

    def issued(self, request: web.Request) -> Issued | None:
        """Whose token of an issuer it shows, None where it shows another or none.

        :raises OciError: it shows one that does not count.
        """
        found = request.get(_ISSUED)
        if isinstance(found, TokenRefused):
            raise OciError(401, "UNAUTHORIZED", str(found))
        return found if isinstance(found, Issued) else None

    def submitter(self, request: web.Request) -> Submitter:
        """On whose behalf a request is made.

        :raises OciError: nobody's that may.
        """
        if not self.opens:
            raise OciError(403, "DENIED", "this origin takes no uploads: it was started without a token")
        if (issued := self.issued(request)) is not None:
            return Submitter(issued.tenant, token=f"{issued.issuer} {issued.subject}"[:300])
        shown = as_bearer(request.headers.get("Authorization", ""))
        if (whose := bearer(shown, self.token, self._tokens, "tenant")) is not None:
            return Submitter(whose.name, operator=not whose.name, token=whose.token)
        if (whose := bearer(shown, None, self._tokens, "operator")) is not None:
            return Submitter(operator=True, token=whose.token)
        said = "as Bearer, or as the password of any user (Basic)"
        raise OciError(401, "UNAUTHORIZED", f"the origin's upload token expected {said}, got none or another")

    def operator(self, request: web.Request, what: str) -> None:
        """:raises OciError: it is not the operator who asks."""
        if not self.submitter(request).operator:
            raise OciError(403, "DENIED", f"{what}: the operator's token expected, got a tenant's")

    def owner(self, request: web.Request, repository: str) -> None:
        """:raises OciError: it is not one who owns the repository who asks."""
        submitter = self.submitter(request)
        if not owns(submitter, repository):
            whose = f"one that begins with {submitter.tenant}/" if submitter.tenant else "a tenant's or the operator's"
            raise OciError(403, "DENIED", f"repository {repository[:80]}: {whose} expected with this token")


def as_bearer(authorization: str) -> str:
    """An Authorization field with the token in the place where Bearer has it; "" where it has none."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return f"Bearer {rest.strip()}"
    if scheme.lower() != "basic" or len(rest) > CREDENTIALS_MAX:
        return ""
    try:
        _, colon, password = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return f"Bearer {password}" if colon else ""
