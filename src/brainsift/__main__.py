"""`python -m brainsift`."""

import sys

from brainsift.cli.main import main

if __name__ == "__main__":  # worker processes import this module
    sys.exit(main())
