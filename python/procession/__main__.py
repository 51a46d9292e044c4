"""`python -m procession`: the same as the command `procession`."""

import sys

from procession.cli import main

if __name__ == "__main__":
    sys.exit(main())
