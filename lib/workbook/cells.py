"""A notebook's cells without a notebook: they run in this very process, and nothing is exported. Started by `torchrun`

    torchrun --nproc-per-node=4 -m lib.workbook train --only 08 --profile gpu --retrain all

they run in every process alike, and the processes share each training (`lib.training.distributed`). What was trained
lies in `checkpoints/local/` like that of any other run; the next `make report` loads it.
"""

import contextlib
import os

from lib.training import checkpoints, distributed
from lib.workbook.notebooks import cell_tags, read, set_environment


def train(path, profile="cpu", values=None):
    """Run all code cells of one notebook, the parameters set to `values`.

    What is printed appears as it comes, from the main process alone; pictures, tables and claims are not shown.

    Returns:
        "" if all went well, else the first failed cell and its error in one line.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output
    from traitlets.config import Config

    set_environment(path, profile, values or {})
    os.environ["MPLBACKEND"] = "agg"
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))  # nobody's history file
    shell.reset(new_session=False)  # nothing of the notebook before
    shell.set_custom_exc((KeyboardInterrupt,), lambda *_, **__: None)  # no traceback of what was asked for
    checkpoints.RECORDS.clear()
    quiet = contextlib.nullcontext() if distributed.is_main() else capture_output()
    with contextlib.chdir(path.parent), quiet:
        for number, cell in enumerate(read(path).cells, 1):
            if cell.cell_type != "code":
                continue
            with capture_output(stdout=False, stderr=False):
                outcome = shell.run_cell(cell.source)
            error = outcome.error_before_exec or outcome.error_in_exec
            if isinstance(error, KeyboardInterrupt):
                raise error
            if error is not None:
                return f"cell {number}: {type(error).__name__}: {error}"
            if "parameters" in cell_tags(cell):
                shell.user_ns.update(values or {})
    return ""
