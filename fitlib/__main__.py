"""The command line as `python -m fitlib`."""

import sys

from fitlib.cli.main import main

sys.exit(main())
