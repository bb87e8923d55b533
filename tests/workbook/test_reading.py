"""Sections, minutes and counts of a notebook, and the table of contents made of them."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lib.workbook import reading
from lib.workbook.contents import contents, refresh


def markdown(text, *tags):
    return new_markdown_cell(text, metadata={"tags": list(tags)})


def code(source, *tags, outputs=()):
    return new_code_cell(source, metadata={"tags": list(tags)}, outputs=list(outputs))


def output(text="", **about):
    return new_output("display_data", {"text/markdown": text}, metadata={"workbook": about})


WORDS = "word " * 220  # a minute


@pytest.fixture
def nb():
    return new_notebook(
        cells=[
            markdown(f"# Title\n{WORDS}"),
            markdown("**Contents**", "contents"),
            markdown(f"## First\n{WORDS}\n### Part\n{WORDS}\n```python\n# no heading\n{WORDS}\n```"),
            code("a = 1\n\n" * 15),
            code("b = 1\n" * 60, "figure-code", outputs=[output("", figure=1), output(WORDS, caption_of=1)]),
            markdown("## Second"),
            markdown(f"### Aside\n{WORDS}", "deeper"),
            markdown(f"#### Below it\n{WORDS}"),
            markdown(f"### Back\n{WORDS}\n## Last ##"),
            code("show_source(x)", outputs=[output("`x`\n\n```python\n" + "c = 1\n" * 14 + "```", source="x")]),
        ]
    )


def test_sections(nb):
    found = [(part.level, part.title, part.cell, part.deeper, round(part.minutes, 6)) for part in reading.sections(nb)]
    assert found == [
        (1, "Title", 0, False, 1.0),
        (2, "First", 2, False, 1.0),
        (3, "Part", 2, False, 4.0),  # words, fifteen lines, a figure, its caption; neither fences nor folded code
        (2, "Second", 5, False, 0.0),
        (3, "Aside", 6, True, 1.0),
        (4, "Below it", 7, True, 1.0),
        (3, "Back", 8, False, 1.0),
        (2, "Last", 8, False, 1.0),  # one line of code and fourteen shown
    ]
    assert reading.minutes(nb) == pytest.approx((8, 2))


def test_counts(nb):
    assert reading.counts(nb) == reading.Counts(16, 14, 6 * 220 + 1, 15, 14)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two words.", 2),
        ("The state $h_t = \\tanh(a)$ has one.", 5),
        ("$$a = b$$", 0),
        ("A [link to it](glossary.md#forget-gate), **bold** and `code`.", 7),
        ("<b>It's</b> torch's 3.5 well-known", 4),
        ("", 0),
        ("~~~\nnot these words\n~~~\nbut these", 2),
        ("````\n```\nstill inside\n````\nout", 1),
    ],
)
def test_words(text, words):
    assert reading.count_words(text) == words


def test_what_stands_before_the_first_heading_is_no_section():
    assert reading.sections(new_notebook(cells=[code("a = 1"), markdown("text")])) == []


def test_contents(nb):
    refresh(nb)
    assert nb.cells[1].source.splitlines() == [
        "**Contents.** Reading takes about 8 minutes for the core path and 2 for the *deeper* sections, which may be "
        "skipped.",
        "",
        "- [First](#First) (5 min)",
        "- [Second](#Second) (1 min)",  # with what comes back to it after the deeper part
        "  - [Aside](#Aside) (deeper, 2 min)",
        "- [Last](#Last) (1 min)",
    ]
    assert contents(nb) == nb.cells[1].source, "making it again changes nothing"


def test_contents_without_deeper_sections():
    nb = new_notebook(cells=[markdown("# T"), markdown(f"## Some heading\n{WORDS}")])
    assert contents(nb).splitlines() == [
        "**Contents.** Reading takes about 1 minutes.",
        "",
        "- [Some heading](#Some-heading) (1 min)",
    ]
