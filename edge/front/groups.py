"""What an answer to a request that changed something makes void beside its own page: groups (RFC 9875 section 3).

They are purges that a guest asks for, so they are charged to its tenant like those of its calls. Who names more than is
read of a field, or more than is its share, has all of its service void: more than was asked, never less.
"""

from collections.abc import Callable
from typing import Final

from edge.cache.fields import groups_of
from edge.cache.purges import Purge
from edge.cache.storing import FIELD_MAX, Fields
from edge.common.allowance import CACHE_CALLS, Allowance

_FIELD: Final = b"cache-group-invalidation"


class GroupPurges:
    """Those of all tenants.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._allowance = Allowance(CACHE_CALLS, clock)

    def of(self, tenant: str, service: str, said: Fields) -> list[Purge]:
        """What the fields of one answer make void."""
        lines = [value.decode("latin-1") for name, value in said if name == _FIELD]
        if not lines:
            return []
        if sum(map(len, lines)) > FIELD_MAX:
            return [Purge("service", service)]
        groups = dict.fromkeys(group.lower() for line in lines for group in groups_of(line))
        if self._allowance.take(tenant, len(groups)) < len(groups):
            return [Purge("service", service)]
        return [Purge("tag", service, group) for group in groups]
