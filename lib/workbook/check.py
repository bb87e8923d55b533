"""Are the committed notebooks clean and complete? And what makes an executed one so."""

import os
import re

import nbformat

from lib.storage.paths import ROOT
from lib.workbook import glossary, reading
from lib.workbook.contents import contents
from lib.workbook.notebooks import PAPERMILL_TAGS, UsageError, cell_tags, read
from lib.workbook.tries import TRY, with_tries

MAX_NOTEBOOK_BYTES = 1_500_000
MAX_FILM_BYTES, MAX_FILMS_BYTES = 150_000, 450_000  # of one, and of all of a notebook together
KEPT = ("tags", "item", "try", "nbgrader")  # metadata of a cell
TAGS = {
    "code": {"parameters", "nbval-check-output", "solution", *reading.FOLDED},
    "markdown": {reading.CONTENTS, "deeper", "answer", "solution", TRY},
    "raw": set(),
}


# What a training or a sweep says of its place in the store, in `lib.training.checkpoints`; the run table has the same.
STORED = re.compile(r"^\d\d_\w+/[\w.-]+: .*\d CPU-(seconds|minutes)\b.*\n?", re.M)


def clean(nb, dropped=PAPERMILL_TAGS, told=False):
    """The notebook as it is committed: outputs kept, widgets as pictures, no times, no traces of papermill or store.

    `dropped` are the tags of cells that are left out; `told` keeps what was said of the store.
    """
    from lib.workbook.export import freeze_widgets

    nb = freeze_widgets(nb)
    nb.cells = [cell for cell in nb.cells if not dropped & cell_tags(cell)]
    for number, cell in enumerate(nb.cells):
        kept = {key: value for key, value in cell.metadata.items() if key in KEPT and value}
        cell.metadata = nbformat.from_dict(kept | folding(cell))
        cell["id"] = f"cell-{number:03d}"
        if cell.cell_type == "code":
            for output in cell.outputs:
                if output.get("name") == "stdout" and not told:
                    output.text = STORED.sub("", output.text)
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr" and one.get("text") != ""]
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


def folding(cell):
    """The metadata by which JupyterLab folds a cell: its source, and an answer until it is run."""
    if cell.cell_type != "code" or not reading.FOLDED & cell_tags(cell):
        return {}
    return {"jupyter": {"source_hidden": True} | ({"outputs_hidden": True} if "predict" in cell_tags(cell) else {})}


def problems(path):
    """What keeps a notebook from being committed, one line each."""
    from lib.workbook.export import film_sizes

    nb, found = read(path), []
    if path.stat().st_size > MAX_NOTEBOOK_BYTES:
        found.append(
            f"{path.stat().st_size / 1e6:.1f} MB; at most {MAX_NOTEBOOK_BYTES / 1e6} MB: make its figures smaller"
        )
    films = film_sizes(nb)
    if sum(films) > MAX_FILMS_BYTES or max(films, default=0) > MAX_FILM_BYTES:
        found.append(
            f"films of {', '.join(f'{size / 1e3:.0f}' for size in films)} KB; at most {MAX_FILM_BYTES // 1000} KB each "
            f"and {MAX_FILMS_BYTES // 1000} together: give them fewer `kilobytes`"
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
            if shows_machine(output):
                found.append(f"{where} shows a path of the machine it ran on")
    return found + _unreadable(nb)


def _unreadable(nb):
    """What the tags and links of the cells get wrong, one line each."""
    found = []
    for number, cell in enumerate(nb.cells, 1):
        where, tags = f"cell {number}", cell_tags(cell)
        if unknown := tags - TAGS[cell.cell_type]:
            found.append(f"{where} has the unknown tag {', '.join(sorted(unknown))}")
        if cell.metadata.get("jupyter", {}) != folding(cell).get("jupyter", {}):
            found.append(f"{where} is not folded as its tags say: run `make ship`")
        if "deeper" in tags and not cell.source.lstrip().startswith("#"):
            found.append(f"{where} is tagged `deeper`, but does not begin with a heading")
        if "answer" in tags and not cell.metadata.get("item"):
            found.append(f"{where} is tagged `answer`, but its metadata name no `item`")
        if reading.CONTENTS in tags and cell.source != contents(nb):
            found.append(f"{where} is not the table of contents of today: run `make ship`")
    found += [f"there is no {anchor!r} in the glossary" for anchor in {*glossary.links(nb)} - {*glossary.entries()}]
    try:
        with_tries(nb)
    except UsageError as error:
        found.append(str(error))
    return found


def measures(nb):
    """What a notebook asks of its reader: {what: (how much, the most that is meant)}."""
    counts, (core, _) = reading.counts(nb), reading.minutes(nb)
    return {
        "lines of code in sight": (counts.lines, 350),
        "lines of the library's source": (counts.shown, 250),
        "lines of code in sight for seven words of prose": (counts.lines, counts.words // 7),
        "lines in the longest cell in sight": (counts.longest_cell, 25),
        "lines in the longest source that is shown": (counts.longest_shown, 40),
        "minutes on the core path": (round(core), 75),
    }


def unfinished(nb):
    """What a notebook lacks of the form that all are to have in the end, one line each."""
    found = [f"{value} {what}; at most {most}" for what, (value, most) in measures(nb).items() if value > most]
    if not any(reading.CONTENTS in cell_tags(cell) for cell in nb.cells):
        found.append("has no cell tagged `contents`")
    for number, cell in enumerate(nb.cells, 1):
        if cell.cell_type == "markdown" and "**Try it" in cell.source and TRY not in cell_tags(cell):
            found.append(f"cell {number} asks to try something that its metadata do not tell: tag it `{TRY}`")
    prompts = sum(cell.source.count("**Predict") for cell in nb.cells if cell.cell_type == "markdown")
    answers = sum("predict" in cell_tags(cell) for cell in nb.cells if cell.cell_type == "code")
    if prompts != answers:
        found.append(f"asks for {prompts} predictions and answers {answers} of them in cells tagged `predict`")
    return found


def print_counts(paths):
    """Print for each notebook how much code and prose a reader meets; a ! marks what is beyond the measures."""
    print("    lines in sight  shown  words/line  longest cell  longest source  core minutes  deeper")
    for path in paths:
        nb = read(path)
        counts, (core, deeper) = reading.counts(nb), reading.minutes(nb)
        words = f"{counts.words / max(counts.lines, 1):.1f}"
        values = [counts.lines, counts.shown, words, counts.longest_cell, counts.longest_shown, round(core)]
        marks = ["!" if value > most else " " for value, most in measures(nb).values()]
        widths = (16, 7, 12, 14, 16, 14)
        columns = [f"{value}{mark}".rjust(width) for value, mark, width in zip(values, marks, widths, strict=True)]
        print(f"{path.name[:2]}{''.join(columns)}{deeper:8.0f}")


def shows_machine(part):
    """Whether an output, or a cell without its outputs, shows a path that means something on one machine only."""
    text = str({kind: value for kind, value in part.get("data", part).items() if "image/" not in kind})
    return f"{ROOT}{os.sep}" in text or bool(re.search(r"(/(root|home|tmp|Users)/|\b[A-Z]:\\\\)\w", text))
