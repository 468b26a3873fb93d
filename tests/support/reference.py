"""Writes `docs/reference`: commands, options, metrics and errors, each from the code that knows them.

`python -m tests.support.reference` writes the files; `tests/unit/test_reference.py` compares them.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from typer.main import get_command

import edge.config.upstream_policy
import edge.model.flow
from edge.common.counters import GAUGES, PREFIX, Counters
from edge.config.options import options
from edge.main import GROUPS, build_app
from tests.support.requirements import REQUIREMENTS
from vmimage import errors
from vmimage.errors import NunatakError

ROOT: Final = Path(__file__).resolve().parents[2]
TARGET: Final = ROOT / "docs" / "reference"
OPTIONS: Final = """# Options of an edge

Made from the fields of `EdgeConfig` in `edge/config/options.py` by `make fmt`; a test compares. An option `some_name`
is `--some-name` on the command line of `nunatak edge` and `some_name = ...` in the TOML file of `--config`; the
command line goes before the file. An unknown name and a value out of range are refused. A SIZE is a number of bytes
with or without a unit, as in `64MiB` or `1.5GiB`; in the file it is text in quotes.

| option | value | default | what it is |
|---|---|---|---|"""
METRICS: Final = """# Metrics of an edge

Made from `Counters` and `GAUGES` in `edge/common/counters.py` by `make fmt`; a test compares. `nunatak admin metrics
--cache FOLDER` prints them in the form of Prometheus. A counter is 0 when the edge starts and only rises; a gauge is
what is so at the moment. The values of the labels `reason` and `error` are explained in [errors](errors.md).

## Counters

| metric | label | meaning |
|---|---|---|"""
ERRORS: Final = """# Errors

Made from the classes of `vmimage/errors.py` and `edge/model/flow.py` by `make fmt`; a test compares. Where a service
cannot answer, the edge does, with the status below and the reason in `X-Nunatak-Error`; `X-Nunatak-Limit` names a
limit of the image that was hit. The reason is also the label of `nunatak_refusals_total`, and of
`nunatak_crashes_total` where a machine ended. `X-Request-Id` finds the line of the log with the details. A command
prints such an error in one line and exits with code 2.

## When a service cannot answer

| reason | status | at fault | cause | limit | what to do |
|---|---|---|---|---|---|"""
CLIENTS: Final = """
## When a request cannot be taken

The reasons of `nunatak admin` and of operators' pages are among them.

| reason | status | cause | what to do |
|---|---|---|---|"""
REQUIREMENTS_HEAD: Final = """# Requirements

What specifications demand (MUST) of a server and a gateway, and the test that holds it. Made from
`tests/support/requirements.py` by `make fmt`; a test compares, and looks whether each named test is there. What is for
clients and proxies is left out: an edge is none of them, and what it says to a guest is not HTTP. How it does as
a cache is told by the [cache tests](cache-tests.md)."""
COMMANDS: Final = """# Commands

Made from the commands themselves by `make fmt`; a test compares. `nunatak COMMAND --help` says the same in a
terminal. The options of `nunatak edge` are in [options](options.md)."""

BY_HAND: Final = ("oci.md", "tuf.md")  # what specifications demand, and the test that holds it
MEASURED: Final = ("cache-tests.md",)  # by a run that is not one of the tests

# What a client did, by the reason that the edge answers with. The reasons themselves are read from the code.
REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "bad_body": ("The body breaks off, or its chunks are not what RFC 9112 says.", "Send the body whole."),
    "bad_handshake": (
        "A request for a WebSocket is not what RFC 6455 section 4.2 says.",
        "Use a library; 426 names the version that there is.",
    ),
    "bad_purge": (
        "A purge names nothing, or what cannot be purged, or too much at once.",
        "See [keep and purge answers](../how-to/purge-answers.md).",
    ),
    "bad_request": (
        "The head is not HTTP, or its Host or target is malformed.",
        "Send a request as RFC 9112 says.",
    ),
    "body_too_large": ("The body is larger than max_body.", "Send less, or raise max_body."),
    "client_silent": (
        "The request's body did not come within request_timeout, or its answer was not read for as long and cut.",
        "Send the body and read the answer without such pauses.",
    ),
    "expectation_failed": ("Expect asks for more than 100-continue.", "Send the request without it."),
    "foreign_host": ("Host is none that operators' pages have.", "Add the name to admin_hosts."),
    "from_a_web_page": ("The request to operators' pages comes from a web page.", "Use `nunatak admin` or curl."),
    "head_too_large": (
        "The head has more or longer fields than the edge takes; X-Nunatak-Limit names the limit.",
        "Send fewer and shorter fields.",
    ),
    "loop": ("The request went through this edge before.", "Look at the upstreams of the services it went through."),
    "method_not_allowed": ("The page is asked for with GET, the action with POST.", "Use the other method."),
    "method_refused": ("CONNECT and TRACE are for proxies; an edge is none.", "Use another method."),
    "no_body_expected": ("This page of operators takes no body.", "Send none."),
    "no_such_page": ("Operators have no such page.", "See [operate an edge](../how-to/operate-an-edge.md)."),
    "not_cached": ("The request is only for a kept answer, and there is none.", "Ask without `only-if-cached`."),
    "unauthorized": ("Operators' pages on an address ask for the token.", "Send `Authorization: Bearer TOKEN`."),
    "target_too_long": (
        "The request target is longer than the edge takes; X-Nunatak-Limit names the limit.",
        "Send what is long in a body.",
    ),
    "unknown_coding": ("The body has a transfer coding other than chunked.", "Send it chunked or with its length."),
    "unknown_method": ("The method is none that the edge knows.", "Use another method."),
    "unknown_version": ("The request is in another version of HTTP than 1.0 and 1.1.", "Send it as HTTP/1.1."),
    "unknown_service": ("The edge has met no service of that name.", "See `nunatak admin services`."),
}


def main() -> None:
    """Write the files."""
    TARGET.mkdir(exist_ok=True)
    for name, text in pages().items():
        (TARGET / name).write_text(text, "utf-8")


def pages() -> dict[str, str]:
    """File names in docs/reference with what belongs in them."""
    makers: Mapping[str, Callable[[], Iterator[str]]] = {
        "commands.md": _commands,
        "errors.md": _errors,
        "metrics.md": _metrics,
        "options.md": _options,
        "requirements.md": _requirements,
    }
    return {name: "\n".join(maker()) + "\n" for name, maker in makers.items()}


def _options() -> Iterator[str]:
    yield OPTIONS
    for option in options():
        default = "must be given" if option.required else option.about.unset or option.default_text
        yield f"| `{option.name}` | {_cell(option.form)} | {_cell(default)} | {_cell(option.sentence)} |"


def _metrics() -> Iterator[str]:
    yield METRICS
    for name, hint in get_type_hints(Counters, include_extras=True).items():
        _, meaning, *by = get_args(hint)
        yield f"| `{PREFIX}{name}_total` | {f'`{by[0].label}`' if by else ''} | {_cell(meaning)} |"
    yield "\n## Gauges\n\n| metric | meaning |\n|---|---|"
    for name, meaning in GAUGES.items():
        yield f"| `{PREFIX}{name}` | {_cell(meaning)} |"


def _errors() -> Iterator[str]:
    yield ERRORS
    for error in error_classes():
        cause = (inspect.getdoc(error) or "").partition("\n\n")[0].replace("\n", " ")
        limit = f"`{error.limit}`" if error.limit else ""
        row = (f"`{error.counter}`", str(error.http_status), _whose(error), cause, limit, error.remedy)
        yield f"| {' | '.join(map(_cell, row))} |"
    yield CLIENTS
    for reason, statuses in sorted(client_reasons().items()):
        cause, remedy = REASONS[reason]
        yield f"| `{reason}` | {', '.join(map(str, sorted(statuses)))} | {_cell(cause)} | {_cell(remedy)} |"


def _requirements() -> Iterator[str]:
    yield REQUIREMENTS_HEAD
    for specification, rows in REQUIREMENTS.items():
        yield f"\n## {specification}\n\n| section | what must be | test |\n|---|---|---|"
        for row in rows:
            file, _, function = row.test.partition("::")
            yield f"| {row.section} | {_cell(row.demands)} | `{function}` in `tests/{file}` |"


def error_classes() -> list[type[NunatakError]]:
    """Every error that has a counter of its own, the root first."""
    found = [NunatakError]
    for module in (errors, edge.model.flow):
        for value in vars(module).values():
            known = isinstance(value, type) and issubclass(value, NunatakError) and "counter" in vars(value)
            if known and value not in found:
                found.append(value)
    return found


def client_reasons() -> dict[str, set[int]]:
    """Reasons with their statuses, of every `ClientError` that the edge makes."""
    found: dict[str, set[int]] = {}
    for path in sorted((ROOT / "edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(ast.Name("ClientError"), [ast.Constant(int(status)), ast.Constant(str(reason)), *_]):
                    found.setdefault(reason, set()).add(status)
    return found


def _whose(error: type[NunatakError]) -> str:
    roots = {
        errors.PublisherError: "publisher",
        errors.OriginError: "origin",
        errors.OperatorError: "operator",
        errors.GuestError: "guest",
    }
    return next((name for root, name in roots.items() if issubclass(error, root)), "edge")


def _commands() -> Iterator[str]:
    yield COMMANDS
    root: Any = get_command(build_app())
    for group, names in GROUPS.items():
        yield f"\n## {group}"
        for name in names:
            yield from _command(("nunatak", name), root.commands[name])


def _command(path: tuple[str, ...], command: Any) -> Iterator[str]:
    yield f"\n### {' '.join(path)}\n\n{_text(command.help)}"
    inner = getattr(command, "commands", {})
    for name, below in inner.items():
        yield from _command((*path, name), below)
    params = [] if inner or path == ("nunatak", "edge") else command.params
    if params:
        yield "\n| argument or option | value | default | what it is |\n|---|---|---|---|"
    for param in params:
        yield f"| {' | '.join(map(_cell, _param(param)))} |"


def _param(param: Any) -> tuple[str, str, str, str]:
    name = param.metavar or param.name if param.param_type_name == "argument" else ", ".join(param.opts)
    if param.required:
        default = "must be given"
    elif isinstance(param.show_default, str):
        default = param.show_default
    else:
        default = "" if param.default in (None, False) else str(param.default)
    value = "" if param.param_type_name == "argument" or getattr(param, "is_flag", False) else param.metavar
    bounds = [f"{text} {limit}" for text, limit in zip(("from", "to"), _range(param), strict=True) if limit is not None]
    return f"`{name}`", " ".join((value, *bounds)), default, _text(param.help)


def _range(param: Any) -> tuple[float | None, float | None]:
    return getattr(param, "min", None), getattr(param, "max", None)


def _text(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text or "").split("\n\n"))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()
