"""The exporters: the title page, the file itself, the web page."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import EntryPoint

import numpy as np
import pandas as pd
import pytest
from pieces import code, display, flat, markdown, notebook, pages, pdf, png, source

from lib.storage.paths import ROOT
from lib.workbook.export import ExportError, TypstPDFExporter, export_pdf
from lib.workbook.export.template import TEXT_WIDTH


def test_title_page_shows_the_metadata():
    cells = [markdown("# 02 The memory task\n\ntext"), *[markdown(f"## Part {i}\n\n### Detail {i}") for i in range(4)]]
    data = pdf(
        *cells,
        subtitle="RNN and *TCN*",
        authors=["Ann B.", "Carl D."],
        number="02",
        profile="cpu",
        device="2 threads",
        seconds=3725,
        versions={"torch": "2.13.0", "numpy": "2.4.6"},
        date="1 May 2025",
    )
    first, second, *_ = pages(data)
    for text in (
        "NOTEBOOK 02",
        "The memory task",
        "RNN and TCN",
        "Ann B., Carl D.",
        "1 May 2025",
        "cpu",
        "2 threads",
        "1 h 2 min",
        "numpy 2.4.6, torch 2.13.0",
        "Contents",
        "Part 3",
        "Detail 3",
    ):
        assert text in first, text
    assert "02 The memory task" not in first, "the number stands above the title, not in it as well"
    assert not re.search("1 ?/ ?2", first) and re.search("2 ?/ ?2", second)
    assert "The memory task" in second.split("\n")[0], "running header"


def test_title_falls_back_to_the_first_heading_and_is_not_repeated():
    code_ = source(markdown("# A *first* heading\n\nHello\n\n## Next"))
    assert code_.count("heading") == 2  # the PDF's own title and the title block
    assert "= Next" in code_ and "== Next" not in code_, "without a first heading the others move up"
    code_ = source(markdown("# A first heading"), title="Another title")
    assert "= A first heading" in code_ and "Another title" in code_
    assert "= A title" not in source(markdown("# 3 A title"), title="A title")


def test_a_notebook_without_headings_is_named_after_its_file(tmp_path):
    path = export_pdf(notebook(markdown("text")), tmp_path / "some_name.pdf")
    assert "some_name" in flat(path.read_bytes())


def test_titles_may_hold_formulas_and_code():
    data = pdf(markdown("# The $\\beta$-VAE in `torch`\n\ntext"), subtitle="with $x^2$")
    assert "-VAE in torch" in flat(data)


def test_the_same_notebook_gives_the_same_file():
    cells = [markdown("# Title\n\n$x^2$"), code("1", display({"image/png": png()}))]
    one, two = pdf(*cells, versions={"a": "1", "b": "2"}), pdf(*cells, versions={"b": "2", "a": "1"})
    assert one == two
    assert b"CreationDate" not in one and b"ModDate" not in one


@pytest.mark.skipif(not shutil.which("pdfinfo"), reason="needs pdfinfo (poppler-utils)")
def test_pdf_knows_title_author_and_paper(tmp_path):
    path = export_pdf(
        notebook(markdown("# T\n\n## Part"), title="On *waves*", authors=["Ann", "Bo"]), tmp_path / "a.pdf"
    )
    about = subprocess.run(["pdfinfo", path], capture_output=True, check=True).stdout.decode()
    assert re.search(r"Title: +On waves\n", about) and re.search(r"Author: +Ann, Bo\n", about) and "(A4)" in about
    assert b"/Outlines" in path.read_bytes()


def test_a_failing_export_leaves_the_old_file(tmp_path):
    out = export_pdf(notebook(markdown("# Old")), tmp_path / "a.pdf")
    old = out.read_bytes()
    with pytest.raises(ExportError, match="title page"):
        export_pdf(notebook(markdown("# New"), title=r"A $\nonsense$"), out)
    assert out.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["a.pdf"]


def test_what_the_figures_of_the_workbook_display(displayed):
    from matplotlib import pyplot as plt

    from lib import figures

    fig, ax = plt.subplots(figsize=(7.0, 3.2))
    ax.plot([1, 2])
    figures.show(fig, "A line, $y = x$.")
    figures.show_table(pd.DataFrame({"model": ["RNN"], "accuracy": [0.5]}), "A table.")
    figures.film(np.zeros((4, 32, 32, 3), np.uint8), "A film.")
    code_ = source(code("x", *[display(data, **metadata) for data, metadata in displayed]))
    assert code_.count("A line, $y = x$.") == code_.count("A table.") == code_.count("A film.") == 1
    assert '#numbered-figure("Figure 1."' in code_ and '#numbered-table("Table 1."' in code_
    assert '#numbered-figure("Figure 2."' in code_ and "The film plays" in code_
    assert 350 < float(re.search(r"width: ([\d.]+)pt", code_)[1]) <= TEXT_WIDTH


def test_nbconvert_finds_the_exporter():
    from nbconvert.exporters import get_exporter

    exporter = get_exporter("lib.workbook.export.TypstPDFExporter")()
    data, resources = exporter.from_notebook_node(notebook(markdown("# T")), {"metadata": {"name": "n"}})
    assert data.startswith(b"%PDF") and resources["output_extension"] == ".pdf"


def test_the_entry_point_names_the_exporter():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    ((name, value),) = project["entry-points"]["nbconvert.exporters"].items()
    assert name == "typst-pdf" and EntryPoint(name, value, "nbconvert.exporters").load() is TypstPDFExporter
