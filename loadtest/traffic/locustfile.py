"""Visitors of many services, for locust: Zipf's law over what `nunatak world` has published.

    nunatak world --mix c=3,js=2,lua=1 --services 1000
    locust -f loadtest/traffic/locustfile.py --host http://127.0.0.1:8080 --services 1000 --headless -u 50 -r 50 -t 60s

It counts by popularity (deciles of the ranking; crowd, scan and wonders apart), by the tier of the edge that answered
and by class of error, and ends with exit code 1 when more failed, or a group's p99 was longer, than the options allow.
With `--master` and `--worker` each worker sends its counts along with locust's own, and the master judges.

Only what gevent can patch is imported here: no aiohttp, no uvloop.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any, Final

from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtest.traffic.tally import Tally, complaints, error_class, table
from loadtest.traffic.zipf import ALPHA, Shape, Traffic

REPORT_KEY: Final = "nunatak"  # in the messages from workers to the master
TIMEOUT_S: Final = 60.0  # above an edge's own


class _Load:
    """One process's part of the load, and what came of it."""

    def __init__(self) -> None:
        self.tally = Tally()  # on a worker: since the last report
        self.prefix = ""
        self.began = time.time()
        self.traffic = Traffic(Shape(1))
        self.dice = random.Random()

    def begin(self, environment: Environment) -> None:
        """Everything anew, as the options say; a worker has the master's."""
        options, runner = _options(environment), environment.runner
        if isinstance(runner, MasterRunner):
            options.generators = runner.worker_count
            options.began = time.time()
        generators = options.generators or 1
        part = runner.worker_index % generators if isinstance(runner, WorkerRunner) else 0
        self.tally = Tally()
        self.prefix = options.prefix
        self.began = options.began or time.time()
        self.traffic = Traffic(_shape(options), part, generators)
        self.dice = random.Random(f"{options.seed} bodies and thoughts {part}")


load = _Load()


class Visitor(FastHttpUser):
    """Asks for one page after another and thinks in between."""

    network_timeout = TIMEOUT_S
    connection_timeout = TIMEOUT_S

    def wait_time(self) -> float:
        """Seconds to the next page: exponential, as with people who know nothing of each other."""
        mean_s = float(_options(self.environment).think)
        return load.dice.expovariate(1 / mean_s) if mean_s else 0.0

    @task
    def visit(self) -> None:
        """One request."""
        options = _options(self.environment)
        number, group = load.traffic.pick(max(0.0, time.time() - load.began))
        service = f"{load.prefix}-{number:05d}"
        path, body = f"/~service/{service}/", ""
        if load.dice.random() < options.post:
            body = "x" * int(options.body_bytes ** load.dice.random())  # as many of 10 bytes as of 10,000
        with self.client.request(
            "POST" if body else "GET", path, name=group, data=body or None, catch_response=True
        ) as response:
            fields = {name.lower(): value for name, value in (response.headers or {}).items()}
            if response.status_code:
                error = error_class(response.status_code, fields, service)
            else:
                error = f"no answer: {type(response.error).__name__}"
            if error:
                response.failure(error)
            load.tally.record(group, response.request_meta["response_time"], fields, error)


def _options(environment: Environment) -> Any:
    assert environment.parsed_options is not None
    return environment.parsed_options


def _shape(options: Any) -> Shape:
    return Shape(
        services=options.services,
        alpha=options.alpha,
        drift=options.drift,
        flash=options.flash,
        flash_every_s=options.flash_every,
        flash_for_s=options.flash_for,
        scan=options.scan,
        wonders=options.wonders,
        seed=options.seed,
    )


def add_options(parser: LocustArgumentParser) -> None:
    """Our options beside locust's; its web page shows them too."""
    ours = parser.add_argument_group("nunatak")
    defaults = Shape(1)
    ours.add_argument("--services", type=int, default=100, help="How many services `nunatak world` has published.")
    ours.add_argument("--prefix", default="world", help="Their names are PREFIX-00000 and on.")
    ours.add_argument("--alpha", type=float, default=ALPHA, help="Zipf's exponent; 0: all services alike.")
    ours.add_argument("--drift", type=float, default=0.0, help="Exchanges of places in the ranking, a minute.")
    ours.add_argument("--flash", type=float, default=0.0, help="Share of requests that a flash crowd has.")
    ours.add_argument("--flash-every", type=float, default=defaults.flash_every_s, help="Seconds from crowd to crowd.")
    ours.add_argument("--flash-for", type=float, default=defaults.flash_for_s, help="Seconds that a crowd lasts.")
    ours.add_argument("--scan", type=float, default=0.0, help="Share of requests of one pass over all services.")
    ours.add_argument("--wonders", type=float, default=0.0, help="Share of requests for services asked for only once.")
    ours.add_argument("--post", type=float, default=0.1, help="Share of requests that are POST, with a body.")
    ours.add_argument("--body-bytes", type=int, default=16_384, help="Largest body; sizes are spread by magnitude.")
    ours.add_argument("--think", type=float, default=0.1, help="Seconds a visitor thinks between pages, on average.")
    ours.add_argument("--seed", type=int, default=1, help="The same seed is the same traffic.")
    ours.add_argument("--max-failure-ratio", type=float, default=0.0, help="Failed requests that are put up with.")
    ours.add_argument("--max-p99-ms", type=float, default=0.0, help="Longest p99 of any group; 0: whatever it is.")
    ours.add_argument("--outcome", default="", help="Where counts and verdict go, for programs.")
    parser.add_argument("--generators", type=int, default=0, help="Set by the master.", include_in_web_ui=False)
    parser.add_argument("--began", type=float, default=0.0, help="Set by the master.", include_in_web_ui=False)


def on_init(environment: Environment, **_: Any) -> None:
    """Refuse options that make no traffic before anything starts."""
    options = _options(environment)
    try:
        _shape(options)
        if not 0 <= options.post <= 1 or options.think < 0 or options.body_bytes < 1:
            raise ValueError("--post of 0 to 1, --think of 0 or more and --body-bytes of 1 or more expected")
    except ValueError as error:
        sys.exit(f"locustfile: {error}")


def on_report(data: dict[str, Any], **_: Any) -> None:
    """A worker's counts since its last report, into its message."""
    data[REPORT_KEY] = load.tally.to_json()
    load.tally = Tally()


def on_worker_report(data: dict[str, Any], **_: Any) -> None:
    """A worker's counts, at the master."""
    load.tally.merge(Tally.from_json(data[REPORT_KEY]))


def on_quitting(environment: Environment, **_: Any) -> None:
    """Say what came of it, and judge."""
    if isinstance(environment.runner, WorkerRunner):
        return  # the master judges
    options = _options(environment)
    wrong = complaints(load.tally, options.max_failure_ratio, options.max_p99_ms)
    print(table(load.tally))
    for complaint in wrong:
        print(f"NOT MET: {complaint}")
    if options.outcome:
        generators = options.generators or 1
        found = {"not_met": wrong, "generators": generators, **load.tally.summary(), "tally": load.tally.to_json()}
        Path(options.outcome).write_text(json.dumps(found, indent=1) + "\n")
    environment.process_exit_code = 1 if wrong else 0


for _hook, _listener in (
    (events.init_command_line_parser, add_options),
    (events.init, on_init),
    (events.test_start, load.begin),
    (events.report_to_master, on_report),
    (events.worker_report, on_worker_report),
    (events.quitting, on_quitting),
):
    _hook.add_listener(_listener)  # type: ignore[no-untyped-call]
