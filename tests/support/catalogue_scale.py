"""What a catalogue of very many tenants costs an edge: a cold look-up, one in another tenant, a refresh. A program.

    python -m tests.support.catalogue_scale [TENANTS [SERVICES_OF_EACH [BIN_BITS]]]

Each service has a host. Every file that an edge reads here is as long as it would be, with real keys and signatures;
those that it never reads are only named by the snapshot, so a million services are there in seconds.
"""

import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tuf.api.metadata import MetaFile, TargetFile

from edge.catalogue.catalogue import Catalogue
from tests.attack.repository import Mirror
from tests.attack.tenants import TenantRepository
from tests.support.tenancy import Party
from vmimage.holds import HOLDS_PATH
from vmimage.tenants import grant_target, tenant_path, tenant_role
from vmimage.trust import ServiceRecord, host_path, sign_snapshot

ASKED: Final = 8  # tenants in whose services is looked up
RUNS: Final = 5
_T = TypeVar("_T")
DIGEST: Final = f"sha256:{'ab' * 32}"


class Scale(TenantRepository):
    """A repository whose snapshot names all roles, of which those exist that are read."""

    def __init__(self, tenants: int, services: int, bits: int) -> None:
        self.named: dict[str, MetaFile] = {}
        super().__init__(bits)
        self.lifetime = timedelta(days=1)
        parties = {f"tenant{number}": Party(f"tenant{number}") for number in range(tenants)}
        asked = list(parties.values())[:ASKED]
        self.hosts = [f"h{number}.example" for number in range(ASKED)]
        paths = [HOLDS_PATH, *map(host_path, self.hosts), *(tenant_path(party.name) for party in asked)]
        read = set(map(self.trust.bin_of, paths))
        grants: dict[str, dict[str, TargetFile | None]] = {role: {} for role in read}
        for number in range(tenants * services):
            path = host_path(f"h{number}.example")
            if (role := self.trust.bin_of(path)) in read:
                grants[role][path] = grant_target(path, f"tenant{number % tenants}")
        for role, changes in grants.items():
            self.sign_bin(role, changes)
        for party in parties.values():
            if self.trust.bin_of(tenant_path(party.name)) in read:
                self.add(party)
        for number, party in enumerate(asked):
            mine = range(number, tenants * services, tenants)
            records = (
                ServiceRecord(f"{party.name}.s{n}", (f"h{n}.example",), DIGEST, 1000, 1, party.name) for n in mine
            )
            self.put(party, *records)
        others = [tenant_role(name) for name in list(parties)[ASKED:]]
        digits = -(-bits // 4)
        others += [role for n in range(1 << bits) if (role := f"bin-{n:0{digits}x}") not in read]
        self.named = {role: MetaFile(1, 50_000, {"sha256": DIGEST[7:]}) for role in others}
        self.finish()

    def sign_snapshot(self, **bin_versions: int) -> None:
        """With all roles, once there are any."""
        super().sign_snapshot(**bin_versions)
        name = f"{self.snapshot_version}.snapshot.json"
        if self.named:
            previous = self.trust.verify_snapshot(self.files[name])
            previous.version -= 1
            self.files[name] = sign_snapshot(previous, self.named, self.signers["snapshot"], self.now)


def main(tenants: int = 10_000, services: int = 100, bits: int = 12) -> None:
    """Build it, look up in it, and print what was measured."""
    began = time.perf_counter()
    scale = Scale(tenants, services, bits)
    took_s = time.perf_counter() - began
    sizes = {name: len(data) for name, data in scale.files.items()}
    print(f"{tenants:,} tenants, {tenants * services:,} services and hosts, {1 << bits:,} bins; made in {took_s:.1f} s")
    for kind in ("snapshot", "bin-", "tenant-"):
        print(f"  the largest {kind:<9} {max(size for name, size in sizes.items() if f'.{kind}' in name):>9,} bytes")
    gc.freeze()  # a million entries of the repository's: no edge has them among what its collector looks through
    with Mirror(scale).running() as mirror, tempfile.TemporaryDirectory() as folder:
        cold, further, warm, resumed = [], [], [], []
        for run in range(RUNS):
            new = partial(mirror.catalogue, Path(folder) / str(run))
            edge, *figures = _timed(partial(_begun, new, scale.hosts[0]), mirror)
            cold.append(figures)
            further += [_timed(partial(_asked, edge, host), mirror)[1:] for host in scale.hosts[1:]]
            warm.append(_timed(edge.refresh, mirror)[1:])
            resumed.append(_timed(partial(_begun, new, scale.hosts[0]), mirror)[1:])
    for what, found in (
        ("cold: an edge without anything, to its first record", cold),
        ("a host of another tenant", further),
        ("warm: a refresh with nothing new", warm),
        ("an edge that starts again, to a record that it knew", resumed),
    ):
        times, cpu = (sorted(each[place] for each in found) for place in (0, 1))
        said = f"{statistics.median(times):8.2f} ms ({times[0]:.2f} to {times[-1]:.2f})"
        print(f"  {what:<55} {said}, CPU {statistics.median(cpu):.2f} ms, {max(each[2] for each in found)} requests")


def _begun(new: Callable[[], Catalogue], host: str) -> Catalogue:
    return _asked(new(), host)


def _asked(edge: Catalogue, host: str) -> Catalogue:
    if edge.find_host(host) is None:
        raise ValueError(f"a service for {host} expected, got none")
    return edge


def _timed(act: Callable[[], _T], mirror: Mirror) -> tuple[_T, float, float, int]:
    """What came of it, how many milliseconds it took, of how much CPU (the mirror's too), and how many requests."""
    mirror.asked()
    began, began_cpu = time.perf_counter(), time.process_time()
    result = act()
    took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
    return result, 1000 * took_s, 1000 * cpu_s, len(mirror.asked())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
