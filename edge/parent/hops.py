"""What a cache says to the next one in a chain, and how a chain that is a circle is found out. Pure.

`Via` (RFC 9110 section 7.6.3), `CDN-Loop` (RFC 8586) and `Cache-Status` (RFC 9211) are lists: each hop appends a member
and changes none.
"""

from collections.abc import Mapping
from typing import Final

NAME: Final = "nunatak-parent"  # in Via and Cache-Status
LOOP_MAX: Final = 1024  # characters of CDN-Loop: some twenty hops; a longer one is a circle through who forgets
HOPS_MAX: Final = 16


def is_circle(loop: str, identity: str) -> bool:
    """Whether a request has been here before, or has gone through too many.

    :param loop: its CDN-Loop. :param identity: of this hop.
    """
    members = [member.partition(";")[0].strip() for member in loop.split(",")]
    return identity in members or len(loop) > LOOP_MAX or len(members) > HOPS_MAX


def onward(loop: str, via: str, identity: str) -> Mapping[str, str]:
    """Fields of the request that this hop sends for one that it has got, whose fields are given."""
    return {"CDN-Loop": _appended(loop, identity), "Via": _appended(via[:LOOP_MAX], f"1.1 {NAME}")}


def answered(before: str, said: str) -> Mapping[str, str]:
    """Fields of an answer.

    :param before: Cache-Status of who gave it; empty where it was here. :param said: what this hop says.
    """
    return {"Cache-Status": _appended(before, f"{NAME}; {said}"), "Via": f"1.1 {NAME}"}


def _appended(members: str, member: str) -> str:
    return f"{members}, {member}" if members.strip() else member
