"""What is said about an archive: what it holds, how large it is, and what may have been forgotten."""

import itertools
import re
from pathlib import PurePosixPath

from lib.workbook.submission.archive import FEEDBACK
from lib.workbook.submission.merged_pdf import page_span


def summary(path, kinds, sizes, reports, first):
    """Lines about the archive at `path`, which holds these `kinds`; `first` are the first pages of the reports."""
    count = sum(len(files) for files in kinds.values())
    yield f"{path}: {_size(path.stat().st_size)}, {count} files"
    spans = zip(reports, itertools.pairwise(first), strict=True)
    pages = "; ".join(f"{report.number} {report.title} {page_span(start, end)}" for report, (start, end) in spans)
    for kind, files in kinds.items():
        if kind.endswith(".pdf"):
            note = f"{first[-1] - 1} pages: cover 1; {pages}"
        elif kind == FEEDBACK:
            note = feedback_note(files[FEEDBACK].decode("utf-8", "replace"), [report.number for report in reports])
        elif kind == "code":
            note = f"{len(files)} files: " + ", ".join(sorted({name.split("/")[0] for name in files}))
        else:
            note = f"{len(files)} files: {', '.join(_folders(files))}" if files else "none"
        yield f"  {_size(sizes[kind]):>9}  {kind}: {note}"
    yield "  left out: other files, data, notebooks and results; exports, caches"


def _folders(files):
    """What the files are parts of: a notebook, a result's folder, a file or folder of `data/`."""
    named = set()
    for place in map(PurePosixPath, files):
        whole = place.name if place.suffix == ".ipynb" else place.parent.name
        named.add(place.parts[1] if place.parts[0] == "data" else whole)
    return sorted(named - {"notebooks"})


def feedback_note(text, numbers):
    """Whether the feedback form says how many hours the notebooks of these numbers took."""
    empty = [number for number in numbers if re.search(rf"^\|\s*{number}\b[^|]*\|\s*\|\s*$", text, re.M)]
    return f"the hours for {', '.join(empty)} are not filled in" if empty else "filled in, thank you"


def _size(count):
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
