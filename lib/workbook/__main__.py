"""`python -m lib.workbook`."""

import sys

from lib.workbook.processes import print_anything, stop_once

if __name__ == "__main__":
    print_anything()
    stop_once()
    try:
        from lib.workbook.command_line import main  # takes a while
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
