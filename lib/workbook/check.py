"""Are the committed notebooks clean and complete? And what makes an executed one so."""

import os
import re

import nbformat

from lib.storage.paths import ROOT
from lib.workbook.notebooks import PAPERMILL_TAGS

MAX_NOTEBOOK_BYTES = 1_500_000


def clean(nb, dropped=PAPERMILL_TAGS):
    """The notebook as it is committed: outputs kept, widgets as pictures, no times, no traces of papermill.

    `dropped` are the tags of cells that are left out.
    """
    from lib.workbook.export import freeze_widgets

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
            if shows_machine(output):
                found.append(f"{where} shows a path of the machine it ran on")
    return found


def shows_machine(part):
    """Whether an output, or a cell without its outputs, shows a path that means something on one machine only."""
    text = str({kind: value for kind, value in part.get("data", part).items() if "image/" not in kind})
    return f"{ROOT}{os.sep}" in text or bool(re.search(r"(/(root|home|tmp|Users)/|\b[A-Z]:\\\\)\w", text))
