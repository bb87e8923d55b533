"""An executed notebook, as it is handed in, for tests."""

from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lib.workbook.submission.merged_pdf import Report


def report(number, *sources, folder=Path("notebooks")):
    """The notebook of this number, with headings, links to them, and cells of these sources."""
    headings = [f"## {letter}{number}\n\nSee [the third](#C{number})." for letter in "ABCD"]
    cells = [new_markdown_cell(f"# Exercise {number}\n\n" + "\n\n".join(headings)), *map(new_code_cell, sources)]
    about = {"number": number, "title": f"Exercise {number}"}
    return Report(
        number,
        f"Exercise {number}",
        folder / f"{number}_name.ipynb",
        new_notebook(cells=cells, metadata={"workbook": about}),
    )
