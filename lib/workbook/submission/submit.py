"""Run the notebooks of a sheet and pack what is handed in."""

import datetime
import os
import re
import sys

import nbformat

from lib.storage.paths import ROOT, exports_folder
from lib.workbook import notebooks
from lib.workbook.check import clean, shows_machine
from lib.workbook.exercises import EDITION
from lib.workbook.notebooks import PAPERMILL_TAGS
from lib.workbook.run import Outcome, run_all
from lib.workbook.submission import archive
from lib.workbook.submission.file_names import file_stem, pdf_name
from lib.workbook.submission.members import members
from lib.workbook.submission.merged_pdf import Report, merged_pdf
from lib.workbook.submission.sheets import notebooks_of
from lib.workbook.submission.summary import summary


def submit(sheet, names, matriculations, emails, pdf=None, profile="cpu", date=None, workers=1):
    """Run the notebooks of a sheet and pack what is handed in; returns whether that was done.

    Everything that was given is checked before anything runs. An archive is written only if every notebook ran.

    Raises:
        UsageError: what was given is refused, a notebook cannot be printed, or the archive cannot be written.
    """
    people = members(names, matriculations, emails)
    paths = notebooks_of(sheet, {path.name[:2]: path for path in notebooks.paths()})
    stem = file_stem(people[0])
    pdf, target = pdf_name(pdf, stem), exports_folder() / f"{stem}.zip"
    archive.check_files()
    date = date or datetime.date.today().isoformat()
    about = {"profile": profile, "form": "none", "authors": [person.name for person in people], "date": date}
    if EDITION.exists():  # what is not written yet stops a run, and is no reason to hand in nothing
        good = {path: as_it_stands(path) for path in paths}
    else:
        jobs = [{"path": path, "values": notebooks.parameters(path, profile)} | about for path in paths]
        good = run_all(jobs, workers)
    if len(good) < len(paths):
        old = "; the one of an earlier run is unchanged" if target.exists() else ""
        print(f"no archive was written, because not every notebook ran{old}", file=sys.stderr)
        return False
    reports = [_tidy(path, good[path].nb) for path in paths]
    used = {name for path in paths for name in good[path].used}
    content, first = merged_pdf(reports, people, sheet, date)
    kinds = {pdf: {pdf: content}} | archive.contents(reports, notebooks.FOLDER, used)
    sizes = archive.write(target, kinds)
    for line in summary(target, kinds, sizes, reports, first):
        print(str(line).replace(str(ROOT) + os.sep, ""))
    if profile != "cpu":
        print(f"  note: the notebooks ran with the profile {profile}, not with the values that stand in them")
    for report in reports:
        for number, cell in enumerate(report.nb.cells, 1):
            if any(map(shows_machine, [{"source": cell.source}, *cell.get("outputs", [])])):
                print(f"  note: {report.path.name}, cell {number} names a path of this machine; use a relative one")
    return True


def as_it_stands(path):
    """A notebook of the student edition, handed in as it was saved last."""
    nb = notebooks.read(path)
    nb.metadata["workbook"] = {"number": path.name[:2], "title": notebooks.title(nb)}
    return Outcome(0.0, "", nb)


def _tidy(path, nb):
    """A notebook as it is handed in: what the run has shown, with the parameters that were set for it."""
    about = nb.metadata["workbook"]
    nb = relative(clean(nb, PAPERMILL_TAGS - {"injected-parameters"}, told=True))
    nb.metadata["workbook"] = about
    return Report(about["number"], about["title"], path, nb)


def relative(node):
    """A notebook, or a part of one, in whose texts paths of files within the workbook are relative."""
    if isinstance(node, str):
        for root, sep in ((str(ROOT), os.sep), (repr(str(ROOT))[1:-1], repr(os.sep)[1:-1])):
            node = re.sub(re.escape(root) + r"(?![\w.-])", ".", node.replace(root + sep, ""))
        return node
    if isinstance(node, list):
        return [relative(item) for item in node]
    return nbformat.from_dict({key: relative(value) for key, value in node.items()}) if isinstance(node, dict) else node
