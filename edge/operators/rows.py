"""A service as operators see it: one description for all pages, for `nunatak ps` and `top`, and for the console."""

from typing import Any, Final

from edge.model.services import Service
from edge.supervisor.supervisor import Supervisor
from edge.supervisor.window import Figures

TIERS: Final = ("resident", "parked", "disk", "blob", "cold")  # from warm to cold


def tier_of(supervisor: Supervisor, service: Service) -> str:
    """Where its machine is now, or what the next one starts from."""
    tier: str | None = "resident" if service.machine is not None else supervisor.records.tier_of(service.key)
    if tier is None:
        tier = "blob" if service.release.manifest_digest in supervisor.images.held else "cold"
    return tier


def memory_of(supervisor: Supervisor, service: Service) -> int:
    """Bytes of its machine, with those beside it, or of its parked record in memory."""
    if service.machine is None:
        return supervisor.records.memory.size_of(service.key) or 0
    size_of = supervisor.life.budget.size_of
    return sum(map(size_of, (service.machine, *service.others)))


def describe(supervisor: Supervisor, service: Service, now: float) -> dict[str, Any]:
    """One entry of `/-/services` and `/-/view`; it costs the same however many services there are.

    :param now: loop time.
    """
    return {
        "service": service.name,
        "tenant": service.tenant,
        "hosts": list(service.release.hosts),
        "image": service.release.manifest_digest,
        "version": service.release.version,
        "state": service.state,
        "tier": tier_of(supervisor, service),
        "worker": service.machine.worker.index if service.machine else None,
        "machines": len(service.others) + (service.machine is not None),
        "parked_bytes": supervisor.records.memory.size_of(service.key),
        "resident_bytes": memory_of(supervisor, service) if service.machine else 0,
        "requests": service.requests,
        "waiting": len(service.queue),
        "sockets": len(service.sockets),
        "crashes": service.crashes,
        "quarantined": supervisor.quarantine.place(service).kind == "quarantine",
        "refused": service.refused.manifest_digest if service.refused is not None else None,
        "release": supervisor.release_of(service.name),
        "held_since": supervisor.holds.since(service.name),
        **shown(supervisor.window.of(service, now)),
    }


def shown(figures: Figures) -> dict[str, float | None]:
    """Figures with no more digits than they have."""
    p50, p99 = (None if each is None else round(each, 3) for each in (figures.p50_ms, figures.p99_ms))
    hits = None if figures.hits is None else round(figures.hits, 4)
    return {"rate": round(figures.rate, 2), "p50_ms": p50, "p99_ms": p99, "hits": hits}
