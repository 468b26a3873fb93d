"""A name that is another tenant's now, with the image that it had: is what the tenant before left in memory found?"""

import asyncio
from dataclasses import replace
from datetime import datetime

from edge.catalogue.directory import Directory
from edge.common.counters import Counters
from edge.model.services import Service
from vmimage.holds import Holds
from vmimage.trust import ServiceRecord

HERS = ServiceRecord("shop", (), "sha256:" + "0" * 64, 100, 1, "alice")
THEIRS = replace(HERS, owner="mallory")  # she withdrew it, and before this edge looked again they had published hers


class Names:
    """A catalogue of one service."""

    expired, expired_for_s = False, 0.0

    def expiries(self) -> dict[str, datetime]:
        return {}

    def __init__(self) -> None:
        self.now = HERS

    def refresh(self) -> bool:
        return True

    def find_service(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        return self.now

    def fetch_ahead(self) -> bool:
        return False

    def find_withdrawn(self, name: str, *, ask: bool = True) -> ServiceRecord | None:
        return None

    def holds(self) -> Holds:
        return Holds()

    def is_held(self, kind: str, name: str) -> bool:
        return False

    def find_host(self, host: str, *, ask: bool = True) -> ServiceRecord | None:
        if not ask:
            return None
        return None


def changes(after: ServiceRecord) -> list[tuple[str, str]]:
    """Whose machine ends, and its record's name, when a look at the catalogue says this."""

    async def scenario() -> list[tuple[str, str]]:
        names, told = Names(), list[tuple[str, str]]()
        directory = Directory(names, Counters(), 0.0)

        def note(service: Service, release: ServiceRecord | None) -> None:
            told.append((service.tenant, service.key))

        directory.on_change = note
        service = await directory.find("service", "shop")
        names.now = after
        assert await directory.refresh()
        assert service.tenant == after.tenant
        directory.close()
        return told

    return asyncio.run(scenario())


def test_a_machine_ends_with_its_tenant_though_its_image_stays() -> None:
    assert changes(THEIRS) == [("alice", f"shop@{HERS.manifest_digest} alice")], "hers, and before it is theirs"


def test_it_goes_on_where_neither_changes() -> None:
    assert changes(replace(HERS, version=2, hosts=("shop.test",))) == []
