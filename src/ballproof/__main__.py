"""`python -m ballproof`."""

import sys

from ballproof.cli import main

sys.exit(main())
