"""Do fleet settings stay the operator's, and spoil nothing where they are hostile?"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tuf.api.metadata import TargetFile

from origin.registry.names import NameRefused, Submitter
from tests.attack.repository import Mirror, record
from tests.attack.tenants import TenantRepository
from tests.support.synthetic import NOW, Keys
from tests.support.tenancy import Party, State
from vmimage.errors import FormatError, VerificationError
from vmimage.fleet_settings import FleetSettings, Staged, Version, parse_settings, settings_value
from vmimage.holds import HOLDS_PATH, Holds, holds_target, parse_holds
from vmimage.release import ALL
from vmimage.tenancy import sign_tenant, verify_tenant
from vmimage.tenants import tenant_path

SINCE = "2026-01-31T10:00:00Z"
GOOD = settings_value(FleetSettings(2, Version(1, SINCE, {"max_body": "1MiB"}), Staged(Version(2, SINCE), ALL)))
HOSTILE = [5, "x" * 100_000, {"last": 1}, {"last": 1, "stable": None, "candidate": {"values": ["x"] * 50_000}}]


@pytest.mark.parametrize("said", HOSTILE, ids=["number", "long", "torn", "many"])
def test_hostile_settings_leave_holds_and_services_as_they_are(tmp_path: Path, said: object) -> None:
    repository = TenantRepository()
    repository.publish(record("hello"), record("other"))
    target = holds_target(Holds({"service other": SINCE}, settings=said))
    repository.sign_bin(repository.trust.bin_of(HOLDS_PATH), {HOLDS_PATH: target})
    repository.finish()
    with Mirror(repository).running() as mirror:
        edge = mirror.catalogue(tmp_path)
        assert edge.find_service("hello") == record("hello")
        assert edge.find_service("other") is None
        with pytest.raises(FormatError):
            parse_settings(edge.holds().settings)


def test_settings_that_a_tenant_signs_are_nobodys(tmp_path: Path) -> None:
    """Neither in its own file, nor with its token in the entry of the operator."""
    state, mallory = State(Keys(tmp_path / "keys")), Party("mallory")
    state.add(mallory)
    entries: Mapping[str, TargetFile | None] = {HOLDS_PATH: holds_target(Holds(settings=GOOD))}
    forged = sign_tenant("mallory", None, entries, mallory.signers, NOW)
    with pytest.raises(VerificationError):
        verify_tenant(state.state.book().bin(tenant_path("mallory")), "mallory", forged)
    for submitter in (Submitter("mallory"), Submitter()):
        with pytest.raises(NameRefused):
            state.submit(state.bins(entries), submitter)
    assert state.state.book().holds().settings is None
    state.submit(state.bins(entries))
    assert state.state.book().holds().settings == GOOD


def test_a_hold_keeps_settings_and_settings_keep_holds() -> None:
    both = Holds({"service hello": SINCE}, settings=GOOD)
    assert parse_holds(holds_target(both)) == both
    assert parse_holds(holds_target(replace(both, since={}))).settings == GOOD
