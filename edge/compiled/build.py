"""Compiles the modules of the table into `build/fast`: `python -m edge.compiled.build`, which is `make fast`.

Needs mypy (whose mypyc it is), setuptools, a C compiler and Python's headers: a minute or two of one processor.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from edge.compiled.finder import FOLDER, ROOT, write_stamp
from edge.compiled.table import GROUP, MODULES

OPTIMISATION: Final = "3"


def build() -> None:
    """Compile all, and say what they were made of.

    :raises Exception: whatever mypyc or the C compiler says.
    """
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(ROOT)
    shutil.rmtree(FOLDER, ignore_errors=True)
    folder = FOLDER.relative_to(ROOT)
    sources = [module.replace(".", "/") + ".py" for module in MODULES]
    extensions = mypycify(
        ["--config-file=pyproject.toml", *sources],
        opt_level=OPTIMISATION,
        group_name=GROUP,
        target_dir=str(folder / "c"),
    )
    command = Distribution({"name": "nunatak-fast", "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    libraries = (FOLDER / "lib").rglob("*.so")
    write_stamp({module_of(file.relative_to(FOLDER / "lib")): str(file.relative_to(FOLDER)) for file in libraries})
    for scrap in ("c", "objects"):
        shutil.rmtree(FOLDER / scrap)


def module_of(file: Path) -> str:
    """The module that a library's path names: `edge/front/http.cpython-311-x86_64-linux-gnu.so`, `edge.front.http`."""
    return ".".join((*file.parts[:-1], file.name.split(".", 1)[0]))


if __name__ == "__main__":
    build()
    print(f"{len(MODULES)} modules compiled into {FOLDER}", flush=True)
