"""All of it on all cores: pieces of work in processes of their own, one summary, and 1 as the result of a failure."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import get_context
from typing import Final

from tests.conftest import kvm_missing
from tests.property.fuzzing import campaign, conversations, http_heads, parsers
from tests.property.fuzzing.session import Failure
from tests.property.fuzzing.targets import targets

# Cases of a piece of work, chosen so that one takes some seconds on a busy machine.
PIECES: Final = {"unicorn": 4096, "kvm": 1024, "auto": 1024, "frames": 100, "parsers": 200, "http": 2000}
# How often each comes in a round. Guest code is what most attackers can send.
ROUND: Final = ("unicorn", "kvm", "unicorn", "parsers", "unicorn", "http", "auto", "unicorn", "frames")
ENGINES: Final = ("unicorn", "kvm", "auto")  # "auto": machines move between the two
FAILURES_MAX: Final = 20
SHOWN_EVERY_S: Final = 10.0


@dataclass
class Done:
    """What a piece of work came to."""

    kind: str
    cases: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Done") -> None:
        """Take another piece's into this."""
        self.cases += other.cases
        self.ends.update(other.ends)
        self.failures += other.failures


@dataclass(frozen=True)
class Piece:
    """Cases of one kind."""

    kind: str
    first: int
    size: int  # of each parser, where that is the kind

    @property
    def cases(self) -> int:
        """All of them."""
        return self.size * (len(targets()) if self.kind == "parsers" else 1)


def work(piece: Piece, seed: int, until: float) -> Done:
    """One piece, in a process of its own."""
    kind, first, size = piece.kind, piece.first, piece.size
    done = Done(kind)
    try:
        if kind in ENGINES:
            tally = campaign.run(kind, seed, first, size, until=until)
            done.cases, done.ends = tally.done, tally.outcomes
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
            for target in targets():
                done.ends.update(parsers.run(target, seed, first, size))
                done.cases += size
    except parsers.ParserFailure as failure:
        path = parsers.keep(failure)
        done.failures.append(f"{failure}\nkept as {path.name}")
    except Failure as failure:
        done.failures.append(f"{kind}: {failure}\n{failure.said[-2000:]}")
    return done


def pieces(kinds: set[str], sizes: Mapping[str, int]) -> Iterator[Piece]:
    """One after the other, kinds in turn."""
    position: Counter[str] = Counter()
    for place in count():
        kind = ROUND[place % len(ROUND)]
        if kind in kinds:
            yield Piece(kind, position[kind], sizes[kind])
            position[kind] += sizes[kind]


def run(cases: int, minutes: float, seed: int, jobs: int, sizes: Mapping[str, int] = PIECES) -> int:
    """Until so many cases are done, or the time is over; 1 where something failed."""
    kinds = set(sizes)
    if why := kvm_missing():
        kinds -= {"kvm", "auto"}
        print(f"KVM IS NOT FUZZED HERE: {why}", flush=True)
    print(f"seed {seed}, {jobs} processes, {cases} cases{f' or {minutes:g} minutes' if minutes else ''}", flush=True)
    began = shown = time.monotonic()
    until = began + minutes * 60 if minutes else float("inf")
    source, total = pieces(kinds, sizes), 0
    results: dict[str, Done] = {}
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        running: dict[Future[Done], Piece] = {}
        planned = failures = 0
        while True:
            while len(running) < jobs and planned < cases and time.monotonic() < until and failures < FAILURES_MAX:
                piece = next(source)
                running[pool.submit(work, piece, seed, until)] = piece
                planned += piece.cases
            if not running:
                break
            over, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in over:
                piece = running.pop(future)
                try:
                    done = future.result()
                except Exception as error:  # the process is gone: what it parsed, or we, crashed it
                    done = Done(piece.kind, failures=[f"{piece} of seed {seed}: {error!r}"])
                    planned = cases
                total += done.cases
                failures += len(done.failures)
                results.setdefault(done.kind, Done(done.kind)).add(done)
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
    print("FAILED" if failures else "nothing failed")
    return 1 if failures else 0
