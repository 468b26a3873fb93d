"""Parsers of what edges tell their origin of themselves, and of what it tells all of them to stop."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.property.fuzzing import mutate
from tests.property.fuzzing.parsers import Target
from vmimage.canonical import canonical_json
from vmimage.errors import FormatError
from vmimage.fleet_settings import Stop, Version, parse_stop
from vmimage.fleet_settings_report import SettingsReport, parse_settings_report
from vmimage.heartbeat import Heartbeat, parse_heartbeat
from vmimage.release_report import Counts, Freeze, Report, parse_freeze, parse_reports, reports_value

_VERSION: Final = Version(9, "2026-01-31T10:00:00Z").name
_REPORT: Final = SettingsReport(8, "back", _VERSION, "errors", Counts(812, 3, 1, 41), Counts(60, 20, 0, 900))
_RELEASES: Final = [
    Report("shop", "2026-01-31T10:00:00Z", "", Counts(12), Counts(1000, 2)),
    Report("acme.a", "2026-01-31T10:00:00Z", "errors", Counts(60, 20, 0, 900), Counts(812, 3, 1, 41)),
]
_BEAT: Final = Heartbeat(
    edge="edge-1",
    pop="fra",
    version="1.2",
    requests_s=12.5,
    tiers={"resident": 20, "blob": 1},
    measured={"settings": _REPORT.to_json(), "releases": reports_value(_RELEASES)},
)


def _told(name: str, seed: object, parse: Callable[[Any], Any], back: Callable[[Any], object]) -> Target:
    """A parser of JSON that is read already. :param back: what a value of it was made of."""
    return Target(
        name,
        lambda rng: json.dumps(mutate.value(rng, seed)).encode(),
        lambda data: parse(json.loads(data)),
        (FormatError,),
        lambda data, value: back(value) == json.loads(data),
    )


def targets() -> Sequence[Target]:
    """Those of this module."""
    beat = json.loads(_BEAT.to_bytes())
    return (
        Target(
            "heartbeat",
            lambda rng: (
                canonical_json(mutate.value(rng, beat)) if rng.random() < 0.8 else mutate.data(rng, _BEAT.to_bytes())
            ),
            parse_heartbeat,
            (FormatError,),
            lambda _, said: parse_heartbeat(said.to_bytes()) == said,
        ),
        _told("release-reports", reports_value(_RELEASES), parse_reports, reports_value),
        _told("release-freeze", Freeze("shop", "2026-01-31T10:00:00Z", "errors").to_json(), parse_freeze, asdict),
        _told("settings-report", _REPORT.to_json(), parse_settings_report, asdict),
        _told("settings-stop", Stop(_VERSION, "stopped").to_json(), parse_stop, Stop.to_json),
    )
