"""Do records know what the disk under them has, also when it evicts by itself?"""

import asyncio
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.common.counters import Counters
from edge.content import records as module
from edge.content.disk_tier import DiskTier
from edge.content.records import Records
from edge.content.seal import new_seal

RECORD_BYTES = 4096
DISK_BYTES = 256 << 10


def test_what_the_disk_evicts_is_no_longer_said_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECOUNT_S", 0.0)

    async def fill() -> tuple[set[str], set[str], str | None]:
        counters = Counters()
        disk = DiskTier(tmp_path, DISK_BYTES, counters)
        records = Records(0, disk, new_seal(), ThreadPoolExecutor(1), counters)
        for number in range(200):
            records.put(f"service-{number:03d}@1", os.urandom(RECORD_BYTES))
        await records.flush()
        await asyncio.sleep(0)  # what was written is told in callbacks
        return disk.keys(), records.on_disk, records.tier_of("service-000@1")

    there, said, oldest = asyncio.run(fill())
    assert 20 < len(there) < DISK_BYTES / RECORD_BYTES
    assert said == there
    assert oldest is None


class Disk(DiskTier):
    """A disk that takes nothing while it is told so."""

    full = False

    def put_all(self, values: Mapping[str, bytes]) -> bool:
        return not self.full and super().put_all(values)


def test_a_disk_that_takes_nothing_loses_only_what_memory_has_no_room_for(tmp_path: Path) -> None:
    async def run() -> None:
        counters = Counters()
        disk = Disk(tmp_path, 1 << 24, counters)
        records = Records(2000, disk, new_seal(), ThreadPoolExecutor(1), counters)
        disk.full = True
        for number in range(4):
            records.put(f"s{number}@1", bytes(200))  # two have room in memory
        await records.flush()
        assert (counters.records_lost, records.unsaved, records.on_disk) == (2, 2, set())
        records.save()
        assert records.unsaved == 2, "not tried at once again: each try costs a write of everything"
        disk.full = False
        await records.flush()
        assert (records.unsaved, disk.keys()) == (0, {"s2@1", "s3@1"})
        assert [await records.get(f"s{number}@1") for number in range(4)] == [
            None,
            None,
            (bytes(200), "parked"),
            (bytes(200), "parked"),
        ]

    asyncio.run(run())
