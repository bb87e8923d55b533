"""The title page: contents, reading minutes."""

import re

from pieces import code, figure, markdown, pages, pdf, source

WORDS = "word " * 880  # four minutes


def cells(**tags):
    return [
        markdown("# A title\n\n" + WORDS),
        markdown("**Contents.** made by hand", metadata={"tags": ["contents"]}),
        markdown("## First\n\n" + WORDS),
        markdown("### Detail of the first\n\n" + WORDS),
        markdown("## Second\n\n" + WORDS),
        code("show()", *figure(1), tags=["figure-code"]),
        markdown("## Third\n\n" + WORDS, metadata={"tags": ["deeper"]}),
        markdown("### Detail of the third\n\n" + WORDS),
    ]


def test_contents_show_the_minutes_of_sections():
    first, second, *_ = pages(pdf(*cells()))
    lines = [" ".join(line.split()) for line in first.split("\n") if line.strip()]
    minutes = {re.sub(r"[ .]{3,}.*", "", line): re.findall(r"(\d+) min ", line) for line in lines}
    assert minutes["First"] == ["8"] and minutes["Detail of the first"] == []
    assert minutes["Second"] == ["5"], "a figure takes a minute"
    assert minutes["Third (deeper)"] == ["4"] and minutes["Detail of the third (deeper)"] == ["4"]
    assert "Reading time core path 17 minutes, deeper 8" in " ".join(first.split())
    assert "made by hand" not in second


def test_a_notebook_that_is_not_divided_shows_no_minutes():
    plain = [markdown(cell.source) for cell in cells() if cell.cell_type == "markdown"]
    first = pages(pdf(*plain))[0]
    assert "Contents" in first and " min " not in first and "Reading time" not in first and "deeper" not in first


def test_a_heading_that_the_minutes_do_not_know_gets_none():
    odd = markdown("## One\n\n<h2>Two</h2>\n\ntext", metadata={"tags": ["deeper"]})
    code_ = source(markdown("# T"), odd, markdown("## Three\n\ntext"))
    assert code_.count(' min"') == 1
