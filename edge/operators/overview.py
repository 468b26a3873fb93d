"""An edge in a few numbers: what `nunatak top` and the console show above the services, however many those are."""

import time
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from edge.operators.conditions import conditions
from edge.operators.facts import facts_of
from edge.operators.rows import TIERS, shown
from edge.supervisor.supervisor import Supervisor
from edge.workers.process import Worker

REPORTS_MAX: Final = 20  # the newest
MESSAGE_MAX: Final = 200  # characters of one
HELD_MAX: Final = 20  # names
REASONS_MAX: Final = 12  # of refusals, the most frequent


def overview(supervisor: Supervisor, by_tier: Mapping[str, int], now: float) -> dict[str, Any]:
    """What `/-/view` says of the edge itself.

    :param by_tier: how many services are in each tier. :param now: loop time.
    """
    counters, budget, facts = supervisor.counters, supervisor.life.budget.tier, facts_of(supervisor)
    memory, images = supervisor.records.memory, supervisor.images.held
    responses, below = supervisor.responses, supervisor.responses.below
    held = list(supervisor.holds)
    return {
        "time": round(time.time(), 3),
        "version": version("nunatak"),
        "draining": supervisor.draining,
        "serves_on": list(supervisor.serves_on),
        "health": [f"{row.name}: {row.what(facts)}" for row in conditions(facts)],
        "window_s": round(supervisor.window.span_s(now), 1),
        **shown(supervisor.window.of_all(now)),
        "requests": counters.requests,
        "waiting": sum(len(service.queue) for service in supervisor.life.waiting),
        "services": sum(by_tier.values()),
        "by_tier": {tier: by_tier[tier] for tier in TIERS if by_tier.get(tier)},
        "held": {"count": len(held), "names": held[:HELD_MAX]},
        "quarantined": len(supervisor.quarantine),
        "crashes": sum(counters.crashes.values()),
        "refusals": dict(sorted(counters.refusals.items(), key=lambda each: -each[1])[:REASONS_MAX]),
        "answers": dict(counters.answers),
        "cache": dict(counters.cache_results),
        "memory": {
            "resident": [budget.used_bytes, budget.budget_bytes],
            "parked": [memory.used_bytes, memory.budget_bytes],
            "images": [images.used_bytes, images.budget_bytes],
            "answers": [responses.used_bytes, responses.budget_bytes],
        },
        "disk": {"answers": [0, 0] if below is None else [below.used_bytes, below.limit_bytes]},
        "catalogue": {
            "looked_ago_s": _rounded(supervisor.directory.looked_ago_s),
            "expired": supervisor.directory.expired,
            "expires": {role: end.timestamp() for role, end in supervisor.directory.expiries.items()},
        },
        "workers": [_worker(worker) for worker in supervisor.workers],
        "reports": [_brief(report) for report in list(supervisor.reports)[-REPORTS_MAX:][::-1]],
    }


def _worker(worker: Worker) -> dict[str, Any]:
    said = worker.statistics
    machines = len(worker.machines)
    on_kvm = min(machines, said.get("kvm_machines", 0))
    return {
        "index": worker.index,
        "pid": worker.pid,
        "place": worker.place.kind,
        "whose": worker.place.name,
        "engines": worker.facts.get("engines", []),
        "machines": machines,
        "on": {"unicorn": machines - on_kvm, "kvm": on_kvm},  # by its last word
        "streams": worker.open_streams,
        "resident_bytes": said.get("resident_bytes", 0),
        "cpu_s": round(said.get("cpu_ns", 0) / 1e9, 2),
        "failures": said.get("failures", 0),
    }


def _brief(report: Mapping[str, Any]) -> dict[str, Any]:
    """Of a crash report; `/-/reports?service=NAME` has all of it."""
    asked = [f"{each['method']} {each['path']}"[:MESSAGE_MAX] for each in report["requests"][:1]]
    about = {name: report[name] for name in ("time", "service", "error")}
    return {**about, "message": str(report["message"])[:MESSAGE_MAX], "requests": asked}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
