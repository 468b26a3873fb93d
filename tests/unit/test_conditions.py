"""What is wrong with an edge, from what is known of it: a table, each row of which is met here."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.operators.conditions import LEAST_FREE_BYTES, LEAST_FREE_FILES, TABLE, Facts, conditions, page
from edge.operators.facts import sources_away

WELL = Facts(
    draining=False,
    workers=2,
    workers_wanted=2,
    catalogue=True,
    expired=False,
    look="",
    look_error="",
    free_bytes=LEAST_FREE_BYTES,
    free_files=LEAST_FREE_FILES,
)
NOTHING_KNOWN = {"catalogue": False, "look_error": "because"}
# Changes to an edge that is well; what is wrong then; what is asked of it and fails.
CASES: list[tuple[dict[str, Any], list[str], str]] = [
    ({}, [], ""),
    ({"draining": True}, ["draining"], "health ready"),
    ({"workers": 0}, ["no_worker"], "health ready"),
    ({"workers": 1}, ["worker_missing"], ""),
    ({**NOTHING_KNOWN, "look": "unverified"}, ["wrong_root"], "ready"),
    ({"look": "unverified", "look_error": "because"}, ["catalogue_refused"], ""),
    ({"catalogue": False}, ["origin_never_seen"], "ready"),
    ({**NOTHING_KNOWN, "look": "away"}, ["origin_never_seen"], "ready"),
    ({"look": "away", "look_error": "because"}, ["origin_away"], ""),
    ({"expired": True}, ["catalogue_expired"], ""),
    ({"look": "expired", "expired": True}, ["catalogue_expired"], ""),
    ({"look": "away", "look_error": "because", "expired": True}, ["origin_away", "catalogue_expired"], ""),
    ({"expired": True, "overdue": True}, ["catalogue_expired", "catalogue_stale"], "ready"),
    ({"sources": ("http://parent is asked last for blobs: away",)}, ["source_away"], ""),
    ({"free_bytes": LEAST_FREE_BYTES - 1}, ["disk_full"], ""),
    ({"free_files": LEAST_FREE_FILES - 1}, ["disk_full"], ""),
    ({"failing": ("tick: failed",)}, ["work_fails"], ""),
    ({"settings_back": ("version 2@a (errors)",)}, ["settings_back"], ""),
    ({"settings_refused": ("version 2@a",)}, ["settings_refused"], ""),
    ({"secrets": ("a mode",)}, ["secrets_refused"], ""),
    ({"stopped": ("the candidate of a",)}, ["candidate_stopped"], ""),
    ({"refused": ("version 2 of a",)}, ["version_refused"], ""),
    ({"ending": ("root ends",)}, ["trust_ends"], ""),
    ({"draining": True, "workers": 0, "free_bytes": 0}, ["draining", "no_worker", "disk_full"], "health ready"),
]


@pytest.mark.parametrize(("changes", "names", "fails"), CASES)
def test_what_is_wrong_and_whom_it_concerns(changes: dict[str, Any], names: list[str], fails: str) -> None:
    facts = replace(WELL, **changes)
    assert [row.name for row in conditions(facts)] == names
    for question in ("health", "ready"):
        status, said = page(facts, question)
        assert status == (503 if question in fails else 200)
        assert [entry["name"] for entry in said["conditions"]] == names
        assert all(entry["what"] and entry["do"] for entry in said["conditions"])
        expected = "degraded" if names and question not in fails else "failing" if names else "ok"
        assert said["status"] == ("draining" if facts.draining else expected)
        for reason in ("look_error", "failing", "secrets", "stopped", "refused", "ending", "sources", "settings_back"):
            for text in [changes[reason]] if reason == "look_error" and reason in changes else changes.get(reason, ()):
                assert any(text in entry["what"] for entry in said["conditions"])


def test_sources_that_fail_are_told_where_others_stand_in_for_them() -> None:
    away, well = {"source": "a", "state": "resting", "error": "because"}, {"source": "b", "state": "well", "error": ""}
    assert sources_away({"blobs": [away, well], "catalogue": [well, well]}) == ["a is asked last for blobs: because"]
    assert sources_away({"blobs": [away], "catalogue": []}) == [], "of a sole one the looks say enough"


def test_each_row_is_met() -> None:
    assert {name for _, names, _ in CASES for name in names} == {row.name for row in TABLE}


def test_an_edge_without_any_catalogue_whose_origin_is_past_its_date() -> None:
    """It can serve nothing: the first look has not brought what could be served."""
    status, said = page(replace(WELL, catalogue=False, look="expired", look_error="because"), "ready")
    assert status == 503
    assert [entry["name"] for entry in said["conditions"]] == ["origin_never_seen", "catalogue_expired"]


def test_the_guides_name_them_all() -> None:
    guides = Path(__file__).resolve().parents[2] / "docs" / "how-to"
    for name, head in (
        ("run-as-a-service.md", "| condition | `ready` |"),
        ("when-an-edge-is-unwell.md", "| condition | what"),
    ):
        table = (guides / name).read_text("utf-8").partition(head)[2].partition("\n\n")[0]
        first = "".join(line.split("|")[1] for line in table.splitlines()[2:])
        assert set(re.findall(r"`(\w+)`", first)) == {row.name for row in TABLE}
