"""Write `worker.js` with the npm package it imports as one file: `prepare.py OUTDIR`."""

import sys
from pathlib import Path
from typing import Final

from libos.toolchain.bundle import bundle
from libos.toolchain.packages import Package

MARKED: Final = Package("npm", "marked", "18.2.1", "d66c5213fc203466186060105b01f51896764ba64b3797d2620d02e28e34b8ca")

if __name__ == "__main__":
    bundle(Path(__file__).parent / "worker.js", [MARKED], Path(sys.argv[1]) / "worker.js")
