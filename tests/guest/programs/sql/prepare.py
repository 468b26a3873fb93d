"""Write SQLite's sources into the program: `prepare.py OUTDIR`."""

import sys
from pathlib import Path

from libos.sqlite import put_sources

put_sources(Path(sys.argv[1]))
