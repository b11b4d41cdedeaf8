"""`python -m fitlib`."""

import sys

from fitlib.cli import main

sys.exit(main())
