"""The numbers to reach: which row holds each, whom it is to beat, and what limits those that are not reached."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Target:
    """One number to reach; the row says how far."""

    row: str
    title: str
    rival: str = ""  # a row of the same run
    limit: str = ""  # what stands in the way, where it is not reached; docs/performance.md says what was tried


TARGETS: Final = (
    Target(
        "hello-against-workerd",
        "warm hello in C, 32 connections, against workerd's hello",
        "contest-workerd",
        "One supervisor process parses, routes and frames every request in Python: its CPU time for one is the limit, "
        "and the worker and the client share the other processor.",
    ),
    Target(
        "json-against-workerd",
        "warm JavaScript JSON handler against workerd's",
        "contest-workerd-json",
        "QuickJS interprets what V8 compiles: the handler's own time in the machine is more than half of the worker's.",
    ),
    Target(
        "added-p50",
        "added by the machine to a bare aiohttp response, one connection",
        "",
        "Two processes are woken for every request, and nothing is batched on one connection.",
    ),
    Target("hit-over-guest", "a kept answer, 32 connections, against the guest's own"),
    Target("hit-added-p50", "added by a kept answer to a bare aiohttp response, one connection"),
    Target("vmm-reset", "a fresh machine for every request (reset), over a kept one", "", "Exits under nested KVM."),
    Target(
        "parked-first-byte",
        "parked to first byte over HTTP",
        "",
        "Waking two processes is most of it; park and restore themselves are a tenth of a millisecond each.",
    ),
    Target("parked-js", "the same for a JavaScript worker", "", "Its pages are copied back, then QuickJS runs cold."),
    Target(
        "cold-first-byte", "not on this edge to first byte, base cached", "", "The catalogue's bin and two fetches."
    ),
    Target(
        "cold-js", "the same for a JavaScript worker", "cold-workerd", "The catalogue's bin, two fetches, verification."
    ),
    Target("parked-memory", "memory per parked service, all of it"),
    Target("scale-10000-first-byte", "10,000 parked services in 512 MiB: one of them to first byte, p50"),
    Target("scale-10000-p99", "the same, p99"),
    Target("scale-10000-memory", "10,000 parked services: all of the edge's processes"),
    Target("kvm-native", "CPU-bound guest on KVM against native code"),
    Target("fair-spinner-ratio", "a spinning neighbour: victim's p99 against its p99 alone"),
    Target("fair-queue-ratio", "a neighbour with 1,000 queued requests: the same"),
    Target("fair-flood-ratio", "a neighbour that emits 100 MB: the same"),
    Target("delta-js", "a second service on a cached base: bytes on the wire, of its whole image"),
)
