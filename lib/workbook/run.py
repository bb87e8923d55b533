"""Run notebooks headless and export them: one by one or side by side, with a printed line for each."""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from multiprocessing import get_context

import nbformat

from lib.storage.paths import ROOT, checkpoints_folder, exports_folder
from lib.workbook.notebooks import PAPERMILL_TAGS, UsageError, cell_tags, short, title
from lib.workbook.tries import TRIED, with_tries

FORMATS = ("pdf", "html", "none")
USED = "checkpoints.txt"  # beside an executed copy: the files in `checkpoints/` that it loaded or wrote


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


def _failure(error, nb):
    """Name the cell and the error of a failed run in one line."""
    own = [cell for cell in nb.cells if not PAPERMILL_TAGS & cell_tags(cell)]
    for number, cell in enumerate(own, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                lines = [line.strip() for line in cell.source.splitlines()]
                first = next((line for line in lines if line and not line.startswith("#")), "")
                where = f"what cell {cell.metadata[TRIED]} asks to try" if TRIED in cell.metadata else f"cell {number}"
                return f"{where} ({first[:60]}): {output.ename}: {output.evalue.strip()[:500]}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"


def _literal(path):
    """A path of which papermill fills in nothing: it takes braces in the names of folders for places of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _unwritable(folder, error):
    """Say that produced files could not be stored, and the remedy."""
    return (
        f"cannot write into {short(folder)}: {error.strerror or error}; make room there or the folder writable, or "
        "let WORKBOOK_EXPORTS name another one"
    )


def run(path, profile="cpu", values=None, form="pdf", authors=(), date=None, threads=None, tries=False):
    """Execute one notebook into `exports/<name>/` and export it to `exports/<name>.pdf` (or .html).

    With `tries` the changes that the notebook asks its reader to try are made after its own cells, in the same kernel.

    Returns:
        (seconds, problem): the problem is empty if everything went well. A failed run leaves the partly executed copy
        and no report, not even that of an earlier run, which would be taken for this one's.
    """
    import papermill

    exports = exports_folder()
    copy = executed_copy(path)
    reports = [exports / f"{path.stem}.{kind}" for kind in ("pdf", "html")]
    used = copy.with_name(USED)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        for old in (copy, used, *reports):
            old.unlink(missing_ok=True)
    except OSError as error:
        return 0.0, _unwritable(copy.parent, error)
    environment = {
        "WORKBOOK_PROFILE": profile,
        "PYTHONPATH": str(ROOT),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "WORKBOOK_EXPORTS": str(exports.resolve()),
        "WORKBOOK_CHECKPOINTS": str(checkpoints_folder().resolve()),
        "WORKBOOK_USED": str(used.resolve()),
    }
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    os.environ.update(environment)  # the kernel inherits it
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            with_tries(nbformat.read(path, 4)) if tries else _literal(path),
            _literal(copy),
            values or {},
            cwd=path.parent,
            progress_bar=False,
            kernel_name="python3",
            language="python",
            extra_arguments=["--IPKernelApp.log_level=40"],  # errors only: its warnings would stand among our lines
        )
        nb = nbformat.read(copy, 4)
        nb.metadata["workbook"] = _about(path, nb, profile, time.perf_counter() - start, list(authors), date)
        nbformat.write(nb, copy)
        if form != "none":
            export(copy, produced(path, form))
    except Exception as error:  # whatever happened, it is told in one line and the other notebooks go on
        for unfinished in reports:
            unfinished.unlink(missing_ok=True)
        try:
            nb = nbformat.read(copy, 4)
        except (OSError, ValueError, nbformat.ValidationError):  # not there, or cut off by a full disk
            nb = nbformat.v4.new_notebook()
        problem = _unwritable(exports, error) if isinstance(error, OSError) else _failure(error, nb)
        return time.perf_counter() - start, problem
    return time.perf_counter() - start, ""


def export(source, target):
    """Export an executed notebook to a file that ends in .pdf or .html, without running it."""
    from lib.workbook.export import export_html, export_pdf

    {".pdf": export_pdf, ".html": export_html}[target.suffix](source, target)


def _side_by_side(jobs, workers):
    """Yield (job, result of `run`) for jobs given as its keyword arguments; several workers run them side by side."""
    if workers == 1:
        for job in jobs:
            yield job, run(**job)
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [(job, pool.submit(run, **job, threads=threads)) for job in jobs]
        for job, future in futures:
            try:
                yield job, future.result()
            except BrokenProcessPool:
                yield job, (0.0, "its process was killed (out of memory?)")


def run_all(jobs, workers):
    """Run all jobs with one printed line each; the paths of those that went well."""
    good = []
    print(f"Running {len(jobs)} of the notebooks, {min(workers, len(jobs))} at a time …", flush=True)
    for job, (seconds, problem) in _side_by_side(jobs, workers):
        path, form = job["path"], job["form"]
        copy = executed_copy(path)
        if problem:
            where = f"\n    the partly executed copy is {short(copy)}" if copy.exists() else ""
            result = f"FAILED: {problem}{where}"
        else:
            good.append(path)
            result = f"ok, {short(produced(path, form))}"
        print(f"{path.name[:2]}  {title(nbformat.read(path, 4))}  {seconds:.0f} s  {result}", flush=True)
    return good
