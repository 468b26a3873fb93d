"""The real worker, on an engine of the test's choice, telling what it looks for after it entered its sandbox.

`sandboxed_worker ENGINE --frames-fd N --images-fd M`
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import TypeVar

from edge.vmm import sandbox, worker
from edge.vmm.tiering import Tiering

T = TypeVar("T")


class LateImports(MetaPathFinder):
    """Says which modules are looked for when there are no files any more."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        print("late import:", fullname, file=sys.stderr)


def enter(config: sandbox.Config, start: Callable[[], T]) -> tuple[sandbox.Report, T]:
    entered = really_enter(config, start)
    sys.meta_path.insert(0, LateImports())
    return entered


engine = sys.argv.pop(1)
really_enter = sandbox.enter
sandbox.enter = enter
Tiering.observe = lambda *_, **__: engine  # type: ignore[assignment,method-assign]
sys.exit(worker.main())
