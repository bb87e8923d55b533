"""`python -m lib.experiments.waves`, see `lib.experiments.waves.command_line`.

Everything is called by its name there: so the processes of a cluster find the functions, and their code.
"""

import sys

from lib.experiments.waves.command_line import main

if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # an arrow that a terminal's encoding lacks ends no training
    sys.exit(main())
