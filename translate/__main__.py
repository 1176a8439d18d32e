"""Run ``python -m eroute_translate``."""

import sys

from .cli import main

sys.exit(main())
