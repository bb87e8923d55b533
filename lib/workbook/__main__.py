"""`python -m lib.workbook`."""

import signal
import sys

from lib.workbook.command_line import main

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it stops like by Ctrl+C: kernel first
    sys.exit(main())
