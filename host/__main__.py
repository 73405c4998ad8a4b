"""`python -m host` is the command `llamachat`, for where no script is installed."""

import sys

from host.cli.main import main

sys.exit(main())
