"""`python -m bridge`: the same as the installed command."""

import sys

from bridge.cli.main import main

sys.exit(main())
