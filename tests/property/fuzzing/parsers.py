"""Everything that parses what others wrote: a value that round-trips, or an error of ours; in bounded memory.

A target is a way to make input (`make`, from seeds that are frozen in `tests/vectors` or lie in the corpus), the parser
behind its one door (`parse`), what it may raise, and what must hold of a value that it gave (`holds`).
"""

import hashlib
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.property.fuzzing.mutate import Rng
from vmimage.errors import GuestViolation, PublisherError, VerificationError

CORPUS: Final = Path(__file__).parent / "corpus" / "parsers"
PEAK_BYTES: Final = 32 << 20  # of memory for one input, beside what its length allows
PEAK_FACTOR: Final = 64  # times the input's length; Python objects of short lines are the largest
CPU_S: Final = 5.0  # of one input: the slowest takes 10 ms
MEASURED_EVERY: Final = 8  # inputs: to measure memory makes Python several times slower


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    make: Callable[[Rng], bytes]
    parse: Callable[[bytes], Any]
    raises: tuple[type[Exception], ...]
    holds: Callable[[bytes, Any], bool] = lambda _data, _value: True


class ParserFailure(Exception):
    """What must not be: another exception, a value that does not round-trip, too much memory."""

    def __init__(self, target: str, why: str, data: bytes) -> None:
        super().__init__(target, why, data)
        self.target, self.why, self.data = target, why, data

    def __str__(self) -> str:
        again = f"python -m tests.property.fuzzing parser {self.target} --hex {self.data[:4096].hex()}"
        return f"{self.target}: {self.why}\n{len(self.data)} bytes; again: {again}"


def try_one(target: Target, data: bytes, *, measured: bool = False) -> str:
    """How one input ends: "value", or the error's class.

    :raises ParserFailure: in no way that it may.
    """
    if measured:
        tracemalloc.start()
    began = time.thread_time()
    try:
        value = target.parse(data)
    except target.raises as error:
        word = type(error).__name__
        if isinstance(error, VerificationError | PublisherError | GuestViolation) and not str(error):
            raise ParserFailure(target.name, "an error that says nothing", data) from error
    except Exception as error:
        raise ParserFailure(
            target.name, f"one of {[e.__name__ for e in target.raises]} expected, got {error!r}", data
        ) from error
    else:
        word = "value"
        if not target.holds(data, value):
            raise ParserFailure(target.name, f"a value that round-trips expected, got {str(value)[:200]}", data)
    finally:
        peak = tracemalloc.get_traced_memory()[1] if measured else 0
        if measured:
            tracemalloc.stop()
    if peak > PEAK_BYTES + PEAK_FACTOR * len(data):
        raise ParserFailure(target.name, f"{peak} bytes of memory for {len(data)} bytes of input", data)
    if (took_s := time.thread_time() - began) > CPU_S:
        raise ParserFailure(target.name, f"{took_s:.1f} s of CPU time for {len(data)} bytes of input", data)
    return word


def run(target: Target, seed: int, first: int, count: int) -> Counter[str]:
    """Inputs `first` to `first + count` of a seed; how they ended.

    :raises ParserFailure: see `try_one`.
    """
    ends: Counter[str] = Counter()
    for number in range(first, first + count):
        rng = Rng(f"{target.name}:{seed}:{number}")
        ends[try_one(target, target.make(rng), measured=number % MEASURED_EVERY == 0)] += 1
    return ends


def kept(target: Target) -> list[Path]:
    """Inputs in the corpus."""
    return sorted((CORPUS / target.name).glob("*"))


def keep(failure: ParserFailure) -> Path:
    """Put an input into the corpus."""
    folder = CORPUS / failure.target
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / hashlib.sha256(failure.data).hexdigest()[:16]
    path.write_bytes(failure.data)
    return path
