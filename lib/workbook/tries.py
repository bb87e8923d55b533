"""What a notebook asks its reader to try, tried: every change is made and run after a run of the notebook.

A change is a Markdown cell tagged `try-it`, whose metadata say under `try` what the reader does, all of it optional:

    change  pairs [old, new]: a piece of code that stands in exactly one code cell before, and what takes its place
    rerun   pieces of code, each of which stands in exactly one code cell before: cells to run again after the change
    run     code to run at the end

Changed cells are run again too; of the cell with the parameters only the changed lines, so that a profile's values
stay. Afterwards the cells run once more as they stand, so that no change meets another.
"""

import copy

from nbformat.v4 import new_code_cell

from lib.workbook.notebooks import UsageError, cell_tags

TRY, TRIED = "try-it", "tried"
KEYS = ("change", "rerun", "run")


def with_tries(nb):
    """A copy of a notebook that, after its own cells, makes every change that it asks for and undoes it.

    The new cells carry the tag `tried`, and under `tried` in their metadata the number of the cell that asks.

    Raises:
        UsageError: there is nothing to run, or a piece of code stands in no cell before or in several.
    """
    nb = copy.deepcopy(nb)
    for index in [index for index, cell in enumerate(nb.cells) if TRY in cell_tags(cell)]:
        try:
            sources = _sources(nb, index)
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"cell {index + 1}: metadata `try` cannot be understood: {error}") from error
        for source in sources:
            nb.cells.append(new_code_cell(source, metadata={"tags": [TRIED], TRIED: index + 1}))
    return nb


def _sources(nb, index):
    """What runs for the change that a cell asks for, one source for each new cell."""
    asked, number = nb.cells[index].metadata.get("try", {}), index + 1
    if not asked or {*asked} - {*KEYS}:
        raise UsageError(f"cell {number}: metadata `try` needs some of {', '.join(KEYS)}, and has {', '.join(asked)}")
    before = [cell for cell in nb.cells[:index] if cell.cell_type == "code"]
    changes = [(_only(before, old, number), old, new) for old, new in asked.get("change", [])]
    chosen = [cell for cell, _, _ in changes] + [_only(before, piece, number) for piece in asked.get("rerun", [])]
    done, undone = [], []
    for cell in [cell for cell in before if any(cell is one for one in chosen)]:
        source = cell.source
        for changed, old, new in changes:
            source = source.replace(old, new) if changed is cell else source
        if "parameters" in cell_tags(cell):
            lines = [line for line in source.splitlines() if line not in cell.source.splitlines()]
            names = [line.split("=")[0].strip() for line in lines]
            done.append("\n".join([f"parameters_before = {{name: globals()[name] for name in {names}}}", *lines]))
            undone.append("globals().update(parameters_before)")
        else:
            done.append(source)
            undone.append(cell.source)
    return done + [code for code in [asked.get("run")] if code] + undone


def _only(cells, piece, number):
    found = [cell for cell in cells if piece in cell.source]
    if len(found) != 1:
        where = f"{len(found)} code cells" if found else "no code cell"
        raise UsageError(f"cell {number}: {piece!r} stands in {where} before it; name a piece that stands in one")
    return found[0]
