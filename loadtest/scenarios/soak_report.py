"""What a soak found, for people: lines for a terminal, and one picture over its time."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from loadtest.report.rows import TIERS
from loadtest.scenarios.soak import BUDGETS, Result


def lines(result: Result) -> list[str]:
    """Figures, then what was not as it must be."""
    tally = result.tally
    costs, again = result.costs(), sum(tally.tiers.values()) or 1
    said = [
        (
            f"{tally.requests:,} requests, {tally.failures} errors; "
            f"p50 {tally.times.quantile(0.5):.1f} ms, p99 {tally.times.quantile(0.99):.1f} ms from when they were due"
        ),
        "answered by: " + ", ".join(f"{tier} {tally.tiers[tier] / again:.1%}" for tier in TIERS),
        "evicted: " + ", ".join(f"{tier} {count:,}" for tier, count in result.evictions().items()),
        (
            f"a million requests: {costs['cpu_s_per_million_requests']:,.0f} s of CPU on the edge, "
            f"{costs['origin_cpu_s_per_million_requests']:,.0f} s on the origin, "
            f"{costs['bytes_from_origin_per_million_requests'] / 1e6:,.1f} MB between them"
        ),
    ]
    if "parked_bytes_per_thousand" in costs:
        said.append(
            f"a thousand parked services: {costs['parked_bytes_per_thousand'] / 1e6:.2f} MB of records; "
            f"{costs['idle_cpu_s_per_hour']:.1f} s of CPU an hour for the {costs['parked_services_while_idle']:,.0f} "
            "that were parked in the end"
        )
    return said + [f"NOT MET: {complaint}" for complaint in result.complaints()]


def draw(result: Result, path: Path) -> None:
    """Rate and times, tiers, memory and disk, evictions: four panels over one time, as PNG.

    :raises ImportError: matplotlib is not installed (the extra `bench`).
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    samples, series = result.samples, result.series()
    at_s = [sample.at_s for sample in samples]
    drawing, axes = pyplot.subplots(4, 1, sharex=True, figsize=(11, 12))
    spans = [now - before for before, now in zip([0.0, *at_s], at_s, strict=False)]
    for part, label in ((0.5, "p50"), (0.99, "p99")):
        axes[0].plot(at_s, [sample.tally.times.quantile(part) for sample in samples], label=label)
    axes[0].set(ylabel="ms from when it was due", yscale="log", title=_title(result))
    shares = [[_share(sample.tally.tiers[tier], sample.tally.tiers.total()) for sample in samples] for tier in TIERS]
    axes[1].stackplot(at_s, *shares, labels=TIERS)
    axes[1].set(ylabel="answers by tier, %", ylim=(0, 100))
    for budget in BUDGETS:
        if budget.unit == "MiB":
            axes[2].plot(at_s, series[budget.name], label=f"{budget.name}, MiB")
        else:
            axes[2].plot(at_s, series[budget.name], label=budget.name, linestyle="dotted")
    axes[2].set(ylabel="in use", ylim=(0, None))
    for name, label in (("parks", "parked"), ("spills", "spilled to disk"), ("images_dropped", "images dropped")):
        axes[3].plot(at_s, _rates([s.vitals.total(f"{name}_total") for s in samples], spans), label=label)
    axes[3].set(ylabel="1/s", xlabel="seconds", ylim=(0, None))
    for axis in axes:
        axis.grid(visible=True, alpha=0.3)
        axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small")
    drawing.tight_layout()
    drawing.savefig(path, dpi=120)
    pyplot.close(drawing)


def _title(result: Result) -> str:
    plan = result.plan
    return f"{plan.services} services ({plan.mix}), {result.rate:,.0f} requests/s for {plan.seconds:,.0f} s"


def _share(count: int, whole: int) -> float:
    return 100 * count / whole if whole else 0.0


def _rates(totals: Sequence[float], spans: Sequence[float]) -> list[float]:
    """Of a counter: how much it rose in each span; nothing is known of the first."""
    rises = [now - before for before, now in itertools.pairwise(totals)]
    return [float("nan"), *(rise / span if span else 0.0 for rise, span in zip(rises, spans[1:], strict=True))]
