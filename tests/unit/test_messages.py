"""Does each message that a publisher or an operator can meet say what to do, and not only what was expected and got?

Read from the source: what is raised as the user's own mistake goes on behind "expected, got" with a next step. An
option whose value has another form is enough by itself, since the command line adds where the forms are shown; so are
errors of kinds that have a remedy for all of their kind.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.main import told
from vmimage.errors import NunatakError, OperatorError, OriginError, OriginUnreachable, PublisherError

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"PublisherError", "OperatorError"}
# The configuration, whose lines name an option and its forms; probes of the machine, which `nunatak doctor` explains.
ELSEWHERE = ("edge/config", "edge/vmm/engines", "edge/vmm/sandbox", "edge/vmm/shells")
PASSED_ON = 12  # letters: a message shorter than that is another's, passed on


def messages() -> Iterator[tuple[str, str]]:
    """Places and messages, with `{}` for what is only known when they are raised."""
    for package in ("edge", "origin", "libos", "vmimage"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.relative_to(ROOT).as_posix().startswith(ELSEWHERE):
                continue
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Raise(ast.Call(ast.Name(kind), [message, *_])) if kind in KINDS:
                        text = "".join(_parts(message))
                        if len(re.sub(r"\W", "", text)) >= PASSED_ON:
                            yield f"{path.relative_to(ROOT)}: {text}", text


def _parts(message: ast.expr) -> Iterator[str]:
    match message:
        case ast.Constant(str(text)):
            yield text
        case ast.JoinedStr(values):
            for value in values:
                match value:
                    case ast.Constant(str(text)):
                        yield text
                    case ast.FormattedValue(ast.Call(ast.Name(helper))) if value is values[-1] and helper[0] == "_":
                        yield "do as it says"  # a function of the module that knows what helps
                    case _:
                        yield "{}"


def has_a_next_step(text: str) -> bool:
    form, step = text.startswith("--"), text.rpartition("expected")[2]
    return bool(re.search(r"[:;,(] [a-z`']+ [^:]*[a-z]", step)) or (form and ": " not in step)


def test_each_message_says_what_to_do() -> None:
    found = list(messages())
    assert len(found) > 100
    assert [place for place, text in found if not has_a_next_step(text)] == []


@pytest.mark.parametrize(
    "text", ["disk: {} of 3 bytes expected", "{}: a file expected, got {}: {}", "--cache: a folder expected: {}"]
)
def test_what_says_only_what_was_expected_is_found(text: str) -> None:
    assert not has_a_next_step(text)


@pytest.mark.parametrize(
    ("error", "words", "line"),
    [
        (
            PublisherError("--env: A expected, got 'b'"),
            ["build", "x"],
            "--env: A expected, got 'b': nunatak build --help says more",
        ),
        (
            OperatorError("--tenant: A expected"),
            ["token", "add"],
            "--tenant: A expected: nunatak token add --help says more",
        ),
        (
            OperatorError("--tenant: A expected"),
            ["hold", "add"],
            "--tenant: A expected: nunatak hold add --help says more",
        ),
        (OperatorError("--cache: A expected: name another"), ["edge"], "--cache: A expected: name another"),
        (PublisherError("x: no such file: check the path"), ["build"], "x: no such file: check the path"),
        (OriginUnreachable("x: refused"), ["publish"], f"x: refused. {OriginUnreachable.remedy}"),
        (OriginError("x: 404: gone. Publish it again."), ["publish"], "x: 404: gone. Publish it again."),
    ],
)
def test_the_command_line_adds_what_a_message_leaves_out(error: NunatakError, words: list[str], line: str) -> None:
    assert told(error, words) == line
