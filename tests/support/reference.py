"""Writes `docs/reference`: commands, options, metrics and errors, each from the code that knows them.

`python -m tests.support.reference` writes the files; `tests/unit/test_reference.py` compares them.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

from typer.main import get_command

from edge.common import durations
from edge.common.counters import GAUGES, PREFIX, Counters
from edge.config.options import options
from edge.main import GROUPS, build_app
from edge.model.clients import CLIENTS as CLIENT_REASONS
from edge.model.finished import RESULTS
from edge.model.reasons import SERVICES
from origin.registry.refusal import CODES
from tests.support.requirements import REQUIREMENTS

ROOT: Final = Path(__file__).resolve().parents[2]
TARGET: Final = ROOT / "docs" / "reference"
OPTIONS: Final = """# Options of an edge

Made from the fields of `EdgeConfig` in `edge/config/options.py` by `make fmt`; a test compares. An option `some_name`
is given

| where | as | what goes before |
|---|---|---|
| on the command line of `nunatak edge` | `--some-name VALUE` | nothing |
| in the environment | `NUNATAK_EDGE_SOME_NAME=VALUE`; an empty one counts as not set | the command line |
| in the TOML file of `--config` | `some_name = VALUE` or `some-name = VALUE` | both |

A name that is no option and a value out of range are refused, each with the file and the line, the variable or the
option; `nunatak edge --print-config` shows what counts and where it comes from, `--check` whether it can be used here.

- A SIZE is a number of bytes, or has a unit: `64MiB`, `1.5GiB`. A DURATION is a number of seconds, or has a unit:
  `500ms`, `30s`, `10min`, `1h`, `1d`. A PERCENT, where there is one, is a share of `memory`: `25%`. In the file these
  are texts in quotes.
- What is written with commas may be a list in the file, `upstreams = ["public", "10.1.0.0/16"]`, and weights a table.
- `on` and `off` may be `true` and `false` in the file.

| option | value | default | what it is |
|---|---|---|---|"""
METRICS: Final = """# Metrics of an edge

Made from `Counters` and `GAUGES` in `edge/common/counters.py` and from `edge/common/durations.py` by `make fmt`; a test
compares. `nunatak admin metrics --cache FOLDER` prints them in the form of Prometheus; how to watch them is told in
[watch an edge](../how-to/watch-an-edge.md). A counter is 0 when the edge starts and only rises; a gauge is what is so
at the moment. The values of the labels `reason` and `error` are explained in [errors](errors.md).

## Counters

| metric | label | meaning |
|---|---|---|"""
HISTOGRAMS: Final = f"""
## Histograms

| metric | labels | meaning |
|---|---|---|
| `{durations.NAME}` | {", ".join(f"`{label}`" for label in durations.LABELS)} | {durations.HELP} |

Name and bounds are OpenTelemetry's for HTTP servers (`http.server.request.duration`), with finer ones below 5 ms; in
seconds: {", ".join(f"{bound:g}" for bound in durations.BOUNDS_S)}.
Every request of a client is in it, refused and broken off ones too; a WebSocket counts until it is open.

| label | value |
|---|---|
| `service` | its name for the {durations.NAMED_MAX} services that are asked most, `{durations.OTHER}` for all others \
together, empty where none was found |
| `result` | what answered, see below |
| `tier` | where the machine came from that answered; empty where none did |
| `status` | `2xx` and so on; empty where no answer had begun |

| `result` | meaning |
|---|---|"""
NAMED: Final = f"""
Every {durations.PERIOD_S:g} s it is decided who is named: who has no name gets that of another who was asked less than
half as often lately. Each request is counted once, under the name that its service has then, and no count is moved from
one name to another. The lines of a service that lost its name stand still for
{durations.LEAVING_S / 60:g} minutes, then they go; if it is named again before, they go on. So sums of `increase()` and
`rate()` neither lose nor double a request when names change, as long as Prometheus looks once in that time; what a line
has when Prometheus first sees it is in no increase, as with every counter that has labels. A sum of the plain counts
over all services falls when lines go: take the sum of rates, not the rate of a sum.

Who asks for OpenMetrics, as Prometheus does, gets that, with the last recorded trace of each bucket as its exemplar."""
ERRORS: Final = """# Errors

Made by `make fmt` from the table of `edge/model/reasons.py` and that of `origin/registry/refusal.py`; a test compares.

Where a service cannot answer, the edge does: with the status below, the reason in `X-Nunatak-Error`, and a page that
says what happened and what to do as it stands here. `X-Nunatak-Limit` names the limit that was hit, with its value.
`X-Request-Id` is in the lines that logs have of machines that ended and of defects of the edge. A client never sees
more than that. Where to look for the rest:

- **Publishers**: `nunatak logs SERVICE` has a line for each machine that ended, with the request, the place in the
  program and the values; `nunatak dev` shows the same at once.
- **Operators**: `nunatak admin reports` has the last crashes with registers and stacks; the edge's log has the origin's
  words. The reason is the label of `nunatak_refusals_total`, and of `nunatak_crashes_total` where a machine ended.
- **At a terminal** a command prints what happened and what to do, and exits with code 2.

## When a service cannot answer

| reason | status | at fault | what happened | limit | what to do |
|---|---|---|---|---|---|"""
CLIENTS: Final = """
## When a request cannot be taken

The reasons of `nunatak admin` and of operators' pages are among them.

| reason | status | what happened | what to do |
|---|---|---|---|"""
ORIGINS: Final = """
## What an origin answers

An origin answers in the JSON of the OCI distribution specification: a code, a message with what it expected and got,
and as `detail` what to do. `nunatak publish` and the other commands print all three.

| code | status | what happened | what to do |
|---|---|---|---|"""
REQUIREMENTS_HEAD: Final = """# Requirements

What specifications demand (MUST) of a server and a gateway, and the test that holds it. Made from
`tests/support/requirements.py` by `make fmt`; a test compares, and looks whether each named test is there. What is for
clients and proxies is left out: an edge is none of them, and what it says to a guest is not HTTP. How it does as
a cache is told by the [cache tests](cache-tests.md)."""
COMMANDS: Final = """# Commands

Made from the commands themselves by `make fmt`; a test compares. `nunatak COMMAND --help` says the same in a
terminal. The options of `nunatak edge` are in [options](options.md).

Each option may be given in the environment as well, `--some-name` of `nunatak COMMAND` as `NUNATAK_COMMAND_SOME_NAME`
(one that may be repeated with blanks between its values, one without a value as `1`); the command line goes before."""

BY_HAND: Final = ("oci.md", "tuf.md")  # what specifications demand, and the test that holds it
MEASURED: Final = ("cache-tests.md",)  # by a run that is not one of the tests


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
        labels = ", ".join(f"`{label}`" for label in by[0].labels) if by else ""
        yield f"| `{PREFIX}{name}_total` | {labels} | {_cell(meaning)} |"
    yield "\n## Gauges\n\n| metric | meaning |\n|---|---|"
    for name, meaning in GAUGES.items():
        yield f"| `{PREFIX}{name}` | {_cell(meaning)} |"
    yield HISTOGRAMS
    for result, meaning in RESULTS.items():
        yield f"| `{result}` | {_cell(meaning)} |"
    yield NAMED


def _errors() -> Iterator[str]:
    yield ERRORS
    for reason, row in SERVICES.items():
        limit = f"`{row.limit}`" if row.limit else ""
        cells = (f"`{reason}`", str(row.status), row.whose, row.cause, limit, row.remedy)
        yield f"| {' | '.join(map(_cell, cells))} |"
    yield CLIENTS
    for reason, row in sorted(CLIENT_REASONS.items()):
        yield f"| `{reason}` | {row.status} | {_cell(row.cause)} | {_cell(row.remedy)} |"
    yield ORIGINS
    for code, entry in sorted(CODES.items()):
        statuses = ", ".join(map(str, entry.statuses))
        yield f"| `{code}` | {statuses} | {_cell(entry.cause)} | {_cell(entry.remedy)} |"


def _requirements() -> Iterator[str]:
    yield REQUIREMENTS_HEAD
    for specification, rows in REQUIREMENTS.items():
        yield f"\n## {specification}\n\n| section | what must be | test |\n|---|---|---|"
        for row in rows:
            file, _, function = row.test.partition("::")
            yield f"| {row.section} | {_cell(row.demands)} | `{function}` in `tests/{file}` |"


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
