"""Memory of parked services, and many services in turn on an edge that cannot hold them all."""

from typing import Final

from loadtest.report.rows import Row
from loadtest.scenarios.scales import Samples, Scale
from loadtest.site.checks import metric, require
from loadtest.site.fetch import Client
from loadtest.site.server import tree_memory_bytes
from loadtest.site.site import bench_site, example

HELLO: Final = example("hello")

MEMORY = Row("parked-memory", "memory per parked service: all that the edge's processes grew by", "KiB", "lower", 32)
RECORD = Row("parked-record", "record of a parked service", "B", "lower")
EDGE_MEMORY = Row("edge-memory", "the whole edge with all of them", "MiB", "lower")
ROUND_ROBIN = Row("round-robin-first-byte", "services round robin in 256 MiB -> first byte, p50", "ms", "lower")


def measure_memory(scale: Scale) -> Samples:
    """Many services in turn, twice over, on one edge with a small budget; not one answer may fail.

    Growth is taken from where a quarter of the services has been met (residents and images have reached their budgets
    by then) to where all have, so that it is the price of one more parked service and nothing else.
    """
    with bench_site(memory=scale.memory) as site:
        edge = site.edges[0]
        names = site.world(HELLO, scale.services, "service")
        with Client(edge.url) as client:
            marks = []
            for number, name in enumerate(names, start=1):
                require(client.get(f"/~service/{name}/"), name)
                if number in (len(names) // 4, len(names)):
                    parked = metric(edge, "parked_machines") + metric(edge, "parked_disk_machines")
                    marks.append((parked, tree_memory_bytes(edge.pid)))
            answers = [require(client.get(f"/~service/{name}/"), name) for name in names]
        records = metric(edge, "parked_bytes") / metric(edge, "parked_machines")
    (parked_before, memory_before), (parked_after, memory_after) = marks
    return {
        MEMORY: [(memory_after - memory_before) / (parked_after - parked_before) / 1024],
        RECORD: [records],
        EDGE_MEMORY: [memory_after / (1 << 20)],
        ROUND_ROBIN: [answer.first_byte_ms for answer in answers],
    }
