"""TensorBoard logs, written while training and again from the stored history when a model is loaded."""

from pathlib import Path

NOTE = "training.txt"  # says which training the events beside it belong to


def writer(log_dir):
    """A `SummaryWriter` on an emptied folder (only TensorBoard's files and our note about them are removed)."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import: only where it is needed

    log_dir = Path(log_dir)
    for old in (log_dir / NOTE, *log_dir.glob("events.out.tfevents.*")):
        old.unlink(missing_ok=True)
    return SummaryWriter(str(log_dir), flush_secs=5)  # soon enough to watch a training


def add(summary, history, index):
    """Add entry `index` of a history (dict of lists) as scalars over the step."""
    for name, values in history.items():
        if name != "step" and isinstance(values[index], (int, float)):
            summary.add_scalar(name, values[index], history["step"][index])


def write(log_dir, history, mark):
    """Write a whole history as TensorBoard events, unless the folder already holds the events of the same training.

    Args:
        log_dir: folder under `exports/runs/`. history: dict of lists, one entry per epoch.
        mark: text that identifies the training; kept in a file beside the events.
    """
    note = Path(log_dir) / NOTE
    if not history.get("step") or (note.is_file() and note.read_text() == mark):
        return
    summary = writer(log_dir)
    for index in range(len(history["step"])):
        add(summary, history, index)
    summary.close()
    note.write_text(mark)
