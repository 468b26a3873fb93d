"""The real worker, on an engine of the test's choice, telling what it looks for after it entered its sandbox.

`sandboxed_worker ENGINE --frames-fd N --images-fd M`
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import TypeVar

from edge.vmm.sandbox import layers
from edge.vmm.shells.tiering import Tiering
from edge.vmm.worker.process import main

T = TypeVar("T")


class LateImports(MetaPathFinder):
    """Says which modules are looked for when there are no files any more."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        print("late import:", fullname, file=sys.stderr)


def enter(config: layers.Config, start: Callable[[], T]) -> tuple[layers.Report, T]:
    entered = really_enter(config, start)
    sys.meta_path.insert(0, LateImports())
    return entered


engine = sys.argv.pop(1)
really_enter = layers.enter
layers.enter = enter
Tiering.observe = lambda *_, **__: engine  # type: ignore[assignment,method-assign]
sys.exit(main())
