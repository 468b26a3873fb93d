"""Many cases of a seed, batch by batch; what fails is traced to one case, told with how to run it again, and kept."""

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.property.fuzzing import case as cases
from tests.property.fuzzing.case import Case
from tests.property.fuzzing.session import Failure, Session

CORPUS: Final = Path(__file__).parent / "corpus" / "code"
BATCH: Final = 64  # cases under way at once: machines enough to be in each other's way
CASES_A_WORKER: Final = 4096  # then another one takes over, so that what a worker collects is seen as well as its start
SIMPLER_MAX: Final = 60  # attempts to make a failing case simpler
SHARES: Final = {  # one case in so many ends like that at least; measured: three times as many
    "parked": 15,
    "GuestViolation": 30,
    "GuestFault 14": 15,
    "GuestFault 6": 15,
    "GuestFault 13": 30,
    "OutOfMemory": 120,
    "OutOfTime": 200,
    "RecordTooLarge": 4000,
    "GuestExited": 1000,
}


@dataclass
class Found:
    """A failure and what causes it."""

    failure: Failure
    engine: str
    cases: Sequence[Case]
    numbers: str  # as the command line takes them

    def kept_as(self) -> str:
        """A name for the corpus."""
        digest = hashlib.sha256("".join(case.to_json() for case in self.cases).encode()).hexdigest()
        return f"{self.failure.kind}-{digest[:12]}"

    def report(self) -> str:
        """What happened, to what, and the command that does it again."""
        lines = [f"{self.engine}: {self.failure}", self.failure.said.strip()[-2000:]]
        if len(self.cases) == 1:
            (only,) = self.cases
            lines += [f"code {only.code.hex()}", f"registers {' '.join(f'{value:#x}' for value in only.gpr)}"]
        lines.append(f"again: python -m tests.property.fuzzing code --engine {self.engine} {self.numbers}")
        return "\n".join(line for line in lines if line)


@dataclass
class Tally:
    """What a run did."""

    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    found: list[Found] = field(default_factory=list)

    def wrong(self, count: int) -> str:
        """What is wrong with a run of so many cases; empty for nothing.

        All ends that there are must come up, in numbers: else the generator does not reach what it should.
        """
        if self.found:
            return "\n".join(found.report() for found in self.found)
        few = [word for word, part in SHARES.items() if self.outcomes[word] < count // part]
        if self.done != count or few:
            return f"{count} cases expected, and more of {few}, got {self.done}: {dict(self.outcomes)}"
        return ""


def run(
    engine: str,
    seed: int,
    first: int,
    count: int,
    *,
    until: float = float("inf"),
    failures_max: int = 1,
    traced: bool = True,
) -> Tally:
    """Cases `first` to `first + count` of a seed on an engine.

    :param until: `time.monotonic` at which to stop early.
    :param traced: whether a failing batch is run again, to find which case it is.
    """
    tally, session = Tally(), None
    number, end = first, first + count
    try:
        while number < end and time.monotonic() < until and len(tally.found) < failures_max:
            if session is None or (number - first) % CASES_A_WORKER == 0:
                _close(session, tally)
                session = Session(engine)
            batch = range(number, min(number + BATCH, end))
            try:
                session.run([cases.make(seed, n) for n in batch])
            except Failure as failure:
                _close(session, tally)
                session = None
                tally.found.append(trace(engine, seed, batch if traced else batch[:1], failure))
            number = batch.stop
            tally.done = number - first
    finally:
        _close(session, tally)
    return tally


def replay(engine: str, some: Sequence[Case]) -> Failure | None:
    """These cases as one batch in a worker of their own; what failed."""
    try:
        with Session(engine) as session:
            session.run(some)
            session.run([])
    except Failure as failure:
        return failure
    return None


def trace(engine: str, seed: int, batch: Sequence[int], failure: Failure) -> Found:
    """The smallest part of a batch that fails in the same way: one case, if one is enough."""
    numbers = list(batch)
    while len(numbers) > 1:
        half = len(numbers) // 2
        for part in (numbers[:half], numbers[half:]):
            again = replay(engine, [cases.make(seed, number) for number in part])
            if again is not None and again.kind == failure.kind:
                numbers, failure = part, again
                break
        else:
            break
    which = f"--seed {seed} --first {numbers[0]} --count {len(numbers)}"
    return Found(failure, engine, [cases.make(seed, number) for number in numbers], which)


def simplify(engine: str, case: Case, kind: str) -> Case:
    """The same failure with less around it."""
    left = SIMPLER_MAX
    progress = True
    while progress and left:
        progress = False
        for simpler in cases.minimised(case):
            left -= 1
            failure = replay(engine, [simpler])
            if failure is not None and failure.kind == kind:
                case, progress = simpler, True
                break
            if not left:
                break
    return case


def keep(found: Found, folder: Path = CORPUS) -> list[Path]:
    """Write what fails into the corpus, where every run begins."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, case in enumerate(found.cases):
        paths.append(folder / f"{found.kept_as()}{f'-{place}' if len(found.cases) > 1 else ''}.json")
        paths[-1].write_text(case.to_json())
    return paths


def corpus(folder: Path = CORPUS) -> dict[str, Case]:
    """What is kept, by file name."""
    return {path.name: Case.from_json(path.read_text()) for path in sorted(folder.glob("*.json"))}


def replay_corpus(engine: str) -> dict[str, Failure]:
    """All that is kept, again; what still fails, by file name."""
    return {name: failure for name, case in corpus().items() if (failure := replay(engine, [case])) is not None}


def _close(session: Session | None, tally: Tally) -> None:
    if session is not None:
        session.close()
        tally.outcomes.update(session.outcomes)
        session.outcomes.clear()
