"""``python -m repatient.cli``."""

import sys

from repatient.cli import main

sys.exit(main())
