"""Run the notebooks, export them, check them and ship their results: `python -m lib.workbook --help`.

The Makefile calls nothing but this, so that everything also works where there is no make.
"""

import argparse
import ast
import datetime
import os
import re
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

import nbformat
import yaml

from lib.paths import ROOT, checkpoints_folder, exports_folder

NOTEBOOKS = ROOT / "notebooks"
PROFILES = ("cpu", "smoke", "gpu")  # "cpu" is what stands in the notebooks themselves
RETRAIN = {"1": True, "all": "all"}
MAX_NOTEBOOK_BYTES = 1_500_000
USED = "checkpoints.txt"  # beside an executed copy: the files in `checkpoints/` that it loaded or wrote
PAPERMILL_TAGS = {"injected-parameters", "papermill-error-cell-tag"}  # of the cells that papermill adds to a copy


class UsageError(Exception):
    """Something asked for does not exist; the message lists what does. Exit code 2."""


# --- what there is --------------------------------------------------------------------------------------------------


def notebooks(only=None):
    """Paths of the notebooks, all or those whose numbers are listed ("01,02").

    Raises:
        UsageError: a number without a notebook.
    """
    found = {path.name[:2]: path for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))}
    if only is None:
        return list(found.values())
    wanted = [number.strip().zfill(2) for number in str(only).split(",") if number.strip()]
    if unknown := [number for number in wanted if number not in found] or (not wanted and ["(none)"]):
        raise UsageError(f"no notebook {', '.join(unknown)}; there are {', '.join(found)}")
    return [found[number] for number in sorted(set(wanted))]


def title(nb):
    """Text of the first heading, without the number that may stand before it."""
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    match = re.search(r"^#\s+(?:\d+\s+)?(.+)$", text, re.M)
    return match.group(1).strip() if match else "untitled"


def default_parameters(nb):
    """Names and source of the values in the cell tagged `parameters`."""
    cells = [cell for cell in nb.cells if "parameters" in cell.metadata.get("tags", [])]
    return {
        target.id: ast.unparse(node.value)
        for node in (ast.parse(cells[0].source).body if cells else [])
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }


def parameters(path, profile, retrain=None, extra=()):
    """The values that papermill sets in a notebook: the profile's, then RETRAIN, then those given by hand.

    Raises:
        UsageError: an unknown profile, a parameter that the notebook does not have, or a value that is no YAML.
    """
    if profile not in PROFILES:
        raise UsageError(f"no profile {profile!r}; there are {', '.join(PROFILES)}")
    values = {}
    if profile != "cpu":
        values |= (yaml.safe_load((NOTEBOOKS / "profiles" / f"{profile}.yaml").read_text("utf-8")) or {}).get(
            path.stem
        ) or {}
    if retrain is not None:
        if retrain not in RETRAIN:
            raise UsageError(f"no RETRAIN={retrain}; use 1 (the headline models) or all (the sweeps too)")
        values["retrain"] = RETRAIN[retrain]
    for assignment in extra:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UsageError(f"-p wants name=value, got {assignment!r}")
        values[name.strip()] = _parsed(name.strip(), value)
    for name, value in values.items():
        if not _is_plain(value):
            raise _not_plain(name, value)
    known = default_parameters(nbformat.read(path, 4))
    if unknown := sorted(set(values) - set(known)):
        raise UsageError(f"{path.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}")
    return values


def _parsed(name, text):
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):  # a value that contains itself
            raise _not_plain(name, text)
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise _not_plain(name, text) from error


def _not_plain(name, value):
    return UsageError(
        f"the value of {name!r} is no plain value: {str(value)[:100]!r}; plain are numbers, texts, true, false, null, "
        "and lists and mappings of them"
    )


def _is_plain(value):
    """Whether papermill can write this value into a notebook. It does not escape what stands in others: a date, a set
    or the bytes of YAML's `!!binary` might end as code.
    """
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


# --- running --------------------------------------------------------------------------------------------------------


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
    own = [cell for cell in nb.cells if not PAPERMILL_TAGS & {*cell.metadata.get("tags", [])}]
    for number, cell in enumerate(own, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                lines = [line.strip() for line in cell.source.splitlines()]
                first = next((line for line in lines if line and not line.startswith("#")), "")
                return f"cell {number} ({first[:60]}): {output.ename}: {output.evalue.strip()[:500]}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[-1] if str(error).strip() else ''}"


def _literal(path):
    """A path of which papermill fills in nothing: it takes braces in the names of folders for places of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _unwritable(folder, error):
    """Say that produced files could not be stored, and the remedy."""
    return (
        f"cannot write into {_short(folder)}: {error.strerror or error}; make room there or the folder writable, or "
        "let WORKBOOK_EXPORTS name another one"
    )


def run(path, profile="cpu", values=None, form="pdf", authors=(), date=None, threads=None):
    """Execute one notebook into `exports/<name>/` and export it to `exports/<name>.pdf` (or .html).

    Returns:
        (seconds, problem): the problem is empty if everything went well. A failed run leaves the partly executed copy
        and no report, not even that of an earlier run, which would be taken for this one's.
    """
    import papermill

    exports = exports_folder()
    copy = exports / path.stem / path.name
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
            _literal(path),
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
            _export(copy, exports / f"{path.stem}.{form}")
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


def _export(source, target):
    from lib.export import export_html, export_pdf

    {".pdf": export_pdf, ".html": export_html}[target.suffix](source, target)


def _run_all(jobs, workers):
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


def _report(jobs, workers):
    """Run all jobs with one printed line each; the paths of those that went well."""
    good = []
    print(f"Running {len(jobs)} of the notebooks, {min(workers, len(jobs))} at a time …", flush=True)
    for job, (seconds, problem) in _run_all(jobs, workers):
        path, form = job["path"], job["form"]
        copy = exports_folder() / path.stem / path.name
        if problem:
            where = f"\n    the partly executed copy is {_short(copy)}" if copy.exists() else ""
            result = f"FAILED: {problem}{where}"
        else:
            good.append(path)
            result = f"ok, {_short(copy if form == 'none' else exports_folder() / f'{path.stem}.{form}')}"
        print(f"{path.name[:2]}  {title(nbformat.read(path, 4))}  {seconds:.0f} s  {result}", flush=True)
    return good


def _short(path):
    path = Path(path)
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


# --- checking and shipping ------------------------------------------------------------------------------------------


def clean(nb, dropped=PAPERMILL_TAGS):
    """The notebook as it is committed: outputs kept, widgets as pictures, no times, no traces of papermill.

    `dropped` are the tags of cells that are left out.
    """
    from lib.export import freeze_widgets

    nb = freeze_widgets(nb)
    nb.cells = [cell for cell in nb.cells if not dropped & {*cell.metadata.get("tags", [])}]
    for number, cell in enumerate(nb.cells):
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell["id"] = f"cell-{number:03d}"
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nb.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
            "language_info": {
                "name": "python",
                "pygments_lexer": "ipython3",
                "file_extension": ".py",
                "mimetype": "text/x-python",
            },
        }
    )
    return nb


def problems(path):
    """What keeps a notebook from being committed, one line each."""
    nb, found = nbformat.read(path, 4), []
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        found.append(
            f"{path.stat().st_size / 1e6:.1f} MB; at most {MAX_NOTEBOOK_BYTES / 1e6} MB: make its figures smaller"
        )
    if "widgets" in nb.metadata:
        found.append("widget state in the metadata: run `make ship`")
    code = [
        (number, cell) for number, cell in enumerate(nb.cells, 1) if cell.cell_type == "code" and cell.source.strip()
    ]
    if sum("parameters" in cell.metadata.get("tags", []) for _, cell in code) != 1:
        found.append("needs exactly one cell tagged `parameters`")
    for number, cell in code:
        where = f"cell {number}"
        if cell.execution_count is None:
            found.append(f"{where} was never run: run `make ship`")
        lines = cell.source.splitlines()
        if len(lines) > 45:
            found.append(f"{where} has {len(lines)} lines; move what is not taught into lib")
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"{where} has an error or warnings among its outputs")
            if _shows_machine(output):
                found.append(f"{where} shows a path of the machine it ran on")
    return found


def _shows_machine(part):
    """Whether an output, or a cell without its outputs, shows a path that means something on one machine only."""
    text = str({kind: value for kind, value in part.get("data", part).items() if "image/" not in kind})
    return f"{ROOT}{os.sep}" in text or bool(re.search(r"(/(root|home|tmp|Users)/|\b[A-Z]:\\\\)\w", text))


def ship(paths, workers):
    """Run the notebooks as they stand, keep the results they ask for in `checkpoints/` and write their outputs back.

    Results in `checkpoints/<name>/` that a notebook no longer asks for are removed. Returns the paths that went well.
    """
    from lib.checkpoints import CheckpointError, write_atomically

    os.environ["WORKBOOK_SHIP"] = "1"  # `lib.checkpoints` then copies what it loads, and touches what it finds shipped
    start = time.time()
    good = _report([{"path": path, "form": "none"} for path in paths], workers)
    for path in good:
        nb = clean(nbformat.read(exports_folder() / path.stem / path.name, 4))
        try:
            write_atomically(path, f"{nbformat.writes(nb)}\n".encode())
        except CheckpointError as error:
            raise UsageError(str(error)) from error
        for file in (checkpoints_folder() / path.stem).glob("*"):
            if file.stat().st_mtime < start - 2:  # two seconds: the coarsest clock of a file system in use
                file.unlink()
    return good


# --- handing in -----------------------------------------------------------------------------------------------------


def submit(sheet, names, matriculations, emails, pdf=None, profile="cpu", date=None, workers=1):
    """Run the notebooks of a sheet and pack what is handed in, see `lib.submission`; returns whether that was done.

    Everything that was given is checked before anything runs. An archive is written only if every notebook ran.
    """
    from lib import submission

    try:
        people = submission.members(names, matriculations, emails)
        paths = submission.notebooks_of(sheet, {path.name[:2]: path for path in notebooks()})
        stem = submission.file_stem(people[0])
        pdf, target = submission.pdf_name(pdf, stem), exports_folder() / f"{stem}.zip"
        submission.check_files()
        date = date or datetime.date.today().isoformat()
        about = {"profile": profile, "form": "none", "authors": [person.name for person in people], "date": date}
        jobs = [{"path": path, "values": parameters(path, profile)} | about for path in paths]
        if len(_report(jobs, workers)) < len(paths):
            old = "; the one of an earlier run is unchanged" if target.exists() else ""
            print(f"no archive was written, because not every notebook ran{old}", file=sys.stderr)
            return False
        reports = [_tidy(path, submission) for path in paths]
        content, first = submission.merged_pdf(reports, people, sheet, date)
        used = submission.used_by(paths, USED)
        kinds = {pdf: {pdf: content}} | submission.contents(reports, NOTEBOOKS, used)
        sizes = submission.write(target, kinds)
    except submission.SubmissionError as error:
        raise UsageError(str(error)) from error
    for line in submission.summary(target, kinds, sizes, reports, first):
        print(str(line).replace(str(ROOT) + os.sep, ""))
    if profile != "cpu":
        print(f"  note: the notebooks ran with the profile {profile}, not with the values that stand in them")
    for report in reports:
        for number, cell in enumerate(report.nb.cells, 1):
            if any(map(_shows_machine, [{"source": cell.source}, *cell.get("outputs", [])])):
                print(f"  note: {report.path.name}, cell {number} names a path of this machine; use a relative one")
    return True


def _tidy(path, submission):
    """A notebook as it is handed in: what the run has shown, with the parameters that were set for it."""
    nb = nbformat.read(exports_folder() / path.stem / path.name, 4)
    about = nb.metadata["workbook"]
    nb = submission.relative(clean(nb, PAPERMILL_TAGS - {"injected-parameters"}))
    nb.metadata["workbook"] = about
    return submission.Report(about["number"], about["title"], path, nb)


# --- command line ---------------------------------------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lib.workbook", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    choice = argparse.ArgumentParser(add_help=False)
    choice.add_argument("--only", metavar="01,02", help="numbers of the notebooks (default: all)")

    commands.add_parser("list", parents=[choice], help="numbers, titles and parameters of the notebooks")
    commands.add_parser("check", parents=[choice], help="are the committed notebooks clean and complete?")
    running = commands.add_parser(
        "run", parents=[choice], help="execute notebooks headless and export them into exports/"
    )
    training = commands.add_parser(
        "train", parents=[choice], help="the cells of notebooks, without a report: for torchrun, which shares trainings"
    )
    for command in (running, training):
        command.add_argument("--retrain", metavar="1|all", help="1: the headline models again; all: the sweeps too")
        command.add_argument(
            "-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set a parameter by hand"
        )
    running.add_argument("--format", default="pdf", help="pdf (default), html or none")
    running.add_argument("--author", action="append", default=[], help="name for the title page; may be repeated")
    shipping = commands.add_parser(
        "ship", parents=[choice], help="make what was trained the shipped results, keep the outputs"
    )
    handing_in = commands.add_parser("submission", help="run the notebooks of a sheet and pack what is handed in")
    handing_in.add_argument("--sheet", metavar="A|B|C|D|E|all")
    for option, what, example in (
        ("--name", "names", "Ada Lovelace; Alan Turing"),
        ("--matriculation", "matriculation numbers", "1234567; 1234568"),
        ("--email", "e-mail addresses", "ada@uni.example; alan@uni.example"),
    ):
        handing_in.add_argument(option, metavar="A;B;C", help=f'{what} of one to three members: "{example}"')
    handing_in.add_argument("--pdf-name", metavar="NAME.pdf", help="default: Surname-Matriculation.pdf")
    for command in (running, training, handing_in):
        command.add_argument("--profile", default="cpu", help=f"one of {', '.join(PROFILES)} (default: cpu)")
    for command in (running, handing_in):
        command.add_argument("--date", help="date for the title page, as text")
    for command in (running, shipping, handing_in):
        command.add_argument("--jobs", type=int, default=1, help="notebooks side by side (default: 1)")
    export = commands.add_parser("export", help="export an executed notebook, without running it")
    export.add_argument("notebook", type=Path)
    export.add_argument("target", type=Path, help="a file that ends in .pdf or .html")
    args = parser.parse_args(arguments)
    try:
        return _dispatch(args)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was being trained goes on from its last epoch when this is run again", file=sys.stderr)
        return 130


def _dispatch(args):
    if args.command == "export":
        if args.target.suffix not in (".pdf", ".html"):
            raise UsageError(f"{args.target} must end in .pdf or .html")
        if not args.notebook.is_file():
            raise UsageError(f"there is no notebook {args.notebook}")
        from lib.export import ExportError

        try:
            _export(args.notebook, args.target)
        except (OSError, ValueError, ExportError) as error:  # ValueError: the file is no notebook
            raise UsageError(f"{args.target} was not written: {error}") from error
        return 0
    if args.command == "submission":
        people = (args.name, args.matriculation, args.email)
        return int(not submit(args.sheet, *people, args.pdf_name, args.profile, args.date, max(1, args.jobs)))
    paths = notebooks(args.only)
    if args.command == "list":
        for path in paths:
            nb = nbformat.read(path, 4)
            print(f"{path.name[:2]}  {title(nb)}")
            for name, value in default_parameters(nb).items():
                print(f"      {name} = {value}")
        return 0
    if args.command == "check":
        found = [f"{path.name}: {problem}" for path in paths for problem in problems(path)]
        print("\n".join(found) or f"{len(paths)} notebooks are clean and complete")
        return int(bool(found))
    if args.command == "ship":
        return int(len(ship(paths, max(1, args.jobs))) < len(paths))
    if args.command == "train":
        from lib import cells

        values = [parameters(path, args.profile, args.retrain, args.parameter) for path in paths]
        for path, given in zip(paths, values, strict=True):
            if problem := cells.train(path, args.profile, given):
                print(f"{path.name}: {problem}", file=sys.stderr)
                return 1
        return 0
    if args.format not in ("pdf", "html", "none"):
        raise UsageError(f"no format {args.format!r}; there are pdf, html, none")
    jobs = [
        {
            "path": path,
            "profile": args.profile,
            "values": parameters(path, args.profile, args.retrain, args.parameter),
            "form": args.format,
            "authors": args.author,
            "date": args.date,
        }
        for path in paths
    ]
    return int(len(_report(jobs, max(1, args.jobs))) < len(jobs))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # told to end, it stops like by Ctrl+C: kernel first
    sys.exit(main())
