"""Run notebooks headless and export them: one by one or side by side, with a printed line for each."""

import contextlib
import logging
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import NamedTuple

import nbformat

from lib.storage.paths import ROOT, exports_folder
from lib.workbook.notebooks import PAPERMILL_TAGS, UsageError, cell_tags, read, set_environment, short, title
from lib.workbook.processes import side_by_side
from lib.workbook.tries import TRIED, with_tries

FORMATS = ("pdf", "html", "none")
SAVED_EVERY = 30  # seconds; what a run that is killed leaves behind is as old as that at most
USED = "checkpoints.txt"  # beside an executed copy: the files in `checkpoints/` that it loaded or wrote
KILLED = (
    "was killed, as systems do when memory runs out: close other programs, run one notebook at a time, or set smaller "
    "values; README.md tells how much memory each notebook needs"
)


class Outcome(NamedTuple):
    """What a run has come to.

    Attributes:
        problem: what went wrong, in one line; empty if nothing did.
        nb: the notebook as it ran, if all went well. used: names of the files in the store of checkpoints, relative to
            it, that it loaded or wrote. Both are read while no other run can write there.
    """

    seconds: float
    problem: str
    nb: nbformat.NotebookNode | None = None
    used: tuple[str, ...] = ()


def executed_copy(path):
    """Where the copy of a notebook lies that was executed last."""
    return exports_folder() / path.stem / path.name


def produced(path, form):
    """What a run of a notebook produces: its report or, with the format "none", its executed copy."""
    return executed_copy(path) if form == "none" else exports_folder() / f"{path.stem}.{form}"


def check_format(form):
    """Raise UsageError if there is no such format of a report."""
    if form not in FORMATS:
        raise UsageError(f"no format {form!r}; there are {', '.join(FORMATS)}")


def _about(path, nb, profile, seconds, authors, date):
    """What the title page says."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    about = {
        "number": path.name[:2],
        "title": title(nb),
        "profile": profile,
        "device": device,
        "seconds": round(seconds, 1),
        "versions": {"Python": sys.version.split()[0]}
        | {name: version(name) for name in ("torch", "numpy", "papermill")},
    }
    return about | ({"authors": authors} if authors else {}) | ({"date": date} if date else {})


def _own_cells(nb):
    """The cells of an executed copy that are the notebook's own, with their numbers."""
    return [*enumerate((cell for cell in nb.cells if not PAPERMILL_TAGS & cell_tags(cell)), 1)]


def _named(number, cell):
    lines = [line.strip() for line in cell.source.splitlines()]
    first = next((line for line in lines if line and not line.startswith("#")), "")
    where = f"what cell {cell.metadata[TRIED]} asks to try" if TRIED in cell.metadata else f"cell {number}"
    return f"{where} ({first[:60]})"


def _failed_cell(cells):
    """Name the first cell that failed, and its error, in one line; empty if none did."""
    for number, cell in cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                ended = "what follows was not run" if output.ename == "SystemExit" else ""
                return f"{_named(number, cell)}: {output.ename}: {output.evalue.strip()[:500] or ended}"
    return ""


def _failure(error, copy):
    """Say in one line why a run failed that left this copy."""
    from nbclient.exceptions import DeadKernelError

    if isinstance(error, UsageError):
        return str(error)
    if isinstance(error, OSError):
        return (
            f"cannot write into {short(exports_folder())}: {error.strerror or error}; make room there or the folder "
            "writable, or let WORKBOOK_EXPORTS name another one"
        )
    try:
        cells = _own_cells(nbformat.read(copy, 4))
    except (OSError, ValueError, nbformat.ValidationError):  # not there, or cut off by a full disk
        cells = []
    if isinstance(error, DeadKernelError):
        begun = [(number, cell) for number, cell in cells if cell.metadata.get("papermill", {}).get("start_time")]
        return f"{_named(*begun[-1]) if begun else 'before its first cell'}: its process {KILLED}"
    last = [line for line in str(error).splitlines() if line.strip()][-1:]
    return _failed_cell(cells) or f"{type(error).__name__}: {''.join(last).strip()}"


def _literal(path):
    """A path of which papermill fills in nothing: it takes braces in the names of folders for places of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def _alone(folder):
    """Keep other runs out of a folder, where files can be locked; the lock ends with this process, however that ends.

    Raises:
        UsageError: another run is in it; the message says whose.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".running", "a+", encoding="utf-8") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise UsageError(f"it is being run already, by {file.read()}: wait for that, or end it") from error
        except (ImportError, OSError):  # Windows, or a file system that knows no locks
            pass
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M')}")
        file.flush()
        yield


def run(path, form="pdf", **how):
    """Execute one notebook into `exports/<name>/` and export it to `exports/<name>.pdf` (or .html); returns Outcome.

    `how` are the arguments of `execute`. A failed run leaves the partly executed copy and no report, not even that of
    an earlier run in the same format, which would be taken for this one's.
    """
    return _with_report(execute(path, form, **how), path, form)


def execute(path, form="pdf", profile="cpu", values=None, authors=(), date=None, threads=None, tries=False):
    """The first half of `run`: execute a notebook, remove its report; returns Outcome.

    With `tries` the changes that the notebook asks its reader to try are made after its own cells, in the same kernel.
    """
    start = time.perf_counter()
    copy = executed_copy(path)
    used = copy.with_name(USED)
    try:
        with _alone(copy.parent):
            for old in (copy, used, produced(path, form)):
                old.unlink(missing_ok=True)
            nb = _executed(path, copy, profile, values, threads, tries)
            nb.metadata["workbook"] = _about(path, nb, profile, time.perf_counter() - start, list(authors), date)
            nbformat.write(nb, copy)
            names = used.read_text("utf-8").splitlines() if used.exists() else []
            return Outcome(time.perf_counter() - start, "", nb, tuple(names))
    except Exception as error:  # whatever happened, it is told in one line and the other notebooks go on
        return Outcome(time.perf_counter() - start, _failure(error, copy))


def _with_report(outcome, path, form):
    """The second half of `run`: the report of an executed notebook; returns Outcome."""
    if outcome.problem or form == "none":
        return outcome
    start, problem = time.perf_counter(), ""
    try:
        export(outcome.nb, produced(path, form), path.parent)
    except Exception as error:
        problem = _failure(error, executed_copy(path))
    return outcome._replace(seconds=outcome.seconds + time.perf_counter() - start, problem=problem)


def _engine():
    """Name of the engine that executes notebooks: papermill's own, which writes the whole notebook before and after
    every cell, made to write it at most every SAVED_EVERY seconds and at the end, however that comes.
    """
    from papermill.engines import NBClientEngine, papermill_engines

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, manager, *args, **options):
            save = manager.save

            def save_if_due(**_):
                if (manager.now() - manager.last_save_time).total_seconds() >= SAVED_EVERY:
                    save()

            manager.save = save_if_due
            try:
                return super().execute_managed_notebook(manager, *args, **options)
            finally:
                manager.save = save

    papermill_engines.register("workbook", Engine)
    return "workbook"


def _executed(path, copy, profile, values, threads, tries):
    """Execute a notebook into `copy`; returns it. Raises UsageError, naming the cell, and papermill's own errors."""
    import papermill

    set_environment(path, profile, values or {})  # the kernel inherits it
    os.environ |= {"PYTHONPATH": str(ROOT), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    os.environ["WORKBOOK_USED"] = str(copy.with_name(USED).resolve())
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    # Of a dead kernel our own line tells; a stopped one would show a traceback of its sockets.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    nb = read(path)
    papermill.execute_notebook(
        with_tries(nb) if tries else nb,
        _literal(copy),
        values or {},
        _engine(),
        cwd=path.parent,
        progress_bar=False,
        kernel_name="python3",
        language="python",
        extra_arguments=["--IPKernelApp.log_level=50"],
    )
    nb = nbformat.read(copy, 4)
    if problem := _failed_cell(_own_cells(nb)):  # sys.exit() is no error to papermill
        raise UsageError(problem)
    return nb


def export(source, target, folder=None):
    """Export an executed notebook to a file that ends in .pdf or .html, without running it. `folder` is where the
    pictures lie that its text names, if not beside it.
    """
    from lib.workbook.export import export_html, export_pdf

    {".pdf": export_pdf, ".html": export_html}[target.suffix](source, target, folder)


def run_all(jobs, workers):
    """Run all jobs with one printed line each; {path: Outcome} of those that went well.

    Raises:
        UsageError: a notebook cannot be read; nothing has run then.
    """
    titles, workers = {job["path"]: title(read(job["path"])) for job in jobs}, min(workers, len(jobs))
    print(f"Running {len(jobs)} of the notebooks, {workers} at a time …", flush=True)

    def told(path, form, outcome):
        copy = executed_copy(path)
        if outcome.problem:
            where = f"\n    the partly executed copy is {short(copy)}" if copy.exists() else ""
            result = f"FAILED: {outcome.problem}{where}"
        else:
            result = f"ok, {short(produced(path, form))}"
        print(f"{path.name[:2]}  {titles[path]}  {outcome.seconds:.0f} s  {result}", flush=True)
        return path, outcome

    if workers <= 1:
        outcomes = _one_by_one(jobs, told)
    else:
        outcomes = [
            told(job["path"], job["form"], outcome or Outcome(seconds, f"its process {KILLED}"))
            for job, outcome, seconds in side_by_side(run, jobs, workers)
        ]
    return {path: outcome for path, outcome in outcomes if not outcome.problem}


def _one_by_one(jobs, told):
    """Execute notebooks one after the other in this process; a thread writes the report of each meanwhile, since all of
    them take as long as another notebook.
    """

    def finished(outcome, path, form):
        return told(path, form, _with_report(outcome, path, form))

    with ThreadPoolExecutor(1) as reports:
        futures = [reports.submit(finished, execute(**job), job["path"], job["form"]) for job in jobs]
        return [future.result() for future in futures]
