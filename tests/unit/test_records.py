"""Do records know what the disk under them has, also when it evicts by itself?"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge import records as module
from edge.counters import Counters
from edge.records import Records
from edge.seal import new_seal
from edge.tiers import DiskTier

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
