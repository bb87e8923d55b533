"""What keeps a notebook from being committed, and what cleans it."""

import base64

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.storage.paths import ROOT
from lib.workbook import check
from lib.workbook.command_line import main
from lib.workbook.contents import refresh

PROSE = new_markdown_cell(30 * "More words that explain. ")
TEXT = "# T\n" + 20 * "Words that explain what the code below does. "


def executed(*outputs, source="print(1)", **metadata):
    nb = new_notebook(cells=[new_markdown_cell(TEXT), new_code_cell("a = 1", execution_count=1)], metadata=metadata)
    nb.cells[1].metadata["tags"] = ["parameters"]
    nb.cells.append(new_code_cell(source, outputs=list(outputs), execution_count=2))
    nb.cells.append(new_markdown_cell(metadata={"tags": ["contents"]}))
    refresh(nb)
    return nb


def with_cells(*cells):
    """An executed notebook with these cells before its table of contents, which is made anew."""
    nb = executed()
    nb.cells[3:3] = cells
    refresh(nb)
    return nb


def tagged(kind, source, *tags, **metadata):
    new = new_code_cell if kind == "code" else new_markdown_cell
    options = {"execution_count": 3} if kind == "code" else {}
    return new(source, metadata={"tags": list(tags)} | metadata, **options)


def film(kilobytes):
    """An output as of `figures.film`, whose film has so many kilobytes."""
    coded = base64.b64encode(bytes(1000 * kilobytes)).decode()
    return new_output("display_data", {"text/html": f'<img alt="" src="data:image/webp;base64,{coded}">'})


def numbered(kind, number):
    """An output as of `figures.show` (kind "figure") or `figures.show_table`."""
    return new_output(
        "display_data", {"text/plain": "shown"}, metadata={"workbook": {kind: number, "caption": "Shown."}}
    )


def problems(nb, path):
    nbformat.write(nb, path)
    return check.problems(path) + check.unfinished(nb)


def test_a_clean_notebook_has_no_problems(tmp_path):
    png = new_output("display_data", {"image/png": "/tmp/abc/home/x" * 10, "text/plain": "checkpoints/local and 3:4"})
    assert problems(executed(new_output("stream", text="1 / 2 of /usr\n"), png), tmp_path / "nb.ipynb") == []


def test_a_figure_stands_above_the_paragraph_that_reads_it(tmp_path):
    cells = [new_code_cell("x", execution_count=3, outputs=[numbered("figure", 1), numbered("figure", 3)])]
    cells += [tagged("markdown", f"**Reading {what}.** {30 * 'As said. '}") for what in ("Figures 1 and 3", "the map")]
    cells += [tagged("markdown", "**Reading Figures 1 to 3 and Table 1.** Other words.\n\nFigure 9 is not read here.")]
    cells += [new_code_cell("x", execution_count=4, outputs=[numbered("table", 1)])]
    found = problems(with_cells(*cells), tmp_path / "nb.ipynb")
    assert found == [f"cell 7 reads {name}, which does not stand above it" for name in ("Figure 2", "Table 1")]


@pytest.mark.parametrize(
    ("nb", "message"),
    [
        (executed(new_output("stream", name="stderr", text="Warning")), "cell 3 has an error or warnings"),
        (executed(new_output("error", ename="E", evalue="", traceback=[])), "cell 3 has an error or warnings"),
        (executed(new_output("stream", text="in " + "/".join(["", "tmp", "x"]))), "cell 3 shows a path of the machine"),
        (executed(new_output("stream", text=str(ROOT / "lib"))), "cell 3 shows a path of the machine"),
        (executed(new_output("stream", text="in C:\\Users\\me")), "cell 3 shows a path of the machine"),
        (
            executed(new_output("display_data", {"text/html": f"<b>{ROOT}/lib</b>"})),
            "cell 3 shows a path of the machine",
        ),
        (executed(source="\n".join(["a = 1"] + [""] * 44 + ["a"])), "cell 3 has 46 lines; move what is not taught"),
        (executed(widgets={}), "widget state in the metadata"),
        (executed(new_output("stream", text="x" * 1_600_000)), "1.6 MB; at most 1.5 MB"),
        (executed(film(160)), "films of 160 KB; at most 150 KB each"),
        (executed(film(149), film(149), film(149), film(9)), "films of 149, 149, 149, 9 KB; at most 150 KB each"),
    ],
)
def test_problems_are_named(nb, message, tmp_path):
    (found,) = problems(nb, tmp_path / "nb.ipynb")
    assert found.startswith(message)


def test_cells_that_never_ran_and_missing_parameters(tmp_path):
    nb = executed()
    nb.cells[2].execution_count = None
    nb.cells[1].metadata["tags"] = []
    assert problems(nb, tmp_path / "nb.ipynb") == [
        "needs exactly one cell tagged `parameters`",
        "cell 3 was never run: run `make ship`",
    ]


def test_check(folder, capsys):
    assert main(["check", "--only", "02"]) == 1
    assert "02_works.ipynb: cell 2 was never run: run `make ship`" in capsys.readouterr().out
    nbformat.write(executed(), folder / "02_works.ipynb")
    assert main(["check", "--only", "02"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].split() == ["02", "2", "0", "83.0", "1", "0", "1", "0"]
    assert printed[2] == "1 notebooks are clean and complete"


def test_clean(tmp_path):
    loaded = "07_a/b: loaded (shipped); 47 CPU-seconds, held_out 0.4\n07_a/c: 9 runs (9 shipped); 0.1 CPU-minutes\n"
    outputs = [new_output("stream", name="stderr", text="w"), new_output("stream", text=f"{loaded}kept")]
    nb = executed(*outputs, papermill={"a": 1})
    injected = new_code_cell("a = 2", metadata={"tags": ["injected-parameters"]})
    nb.cells.insert(2, injected)
    nb.cells[3].metadata |= {"tags": ["nbval-check-output"], "papermill": {"duration": 1.5}, "scrolled": True}
    cleaned = check.clean(nb)
    assert [cell.source for cell in cleaned.cells[:3]] == [TEXT, "a = 1", "print(1)"]
    assert [dict(cell.metadata) for cell in cleaned.cells] == [
        {},
        {"tags": ["parameters"]},
        {"tags": ["nbval-check-output"]},
        {"tags": ["contents"]},
    ]
    assert [output.text for output in cleaned.cells[2].outputs] == ["kept"]
    assert set(cleaned.metadata) == {"kernelspec", "language_info"}
    nbformat.validate(cleaned)
    assert problems(cleaned, tmp_path / "a.ipynb") == []
    assert check.clean(nbformat.read(tmp_path / "a.ipynb", 4)) == cleaned, "cleaning twice changes nothing"


def test_clean_folds_what_is_tagged_and_keeps_what_a_cell_is_for():
    nb = with_cells(
        tagged("code", "1", "figure-code", jupyter={"source_hidden": False}),
        tagged("code", "2", "predict"),
        tagged("code", "3", jupyter={"source_hidden": True}),
        tagged("markdown", "Because.", "answer", item="P7", collapsed=True),
        tagged("markdown", "Try", "try-it", **{"try": {"run": "3"}}),
    )
    kept = [dict(cell.metadata) for cell in check.clean(nb).cells[3:-1]]
    assert kept == [
        {"tags": ["figure-code"], "jupyter": {"source_hidden": True}},
        {"tags": ["predict"], "jupyter": {"source_hidden": True, "outputs_hidden": True}},
        {},
        {"tags": ["answer"], "item": "P7"},
        {"tags": ["try-it"], "try": {"run": "3"}},
    ]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([tagged("code", "1", "figurecode")], "cell 4 has the unknown tag figurecode"),
        ([tagged("markdown", "x", "predict")], "cell 4 has the unknown tag predict"),
        ([tagged("code", "1", "figure-code")], "cell 4 is not folded as its tags say: run `make ship`"),
        ([tagged("code", "1", jupyter={"source_hidden": True})], "cell 4 is not folded as its tags say"),
        ([tagged("markdown", "No heading", "deeper")], "cell 4 is tagged `deeper`, but does not begin with a heading"),
        ([tagged("markdown", "Because.", "answer")], "cell 4 is tagged `answer`, but its metadata name no `item`"),
        ([tagged("markdown", "[x](glossary.md#no-such-term)")], "there is no 'no-such-term' in the glossary"),
        ([tagged("markdown", "x", "try-it")], "cell 4: metadata `try` needs some of change, rerun, run"),
        ([tagged("markdown", "**Try it.** Set a to 2.")], "cell 4 asks to try something that its metadata do not tell"),
        ([tagged("markdown", "**Predict.** How many?")], "asks for 1 predictions and answers 0 of them"),
        ([tagged("code", "a = 1\n" * 26), PROSE], "26 lines in the longest cell in sight; at most 25"),
        (
            [tagged("code", "a = 1\n" * 8 + "\n") for _ in range(5)],
            "42 lines of code in sight for seven words of prose; at most 23",
        ),
        ([tagged("markdown", "word " * 16_600)], "76 minutes on the core path; at most 75"),
    ],
)
def test_what_the_second_edition_asks_for(cells, message, tmp_path):
    found = problems(with_cells(*cells), tmp_path / "nb.ipynb")
    assert len(found) == 1 and found[0].startswith(message), found


def test_sources_of_the_library_are_counted(tmp_path):
    def shows(lines, number=0):
        text = "`lib.x`\n\n```python\n" + "a = 1\n" * lines + "```"
        output = new_output("display_data", {"text/markdown": text}, metadata={"workbook": {"source": "x"}})
        return new_code_cell("exercise('P2')", outputs=[output], execution_count=4, id=f"shows-{number}")

    assert problems(with_cells(shows(40)), tmp_path / "nb.ipynb") == []
    found = problems(with_cells(*[shows(41, number) for number in range(7)]), tmp_path / "nb.ipynb")
    assert found == [
        "287 lines of the library's source; at most 250",
        "41 lines in the longest source that is shown; at most 40",
    ]


def test_a_stale_table_of_contents_and_a_missing_one(tmp_path):
    nb = with_cells(tagged("markdown", "## A section"))
    nb.cells[-1].source += "\n- [Another](#Another) (1 min)"
    assert problems(nb, tmp_path / "nb.ipynb") == ["cell 5 is not the table of contents of today: run `make ship`"]
    del nb.cells[-1]
    assert problems(nb, tmp_path / "nb.ipynb") == ["has no cell tagged `contents`"]
