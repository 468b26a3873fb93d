"""Which files of a catalogue an edge fetches before anybody asks for what is in them. Pure.

A name that is asked for the first time costs a fetch of its bin, and of its tenant's file, before its image can be
fetched: a round trip to the origin, and some 3 ms of an edge beside it. A catalogue that is small is therefore known
whole; of a larger one an edge knows what it was asked for, as before.
"""

from collections.abc import Collection, Mapping
from typing import Final

from tuf.api.metadata import MetaFile

from vmimage.tenants import tenant_of
from vmimage.trust import TARGETS_MAX

_TOP: Final = ("root.json", "targets.json")


def wanted_ahead(files: Mapping[str, MetaFile], known: Collection[str], whole_max: int) -> list[str]:
    """Roles to fetch, bins before the tenants that these delegate to; none of a catalogue that is too large.

    :param files: by name, as the snapshot has them. :param known: roles that are here.
    :param whole_max: bytes of all bins and tenants' files together, above which none is wanted. A service with one
        host is 1.0 kB of them, and known it takes 1.6 kB of memory; a change is one fetch of some kilobytes more.
    """
    below = {name.removesuffix(".json"): file for name, file in files.items() if name not in _TOP}
    if sum(file.length or TARGETS_MAX for file in below.values()) > whole_max:
        return []
    return sorted(below.keys() - known, key=lambda role: (tenant_of(role) is not None, role))
