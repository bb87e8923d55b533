"""`python -m lib.workbook`."""

import sys

from lib.workbook.processes import stop_once

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # an arrow that a terminal's encoding lacks ends no training
    stop_once()
    try:
        from lib.workbook.command_line import main  # takes a while
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
