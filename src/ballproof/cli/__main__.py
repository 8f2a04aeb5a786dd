"""`python -m ballproof.cli`."""

import sys

from ballproof.cli import main

sys.exit(main())
