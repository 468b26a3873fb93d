"""Is docs/reference what the code says?"""

import ast
import re
from collections.abc import Iterator

import pytest

from edge.model import reasons
from edge.model.clients import CLIENTS
from edge.model.flow import Refusal
from origin.registry.refusal import CODES, OciError
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


@pytest.mark.parametrize("reason", reasons.REASONS)
def test_each_reason_says_what_happened_and_what_to_do(reason: str) -> None:
    row = reasons.REASONS[reason]
    assert 400 <= row.status < 600
    assert row.cause.endswith(".")
    assert row.remedy.endswith(".")


def test_no_two_reasons_have_one_name() -> None:
    counters = [error.counter for error in reasons.error_classes()]
    assert len({*counters, *CLIENTS}) == len(counters) + len(CLIENTS) == len(reasons.REASONS)


@pytest.mark.parametrize("error", [*reasons.error_classes()], ids=lambda error: str(error.__name__))
def test_each_error_with_a_reason_of_its_own_says_what_to_do(error: type[NunatakError]) -> None:
    assert "remedy" in vars(error)


def test_an_edge_gives_no_reason_that_is_not_in_the_table() -> None:
    assert set(_said("edge", ("ClientError",))) == CLIENTS.keys()
    assert set(_said("edge", ("Refusal",))) <= reasons.REASONS.keys()
    declared = {reason for package in ("edge", "vmimage") for reason in _counters(package)}
    assert declared == reasons.SERVICES.keys()


def test_an_origin_gives_no_code_that_is_not_in_the_table() -> None:
    assert {code for code in _said("origin", ("OciError", "refusal")) if code.isupper()} == CODES.keys()
    with pytest.raises(ValueError, match="a status of DENIED"):
        OciError(404, "DENIED", "x")


def _said(package: str, names: tuple[str, ...]) -> Iterator[str]:
    """The reasons in calls of these."""
    for node in _nodes(package):
        match node:
            case ast.Call(ast.Name(name) | ast.Attribute(_, name), arguments) if name in names:
                texts = [one.value for each in arguments[:2] for one in ast.walk(each) if isinstance(one, ast.Constant)]
                yield from (text for text in texts if isinstance(text, str) and re.fullmatch(r"\w+", text))


def _counters(package: str) -> Iterator[str]:
    """The reasons that classes declare."""
    for node in _nodes(package):
        match node:
            case ast.Assign([ast.Name("counter")], ast.Constant(str(reason))):
                yield reason
            case ast.AnnAssign(ast.Name("counter"), _, ast.Constant(str(reason))):
                yield reason


def _nodes(package: str) -> Iterator[ast.AST]:
    for path in sorted((reference.ROOT / package).rglob("*.py")):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


@pytest.mark.parametrize("row", [row for rows in REQUIREMENTS.values() for row in rows], ids=str)
def test_each_requirement_names_a_test_that_is_there(row: Row) -> None:
    file, _, function = row.test.partition("::")
    tree = ast.parse((reference.ROOT / "tests" / file).read_text("utf-8"))
    assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_a_page_says_status_request_reason_limit_and_remedy() -> None:
    row = reasons.REASONS["out_of_time"]
    told = reasons.page(Refusal(504, "out_of_time", limit="cpu_ms=200"), b"a-1").decode().splitlines()
    assert told == [
        "504 Gateway Timeout, request a-1",
        f"out_of_time: {row.cause} (limit: cpu_ms=200)",
        f"What to do: {row.remedy}",
    ]
