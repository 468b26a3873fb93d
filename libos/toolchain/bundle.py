"""One JavaScript file from a worker and the npm packages it imports, by esbuild; all of them pinned, none kept here."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from libos.toolchain.build import run_tool
from libos.toolchain.packages import Package, source_tree

ESBUILD: Final = Package(
    "npm", "@esbuild/linux-x64", "0.25.12", "f7efc127658a108dcda9d4210b01804ee8f5d6b3acbd6d63f20aa51d3b50bd5f"
)


def bundle(worker: Path, packages: Sequence[Package], out: Path) -> None:
    """Write the worker with everything that it imports as one ES module.

    :raises OperatorError: a package cannot be fetched, or is not the pinned one.
    :raises PublisherError: esbuild refuses; with its message.
    """
    esbuild = source_tree(ESBUILD) / "bin" / "esbuild"
    with tempfile.TemporaryDirectory(prefix="nunatak-") as folder:
        for package in packages:
            shutil.copytree(source_tree(package), Path(folder) / "node_modules" / package.name)
        entry = Path(folder) / worker.name
        shutil.copyfile(worker, entry)
        run_tool([str(esbuild), str(entry), "--bundle", "--format=esm", f"--outfile={out}"], "esbuild")
