"""The real worker, whose Unicorn aborts the process where its translator does."""

import runpy

from edge.vmm.engines import unicorn_aborts

unicorn_aborts.contain = lambda: False  # type: ignore[assignment]
runpy.run_module("edge.vmm.worker", run_name="__main__")
