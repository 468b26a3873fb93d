"""Cache-Status (RFC 9211): what this edge did for a request, as one line. Pure.

A run of a guest is a forward. `detail` names the tier that its machine came from, and, behind it, what else there is to
say: that its image was being fetched for another request already, and why an answer that speaks to caches was not kept
(`storing.REFUSALS`). Of an answer of the edge's own it names the reason, as X-Nunatak-Error does.
"""

from functools import lru_cache
from typing import Final

NAME: Final = "nunatak"
SHARED: Final = "shared-fetch"  # the image's, by several requests: each of them runs its guest, so it is no `collapsed`
SILENT: Final = frozenset({"", "unsaid"})  # reasons that are none: nobody asked for anything to be kept


def hit(ttl_s: int, *, from_disk: bool = False) -> bytes:
    """An answer that was kept, and no guest ran for it."""
    return b"Cache-Status: nunatak; hit; ttl=%d%b\r\n" % (ttl_s, b"; detail=disk" if from_disk else b"")


def collapsed(forward: str, ttl_s: int) -> bytes:
    """An answer that another request's guest wrote, while this request waited for it."""
    return f"Cache-Status: {NAME}; fwd={forward}; collapsed; ttl={ttl_s}\r\n".encode()


def stood_in(status: int | None, ttl_s: int, reason: str) -> bytes:
    """A stale answer in place of one that could not be had.

    :param status: of the guest's answer that was not passed on; None where there was none.
    """
    said = "" if status is None else f"; fwd-status={status}"
    return f"Cache-Status: {NAME}; fwd=stale{said}; ttl={ttl_s}; detail={reason}\r\n".encode()


def refused(forward: str, reason: str, *, asked: bool) -> bytes:
    """An answer of the edge's own in place of a service.

    :param asked: a machine had the request; else it went nowhere.
    """
    return f"Cache-Status: {NAME}{f'; fwd={forward}' if asked else ''}; detail={reason}\r\n".encode()


def validated(tier: str, ttl_s: int, *, stored: bool) -> bytes:
    """An answer that its guest has said still holds."""
    kept = "; stored" if stored else ""
    return f"Cache-Status: {NAME}; fwd=stale; fwd-status=304{kept}; ttl={ttl_s}; detail={tier}\r\n".encode()


@lru_cache(maxsize=1024)
def forwarded(forward: str, tier: str, shared: bool, ttl_s: int | None, reason: str) -> bytes:
    """An answer of a guest.

    :param shared: another request had begun to fetch its image.
    :param ttl_s: of what was kept of it; None for nothing.
    :param reason: why not.
    """
    kept = "" if ttl_s is None else f"; stored; ttl={ttl_s}"
    details = [tier, *([SHARED] if shared else ()), *([reason] if reason not in SILENT else ())]
    detail = tier if len(details) == 1 else f'"{", ".join(details)}"'
    return f"Cache-Status: {NAME}; fwd={forward}{kept}; detail={detail}\r\n".encode()
