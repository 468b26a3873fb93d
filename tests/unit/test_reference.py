"""Is docs/reference what the code says?"""

import ast
import re

import pytest

from tests.support import reference
from tests.support.requirements import REQUIREMENTS, Row
from vmimage.errors import NunatakError


@pytest.mark.parametrize("name", reference.pages())
def test_a_page_is_current(name: str) -> None:
    assert (reference.TARGET / name).read_text("utf-8") == reference.pages()[name], "`make fmt` writes it anew"


def test_nothing_else_is_there() -> None:
    assert {path.name for path in reference.TARGET.iterdir()} == {
        *reference.pages(),
        *reference.BY_HAND,
        *reference.MEASURED,
    }


@pytest.mark.parametrize("name", reference.BY_HAND)
def test_each_demand_of_a_specification_has_a_test_that_is_there(name: str) -> None:
    rows = [line for line in (reference.TARGET / name).read_text("utf-8").splitlines() if line.startswith("| ")]
    held = [found for row in rows if (found := re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row))]
    assert len(held) > len(rows) / 2
    for path, test in (one for found in held for one in found):
        source = (reference.ROOT / path).read_text("utf-8")
        assert not test or f"def {test}(" in source, f"{path}::{test}"


@pytest.mark.parametrize("error", reference.error_classes(), ids=lambda error: str(error.__name__))
def test_each_error_says_its_cause_and_what_to_do_about_it(error: type[NunatakError]) -> None:
    assert (error.__doc__ or "").rstrip().endswith(".")
    assert "remedy" in vars(error)
    assert error.remedy.endswith(".")


def test_no_two_errors_have_one_counter() -> None:
    counters = [error.counter for error in reference.error_classes()]
    assert len(counters) == len(set(counters))


def test_each_reason_that_a_client_is_told_is_explained() -> None:
    assert reference.client_reasons().keys() == reference.REASONS.keys()


@pytest.mark.parametrize("row", [row for rows in REQUIREMENTS.values() for row in rows], ids=str)
def test_each_requirement_names_a_test_that_is_there(row: Row) -> None:
    file, _, function = row.test.partition("::")
    tree = ast.parse((reference.ROOT / "tests" / file).read_text("utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
