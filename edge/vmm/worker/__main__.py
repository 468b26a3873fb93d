"""`python -m edge.vmm.worker`: see `process`."""

import sys

from edge.vmm.worker.process import main

sys.exit(main())
