"""`python -m brainsift`."""

import sys

from brainsift.cli.main import main

sys.exit(main())
