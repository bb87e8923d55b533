"""What follows the text: code out of sight, the answers that it gives, the glossary."""

import re

import pytest
from pieces import code, display, figure, flat, markdown, pages, pdf, source, stream

from lib.workbook import glossary
from lib.workbook.export.back_matter import numbers
from lib.workbook.export.template import APPENDIX_SIZE


def test_code_of_figures_is_printed_in_the_appendix():
    cells = [
        markdown("# Title"),
        code("seen = 1", stream("printed")),
        code("import late", tags=["figure-code"]),
        markdown("## A *section*\n\ntext"),
        code("draw(7)", *figure(7), *figure(8, "Second."), stream("drawn"), tags=["figure-code"]),
        code("claim(1)", tags=["figure-code"]),
        code("claim(2)", tags=["figure-code"]),
        code("# nothing\n", tags=["figure-code"]),
        code("", tags=["figure-code"]),
    ]
    code_ = source(*cells)
    text, appendix = code_.split("#appendix\n")
    assert "seen = 1" in text and "printed" in text and "drawn" in text and '"Figure 7."' in text
    assert not re.search("draw\\(7|claim|import late", text) and "seen" not in appendix
    order = [
        "At the beginning",
        "import late",
        "Figures 7 and 8",
        "draw(7)",
        "A #emph[section]",
        "claim(1)",
        "claim(2)",
    ]
    places = [appendix.index(part) for part in order]
    assert places == sorted(places) and appendix.count("#code-heading[") == 3
    assert {*re.findall(r'#verbatim\("input", ([\d.]+pt)', appendix)} == {f"{APPENDIX_SIZE}pt"}
    last = pages(pdf(*cells))[-1]
    assert "Code of the figures" in last and "draw(7)" in last and "seen" not in last, "it begins on a page of its own"
    assert "#appendix" not in source(*cells[:2])


@pytest.mark.parametrize(
    "shown, name",
    [
        ([("figure", 3)], "Figure 3"),
        ([("table", 2)], "Table 2"),
        ([("figure", 1), ("figure", 2), ("figure", 4), ("table", 1)], "Figures 1, 2 and 4, Table 1"),
        ([], ""),
    ],
)
def test_code_is_named_by_what_it_shows(shown, name):
    outputs = [display({"text/plain": ""}, workbook={kind: number, "caption": "c"}) for kind, number in shown]
    assert numbers(code("x", *outputs, stream("y"))) == name


def test_the_contents_name_the_appendix_but_not_its_parts():
    cells = [markdown(f"## Part {i}\n\ntext") for i in range(5)]
    first, *_, last = pages(pdf(markdown("# T"), *cells, code("draw()", *figure(7), tags=["figure-code"])))
    assert "Code of the figures" in first and "Figure 7" not in first and "Figure 7" in last


def test_answers_are_labelled_once():
    cell = code("guess()", stream("it is 3"), *figure(4), tags=["predict"])
    text, appendix = source(markdown("**Predict.** How many?"), cell).split("#appendix\n")
    assert re.search(r'#answer-label\s+#verbatim\("output".*"it is 3"', text) and text.count("answer") == 1
    assert "guess()" not in text and "guess()" in appendix
    text = source(code("guess()", *figure(4), tags=["predict"])).split("#appendix\n")[0]
    assert "], answer: true)" in text and "#answer-label" not in text, "the label goes with a figure in its place"
    assert flat(pdf(cell)).count("Answer") == 1
    assert "answer" not in source(code("guess()", tags=["predict"]))


@pytest.fixture
def entries(monkeypatch):
    found = {
        "cell-state": glossary.Entry(
            "cell state", "What an *LSTM* keeps, $c_t$; see [gate](glossary.md#gate) and [far](glossary.md#far)."
        ),
        "gate": glossary.Entry("gate", "A factor in (0, 1)."),
        "far": glossary.Entry("far", "Not used."),
    }
    monkeypatch.setattr(glossary, "entries", lambda: found)


def test_the_glossary_has_the_terms_that_are_used(entries):
    text = "# T\n\nThe [*gate*](glossary.md#gate), the [state](glossary.md#cell-state), [other](glossary.md#unknown)."
    code_ = source(markdown(text), code("draw()", tags=["figure-code"]))
    body, entries = code_.split("= Glossary")
    gate, state = (re.search(rf"#link\(<(place-\d+)>\)\[{text}\]", body)[1] for text in (r"#emph\[gate\]", "state"))
    assert re.search(rf"#metadata\(none\)<{state}>cell state\s.*#emph\[LSTM\] keeps, \$c_t\$", entries, re.S)
    assert re.search(rf"#metadata\(none\)<{gate}>gate", entries) and f"#link(<{gate}>)[gate] and far" in entries
    assert entries.index("cell state") < entries.index("A factor") < entries.index("#appendix")
    assert "other." in body and "Not used" not in entries
    assert "A factor in (0, 1)" in flat(pdf(markdown(text)))
    assert "Glossary" not in source(markdown("# T"))
