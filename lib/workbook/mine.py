"""The reader's own versions of notebooks, kept in `notebooks/mine/`, which git ignores. Standard library only."""

import json
import os
import re
from pathlib import Path

from lib.storage.files import write_atomically

MINE = "notebooks/mine"
# In a kept copy, before its first code cell.
UP = f"""# This copy lies in {MINE}/; relative paths are those of notebooks/, one folder up.
import os

if os.path.basename(os.getcwd()) == "mine":
    os.chdir("..")"""


def keep(root, path, data, day):
    """Write a notebook's content into `notebooks/mine/`, as `NN_name_DATE.ipynb` or with a number behind.

    Args:
        root: the workbook's folder. path: where the notebook lies. data: its bytes. day: the date, as text.

    Returns:
        Path of the kept file; none is ever overwritten.

    Raises:
        CheckpointError: it cannot be written.
    """
    stem, number = f"{Path(path).stem}_{day}", 1
    while os.path.lexists(place := root / MINE / (f"{stem}.ipynb" if number == 1 else f"{stem}_{number}.ipynb")):
        number += 1
    write_atomically(place, moved_down(data, root / "notebooks"))
    return place


def moved_down(data, folder):
    """A notebook so that it works one folder deeper: links and relative paths lead to where they led.

    Args:
        data: bytes of the notebook; what is no notebook is given back as it is. folder: path of its folder.
    """
    try:
        nb = json.loads(data)
        cells = nb["cells"]
        for cell in cells:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                cell["source"] = re.sub(r"(?<=\]\()[^\s()#:/][^\s()#:]*", lambda link: _one_up(link, folder), text)
        first = next((number for number, cell in enumerate(cells) if cell["cell_type"] == "code"), None)
        if first is not None and "".join(cells[first]["source"]) != UP:
            up = {"cell_type": "code", "execution_count": None, "outputs": [], "source": UP}
            up["metadata"] = {"jupyter": {"source_hidden": True}}
            if (nb["nbformat"], nb["nbformat_minor"]) >= (4, 5):  # earlier cells have no ids
                up["id"] = "one-folder-up"
            cells.insert(first, up)
        return (json.dumps(nb, indent=1, ensure_ascii=False) + "\n").encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        return data


def _one_up(link, folder):
    return f"../{link.group()}" if os.path.lexists(folder / link.group()) else link.group()
