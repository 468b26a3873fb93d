"""Eight edges whose memory holds a tenth of all machines each: as a POP that shares requests, and each on its own.

    python -m loadtest.scenarios.owners

Real edges on this machine, which the same requests are sent to, each to an edge by chance; the first half fills their
memory and is not counted. What is told is counted by the edges themselves, so it does not depend on how fast the
machine is. In the end one edge is killed.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.site.bucket import free_port
from loadtest.site.checks import require
from loadtest.site.fetch import Client
from loadtest.site.server import Server
from loadtest.site.site import LOOPBACK, Site, example
from loadtest.site.vitals import metrics
from loadtest.traffic.zipf import Shape, Traffic

EDGES: Final = 8
ALPHA: Final = 0.9
HELD: Final = 0.1  # of all machines, by each edge
CLIENTS: Final = 4
KNOWN_S: Final = 60.0  # in which edges learn each other's certificates
MIB: Final = 1 << 20
IMAGES: Final = 16 * MIB
PARKED: Final = 16 * MIB
HERE: Final = ("resident", "parked", "disk", "blob", "peer", "origin")  # tiers of an edge's own machines


@dataclass(frozen=True)
class Found:
    """What edges have counted."""

    tiers: Counter[str]
    served: Sequence[int]  # requests by each edge's machines

    @property
    def resident(self) -> float:
        """The share of all requests that found their machine in memory."""
        return self.tiers["resident"] / sum(self.tiers[tier] for tier in HERE)

    @property
    def busiest(self) -> float:
        """Requests of the edge that has the most, over the mean."""
        return max(self.served) * len(self.served) / sum(self.served)


def machine_bytes(site: Site, names: Sequence[str]) -> int:
    """What an edge counts for one resident machine."""
    edge = site.add_edge(name="probe", memory="256MiB")
    ask(edge, names)
    found = metrics(edge)
    edge.stop()
    return int(found["resident_bytes"] / found["resident_machines"])


def start(site: Site, kind: str, memory: int, *, share: bool) -> list[Server]:
    """So many edges; with `share`, a POP whose edges know each other.

    :param memory: bytes of each for resident machines.
    """
    names, port = [f"{kind}-{number}" for number in range(EDGES)], free_port()
    fields: dict[str, int | float | str | bool] = {"parked_memory": PARKED, "image_memory": IMAGES, "refresh": 3600}
    members = []
    for name in names if share else ():
        sha256 = site.run("peer-certificate", "--cache", str(site.folder / name)).split()[-1]
        members.append({"id": name, "pop": "here", "peer": f"{LOOPBACK}:{free_port()}", "sha256": sha256})
    listed = site.folder / "peers.json"
    listed.write_text(json.dumps({"members": members}))
    edges = []
    for number, name in enumerate(names):
        peer = {"peer_listen": members[number]["peer"], "peers": str(listed), "share": "requests"} if share else {}
        total = memory + PARKED + IMAGES
        listen = f"127.0.1.{number + 1}:{port}"
        edges.append(site.add_edge(name=name, memory=str(total), config={**fields, **peer}, listen=listen))
    until_s = time.monotonic() + KNOWN_S
    while share and any(edge.log.read_text().count("event=peer_learned ") < EDGES - 1 for edge in edges):
        if time.monotonic() > until_s:
            raise TimeoutError(f"edges that know each other expected within {KNOWN_S:g} s")
        time.sleep(0.1)
    return edges


def ask(edge: Server, names: Sequence[str]) -> None:
    """Each service once, of one edge.

    :raises NotServed: an answer that is not a page.
    """
    with closing(Client(edge.url)) as client:
        for name in names:
            require(client.get(f"/~service/{name}/", host=LOOPBACK), name)


def ask_all(edges: Sequence[Server], drawn: Sequence[tuple[int, str]]) -> None:
    """Requests, each an edge's number and a service, by a few clients at a time."""

    def part(mine: Sequence[tuple[int, str]]) -> None:
        clients = [Client(edge.url) for edge in edges]
        for number, name in mine:
            require(clients[number].get(f"/~service/{name}/", host=LOOPBACK), name)
        for client in clients:
            client.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(part, [drawn[first::CLIENTS] for first in range(CLIENTS)]))


def counted(edges: Sequence[Server]) -> list[Counter[str]]:
    """Answers by tier, of each edge."""
    found = []
    for edge in edges:
        said = metrics(edge)
        tiers = {key[len("answers_total{") : -1]: int(n) for key, n in said.items() if key.startswith("answers_total{")}
        found.append(Counter(tiers))
    return found


def measured(edges: Sequence[Server], warm: Sequence[tuple[int, str]], drawn: Sequence[tuple[int, str]]) -> Found:
    """What comes of requests, after others that are not counted."""
    ask_all(edges, warm)
    before = counted(edges)
    ask_all(edges, drawn)
    gained = [after - first for after, first in zip(counted(edges), before, strict=True)]
    tiers = sum(gained, Counter[str]())
    return Found(tiers, [sum(each[tier] for tier in HERE) for each in gained])


def draws(names: Sequence[str], count: int, seed: int) -> list[tuple[int, str]]:
    """Requests by Zipf's law, each to an edge by chance. Each seed has other services that are popular."""
    traffic, dice = Traffic(Shape(len(names), ALPHA, seed=seed)), random.Random(seed)
    return [(dice.randrange(EDGES), names[traffic.pick(0.0).service]) for _ in range(count)]


def one_killed(edges: Sequence[Server], names: Sequence[str]) -> tuple[int, int]:
    """How many machines came up anew at the first requests after one edge was killed, and how many it had.

    :param names: services that all edges together have room for.
    """
    first, doomed = edges[0], edges[-1]
    for _ in range(2):
        ask(first, names)
    had = int(metrics(doomed)["resident_machines"]) + int(metrics(doomed)["parked_machines"])
    before = sum(metrics(edge)["opens_total"] for edge in edges[:-1])
    doomed.kill()
    for _ in range(2):
        ask(first, names)
    return int(sum(metrics(edge)["opens_total"] for edge in edges[:-1]) - before), had


def table(found: dict[str, Found]) -> str:
    """As Markdown."""
    lines = [f"| edges | {' | '.join(HERE)} | busiest over mean |", "|---" * (len(HERE) + 2) + "|"]
    for what, each in found.items():
        whole = sum(each.tiers[tier] for tier in HERE)
        shares = " | ".join(f"{100 * each.tiers[tier] / whole:.1f} %" for tier in HERE)
        lines.append(f"| {what} | {shares} | {each.busiest:.2f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """Measure both and print the table."""
    parser = argparse.ArgumentParser(description="Eight edges as a POP, and each on its own.")
    parser.add_argument("--services", type=int, default=400)
    parser.add_argument("--requests", type=int, default=6000, help="that are counted, for each of both")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    found: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="nunatak-owners-") as folder, Site(Path(folder), edges=0) as site:
        names = site.world(example("hello"), asked.services, "own", images=8)
        memory = int(asked.services * HELD) * machine_bytes(site, names[:8])
        drawn = draws(names, 2 * asked.requests, asked.seed)
        for what, share in (("each on its own", False), ("with owners", True)):
            edges = start(site, "shared" if share else "alone", memory, share=share)
            found[what] = measured(edges, drawn[: asked.requests], drawn[asked.requests :])
            if share:
                few = names[: int(asked.services * HELD)]
                opened, had = one_killed(edges, few)
            for edge in edges:
                edge.stop()
    print(table(found))
    alone, shared = found.values()
    print(f"resident hits: {shared.resident / alone.resident:.2f} x")
    print(f"one edge of {EDGES} killed: no error; {opened} machines came up anew for {len(few)} services")
    print(f"(it had {had} machines, of all services)")


if __name__ == "__main__":
    main(sys.argv[1:])
