"""`python -m brainsift`."""

import sys

from brainsift.cli import main

sys.exit(main())
