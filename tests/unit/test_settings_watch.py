"""Does an origin stop a candidate of the fleet settings on the word of two edges, and not on that of one?"""

import json
from pathlib import Path

from origin.publish.client import carry_out
from origin.publish.fleet_settings import Plan, start
from origin.publish.tenants import Operator
from tests.support.fleet import FleetOrigin, fleet_origin
from tests.support.synthetic import NOW, TOKEN
from vmimage.fleet_settings import FleetSettings, Version, parse_settings
from vmimage.fleet_settings_report import SettingsReport, State
from vmimage.heartbeat import Heartbeat
from vmimage.release import ALL
from vmimage.release_report import Counts


def _beat(origin: FleetOrigin, edge: str, report: object, token: str) -> None:
    beat = Heartbeat(edge=edge, pop="fra", version="1", measured={"settings": report})
    assert origin.ask("POST", "/fleet/heartbeats", beat.to_bytes(), token).status == 200


def _report(name: str, state: State, cause: str = "") -> dict[str, object]:
    return SettingsReport(0, state, name, cause, Counts(50), Counts(60)).to_json()


def _stopped(origin: FleetOrigin) -> bool:
    return bool(json.loads(origin.ask("GET", "/fleet/settings").data)["stopped"])


def test_two_edges_stop_a_candidate_for_all_and_one_that_lies_does_not(tmp_path: Path) -> None:
    with fleet_origin(tmp_path) as origin:
        by = Operator(origin.keys.trust, origin.keys.publisher, NOW)
        carry_out(start(by, {"max_body": "1MiB"}, Plan(ALL)), url=origin.url, token=TOKEN)
        signed: FleetSettings = parse_settings(origin.site.holds().settings)
        assert signed.candidate is not None
        name, other = signed.candidate.version.name, Version(9, signed.candidate.version.since).name
        tokens = {edge: origin.token(edge) for edge in ("a", "b", "c")}
        _beat(origin, "a", _report(name, "back", "errors"), tokens["a"])
        _beat(origin, "b", _report(other, "back", "errors"), tokens["b"])  # of another version
        _beat(origin, "c", {"state": "back"}, tokens["c"])  # malformed
        assert not _stopped(origin)
        _beat(origin, "b", _report(name, "back", "slow"), tokens["b"])
        assert _stopped(origin)
        [event] = [json.loads(data)["signed"] for _, data in origin.feed.log.after(0) if b'"release"' in data]
        assert event["body"] == {"settings": name, "cause": "stopped"}
        assert origin.ask("GET", "/fleet/settings", token=tokens["a"]).status in (401, 403)
