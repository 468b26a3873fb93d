"""`python -m tests.property.fuzzing`: everything for long on all cores (`make fuzz`), or one thing again.

all       --cases N --minutes M --seed S --jobs J    so many cases or so long; a seed of its own each time
code      --engine E --seed S --first N --count K    hostile machines again; or --file CASE.json
frames    --seed S --first N --count K               conversations with a worker again
parser    NAME --seed S --first N --count K          inputs of a parser again; or --hex BYTES, or --file
lies      --seed S --lives N                         a hostile worker beside a real one
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.conftest import kvm_missing
from tests.property.fuzzing import campaign, conversations, http_heads, known, lies, parsers
from tests.property.fuzzing.case import Case
from tests.property.fuzzing.session import Failure

# Cases of a piece of work, chosen so that one takes some seconds on a busy machine.
PIECES: Final = {"unicorn": 4096, "kvm": 1024, "frames": 100, "parsers": 200, "http": 2000}
# How often each comes in a round. Guest code is what most attackers can send.
ROUND: Final = ("unicorn", "kvm", "unicorn", "parsers", "unicorn", "http", "kvm", "unicorn", "frames")
FAILURES_MAX: Final = 20
SHOWN_EVERY_S: Final = 10.0


@dataclass
class Done:
    """What a piece of work came to."""

    kind: str
    cases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def work(kind: str, seed: int, first: int, until: float) -> Done:
    """One piece, in a process of its own."""
    done, size = Done(kind), PIECES[kind]
    try:
        if kind in ("unicorn", "kvm"):
            tally = campaign.run(kind, seed, first, size, until=until)
            done.cases, done.ends, done.known = tally.done, tally.outcomes, tally.deaths
            for found in tally.found:
                paths = campaign.keep(found)
                done.failures.append(found.report() + "\nkept as " + " ".join(path.name for path in paths))
        elif kind == "frames":
            done.ends = conversations.run(seed, first, size)
            done.cases = size
        elif kind == "http":
            done.ends = http_heads.run(seed, first, size)
            done.cases = size
        else:
            for target in parsers.targets():
                done.ends.update(parsers.run(target, seed, first, size))
                done.cases += size
    except parsers.ParserFailure as failure:
        path = parsers.keep(failure)
        done.failures.append(f"{failure}\nkept as {path.name}")
    except Failure as failure:
        done.failures.append(f"{kind}: {failure}\n{failure.said[-2000:]}")
    return done


def pieces(kinds: set[str], seed: int) -> Iterator[tuple[str, int]]:
    """Kind and first case of one piece after the other."""
    position: Counter[str] = Counter()
    for place in count():
        kind = ROUND[place % len(ROUND)]
        if kind in kinds:
            yield kind, position[kind]
            position[kind] += PIECES[kind]


def everything(cases: int, minutes: float, seed: int, jobs: int) -> int:
    """Until so many cases are done, or the time is over; 1 where something failed."""
    kinds = set(ROUND)
    if why := kvm_missing():
        kinds.discard("kvm")
        print(f"KVM IS NOT FUZZED HERE: {why}", flush=True)
    if holes := known.open_holes():
        print(f"known holes, whose cases are left out or do not count: {', '.join(holes)}", flush=True)
    print(f"seed {seed}, {jobs} processes, {cases} cases{f' or {minutes:g} minutes' if minutes else ''}", flush=True)
    began = shown = time.monotonic()
    until = began + minutes * 60 if minutes else float("inf")
    source, total = pieces(kinds, seed), 0
    results: dict[str, Done] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        running: set[Future[Done]] = set()
        planned = failures = 0
        while True:
            while len(running) < jobs and planned < cases and time.monotonic() < until and failures < FAILURES_MAX:
                kind, first = next(source)
                running.add(pool.submit(work, kind, seed, first, until))
                planned += PIECES[kind] * (len(parsers.targets()) if kind == "parsers" else 1)
            if not running:
                break
            over, running = wait(running, return_when=FIRST_COMPLETED)
            for future in over:
                done = future.result()
                total += done.cases
                failures += len(done.failures)
                into = results.setdefault(done.kind, Done(done.kind))
                into.cases += done.cases
                into.ends.update(done.ends)
                into.known.update(done.known)
                into.failures += done.failures
                for text in done.failures:
                    print(f"FAILED\n{text}\n", flush=True)
            if time.monotonic() - shown >= SHOWN_EVERY_S:
                shown = time.monotonic()
                print(f"{shown - began:6.0f} s {total:9} cases, {failures} failures", flush=True)
    return summary(results, time.monotonic() - began, seed)


def summary(results: dict[str, Done], took_s: float, seed: int) -> int:
    """Print what was done; 1 where something failed."""
    total = sum(done.cases for done in results.values())
    failures = [text for done in results.values() for text in done.failures]
    print(f"\n{total} cases in {took_s:.0f} s, seed {seed}")
    for kind, done in sorted(results.items()):
        most = ", ".join(f"{word} {many}" for word, many in done.ends.most_common(8))
        print(f"  {kind:8} {done.cases:8} cases, {len(done.failures)} failures: {most}")
        if done.known:
            print(f"           workers ended by known holes: {dict(done.known)}")
    print("FAILED" if failures else "nothing failed")
    return 1 if failures else 0


def _code(arguments: argparse.Namespace) -> int:
    if arguments.file:
        case = Case.from_json(arguments.file.read_text())
        if arguments.simplify:
            failure = campaign.replay(arguments.engine, [case])
            if failure is not None:
                print(campaign.simplify(arguments.engine, case, failure.kind).to_json())
        failure = campaign.replay(arguments.engine, [case])
        if failure is not None:
            print(f"{failure}\n{failure.said}")
        return failure is not None
    tally = campaign.run(arguments.engine, arguments.seed, arguments.first, arguments.count)
    for found in tally.found:
        print(found.report())
        if arguments.keep:
            print("kept as", *(path.name for path in campaign.keep(found)))
    print(f"{tally.done} cases: {dict(tally.outcomes)}; workers ended by known holes: {dict(tally.deaths)}")
    return bool(tally.found)


def _parser(arguments: argparse.Namespace) -> int:
    given = {target.name: target for target in parsers.targets()}
    try:
        if arguments.name == http_heads.NAME:
            print(dict(http_heads.run(arguments.seed, arguments.first, arguments.count)))
            return 0
        target = given[arguments.name]
        if arguments.hex or arguments.file:
            data = bytes.fromhex(arguments.hex) if arguments.hex else arguments.file.read_bytes()
            print(parsers.try_one(target, data, measured=True))
        else:
            print(dict(parsers.run(target, arguments.seed, arguments.first, arguments.count)))
    except parsers.ParserFailure as failure:
        print(failure)
        return 1
    return 0


def main() -> int:
    """The command line."""
    program = argparse.ArgumentParser(
        prog="python -m tests.property.fuzzing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = program.add_subparsers(dest="command", required=True)
    every = commands.add_parser("all")
    every.add_argument("--cases", type=int, default=1_000_000)
    every.add_argument("--minutes", type=float, default=0.0, help="0: however long the cases take")
    every.add_argument("--seed", type=int, default=None)
    every.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    code = commands.add_parser("code")
    code.add_argument("--engine", choices=("unicorn", "kvm", "auto"), default="unicorn")
    code.add_argument("--file", type=Path)
    code.add_argument("--simplify", action="store_true", help="leave out what the failure does not need, and print it")
    code.add_argument("--keep", action="store_true", help="put what fails into the corpus")
    parser = commands.add_parser("parser")
    parser.add_argument("name")
    parser.add_argument("--hex", default="")
    parser.add_argument("--file", type=Path)
    talk = commands.add_parser("frames")
    for one in (code, parser, talk):
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--first", type=int, default=0)
        one.add_argument("--count", type=int, default=1000)
    lie = commands.add_parser("lies")
    lie.add_argument("--seed", type=int, default=1)
    lie.add_argument("--lives", type=int, default=50)
    arguments = program.parse_args()
    if arguments.command == "all":
        seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "little")
        return everything(arguments.cases, arguments.minutes, seed, arguments.jobs)
    if arguments.command == "code":
        return _code(arguments)
    if arguments.command == "parser":
        return _parser(arguments)
    try:
        if arguments.command == "frames":
            print(dict(conversations.run(arguments.seed, arguments.first, arguments.count)))
        else:
            with tempfile.TemporaryDirectory() as folder:
                print(dict(lies.run(Path(folder), arguments.seed, arguments.lives, 3600.0)))
    except Failure as failure:
        print(f"{failure}\n{failure.said}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
