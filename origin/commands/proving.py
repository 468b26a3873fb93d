"""Looking for the proof that a tenant holds a host, in DNS and on its web server; see `origin.publish.proof`.

The host is the tenant's to name, so what is asked may be anything that the operator's machine can reach: it is one GET
of one fixed path, or one question for a TXT record. Nothing of the answer is shown or kept but whether the proof is
there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

import dns.exception
import dns.resolver
import urllib3

from origin.publish.proof import ANSWER_MAX, HTTP_PATH, proves, record_name

Way = Literal["dns", "http"]
TIMEOUT_S: Final = 10.0


def find(ways: Iterable[Way], tenant: str, keyids: Iterable[str], host: str, resolver: tuple[str, int] | None) -> str:
    """Where the proof was found, in words; "" where it was not.

    :param resolver: address and port of a name server; None: those of this machine.
    """
    keyids = list(keyids)
    for way in ways:
        found = _texts(host, resolver) if way == "dns" else _lines(host)
        if proves(found, tenant, keyids, host):
            return f"TXT record of {record_name(host)}" if way == "dns" else f"http://{host}{HTTP_PATH}"
    return ""


def _texts(host: str, resolver: tuple[str, int] | None) -> list[str]:
    asked = dns.resolver.Resolver(configure=resolver is None)
    if resolver is not None:
        asked.nameservers, asked.port = [resolver[0]], resolver[1]
    try:
        answer = asked.resolve(record_name(host), "TXT", lifetime=TIMEOUT_S, search=False)
        return [b"".join(record.strings).decode("latin-1") for record in answer]
    except (dns.exception.DNSException, OSError):
        return []


def _lines(host: str) -> list[str]:
    timeout = urllib3.Timeout(TIMEOUT_S)
    try:
        with urllib3.PoolManager(timeout=timeout, retries=False) as pool:
            answer = pool.request("GET", f"http://{host}{HTTP_PATH}", redirect=False, preload_content=False)
            try:
                body = answer.read(ANSWER_MAX) if answer.status == 200 else b""
            finally:
                answer.close()
    except (urllib3.exceptions.HTTPError, OSError):
        return []
    return body.decode("latin-1").splitlines()
