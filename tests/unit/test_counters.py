"""Counters: everything declared is exported, with its line of help, in Prometheus's own reading."""

from prometheus_client.parser import text_string_to_metric_families

from edge.common.counters import GAUGES, PREFIX, Counters, exposition


def test_everything_declared_is_exported() -> None:
    counters = Counters()
    counters.requests += 3
    counters.add(counters.refusals, "unverifiable")
    counters.add(counters.refusals, "unverifiable", 2)
    counters.add(counters.refusals, 'odd"name\n')
    text = exposition(counters, lambda: dict.fromkeys(GAUGES, 2.0)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families.keys() == {PREFIX + name for name in (*Counters.__slots__, *GAUGES)}
    assert all(family.documentation.endswith(".") for family in families.values())
    (requests,) = families[PREFIX + "requests"].samples
    assert (requests.name, requests.value) == ("nunatak_requests_total", 3.0)
    by_reason = {sample.labels["reason"]: sample.value for sample in families[PREFIX + "refusals"].samples}
    assert by_reason == {"unverifiable": 3.0, 'odd"name\n': 1.0}


def test_every_gauge_is_declared() -> None:
    text = exposition(Counters(), lambda: {"workers": 1}).decode()
    assert f"# HELP nunatak_workers {GAUGES['workers']}" in text
