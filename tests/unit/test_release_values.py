"""Does an entry say its candidate in full, within bounds, and does an edge that knows none serve the stable version?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import TargetFile, Targets

from tests.support.synthetic import NOW
from vmimage import release
from vmimage.canonical import Blob
from vmimage.errors import FormatError, PublisherError, VerificationError
from vmimage.manifest import SNAPSHOT_TYPE
from vmimage.release import Candidate, Gates, candidate_value, next_step, parse_candidate, percent_text, share_of
from vmimage.signed import load_metadata
from vmimage.tenancy import entries_of, tenant_target
from vmimage.trust import ServiceRecord, host_path, make_targets, parse_target, service_path, sign_bin

SINCE = "2026-11-27T01:02:03Z"
SNAPSHOT = Blob(SNAPSHOT_TYPE, "sha256:" + "ee" * 32, 900)
CANDIDATE = Candidate("sha256:" + "cd" * 32, 1300, SNAPSHOT, SINCE, 25, ("fra", "ams"), Gates(50, 300, 2, 40, 3))
RECORD = ServiceRecord("hello", ("hello.example",), "sha256:" + "ab" * 32, 1200, 3, candidate=CANDIDATE)
PATH = service_path("hello")


@pytest.mark.parametrize("candidate", [CANDIDATE, replace(CANDIDATE, snapshot=None, pops=(), choose=True)])
def test_a_candidate_comes_back_from_the_signed_entries_of_service_and_host(candidate: Candidate) -> None:
    record = replace(RECORD, candidate=candidate)
    signed = sign_bin(None, dict(make_targets(record, ())), CryptoSigner.generate_ed25519(), NOW)
    read = load_metadata(Targets, signed).signed.targets
    assert [parse_target(path, read[path]) for path in (PATH, host_path("hello.example"))] == [record, record]
    targets = Targets(targets={PATH: tenant_target(replace(record, owner="acme"), ())})
    assert entries_of("acme", targets)[host_path("hello.example")] == replace(record, owner="acme")


def test_readers_that_know_no_candidate_find_the_fields_that_they_know_and_the_stable_version() -> None:
    target = make_targets(RECORD, ())[PATH]
    known = {"history", "hosts", "manifest", "service", "snapshot", "tenant", "version", "withdrawn", "written"}
    assert target.custom.keys() <= known  # which is what such a reader asks for, and refuses otherwise
    assert target.custom["manifest"] == RECORD.manifest_digest


@pytest.mark.parametrize(
    "bend",
    [
        lambda value: value.pop("gates"),
        lambda value: value.update(more=1),
        lambda value: value.update(share=0),
        lambda value: value.update(share=10_001),
        lambda value: value.update(share=1.5),
        lambda value: value.update(share=True),
        lambda value: value.update(digest="sha256:short"),
        lambda value: value.update(size=0),
        lambda value: value.update(size=1 << 30),
        lambda value: value.update(since="yesterday"),
        lambda value: value.update(since=7),
        lambda value: value.update(pops="fra"),
        lambda value: value.update(pops=["Fra!"]),
        lambda value: value.update(pops=["p"] * 33),
        lambda value: value.update(sticky="never"),
        lambda value: value.update(sticky=[]),
        lambda value: value.update(choose="yes"),
        lambda value: value.update(snapshot={"digest": "x", "size": 1}),
        lambda value: value.update(gates={}),
        lambda value: value["gates"].update(errors=0),
        lambda value: value["gates"].update(errors=2001),
        lambda value: value["gates"].update(p99_ms=10**9),
        lambda value: value["gates"].update(crashes=11),
        lambda value: value["gates"].update(crashes=0),
        lambda value: value["gates"].update(requests=10**6),
        lambda value: value["gates"].update(windows=100),
        lambda value: value["gates"].update(more=1),
    ],
)
def test_what_is_malformed_or_beyond_a_bound_is_refused(bend: Callable[[dict[str, Any]], object]) -> None:
    value = candidate_value(CANDIDATE)
    bend(value)
    with pytest.raises(VerificationError, match=r"services/hello: .*expected"):
        parse_candidate(PATH, value)


@pytest.mark.parametrize("value", [7, [], "candidate", {}, {"digest": "x"}])
def test_what_is_no_candidate_at_all_is_refused(value: object) -> None:
    custom = make_targets(RECORD, ())[PATH].custom
    target = TargetFile(1200, {"sha256": "ab" * 32}, PATH, {"custom": custom, "candidate": value})
    with pytest.raises(VerificationError):
        parse_target(PATH, target)


def test_a_candidate_has_another_image_than_the_stable_version_which_is_there() -> None:
    with pytest.raises(PublisherError, match="another image"):
        make_targets(replace(RECORD, candidate=replace(CANDIDATE, digest=RECORD.manifest_digest)), ())
    with pytest.raises(PublisherError, match="a service that is there"):
        make_targets(replace(RECORD, hosts=(), withdrawn=SINCE), ())


def test_the_same_image_that_is_released_again_is_another_release() -> None:
    assert CANDIDATE.release != replace(CANDIDATE, since="2026-11-28T01:02:03Z").release
    assert CANDIDATE.release == replace(CANDIDATE, share=release.ALL, pops=()).release


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 100), ("0.01", 1), ("25 %", 2500), ("100", 10_000), (" 0.25% ", 25)]
)
def test_shares_as_people_write_them(text: str, share: int) -> None:
    assert share_of(text) == share
    assert share_of(percent_text(share)) == share


@pytest.mark.parametrize("text", ["0", "0.001", "100.01", "1.234", "-1", "many", "", "nan", "inf"])
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(FormatError, match="percentage"):
        share_of(text)


def test_widening_goes_by_the_usual_steps() -> None:
    assert [next_step(share) for share in (1, 100, 300, 500, 2500, 10_000)] == [100, 500, 500, 2500, 10_000, 10_000]


def test_pops_take_part_where_none_is_named_or_they_are() -> None:
    assert [CANDIDATE.meant_for(pop) for pop in ("fra", "lhr", "")] == [True, False, False]
    assert replace(CANDIDATE, pops=()).meant_for("")
