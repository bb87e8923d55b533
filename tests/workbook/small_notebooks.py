"""Small notebooks for tests, in place of the workbook's own."""

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

PARAMETERS = """# what can be set
text = "as it stands"
steps = 3  # epochs
rate: float = 0.1
retrain = False"""
SAVE = """import json, os, pathlib
folder = pathlib.Path(os.environ["WORKBOOK_EXPORTS"])
values = {"text": text, "steps": steps, "rate": rate, "retrain": retrain, "profile": os.environ["WORKBOOK_PROFILE"]}
(folder / "values.json").write_text(json.dumps(values))
print(steps)"""


def write(path, *sources, parameters=PARAMETERS):
    """A notebook with a title, a cell of parameters and these cells, code where it is a text; returns its path."""
    cells = [new_markdown_cell(f"# Title of {path.stem}\n\n## Not this"), new_code_cell(parameters)]
    cells[1].metadata["tags"] = ["parameters"]
    nb = new_notebook(cells=cells + [new_code_cell(one) if isinstance(one, str) else one for one in sources])
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nb, path)
    return path
