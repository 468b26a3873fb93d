"""Does whoever follows a feed hear of each purge that was acknowledged, once, over a kill of the origin?"""

from pathlib import Path

from loadtest.scenarios.feed import Plan, run_feed


def test_a_kill_of_the_origin_loses_no_purge_that_was_acknowledged(tmp_path: Path) -> None:
    plan = Plan(clients=30, purges=2, pause_s=0, sustained_s=0.5, torn=10)
    result = run_feed(tmp_path, plan, lambda _: None)
    assert result.lost == result.repeated == 0
    assert plan.purges + plan.sustained_s * plan.rate + plan.torn - 1 <= result.acknowledged  # one may be cut off
    assert len(result.delays_ms) == plan.clients * plan.purges
    assert sum(result.reconnects.values()) == plan.clients
    assert len(result.reconnects) > 2, "they come one by one"
    cdf = result.to_json()["cdf"]
    assert cdf == sorted(cdf)
    assert cdf[-1][1] == 1.0
