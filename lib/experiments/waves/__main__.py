"""`python -m lib.experiments.waves`, see `lib.experiments.waves.command_line`.

Everything is called by its name there: so the processes of a cluster find the functions, and their code.
"""

import sys

from lib.experiments.waves.command_line import main

if __name__ == "__main__":
    sys.exit(main())
