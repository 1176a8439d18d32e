"""The command line: arguments, exit codes, colour.  It holds no rule of the domain.

Everything heavy is imported by the verb that needs it, so that ``--version`` costs little more
than the interpreter itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOTHING = 3
EXIT_WOULD_CHANGE = 10
EXIT_DIFFERENT = 11
EXIT_REFUSED = 12
EXIT_DIFFERS = 13
EXIT_ROLLED_BACK = 14
EXIT_STALE = 15
EXIT_LEFT = 16


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; the codes are listed in docs/exit-codes.md."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["--version"], ["-V"]):
        from .. import __version__

        print(f"eroute-translate {__version__}")
        return EXIT_DONE
    from .run import run

    return run(arguments)
