"""TensorBoard logs, written while training and again from the stored history when a model is loaded."""

from pathlib import Path

NOTE = "training.txt"  # says which training the events beside it belong to
told = False


class Log:
    """The TensorBoard events of one training, in a folder that is emptied first (of TensorBoard's files and our note
    about them). A context manager, which closes it.

    Nothing depends on the log: where it cannot be written (a read-only folder, a full disk), one printed line says so,
    once, and the training goes on without.

    Args:
        folder: where the events go; None writes none. history: dict of lists, what the training has reached so far.
    """

    def __init__(self, folder, history):
        self.folder, self.writer = folder and Path(folder), None
        self._try(self._open)
        for index in range(len(history.get("step", ())) if self.writer else 0):
            self.add(history, index)

    def _open(self):
        if self.folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import: only where it is needed

        for old in (self.folder / NOTE, *self.folder.glob("events.out.tfevents.*")):
            old.unlink(missing_ok=True)
        self.writer = SummaryWriter(str(self.folder), flush_secs=5)  # soon enough to watch a training

    def add(self, history, index):
        """Add entry `index` of a history as scalars over the step."""
        for name, values in history.items():
            if self.writer and name != "step" and isinstance(values[index], (int, float)):
                self._try(self.writer.add_scalar, name, values[index], history["step"][index])

    def note(self, mark):
        """Say in a file beside the events which training they belong to."""
        if self.writer:
            self._try((self.folder / NOTE).write_text, mark)

    def _try(self, write, *arguments):
        global told
        try:
            write(*arguments)
        except OSError as error:
            self.writer = None
            if not told:
                reason = f"{error.strerror or error}; let WORKBOOK_EXPORTS name a folder that can be written"
                print(f"No TensorBoard logs: cannot write into {self.folder}: {reason}")
            told = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.writer:
            self._try(self.writer.close)


def write(folder, history, mark):
    """Write a whole history as TensorBoard events, unless the folder already holds the events of the same training.

    Args:
        folder: under `exports/runs/`. history: dict of lists, one entry per epoch.
        mark: text that identifies the training; kept in a file beside the events.
    """
    try:
        known = (Path(folder) / NOTE).read_text() == mark
    except (OSError, ValueError):
        known = False
    if history.get("step") and not known:
        with Log(folder, history) as log:
            log.note(mark)
